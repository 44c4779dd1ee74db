"""Trains networks for a moment, exports each for PyTorch, for Keras and as a program in C, and compares the logits
that the three compute for MNIST's test images.

    MNIST_DIR=... python check_exports_weights.py FOLDER [--programs target/release] [--steps 20] [--images 500]

PyTorch's module is that of `coordinator --describe`, and takes all of the file, strictly. Keras's model is built
by the module of the wheel. The program in C is compiled with cc, and runs its own test too, which has the trainer's logits. FOLDER gets the
files. The check fails where logits differ by more than 1e-4 of the largest one.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "contenders"), str(HERE.parent.parent / "deploy/python")]
sys.dont_write_bytecode = True
# One library of tensors in one process.
os.environ["KERAS_BACKEND"] = "torch"

import mnist
import numpy as np
import torch
from lockstep import _keras as lockstep_keras
from numpy.typing import NDArray

CLASSES = 10
DIFFERENCE_MAX = 1e-4
# Between them every kind of layer. Keras's Sequential has no branches.
NETWORKS = {
    "cnn": "cnn",
    "norms": "conv(6,3,bias=false) batchnorm gelu conv(8,3,padding=1,stride=2,groups=2) groupnorm(2) silu layernorm "
    "maxpool(2) flatten batchnorm dense(12) tanh layernorm dense(9) leaky_relu(0.2) dense(8) sigmoid dense",
    "pools": "conv(8,5,padding=2) relu avgpool(3,stride=2) conv(8,3) leaky_relu dropout(0.5) globalavgpool dense",
    "branches": "conv(8,3,stride=2) residual batchnorm relu conv(8,3,padding=1) add residual layernorm shortcut "
    "conv(8,1) add maxpool(2) flatten dense",
}


def said(command: list[object]) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def of_torch(module_text: str, path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    names: dict[str, type[torch.nn.Module]] = {}
    exec(module_text, names)
    module = names["Network"]()
    module.load_state_dict(torch.load(path, weights_only=True), strict=True)
    module.eval()
    with torch.inference_mode():
        return module(torch.from_numpy(images[:, None]).float() / 255).numpy()


def of_keras(layers: str, path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    network = SimpleNamespace(
        LAYERS=layers, INPUT=(1, mnist.SIDE, mnist.SIDE), CLASSES=range(CLASSES), MEAN=[0.0], DEVIATION=[1.0]
    )
    model = lockstep_keras.build(network, path)
    return model.predict(images[..., None].astype(np.float32) / 255, 500, verbose=0)


def of_c(source: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    flags = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-O2"]
    own_test = source.with_suffix(".test")
    said([*flags, "-DLOCKSTEP_TEST", source, "-o", own_test])
    print(f"  C's own test: {said([own_test.resolve()]).strip()}")
    library = source.with_suffix(".so")
    said([*flags, "-shared", "-fPIC", source, "-o", library])
    predict = ctypes.CDLL(str(library.resolve())).lockstep_predict
    logits = np.zeros((len(images), CLASSES), np.float32)
    for image, row in zip(images, logits):
        best = predict(image.ctypes.data_as(ctypes.c_void_p), row.ctypes.data_as(ctypes.c_void_p))
        if best != row.argmax():
            sys.exit(f"C returned class {best}, and logit {row.argmax()} is the largest")
    return logits


def checked(name: str, flags: argparse.Namespace, images: NDArray[np.uint8]) -> bool:
    network, checkpoints = NETWORKS[name], flags.folder / name
    coordinator, lockstep = flags.programs / "coordinator", flags.programs / "lockstep"
    of_model = [coordinator, "--dataset", "mnist", "--model", network]
    training = ["--workers", "1", "--local", "--progress", "off", "--max-steps", str(flags.steps)]
    said([*of_model, *training, "--checkpoint-dir", checkpoints, "--resume", "never"])
    described = said([*of_model, "--describe"])
    # The table above the module has a layer in each line.
    layers = " ".join(re.findall(r"^# *\d+  (\S+)", described, re.MULTILINE))
    files = {"pytorch": ".pth", "keras": ".weights.h5", "c": ".c"}
    if "residual" in layers:
        del files["keras"]
    print(f"{name}:")
    for file_format, ending in files.items():
        output = checkpoints / f"{name}{ending}"
        text = said([lockstep, "export", "--checkpoint", checkpoints, "--format", file_format, "--output", output])
        print(f"  {file_format}: {text.splitlines()[-1].removeprefix('checked').strip()}")
    expected = of_c(checkpoints / f"{name}.c", images)
    others = {"PyTorch": of_torch(described, checkpoints / f"{name}.pth", images)}
    if "keras" in files:
        others["Keras"] = of_keras(layers, checkpoints / f"{name}.weights.h5", images)
    largest = float(np.abs(expected).max())
    good = True
    for program, logits in others.items():
        difference = float(np.abs(logits - expected).max())
        print(f"  {program} and C: largest difference {difference:.1e}, largest logit {largest:.2f}", flush=True)
        good &= difference <= DIFFERENCE_MAX * max(1.0, largest)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="gets the files")
    parser.add_argument("--programs", type=Path, default=Path("target/release"), help="folder of the programs")
    parser.add_argument("--steps", type=int, default=20, help="training steps of each network")
    parser.add_argument("--images", type=int, default=500, help="test images whose logits are compared")
    flags = parser.parse_args()
    flags.folder.mkdir(parents=True, exist_ok=True)
    images, _ = mnist.load("t10k")
    bad = [name for name in NETWORKS if not checked(name, flags, images[: flags.images])]
    sys.exit(f"other logits: {', '.join(bad)}" if bad else 0)


if __name__ == "__main__":
    main()

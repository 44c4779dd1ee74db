"""Draws networks, exports each as ONNX, in f32 and in 8 bits, and has onnx.checker and onnxruntime look at the files:
logits must be those of lockstep evaluate.

    python fuzz_onnx.py [--programs target/release] [--minutes 2] [--seed 1]

Networks that the coordinator or the format refuses are counted. The check ends at the first file that is wrong, and
prints its network.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

# Share of the largest logit that a difference may have: rounding to 8 bits moves a value by a step.
LIMITS = {"f32": 1e-4, "int8": 0.1}
CHANNELS = [2, 3, 4, 6, 8]
FUNCTIONS = ["relu", "leaky_relu(0.1)", "gelu", "silu", "tanh", "sigmoid"]


def convolution(draw: random.Random, outputs: int, same: bool) -> str:
    kernel = draw.choice([1, 3] if same else [1, 2, 3, 5])
    padding = kernel // 2 if same else draw.choice([0, 0, 1, 2])
    stride = 1 if same else draw.choice([1, 1, 2])
    bias = draw.choice(["", ",bias=false"])
    return f"conv({outputs},{kernel},padding={padding},stride={stride}{bias})"


def after(draw: random.Random) -> list[str]:
    norms = ["batchnorm", "batchnorm", "layernorm", "groupnorm(1)"]
    return draw.sample(norms, draw.choice([0, 0, 1])) + draw.sample(FUNCTIONS, draw.choice([0, 1]))


def network(draw: random.Random) -> str:
    layers: list[str] = []
    for _ in range(draw.randrange(4)):
        outputs = draw.choice(CHANNELS)
        layers += [convolution(draw, outputs, False), *after(draw)]
        if draw.random() < 0.3:
            body = [convolution(draw, outputs, True), *after(draw)]
            shortcut = ["shortcut", convolution(draw, outputs, True)] if draw.random() < 0.4 else []
            layers += ["residual", *body, *shortcut, "add", *after(draw)]
        if draw.random() < 0.5:
            layers.append(draw.choice(["maxpool(2)", "avgpool(2)", "maxpool(3,stride=2)", "avgpool(3,stride=1)"]))
    layers.append(draw.choice(["flatten", "globalavgpool"]))
    for _ in range(draw.randrange(3)):
        layers += [f"dense({draw.choice([3, 7, 12])})", *after(draw)]
    return " ".join([*layers, "dense", *draw.sample(FUNCTIONS, draw.choice([0, 0, 0, 1]))])


def succeeds(command: list[object], refusals: tuple[str, ...]) -> bool:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return True
    if any(refusal in done.stderr for refusal in refusals):
        return False
    sys.exit(f"{' '.join(str(word) for word in command)}\nended with code {done.returncode}\n{done.stdout}{done.stderr}")


def check(path: Path, images: np.ndarray, expected: np.ndarray, limit: float) -> str | None:
    """What is wrong with a file, if anything is."""
    onnx.checker.check_model(onnx.load(str(path)), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(["logits"], {"images": images})[0]
    difference = float(np.abs(got - expected).max())
    largest = max(1.0, float(np.abs(expected).max()))
    return None if difference <= limit * largest else f"logits differ by {difference:.1e}, the largest is {largest:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, default=Path("target/release"))
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    coordinator, lockstep = (arguments.programs / name for name in ("coordinator", "lockstep"))
    checked = {"f32": 0, "int8": 0}
    refused = 0
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = np.zeros((200, 12, 12), np.uint8)
        draws = np.random.default_rng(arguments.seed)
        images[:] = draws.integers(0, 256, images.shape)
        labels = (np.arange(200) % 5).astype(np.uint8)
        data = folder / "data.npz"
        np.savez(data, x_train=images, y_train=labels, x_test=images[:40], y_test=labels[:40])
        inputs = images[:40].reshape(40, 1, 12, 12).astype(np.float32) / np.float32(255)
        number = 0
        while time.monotonic() < end:
            number += 1
            layers = network(draw)
            run = folder / f"run{number}"
            normalize = draw.choice(["unit", "standard"])
            begun = [coordinator, "--workers", 1, "--local", "--dataset", data, "--model", layers, "--normalize", normalize]
            begun += ["--max-steps", 3, "--batch-size", 16, "--micro-batch", 8, "--seed", number, "--checkpoint-dir", run]
            if not succeeds(begun, ("--model", "layer ")):
                refused += 1
                continue
            for kind in LIMITS:
                path, logits = folder / f"{kind}{number}.onnx", folder / f"{kind}{number}.npy"
                given = ["--checkpoint", run, "--dataset", data, "--logits", logits]
                if kind == "f32":
                    succeeds([lockstep, "export", "--checkpoint", run, "--format", "onnx", "--output", path], ())
                    succeeds([lockstep, "evaluate", *given], ())
                elif not succeeds([lockstep, "compress", *given, "--int8", "--format", "onnx", "--output", path], ("no form",)):
                    refused += 1
                    continue
                problem = check(path, inputs, np.load(logits), LIMITS[kind])
                if problem:
                    sys.exit(f"{kind}: {problem}\n{layers} (--normalize {normalize} --seed {number})")
                checked[kind] += 1
    print(f"{checked['f32']} files in f32 and {checked['int8']} in 8 bits are right, {refused} networks were refused")


if __name__ == "__main__":
    main()

"""Compiles the programs of lockstep compress --int8, computes MNIST's test images with them, and compares the logits
with those of lockstep, which must be equal integers. Says how long an image takes on one core.

    lockstep compress --checkpoint CHECKPOINT --int8 --format c --output model.c --logits logits.npy
    lockstep compress --checkpoint CHECKPOINT --int8 --format rust --output model.rs
    MNIST_DIR=... python check_int8.py model.c logits.npy
    MNIST_DIR=... python check_int8.py model.rs logits.npy
"""

from __future__ import annotations

import argparse
import ctypes
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "contenders"))
sys.dont_write_bytecode = True

import mnist
import numpy as np

WRAPPER = """
#[path = "{file}"]
mod model;

static BUFFERS: std::sync::Mutex<model::Buffers> = std::sync::Mutex::new(model::Buffers::new());

#[unsafe(no_mangle)]
extern "C" fn lockstep_predict(image: &[u8; 784], logits: &mut [i32; 10]) -> i32 {{
    model::predict(image, &mut BUFFERS.lock().unwrap(), logits) as i32
}}
"""


def library(source: Path, folder: Path) -> ctypes.CDLL:
    built = folder / "model.so"
    if source.suffix == ".c":
        command = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2", "-fPIC", "-shared", source]
    else:
        wrapper = folder / "wrapper.rs"
        wrapper.write_text(WRAPPER.format(file=source.resolve()))
        command = ["rustc", "--edition=2024", "--crate-type=cdylib", "-Copt-level=3", wrapper]
    subprocess.run([*command, "-o", built], check=True)
    return ctypes.CDLL(str(built))


def scale_of(text: str) -> float:
    """The step of a logit, as the file says it."""
    found = re.search(r"A logit is (\S+) times", text) or re.search(r"LOGIT_SCALE: f32 = (\S+);", text)
    if found is None:
        sys.exit("the file doesn't say the scale of its logits")
    try:
        return float(found.group(1))
    except ValueError:
        return float(re.search(r"LOGIT_SCALE: f32 = (\S+);", text).group(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("logits", type=Path)
    arguments = parser.parse_args()
    images, labels = mnist.load("t10k")
    images = np.ascontiguousarray(images.reshape(len(images), 784).astype(np.uint8))
    ours = np.load(arguments.logits)
    theirs = np.zeros(ours.shape, np.int32)
    classes = np.zeros(len(images), np.int64)
    with tempfile.TemporaryDirectory() as folder:
        predict = library(arguments.source, Path(folder)).lockstep_predict
        begun = time.process_time()
        for at in range(len(images)):
            classes[at] = predict(ctypes.c_void_p(images[at].ctypes.data), ctypes.c_void_p(theirs[at].ctypes.data))
        seconds = time.process_time() - begun
    steps = np.rint(ours.astype(np.float64) / np.float64(np.float32(scale_of(arguments.source.read_text()))))
    differing = int((steps != theirs).sum())
    right = int((classes == labels).sum())
    print(
        f"{arguments.source.name}: {right} of {len(labels)} right, {differing} of {ours.size} integers differ, "
        f"{1e6 * seconds / len(images):.0f} us an image"
    )
    if differing or (classes != theirs.argmax(1)).any():
        sys.exit(1)


if __name__ == "__main__":
    main()

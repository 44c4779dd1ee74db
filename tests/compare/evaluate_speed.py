"""Sets lockstep evaluate with one thread beside onnxruntime with one thread: the same model, batch 64, the same test
images, in turn.

    lockstep export --checkpoint CHECKPOINT --format onnx --output model.onnx
    MNIST_DIR=... python evaluate_speed.py CHECKPOINT model.onnx [--lockstep target/release/lockstep] [--rounds 5]

Prints images a second of each round (the compute alone, without start and data), and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "contenders"))
sys.dont_write_bytecode = True

import mnist
import numpy as np
import onnxruntime

BATCH = 64


def onnxruntime_speed(path: Path, images: np.ndarray) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, {"images": images[:BATCH]})
    begun = time.perf_counter()
    for at in range(0, len(images), BATCH):
        session.run(None, {"images": images[at : at + BATCH]})
    return len(images) / (time.perf_counter() - begun)


def lockstep_speed(program: str, checkpoint: Path) -> float:
    command = [program, "evaluate", "--checkpoint", str(checkpoint), "--threads", "1", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return report["samples"] / report["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--lockstep", default="target/release/lockstep")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    images, _ = mnist.load("t10k")
    images = images.reshape(len(images), 1, 28, 28).astype(np.float32) / np.float32(255)
    ratios = []
    for _ in range(arguments.rounds):
        ours = lockstep_speed(arguments.lockstep, arguments.checkpoint)
        theirs = onnxruntime_speed(arguments.model, images)
        ratios.append(ours / theirs)
        print(f"lockstep {ours:9.0f}   onnxruntime {theirs:9.0f}   ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()

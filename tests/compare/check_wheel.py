"""Checks the Python module of the wheel: a run's numbers, its network in PyTorch and in Keras, and a run from Python.

    MNIST_DIR=... KERAS_BACKEND=torch python check_wheel.py RUN

RUN is the folder of a complete run on MNIST with the default network. The networks must answer MNIST's test images as
`lockstep evaluate` has them answered.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "contenders"))
sys.dont_write_bytecode = True

import lockstep
import mnist
import numpy as np
import torch

DIFFERENCE_MAX = 1e-4


def main() -> None:
    run = Path(sys.argv[1])
    images, _ = mnist.load("t10k")
    with tempfile.TemporaryDirectory() as folder:
        logits_file = Path(folder) / "logits.npy"
        command = [lockstep.program("lockstep"), "evaluate", "--checkpoint", run, "--dataset", "mnist", "--logits", logits_file]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        expected = np.load(logits_file)
    pixels = images.astype(np.float32) / 255

    module = lockstep.load(run)
    with torch.inference_mode():
        answers = {"PyTorch": module(torch.from_numpy(pixels[:, None])).numpy()}
    model = lockstep.load(run, to="keras")
    answers["Keras"] = model.predict(pixels[..., None], 500, verbose=0)
    for name, logits in answers.items():
        difference = float(np.abs(logits - expected).max() / np.abs(expected).max())
        print(f"{name}: largest difference of a logit {difference:.1e} of the largest; classes {model.classes}")
        if difference > DIFFERENCE_MAX or module.classes != [str(digit) for digit in range(10)]:
            sys.exit(f"{name} answers otherwise")

    table = lockstep.metrics(run)
    steps = list(table["step"])
    if steps != list(range(len(steps))) or not table["loss"].iloc[-1] < table["loss"].iloc[0]:
        sys.exit("the table has not each step once, with a loss that falls")
    print(f"metrics: {len(table)} steps; columns {', '.join(table.columns)}")

    with tempfile.TemporaryDirectory() as folder:
        short = {"dataset": "digits", "model": "linear", "epochs": 1, "progress": "off"}
        done = lockstep.run(Path(folder) / "run", workers=2, **short)
        if not (done / "report.html").is_file():
            sys.exit("a run from Python left no report")
        try:
            lockstep.run(Path(folder) / "stopped", workers=1, **{**short, "epochs": 10_000, "max_time": "2s"})
            sys.exit("a run that was stopped raised nothing")
        except lockstep.Stopped as stopped:
            print(f"stopped: {stopped}")


if __name__ == "__main__":
    main()

"""Samples a second of one thread that computes gradients of a network and does nothing else, pinned to one core.

All take the same batch: random pixels of the asked form.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .processes import Failure, Program, run
from .setup import CONTENDERS, ROOT, Python
from .training import ONE_THREAD

BATCH = 64
NETWORKS = ("mlp", "lenet5", "tiny", "allconv", "resnet")
FORMS = ("28x28x1", "32x32x3")
SECONDS = 3

DRAW = """
import sys
import numpy as np
form, path, count = [int(size) for size in sys.argv[1].split("x")], sys.argv[2], int(sys.argv[3])
random = np.random.default_rng(1)
x, y = random.integers(0, 256, (count, *form), np.uint8), np.arange(count) % 10
np.savez(path, x_train=x, y_train=y, x_test=x[:64], y_test=y[:64])
"""


@dataclass(frozen=True)
class Task:
    """Who computes what, and for how long."""

    python: Python
    coordinator: Path
    compute: Path | None
    """The bench, if gradients are to be measured."""
    core: int
    steps: int
    deadline_seconds: int
    folder: Path
    """For the samples and the network's description."""

    def samples(self, form: str, count: int = 640) -> Path:
        path = self.folder / f"{form}-{count}.npz"
        if not path.exists():
            command = [self.python.path, "-c", DRAW, form, path, str(count)]
            run([Program(command)], cores={self.core}, deadline_seconds=60)
        return path

    def network(self, name: str, form: str) -> Path:
        path = self.folder / f"{name}-{form}.py"
        if not path.exists():
            command = [self.coordinator, "--describe", "--model", name, "--dataset", self.samples(form)]
            described = subprocess.run(command, capture_output=True, text=True, check=False)
            if described.returncode:
                raise Failure(described.stderr)
            path.write_text(described.stdout)
        return path


def torch(task: Task, name: str, form: str) -> dict[str, float]:
    """Samples a second by memory layout."""
    return contender(task, "torch_network.py", name, form)


def tensorflow(task: Task, name: str, form: str) -> float:
    """Samples a second."""
    return contender(task, "tf_network.py", name, form)["samples_per_s"]


def contender(task: Task, script: str, name: str, form: str) -> dict[str, float]:
    flags = ["--network", task.network(name, form), "--samples", task.samples(form)]
    flags += ["--batch", str(BATCH), "--warmup", str(max(5, task.steps // 4)), "--steps", str(task.steps)]
    program = Program([task.python.path, CONTENDERS / script, *flags], ONE_THREAD)
    output = run([program], cores={task.core}, deadline_seconds=task.deadline_seconds)
    speeds: dict[str, float] = json.loads(output[0])
    return speeds


def lockstep(task: Task, name: str, form: str) -> float:
    """Samples a second."""
    flags = [f"--model={name}", f"--dataset={task.samples(form)}", f"--micro-batch={BATCH}", f"--seconds={SECONDS}"]
    assert task.compute, "the bench was found before anything is measured"
    program = Program([task.compute, *flags], {"RAYON_NUM_THREADS": "1"}, ROOT)
    output = run([program], cores={task.core}, deadline_seconds=task.deadline_seconds)
    return float(json.loads(output[0])["samples_per_s"])

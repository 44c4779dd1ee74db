"""Samples a second of one thread that computes gradients of the CNN and does nothing else, pinned to one core."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .processes import Program, run
from .setup import CONTENDERS, ROOT, Python
from .training import ONE_THREAD

BATCH = 64
BENCHES = {
    "Lockstep": "cnn gradient/leaf 64",
    "Lockstep, all open": "cnn gradient/leaf 64, all open",
    "stock Candle": "stock candle/leaf 32",
}
"""Columns of the report, and the benches in `worker/benches/operators.rs` that fill them."""


@dataclass(frozen=True)
class Task:
    """Who computes, and for how long."""

    python: Python
    core: int
    steps: int
    deadline_seconds: int


def torch(task: Task) -> dict[str, float]:
    """Samples a second by memory layout."""
    return contender(task, "torch_gradient.py")


def tensorflow(task: Task) -> float:
    """Samples a second."""
    return contender(task, "tf_gradient.py")["samples_per_s"]


def contender(task: Task, name: str) -> dict[str, float]:
    flags = ["--batch", str(BATCH), "--warmup", str(max(5, task.steps // 4)), "--steps", str(task.steps)]
    program = Program([task.python.path, CONTENDERS / name, *flags], ONE_THREAD)
    output = run([program], cores={task.core}, deadline_seconds=task.deadline_seconds)
    speeds: dict[str, float] = json.loads(output[0])
    return speeds


def lockstep(task: Task, operators: Path) -> dict[str, float]:
    """Criterion's median time of each bench, as samples a second, by the columns of `BENCHES`."""
    speeds = {}
    with tempfile.TemporaryDirectory() as home:
        names = "|".join(f"^{name}$" for name in BENCHES.values())
        environment = {"CRITERION_HOME": home, "RAYON_NUM_THREADS": "1"}
        program = Program([operators, "--bench", "--noplot", names], environment, ROOT)
        run([program], cores={task.core}, deadline_seconds=task.deadline_seconds)
        for column, name in BENCHES.items():
            folder = Path(home) / name / "new"
            if folder.exists():
                ns = json.loads((folder / "estimates.json").read_text())["median"]["point_estimate"]
                samples = json.loads((folder / "benchmark.json").read_text())["throughput"]["Elements"]
                speeds[column] = samples / ns * 1e9
    return speeds

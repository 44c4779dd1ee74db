"""Samples a second of two workers that train a network together: PyTorch DDP, TensorFlow's strategy, Lockstep.

All three: the same cores, one compute thread a process, one global batch, Adam. The time runs from the end of step
`warmup` to the end of step `warmup + steps` and has everything in it that a step needs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .processes import Failure, Program, free_ports, run
from .setup import CONTENDERS, Python

WORKERS = 2
TRAINING_SAMPLES = 60_000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
STEPS_PER_CALL = 10
"""TensorFlow's steps between two returns to Python."""


@dataclass(frozen=True)
class Task:
    """What is trained, and where."""

    binaries: Path
    cores: set[int]
    batch: int
    warmup: int
    steps: int
    deadline_seconds: int
    lockstep_flags: Sequence[str]
    epochs: int = 1
    """Of Lockstep."""
    model: str = "cnn"
    network: Path | None = None
    """Lockstep's description of the model, for the others; none for the CNN, of which they have a program."""
    samples: Path | None = None
    """An .npz with enough of them for all steps; none for MNIST."""

    def check(self) -> None:
        """Fails if Lockstep could not measure it: an epoch's end is an evaluation, which is not to be timed."""
        most = TRAINING_SAMPLES // self.batch
        if self.samples:
            return
        if min(self.warmup, self.steps) < 1 or self.warmup + self.steps > most:
            raise Failure(f"--warmup and --steps must be at least 1, and together at most an epoch's {most} steps")
        if self.batch % WORKERS:
            raise Failure(f"--batch must be a multiple of {WORKERS}")

    def contender(self, python: Python, name: str, *more: str) -> list[str | Path]:
        numbers = {"--batch": self.batch, "--warmup": self.warmup, "--steps": self.steps}
        flags = [text for flag, number in numbers.items() for text in (flag, str(number))]
        given = {"--network": self.network, "--samples": self.samples}
        flags += [f"{flag}={path}" for flag, path in given.items() if path]
        return [python.path, CONTENDERS / name, *flags, *more]


def torch_ddp(task: Task, python: Python) -> dict[str, float]:
    """Samples a second by memory layout."""
    with tempfile.TemporaryDirectory() as folder:
        programs = [
            Program(
                task.contender(
                    python, "torch_ddp.py", f"--rank={rank}", f"--world={WORKERS}", f"--rendezvous={folder}/store"
                ),
                {**ONE_THREAD, "GLOO_SOCKET_IFNAME": "lo"},
            )
            for rank in range(WORKERS)
        ]
        output = run(programs, cores=task.cores, deadline_seconds=task.deadline_seconds)
    speeds: dict[str, float] = json.loads(output[0])
    return speeds


def tensorflow(task: Task, python: Python) -> float:
    """Samples a second."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(WORKERS)]
    programs = []
    for rank in range(WORKERS):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        arguments = task.contender(python, "tf_mwms.py", f"--steps-per-call={STEPS_PER_CALL}")
        programs.append(Program(arguments, {**ONE_THREAD, "TF_CONFIG": json.dumps(cluster)}))
    output = run(programs, cores=task.cores, deadline_seconds=task.deadline_seconds)
    return float(json.loads(output[0])["samples_per_s"])


def lockstep(task: Task) -> float:
    """Samples a second."""
    with tempfile.TemporaryDirectory() as folder:
        train(task, Path(folder), ["--checkpoint-every", "0"])
        records = map(json.loads, (Path(folder) / "metrics.jsonl").read_text().splitlines())
        ends = [record["train_seconds"] for record in records if record["kind"] == "step"]
    return task.batch * task.steps / (ends[task.warmup + task.steps - 1] - ends[task.warmup - 1])


def checkpoint(task: Task, folder: Path) -> Path:
    """What `lockstep` has in the middle of its timed steps: the same flags end in the same bits."""
    step = task.warmup + task.steps // 2
    train(task, folder, ["--checkpoint-every", str(step), "--keep", str(TRAINING_SAMPLES)])
    return folder / f"step-{step:012}"


def train(task: Task, folder: Path, more: Sequence[str]) -> None:
    """The epochs; metrics and checkpoints go to `folder`."""
    flags = ["--workers", WORKERS, "--local", "--threads", 1, "--bind", "127.0.0.1:0"]
    flags += ["--dataset", task.samples or "mnist", "--model", task.model, "--batch-size", task.batch, "--val-split", 0]
    flags += ["--epochs", task.epochs, "--optimizer", "adam"]
    flags += ["--checkpoint-dir", folder, "--progress", "off", *more, *task.lockstep_flags]
    program = Program([task.binaries / "coordinator", *map(str, flags)])
    run([program], cores=task.cores, deadline_seconds=task.deadline_seconds)

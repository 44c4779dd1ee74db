"""What is left of the workers' own speed when they train together: a cluster against two that only compute.

Compute only: two processes of the bench `compute` at once, each on a core of its own, the same images and leaves, with
the parameters that the cluster has in the middle of its timed steps. Nothing is sent, added or updated.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from .processes import Failure, Program, run
from .setup import ROOT
from .training import WORKERS, Task

BATCHES = (128, 512)
SECONDS = 5
"""For which the two compute at once."""
START_SECONDS = 6
"""For both to read their data: who is late fails."""


def at_batch(task: Task, batch: int) -> Task:
    """The same task and as many samples in it, in steps of `batch`."""
    steps, warmup = (max(1, n * task.batch // batch) for n in (task.steps, task.warmup))
    return replace(task, batch=batch, steps=steps, warmup=warmup)


def alone(task: Task, compute: Path, checkpoint: Path) -> float:
    """Samples a second of both together."""
    cores = sorted(task.cores)
    if len(cores) < WORKERS:
        raise Failure(f"--cores: the share of two workers needs {WORKERS} of them")
    reader = argparse.ArgumentParser(add_help=False)
    reader.add_argument("--micro-batch", default="32")
    leaf = reader.parse_known_args(task.lockstep_flags)[0].micro_batch
    begin_at = time.time() + START_SECONDS
    programs = [
        Program(
            [
                compute, f"--checkpoint={checkpoint}", f"--micro-batch={leaf}", f"--rank={rank}", f"--world={WORKERS}",
                f"--begin-at={begin_at}", f"--seconds={SECONDS}",
            ],
            folder=ROOT,
            cores=frozenset({cores[rank]}),
        )
        for rank in range(WORKERS)
    ]
    outputs = run(programs, cores=task.cores, deadline_seconds=task.deadline_seconds)
    return sum(float(json.loads(output)["samples_per_s"]) for output in outputs)

"""The most memory that a coordinator and its local workers ever had, as Linux counts it: VmHWM, resident bytes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .processes import Failure, Program

MODELS = (("--model", "cnn"), ("--model", "mlp", "--hidden", "4096,4096"))
ENDS = (0, 75)
"""Exit codes of a coordinator that was asked to stop, of earlier builds too."""
LOOK_SECONDS = 0.005
"""Between two looks: what a process does in its last moments is short."""


@dataclass(frozen=True)
class Peaks:
    """In bytes, but for the parameters."""

    parameters: int
    coordinator: int
    workers: Sequence[int]


def measure(binaries: Path, model: Sequence[str], workers: int, steps: int, deadline_seconds: int) -> Peaks:
    """Trains until the checkpoint after that many steps, then has it stop; looks at all until they have ended."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        flags = ["--workers", str(workers), "--local", "--threads", "1", "--bind", "127.0.0.1:0"]
        flags += ["--dataset", "mnist", "--checkpoint-dir", folder, "--checkpoint-every", str(steps), *model]
        program = Program([binaries / "coordinator", *flags])
        cores = os.sched_getaffinity(0)
        running = processes.start(program, out, err, cores, deadline_seconds)
        try:
            peaks = watch(running, Path(folder) / f"step-{steps:012}", time.monotonic() + deadline_seconds)
        finally:
            processes.end([running])
        said = processes.content(err)
        if running.returncode not in ENDS:
            raise Failure(f"the coordinator ended with code {running.returncode}:\n{said}")
        # Workers have no children of their own: who is not the coordinator is one of them.
        coordinator = peaks.pop(running.pid, 0)
        if len(peaks) != workers or not coordinator:
            raise Failure(f"saw {len(peaks)} workers of {workers}:\n{said}")
        parameters = re.search(r"\((\d+) parameters\)", said)
        if parameters is None:
            raise Failure(f"the coordinator does not say how many parameters it trains:\n{said}")
        return Peaks(int(parameters[1]), coordinator, list(peaks.values()))


def watch(running: subprocess.Popen[bytes], checkpoint: Path, deadline: float) -> dict[int, int]:
    """The peaks by process, of the coordinator and of those that it has started. Stops it after the checkpoint."""
    peaks: dict[int, int] = {}
    asked = False
    while running.poll() is None:
        if time.monotonic() > deadline:
            raise Failure(f"there is no {checkpoint.name} within the deadline")
        for process in [running.pid, *children(running.pid)]:
            peaks[process] = max(peaks.get(process, 0), peak(process))
        if not asked and checkpoint.exists():
            asked = True
            running.send_signal(signal.SIGTERM)
        time.sleep(LOOK_SECONDS)
    return peaks


def children(parent: int) -> list[int]:
    """Processes that it has started and that live."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                # The name in brackets may hold anything; after it come the state and the parent.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent:
                found.append(int(folder.name))
    return found


def peak(process: int) -> int:
    """Its VmHWM in bytes; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0

"""Milliseconds to bring all workers' gradients together: gloo's all-reduce against Lockstep's way up and down.

Both as JSON lines `{"elements":N,"workers":W,"ms":M,"bytes":B}`, with B the bytes that all processes sent in one
exchange: 4 N 2 (W - 1) around a ring, 4 N 2 W to and from a coordinator.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .processes import Failure, Program, run
from .setup import CONTENDERS, ROOT, Python
from .training import ONE_THREAD

ELEMENTS = (93_322, 1_048_576, 25_000_000)
WORKERS = (2, 4)


@dataclass(frozen=True, order=True)
class Exchange:
    """One line."""

    elements: int
    workers: int
    ms: float
    bytes: float

    @property
    def gb_per_s(self) -> float:
        """All processes together."""
        return self.bytes / self.ms / 1e6


def parse(text: str) -> list[Exchange]:
    lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [Exchange(line["elements"], line["workers"], line["ms"], line["bytes"]) for line in lines]


def gloo(python: Python, workers: int, elements: Sequence[int], cores: set[int], deadline_seconds: int) -> str:
    """The lines of one run over the loopback device."""
    with tempfile.TemporaryDirectory() as folder:
        common: list[str | Path] = [python.path, CONTENDERS / "gloo_allreduce.py"]
        common += [f"--world={workers}", f"--rendezvous={folder}/store"]
        programs = [
            Program(
                [*common, f"--rank={rank}", "--elements", *map(str, elements)],
                {**ONE_THREAD, "GLOO_SOCKET_IFNAME": "lo"},
            )
            for rank in range(workers)
        ]
        return run(programs, cores=cores, deadline_seconds=deadline_seconds)[0]


def lockstep(bench: Path, cores: set[int], deadline_seconds: int) -> str:
    """The lines of one run of the bench `exchange`."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "exchange.jsonl"
        program = Program([bench, "--bench"], {"EXCHANGE_JSON": str(lines)}, ROOT)
        run([program], cores=cores, deadline_seconds=deadline_seconds)
        if not lines.exists():
            raise Failure(f"{bench} wrote nothing to the file named by EXCHANGE_JSON")
        return lines.read_text()

"""Markdown: what was measured round by round, the ratios of each round, and medians of both."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .exchange import Exchange
from .setup import ROOT

Round = Mapping[str, float]
"""What a round measured, by column. A column that is not there was not measured."""
ABSENT = "-"


def heading(versions: Mapping[str, str]) -> str:
    """When, where and what."""
    models = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cpu = models[0] if models else platform.machine()
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    programs = {**versions, "Python": platform.python_version(), "Lockstep": commit or "?"}
    return "\n".join([
        f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores, Linux {platform.release()},"
        f" load {os.getloadavg()[0]:.1f} before the first round.",
        ", ".join(f"{name} {version}" for name, version in programs.items()) + ".",
    ])


def rounds_table(rounds: Sequence[Round], ratios: Sequence[tuple[str, str]]) -> str:
    """Samples a second in a row for each round, then ratios (numerator, denominator), then medians."""
    columns = list(dict.fromkeys(column for measured in rounds for column in measured))
    lines = [row(["round", *columns, *(f"{top} / {bottom}" for top, bottom in ratios)])]
    lines.append(row(["---"] * (1 + len(columns) + len(ratios))))
    quotients = [[quotient(measured, *ratio) for ratio in ratios] for measured in rounds]
    for number, (measured, shares) in enumerate(zip(rounds, quotients), 1):
        speeds = [speed(measured.get(column)) for column in columns]
        lines.append(row([str(number), *speeds, *map(share, shares)]))
    medians = [speed(median([measured.get(column) for measured in rounds])) for column in columns]
    medians += [share(median(of_ratio)) for of_ratio in zip(*quotients)]
    lines.append(row([f"**{text}**" for text in ["median", *medians]]))
    return "\n".join(lines)


def exchange_table(gloo: Sequence[Sequence[Exchange]], lockstep: Sequence[Sequence[Exchange]]) -> str:
    """Medians over rounds; the ratio is the median of the rounds' ratios."""
    head = ["parameters", "workers"]
    for name in ("gloo", "Lockstep"):
        head += [f"{name}, ms", "MB moved", "GB/s"]
    lines = [row([*head, "Lockstep / gloo"]), row(["---"] * 9)]
    keys = sorted({(e.elements, e.workers) for measured in [*gloo, *lockstep] for e in measured})
    for key in keys:
        theirs, ours = at(gloo, key), at(lockstep, key)
        quotients = [b.ms / a.ms if a and b else None for a, b in zip(theirs, ours)]
        lines.append(row([f"{key[0]:,}", str(key[1]), *cells(theirs), *cells(ours), share(median(quotients))]))
    return "\n".join(lines)


def at(rounds: Sequence[Sequence[Exchange]], key: tuple[int, int]) -> list[Exchange | None]:
    """What each round has for these elements and workers."""
    return [next((e for e in measured if (e.elements, e.workers) == key), None) for measured in rounds]


def cells(measured: Sequence[Exchange | None]) -> list[str]:
    found = [e for e in measured if e]
    if not found:
        return [ABSENT] * 3
    middle = sorted(found, key=lambda e: e.ms)[len(found) // 2]
    ms = statistics.median(e.ms for e in found)
    return [f"{ms:.2f}", f"{middle.bytes / 1e6:.1f}", f"{middle.bytes / ms / 1e6:.2f}"]


def quotient(measured: Round, top: str, bottom: str) -> float | None:
    a, b = measured.get(top), measured.get(bottom)
    return a / b if a is not None and b else None


def median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def speed(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def row(cells_of_row: Sequence[str]) -> str:
    return "| " + " | ".join(cells_of_row) + " |"

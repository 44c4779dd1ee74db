"""The speed of a step that is repeated."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable


def samples_per_second(step: Callable[[], object], flags: argparse.Namespace) -> float:
    """By the median of `flags.steps` steps of `flags.batch` samples, after `flags.warmup` that don't count."""
    seconds = []
    for _ in range(flags.warmup + flags.steps):
        begun = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begun)
    return flags.batch / sorted(seconds[flags.warmup :])[flags.steps // 2]

"""One process of gloo's all-reduce over the loopback device: adds f32 tensors in place and prints times as JSON.

    gloo_allreduce.py --rank 0 --world 2 --rendezvous FILE --elements 93322 1048576

A time is the mean of a few all-reduces in a row: no barrier's cost is in it, and a process that is late once does not
look fast.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.distributed as dist

SMALL_MAX = 4_000_000
SMALL, LARGE = (4, 5, 25), (1, 1, 6)
"""All-reduces before the first time is taken; in a row for each time; times."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--world", type=int, required=True)
    parser.add_argument("--rendezvous", type=Path, required=True)
    parser.add_argument("--elements", type=int, nargs="+", required=True)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{flags.rendezvous}", rank=flags.rank, world_size=flags.world
    )
    for elements in flags.elements:
        ms = measure(elements, flags.world)
        if flags.rank == 0:
            moved = 2 * (flags.world - 1) * 4 * elements
            print(json.dumps({"elements": elements, "workers": flags.world, "ms": ms, "bytes": moved}), flush=True)
    dist.destroy_process_group()


def measure(elements: int, world: int) -> float:
    """The median, in milliseconds, of this process."""
    warmup, in_a_row, times = SMALL if elements <= SMALL_MAX else LARGE
    tensor = torch.ones(elements)
    dist.all_reduce(tensor)
    assert tensor[0] == tensor[-1] == world, "gloo adds all processes' tensors"
    # Sums of zeros stay zeros: no infinities after many rounds.
    tensor.zero_()
    for _ in range(warmup):
        dist.all_reduce(tensor)
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        for _ in range(in_a_row):
            dist.all_reduce(tensor)
        seconds.append((time.perf_counter() - begun) / in_a_row)
    return statistics.median(seconds) * 1e3


main()

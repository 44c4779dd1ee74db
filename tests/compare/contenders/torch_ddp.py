"""One process of PyTorch DDP over gloo: trains the CNN in both memory layouts and prints the speeds as a line of JSON.
With `--network FILE --samples FILE.npz` it trains what `coordinator --describe` has written instead, on those samples.

    MNIST_DIR=... torch_ddp.py --rank 0 --world 2 --rendezvous FILE --batch 128 --warmup 50 --steps 200

The training set lies in memory as bytes and a step gathers its samples by index: no data loader.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import mnist
import network
import torch
import torch.distributed as dist
import torch_cnn
from torch.nn.parallel import DistributedDataParallel


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--rank", "--world", "--batch", "--warmup", "--steps"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--rendezvous", type=Path, required=True)
    parser.add_argument("--network", type=Path, help="output of --describe [default: the CNN]")
    parser.add_argument("--samples", type=Path, help=".npz with x_train and y_train [default: MNIST]")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{flags.rendezvous}", rank=flags.rank, world_size=flags.world
    )
    arrays = network.samples(flags.samples, None) if flags.samples else mnist.load("train")
    images, labels = (torch.from_numpy(array) for array in arrays)
    images = images.reshape(*images.shape[:3], -1)
    share = flags.batch // flags.world
    order = mnist.order(len(images), flags.warmup + flags.steps, flags.batch, seed=1)
    mine = torch.from_numpy(order[:, flags.rank * share : (flags.rank + 1) * share].copy())
    results = {}
    for name, layout in torch_cnn.LAYOUTS.items():
        torch.manual_seed(1)
        module = network.torch_module(flags.network) if flags.network else torch_cnn.Cnn()
        model = module.to(memory_format=layout)
        results[name] = train(model, layout, images, labels, mine, flags.warmup) * share * flags.world
    dist.destroy_process_group()
    if flags.rank == 0:
        print(json.dumps(results), flush=True)


def train(
    model: torch.nn.Module,
    layout: torch.memory_format,
    images: torch.Tensor,
    labels: torch.Tensor,
    order: torch.Tensor,
    warmup: int,
) -> float:
    """Steps a second, after `warmup` of the steps in `order`, `[steps, samples of this process]`."""
    parallel = DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.Adam(parallel.parameters(), lr=1e-3, fused=True)
    begun = 0.0
    for step, indices in enumerate(order):
        if step == warmup:
            dist.barrier()
            begun = time.perf_counter()
        x = (images[indices].permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=layout)
        loss = torch.nn.functional.cross_entropy(parallel(x), labels[indices].long())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    dist.barrier()
    return (len(order) - warmup) / (time.perf_counter() - begun)


main()

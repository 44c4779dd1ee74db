"""Trains a network in PyTorch by Lockstep's recipe, and prints the test accuracy as a line of JSON.

    torch_train.py --network network.py --data FOLDER --seed 1 --epochs 5 --batch 128 --micro-batch 32 --lr 0.001

The recipe: first weights by He, biases 0, Adam, a cosine down to 0, batches of leaves of which each has its own batch
statistics, pixels divided by 255. The folder has four IDX files.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import network
import numpy as np
import torch
from torch import nn

TEST_BATCH = 500


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, kind in (("network", Path), ("data", Path), ("seed", int), ("epochs", int), ("batch", int), ("micro-batch", int), ("lr", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    flags = parser.parse_args()
    torch.manual_seed(flags.seed)
    torch.set_num_threads(2)
    model = network.torch_module(flags.network).to(memory_format=torch.channels_last)
    begin(model)
    leaves = -(-flags.batch // flags.micro_batch)
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            # The leaves of a step weigh a tenth together.
            layer.momentum = 1 - 0.9 ** (1 / leaves)
    images, labels = read(flags.data, "train")
    steps = -(-len(labels) // flags.batch) * flags.epochs
    optimizer = torch.optim.Adam(model.parameters(), lr=flags.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    for _ in range(flags.epochs):
        for batch in torch.randperm(len(labels)).split(flags.batch):
            optimizer.zero_grad()
            for leaf in batch.split(flags.micro_batch):
                loss = nn.functional.cross_entropy(model(pixels(images[leaf])), labels[leaf], reduction="sum")
                (loss / len(batch)).backward()
            optimizer.step()
            schedule.step()
    print(json.dumps({"accuracy": accuracy(model.eval(), *read(flags.data, "t10k"))}), flush=True)


def begin(model: nn.Module) -> None:
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def read(folder: Path, half: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = (idx(folder / f"{half}-{name}-ubyte") for name in ("images-idx3", "labels-idx1"))
    return images.reshape(*images.shape[:3], -1).permute(0, 3, 1, 2), labels.long()


def idx(path: Path) -> torch.Tensor:
    content = path.read_bytes()
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, 4).astype(int)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy())


def pixels(images: torch.Tensor) -> torch.Tensor:
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.inference_mode():
        batches = zip(images.split(TEST_BATCH), labels.split(TEST_BATCH))
        correct = sum(int((model(pixels(x)).argmax(1) == y).sum()) for x, y in batches)
    return 100 * correct / len(labels)


main()

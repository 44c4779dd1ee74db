"""Trains on MNIST in PyTorch in little time, and prints the test accuracy and the seconds of training as a line of JSON.

    MNIST_DIR=FOLDER torch_fast.py --seed 1 --passes 1.25

The recipe is that of small networks that are fast to 99 %: 24 convolutions of 5x5 and 32 of 3x3, each pooled before its
ReLU, 256 dense units, Adam with a one-cycle schedule, batches of 256, two threads. In the same run `torch.compile` took
longer, and so did contiguous images. The time has no start, no reading of files and no test in it.
"""

from __future__ import annotations

import argparse
import json
import time

import mnist
import torch
from torch import nn

BATCH = 256
TEST_BATCH = 500
RATE = 0.01
BETAS = (0.7, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--passes", type=float, required=True, help="over the training samples")
    flags = parser.parse_args()
    torch.manual_seed(flags.seed)
    torch.set_num_threads(2)
    images, labels = tensors("train")
    model = network().to(memory_format=torch.channels_last)
    steps = int(flags.passes * len(labels)) // BATCH
    order = torch.from_numpy(mnist.order(len(labels), steps, BATCH, flags.seed))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, betas=BETAS, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, cycle_momentum=False)
    for _ in range(3):
        # What is made once is not timed.
        loss(model, images[:BATCH].to(memory_format=torch.channels_last), labels[:BATCH]).backward()
        optimizer.zero_grad()
    begun = time.perf_counter()
    for batch in order:
        optimizer.zero_grad()
        loss(model, images[batch].to(memory_format=torch.channels_last), labels[batch]).backward()
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - begun
    print(json.dumps({"accuracy": accuracy(model.eval()), "seconds": seconds}), flush=True)


def network() -> nn.Module:
    """Logits `[batch, 10]` from pixels in [0, 1], `[batch, 1, 28, 28]`."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(24, 32, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10),
    )


def loss(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(model(images), labels)


def tensors(part: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = mnist.load(part)
    return torch.from_numpy(images).float().div_(255).unsqueeze(1), torch.from_numpy(labels).long()


def accuracy(model: nn.Module) -> float:
    images, labels = tensors("t10k")
    with torch.inference_mode():
        batches = zip(images.split(TEST_BATCH), labels.split(TEST_BATCH))
        correct = sum(int((model(x).argmax(1) == y).sum()) for x, y in batches)
    return 100 * correct / len(labels)


main()

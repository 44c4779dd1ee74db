"""PyTorch's gradients of the CNN on one thread, without an update, in both memory layouts; prints a line of JSON.

    MNIST_DIR=... torch_gradient.py --batch 64 --warmup 20 --steps 100
"""

from __future__ import annotations

import argparse
import json

import mnist
import timing
import torch
import torch_cnn


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--batch", "--warmup", "--steps"):
        parser.add_argument(name, type=int, required=True)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    images, labels = (torch.from_numpy(array[: flags.batch]) for array in mnist.load("train"))
    results = {}
    for name, layout in torch_cnn.LAYOUTS.items():
        model = torch_cnn.Cnn().to(memory_format=layout)

        def gradient(model: torch.nn.Module = model, layout: torch.memory_format = layout) -> None:
            x = torch_cnn.pixels(images).contiguous(memory_format=layout)
            loss = torch.nn.functional.cross_entropy(model(x), labels.long())
            model.zero_grad(set_to_none=True)
            loss.backward()

        results[name] = timing.samples_per_second(gradient, flags)
    print(json.dumps(results), flush=True)


main()

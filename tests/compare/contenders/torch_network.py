"""PyTorch's gradients of a network on one thread, without an update, in both memory layouts; prints a line of JSON.

    torch_network.py --network network.py --samples samples.npz --batch 64 --warmup 5 --steps 20
"""

from __future__ import annotations

import json

import network
import timing
import torch
import torch_cnn


def main() -> None:
    flags = network.flags()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    images, labels = (torch.from_numpy(array) for array in network.samples(flags.samples, flags.batch))
    results = {}
    for name, layout in torch_cnn.LAYOUTS.items():
        model = network.torch_module(flags.network).to(memory_format=layout)

        def gradient(model: torch.nn.Module = model, layout: torch.memory_format = layout) -> None:
            x = (images.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=layout)
            loss = torch.nn.functional.cross_entropy(model(x), labels)
            model.zero_grad(set_to_none=True)
            loss.backward()

        results[name] = timing.samples_per_second(gradient, flags)
    print(json.dumps(results), flush=True)


main()

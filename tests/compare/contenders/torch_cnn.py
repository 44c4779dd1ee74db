"""The network in PyTorch, with the names that Lockstep's checkpoints have."""

from __future__ import annotations

import torch
from torch import nn

LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


class Cnn(nn.Module):
    """Logits `[batch, 10]` from pixels in [0, 1], `[batch, 1, 28, 28]`: 93,322 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.fc1 = nn.Linear(576, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2)
        x = self.conv3(x).relu().flatten(1)
        return self.fc2(self.fc1(x).relu())


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Bytes `[batch, 28, 28]` to what the network takes."""
    return images.unsqueeze(1).float() / 255

"""Prints reference.rs: losses, logits and gradients of the three models by PyTorch in float64.

    python reference.py > reference.rs

Inputs are formulas that the Rust tests repeat: value(i) is a hash of i in [-0.5, 0.5).
"""
import torch
from torch import nn

torch.set_default_dtype(torch.float64)
SAMPLES, PICKED = 6, 12


def value(first, count):
    i = torch.arange(first, first + count, dtype=torch.int64)
    return ((i * 2654435761) % 2**32 >> 8).double() / 2**24 - 0.5


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3)
        self.fc1, self.fc2 = nn.Linear(576, 64), nn.Linear(64, 10)

    def forward(self, x):
        x = torch.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2)
        x = self.conv3(x).relu().flatten(1)
        return self.fc2(self.fc1(x).relu())


class Dense(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        self.count = len(widths) - 1
        for i in range(self.count):
            setattr(self, f"fc{i + 1}", nn.Linear(widths[i], widths[i + 1]))

    def forward(self, x):
        x = x.flatten(1)
        for i in range(self.count):
            x = getattr(self, f"fc{i + 1}")(x)
            x = x.relu() if i + 1 < self.count else x
        return x


def numbers(tensor):
    values = [f"{v:.9e}," for v in tensor.flatten().tolist()]
    lines = [" ".join(values[at : at + 6]) for at in range(0, len(values), 6)]
    return "&[\n        " + "\n        ".join(lines) + "\n    ]"


def show(name, model):
    offset = 0
    for _, parameter in sorted(model.named_parameters()):
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 25
        # About 4 / sqrt(fan_in), as a power of two so that f32 and f64 hold the same values.
        scale = 2.0 ** (2 - (fan_in.bit_length() - 1) // 2)
        with torch.no_grad():
            parameter.copy_((value(offset, parameter.numel()) * scale).float().double().view_as(parameter))
        offset += parameter.numel()
    pixels = ((value(7, SAMPLES * 784) + 0.5) * 256).floor()
    x = (pixels.float() / 255).double().view(SAMPLES, 1, 28, 28)
    labels = (torch.arange(SAMPLES) * 3) % 10
    logits = model(x)
    loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
    loss.backward()
    print("#[rustfmt::skip]")
    print(f"pub(super) const {name}: Reference = Reference {{")
    print(f"    loss_sum: {loss.item():.12e},")
    print(f"    logits: {numbers(logits)},")
    print("    gradients: &[")
    for parameter_name, parameter in sorted(model.named_parameters()):
        gradient = parameter.grad.flatten()
        picked = gradient[torch.arange(PICKED) * (gradient.numel() - 1) // (PICKED - 1)]
        print(f'        ("{parameter_name}", {gradient.abs().max():.9e}, {gradient.sum():.9e}, {numbers(picked)}),')
    print("    ],\n};\n")


print("//! Written by reference.py with PyTorch " + torch.__version__.split("+")[0] + " in float64; not to be edited.\n")
print("use super::tests::Reference;\n")
show("CNN", Cnn())
show("MLP", Dense(784, 32, 16, 10))
show("LINEAR", Dense(784, 10))

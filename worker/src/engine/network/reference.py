"""Prints reference.rs: losses, logits and gradients of networks by PyTorch in float64.

    python reference.py COORDINATOR > reference.rs

COORDINATOR is the program: its --describe writes each network as a PyTorch module. Inputs are formulas that
the Rust tests repeat: value(i) is a hash of i in [-0.5, 0.5).
"""
import subprocess
import sys

import torch
from torch import nn

torch.set_default_dtype(torch.float64)
SAMPLES = 6
# Name, layers, and numbers that are kept of each tensor's gradient.
NETWORKS = [
    ("CNN", "cnn", 6),
    ("MLP", "mlp(32,16)", 6),
    ("LINEAR", "linear", 6),
    ("STRIDES", "conv(6,5,stride=2,padding=2) relu conv(8,3,padding=1,groups=2) relu maxpool(3,stride=2) flatten "
                "dense", 4),
    ("ACTIVATIONS", "conv(4,3,stride=2) leaky_relu(0.1) conv(4,3) gelu conv(4,1) silu flatten dense(12) tanh "
                    "dense(8) sigmoid dense", 4),
    ("POOLS", "conv(5,3) avgpool(2) relu conv(6,3,padding=1) avgpool(3,stride=2) tanh maxpool(2) flatten dense", 4),
    ("BATCH_NORM", "conv(4,3,stride=2,bias=false) batchnorm relu conv(6,3,bias=false) batchnorm tanh maxpool(2) flatten "
                   "dense(9) batchnorm relu dense", 4),
    ("NORMS", "conv(6,5,stride=3) groupnorm(3) relu conv(4,3) layernorm silu flatten layernorm dense(8) groupnorm(2) "
              "gelu dense", 4),
    ("DEPTHWISE", "conv(8,3,stride=2,padding=1) relu conv(8,3,padding=1,groups=8,bias=false) batchnorm relu conv(12,1) "
                  "relu globalavgpool dense", 4),
    ("RESIDUAL", "conv(4,3,stride=2) residual conv(6,3,stride=2,padding=1) relu conv(6,3,padding=1) shortcut "
                 "conv(6,1,stride=2) add relu residual tanh add flatten dropout(0) dense", 4),
    ("NESTED", "avgpool(4) residual conv(3,3,padding=1) residual relu conv(3,1) add shortcut conv(3,1) add gelu "
               "flatten residual dense(147) add dense", 4),
    ("RESNET", "resnet(1)", 4),
    ("TINY", "tiny", 4),
]


def value(first, count):
    i = torch.arange(first, first + count, dtype=torch.int64)
    return ((i * 2654435761) % 2**32 >> 8).double() / 2**24 - 0.5


def module(coordinator, layers):
    command = [coordinator, "--describe", "--dataset", "digits", "--model", layers]
    names = {}
    exec(subprocess.run(command, check=True, capture_output=True, text=True).stdout, names)
    return names["Network"]()


def fill(model):
    offset = 0
    for name, tensor in sorted(model.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        fan_in = tensor[0].numel() if tensor.dim() > 1 else 25
        # About 4 / sqrt(fan_in), as a power of two so that f32 and f64 hold the same values.
        scale = 2.0 ** (2 - (fan_in.bit_length() - 1) // 2)
        values = value(offset, tensor.numel())
        # A variance is positive.
        values = values + 1 if name.endswith("running_var") else values * scale
        tensor.copy_(values.float().double().view_as(tensor))
        offset += tensor.numel()


def measured(model):
    """What a leaf puts in the places of running statistics: its mean and variance, times its samples."""
    found = {}

    def hook(name):
        def see(layer, inputs, _):
            x = inputs[0].detach()
            axes = [at for at in range(x.dim()) if at != 1]
            found[f"{name}.running_mean"] = SAMPLES * x.mean(axes)
            found[f"{name}.running_var"] = SAMPLES * x.var(axes, unbiased=True)

        return see

    for name, layer in model.named_modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.register_forward_hook(hook(name))
    return found


def numbers(tensor):
    values = [f"{v:.9e}," for v in tensor.flatten().tolist()]
    lines = [" ".join(values[at : at + 6]) for at in range(0, len(values), 6)]
    if len(lines) == 1:
        return "&[" + lines[0].removesuffix(",") + "]"
    return "&[\n        " + "\n        ".join(lines) + "\n    ]"


def show(name, model, layers, picked):
    """Logits are those of the first two samples."""
    with torch.no_grad():
        fill(model)
    pixels = ((value(7, SAMPLES * 784) + 0.5) * 256).floor()
    x = (pixels.float() / 255).double().view(SAMPLES, 1, 28, 28)
    labels = (torch.arange(SAMPLES) * 3) % 10
    logits = model.eval()(x).detach()
    statistics = measured(model.train())
    loss = nn.functional.cross_entropy(model(x), labels, reduction="sum")
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()} | statistics
    print("#[rustfmt::skip]")
    print(f"pub(super) const {name}: Reference = Reference {{")
    print(f'    layers: "{layers}",')
    print(f"    loss_sum: {loss.item():.12e},")
    print(f"    logits: {numbers(logits[:2])},")
    print("    gradients: &[")
    for tensor, gradient in sorted(gradients.items()):
        gradient = gradient.flatten()
        some = gradient[torch.arange(picked) * (gradient.numel() - 1) // (picked - 1)]
        print(f'        ("{tensor}", {gradient.abs().max():.9e}, {gradient.sum():.9e}, {numbers(some)}),')
    print("    ],\n};\n")


print("//! Written by reference.py with PyTorch " + torch.__version__.split("+")[0] + " in float64; not to be edited.\n")
print("use super::tests::Reference;\n")
for name, layers, picked in NETWORKS:
    show(name, module(sys.argv[1], layers), layers, picked)
names = ", ".join(f"&{name}" for name, _, _ in NETWORKS)
print(f"#[rustfmt::skip]\npub(super) const ALL: [&Reference; {len(NETWORKS)}] = [{names}];")

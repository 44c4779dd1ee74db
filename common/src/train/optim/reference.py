"""Prints reference.rs: parameters after 100 steps of PyTorch's optimizers, in float64.

    python reference.py > reference.rs

The gradient at step t is value(3 t + 11 i) + 0.1 p, with value(i) a hash of i in [-0.5, 0.5).
"""
import torch

torch.set_default_dtype(torch.float64)
STEPS, SIZE = 100, 5


def value(i):
    return ((i * 2654435761) % 2**32 >> 8) / 2**24 - 0.5


def run(name, optimizer, clip=None):
    p = torch.nn.Parameter(torch.tensor([4 * value(i) for i in range(SIZE)]).float().double())
    optimizer = optimizer([p])
    for t in range(STEPS):
        noise = torch.tensor([value(3 * t + 11 * i) for i in range(SIZE)])
        p.grad = noise + 0.1 * p.detach()
        if clip:
            torch.nn.utils.clip_grad_norm_([p], clip)
        optimizer.step()
    print(f"pub(super) const {name}: [f64; {SIZE}] = [{', '.join(f'{v:.12e}' for v in p.tolist())}];")


print("//! Written by reference.py with PyTorch " + torch.__version__.split("+")[0] + " in float64; not to be edited.\n")
o = torch.optim
run("SGD", lambda p: o.SGD(p, lr=0.05))
run("SGD_DECAY", lambda p: o.SGD(p, lr=0.05, weight_decay=0.1))
run("SGD_MOMENTUM", lambda p: o.SGD(p, lr=0.05, momentum=0.9))
run("SGD_NESTEROV", lambda p: o.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01))
run("ADAM", lambda p: o.Adam(p, lr=0.01))
run("ADAM_DECAY", lambda p: o.Adam(p, lr=0.01, weight_decay=0.1))
run("ADAMW", lambda p: o.AdamW(p, lr=0.01, weight_decay=0.1))
run("SGD_CLIPPED", lambda p: o.SGD(p, lr=0.05), clip=0.4)

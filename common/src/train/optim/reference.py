"""Prints reference.rs: parameters after 100 steps of PyTorch's optimizers and of Lion, in float64.

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


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2."""

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))
        self.m = {}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
            for p in group["params"]:
                m, g = self.m.setdefault(p, torch.zeros_like(p)), p.grad
                c = beta1 * m + (1 - beta1) * g
                # Where the sign is that of a rounding error, float32 could have another.
                assert (c.abs() > 1e-6).all()
                p -= lr * (torch.sign(c) + decay * p)
                m.copy_(beta2 * m + (1 - beta2) * g)


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
run("RMSPROP", lambda p: o.RMSprop(p, lr=0.01))
run("RMSPROP_DECAY", lambda p: o.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, weight_decay=0.1))
run("RMSPROP_MOMENTUM", lambda p: o.RMSprop(p, lr=0.01, momentum=0.5))
run("LION", lambda p: Lion(p, lr=0.01))
run("LION_DECAY", lambda p: Lion(p, lr=0.005, betas=(0.95, 0.98), weight_decay=0.1))

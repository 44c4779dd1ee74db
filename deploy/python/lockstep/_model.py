"""A trained network as a module of PyTorch or a model of Keras."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

from ._programs import said


def load(checkpoint: str | os.PathLike, to: str = "torch", weights: str | None = None):
    """The network of a checkpoint with its weights.

    `checkpoint` is a folder `step-...`, a folder with several (a run's too), of which the newest is taken, or a
    file of `lockstep export --format safetensors`. `weights` is "last", "averaged" or "best".

    Its input is pixels / 255 in 0 to 1: `[n, channels, height, width]` for `to="torch"`, and
    `[n, height, width, channels]` for `to="keras"`. A standard normalization is in the network. The output is logits.
    The classes' names are its attribute `classes`.
    """
    if to not in ("torch", "keras"):
        raise ValueError(f"to is 'torch' or 'keras', not {to!r}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "network.py"
        export(checkpoint, weights, "pytorch-module", source)
        if to == "keras":
            from ._keras import build

            path = Path(folder) / "model.weights.h5"
            export(checkpoint, weights, "keras", path)
            return build(constants(source.read_text()), path)
        path = Path(folder) / "model.pth"
        export(checkpoint, weights, "pytorch", path)
        return torch_module(source.read_text(), path)


def export(checkpoint: str | os.PathLike, weights: str | None, format: str, output: Path) -> None:
    flags = ["--checkpoint", os.fspath(checkpoint), "--format", format, "--output", str(output)]
    said("lockstep", "export", *flags, *(["--weights", weights] if weights else []))


def constants(source: str) -> SimpleNamespace:
    """The constants of a module's source, which needs no PyTorch."""
    import ast

    found = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return SimpleNamespace(**found)


def torch_module(source: str, path: Path):
    import torch

    names: dict = {}
    exec(compile(source, "network.py", "exec"), names)
    network = names["Network"]()
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    if any(names["MEAN"]) or any(deviation != 1 for deviation in names["DEVIATION"]):
        network = torch.nn.Sequential(normalize(names["MEAN"], names["DEVIATION"]), network)
    network.classes = names["CLASSES"]
    return network.eval()


def normalize(mean: list[float], deviation: list[float]):
    import torch

    class Normalize(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor(mean)[:, None, None])
            self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])

        def forward(self, x):
            return (x - self.mean) / self.deviation

    return Normalize()

"""A network that `coordinator --describe` has written, and samples of its form."""

from __future__ import annotations

import argparse
import re
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROW = re.compile(r"# +\d+  (\S+)")


@dataclass(frozen=True)
class Layer:
    """A row of the table: `conv(16,3,stride=2)` has the numbers 16 and 3, and a stride."""

    name: str
    numbers: list[float]
    settings: dict[str, str]

    def get(self, setting: str, default: int) -> int:
        return int(self.settings.get(setting, default))


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", type=Path, required=True, help="output of --describe")
    parser.add_argument("--samples", type=Path, required=True, help=".npz with x_train and y_train")
    for name in ("--batch", "--warmup", "--steps"):
        parser.add_argument(name, type=int, required=True)
    return parser.parse_args()


def layers(network: Path) -> list[Layer]:
    return [layer(row) for row in ROW.findall(network.read_text())]


def layer(text: str) -> Layer:
    name, _, inside = text.removesuffix(")").partition("(")
    parts = [part for part in inside.split(",") if part]
    numbers = [float(part) for part in parts if "=" not in part]
    return Layer(name, numbers, dict(part.split("=") for part in parts if "=" in part))


def torch_module(network: Path) -> Any:
    return runpy.run_path(str(network))["Network"]()


def samples(path: Path, batch: int | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The first images `[batch, height, width, channels]` and labels `[batch]`, or all."""
    with np.load(path) as arrays:
        images, labels = arrays["x_train"][:batch], arrays["y_train"][:batch]
    return images.reshape(*images.shape[:3], -1), labels.astype(np.int64)

"""Reads MNIST's four IDX files into numpy arrays. What is in a file is not checked against a digest: Lockstep does."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = {"images-idx3": 16, "labels-idx1": 8}
SIDE = 28


def load(part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images `[samples, 28, 28]` and labels `[samples]` of `train` or `t10k`, from the folder `MNIST_DIR`."""
    images, labels = read(part, "images-idx3"), read(part, "labels-idx1")
    return images.reshape(-1, SIDE, SIDE), labels


def read(part: str, kind: str) -> NDArray[np.uint8]:
    plain = Path(os.environ["MNIST_DIR"]) / f"{part}-{kind}-ubyte"
    packed = plain.with_name(plain.name + ".gz")
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    return np.frombuffer(content, np.uint8, offset=HEADER_BYTES[kind]).copy()


def order(samples: int, steps: int, batch: int, seed: int) -> NDArray[np.int64]:
    """Which samples each step takes, `[steps, batch]`: every one once an epoch, each epoch shuffled anew."""
    rng = np.random.default_rng(seed)
    epochs = -(-steps * batch // samples)
    indices = np.concatenate([rng.permutation(samples) for _ in range(epochs)])
    return indices[: steps * batch].reshape(steps, batch)

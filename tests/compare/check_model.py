"""Opens a checkpoint's model.safetensors in PyTorch, strictly, and prints its accuracy on MNIST's test set.

    MNIST_DIR=... python check_model.py checkpoints/step-000000000469

The coordinator's own test accuracy may differ by a sample or so whose two best logits are nearly equal.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "contenders"))
sys.dont_write_bytecode = True

import mnist
import torch
import torch_cnn
from safetensors.torch import load_file

BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="the folder that holds model.safetensors")
    checkpoint: Path = parser.parse_args().checkpoint
    model = torch_cnn.Cnn()
    model.load_state_dict(load_file(checkpoint / "model.safetensors"), strict=True)
    images, labels = (torch.from_numpy(array) for array in mnist.load("t10k"))
    correct, loss = 0, 0.0
    with torch.inference_mode():
        for x, y in zip(images.split(BATCH), labels.long().split(BATCH)):
            logits = model(torch_cnn.pixels(x))
            correct += int((logits.argmax(1) == y).sum())
            loss += float(torch.nn.functional.cross_entropy(logits, y, reduction="sum"))
    accuracy = 100 * correct / len(labels)
    print(f"test: accuracy {accuracy:.2f} % ({correct} of {len(labels)}), mean loss {loss / len(labels):.4f}")


main()

"""Opens an ONNX file of lockstep export in onnxruntime and in OpenCV, and compares logits and predictions on
MNIST's test images (or those of --data) with the ones of lockstep evaluate --logits.

    lockstep export --checkpoint CHECKPOINT --format onnx --output model.onnx
    lockstep evaluate --checkpoint CHECKPOINT --logits logits.npy
    MNIST_DIR=... python check_onnx.py model.onnx logits.npy [--reader onnxruntime|opencv] [--apart 2]

Predictions may differ where the two best logits are nearly equal: the check fails where more than --apart do, or, with
--within, where a logit differs by more. It prints how many images are right.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "contenders"))
sys.dont_write_bytecode = True

import mnist
import numpy as np

BATCH = 500


def onnxruntime_logits(path: Path, images: np.ndarray) -> tuple[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batches = (session.run(["logits"], {"images": images[at : at + BATCH]})[0] for at in range(0, len(images), BATCH))
    return f"onnxruntime {onnxruntime.__version__}", np.concatenate(list(batches))


def opencv_logits(path: Path, images: np.ndarray) -> tuple[str, np.ndarray]:
    import cv2

    network = cv2.dnn.readNetFromONNX(str(path))
    rows = []
    for at in range(0, len(images), BATCH):
        network.setInput(images[at : at + BATCH])
        rows.append(network.forward().copy())
    return f"OpenCV {cv2.__version__}", np.concatenate(rows)


READERS = {"onnxruntime": onnxruntime_logits, "opencv": opencv_logits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("logits", type=Path)
    parser.add_argument("--reader", choices=READERS, default="onnxruntime")
    parser.add_argument("--apart", type=int, default=2, help="most predictions that may differ")
    parser.add_argument("--within", type=float, help="largest difference of a logit")
    arguments = parser.parse_args()
    images, labels = mnist.load("t10k")
    images = images.reshape(len(images), 1, 28, 28).astype(np.float32) / np.float32(255)
    ours = np.load(arguments.logits)
    reader, theirs = READERS[arguments.reader](arguments.model, images)
    apart = int((ours.argmax(1) != theirs.argmax(1)).sum())
    difference = float(np.abs(ours - theirs).max())
    right = int((theirs.argmax(1) == labels).sum())
    own = int((ours.argmax(1) == labels).sum())
    print(f"{reader}: {right} of {len(labels)} right, lockstep {own}; {apart} predictions differ, logits by {difference:.1e}")
    if apart > arguments.apart or (arguments.within is not None and not difference <= arguments.within):
        sys.exit(1)


if __name__ == "__main__":
    main()

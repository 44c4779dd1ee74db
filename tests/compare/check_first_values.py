"""Trains the cnn for a moment in PyTorch and in Keras, has the coordinator test the files that they save, and
compares its accuracy on MNIST's test set with theirs.

    MNIST_DIR=... python check_first_values.py FOLDER [--programs target/release] [--steps 100]

FOLDER gets the files. The accuracies may differ by a sample or so whose two best logits are nearly equal; the
check fails where they differ by more than two.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "contenders"))
sys.dont_write_bytecode = True

import mnist

BATCH = 128
TEST_BATCH = 1000
SAMPLES_APART_MAX = 2


# Each program in a process of its own: both have an LLVM, and they do not agree.
def torch_correct(path: Path, steps: int) -> int:
    import torch
    import torch_cnn

    torch.manual_seed(1)
    model = torch_cnn.Cnn()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    images, labels = (torch.from_numpy(array) for array in mnist.load("train"))
    for indices in mnist.order(len(labels), steps, BATCH, 1):
        loss = torch.nn.functional.cross_entropy(model(torch_cnn.pixels(images[indices])), labels[indices].long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), path)
    images, labels = (torch.from_numpy(array) for array in mnist.load("t10k"))
    with torch.inference_mode():
        batches = zip(images.split(TEST_BATCH), labels.split(TEST_BATCH))
        return sum(int((model(torch_cnn.pixels(x)).argmax(1) == y).sum()) for x, y in batches)


def keras_correct(path: Path, steps: int) -> int:
    import tf_cnn
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    model = tf_cnn.network()
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    images, labels = mnist.load("train")
    for indices in mnist.order(len(labels), steps, BATCH, 1):
        model.train_on_batch(tf_cnn.pixels(tf.constant(images[indices])), labels[indices])
    model.save_weights(path)
    images, labels = mnist.load("t10k")
    logits = model.predict(tf_cnn.pixels(tf.constant(images)), TEST_BATCH, verbose=0)
    return int((logits.argmax(1) == labels).sum())


def our_correct(path: Path, programs: Path) -> int:
    command = [programs / "coordinator", "--workers", "1", "--local", "--dataset", "mnist", "--progress", "off"]
    command += ["--init-from", path, "--max-steps", "0", "--checkpoint-dir", f"{path}.run", "--resume", "never"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^test: accuracy .*\((\d+) of \d+\)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not found:
        sys.exit(f"the coordinator failed with code {done.returncode}\n{done.stdout}{done.stderr}")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="gets the files")
    parser.add_argument("--programs", type=Path, default=Path("target/release"), help="folder of the coordinator")
    parser.add_argument("--steps", type=int, default=100, help="training steps in each program")
    flags = parser.parse_args()
    flags.folder.mkdir(parents=True, exist_ok=True)
    trained = {"PyTorch": (torch_correct, "torch.pth"), "Keras": (keras_correct, "keras.weights.h5")}
    apart = 0
    for program, (train, name) in trained.items():
        path = flags.folder / name
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            theirs = pool.apply(train, (path, flags.steps))
        ours = our_correct(path, flags.programs)
        print(f"{program}: {theirs} correct there, {ours} here, of the same file", flush=True)
        apart = max(apart, abs(theirs - ours))
    sys.exit(f"{apart} samples apart" if apart > SAMPLES_APART_MAX else 0)


if __name__ == "__main__":
    main()

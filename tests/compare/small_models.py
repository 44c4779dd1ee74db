"""Makes small models of one that was trained on MNIST, and prints a table: test accuracy, bytes, time and memory.

    MNIST_DIR=... python small_models.py FOLDER [--programs target/release] [--epochs 3] [--tiny-epochs 30]

FOLDER gets all checkpoints and files; what is there already is not trained again. The first model is that of
recipes/digits.toml. Times are of the programs in C, compiled with -O2, on one core: the median of five rounds over 200
images. Bytes are those of the program's numbers, memory those of its buffers.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "contenders"))
sys.dont_write_bytecode = True

import mnist
import numpy as np

ROOT = Path(__file__).parents[2]
AUGMENT = "rotate(8) shift(0.06) scale(0.06) shear(5)"


class Bench:
    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.coordinator, self.lockstep = programs / "coordinator", programs / "lockstep"
        images, _ = mnist.load("t10k")
        self.images = np.ascontiguousarray(images[:200].reshape(200, 784).astype(np.uint8))

    def said(self, program: Path, *flags: object) -> str:
        command = [str(word) for word in (program, *flags)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nended with code {done.returncode}\n{done.stderr}")
        return done.stdout

    def train(self, name: str, *flags: object) -> Path:
        """The checkpoint of that name, trained if it is not there."""
        place = self.folder / name
        if not (place / "done").exists():
            begun = time.monotonic()
            self.said(self.coordinator, "--workers", 2, "--local", "--dataset", "mnist", "--checkpoint-dir", place, *flags)
            (place / "done").write_text("")
            print(f"{name}: trained in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        return place

    def compressed(self, model: Path, name: str, *how: object) -> Path:
        path = self.folder / name
        self.said(self.lockstep, "compress", "--checkpoint", model, "--dataset", "mnist", *how, "--output", path)
        return path

    def accuracy(self, model: Path, *flags: object) -> float:
        said = self.said(self.lockstep, "evaluate", "--checkpoint", model, "--dataset", "mnist", "--json", *flags)
        return 100 * json.loads(said)["accuracy"]

    def row(self, name: str, model: Path, int8: bool = False, flags: tuple[object, ...] = ()) -> None:
        source = self.folder / (re.sub(r"\W+", "_", name) + ".c")
        if int8:
            said = self.said(
                self.lockstep, "compress", "--checkpoint", model, "--dataset", "mnist", "--int8", "--format", "c",
                "--output", source, *flags,
            )
            accuracy = float(re.search(r"test accuracy .* ([\d.]+) %\n", said).group(1))
        else:
            self.said(self.lockstep, "export", "--checkpoint", model, "--format", "c", "--output", source, *flags)
            accuracy = self.accuracy(model, *flags)
        head = " ".join(source.read_text()[:4000].split())
        constants, buffers = re.search(r"uses (\d+) bytes of constants and (\d+) bytes of static buffers", head).groups()
        print(f"| {name} | {accuracy:.2f} % | {int(constants):,} | {self.microseconds(source):,.0f} | {int(buffers):,} |", flush=True)

    def microseconds(self, source: Path) -> float:
        """Of an image on one core."""
        built = source.with_suffix(".so")
        subprocess.run(["cc", "-std=c99", "-O2", "-fPIC", "-shared", source, "-o", built], check=True)
        predict = ctypes.CDLL(str(built)).lockstep_predict
        logits = np.zeros(10, np.int64)

        def one_round() -> float:
            begun = time.process_time()
            for image in self.images:
                predict(ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(logits.ctypes.data))
            return 1e6 * (time.process_time() - begun) / len(self.images)

        return statistics.median(one_round() for _ in range(5))

    def packed(self, name: str, file: Path) -> None:
        print(f"{name}: {file.stat().st_size:,} bytes, {len(gzip.compress(file.read_bytes())):,} packed with gzip")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--programs", type=Path, default=ROOT / "target/release")
    parser.add_argument("--epochs", type=int, default=3, help="of training on")
    parser.add_argument("--tiny-epochs", type=int, default=30)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["MNIST_DIR"] = str(Path(os.environ["MNIST_DIR"]).resolve())
    bench = Bench(folder, arguments.programs.resolve())
    on = ["--epochs", arguments.epochs, "--lr", 0.0005, "--micro-batch", 64, "--augment", "shift(0.06) rotate(6)"]
    print("| model | test accuracy | bytes | µs an image | memory |\n|---|---|---|---|---|")
    large = bench.train("large", "--config", "recipes/digits.toml")
    bench.row("cnn", large)
    bench.row("int8", large, int8=True)
    bench.row("int8, aware", bench.train("aware", "--init-from", large, "--quantise-aware", *on), int8=True)
    pruned = {}
    for share in (50, 75):
        file = bench.compressed(large, f"pruned{share}.safetensors", "--prune", share / 100)
        model = bench.train(f"pruned{share}", "--init-from", file, "--mask", "*.weight", *on)
        bench.row(f"pruned by {share} %", model)
        pruned[share] = folder / f"tuned{share}.safetensors"
        bench.said(bench.lockstep, "export", "--checkpoint", model, "--format", "safetensors", "--output", pruned[share])
    half = bench.compressed(large, "half.safetensors", "--prune-channels", 0.5)
    layers = bench.said(bench.lockstep, "compress", "--checkpoint", large, "--dataset", "mnist", "--prune-channels", 0.5,
                        "--output", half)
    network = re.search(r"^network +(.*)$", layers, re.MULTILINE).group(1)
    bench.row("channels halved", bench.train("half", "--init-from", half, "--model", network, *on))
    tiny = bench.train("tiny", "--model", "tiny", "--epochs", arguments.tiny_epochs, "--micro-batch", 64, "--schedule",
                       "one-cycle", "--lr", 0.01, "--augment", AUGMENT, "--distil", large, "--distil-weight", 0.7,
                       "--distil-temperature", 3, "--quantise-aware", "--average", "ema(0.999)")
    averaged = ("--weights", "averaged")
    bench.row("tiny, distilled", tiny, flags=averaged)
    bench.row("tiny, distilled, int8", tiny, int8=True, flags=averaged)
    small = bench.train("small", "--config", "recipes/small.toml", "--distil", large, "--distil-weight", 0.6,
                        "--distil-temperature", 3)
    bench.row("small.toml, distilled", small, flags=averaged)
    bench.row("small.toml, distilled, int8", small, int8=True, flags=averaged)
    whole = folder / "large.safetensors"
    bench.said(bench.lockstep, "export", "--checkpoint", large, "--format", "safetensors", "--output", whole)
    for name, file in (("\ncnn", whole), ("pruned by 50 %", pruned[50]), ("pruned by 75 %", pruned[75])):
        bench.packed(name, file)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What TLS costs a training: two workers of one thread over TCP on loopback, without and with tokens, in turn.

    tls_cost.py FOLDER

FOLDER has the programs, such as target/release. A pair is one run of each, begun by either in turn: the CNN (93,322
parameters) on the embedded digits, or on MNIST if MNIST_DIR is set. Prints samples per second of each pair, and the
medians of the ratios with TLS to without: of samples per second, and of samples per CPU second of all three processes,
from their start to their end, which other load on the machine disturbs less. All runs have to end with the same bits.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

TRAINING = re.compile(r"training +[\d.]+ s, (\d+) samples/s")
MODEL = re.compile(r"model\.safetensors +sha256 (\w+)")
LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("programs", type=Path)
    parser.add_argument("--pairs", type=int, default=5, help="for each batch size [default: %(default)s]")
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        identity = Path(place) / "identity"
        for batch in args.batch:
            ratios, thrift = [], []
            for pair in range(args.pairs):
                rates = {}
                for tls in [pair % 2 == 0, pair % 2 == 1]:
                    rates[tls] = train(args, batch, identity if tls else None)
                if rates[True][1] != rates[False][1]:
                    raise SystemExit("the bits differ")
                ratios.append(rates[True][0] / rates[False][0])
                thrift.append(rates[False][2] / rates[True][2])
                print(
                    f"batch {batch}: plain {rates[False][0]}, TLS {rates[True][0]} samples/s, {ratios[-1]:.3f};"
                    f" by CPU {thrift[-1]:.3f}"
                )
            medians = [statistics.median(values) for values in (ratios, thrift)]
            print(f"batch {batch}: TLS / plain, median of {args.pairs}: {medians[0]:.3f}, by CPU {medians[1]:.3f}")


def train(args: argparse.Namespace, batch: int, identity: Path | None) -> tuple[int, str, float]:
    """The samples per second of one run, the digest of its model, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--workers", "2", "--bind", "127.0.0.1:0", "--checkpoint-dir", f"{folder}/checkpoints"]
        flags += ["--batch-size", str(batch), "--epochs", str(args.epochs), "--checkpoint-every", "0"]
        flags += ["--dataset", "mnist" if os.environ.get("MNIST_DIR") else "digits", "--progress", "off"]
        if identity:
            flags += ["--identity", str(identity)]
        pipe = subprocess.PIPE
        coordinator = subprocess.Popen(
            [args.programs / "coordinator", *flags], stdout=pipe, stderr=pipe, text=True
        )
        workers = []
        try:
            said = ""
            while not (found := LISTENING.search(said)):
                line = coordinator.stderr.readline()
                if not line:
                    raise SystemExit(said)
                said += line
            join = ["--connect", found[1], "--threads", "1"]
            if identity:
                join += ["--token-file", str(identity / "tokens" / "default")]
            for name in ["left", "right"]:
                command = [args.programs / "worker", *join, "--name", name]
                workers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            output, errors = coordinator.communicate(timeout=600)
            rate, model = TRAINING.search(output), MODEL.search(output)
            if not (rate and model):
                raise SystemExit(output + errors)
            for worker in workers:
                worker.wait(timeout=60)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return int(rate[1]), model[1], spent
        finally:
            for process in [*workers, coordinator]:
                if process.poll() is None:
                    process.terminate()
                process.wait(timeout=60)


if __name__ == "__main__":
    main()

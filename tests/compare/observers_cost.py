#!/usr/bin/env python3
"""What it costs to watch a run: the same run in turn with nothing but metrics.jsonl, and with every observer.

    cargo build --release
    tests/compare/observers_cost.py target/release --pairs 20

Every observer: --run-dir (events, TensorBoard's file, report), --http with a reader of the stream and a scrape of
/metrics each second. Compared are CPU seconds a step (coordinator and its two local workers, from their start to their
end) and the time of the steps as metrics.jsonl has it, as the median of the pairs' ratios with the range of its middle half. The data set is the embedded one.
With --readers N the page has N readers that never read what they ask for, instead of the one that does; then the
other side is the same load on a bare listener, which accepts and never answers.
"""

import argparse
import http.client
import json
import pathlib
import resource
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Reader:
    """Follows the page as a browser does, and scrapes as Prometheus does, until it is over."""

    def __init__(self, port):
        self.port, self.bytes, self.over = port, 0, False
        self.threads = [threading.Thread(target=self.follow, daemon=True), threading.Thread(target=self.scrape, daemon=True)]
        for thread in self.threads:
            thread.start()

    def follow(self):
        while not self.over:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/events", timeout=5) as stream:
                    while part := stream.read1(1 << 16):
                        self.bytes += len(part)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)

    def scrape(self):
        while not self.over:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5).read()
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(1)


class Silent:
    """Many connections that ask for everything and never read; they come back when they are closed."""

    def __init__(self, port, count):
        self.port, self.over = port, False
        self.thread = threading.Thread(target=self.press, args=(count,), daemon=True)
        self.thread.start()

    def press(self, count):
        streams = [None] * count
        while not self.over:
            for number in range(count):
                if streams[number] is None:
                    streams[number] = self.ask(number)
                elif not self.is_open(streams[number]):
                    streams[number].close()
                    streams[number] = None
            time.sleep(0.05)

    def ask(self, number):
        stream = socket.socket()
        stream.setblocking(False)
        stream.connect_ex(("127.0.0.1", self.port))
        path = ["/api/events", "/api/run"][number % 2]
        time.sleep(0.001)
        try:
            head = b"" if number % 5 == 4 else b"\r\n"
            stream.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + head)
        except OSError:
            stream.close()
            return None
        return stream

    @staticmethod
    def is_open(stream):
        try:
            return stream.send(b"") == 0 and stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        except OSError:
            return False


class Bare:
    """A listener that accepts and never answers."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(256)
        self.port, self.held = self.listener.getsockname()[1], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                self.held.append(self.listener.accept()[0])
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for stream in self.held:
            stream.close()


def run(programs, steps, flags):
    """CPU seconds of a run, and seconds of its steps."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [programs / "coordinator", "--workers", "2", "--local", "--threads", "1", "--dataset", "digits", "--model", "cnn",
                   "--max-steps", str(steps), "--val-split", "0", "--progress", "off", *flags(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        lines = (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()
        return cpu, max(json.loads(line).get("train_seconds", 0) for line in lines)


def watched(programs, steps, readers):
    port = free_port()
    reader = Silent(port, readers) if readers else Reader(port)
    took = run(programs, steps, lambda folder: ["--run-dir", folder, "--http", f"127.0.0.1:{port}"])
    reader.over = True
    if not readers and reader.bytes == 0:
        raise SystemExit("nothing was read from the page")
    return took


def alone(programs, steps, readers):
    if not readers:
        return run(programs, steps, lambda folder: ["--checkpoint-dir", folder])
    bare = Bare()
    silent = Silent(bare.port, readers)
    took = run(programs, steps, lambda folder: ["--run-dir", folder, "--http", "127.0.0.1:0"])
    silent.over = True
    bare.close()
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=pathlib.Path, help="folder of coordinator and worker")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--readers", type=int, default=0, help="readers that never read")
    args = parser.parse_args()
    ratios = []
    for pair in range(args.pairs):
        sides = [watched, alone] if pair % 2 else [alone, watched]
        took = {side: side(args.programs.resolve(), args.steps, args.readers) for side in sides}
        ratios.append([took[watched][at] / took[alone][at] for at in range(2)])
        (cpu, wall), (cpu_alone, wall_alone) = took[watched], took[alone]
        print(f"pair {pair}: CPU {cpu:.2f} s to {cpu_alone:.2f} s, steps {wall:.2f} s to {wall_alone:.2f} s", flush=True)
    for name, at in [("CPU seconds a step", 0), ("time of the steps", 1)]:
        own = sorted(ratio[at] for ratio in ratios)
        quarter = len(own) // 4
        print(f"{name}: {statistics.median(own):.4f} (middle half {own[quarter]:.4f} to {own[-1 - quarter]:.4f})")


if __name__ == "__main__":
    main()

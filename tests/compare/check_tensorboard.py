"""Trains with --run-dir, kills the coordinator without warning and lets it go on, while TensorBoard reads the folder
with both of its loaders; then compares what they serve by HTTP with metrics.jsonl, for each step. A TensorBoard that is
started afterwards must serve the same.

    pip install tensorboard
    MNIST_DIR=... python check_tensorboard.py FOLDER [--programs target/release] [--kills 2]
    python check_tensorboard.py FOLDER --only-compare

FOLDER is the run's; it must be new, or with --only-compare have a run that is over. TensorBoard has numbers of 32 bits,
so metrics.jsonl's are rounded to them, and must then be equal.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

LOADERS = {"rust": "--load_fast=true", "python": "--load_fast=false"}
STEP_TAGS = ["loss", "accuracy", "learning_rate", "grad_norm", "samples_per_s", "workers"]
EVALUATION_TAGS = ["loss", "accuracy", "macro_f1"]
PATIENCE_S = 90


def rounded(number: float | None) -> float:
    return math.nan if number is None else struct.unpack("<f", struct.pack("<f", number))[0]


def expected_of(metrics: Path) -> tuple[dict[str, dict[int, float]], set[str], list[int]]:
    """The curves that metrics.jsonl has, the tags of pictures, and the steps of the checkpoints."""
    curves: dict[str, dict[int, float]] = {}
    pictures: set[str] = set()
    checkpoints: set[int] = set()
    for line in metrics.read_text().splitlines():
        record = json.loads(line)
        kind, step = record["kind"], record["step"]
        if kind == "step":
            names = {f"train/{name}": record[name] for name in STEP_TAGS if name in record}
        elif kind in ("validation", "test"):
            weights = record.get("weights", "last")
            prefix = kind + ("" if weights == "last" else f"/{weights}") + ("/views" if record.get("views") else "")
            names = {f"{prefix}/{name}": record[name] for name in EVALUATION_TAGS}
            pictures.add(f"{prefix}/confusion")
        else:
            if kind == "checkpoint_written":
                checkpoints.add(step)
            continue
        for tag, number in names.items():
            curves.setdefault(tag, {})[step] = rounded(number)
    return curves, pictures, sorted(checkpoints)


class TensorBoard:
    """A TensorBoard on a folder."""

    def __init__(self, folder: Path, loader: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.loader = loader
        everything = "scalars=1000000,images=1000,histograms=1000,text=1000"
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--host", "127.0.0.1"]
        command += ["--port", str(self.port), LOADERS[loader], "--reload_interval", "1"]
        command += ["--samples_per_plugin", everything]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.get("environment")
                return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    sys.exit(f"TensorBoard ({loader}) does not start")
                time.sleep(0.2)

    def get(self, path: str, body: dict | None = None, raw: bool = False, **query: str):
        url = f"http://127.0.0.1:{self.port}/data/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.read() if raw else json.load(answer)

    def curves(self) -> dict[str, dict[int, float]]:
        tags = self.get("plugin/scalars/tags").get(".", {})
        curves = {}
        for tag in tags:
            points = self.get("plugin/scalars/scalars", tag=tag, run=".")
            curve = {step: float(number) for _, step, number in points}
            if len(curve) != len(points):
                raise AssertionError(f"{tag}: a step is there twice")
            curves[tag] = curve
        return curves

    def time_series(self, tag: str) -> dict[int, float]:
        """The same curve by the API of the page Time Series."""
        query = urllib.parse.urlencode({"requests": json.dumps([{"plugin": "scalars", "tag": tag}])})
        url = f"http://127.0.0.1:{self.port}/data/plugin/timeseries/timeSeries"
        with urllib.request.urlopen(url, query.encode(), timeout=PATIENCE_S) as answer:
            points = json.load(answer)[0]["runToSeries"]["."]
        return {point["step"]: float(point["value"]) for point in points}

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def same(one: dict[int, float], other: dict[int, float]) -> bool:
    equal = lambda a, b: a == b or (math.isnan(a) and math.isnan(b))  # noqa: E731
    return one.keys() == other.keys() and all(equal(one[step], other[step]) for step in one)


def differences(board: TensorBoard, expected: dict[str, dict[int, float]]) -> list[str]:
    try:
        found = board.curves()
    except AssertionError as twice:
        return [str(twice)]
    tags = sorted(found.keys() | expected.keys())
    differing = [tag for tag in tags if not same(found.get(tag, {}), expected.get(tag, {}))]
    return [f"{tag}: {len(found.get(tag, {}))} points, not the {len(expected.get(tag, {}))} of metrics.jsonl" for tag in differing]


def compare(board: TensorBoard, folder: Path, when: str) -> None:
    curves, pictures, checkpoints = expected_of(folder / "metrics.jsonl")
    until = time.monotonic() + PATIENCE_S
    while wrong := differences(board, curves):
        if time.monotonic() > until:
            sys.exit(f"{board.loader} loader, {when}: " + "; ".join(wrong))
        time.sleep(0.5)
    for tag in curves:
        if not same(board.time_series(tag), curves[tag]):
            sys.exit(f"{board.loader} loader, {when}: Time Series has another {tag}")
    shown = board.get("plugin/images/tags").get(".", {})
    if set(shown) != pictures:
        sys.exit(f"{board.loader} loader, {when}: pictures {sorted(shown)}, not {sorted(pictures)}")
    for tag in pictures:
        images = board.get("plugin/images/images", tag=tag, run=".", sample="0")
        if {image["step"] for image in images} != set(curves[tag.replace("confusion", "loss")]):
            sys.exit(f"{board.loader} loader, {when}: {tag} has other steps than its curve")
        query = dict(urllib.parse.parse_qsl(images[-1]["query"]))
        png = board.get("plugin/images/individualImage", raw=True, **query)
        if not png.startswith(b"\x89PNG"):
            sys.exit(f"{board.loader} loader, {when}: {tag} is no PNG")
    steps: set[int] = set()
    histograms = board.get("plugin/histograms/tags").get(".", {})
    for tag in histograms:
        series = board.get("plugin/histograms/histograms", tag=tag, run=".")
        steps.update(step for _, step, _ in series)
    if not steps or not steps <= set(checkpoints):
        sys.exit(f"{board.loader} loader, {when}: histograms of steps {sorted(steps)}, checkpoints at {checkpoints}")
    text = board.get("plugin/text/text", tag="run/config", run=".")
    groups = board.get("plugin/hparams/session_groups", sessions(board))["sessionGroups"]
    (session,) = groups[0]["sessions"]
    accuracy = [value["value"] for value in session["metricValues"] if value["name"]["tag"] == "test/accuracy"]
    if accuracy != [list(curves["test/accuracy"].values())[-1]]:
        sys.exit(f"{board.loader} loader, {when}: hparams has test/accuracy {accuracy}")
    points = sum(map(len, curves.values()))
    print(
        f"{board.loader} loader, {when}: {len(curves)} curves with {points} points equal, {len(pictures)} pictures, "
        f"{len(histograms)} histograms of {len(steps)} of {len(checkpoints)} checkpoints, {len(text)} text, "
        f"{len(groups[0]['hparams'])} hparams, {session['status']}"
    )


def sessions(board: TensorBoard) -> dict:
    experiment = board.get("plugin/hparams/experiment", {"experimentName": ""})
    columns = [{"metric": info["name"]} for info in experiment["metricInfos"]]
    columns += [{"hparam": info["name"]} for info in experiment["hparamInfos"]]
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    return {"experimentName": "", "allowedStatuses": statuses, "colParams": columns, "startIndex": 0, "sliceSize": 10}


def train(arguments: argparse.Namespace, boards: list[TensorBoard]) -> None:
    command = [arguments.programs / "coordinator", "--run-dir", arguments.folder, "--workers", "2", "--local"]
    command += ["--threads", "1", "--dataset", "digits", "--model", "lenet5", "--batch-size", "500", "--epochs", "3"]
    command += ["--val-split", "1000", "--checkpoint-every", "20", "--average", "ema(0.9)", "--test-views"]
    metrics = arguments.folder / "metrics.jsonl"
    done = 0
    for start in range(arguments.kills + 1):
        run = subprocess.Popen([*command, "--progress", "off"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if start == arguments.kills:
            _, errors = run.communicate()
            if run.returncode:
                sys.exit(f"the coordinator failed:\n{errors.decode()}")
            return
        # Steps that no checkpoint has are lost, and repeated.
        done += 70
        while run.poll() is None and f'"step":{done},' not in (metrics.read_text() if metrics.exists() else ""):
            time.sleep(0.05)
        time.sleep(0.5)
        run.send_signal(signal.SIGKILL)
        run.wait()
        for board in boards:
            steps = [max(curve) for tag, curve in board.curves().items() if tag == "train/loss"]
            print(f"killed; the {board.loader} loader has steps up to {steps}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--programs", type=Path, default=Path("target/release"))
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--only-compare", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    boards = []
    try:
        if not arguments.only_compare:
            arguments.folder.mkdir(parents=True)
            boards = [TensorBoard(arguments.folder, loader) for loader in LOADERS]
            train(arguments, boards)
            for board in boards:
                compare(board, arguments.folder, "since before the first start")
        for loader in LOADERS:
            boards.append(TensorBoard(arguments.folder, loader))
            compare(boards[-1], arguments.folder, "started afterwards")
    finally:
        for board in boards:
            board.close()
    files = [name for name in os.listdir(arguments.folder) if "tfevents" in name]
    if len(files) != 1:
        sys.exit(f"there are {len(files)} files for TensorBoard")


if __name__ == "__main__":
    main()

"""Trains with --mlflow and a tracking server of MLflow, kills the coordinator twice without warning and the server once,
which is away for a while; lets all of them go on, and compares what the server has with metrics.jsonl.

    pip install mlflow
    MNIST_DIR=... python check_mlflow.py FOLDER [--programs target/release]

FOLDER must be new; it gets the run and the server's data base. Each step must be there once, with the number that
metrics.jsonl has, bit for bit. The speed of a step that was computed again may be that of the first time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

STEP_KEYS = ["loss", "accuracy", "learning_rate", "grad_norm", "samples_per_s", "workers"]
EVALUATION_KEYS = ["loss", "accuracy", "macro_precision", "macro_recall", "macro_f1"]
PATIENCE_S = 120


class Server:
    """A tracking server with a data base of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--workers", "1"]
        command += ["--default-artifact-root", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(self.uri + "/health", timeout=5):
                    return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    sys.exit("the server does not start; see server.log")
                time.sleep(0.3)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self, path: str, body: dict | None = None, **query: str) -> dict:
        url = f"{self.uri}/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def history(self, run_id: str, key: str) -> list[dict]:
        found, token = [], ""
        while True:
            page = {"page_token": token} if token else {}
            answer = self.ask("metrics/get-history", run_id=run_id, metric_key=key, max_results="1000", **page)
            found += answer.get("metrics", [])
            token = answer.get("next_page_token", "")
            if not token:
                return found


def expected_of(metrics: Path) -> dict[str, dict[int, float]]:
    curves: dict[str, dict[int, float]] = {}
    for line in metrics.read_text().splitlines():
        record = json.loads(line)
        kind, step = record["kind"], record["step"]
        if kind == "step":
            prefix, keys = "train", STEP_KEYS
        elif kind in ("validation", "test"):
            weights = "/" + record["weights"] if "weights" in record else ""
            prefix, keys = kind + weights + ("/views" if record.get("views") else ""), EVALUATION_KEYS
        else:
            continue
        for key in keys:
            if key in record:
                curves.setdefault(f"{prefix}/{key}", {})[step] = record[key]
    return curves


def train(arguments: argparse.Namespace, server: Server) -> None:
    run_folder = arguments.folder / "run"
    command = [arguments.programs / "coordinator", "--run-dir", run_folder, "--workers", "2", "--local", "--threads", "1"]
    command += ["--dataset", "digits", "--model", "lenet5", "--batch-size", "500", "--epochs", "3", "--val-split", "1000"]
    command += ["--checkpoint-every", "20", "--average", "ema(0.9)", "--test-views", "--mlflow", server.uri]
    metrics = run_folder / "metrics.jsonl"

    def wait_for(step: int, run: subprocess.Popen) -> None:
        while run.poll() is None and f'"step":{step},' not in (metrics.read_text() if metrics.exists() else ""):
            time.sleep(0.05)

    for start in range(3):
        run = subprocess.Popen([*command, "--progress", "off"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(60 * (start + 1), run)
        time.sleep(1)
        if start == 1:
            server.kill()
            print("killed the server")
            wait_for(150, run)
            time.sleep(3)
        if start < 2:
            run.send_signal(signal.SIGKILL)
            _, errors = run.communicate()
            print(f"killed the coordinator; it has warned {errors.decode().count('MLflow has not got all')} times")
        else:
            print("started the server again")
            server.start()
            _, errors = run.communicate()
            if run.returncode:
                sys.exit(f"the coordinator failed:\n{errors.decode()}")
            print(f"the run is complete; it has warned {errors.decode().count('MLflow has not got all')} times")
    # What the server missed because the run was over before it was back, it gets from the same command.
    subprocess.run([*command, "--progress", "off"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def compare(arguments: argparse.Namespace, server: Server) -> None:
    experiment = server.ask("experiments/get-by-name", experiment_name="lockstep")["experiment"]
    runs = server.ask("runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    if len(runs) != 1:
        sys.exit(f"the server has {len(runs)} runs")
    (run,) = runs
    run_id, info = run["info"]["run_id"], run["info"]
    curves = expected_of(arguments.folder / "run" / "metrics.jsonl")
    keys = {metric["key"] for metric in run["data"]["metrics"]}
    if keys != curves.keys():
        sys.exit(f"the server has {sorted(keys ^ curves.keys())} that metrics.jsonl has not, or the other way")
    points = 0
    base = None
    for key, curve in curves.items():
        history = server.history(run_id, key)
        steps = [int(metric["step"]) for metric in history]
        if sorted(steps) != sorted(curve):
            sys.exit(f"{key}: {len(steps)} numbers, not the {len(curve)} of metrics.jsonl")
        for metric in history:
            step, time_ms = int(metric["step"]), int(metric["timestamp"])
            base = time_ms - step if base is None else base
            if time_ms - step != base:
                sys.exit(f"{key}: the time of step {step} is no function of it")
            if metric["value"] != curve[step] and key != "train/samples_per_s":
                sys.exit(f"{key}: step {step} is {metric['value']}, not {curve[step]}")
        points += len(steps)
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    manifest = json.loads((Path(tags["lockstep.checkpoint"]) / "manifest.json").read_text())
    if info["status"] != "FINISHED" or tags["lockstep.model_sha256"] != manifest["files"]["model.safetensors"]["sha256"]:
        sys.exit(f"the run is {info['status']}, with the tags {tags}")
    print(
        f"1 run, {info['status']}: {len(curves)} keys with {points} numbers equal, each step once; "
        f"{len(run['data']['params'])} parameters, {len(tags)} tags"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--programs", type=Path, default=Path("target/release"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    server = Server(arguments.folder)
    try:
        train(arguments, server)
        compare(arguments, server)
    finally:
        server.kill()


if __name__ == "__main__":
    main()

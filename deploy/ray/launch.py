#!/usr/bin/env python3
"""Trains on a Ray cluster: the coordinator on this node, workers as tasks wherever there is room.

    python deploy/ray/launch.py --workers 8 --threads 2 -- --run-dir run --epochs 20

Run it on the head node. What follows -- are flags of the coordinator. A task whose node is removed, or whose worker is
killed, is tried again; tasks for which there is no room yet start when nodes join. Nothing has to be installed on the
nodes: the worker's program travels through Ray. With --connect there are more workers for a coordinator that runs
already. Ends with the coordinator's exit code; the same command goes on from the newest checkpoint.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import ray

# The run is over, invalid flags, refused for good: another try would end alike.
LAST = (0, 2, 77)


@ray.remote(max_retries=-1, retry_exceptions=True, scheduling_strategy="SPREAD")
def work(program, flags, token):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "worker")
        path.write_bytes(program)
        path.chmod(0o700)
        # Ray kills this process with its node or task; then the worker's standard input closes, and it leaves.
        environment = {**os.environ, "LOCKSTEP_TOKEN": token}
        code = subprocess.Popen([path, *flags, "--until-stdin-closes"], stdin=subprocess.PIPE, env=environment).wait()
    if code not in LAST:
        time.sleep(2)
        raise RuntimeError(f"the worker has ended with {code}")
    return code


def coordinate(command):
    """Runs the coordinator, again when it was killed, and hands signals on to it."""
    while True:
        child = subprocess.Popen(command)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: child.send_signal(number))
        code = child.wait()
        if code >= 0:
            return code


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4, help="most workers at a time")
    parser.add_argument("--threads", type=int, default=1, help="compute threads, and Ray's CPUs, of each worker")
    parser.add_argument("--programs", type=pathlib.Path, default="target/release", help="folder of the programs")
    parser.add_argument("--identity", default="lockstep-identity", help="folder of the coordinator's key and tokens")
    parser.add_argument("--port", type=int, default=29400, help="port of the coordinator on this node")
    parser.add_argument("--connect", help="address of a coordinator that runs already; its token is in LOCKSTEP_TOKEN")
    parser.add_argument("flags", nargs="*", help="flags of the coordinator, behind --")
    args = parser.parse_args()

    ray.init(address="auto", log_to_driver=False)
    address, token = args.connect, os.environ.get("LOCKSTEP_TOKEN", "")
    if not args.connect:
        address = f"{ray.util.get_node_ip_address()}:{args.port}"
        file = pathlib.Path(args.identity, "tokens", "ray")
        if not file.exists():
            new = [args.programs / "coordinator", "token", "new", "ray", "--identity", args.identity]
            subprocess.run(new, check=True, stdout=subprocess.DEVNULL)
        token = file.read_text().split()[0]
    flags = ["--connect", address, "--threads", str(args.threads)]
    program = ray.put((args.programs / "worker").read_bytes())
    tasks = [work.options(num_cpus=args.threads).remote(program, flags, token) for _ in range(args.workers)]
    if args.connect:
        return max(ray.get(tasks))
    command = [args.programs / "coordinator", "--workers", f"1:{args.workers}", "--bind", address]
    code = coordinate([*command, "--identity", args.identity, *args.flags])
    # Workers end by themselves when the run is over. Tasks that found no room never began.
    _, left = ray.wait(tasks, num_returns=len(tasks), timeout=10)
    for task in left:
        ray.cancel(task, force=True)
    return code


if __name__ == "__main__":
    sys.exit(main())

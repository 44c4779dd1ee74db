#!/usr/bin/env python3
"""Runs a command on a Ray cluster of a head and two nodes on this machine, and disturbs the run.

    ray_cluster.py CHECKPOINTS COMMAND...

CHECKPOINTS is the folder by which it sees how far the run is. Ends with the command's exit code.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

from ray.cluster_utils import Cluster

CHECKPOINTS, COMMAND = pathlib.Path(sys.argv[1]), sys.argv[2:]
BEGAN = time.monotonic()


def say(text):
    print(f"{time.monotonic() - BEGAN:3.0f} s  {text}", file=sys.stderr, flush=True)


def steps():
    return max((int(path.name.removeprefix("step-")) for path in CHECKPOINTS.glob("step-*")), default=0)


def train(run, further):
    """Waits until the run has done so many further steps."""
    until, deadline = steps() + further, time.monotonic() + 120
    while steps() < until:
        if run.poll() is not None or time.monotonic() > deadline:
            run.kill()
            sys.exit(f"step {until} was not reached")
        time.sleep(0.2)
    say(f"trained to step {steps()}")


def programs(name):
    """Process ids of the programs of this name among this process's descendants."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, _ in processes}

    def is_ours(pid):
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return [int(pid) for pid, _, command in processes if command == name and is_ours(int(pid))]


def main():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    say("a head and two nodes")
    run = subprocess.Popen(COMMAND, env={**os.environ, "RAY_ADDRESS": cluster.address})
    try:
        train(run, 200)
        cluster.remove_node(nodes[0], allow_graceful=False)
        say("a node was removed, with its worker")
        train(run, 200)
        cluster.add_node(num_cpus=2)
        say("a node of two workers was added")
        train(run, 300)
        os.kill(programs("worker")[0], signal.SIGKILL)
        say("a worker was killed")
        train(run, 200)
        os.kill(programs("coordinator")[0], signal.SIGKILL)
        say("the coordinator was killed")
        train(run, 200)
        say(f"{len(programs('worker'))} workers")
        code = run.wait(timeout=300)
        say(f"launch.py has ended with {code}, {len(programs('worker'))} workers are left")
        return code or len(programs("worker"))
    finally:
        run.kill()
        cluster.shutdown()


sys.exit(main())

"""Starts processes side by side and makes sure that none outlives its deadline, a failure or an interrupt.

Each gets the same cores unless it names its own, a process group of its own, and an alarm that outlives this program.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

GRACE_SECONDS = 10
"""For the others to end when the first has, and for a group to end when asked to."""
TAIL_CHARACTERS = 3000


@dataclass(frozen=True)
class Program:
    """A command line, the environment variables that it needs beside the common ones, and its cores, if not all."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    cores: frozenset[int] | None = None


class Failure(Exception):
    """What went wrong, in words for the person who ran the program."""


def run(programs: Sequence[Program], *, cores: set[int], deadline_seconds: int) -> list[str]:
    """Runs them all at once; what each wrote to standard output, in the same order.

    The first that fails ends the others.
    """
    with ExitStack() as stack:
        files = [[stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2)] for _ in programs]
        running: list[subprocess.Popen[bytes]] = []
        try:
            for program, (out, err) in zip(programs, files):
                running.append(start(program, out, err, cores, deadline_seconds))
            failed = wait(running, time.monotonic() + deadline_seconds)
            late = failed is not None and running[failed].poll() is None
        finally:
            end(running)
        if failed is not None:
            name = " ".join(str(argument) for argument in programs[failed].arguments)
            code = running[failed].returncode
            why = f"did not end within {deadline_seconds} s" if late else f"ended with code {code}"
            raise Failure(f"{name}\n{why}:\n{''.join(map(tail, files[failed]))}")
        return [content(out) for out, _ in files]


def start(
    program: Program, out: IO[str], err: IO[str], cores: set[int], deadline_seconds: int
) -> subprocess.Popen[bytes]:
    def prepare() -> None:
        os.sched_setaffinity(0, program.cores or cores)
        signal.alarm(deadline_seconds + GRACE_SECONDS)

    return subprocess.Popen(
        [str(argument) for argument in program.arguments],
        env={**os.environ, **program.environment},
        cwd=program.folder,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        preexec_fn=prepare,
    )


def wait(running: Sequence[subprocess.Popen[bytes]], deadline: float) -> int | None:
    """Until all have ended well, or one has not: its index. One that runs past the deadline has not."""
    while True:
        codes = [process.poll() for process in running]
        for index, code in enumerate(codes):
            if code not in (None, 0) or (code is None and time.monotonic() > deadline):
                return index
        if None not in codes:
            return None
        time.sleep(0.05)


def end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends those that still run, with their groups."""
    living = [process for process in running if process.poll() is None]
    for process in living:
        signal_group(process.pid, signal.SIGTERM)
    for process in living:
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()


def signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


def content(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def tail(file: IO[str]) -> str:
    return content(file)[-TAIL_CHARACTERS:]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback device that were free a moment ago: for programs that can't be told to take any."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [int(s.getsockname()[1]) for s in sockets]


def end_on_sigterm() -> None:
    """Makes SIGTERM unwind the stack as Ctrl-C does."""

    def leave(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)

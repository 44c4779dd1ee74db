"""The programs: where they are, and how they are run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Union

Value = Union[str, int, float, bool, os.PathLike]

# EX_TEMPFAIL: the coordinator was told to stop, and the same call goes on.
STOPPED = 75


class ProgramError(Exception):
    """A program has failed. Its message is what the program said."""


class Stopped(ProgramError):
    """A run was stopped before its end. The same call goes on from its checkpoint."""


def program(name: str) -> str:
    """The path of `coordinator`, `worker` or `lockstep`: the one of this installation, or the first on PATH."""
    installed = Path(sysconfig.get_path("scripts")) / name
    found = str(installed) if installed.is_file() else shutil.which(name)
    if found is None:
        raise ProgramError(f"there is no program {name} in {installed.parent} or on PATH")
    return found


def arguments(flags: dict[str, Value | None]) -> list[str]:
    """Flags of a command line: `batch_size=64` is --batch-size=64, True a switch, and False or None nothing."""
    words = []
    for name, value in flags.items():
        if value is None or value is False:
            continue
        flag = "--" + name.rstrip("_").replace("_", "-")
        words.append(flag if value is True else f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return words


def said(name: str, *words: str) -> str:
    """Runs a program that is soon done, and returns what it says."""
    done = subprocess.run([program(name), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProgramError(done.stderr.strip() or f"{name} ended with code {done.returncode}")
    return done.stdout


def run(folder: str | os.PathLike, *, workers: int | str = 1, local: bool = True, **flags: Value | None) -> Path:
    """Trains, and returns the folder of the run, which has checkpoints, metrics and a report.

    Flags are those of `coordinator --help`, with _ for -: `run("run", workers=2, epochs=3, batch_size=64)`. The
    progress is on standard error. The same call, made again, goes on where the run was stopped. An interrupt
    (Ctrl-C) stops the run with a checkpoint.

    Raises Stopped if the run was stopped before its end, and ProgramError if it has failed.
    """
    words = arguments({"run_dir": folder, "workers": workers, "local": local, **flags})
    process = subprocess.Popen([program("coordinator"), *words], stdout=subprocess.DEVNULL)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            # A terminal has sent it to the coordinator too, which writes a checkpoint; a notebook has not.
            if not sys.stdin.isatty():
                process.terminate()
    if code == STOPPED:
        raise Stopped(f"the run in {folder} was stopped; the same call goes on")
    if code != 0:
        raise ProgramError(f"coordinator ended with code {code}; standard error has the reason")
    return Path(folder)

"""Finds and runs Lockstep's own benches, if this checkout has them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .processes import Failure
from .setup import ROOT, note

FOLDERS = {"worker": "worker", "tests": "tests"}
"""Of the packages that have benches."""


def executable(package: str, bench: str) -> Path | None:
    """The bench's program, built now; `None` if there is no such bench."""
    folder = ROOT / FOLDERS[package]
    if not (folder / "benches" / f"{bench}.rs").exists():
        return None
    note(f"cargo bench --no-run --workspace --bench {bench}")
    command = ["cargo", "bench", "--no-run", "--quiet", "--message-format=json"]
    # A package alone would have its dependencies built once more, with its own choice of their features.
    command += ["--workspace", "--bench", bench]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == bench:
            return Path(message["executable"])
    raise Failure(f"the bench {bench} of package {package} can't be built")

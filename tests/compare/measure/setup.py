"""What has to be there before anything is measured: the Python environment, the release binaries, MNIST."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from .processes import Failure

PEERS = Path(__file__).resolve().parent.parent
ROOT = PEERS.parent.parent
CONTENDERS = PEERS / "contenders"
REQUIREMENTS = PEERS / "requirements.txt"
MNIST_FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


@dataclass(frozen=True)
class Python:
    """The interpreter of the environment."""

    path: Path

    def versions(self) -> dict[str, str]:
        """Of what `requirements.txt` names, so far as it is installed."""
        code = (
            "import importlib.metadata as m, json, sys;"
            "there = {d.metadata['Name'].replace('_', '-').lower(): d.version for d in m.distributions()};"
            "print(json.dumps({name: there[name] for name in sys.argv[1:] if name in there}))"
        )
        command = [str(self.path), "-c", code, *required()]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout
        versions: dict[str, str] = json.loads(output)
        return versions


def required() -> list[str]:
    return [line.partition("==")[0] for line in REQUIREMENTS.read_text().split()]


def python() -> Python:
    """The environment in `PEERS_VENV`, else in target/peers-venv, made if it is not there.

    One that has the packages in other versions is taken as it is: the report says which.
    """
    folder = Path(os.environ.get("PEERS_VENV") or ROOT / "target" / "peers-venv").resolve()
    found = Python(folder / "bin" / "python")
    if not found.path.exists():
        note(f"making a Python environment in {folder}: once, and large (7 GB)")
        venv.create(folder, with_pip=True)
    if len(found.versions()) < len(required()):
        command = [str(found.path), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        command += ["--requirement", str(REQUIREMENTS)]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            raise Failure(f"pip could not install {REQUIREMENTS}")
    return found


def binaries(folder: Path | None) -> Path:
    """The folder that holds `coordinator` and `worker`: the one given, else target/release, built now."""
    if folder is None:
        folder = ROOT / "target" / "release"
        note("cargo build --release --workspace --bins")
        # As for the benches: packages alone would have their dependencies built once more.
        build = ["cargo", "build", "--release", "--quiet", "--workspace", "--bins"]
        if subprocess.run(build, cwd=ROOT, stdout=sys.stderr, check=False).returncode != 0:
            raise Failure("the release binaries can't be built")
    for name in ("coordinator", "worker"):
        if not (folder / name).exists():
            raise Failure(f"there is no {folder / name}")
    return folder.resolve()


def mnist() -> None:
    """Fails unless the folder `MNIST_DIR` holds the four files; contenders find it by that variable."""
    folder = os.environ.get("MNIST_DIR")
    if not folder:
        raise Failure("MNIST_DIR must name the folder with MNIST's four IDX files, plain or in gzip")
    for name in MNIST_FILES:
        if not any((Path(folder) / f"{name}{end}").exists() for end in ("", ".gz")):
            raise Failure(f"MNIST_DIR={folder} holds neither {name} nor {name}.gz")
    os.environ["MNIST_DIR"] = str(Path(folder).resolve())


def cores(text: str) -> list[int]:
    """The cores of a list such as `0,1`."""
    here = os.sched_getaffinity(0)
    chosen = [int(core) for core in text.split(",") if core.isdecimal()]
    if not chosen or len(chosen) != len(text.split(",")) or not here.issuperset(chosen):
        raise Failure(f"--cores {text}: give some of {','.join(map(str, sorted(here)))}")
    return chosen


def note(text: str) -> None:
    """Tells how it goes; standard output is the report's."""
    print(text, file=sys.stderr, flush=True)

"""Writes the wheel lockstep-train: the programs, which land on PATH, and the module lockstep.

    python3 wheel.py PROGRAMS VERSION OUTPUT

PROGRAMS is the folder of the static programs. The wheel depends on the files' content alone. Its times are
SOURCE_DATE_EPOCH.
"""

import base64
import hashlib
import os
import platform
import sys
import time
import zipfile
from pathlib import Path

NAME = "lockstep_train"
PROGRAMS = ("coordinator", "worker", "lockstep")
HERE = Path(__file__).parent


def platforms() -> list[str]:
    """Static programs run with any C library, so the oldest names will do."""
    machine = platform.machine()
    return [f"manylinux2014_{machine}", f"manylinux_2_17_{machine}", f"musllinux_1_1_{machine}"]


def metadata(version: str) -> str:
    return f"""Metadata-Version: 2.1
Name: lockstep-train
Version: {version}
Summary: Data-parallel training with the same bits every time
License: MIT OR Apache-2.0
Requires-Python: >=3.9
Provides-Extra: torch
Requires-Dist: torch; extra == "torch"
Provides-Extra: keras
Requires-Dist: keras>=3; extra == "keras"
Provides-Extra: pandas
Requires-Dist: pandas; extra == "pandas"
Description-Content-Type: text/markdown

{(HERE / "README.md").read_text()}"""


def main() -> None:
    programs, version, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    info = f"{NAME}-{version}.dist-info"
    tags = platforms()
    files: list[tuple[str, bytes, int]] = []
    for source in sorted((HERE / "lockstep").glob("*.py")):
        files.append((f"lockstep/{source.name}", source.read_bytes(), 0o644))
    for program in PROGRAMS:
        path = f"{NAME}-{version}.data/scripts/{program}"
        files.append((path, (programs / program).read_bytes(), 0o755))
    wheel = ["Wheel-Version: 1.0", "Generator: lockstep", "Root-Is-Purelib: false"]
    wheel += [f"Tag: py3-none-{tag}" for tag in tags]
    files.append((f"{info}/METADATA", metadata(version).encode(), 0o644))
    files.append((f"{info}/WHEEL", "\n".join([*wheel, ""]).encode(), 0o644))
    record = []
    for path, content, _ in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(content)}")
    record += [f"{info}/RECORD,,", ""]
    files.append((f"{info}/RECORD", "\n".join(record).encode(), 0o644))

    # A zip archive's times begin in 1980.
    seconds = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), 315532800)
    moment = time.gmtime(seconds)[:6]
    target = output / f"{NAME}-{version}-py3-none-{'.'.join(tags)}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content, mode in files:
            entry = zipfile.ZipInfo(path, moment)
            entry.external_attr = (0o100000 | mode) << 16
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    print(target)


if __name__ == "__main__":
    main()

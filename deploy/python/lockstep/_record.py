"""A run's numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def metrics(run: str | os.PathLike, kind: str = "step") -> pandas.DataFrame:
    """The lines of one kind in a run's metrics.jsonl, as a data frame: a row for each step by default.

    `kind="validation"` and `"test"` have the evaluations, and there are more. `run` is the folder of a run or of its checkpoints, or the file.
    """
    import pandas

    path = Path(run)
    path = path / "metrics.jsonl" if path.is_dir() else path
    lines = path.read_text().split("\n")
    # The last line may still be written.
    whole = [json.loads(line) for line in lines[:-1] if line]
    rows = [line for line in whole if line["kind"] == kind]
    if not rows:
        kinds = ", ".join(sorted({line["kind"] for line in whole}))
        raise ValueError(f"{path} has no line of kind {kind!r}; it has: {kinds or 'nothing'}")
    return pandas.DataFrame(rows).drop(columns="kind")

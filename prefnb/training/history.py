"""What a training run saw, step by step."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from prefnb.files import first_line, write_json


@dataclass
class History:
    """What a training run saw. rows: one dict per optimiser step; evals: one per call of the monitor.

    `history["margin"]` gives (steps, values) as arrays, for any name in rows or evals. seconds: time spent, apart
    from the rows so that two runs of the same command have equal rows.
    """

    rows: list[dict] = field(default_factory=list)
    evals: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""  # why training ended early, in words

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        found = [row for row in [*self.rows, *self.evals] if name in row]
        if not found:
            raise KeyError(f"The history has no '{name}'; it has {', '.join(self.names)}.")
        return np.array([row["step"] for row in found]), np.array([row[name] for row in found], dtype=float)

    @property
    def names(self) -> list[str]:
        """Everything that was recorded."""
        return list(dict.fromkeys(name for row in [*self.rows, *self.evals] for name in row))

    def last(self, name: str, over: int = 10) -> float:
        """The mean of the last `over` values of `name`: one step's value is noise."""
        return float(self[name][1][-over:].mean())

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(Path(path), vars(self), indent=None)

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read back what `save` wrote. ValueError with the file's name if it is something else."""
        try:
            found = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
            for row in [*found.rows, *found.evals]:
                row.update({name: math.nan for name, value in row.items() if value is None})
            return found
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is damaged, or no history ({first_line(error)}).") from None

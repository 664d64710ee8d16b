"""Attempts: what a reader tried, checked, trained, held against the notebook's own loss, and kept.

Every attempt is kept in a file as soon as it is measured, so that the table of attempts survives a restart.
"""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, ClassVar

import torch
from IPython.display import display
from transformers import PreTrainedTokenizerBase

from prefnb import course, exercises, plots, widgets
from prefnb.course.settings import Training
from prefnb.training import History

PAIRS, HELD_OUT, PROMPTS, DRAWS = 256, 128, 128, 2
SHOWN = 4  # attempts whose curves are drawn beside the notebook's own


@dataclass
class Attempts(ABC):
    """What was tried, and the notebook's own loss to hold it against. A kind of attempt says what its losses get, how they
    are trained, and what is measured of them: {name: number}, under the headings of `COLUMNS`."""

    p: Training
    start: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    label: str
    loss: Callable
    folder: Path

    CURVES: ClassVar[list[str]]
    COLUMNS: ClassVar[dict[str, str]]  # what is measured, beside the win rate: its heading
    BASELINE: ClassVar[str] = "SFT"

    @abstractmethod
    def few(self) -> tuple[tuple, dict]:
        """What a loss is checked with: policy and reference, whose tokens want gradients, and what it gets by name."""

    @abstractmethod
    def trained(self, loss: Callable, live: Any = None) -> tuple[torch.nn.Module, History]:
        """The policy, or reward model, that a loss makes of the start."""

    @abstractmethod
    def measured(self, model: torch.nn.Module, history: History) -> dict:
        """The figures of `COLUMNS`; and perhaps `win_rate` with its `interval`."""

    def try_it(self, loss: Callable, name: str) -> None:
        """Check a loss, train with it, overlay its curves, and add a row to the table. What is no loss is one sentence."""
        given, more = self.few()
        try:
            exercises.values_of(loss, *given, **more)
        except exercises.NotALoss as wrong:
            print(wrong)
            return
        model, history = self.trained(loss, plots.LiveFigure(self.beside))
        name = self.free(str(name))
        self.keep({"name": name, "seconds": round(history.seconds, 1), **self.measured(model, history)}, history)
        display(self.beside(history, name))
        self.show()

    @cached_property
    def usual(self) -> tuple[torch.nn.Module, History]:
        """What the notebook's own loss makes of the same."""
        return self.trained(self.loss)

    def beside(self, history: History, name: str = "yours"):
        """The curves of an attempt, the notebook's own, and the last attempts before it."""
        earlier = [row["name"] for row in self.rows() if row["name"] != name][-SHOWN + 1 :]
        found = {self.label: self.usual[1], **{one: History.load(self._history(one)) for one in earlier}, name: history}
        return plots.plot_training(
            found, [curve for curve in self.CURVES if any(curve in one.names for one in found.values())]
        )

    def won(self, model: torch.nn.Module) -> dict:
        """The win rate over the start, with its interval, where there is a judge."""
        few = self.p.model_copy(update={"test_prompts": PROMPTS, "draws": DRAWS})
        both = {self.BASELINE: self.start, "yours": model}
        comparison = course.compare(both, self.tokenizer, few, baseline=self.BASELINE)
        if not comparison.judge:
            return {}
        rate = comparison.win_rates["yours"]
        return {"win_rate": rate.rate, "interval": list(rate.interval)}

    def rows(self) -> list[dict]:
        """All attempts that were kept, the notebook's own not among them. A line that is damaged is left out."""
        path, found = self.folder / "attempts.jsonl", []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                row = json.loads(line)
                if isinstance(row, dict) and self._history(row["name"]).exists():
                    found.append(row)
            except (ValueError, KeyError, TypeError):
                print(f"A line of {path} is damaged, and left out.")
        return found

    def free(self, name: str) -> str:
        """The name, numbered if it is taken: nothing that was tried is lost."""
        taken, number = {row["name"] for row in self.rows()} | {self.label}, 1
        while (one := name if number == 1 else f"{name} {number}") in taken or self._history(one).exists():
            number += 1
        return one

    def keep(self, row: dict, history: History) -> None:
        """One line more in the file of attempts, and the history beside it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        history.save(self._history(row["name"]))
        path = self.folder / "attempts.jsonl"
        half = path.exists() and not path.read_bytes().endswith(b"\n")  # a line that a crash has cut
        with open(path, "a", encoding="utf-8") as file:
            file.write("\n" * half + json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def show(self) -> None:
        """The table of attempts, the notebook's own on top."""
        found = [{"name": f"{self.label} (this notebook's)", **self.measured(*self.usual)}, *self.rows()]
        rate = f"win rate over {self.BASELINE}"
        with_rate = [rate] if any("win_rate" in row for row in found) else []
        lines = [[widgets.escaped(row["name"]), *(f"{row[name]:.3g}" for name in self.COLUMNS)] for row in found]
        lines = [[*line, *(won(row) for _ in with_rate)] for line, row in zip(lines, found)]
        widgets.show_table(["attempt", *self.COLUMNS.values(), *with_rate], *lines)

    def _history(self, name: str) -> Path:
        return self.folder / f"history_{re.sub(r'[^A-Za-z0-9.-]+', '_', name).strip('_') or 'unnamed'}.json"


def won(row: dict) -> str:
    """A row's win rate with its interval, in words."""
    if "win_rate" not in row:
        return "no judge"
    return f"{row['win_rate']:.2f} [{row['interval'][0]:.2f}, {row['interval'][1]:.2f}]"


def valued(loss: Callable, *given: Any, **more: Any) -> tuple[torch.Tensor, dict]:
    """(values, metrics) of a loss that may return its values alone."""
    found = loss(*given, **more)
    return found if isinstance(found, tuple) else (found, {})

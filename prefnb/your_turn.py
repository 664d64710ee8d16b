"""Your turn: a loss that a reader writes, checked, trained for some seconds, and held against the notebook's own.

    try_it = your_turn.on_pairs(p, sft, tokenizer, examples, usual=("DPO", partial(dpo, beta=p.beta)), folder="runs/tried")
    try_it(my_loss, "hinge")

Every attempt is kept in a file as soon as it is measured, so that the table of attempts survives a restart.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Callable

import torch
from IPython.display import display
from transformers import PreTrainedTokenizerBase

from prefnb import course, exercises, files, own_data, page, plots, widgets
from prefnb.batches import Examples
from prefnb.course.settings import PairTraining
from prefnb.course.watching import first
from prefnb.logprobs import DatasetLogprobs, ResponseLogprobs
from prefnb.training import History

PAIRS, HELD_OUT, PROMPTS, DRAWS = 256, 128, 128, 2
CURVES = ["loss", "margin", "accuracy"]
SHOWN = 4  # attempts whose curves are drawn beside the notebook's own


def on_pairs(
    p: PairTraining,
    start: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    *,
    usual: tuple[str, Callable],
    folder: str | Path,
) -> Callable[[Callable, str], None]:
    """A function try_it(loss, name) for losses f(policy, reference) on pairs. usual: the name of the notebook's own loss
    and that loss, which is trained on the same pairs once. folder: where attempts are kept."""
    return Attempts(p, start, tokenizer, first(examples, PAIRS), *usual, files.here(folder)).try_it


@dataclass
class Attempts:
    """What was tried on these pairs, and the notebook's own loss to hold it against."""

    p: PairTraining
    start: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    examples: Examples
    label: str
    loss: Callable
    folder: Path

    def try_it(self, loss: Callable, name: str) -> None:
        """Check a loss, train with it, overlay its curves, and add a row to the table. What is no loss is one sentence."""
        try:
            exercises.values_of(loss, *self.four())
        except exercises.NotALoss as wrong:
            print(wrong)
            return
        policy, history = course.fit(
            self.start, self.examples, with_metrics(loss), self.p, epochs=1, live=plots.LiveFigure(self.beside)
        )
        name = self.free(str(name))
        self.keep({"name": name, "seconds": round(history.seconds, 1), **self.measured(policy)}, history)
        display(self.beside(history, name))
        self.show()

    @cached_property
    def before(self) -> DatasetLogprobs:
        """The reference's log-probs of the pairs."""
        return course.reference(self.start, self.examples)

    def four(self) -> tuple:
        """The log-probs of four pairs, under a policy a little beside the reference, and under the reference."""
        reference = self.before.batch(range(min(4, len(self.examples))))
        return replace_tokens(reference, lambda token: (token * 1.1).clone().requires_grad_()), reference

    @cached_property
    def usual(self) -> tuple[torch.nn.Module, History]:
        """The notebook's own loss on the same pairs."""
        return course.fit(self.start, self.examples, self.loss, self.p, epochs=1)

    def beside(self, history: History, name: str = "yours"):
        """The curves of an attempt, the notebook's own, and the last attempts before it."""
        earlier = [row["name"] for row in self.rows() if row["name"] != name][-SHOWN + 1 :]
        found = {self.label: self.usual[1], **{one: History.load(self._history(one)) for one in earlier}, name: history}
        return plots.plot_training(
            found, [curve for curve in CURVES if any(curve in one.names for one in found.values())]
        )

    def measured(self, policy: torch.nn.Module) -> dict:
        """Held-out pairs, and where there is a judge the win rate over the start, with its interval."""
        pairs = course.pair_examples(self.p, self.tokenizer, "test", limit=HELD_OUT)
        moved = page.of_responses(page.changes(policy, self.start, pairs))
        found = {"accuracy": float(own_data.right_way(moved["chosen"] - moved["rejected"]).mean())}
        found |= {f"d_{side}": float(change.mean()) for side, change in moved.items()}
        few = self.p.model_copy(update={"test_prompts": PROMPTS, "draws": DRAWS})
        comparison = course.compare({"SFT": self.start, "yours": policy}, self.tokenizer, few)
        if comparison.judge:
            rate = comparison.win_rates["yours"]
            found |= {"win_rate": rate.rate, "interval": list(rate.interval)}
        return found

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
        rows = [{"name": f"{self.label} (this notebook's)", **self.measured(self.usual[0])}, *self.rows()]
        head = ["attempt", "held-out accuracy", "d(chosen), nats", "d(rejected), nats", "win rate over SFT"]
        won = lambda row: (
            f"{row['win_rate']:.2f} [{row['interval'][0]:.2f}, {row['interval'][1]:.2f}]"
            if "win_rate" in row
            else "no judge"
        )  # noqa: E731
        widgets.show_table(head, *[[widgets.escaped(row["name"]), f"{row['accuracy']:.2f}", f"{row['d_chosen']:+.1f}", f"{row['d_rejected']:+.1f}", won(row)]
                                   for row in rows])  # fmt: skip

    def _history(self, name: str) -> Path:
        return self.folder / f"history_{re.sub(r'[^A-Za-z0-9.-]+', '_', name).strip('_') or 'unnamed'}.json"


def replace_tokens(responses, change: Callable):
    """The same responses with other token log-probs."""
    return type(responses)(
        **{name: ResponseLogprobs(change(one.token), one.mask) for name, one in vars(responses).items()}
    )


def with_metrics(loss: Callable) -> Callable:
    """A loss that may return its values alone, as one that returns metrics too: what every pair loss is watched by."""

    @wraps(loss)
    def objective(policy, reference):
        found = loss(policy, reference)
        values, metrics = found if isinstance(found, tuple) else (found, {})
        gap = policy.chosen.sum - reference.chosen.sum - policy.rejected.sum + reference.rejected.sum
        own = {"margin": gap, "accuracy": (gap > 0).to(gap.dtype)}
        return values, {name: value.detach() for name, value in {**own, **metrics}.items()}

    return objective

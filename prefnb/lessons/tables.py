"""Tables that several notebooks show, and the sentences below them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

import numpy as np

from prefnb import evaluate, parameters, widgets
from prefnb.claims import beside
from prefnb.claims import table as claims
from prefnb.course import Comparison

HOPELESS = 100  # times the data: a difference that needs more is none that anybody would notice


def show_flaws(comparison: Comparison, labels: Sequence[str] = ()) -> dict[str, dict[str, np.ndarray]]:
    """The share of answers with each flaw, and the mean score, a row a policy; returns {policy: {flaw: (n, K) hits}}. Nothing
    where no gold judge knows flaws."""
    if not comparison.gold:
        return {}
    found = {label: comparison.flaws(label) for label in labels or comparison.answers}
    names = list(next(iter(found.values())))
    rows = [[label, *(f"{flaws[name].mean():.0%}" for name in names), f"{comparison.scores[label].total.mean():.2f}"]
            for label, flaws in found.items()]  # fmt: skip
    widgets.show_table(["flaws, share of answers", *names, f"{comparison.judge.name} score"], *rows)
    return found


# ---------------------------------------------------------------- what would decide it


@dataclass(frozen=True)
class Measured:
    """What this run measured for a claim: a mean over prompts with its interval; `null` is where there is no difference."""

    mean: float
    interval: tuple[float, float]
    prompts: int
    null: float = 0.0

    @classmethod
    def of(cls, differences: np.ndarray) -> Measured:
        """Of differences, one a prompt: (n,), or (n, K), whose means count."""
        values = np.asarray(differences, dtype=float)
        return cls(float(values.mean()), evaluate.bootstrap_interval(values), len(values))

    @classmethod
    def rate(cls, rate: evaluate.WinRate) -> Measured:
        """Of a win rate."""
        return cls(rate.rate, rate.interval, rate.n, 0.5)

    @property
    def verdict(self) -> str:
        """What the interval says of the claim that the mean is above `null`."""
        return evaluate.verdict(self.interval, self.null)


def times_the_data(mean: float, interval: tuple[float, float], null: float) -> float:
    """How many times the data would make the interval so narrow that `null` is just outside, if the mean stayed: it shrinks
    with the root of what is resampled."""
    half, far = (interval[1] - interval[0]) / 2, abs(mean - null)
    return (half / far) ** 2 if far > 0 else np.inf


def what_decides(times: float, prompts: int | None) -> str:
    """What it takes, in words. prompts: how many were asked, of one seed; None of the long runs."""
    if times > HOPELESS:
        return f"more than {HOPELESS} times the data, so near to none is the difference"
    if prompts is None:
        return f"about {max(times, 1.1):.1f} times the seeds and prompts of the long runs, if the difference stays"
    here = f"here {prompts} prompts and one seed"
    return f"about {max(times, 1.1):.1f} times the data ({here}), if the difference stays; `-p seed 1` is another seed"


def say_what_decides(
    p: parameters.Settings, rows: Sequence[Sequence], measured: Mapping[str, Measured], results: object = "shipped"
) -> None:
    """Below `beside.show_verdicts`: of every row that cannot be told, what would decide it. measured: {claim: what this run
    measured} of those rows that have a number. results: the long runs, if not those that are shipped."""
    results = beside.results_of(p) if results == "shipped" else results
    lines, alone = [], 0
    for claim, *_, long_run in rows:
        parts = [part for part in (beside.parts_of(long_run, results) if long_run and results else []) if part[2]]
        if parts and claims.verdict(parts) == claims.OPEN:
            lines += [f"- *{claim}* ({found}): {what_decides(times_the_data(found.mean, found.interval, found.null), None)}."
                      for _, found, _ in parts if not found.sign]  # fmt: skip
        elif not parts and claim in measured:
            one, alone = measured[claim], alone + 1
            if one.verdict == claims.OPEN:
                took = what_decides(times_the_data(one.mean, one.interval, one.null), one.prompts)
                low, high = one.interval
                lines.append(f"- *{claim}* ({one.mean:+.2f} [{low:+.2f}, {high:+.2f}]): {took}.")
    said = "**What would decide what cannot be told:**\n\n" + "\n".join(lines) if lines else ""
    if alone:
        said += (f"\n\n**{alone} of the verdicts {'is' if alone == 1 else 'are'} of one seed alone**: the interval is over "
                 "prompts, so another seed may say otherwise; there is no long run of "
                 f"{'it' if alone == 1 else 'them'}.")  # fmt: skip
    if said:
        widgets.say(said.strip())

"""Sentences that several notebooks say about their results: who wins, what became of a quantity, what changed in the answers.

A function returns its words; those that begin with `print_` or `show_` put them on the page themselves. What is said of a
number comes from its 95% interval over prompts or pairs, never from the number alone.
"""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from prefnb import evaluate, widgets
from prefnb.course import Comparison
from prefnb.evaluate import WinRate
from prefnb.training import History

HOLDS, FAILS, OPEN = "holds here", "does not hold here", "cannot be told"  # what `evaluate.verdict` says


def listed(names: Iterable, none: str = "none") -> str:
    """ "a", "a and b", "a, b and c"; "a, 1; b, 2" if there are commas in names; `none` if there is nothing."""
    names = [str(name) for name in names]
    if any("," in name for name in names):
        return "; ".join(names)
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or none


def interval(found: tuple[float, float], digits: int = 2) -> str:
    """ "1.20 to 1.40" """
    return f"{found[0]:.{digits}f} to {found[1]:.{digits}f}"


def by_sign(found: tuple[float, float], above: str, below: str, between: str, null: float = 0.0) -> str:
    """One of three phrases: the interval lies above `null`, below it, or around it."""
    return {HOLDS: above, FAILS: below, OPEN: between}[evaluate.verdict(found, null)]


def place(values: ArrayLike, of: str = "the reference") -> str:
    """Where the mean of some changes, (n,), lies: "above the reference", "below ..." or "at ..., as far as can be told"."""
    found = evaluate.bootstrap_interval(np.asarray(values))
    return by_sign(found, f"above {of}", f"below {of}", f"at {of}, as far as can be told")


def apart(one: tuple[float, float], other: tuple[float, float], more: str, less: str, level: str) -> str:
    """One of three phrases: the first interval lies above the second, below it, or they overlap."""
    return more if one[0] > other[1] else less if one[1] < other[0] else level


def lead(
    differences: ArrayLike, better: str = "better", worse: str = "worse", level: str = "not to be told apart"
) -> str:
    """ "better (+0.12 [+0.05, +0.19])": what differences of two policies, prompt by prompt, say of the first."""
    word = by_sign(evaluate.bootstrap_interval(differences), better, worse, level)
    return f"{word} ({evaluate.mean_and_interval(differences)})"


# ---------------------------------------------------------------- who wins


def against(rate: WinRate, other: str = "SFT") -> str:
    """ "wins against SFT", "loses against SFT" or "cannot be told from SFT" """
    return f"{by_sign(rate.interval, 'wins against', 'loses against', 'cannot be told from', 0.5)} {other}"


def print_rate(label: str, rate: WinRate, note: str = "") -> None:
    """Print "DPO against SFT: 0.612 [0.570, 0.650]" and perhaps a note."""
    low, high = rate.interval
    print(f"{label} against SFT: {rate.rate:.3f} [{low:.3f}, {high:.3f}]" + (f", {note}" if note else ""))


def who_wins(rates: Mapping[str, WinRate], other: str = "SFT") -> str:
    """ "2 of 3 policies win against SFT: A and B." in bold, and which lose and which cannot be told."""
    found = {word: [name for name, rate in rates.items() if evaluate.verdict(rate.interval) == word]
             for word in (HOLDS, FAILS, OPEN)}  # fmt: skip
    many = len(found[HOLDS])
    told = f"**{many} of {len(rates)} policies win{'s' * (many == 1)} against {other}: {listed(found[HOLDS])}.**"
    if found[FAILS]:
        told += f" Worse than {other}: {listed(found[FAILS])}."
    if found[OPEN]:
        told += f" Not to be told from {other}: {listed(found[OPEN])}."
    return told


def how_it_ended(comparison: Comparison, label: str, lengths: bool = False) -> str:
    """A policy's win rate over the baseline in words, and whether its answers collapsed, as an item of a list. lengths: how
    long its answers are and how many end, too."""
    words = [against(comparison.win_rates[label], comparison.baseline)] if comparison.judge else []
    collapse = comparison.collapse(label)
    words += ["has collapsed: " + "; ".join(collapse.reasons) if collapse.collapsed else "has not collapsed"]
    drawn, before = comparison.answers[label], comparison.answers[comparison.baseline]
    note = (f" (mean length {evaluate.mean_length(drawn):.1f} tokens, {comparison.baseline} "
            f"{evaluate.mean_length(before):.1f}; {evaluate.finished_share(drawn):.0%} end)") if lengths else ""  # fmt: skip
    return f"- **{label}** {' and '.join(words)}{note}."


def how_they_ended(comparison: Comparison, labels: Sequence[str] = (), lengths: bool = False) -> str:
    """`how_it_ended` of some policies, or of all but the baseline, as a list."""
    labels = labels or [label for label in comparison.answers if label != comparison.baseline]
    return "\n".join(how_it_ended(comparison, label, lengths) for label in labels)


def categories_won(rates: Mapping[str, WinRate], label: str, judge: str) -> str:
    """In which categories a policy wins, in which it loses, and in which that cannot be told."""
    found = {word: [name.replace("_", " ") for name, rate in rates.items() if evaluate.verdict(rate.interval) == word]
             for word in (HOLDS, FAILS, OPEN)}  # fmt: skip
    return (f"**Of the {len(rates)} categories {label} wins {len(found[HOLDS])}** ({listed(found[HOLDS])}), **loses "
            f"{len(found[FAILS])}** ({listed(found[FAILS])}), and {len(found[OPEN])} cannot be told "
            f"({listed(found[OPEN])}); judge: {judge}.")  # fmt: skip


# ---------------------------------------------------------------- what changed in the answers


def changes_of(comparison: Comparison, label: str) -> dict[str, tuple[float, float, np.ndarray]]:
    """{flaw of an answer, and the share of asked-for parts that are right: (before, after, changes by prompt (n,))}, by the
    gold judge; empty where there is none."""
    if not comparison.gold:
        return {}
    both = (comparison.baseline, label)
    found = [comparison.flaws(one) | {"parts that are right": comparison.scores_by(comparison.gold, one).parts["helpfulness"]}
             for one in both]  # fmt: skip
    return {name: (float(before.mean()), float(found[1][name].mean()), found[1][name].mean(1) - before.mean(1))
            for name, before in found[0].items()}  # fmt: skip


def show_changes(comparison: Comparison, label: str, name: str = "") -> None:
    """`changes_of` as a table with a sentence below; name: what the sentence calls the policy."""
    found = changes_of(comparison, label)
    if not found:
        return print("No gold judge knows these answers: what changed in them has to be read.")
    rows = [
        [what, before, after, evaluate.mean_and_interval(change)] for what, (before, after, change) in found.items()
    ]
    widgets.show_table(["share of answers", comparison.baseline, label, "change"], *rows)
    moved = {what: evaluate.change(change) for what, (*_, change) in found.items()}
    told = [f"{what} {word} ({evaluate.mean_and_interval(found[what][2])})"
            for what, word in moved.items() if word in ("rose", "fell")]  # fmt: skip
    level = [what for what, word in moved.items() if word not in ("rose", "fell")]
    rest = f" By no more than chance: {listed(level)}." if level else ""
    widgets.say(f"**After {name or label}, {'; '.join(told) or 'nothing moved by more than chance'}.**{rest}")


def each_rate(rates: Mapping[str, WinRate], other: str = "SFT") -> str:
    """ "**A beats SFT**, 0.61 [0.59, 0.63] (ties 0.16); **B cannot be told from SFT**, ..." """
    return "; ".join(f"**{label} {rate.beats} {other}**, {rate}" for label, rate in rates.items())


# ---------------------------------------------------------------- training


def first_to_last(history: History, name: str, parts: int = 4) -> str:
    """ "7.91 to 9.12": the mean of a curve over the first and the last of `parts` equal stretches of its steps; where a
    stretch has fewer than five steps and says nothing, "7.91 throughout", the mean of them all."""
    values = history[name][1]
    size = len(values) // parts
    if size < 5:
        return f"{values.mean():.2f} throughout"
    return f"{values[:size].mean():.2f} to {values[-size:].mean():.2f}"


def live_means(histories: Mapping[str, History], names: Sequence[str]) -> list[list]:
    """Rows of a table: what was watched in a few live steps, {label: history}, the mean of each over all the steps."""
    return [[label, *(float(history[name][1].mean()) for name in names)] for label, history in histories.items()]

"""What a figure shows, in a few words: the titles of `plots`, `page` and `claims.pictures`, computed from what is drawn.

Every function returns one line, of about sixty characters where names allow it. Where a 95% interval holds the value that
means "no difference", the line says that it cannot be told.
"""

from __future__ import annotations

import textwrap
from typing import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from prefnb import evaluate
from prefnb.evaluate import WinRate
from prefnb.evaluate.intervals import Interval, Z95

NAMES = {  # of a history's columns, as a title calls them
    "accuracy": "pairs right",
    "logp_chosen": "log-prob of chosen",
    "logp_rejected": "log-prob of rejected",
    "logp_generated": "log-prob of y_gen",
    "kl_k1": "KL",
    "kl_k3": "KL",
    "grad_norm": "gradient norm",
    "finished": "responses that end",
}
STRICT = "share of comparisons won outright: a tie counts as lost"
SHARES = ("accuracy", "win_rate", "finished")
FIRST = (
    "win_rate",
    "reward",
    "accuracy",
    "margin",
    "loss",
)  # by which of these runs are compared, the first that there is


# ---------------------------------------------------------------- words


def name_of(metric: str) -> str:
    """A column of a history, as a title calls it."""
    return NAMES.get(metric, metric.replace("_", " "))


def rate(value: float) -> str:
    """ ".61", "1.00" """
    return f"{value:.2f}".removeprefix("0")


def number(value: float) -> str:
    """Three digits at most: "1.3", "-0.31", "120", "0"."""
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return "0" if float(text.replace(",", "")) == 0 else text


def value_of(metric: str, value: float) -> str:
    """A number as this column is told: a share in per cent."""
    return f"{value:.0%}" if metric in SHARES else number(value)


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most so many characters."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=False)) or text


def sign(interval: Interval, null: float = 0.0) -> int:
    """1 above `null`, -1 below, 0 where the interval holds it."""
    return int(interval[0] > null) - int(interval[1] < null)


def of_differences(values: ArrayLike) -> tuple[float, int]:
    """Their mean, and its sign."""
    values = np.asarray(values, dtype=float)
    return float(values.mean()), sign(evaluate.bootstrap_interval(values))


def _of_two(a: ArrayLike, b: ArrayLike) -> int:
    """Whether the mean of a is above that of b (1), below (-1), or not to be told apart; pairs if they are as many."""
    a, b = (np.asarray(one, dtype=float).ravel() for one in (a, b))
    if len(a) == len(b):
        return of_differences(a - b)[1]
    (low_a, high_a), (low_b, high_b) = map(evaluate.bootstrap_interval, (a, b))
    return int(low_a > high_b) - int(high_a < low_b)


# ---------------------------------------------------------------- who wins


def of_rate(label: str, found: WinRate, against: str = "") -> str:
    """ "DPO wins .61 of comparisons with SFT" """
    other = against or "the other"
    if sign(found.interval, 0.5) == 0:
        return f"{label} cannot be told from {other}: it wins {rate(found.rate)}"
    only = "only " if found.rate < 0.5 else ""
    return f"{label} wins {only}{rate(found.rate)} of comparisons with {other}"


def of_rates(results: Mapping[str, WinRate], against: str = "", strict: bool = False) -> str:
    """ "DPO wins .61 of comparisons with SFT, DPPO .00"; of more than three how many win, and the highest and the lowest."""
    if strict:
        return STRICT
    if len(results) == 1:
        return of_rate(*next(iter(results.items())), against)
    if len(results) <= 3:
        unsure = {label: "" if sign(found.interval, 0.5) else " (cannot be told)" for label, found in results.items()}
        first, *others = results
        said = f"win rate over {against or 'the other'}: {first} {rate(results[first].rate)}{unsure[first]}"
        if not unsure[first]:
            said = f"{first} wins {rate(results[first].rate)} of comparisons{f' with {against}' if against else ''}"
        return ", ".join([said, *(f"{label} {rate(results[label].rate)}{unsure[label]}" for label in others)])
    best, worst = (pick(results, key=lambda label: results[label].rate) for pick in (max, min))
    above = sum(sign(found.interval, 0.5) > 0 for found in results.values())
    return (f"{above} of {len(results)} beat {against or 'the baseline'}; highest {best} {rate(results[best].rate)}, "
            f"lowest {worst} {rate(results[worst].rate)}")  # fmt: skip


def of_categories(policies: Mapping[str, Mapping[str, WinRate]], strict: bool = False) -> str:
    """ "wins 6 of 10 rows, loses 1; 3 cannot be told"; of several policies how many rows each wins."""
    if strict:
        return STRICT
    signs = {label: [sign(one.interval, 0.5) for one in found.values()] for label, found in policies.items()}
    if len(signs) == 1:
        ((label, found),) = signs.items()
        told = f"wins {found.count(1)} of {len(found)} rows, loses {found.count(-1)}; {found.count(0)} cannot be told"
        return f"{label} {told}".strip()
    many = len(next(iter(signs.values())))
    return f"rows won, of {many}: " + ", ".join(f"{label} {found.count(1)}" for label, found in signs.items())


def of_sweep(values: Sequence[float], curves: Mapping[str, Sequence[WinRate]], label: str, strict: bool = False) -> str:
    """ "win rate highest at alpha 0.1 (.66), lowest at 10 (.00)"; of several curves where each is highest."""
    if strict:
        return STRICT
    best = {name: int(np.argmax([one.rate for one in curve])) for name, curve in curves.items()}
    if len(curves) > 1:
        told = (f"{name} at {values[at]:g} ({rate(curves[name][at].rate)})" for name, at in best.items())
        return f"win rate by {label}, highest: {', '.join(told)}"
    ((name, top),) = best.items()
    curve = curves[name]
    low = int(np.argmin([one.rate for one in curve]))
    if curve[top].interval[0] <= curve[low].interval[1]:
        return f"no value of {label} can be told to be best ({rate(curve[low].rate)} to {rate(curve[top].rate)})"
    return (f"win rate highest at {label} {values[top]:g} ({rate(curve[top].rate)}), lowest at {values[low]:g} "
            f"({rate(curve[low].rate)})")  # fmt: skip


# ---------------------------------------------------------------- distributions


def of_lengths(lengths: Mapping[str, ArrayLike], cut: int | None = None) -> str:
    """ "chosen responses are longer: 31 against 27 tokens" (medians); of other labels the shortest and the longest."""
    middle = {label: float(np.median(values)) for label, values in lengths.items()}
    if {"chosen", "rejected"} <= lengths.keys():
        both = f"{middle['chosen']:.0f} against {middle['rejected']:.0f} tokens"
        word = {1: "longer", -1: "shorter", 0: ""}[_of_two(lengths["chosen"], lengths["rejected"])]
        return f"chosen responses are {word}: {both}" if word else f"length does not tell chosen from rejected: {both}"
    if len(lengths) == 1:
        ((label, values),) = lengths.items()
        over = "" if cut is None else f"; {(np.asarray(values) >= cut).mean():.0%} reach the cut"
        return f"half of them have {middle[label]:.0f} tokens or fewer{over}"
    least, most = min(middle, key=middle.get), max(middle, key=middle.get)
    if middle[least] == middle[most]:
        return f"all are as long: half have {middle[most]:.0f} tokens or fewer"
    return f"shortest: {least} (median {middle[least]:.0f} tokens), longest: {most} ({middle[most]:.0f})"


def of_scores(series: Mapping[str, ArrayLike], name: str) -> str:
    """ "highest mean gold score: DPO 8.51 (SFT 8.13)"; that it cannot be told, where the two highest cannot be told apart."""
    means = {label: float(np.mean(values)) for label, values in series.items()}
    order = sorted(means, key=means.get, reverse=True)
    if len(order) == 1:
        return f"mean {name} {means[order[0]]:.2f}"
    best, second = order[:2]
    if _of_two(series[best], series[second]) == 0:
        return f"mean {name}: {best} {means[best]:.2f} and {second} {means[second]:.2f} cannot be told apart"
    return f"highest mean {name}: {best} {means[best]:.2f}, then {second} {means[second]:.2f}"


def of_votes(rewards: Mapping[str, ArrayLike]) -> str:
    """ "the rejected response is preferred in 29% of pairs (DPO) to 51% (DPPO)"; labels that have not moved do not count."""
    wrong = {label: float((np.asarray(values) < 0).mean()) for label, values in rewards.items() if np.any(values)}
    if not wrong:
        return "nothing has moved: no response is preferred yet"
    low, high = min(wrong, key=wrong.get), max(wrong, key=wrong.get)
    if len(wrong) == 1:
        return f"{low} prefers the rejected response in {wrong[low]:.0%} of pairs"
    return f"the rejected one preferred in {wrong[low]:.0%} of pairs ({low}) to {wrong[high]:.0%} ({high})"


def of_rewards(chosen: ArrayLike, rejected: ArrayLike) -> str:
    """ "after training chosen is above rejected in 71% of pairs [67%, 75%]"; equal ones count half."""
    gap = np.asarray(chosen, dtype=float) - np.asarray(rejected, dtype=float)
    right = (gap > 0) + 0.5 * (gap == 0)
    low, high = evaluate.wilson_interval(float(right.sum()), len(right))
    told = "" if sign((low, high), 0.5) else ": cannot be told from half"
    return f"afterwards chosen is above rejected in {right.mean():.0%} of pairs [{low:.0%}, {high:.0%}]{told}"


def of_parts(scores: Mapping) -> str:
    """Of one policy its weakest part, of several where the last differs most from the first."""
    first, last = next(iter(scores)), list(scores)[-1]
    means = {
        label: {name: float(np.mean(values)) for name, values in one.parts.items()} for label, one in scores.items()
    }
    if first == last:
        weakest = min(means[first], key=means[first].get)
        return f"weakest part of {first}: {weakest}, {rate(means[first][weakest])}"
    most = max(means[first], key=lambda name: abs(means[last][name] - means[first][name]))
    both = f"{first} {rate(means[first][most])}, {last} {rate(means[last][most])}"
    if _of_two(scores[last].parts[most], scores[first].parts[most]) == 0:
        return f"no part tells {last} from {first}; {most} comes nearest ({both})"
    return f"they differ most in {most}: {both}"


# ---------------------------------------------------------------- curves

Ends = tuple[
    float, float, int
]  # where a curve begins, where it ends, and whether that is a rise (1), a fall (-1) or noise (0)


def ends_of(values: ArrayLike) -> Ends:
    """Of single batches: means over the first and the last fifth, and whether they differ by more than batches do."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan"), 0
    part = max(1, len(values) // 5)
    head, tail = values[:part], values[-part:]
    if part < 4:
        return float(head.mean()), float(tail.mean()), 0
    half = Z95 * np.sqrt(head.var(ddof=1) / part + tail.var(ddof=1) / part)
    gap = float(tail.mean() - head.mean())
    return float(head.mean()), float(tail.mean()), sign((gap - half, gap + half))


def of_run(ends: Mapping[str, Ends], where: str = "") -> str:
    """ "loss 0.69 to 0.52, margin 0 to 1.3, pairs right 50% to 74%"; what has not clearly moved is not told, unless nothing has.
    where: on which pairs, e.g. "held-out pairs"."""
    moved = [
        f"{name_of(name)} {value_of(name, a)} to {value_of(name, b)}" for name, (a, b, clear) in ends.items() if clear
    ]
    if not moved:
        names = [name_of(name) for name in ends]
        said = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        return f"{said}: no trend that is clear of the noise"
    return (f"{where}: " if where else "") + ", ".join(moved[:3])


def of_runs(ends: Mapping[str, Mapping[str, tuple[float, Interval]]]) -> str:
    """Several runs, by the first of `FIRST` that all have: {metric: {label: (where it ends, its interval)}}; and if that cannot
    tell them apart, by the first that can."""
    order = [*(name for name in FIRST if name in ends), *(name for name in ends if name not in FIRST)]
    order = [name for name in order if len(ends[name]) > 1] or order
    told = []
    for name in order[:1] + [one for one in order[1:] if _apart(ends[one])][:1]:
        told.append(_of_ends(name, ends[name]))
        if _apart(ends[name]):
            break
    return "; ".join(told)


def _apart(found: Mapping[str, tuple[float, Interval]]) -> bool:
    """Do the highest and the lowest have intervals that lie apart?"""
    low, high = (pick(found.values(), key=lambda one: one[0]) for pick in (min, max))
    return low[1][1] < high[1][0]


def _of_ends(name: str, found: Mapping[str, tuple[float, Interval]]) -> str:
    low, high = (pick(found, key=lambda label: found[label][0]) for pick in (min, max))
    text = {label: value_of(name, value) for label, (value, _) in found.items()}
    if len(found) == 1:
        return f"{name_of(name)} ends at {text[low]} ({low})"
    if not _apart(found):
        between = text[low] if text[low] == text[high] else f"{text[low]} to {text[high]}"
        return f"{name_of(name)} at the end: cannot be told apart ({between})"
    if len(found) == 2:
        return f"{name_of(name)} at the end: {high} {text[high]}, {low} {text[low]}"
    return f"{name_of(name)} at the end: highest {high} ({text[high]}), lowest {low} ({text[low]})"


def of_changes(changes: Mapping[str, tuple[float, int]]) -> str:
    """ "both fall: chosen -1.2, rejected -6.3 nats", from {side: (change in nats, its sign)}; what has moved comes first."""
    signs = {side: found for side, (_, found) in changes.items()}
    if len(changes) == 2 and len(set(signs.values())) == 1 and 0 not in signs.values():
        word = "both rise" if 1 in signs.values() else "both fall"
        return f"{word}: " + ", ".join(f"{side} {value:+.1f}" for side, (value, _) in changes.items()) + " nats"
    moved = [
        f"{side} {'rises' if found > 0 else 'falls'} {abs(value):.1f} nats"
        for side, (value, found) in changes.items()
        if found
    ]
    level = [f"{side} {value:+.1f} (cannot be told)" for side, (value, found) in changes.items() if not found]
    return ", ".join(moved + level)


def of_kl(points: Mapping[str, Sequence[tuple[float, float]]], score: str) -> str:
    """Where the score is highest along the way, and what is left of it at the end; {label: [(KL, score)]}."""
    told = []
    for label, found in points.items():
        if found:
            top, last = max(found, key=lambda one: one[1]), found[-1]
            end = "" if top is last or top == last else f", {value_of(score, last[1])} at the end"
            told.append(f"{label} {value_of(score, top[1])} at a KL of {number(top[0])}{end}".strip())
    return f"highest {name_of(score)}: {'; '.join(told[:2])}" if told else "the KL while training"

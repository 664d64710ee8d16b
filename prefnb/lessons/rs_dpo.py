"""What 06 shows: whether a pair can be told apart by whose words it is, losses that look better, and what they are worth."""

from __future__ import annotations

from functools import partial
from typing import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from prefnb import course, evaluate, methods, plots, widgets
from prefnb.batches import Examples
from prefnb.course import Comparison
from prefnb.evaluate import WinRate
from prefnb.training import History

DATA, OWN = "pairs of the data", "pairs against the model's own"
SAYS = {
    "holds here": "picks the chosen response more often than a coin would",
    "cannot be told": "may be no better than a coin",
    "does not hold here": "picks the rejected response more often than a coin would",
}
FULL, TENTH = "RS-DPO, 100%", "RS-DPO, 10%"


def show_training_sets(
    original: Examples, mixtures: Mapping[str, Examples], shares: Sequence[float], whole: int
) -> None:
    """How many pairs each policy learns from, and how many of them have the model's own answer. whole: the pairs that could
    have one."""
    rows = [[label, len(mixed), round(share * len(mixed))] for (label, mixed), share in zip(mixtures.items(), shares)]
    widgets.show_table(
        ["training set", "pairs", "of them with the model's own answer"], ["DPO", len(original), 0], *rows
    )
    widgets.say(f"**{len(original) - whole} pairs are left out of the mixtures: there the model's own answer is the chosen "
                "one, and a pair of equal sides teaches nothing.**")  # fmt: skip


def plot_likeliness(data, own, right: Mapping[str, np.ndarray]) -> Figure:
    """How likely the model finds each kind of response, per token. data, own: the reference's log-probs of the pairs as they
    are, and with its own answers; right: where the rule "the less likely one" is right, of both."""
    series = {
        "chosen $y_w$": (data.chosen.mean.numpy(), plots.MEANINGS["chosen"]),
        "rejected, in the data": (data.rejected.mean.numpy(), plots.MEANINGS["rejected"]),
        "the model's own": (own.rejected.mean.numpy(), plots.COLOURS["generated"]),
    }
    figure, axis = plots.subplots(figsize=(7, 2.8), layout="constrained")
    everything = np.concatenate([values for values, _ in series.values()])
    edges = np.linspace(np.quantile(everything, 0.01), 0, 40)  # the least likely hundredth is off to the left
    for label, (values, colour) in series.items():
        axis.hist(values, edges, histtype="step", linewidth=1.6, color=colour, label=label)
    share = right[OWN].mean()
    axis.set(
        xlabel="log-prob per token under the reference (nats)",
        ylabel="responses",
        title=f"the model's own answer is the likelier one in {share:.0%}",
    )
    axis.legend(loc="upper left")
    return figure


def show_rule(right: Mapping[str, np.ndarray]) -> None:
    """How often "the less likely per token is the chosen one" is right, and what that allows."""
    within = {label: evaluate.wilson_interval(hits.sum(), len(hits)) for label, hits in right.items()}
    widgets.show_table(
        ['"the less likely per token is the chosen one"', "right", "95% interval"],
        *[[label, f"{hits.mean():.2f}", "{:.2f} to {:.2f}".format(*within[label])] for label, hits in right.items()],
    )
    told = "; ".join(f"on the {label} it {SAYS[evaluate.verdict(within[label])]}" for label in right)
    share = right[OWN].mean()
    follows = (
        "so that most of the full RS-DPO loss can be had by moving away from oneself."
        if share > 0.75
        else "far from all of them."
    )
    widgets.say(f"**The rule alone, which knows nothing of quality: {told}.** It is right on {share:.0%} of the pairs against "
                f"the model's own answers, {follows}")  # fmt: skip


def baseline(loss: Callable, sft: torch.nn.Module, pairs: Examples, p) -> tuple[torch.nn.Module, History]:
    """DPO on the pairs as they are: the recipe's, or with another loss a training of its own."""
    if loss is methods.dpo.dpo:
        ready = methods.dpo.recipe(**p.shared_with(methods.dpo.Settings))
        return ready.model, ready.history
    return course.fit(sft, pairs, partial(loss, beta=p.beta), p)


def last_steps(histories: Mapping[str, History]) -> dict[str, tuple[float, float]]:
    """{policy: (loss, margin)}, the means over its last five steps."""
    return {label: (history.last("loss", 5), history.last("margin", 5)) for label, history in histories.items()}


def say_last_steps(last: Mapping[str, tuple[float, float]], most: str) -> None:
    """What the curves of DPO and of the policy `most` have come to."""
    (loss, margin), (its_loss, its_margin) = last["DPO"], last[most]
    told = (
        f"**Over the last five steps DPO's loss is {loss:.2f} and its margin {margin:.2f}; those of {most} are "
        f"{its_loss:.2f} and {its_margin:.2f}.** "
    )
    if its_loss < loss and its_margin > margin:
        told += "A lower loss and a larger margin: the paper saw that too, and took it for good news at first. "
    widgets.say(told + "Neither curve knows what the policy says.")


def show_shape(comparison: Comparison) -> dict[str, evaluate.Collapse]:
    """Lengths and word pairs of every policy's answers against the baseline's, and a sentence on collapse; returns the
    checks."""
    checks = {label: comparison.collapse(label) for label in comparison.answers if label != comparison.baseline}
    rows = []
    for label, check in checks.items():
        found, length = check.measures, evaluate.mean_length(comparison.answers[label])
        rows.append(
            [
                label,
                f"{length:.1f}",
                f"{found['length_ratio']:.2f}",
                f"{found['distinct_ratio']:.2f}",
                f"{found['unfinished']:.0%}",
                "; ".join(check.reasons) if check.collapsed else "no",
            ]
        )
    of = f"of {comparison.baseline}'s"
    widgets.show_table(["policy", "tokens a response", of, f"distinct-2, {of}", "never end", "collapsed?"], *rows)
    shortest = min(checks, key=lambda label: checks[label].measures["length_ratio"])
    fallen = [label for label, check in checks.items() if check.collapsed]
    ratio = checks[shortest].measures["length_ratio"]
    widgets.say(f"**{'Collapsed: ' + ', '.join(fallen) if fallen else 'None has collapsed'}; the shortest answers are those "
                f"of {shortest}, {ratio:.2f} times as long as {comparison.baseline}'s.**")  # fmt: skip
    return checks


def say_worst_flaw(comparison: Comparison, flaws: Mapping[str, Mapping[str, np.ndarray]], most: str) -> None:
    """The flaw in which `most` differs most from DPO to its disadvantage; nothing where nobody knows flaws."""
    if not flaws:
        return
    worst = max(flaws[most], key=lambda name: flaws[most][name].mean() - flaws["DPO"][name].mean())
    found, of_dpo = flaws[most][worst].mean(), flaws["DPO"][worst].mean()
    mean = {label: comparison.scores[label].total.mean() for label in (most, "DPO")}
    widgets.say(f"**{most} against DPO: the flaw that differs most to its disadvantage is *{worst}*, in {found:.0%} of answers "
                f"against {of_dpo:.0%}; the mean {comparison.judge.name} score is {mean[most]:.2f} against "
                f"{mean['DPO']:.2f}.**")  # fmt: skip


def plot_beside_paper(rates: Mapping[str, WinRate], paper: Mapping[str, float]) -> Figure:
    """Win rates over DPO, with the paper's as crosses where it has them."""
    told = ", ".join(f"{label.removeprefix('RS-DPO, ')}: {rate.rate:.2f}" for label, rate in rates.items())
    figure = plots.plot_win_rates(dict(rates), against="DPO", title=f"own answers in so many pairs, over DPO: {told}")
    axis = figure.axes[0]
    published = [(paper[label], len(rates) - 1 - place) for place, label in enumerate(rates) if label in paper]
    if published:
        axis.plot(*zip(*published), "kx", label="the paper")
        axis.legend(loc="lower right")
    return figure


def say_rates(rates: Mapping[str, WinRate], against: str, judge: str) -> None:
    """Who beats whom, with figures."""
    told = "; ".join(f"{label} {rate.beats} {against} ({rate})" for label, rate in rates.items())
    widgets.say(f"**Judged by {judge}: {told}.**")


def show_held_out(
    held: Mapping[str, Mapping], kls: Mapping[str, float], last: Mapping[str, tuple[float, float]], most: str
) -> None:
    """What every policy makes of held-out pairs, beside its margin on its own last batches. held: {policy: metrics, (n,) each};
    kls: {policy: sampled KL from SFT}."""
    head = ["policy", "held-out accuracy", "held-out margin", "training margin, last", "sampled KL from SFT (nats)"]
    widgets.show_table(head, *[[label, f"{found['accuracy'].mean():.2f}", evaluate.mean_and_interval(found["margin"]),
                                f"{last[label][1]:.2f}", f"{kls[label]:.2f}"] for label, found in held.items()])  # fmt: skip
    told = [f"{last[label][1]:.2f} on its last batches and {held[label]['margin'].mean():+.2f} on held-out pairs of the data"
            for label in (most, "DPO")]  # fmt: skip
    widgets.say(f"**The margin of {most} is {told[0]}; DPO's is {told[1]}.** What is gone of a training margin on held-out "
                "pairs was learnt about the training pairs alone, and about whose words they are.")  # fmt: skip


def verdict_rows(last: Mapping[str, tuple[float, float]], rates: Mapping[str, WinRate]) -> list[list]:
    """The paper's claims for `beside.show_verdicts`: those that this run's mixtures can speak of."""
    rows, word = [], {True: "holds here", False: "does not hold here"}
    if FULL in rates:
        (loss, margin), (of_dpo, margin_of_dpo) = last[FULL], last["DPO"]
        low, high = rates[FULL].interval
        told = "last five steps: {:.2f} against {:.2f}"
        rows = [
            ["8: the full replacement loses to DPO", ".10", rates[FULL], evaluate.verdict((1 - high, 1 - low)), (8, 0)],
            ["8: its loss is lower than DPO's", "fig. 7", told.format(loss, of_dpo), word[loss < of_dpo], (8, 1)],
            ["8: its margin is larger than DPO's", "fig. 8", told.format(margin, margin_of_dpo),
             word[margin > margin_of_dpo], (8, 2)],
        ]  # fmt: skip
    if TENTH in rates:
        rows.append(["9: a tenth beats DPO", ".67", rates[TENTH], evaluate.verdict(rates[TENTH].interval), (9, 0)])
    return [*rows, ["9: with a fifth, few pairs beat many", ".62, then .48", "not measured", "", (9, 1)]]


def answer(rates: Mapping[str, WinRate], share: float) -> str:
    """What the title asks, answered. share: of the pairs, those that "not what I would say" tells apart."""
    told = "; ".join(f"{label} {rate.beats} DPO ({rate.rate:.2f})" for label, rate in rates.items())
    return (f"**{told or 'Nobody could judge that here'}.** What the loss asks for is a difference, and \"not what I would "
            f"say\" is one: it tells {share:.0%} of the pairs apart.")  # fmt: skip

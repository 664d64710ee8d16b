"""What 13 shows: five losses as curves, and what they make of the same pairs with right labels and with wrong ones."""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from prefnb import data, evaluate, methods, plots, widgets
from prefnb.batches import Examples
from prefnb.course import Comparison
from prefnb.lessons import words
from prefnb.lessons.tables import Measured
from prefnb.logprobs import from_tokens

WRONG = ", wrong labels"  # what a policy's name ends with in the second half
AS_THEY_ARE = "IPO is better than DPO on the labels as they are"


def costs(loss: Callable, margins: torch.Tensor) -> np.ndarray:
    """What a loss charges for pairs of one token each with these margins; beta is 1, and the reference gives all 0 nats."""
    level = torch.zeros(len(margins), 1)
    policy = from_tokens(chosen=(margins / 2)[:, None], rejected=(-margins / 2)[:, None])
    return loss(policy, from_tokens(chosen=level, rejected=level))[0].detach().numpy()


def turns(losses: Mapping[str, Callable], low: float = -4.0, high: float = 6.0) -> dict[str, float | None]:
    """{loss: the margin at which it is cheapest}, None where a larger margin is always cheaper, as far as `high`."""
    line = torch.linspace(low, high, 1001)
    places = {label: int(costs(loss, line).argmin()) for label, loss in losses.items()}
    return {label: None if place == len(line) - 1 else round(float(line[place]), 2) for label, place in places.items()}


def plot_losses(losses: Mapping[str, Callable]) -> Figure:
    """The cost of a pair against its margin; a dot where it is lowest."""
    line = torch.linspace(-4, 6, 300)
    figure, axis = plots.subplots(figsize=(8, 3.2), layout="constrained")
    for label, loss in losses.items():
        values, colour = costs(loss, line), plots.colours(losses)[label]
        axis.plot(line, values, color=colour, label=label)
        if values.argmin() < len(line) - 1:
            axis.plot(line[values.argmin()], values.min(), "o", color=colour)
    stops = [label for label, place in turns(losses).items() if place is not None]
    title = f"{len(stops)} of the {len(losses)} want no more than a certain margin"
    axis.set(xlabel="margin", ylabel="loss", ylim=(-1.6, 4), title=title)
    axis.legend(loc="upper right")
    return figure


def say_turns(losses: Mapping[str, Callable]) -> None:
    """Which of the losses stop pushing, and where."""
    found = turns(losses)
    stops = [f"{label} at a margin of {place:.2f}" for label, place in found.items() if place is not None]
    on = [label for label, place in found.items() if place is None]
    widgets.say(f"**A dot marks where a curve is lowest, and where the loss lets go: {' and '.join(stops) or 'none'}. By "
                f"{' and '.join(on) or 'none'} a larger margin is always cheaper.**")  # fmt: skip


# ---------------------------------------------------------------- data and training


def known_wrong(gold, p, examples: Examples, told: float = 0.1) -> float:
    """The share of pairs whose chosen response the gold judge finds the worse one, which is said; `told` where nobody knows."""
    if not gold:
        return told
    rows = data.Source(p.dataset).pairs(limit=p.pairs, seed=p.seed).select(examples.kept)
    scores = {side: gold(rows["prompt"][:], rows[side][:]).total for side in ("chosen", "rejected")}
    is_wrong = scores["chosen"] < scores["rejected"]
    low, high = evaluate.wilson_interval(int(is_wrong.sum()), len(is_wrong))
    widgets.say(f"**In {is_wrong.mean():.1%} [{low:.1%}, {high:.1%}] of the {len(examples)} pairs the chosen response is the "
                "worse one.** That is the share that conservative and robust DPO are told, so that they get their best "
                "chance.")  # fmt: skip
    return float(is_wrong.mean())


def rate_of(method: str, p) -> float:
    """The learning rate that the preset has for a method."""
    return getattr(methods, method).Settings.of(p.preset)["learning_rate"]


def say_wrong(before: float, now: float) -> None:
    """What wrong labels ask for on average, by DPO and by conservative DPO."""
    twice = 2 * now * (1 - now)
    stops = [float(np.log((1 - share) / share)) for share in (now, twice)]
    widgets.say(f"**{now:.0%} of the labels are wrong now**; the losses were told {before:.1%} before. On average DPO then asks "
                f"for a margin of {stops[0]:.2f}, conservative DPO for {stops[1]:.2f}, and robust DPO for as much as ever.")  # fmt: skip


# ---------------------------------------------------------------- results


def plot_margins(found: Mapping[str, np.ndarray], wanted: float) -> Figure:
    """The margins per token of held-out pairs, a curve a loss; `wanted` is IPO's."""
    figure, axis = plots.subplots(figsize=(8, 3), layout="constrained")
    for label, values in found.items():
        axis.hist(np.clip(values, -1, 1.5), np.linspace(-1, 1.5, 51), histtype="step", linewidth=1.5,
                  color=plots.colours(found)[label], label=label)  # fmt: skip
    axis.axvline(wanted, color=plots.COLOURS["line"], linestyle=":", label="what IPO wants")
    axis.axvline(0, color=plots.COLOURS["ink"], linewidth=0.8)
    spread = {label: values.std() for label, values in found.items()}
    title = f"{min(spread, key=spread.get)} spreads its margins least, {max(spread, key=spread.get)} most"
    axis.set(xlabel="margin per token (nats)", ylabel="held-out pairs", title=title)
    axis.legend(loc="upper right")
    return figure


def show_margins(found: Mapping[str, np.ndarray], wanted: float) -> None:
    """The same as a table, and whether IPO has come near to what it wants."""
    widgets.show_table(
        ["loss", "held-out accuracy", "mean margin per token (nats)", "their standard deviation"],
        *[[label, float((values > 0).mean()), evaluate.mean_and_interval(values), float(values.std())]
          for label, values in found.items()],
    )  # fmt: skip
    reached = found["IPO"].mean()
    widgets.say(f"**The margin per token that IPO wants is {wanted:.2f} nats; it is at {reached:.2f} on average.** " + (
        "As far from its target as that, it pushes nearly every pair with the same strength, right or wrong, like DPO."
        if reached < wanted / 2 else "That is near enough for pairs to be let go, or pulled back."))  # fmt: skip


def plot_rates(comparison: Comparison, labels: Sequence[str], share: float) -> Figure:
    """Win rates over SFT, with the labels as they are and with a share of them exchanged."""
    found = {which: {label: comparison.win_rates[label + suffix] for label in labels}
             for which, suffix in (("labels as they are", ""), (f"{share:.0%} exchanged", WRONG))}  # fmt: skip
    return plots.plot_categories(found, against="SFT")


def leads_of(outcomes: Mapping[str, np.ndarray], labels: Sequence[str]) -> tuple[dict, dict]:
    """What wrong labels cost every loss, and its lead over DPO before and after; prompt by prompt, (n,) each."""
    lost = {label: outcomes[label + WRONG] - outcomes[label] for label in labels}
    than_dpo = {label + which: outcomes[label + which] - outcomes["DPO" + which]
                for which in ("", WRONG) for label in labels if label != "DPO"}  # fmt: skip
    return lost, than_dpo


def show_costs(comparison: Comparison, lost: Mapping, than_dpo: Mapping, shares: tuple[float, float]) -> None:
    """Each loss on its own: its rates, what wrong labels cost it, and its lead over DPO before and after."""
    told = lambda name: evaluate.mean_and_interval(than_dpo[name]) if name in than_dpo else ""  # noqa: E731
    rates = comparison.win_rates
    widgets.show_table(
        ["loss", *(f"rate, {share:.0%} wrong" for share in shares), "what that cost it", "against DPO, before", "against DPO, after"],
        *[[label, rates[label], rates[label + WRONG], evaluate.mean_and_interval(cost), told(label), told(label + WRONG)]
          for label, cost in lost.items()],
    )  # fmt: skip
    best = max(lost, key=lambda label: rates[label].rate)
    least, most = (pick(lost, key=lambda label: lost[label].mean()) for pick in (max, min))
    ends = lost["KTO"] - lost["DPO"]
    saved = words.by_sign(
        evaluate.bootstrap_interval(ends),
        "saved it some of that",
        "did not save it",
        "cannot be told to have saved it any of that",
    )
    widgets.say(f"**By the {comparison.judge.name} judge {best} has the highest rate before ({rates[best]}). Wrong labels cost "
                f"{most} most ({evaluate.mean_and_interval(lost[most])}) and {least} least "
                f"({evaluate.mean_and_interval(lost[least])}). The flat ends of KTO's curve {saved}: less DPO's, its loss "
                f"is {evaluate.mean_and_interval(ends)}.**")  # fmt: skip


def say_flaws(flaws: Mapping[str, Mapping[str, np.ndarray]], labels: Sequence[str]) -> None:
    """The flaw that wrong labels bring back most, and to whom."""
    if not flaws:
        return
    rise = {
        (label, name): flaws[label + WRONG][name].mean() - flaws[label][name].mean()
        for label in labels
        for name in flaws[label]
    }
    label, name = max(rise, key=rise.get)
    before, after = (flaws[one][name].mean() for one in (label, label + WRONG))
    widgets.say(
        f"**What wrong labels add most is *{name}*, to {label}: from {before:.0%} of its answers to {after:.0%}.**"
    )


def say_collapse(checks: Mapping[str, evaluate.Collapse]) -> dict[str, list[str]]:
    """Who has collapsed, and why; returns {policy: reasons}."""
    fallen = {label: check.reasons for label, check in checks.items() if check.collapsed}
    told = "; ".join(f"{label} has collapsed: {', '.join(reasons)}" for label, reasons in fallen.items())
    widgets.say(f"**{told or 'No policy has collapsed'}.**")
    return fallen


def claims(
    outcomes: Mapping[str, np.ndarray], lost: Mapping[str, np.ndarray]
) -> tuple[list[list], dict[str, Measured]]:
    """The claims for `beside.show_verdicts`, and what this run measured of each: differences in rate over SFT."""
    before, after = (lambda label: outcomes[label]), (lambda label: outcomes[label + WRONG])
    found = [
        (AS_THEY_ARE, before("IPO") - before("DPO"), ("ipo", "dpo")),
        ("KTO does without pairs what DPO does with them, or better", before("KTO") - before("DPO"), ("kto", "dpo")),
        ("robust DPO is better than DPO on the labels as they are", before("robust DPO") - before("DPO"), ("robust_dpo", "dpo")),
        ("robust DPO is better than DPO on wrong labels", after("robust DPO") - after("DPO"), None),
        ("conservative DPO is better than DPO on wrong labels", after("conservative DPO") - after("DPO"), None),
        ("robust DPO is better than conservative on wrong labels", after("robust DPO") - after("conservative DPO"), None),
        ("wrong labels cost DPO more than robust DPO", lost["robust DPO"] - lost["DPO"], None),
        ("wrong labels cost DPO more than KTO", lost["KTO"] - lost["DPO"], None),
    ]  # fmt: skip
    measured = {claim: Measured.of(differences) for claim, differences, _ in found}
    rows = [[claim, "", evaluate.mean_and_interval(differences), measured[claim].verdict, long_run]
            for claim, differences, long_run in found]  # fmt: skip
    return rows, measured


def against_dpo(than_dpo: Mapping[str, np.ndarray], which: str = "") -> str:
    """ "IPO cannot be told from DPO; KTO is better than DPO (+0.05 [+0.03, +0.07])" """
    verbs = {
        "holds here": "is better than DPO",
        "does not hold here": "is worse than DPO",
        "cannot be told": "cannot be told from DPO",
    }
    told = []
    for name, differences in than_dpo.items():
        if name.endswith(WRONG) == bool(which):
            word = verbs[evaluate.verdict(evaluate.bootstrap_interval(differences), 0.0)]
            told.append(f"{name.removesuffix(WRONG)} {word} ({evaluate.mean_and_interval(differences)})")
    return "; ".join(told)

"""The pictures of notebook 14, which draw what its cells compute, and the sentences that are long."""

from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from prefnb import evaluate, plots
from prefnb.claims.results import Results
from prefnb.lessons.words import listed
from prefnb.plots import COLOURS


def plot_shares(paths: torch.Tensor, names: Sequence[str]) -> Figure:
    """The probability of every response, (steps, responses), along training; the first two are the pair."""
    figure, axis = plots.subplots(figsize=(8, 2.6))
    for path, name, colour in zip(paths.T, names, ("chosen", "rejected", "policy", "line", "pale")):
        axis.plot(path, color=COLOURS[colour], label=name)
    title = f"the chosen one falls from {paths[0, 0]:.2f} to {paths[-1, 0]:.2f}"
    axis.set(xlabel="step of DPO on one pair", ylabel="probability", title=title)
    figure.legend(loc="outside right")
    return figure


def of_shares(paths: torch.Tensor) -> str:
    """Who falls and who gains."""
    (chosen, rejected, other), ends = paths[0, :3], paths[-1, :3]
    return (
        f"**The chosen response falls from {chosen:.2f} to {ends[0]:.2f}, the rejected one to {ends[1]:.2f}, and C, of which "
        f"the pair says nothing, rises from {other:.2f} to {ends[2]:.2f}.** The margin grew all the while. Whoever carries "
        "most of what tells the two apart gets what both lose."
    )


def of_falling(moved: Mapping[str, np.ndarray], steps: int) -> str:
    """What became of the log-probs of each kind of response: their changes in nats, (n,) each."""
    change = {name: evaluate.change(values) for name, values in moved.items()}
    return (
        f"**After {steps} steps the chosen responses {change['chosen']} and the rejected ones {change['rejected']}; what "
        f"rose: {listed((name for name, word in change.items() if word == 'rose'), 'none of the four')}.** Probability is "
        "never lost. It went to what the policy now says itself."
    )


def plot_policies(
    reference: torch.Tensor, policies: Mapping[float, torch.Tensor], kls: Mapping[float, float]
) -> Figure:
    """The reference and the best policy at every beta, as probabilities of the answers with rewards 0, 1, 2, ..."""
    panels = [("reference", reference, "reference")]
    panels += [(f"beta {value:g}: KL {kls[value]:.2f}", policy, "policy") for value, policy in policies.items()]
    figure, axes = plots.subplots(1, len(panels), figsize=(8, 2.2), sharey=True)
    for axis, (title, shares, colour) in zip(axes, panels):
        axis.bar(range(len(shares)), shares, color=COLOURS[colour])
        axis.set(title=title, xlabel="reward of the answer")
    axes[0].set_ylabel("probability")
    return figure


def plot_along(sizes: torch.Tensor, losses: Sequence[float], at_start: float) -> Figure:
    """A loss after steps of every size against its gradient; 0 is the point where they begin."""
    figure, axis = plots.subplots(figsize=(8, 2.4))
    axis.plot(sizes, losses, color=COLOURS["loss"])
    axis.plot(0, at_start, "o", color=COLOURS["policy"], label="the first step")
    axis.set(xlabel="size of the step against the gradient", ylabel="loss", title="0 in the middle, and not flat there")
    axis.legend()
    return figure


def plot_slopes(slopes: Mapping[str, torch.Tensor]) -> Figure:
    """Bars of the mean gradient of every logit, one colour an estimator."""
    names = ("policy", "grpo", "dpo", "kto", "reference")
    figure, axis = plots.subplots(figsize=(8, 2.9))
    for shift, ((name, slope), colour) in enumerate(zip(slopes.items(), names)):
        axis.bar(np.arange(len(slope)) + 0.16 * (shift - 2), slope, 0.15, label=name, color=COLOURS[colour])
    axis.axhline(0, color=COLOURS["line"], linewidth=0.8)
    axis.set_xticks(range(len(slope)), [f"token {i}" for i in range(len(slope))])
    axis.set(ylabel="mean gradient of its logit")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def of_slopes(slopes: Mapping[str, torch.Tensor]) -> str:
    """Whose gradient each estimator has, differentiated."""
    exact = slopes["KL(policy || ref), exact"]
    off = {name: float((slope - exact).norm()) for name, slope in slopes.items()}
    other = float((slopes["k3, differentiated"] - slopes["KL(ref || policy), exact"]).norm())
    return (
        "**As a number k3 is best: its mean is right, and one draw varies less than k1's. As a loss it is another one: its "
        f"mean gradient is that of KL(ref || policy)** (they differ by {other:.0e}), and is {off['k3, differentiated']:.3f} "
        f"from the KL's own. k1 differentiated is {float(slopes['k1, differentiated'].norm()):.0e}: nothing at all. k2's is "
        f"right, to {off['k2, differentiated']:.0e}. This course takes its number from k3 and its gradient from the score "
        "function."
    )


def plot_pushes(pushes: Mapping[str, torch.Tensor], lengths: torch.Tensor) -> Figure:
    """What one token of a short and of a long answer gets, a panel a denominator."""
    figure, axes = plots.subplots(1, len(pushes), figsize=(8, 2.2), sharey=True)
    for axis, (name, push) in zip(axes, pushes.items()):
        axis.bar([f"{length:g} tokens" for length in lengths], push, color=COLOURS["policy"])
        axis.set(title=f"{name}: {push[0] / push[1]:.0f} to 1")
    axes[0].set_ylabel("push on one token")
    return figure


def plot_seeds(runs: Results, arms: Sequence[str]) -> tuple[Figure, dict[str, float]]:
    """A dot a seed, with the interval over prompts of who has only that seed; and {arm: how far its seeds lie apart}."""
    figure, axis = plots.subplots(figsize=(8, 0.4 * len(arms) + 1))
    for place, arm in enumerate(arms):
        colour = plots.METHODS.get(arm.removesuffix("_10"), COLOURS["ink"])
        for shift, won in zip(np.linspace(0.25, -0.25, len(runs.seeds(arm, "sft"))), runs.outcomes(arm)):
            axis.plot(evaluate.bootstrap_interval(won), [place + shift] * 2, color=COLOURS["pale"])
            axis.plot(won.mean(), place + shift, "o", color=colour)
    spread = {arm: float(np.ptp(runs.outcomes(arm).mean(1))) for arm in arms if len(runs.seeds(arm)) > 1}
    axis.set_yticks(range(len(arms)), [arm.replace("_", " ") for arm in arms])
    widest = max(spread, key=spread.get) if spread else ""
    title = f"seeds of {widest.replace('_', ' ')} lie {spread[widest]:.2f} apart" if spread else "one seed of each"
    axis.set(xlabel="win rate over SFT, one seed a dot", title=title)
    return figure, spread


def plot_memory(sizes: Mapping[str, float]) -> Figure:
    """Bytes as bars of gigabytes, the first on top."""
    figure, axis = plots.subplots(figsize=(8, 2.4))
    axis.barh(list(sizes)[::-1], [size / 1e9 for size in sizes.values()][::-1], color=COLOURS["policy"])
    most = max(sizes, key=sizes.get)
    axis.set(xlabel="gigabytes", title=f"most of it: {most}, {sizes[most] / 1e9:.1f} GB")
    axis.grid(visible=False, axis="y")
    return figure

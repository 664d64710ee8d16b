"""One page of results, the same in every notebook: what training did to the policy, and to its answers.

`show` draws eight panels, says in a sentence what they show, and lets three answers be read.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Sequence

import numpy as np
import torch
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from transformers import PreTrainedTokenizerBase

from prefnb import course, data, evaluate, own_data, plots, widgets
from prefnb.batches import Examples
from prefnb.course import Comparison
from prefnb.course.settings import Judging
from prefnb.logprobs import DatasetLogprobs
from prefnb.training import History

PAIRS = KL_PROMPTS = 128
OWN_PAIRS = 1000  # of one's own data as many as there are, up to this: there is no other judge
BEFORE, AFTER = plots.MEANINGS["reference"], plots.MEANINGS["policy"]


@dataclass(frozen=True)
class Moved:
    """How far training has moved a policy: d(y) of both sides of held-out pairs, (n,) each, in nats; and the sampled KL from
    the reference, in nats a response, with its interval."""

    chosen: np.ndarray
    rejected: np.ndarray
    kl: dict

    @property
    def margins(self) -> np.ndarray:
        """(n,): d(yw) - d(yl), in nats, so that methods with and without a beta can be compared."""
        return self.chosen - self.rejected

    @property
    def accuracy(self) -> float:
        """The share of pairs with a margin above 0; one of exactly 0 counts half."""
        return float(own_data.right_way(self.margins).mean())


def changes(policy: torch.nn.Module, reference: torch.nn.Module, pairs: Examples) -> dict[str, list[np.ndarray]]:
    """{side: by how much every token of every held-out response has become likelier, in nats, one (length,) a pair}."""
    before, after = course.reference(reference, pairs), DatasetLogprobs.compute(policy, pairs)
    return {
        side: [(b - a).numpy() for a, b in zip(before.tokens[side], after.tokens[side])]
        for side in ("chosen", "rejected")
    }


def of_responses(tokens: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """{side: d(y) of every response, (n,)}, from the changes of its tokens."""
    return {side: np.array([float(one.sum()) for one in each]) for side, each in tokens.items()}


def show(
    label: str,
    policy: torch.nn.Module,
    reference: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    p: Judging,
    *,
    history: History,
    comparison: Comparison,
    read: Sequence[str] = (),
) -> None:
    """The page of one policy: label is its name in `comparison`, whose baseline the reference is. read: whose answers are
    shown below, if not those of these two."""
    many = PAIRS if comparison.gold else OWN_PAIRS
    pairs = course.pair_examples(p, tokenizer, "test", limit=many)
    tokens = changes(policy, reference, pairs)
    d = of_responses(tokens)
    asked = comparison.prompts[:KL_PROMPTS]
    kl = course.sampled_kl(policy, reference, tokenizer, asked, max_new_tokens=p.max_response_tokens)
    found = Moved(d["chosen"], d["rejected"], kl)
    display(plot(label, history, found, comparison))
    widgets.say(summary(label, found, comparison))
    rows = data.Source(p.dataset).pairs("test", limit=many, seed=p.seed).select(pairs.kept)
    show_strips(tokens, found.margins, tokenizer, pairs, rows)
    if not comparison.gold:
        lengths = {side: np.array([len(ids) for ids in of]) for side, of in pairs.responses.items()}
        own_data.show(found.margins, rows, lengths, tokenizer, pocket_model=p.model == "pocket")
    widgets.show_answers(comparison, read or (comparison.baseline, label))


def show_strips(
    tokens: dict[str, list[np.ndarray]],
    margins: np.ndarray,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Examples,
    rows: Sequence[dict],
) -> None:
    """A held-out pair, token by token: how much likelier each has become. It is the one of middling margin, so that nobody
    has picked it for what it shows."""
    middle = int(np.argsort(margins)[len(margins) // 2])
    strips = [(side, [tokenizer.decode([one]) for one in pairs.responses[side][middle]], tokens[side][middle].tolist())
              for side in tokens]  # fmt: skip
    asked = rows[middle]["prompt"][-1]["content"]
    display(widgets.HTML(f"<div {widgets.NO_MATH}>{html.escape(asked)}</div>" + widgets.strips_html(strips)))


def plot(label: str, history: History, found: Moved, comparison: Comparison) -> Figure:
    """Loss or reward, margin, both log-probs, KL; scores and lengths before and after, flaws, win rates."""
    figure, axes = plots.subplots(2, 4, figsize=(9.6, 4.6))
    goal = "reward" if "reward" in history.names else "loss"
    _curve(axes[0, 0], history, goal)
    _heap(axes[0, 1], {"margin": found.margins}, {"margin": AFTER})
    axes[0, 1].set(title=f"{found.accuracy:.0%} of pairs right", xlabel="$d(y_w) - d(y_l)$, nats")
    shades = {side: plots.MEANINGS[side] for side in ("chosen", "rejected")}
    _heap(axes[0, 2], {"chosen": found.chosen, "rejected": found.rejected}, shades)
    axes[0, 2].set(title="change of log-prob", xlabel="$d(y)$, nats")
    axes[0, 2].legend()
    _kl(axes[0, 3], history, found.kl)
    names = {comparison.baseline: BEFORE, label: AFTER}
    if comparison.judge:
        _heap(axes[1, 0], {name: comparison.scores[name].total.ravel() for name in names}, names)
        axes[1, 0].set(title=f"{comparison.judge.name} score")
        _rates(axes[1, 3], label, comparison)
    else:
        axes[1, 0].set_axis_off()
        axes[1, 3].set_axis_off()
    _heap(axes[1, 1], {name: comparison.lengths(name).ravel() for name in names}, names)
    axes[1, 1].set(title="length, tokens")
    figure.legend(*axes[1, 1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    _flaws(axes[1, 2], comparison, names)
    return figure


def _curve(axis: Axes, history: History, name: str) -> None:
    """One curve of training as a mean with a band, over a sixteenth of the steps each: noise of batches is no news."""
    steps, values = history[name]
    parts = [part for part in np.array_split(np.arange(len(values)), min(16, len(values))) if len(part)]
    middle = np.array([np.nanmean(values[part]) for part in parts])
    spread = np.array([np.nanstd(values[part]) for part in parts])
    at = np.array([steps[part].mean() for part in parts])
    axis.fill_between(at, middle - spread, middle + spread, color=AFTER, alpha=0.2, linewidth=0)
    axis.plot(at, middle, color=AFTER)
    axis.set(title=f"{name}, training", xlabel="step")


def _heap(axis: Axes, series: dict[str, np.ndarray], shades: dict[str, str]) -> None:
    """Histograms over each other; lines are means."""
    everything = np.concatenate([np.asarray(values, dtype=float) for values in series.values()])
    low, high = np.percentile(everything, [0.5, 99.5])
    edges = np.linspace(low, high, 25) if high > low else np.linspace(low - 0.5, high + 0.5, 25)
    for name, values in series.items():
        axis.hist(np.clip(values, edges[0], edges[-1]), edges, color=shades[name], alpha=0.55, label=name)
        axis.axvline(np.mean(values), color=shades[name], linewidth=1.4)
    if low < 0 < high:
        axis.axvline(0, color="#333333", linewidth=0.8, linestyle=":")
    axis.set_yticks([])
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.grid(visible=False)


def _kl(axis: Axes, history: History, kl: dict) -> None:
    """The KL while training, if it was watched, and at the end as a dot with its interval."""
    last = history.rows[-1]["step"]
    if "kl_k3" in history.names:
        _curve(axis, history, "kl_k3")
    axis.plot([0], [0], "o", color=BEFORE)
    axis.vlines(last, *kl["interval"], color=AFTER, linewidth=2)
    axis.plot([last], [kl["k3"]], "o", color=AFTER)
    axis.set(title="sampled KL, nats", xlabel="step")


def _flaws(axis: Axes, comparison: Comparison, names: dict[str, str]) -> None:
    """Shares of answers with each flaw, before and after; without a judge who knows flaws, nothing."""
    found = {name: comparison.flaws(name) for name in names}
    if not found[comparison.baseline]:
        axis.set_axis_off()
        return
    for shift, (name, flaws) in zip((0.2, -0.2), found.items()):
        axis.barh(np.arange(len(flaws)) + shift, [hits.mean() for hits in flaws.values()], 0.38, color=names[name])
    axis.set_yticks(range(len(flaws)), list(flaws))
    axis.set(title="answers with flaws")
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _rates(axis: Axes, label: str, comparison: Comparison) -> None:
    """The win rate of the policy, and of DPO, if that is another."""
    shown = [name for name in dict.fromkeys((label, "DPO")) if name in comparison.win_rates]
    for place, name in enumerate(shown):
        rate, shade = comparison.win_rates[name], AFTER if name == label else plots.METHODS["dpo"]
        axis.vlines(place, *rate.interval, color=shade, linewidth=2)
        axis.plot(place, rate.rate, "o", color=shade)
    axis.axhline(0.5, color="#888888", linestyle=":")
    axis.set_xticks(range(len(shown)), shown)
    axis.set(title=f"win rate over {comparison.baseline}", ylim=(-0.02, 1.02), xlim=(-0.6, len(shown) - 0.4))
    axis.grid(visible=False, axis="x")


def summary(label: str, found: Moved, comparison: Comparison) -> str:
    """What the page shows, in words."""
    said = (
        f"**{label} has the held-out pairs the right way round in {found.accuracy:.0%} of cases; the chosen response "
        f"{evaluate.change(found.chosen)}, the rejected one {evaluate.change(found.rejected)}.** It is {found.kl['k3']:.1f} nats a "
        f"response from {comparison.baseline}."
    )
    if comparison.judge:
        rate, gain = comparison.win_rates[label], comparison.scores[label].total.mean(1)
        gain = gain - comparison.scores[comparison.baseline].total.mean(1)
        said += (
            f" **It {rate.beats} {comparison.baseline}: {rate}**; the {comparison.judge.name} score changes by "
            f"{evaluate.mean_and_interval(gain)}."
        )
    flaws = {name: hits.mean() for name, hits in comparison.flaws(label).items()}
    before = {name: hits.mean() for name, hits in comparison.flaws(comparison.baseline).items()}
    if flaws:
        most = max(flaws, key=lambda name: abs(flaws[name] - before[name]))
        said += f" Of the flaws {most} changed most, from {before[most]:.0%} of answers to {flaws[most]:.0%}."
    return said

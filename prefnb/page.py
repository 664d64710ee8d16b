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

from prefnb import course, data, evaluate, findings, own_data, plots, widgets
from prefnb.batches import Examples
from prefnb.course import Comparison
from prefnb.course.settings import Judging
from prefnb.logprobs import DatasetLogprobs
from prefnb.training import History

PAIRS = KL_PROMPTS = 128
OWN_PAIRS = 1000  # of one's own data as many as there are, up to this: there is no other judge
BEFORE, AFTER = plots.COLOURS["reference"], plots.COLOURS["policy"]
WIDTH = 30  # characters of a panel's title


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


def plot(label: str, history: History, found: Moved, comparison: Comparison, title: str | None = None) -> Figure:
    """Loss or reward, margin, both log-probs, KL; scores and lengths before and after, flaws, win rates. A panel's title is
    what it shows, its axis says of what."""
    figure, axes = plots.subplots(2, 4, figsize=(9.6, 5.2))
    goal = "reward" if "reward" in history.names else "loss"
    _curve(axes[0, 0], history, goal)
    _say(axes[0, 0], _course(history, goal))
    _heap(axes[0, 1], {"margin": found.margins}, {"margin": AFTER}, "$d(y_w) - d(y_l)$, nats")
    _say(axes[0, 1], f"{found.accuracy:.0%} of pairs right")
    shades = {side: plots.COLOURS[side] for side in ("chosen", "rejected")}
    _heap(axes[0, 2], {"chosen": found.chosen, "rejected": found.rejected}, shades, "$d(y)$, nats")
    _say(axes[0, 2], findings.of_changes({"chosen": findings.of_differences(found.chosen),
                                          "rejected": findings.of_differences(found.rejected)}))  # fmt: skip
    axes[0, 2].legend(handlelength=1)
    axes[0, 2].set_ylim(top=1.35 * axes[0, 2].get_ylim()[1])  # room for the legend
    _kl(axes[0, 3], history, found.kl)
    names = {comparison.baseline: BEFORE, label: AFTER}
    if comparison.judge:
        scores = {name: comparison.scores[name].total for name in names}
        _heap(axes[1, 0], {name: one.ravel() for name, one in scores.items()}, names, f"{comparison.judge.name} score")
        _say(
            axes[1, 0],
            _moved(
                scores[label].mean(1) - scores[comparison.baseline].mean(1), "score", "up by {:.2f}", "down by {:.2f}"
            ),
        )
        _rates(axes[1, 3], label, comparison)
    else:
        axes[1, 0].set_axis_off()
        axes[1, 3].set_axis_off()
    lengths = {name: comparison.lengths(name) for name in names}
    _heap(axes[1, 1], {name: one.ravel() for name, one in lengths.items()}, names, "tokens an answer")
    before, after = (one.mean(1) for one in lengths.values())
    _say(axes[1, 1], _moved(after - before, "length", "{:.0f} tokens longer", "{:.0f} tokens shorter"))
    figure.legend(*axes[1, 1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    _flaws(axes[1, 2], comparison, names)
    return plots.say_title(figure, title if title is not None else headline(label, found, comparison))


def headline(label: str, found: Moved, comparison: Comparison) -> str:
    """ "DPO wins .61 of comparisons with SFT, from which it is 1.2 nats away" """
    if not comparison.judge:
        return f"{label} is {found.kl['k3']:.1f} nats from {comparison.baseline} and has {found.accuracy:.0%} of held-out pairs right"
    return f"{findings.of_rate(label, comparison.win_rates[label], comparison.baseline)}; it is {found.kl['k3']:.1f} nats away"


def _say(axis: Axes, said: str) -> None:
    """A panel's title, in lines that fit."""
    axis.set_title(findings.wrapped(said, WIDTH), fontsize=8.8)


def _moved(differences: np.ndarray, what: str, up: str, down: str) -> str:
    """What became of a mean over prompts, as its interval allows."""
    mean, sign = findings.of_differences(differences)
    return (
        f"{what}: {up.format(mean) if sign > 0 else down.format(-mean) if sign < 0 else 'cannot be told from before'}"
    )


def _course(history: History, name: str) -> str:
    """From where to where a curve goes."""
    if plots.held_out(history, name):
        values = history[f"{plots.HELD_OUT}{name}"][1]
        return f"held-out {name} {values[0]:.2f} to {values[-1]:.2f}"
    first, last, clear = findings.ends_of(history[name][1])
    return f"{name} {first:.2f} to {last:.2f}" + ("" if clear else " (may be noise)")


def _curve(axis: Axes, history: History, name: str) -> None:
    """One curve of training. Held-out pairs, if they were watched; else a mean with a band, over a sixteenth of the steps each:
    noise of batches is no news."""
    if plots.held_out(history, name):
        plots.draw_curve(axis, history, name, AFTER)
    else:
        steps, values = history[name]
        parts = [part for part in np.array_split(np.arange(len(values)), min(16, len(values))) if len(part)]
        middle = np.array([np.nanmean(values[part]) for part in parts])
        spread = np.array([np.nanstd(values[part]) for part in parts])
        at = np.array([steps[part].mean() for part in parts])
        axis.fill_between(at, middle - spread, middle + spread, color=AFTER, alpha=0.2, linewidth=0)
        axis.plot(at, middle, color=AFTER)
    plots.calm(axis, name)
    axis.set(xlabel=f"step ({name})")


def _heap(axis: Axes, series: dict[str, np.ndarray], shades: dict[str, str], of: str) -> None:
    """Histograms over each other; lines are means. of: what the axis shows."""
    everything = np.concatenate([np.asarray(values, dtype=float) for values in series.values()])
    low, high = np.percentile(everything, [0.5, 99.5])
    edges = np.linspace(low, high, 25) if high > low else np.linspace(low - 0.5, high + 0.5, 25)
    for name, values in series.items():
        axis.hist(np.clip(values, edges[0], edges[-1]), edges, color=shades[name], alpha=0.55, label=name)
        axis.axvline(np.mean(values), color=shades[name], linewidth=1.4)
    if low < 0 < high:
        axis.axvline(0, color=plots.COLOURS["ink"], linewidth=0.8, linestyle=":")
    axis.set(xlabel=of)
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
    plots.calm(axis, "kl_k3")
    axis.set(xlabel="step (KL in nats)")
    _say(axis, f"{kl['k3']:.1f} nats from the start" + ("" if findings.sign(kl["interval"]) else " (may be 0)"))


def _flaws(axis: Axes, comparison: Comparison, names: dict[str, str]) -> None:
    """Shares of answers with each flaw, before and after; without a judge who knows flaws, nothing."""
    found, label = {name: comparison.flaws(name) for name in names}, list(names)[-1]
    if not found[comparison.baseline]:
        axis.set_axis_off()
        return
    for shift, (name, flaws) in zip((0.2, -0.2), found.items()):
        axis.barh(np.arange(len(flaws)) + shift, [hits.mean() for hits in flaws.values()], 0.38, color=names[name])
    axis.set_yticks(range(len(flaws)), list(flaws))
    most = max(flaws, key=lambda name: abs(found[label][name].mean() - found[comparison.baseline][name].mean()))
    before, after = (found[name][most] for name in names)
    clear = findings.of_differences(after.mean(1) - before.mean(1))[1]
    _say(axis, f"{most} {before.mean():.0%} to {after.mean():.0%}" + ("" if clear else " (may be chance)"))
    axis.set(xlabel="answers with the flaw")
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _rates(axis: Axes, label: str, comparison: Comparison) -> None:
    """The win rate of the policy, and of DPO, if that is another."""
    shown = [name for name in dict.fromkeys((label, "DPO")) if name in comparison.win_rates]
    for place, name in enumerate(shown):
        rate, shade = comparison.win_rates[name], AFTER if name == label else plots.COLOURS["dpo"]
        axis.vlines(place, *rate.interval, color=shade, linewidth=2)
        axis.plot(place, rate.rate, "o", color=shade)
    axis.axhline(0.5, color=plots.COLOURS["line"], linestyle=":")
    axis.set_xticks(range(len(shown)), shown)
    word = {"beats": "beats", "loses to": "loses to", "cannot be told from": "not told from"}[
        comparison.win_rates[label].beats
    ]
    _say(axis, f"{word} {comparison.baseline}: wins {findings.rate(comparison.win_rates[label].rate)}")
    axis.set(xlabel=f"win rate over {comparison.baseline}", ylim=(-0.02, 1.02), xlim=(-0.6, len(shown) - 0.4))
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

"""What notebook 03 shows and does not teach: its tables, pictures and sentences. A policy's measures are `measure`'s."""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch.nn.functional import logsigmoid

from prefnb import evaluate, methods, parameters, plots
from prefnb.batches import Examples
from prefnb.claims.arms import PAPER_SIMPO
from prefnb.course import Comparison
from prefnb.evaluate import WinRate
from prefnb.judges import Judge
from prefnb.lessons import words
from prefnb.logprobs import DatasetLogprobs
from prefnb.training import History

Setting = tuple[float, float]  # (gamma, beta)
MISTAKES = ("SimPO on the sum", "DPO on the mean")
LOUD = 0.45  # from one half: a pair of weight above 0.95 or below 0.05 shouts or is silent


def share(which: torch.Tensor) -> float:
    """The share of pairs for which this is true."""
    return float(which.float().mean())


def check_grid(p: parameters.Settings) -> None:
    """ParameterError if the grid's gammas and betas are not as many."""
    if len(p.grid_gammas) != len(p.grid_betas):
        raise parameters.ParameterError(
            f"'grid_gammas' has {len(p.grid_gammas)} numbers and 'grid_betas' has {len(p.grid_betas)}: give as many of each."
        )


# ---------------------------------------------------------------- by hand


def plot_toy(responses: Mapping[str, Sequence[float]]) -> Figure:
    """{response: log-probs of its tokens}: sum and mean so far, token by token."""
    figure, axes = plots.subplots(1, 2, figsize=(8, 2.6))
    looks = zip((plots.CYCLE[1], plots.CYCLE[5], plots.CYCLE[3]), (2, 4, 1.5))
    for (name, tokens), (colour, width) in zip(responses.items(), looks):
        steps = np.arange(1, len(tokens) + 1)
        for axis, values in zip(axes, (np.cumsum(tokens), np.cumsum(tokens) / steps)):
            axis.plot(steps, values, color=colour, linewidth=width, label=name)
            axis.plot(steps[-1], values[-1], "o", color=colour)
    axes[0].set(xlabel="token", ylabel="$S$ so far (nats)", title="the sum falls with every token")
    axes[1].set(xlabel="token", ylabel="$S/|y|$ so far", title="the mean stays level", ylim=(-1.5, 0))
    axes[0].legend()
    return figure


def toy_in_words(names: Sequence[str], sums: torch.Tensor, means: torch.Tensor) -> str:
    """Which of the first two responses is the likelier by either; the third is the second said twice."""
    first, second = (names[int(values[:2].argmax())] for values in (sums, means))
    return (f"**Of the first two, {first}, is the likelier by the sum and {second}, by the mean.** Said twice, the sum goes from "
            f"{sums[1]:g} to {sums[2]:g} and the mean from {means[1]:g} to {means[2]:g}.")  # fmt: skip


def plot_loss(gammas: Sequence[float], beta: float, gamma: float, dpo_beta: float) -> Figure:
    """SimPO's loss against the margin, a curve a gamma; and the push on each token at m = 0, beside DPO's."""
    figure, (left, right) = plots.subplots(1, 2, figsize=(8, 2.8))
    margins, tokens = torch.linspace(-4, 8, 200), torch.arange(2, 81)
    for value, shade in zip(gammas, np.linspace(0.3, 1, len(gammas))):
        left.plot(margins, -logsigmoid(margins - value), color=plots.COLOURS["simpo"], alpha=shade, label=f"$\\gamma$ = {value:g}")
    left.set(xlabel="margin $m$", ylabel="loss of a pair", title="a target makes right pairs cost something")
    push = beta * torch.sigmoid(torch.tensor(gamma)) / tokens
    right.plot(tokens, push, color=plots.COLOURS["simpo"], label=f"SimPO, $\\gamma$ = {gamma:g}, $\\beta$ = {beta:g}")
    right.axhline(dpo_beta / 2, color=plots.COLOURS["dpo"], linestyle="--", label=f"DPO, $\\beta$ = {dpo_beta:g}")
    right.set(xlabel="tokens in the response", ylabel="push on each, at $m = 0$", yscale="log",
              title="SimPO's push on a token falls with length")  # fmt: skip
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    left.legend()
    right.legend()
    return figure


def pushes_in_words(losses: torch.Tensor, each: Sequence[float], in_all: Sequence[float]) -> str:
    """The third pair, in which B is said twice, beside the first: its loss, and the push on a token and on all."""
    pushed = (f"is pushed {in_all[2] / in_all[0]:.2f} times as hard in all, each of its tokens {each[2] / each[0]:.2f} times"
              if in_all[0] else "is pushed, where once it is not pushed at all")  # fmt: skip
    return f"**Said twice, B costs {float((losses[2] - losses[0]).detach()):.3f} more and {pushed}.**"


# ---------------------------------------------------------------- the data


def plot_by_length(start) -> Figure:
    """By how much chosen responses are likelier than rejected ones, against how much longer they are; start: the pairs'
    log-probs under SFT."""
    found = by_length(start)
    longer = (start.chosen.length - start.rejected.length).numpy()
    figure, axes = plots.subplots(1, 2, figsize=(8, 2.8))
    for axis, (name, (gap, _, slope)) in zip(axes, found.items()):
        axis.plot(longer, gap, "o", color=plots.COLOURS["ink"], alpha=0.4, markersize=3)
        axis.axhline(0, color=plots.COLOURS["ink"], linewidth=0.8)
        unit = {"sum": "nats", "mean": "nats per token"}[name]
        axis.set(xlabel="tokens in chosen - in rejected", ylabel=f"chosen - rejected ({unit})",
                 title=f"the {name} {_leans(slope)} length ({slope:+.2f})")  # fmt: skip
    return figure


def by_length(start) -> dict[str, tuple[np.ndarray, float, float]]:
    """{"sum" and "mean": (chosen less rejected (n,), share above 0, its correlation with the difference in tokens)}"""
    longer, found = (start.chosen.length - start.rejected.length).numpy(), {}
    for name in ("sum", "mean"):
        gap = (getattr(start.chosen, name) - getattr(start.rejected, name)).numpy()
        found[name] = gap, float(np.mean(gap > 0)), float(np.corrcoef(longer, gap)[0, 1])
    return found


def _leans(slope: float) -> str:
    return "falls with" if slope < -0.1 else "rises with" if slope > 0.1 else "hardly depends on"


def by_length_in_words(start) -> str:
    """Which share of chosen responses is the likelier, by the sum and by the mean, and what length has to do with it."""
    (_, by_sum, sums), (gap, by_mean, means) = by_length(start).values()
    return (f"**By the sum the chosen response is the likelier one in {by_sum:.0%} of {len(gap)} pairs, by the mean in "
            f"{by_mean:.0%}. The sum's difference {_leans(sums)} that of the lengths, the mean's {_leans(means)} it** "
            f"(correlations of {sums:+.2f} and {means:+.2f}).")  # fmt: skip


# ---------------------------------------------------------------- training


def dpo_of_02(p: parameters.Settings, rate: float) -> tuple[torch.nn.Module, History]:
    """DPO with the same parameters but its own learning rate. Its d is its reward over beta."""
    given = p.shared_with(methods.dpo.Settings) | {"beta": p.dpo_beta, "learning_rate": rate}
    made = methods.dpo.recipe(**given)
    for row in made.history.rows:
        row |= {f"d_{side}": row[f"reward_{side}"] / p.dpo_beta for side in ("chosen", "rejected")}
    return made.model, made.history


def beside(dpo: History) -> Callable[[History], Figure]:
    """The picture that grows while SimPO trains, DPO's curves beside its own."""

    def plot(history: History) -> Figure:
        figure = plots.plot_training({"DPO": dpo, "SimPO": history},
                                     ["loss", "margin", "accuracy", "d_chosen", "d_rejected"])  # fmt: skip
        titles = {1: "margin, as each method has it", 3: "$d(y_w)$, chosen (nats)", 4: "$d(y_l)$, rejected (nats)"}
        for axis, title in titles.items():
            figure.axes[axis].set_title(title)
        return figure

    return plot


def trained_in_words(histories: Mapping[str, History], rates: Mapping[str, float]) -> str:
    """Where accuracy on training pairs ends. rates: learning rates."""
    ends = {label: found.last("accuracy") for label, found in histories.items()}
    steps = {label: f"{len(histories[label].rows)} steps at learning rate {rate:g}" for label, rate in rates.items()}
    return (f"**Over the last ten steps SimPO has {ends['SimPO']:.0%} of its pairs the right way round, DPO {ends['DPO']:.0%}** "
            f"(SimPO: {steps['SimPO']}; DPO: {steps['DPO']}).")  # fmt: skip


def measure(policy: torch.nn.Module, pairs: Examples, before, kl: dict) -> dict:
    """What a policy makes of held-out pairs. before: the pairs' log-probs under SFT; kl: the policy's from it."""
    now = DatasetLogprobs.compute(policy, pairs).all()
    d = {side: getattr(now, side).sum - getattr(before, side).sum for side in ("chosen", "rejected")}
    return {"now": now, "d_chosen": d["chosen"], "d_rejected": d["rejected"], "kl": kl,
            "by_mean": share(now.chosen.mean > now.rejected.mean), "by_change": share(d["chosen"] > d["rejected"])}  # fmt: skip


def moved_table(measured: Mapping[str, dict], labels: Sequence[str] = ()) -> list[list]:
    """The measures of some policies, or of all, a row each."""
    rows = [["policy", "accuracy by the mean", "by the change of the sum", "d(chosen)", "d(rejected)", "sampled KL, k3",
             "95% interval"]]  # fmt: skip
    for label in labels or measured:
        one = measured[label]
        d = [evaluate.mean_and_interval(one[f"d_{side}"]) for side in ("chosen", "rejected")]
        rows.append(
            [label, one["by_mean"], one["by_change"], *d, one["kl"]["k3"], words.interval(one["kl"]["interval"])]
        )
    return rows


def how_far(measured: Mapping[str, dict]) -> str:
    """How far SimPO went from SFT beside DPO, by the KL's intervals, as a comparative."""
    simpo, dpo = (measured[label]["kl"]["interval"] for label in ("SimPO", "DPO"))
    return words.apart(simpo, dpo, "further than", "less far than", "not clearly further or less far than")


def _both(found: dict) -> str:
    """What became of both responses, in a clause."""
    chosen, rejected = (evaluate.change(found[f"d_{side}"]) for side in ("chosen", "rejected"))
    if chosen == rejected == "did not move by more than chance":
        return "neither response moved by more than chance"
    return f"the chosen response {chosen}, the rejected one {rejected}"


def moved_in_words(measured: Mapping[str, dict], before) -> str:
    """What became of both responses under each policy, and how far SimPO went. before: log-probs under SFT."""
    each = [f"Under {label} {_both(found)}." for label, found in measured.items()]
    kls = " against ".join(f"{measured[label]['kl']['k3']:.2f}" for label in ("SimPO", "DPO"))
    at_start = share(before.chosen.mean > before.rejected.mean)
    return (f"**{' '.join(each)} By its own samples SimPO went {how_far(measured)} DPO from SFT** ({kls} nats a response). Before "
            f"training, accuracy by the mean was {at_start:.3f}.")  # fmt: skip


# ---------------------------------------------------------------- sum for mean


def weights(loss: torch.Tensor) -> np.ndarray:
    """sigma(gamma - m) of each pair: one minus the likelihood that the loss is the negative logarithm of."""
    return 1 - torch.exp(-loss).numpy()


def loud(weights: np.ndarray) -> float:
    """The share of pairs that shout or are silent."""
    return float(np.mean(np.abs(weights - 0.5) > LOUD))


def plot_weights(spread: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """{policy: weights of held-out pairs (before, after)}: thin from 5% to 95%, thick between the quartiles, a dot at the
    median; before in grey."""
    figure, axis = plots.subplots(figsize=(8, 2.7))
    shades = plots.colours(spread)
    for position, label in enumerate(reversed(spread)):
        for shift, found, colour in zip((0.15, -0.15), spread[label], (plots.COLOURS["line"], shades[label])):
            low, first, middle, last, high = np.percentile(found, [5, 25, 50, 75, 95])
            axis.hlines(position + shift, low, high, color=colour, linewidth=1)
            axis.hlines(position + shift, first, last, color=colour, linewidth=5)
            axis.plot(middle, position + shift, "o", color=colour, markeredgecolor=plots.COLOURS["paper"], markersize=7)
    axis.set_yticks(range(len(spread)), list(reversed(spread)))
    shout = loud(spread[MISTAKES[0]][1])
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.5, len(spread) - 0.5),
             title=f"{MISTAKES[0]}: {shout:.0%} of the pairs shout or are silent",
             xlabel="weight of a held-out pair, $\\sigma(\\gamma - m)$ (grey: before training)")  # fmt: skip
    return figure


def weights_in_words(spread: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """What the wrong word does to the weights, and a line a policy."""
    width = np.ptp(spread[MISTAKES[1]][1])
    lines = [f"- {label}: before training {loud(before):.0%} of the pairs weigh less than {0.5 - LOUD:.2f} or more than "
             f"{0.5 + LOUD:.2f}; afterwards {loud(after):.0%}, and the weights' standard deviation is {after.std():.3f}."
             for label, (before, after) in spread.items()]  # fmt: skip
    return (f"**With the wrong word {loud(spread[MISTAKES[0]][1]):.0%} of SimPO's pairs shout or are silent, and DPO's weights "
            f"all lie within {width:.2f} of each other.**\n\n" + "\n".join(lines))  # fmt: skip


def mistakes_in_words(comparison: Comparison) -> str:
    """Whether the two mistakes make worse answers than the methods themselves."""
    if not comparison.judge:
        return "Without a judge it cannot be told here whether a mistake makes worse answers."
    leads = {label: comparison.outcomes(label) - comparison.outcomes(label.split()[0]) for label in MISTAKES}
    each = [f"{label} is " + words.lead(lead, "better than the method itself", "worse than the method itself",
                                        "not to be told from the method itself") for label, lead in leads.items()]  # fmt: skip
    told = f"**By its answers {'; '.join(each)}.**"
    winning = [label for label in leads if comparison.win_rates[label].beats == "beats"]
    if winning:
        told += (f" Against SFT alone {words.listed(winning)} {'win' if len(winning) > 1 else 'wins'} all the same: a win rate "
                 "need not show a mistake.")  # fmt: skip
    if any(evaluate.bootstrap_interval(lead)[1] >= 0 for lead in leads.values()):
        told += " So a mistake need not lower a win rate: look for it in the weights."
    return told


# ---------------------------------------------------------------- the grid


def grid_of(p: parameters.Settings) -> dict[Setting, str]:
    """{(gamma, beta): label} of the notebook's own setting, "SimPO", and of its grid."""
    settings = list(dict.fromkeys([(p.gamma, p.beta), *zip(p.grid_gammas, p.grid_betas)]))
    return {one: "SimPO, gamma {:g}, beta {:g}".format(*one) for one in settings} | {settings[0]: "SimPO"}


def found_at(labels: Mapping[Setting, str], comparison: Comparison, policies: Mapping, pairs: Examples) -> dict:
    """{setting or "DPO": (number, note)}: win rates with intervals; where nobody can judge, held-out accuracy by the mean."""
    found = {}
    for setting, label in {**labels, "DPO": "DPO"}.items():
        if comparison.judge:
            rate = comparison.win_rates[label]
            found[setting] = rate.rate, "{:.2f}\n[{:.2f}, {:.2f}]".format(rate.rate, *rate.interval)
        else:
            now = DatasetLogprobs.compute(policies[label], pairs).all()
            accuracy = share(now.chosen.mean > now.rejected.mean)
            found[setting] = accuracy, f"{accuracy:.2f}"
    return found


def plot_grid(ours: Mapping, paper: Mapping[Setting, float], paper_dpo: float, what: str) -> Figure:
    """Our tiles beside the paper's, either with its DPO in the title. ours: `found_at`'s; what: its numbers are."""
    figure, (left, right) = plots.subplots(1, 2, figsize=(8, 3.2))
    mine = {setting: found for setting, found in ours.items() if setting != "DPO"}
    places = [sorted({setting[i] for setting in [*mine, *paper]}) for i in (0, 1)]
    _tiles(left, mine, places, f"ours: {_above(mine, ours['DPO'][0])} above DPO ({ours['DPO'][0]:.2f})")
    theirs = {setting: (rate, f"{rate:.3f}") for setting, rate in paper.items()}
    _tiles(right, theirs, places, f"paper 004: {_above(theirs, paper_dpo)} above DPO ({paper_dpo})")
    theirs_are = "win rate over SFT"
    figure.supxlabel(what if what == theirs_are else f"ours: {what}; the paper's: {theirs_are}", fontsize=9)
    return figure


def _above(tiles: Mapping[Setting, tuple[float, str]], dpo: float) -> str:
    """ "1 of 3" """
    return f"{sum(number > dpo for number, _ in tiles.values())} of {len(tiles)}"


def _tiles(
    axis: Axes, values: Mapping[Setting, tuple[float, str]], places: Sequence[Sequence[float]], title: str
) -> None:
    """{(gamma, beta): (number, note)} as annotated tiles. places: all gammas, all betas."""
    gammas, betas = places
    shades = np.full((len(gammas), len(betas)), np.nan)
    for (gamma, beta), (number, note) in values.items():
        row, column = gammas.index(gamma), betas.index(beta)
        shades[row, column] = number
        colour = plots.COLOURS["paper" if abs(number - 0.5) > 0.33 else "ink"]
        axis.text(column, row, note, ha="center", va="center", fontsize=9, color=colour)
    axis.imshow(shades, cmap="RdBu", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(betas)), [f"{value:g}" for value in betas])
    axis.set_yticks(range(len(gammas)), [f"{value:g}" for value in gammas])
    axis.set(xlabel="$\\beta$", ylabel="$\\gamma$")
    axis.set_title(title, fontsize=9)
    axis.grid(False)


def grid_in_words(ours: Mapping, paper: Mapping[Setting, float], paper_dpo: float) -> str:
    """How many settings are above their own DPO, and the best of either. Arguments: `plot_grid`'s."""
    numbers = {setting: number for setting, (number, _) in ours.items() if setting != "DPO"}
    above = [f"{sum(number > dpo for number in found.values())} of {len(found)}"
             for found, dpo in ((numbers, ours["DPO"][0]), (paper, paper_dpo))]  # fmt: skip
    best = ["gamma {:g}, beta {:g}, at {:.2f}".format(*(top := max(found, key=found.get)), found[top])
            for found in (numbers, paper)]  # fmt: skip
    return (f"**Above their own DPO: {above[0]} settings of ours, {above[1]} of the paper's.** Best of ours: {best[0]}; best of "
            f"the paper's: {best[1]}.")  # fmt: skip


# ---------------------------------------------------------------- what follows


def overall(verdicts: Sequence[str]) -> str:
    """A claim about every setting: it takes all to hold, and one to fail."""
    return next((word for word in (words.FAILS, words.OPEN) if word in verdicts), words.HOLDS)


def claims(
    labels: Mapping[Setting, str], comparison: Comparison, paper: Mapping[Setting, float], paper_dpo: float
) -> list[list]:
    """The rows of `beside.show_verdicts`, one a setting; none without a judge."""
    rows = []
    for (gamma, beta), label in labels.items() if comparison.judge else ():
        lead = comparison.outcomes("DPO") - comparison.outcomes(label)  # over SFT, prompt by prompt
        printed, tried = paper.get((gamma, beta)), (gamma, beta) in PAPER_SIMPO
        rates = f"SimPO {comparison.win_rates[label]}, DPO {comparison.win_rates['DPO'].rate:.2f}"
        rows.append([f"6: at gamma {gamma:g}, beta {beta:g} SimPO is below DPO",
                     "not tried" if printed is None else f"SimPO {printed}, DPO {paper_dpo}",
                     f"{rates}; DPO's lead {evaluate.mean_and_interval(lead)}",
                     evaluate.verdict(evaluate.bootstrap_interval(lead), 0),
                     (6, PAPER_SIMPO.index((gamma, beta))) if tried else None])  # fmt: skip
    return rows


def claim_in_words(verdicts: Sequence[str]) -> str:
    """The claim on all settings, by this run; verdicts: of each, the notebook's own setting first."""
    if not verdicts:
        return "**That SimPO without careful tuning is below DPO cannot be told: there is no judge here.**"
    return (f"**That SimPO without careful tuning is below DPO {overall(verdicts)}**, by this one seed. At the first setting of "
            f"the table by itself: {verdicts[0]}.")  # fmt: skip


def answer(
    rates: Mapping[str, WinRate], lead: np.ndarray | None, judge: Judge | None, measured: Mapping[str, dict]
) -> str:
    """The answer to the notebook's question. lead: DPO's outcomes less SimPO's by prompt, if there is a judge."""
    end = (
        f"By its own samples SimPO went {how_far(measured)} DPO from SFT. One seed of training, `-p seed 1` is another; "
        f"where the long runs above say otherwise, they have the greater weight."
    )
    if judge is None or lead is None:
        return f"**Without a judge this run cannot tell.** {end}"
    to_learn = words.by_sign(rates["SimPO"].interval, "No, not to learn from them: SimPO, which has none, beats SFT",
                             "Here SimPO, which has none, loses against SFT",
                             "This run cannot tell: SimPO, which has none, is not to be told from SFT", 0.5)  # fmt: skip
    better = words.by_sign(evaluate.bootstrap_interval(lead), "the reference helps: DPO is ahead of SimPO",
                           "it does better without: SimPO is ahead of DPO", "the two are not to be told apart")  # fmt: skip
    return (f"**{to_learn}** ({rates['SimPO']}; judge: {judge.name}). **Against DPO at these settings, {better}** (DPO's lead: "
            f"{evaluate.mean_and_interval(lead)}). {end}")  # fmt: skip

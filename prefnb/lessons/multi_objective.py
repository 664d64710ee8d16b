"""What 08 shows: tables and pictures of scores in several objectives, and what its trainings came to, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import logsigmoid

from prefnb import evaluate, plots, widgets
from prefnb.course import Comparison
from prefnb.evaluate import Collapse
from prefnb.judges import Scores
from prefnb.lessons import words
from prefnb.logprobs import from_tokens
from prefnb.methods.multi_objective import PreferenceFunction, feature_names, score_vectors
from prefnb.training import History

Rule = Callable[[torch.Tensor], torch.Tensor]  # score vectors (n, k) to one reward each, (n,)
ANSWERS = "ABC"  # what the three answers of the toy are called

# ---------------------------------------------------------------- by hand


def show_gaps(scores: torch.Tensor, gaps: torch.Tensor, rewards: Mapping[tuple, torch.Tensor]) -> None:
    """The toy's answers, (3, 2), and their rewards by {weights: (3,)}: a table, and under which weights nothing differs."""
    pair = lambda values: "{:.1f}, {:.1f}".format(*values)
    widgets.show_table(["weights", "answer", "scores", "gaps", "reward r"],
                       *[[pair(weights), ANSWERS[i], pair(scores[i]), pair(gaps[i]), found[i].item()]
                         for weights, found in rewards.items() for i in range(len(scores))])  # fmt: skip
    apart = {pair(weights): float(found.max() - found.min()) for weights, found in rewards.items()}
    widgets.say("**The best and the worst reward are " + ", and ".join(
        f"{value:.2f} apart with weights {weights}" for weights, value in apart.items()) + ".**")  # fmt: skip


def show_two_words(reinforce: Callable) -> None:
    """What one sample of either word says by the notebook's own loss, with the reward as it is and with 5 added."""
    often, rows = torch.tensor([0.75, 0.25]), []
    for label, advantage in (("as printed, r", [-6.0, -2.0]), ("with a baseline, r + 5", [-1.0, 3.0])):
        theta = torch.tensor(3.0).log().requires_grad_()
        two = from_tokens(sample=torch.stack([logsigmoid(theta), logsigmoid(-theta)])[:, None])
        loss, _ = reinforce(two, advantage=torch.tensor(advantage))
        push = torch.stack([-torch.autograd.grad(one, theta, retain_graph=True)[0] for one in loss])
        mean = (often * push).sum()
        rows.append([label, *map(float, (*push, mean, (often * (push - mean) ** 2).sum()))])
    widgets.show_table(["reward counted", "a sample of a says", "of b", "average", "variance"], *rows)
    (*_, first, noisy), (*_, second, quiet) = rows
    level = (
        f"both average to {first:.2f}"
        if abs(first - second) < 1e-4
        else f"they average to {first:.2f} and {second:.2f}"
    )
    widgets.say(f"**By the loss and autograd: {level}; the variance is {noisy / quiet:.2f} times as large without the "
                "baseline.**")  # fmt: skip


# ---------------------------------------------------------------- before and after training


def show_start(parts: Mapping[str, np.ndarray], learnt: Sequence[str]) -> None:
    """How far each objective, {name: (n, K)}, is from its ideal of 1 before training, and those that are learnt from."""
    rows = [[name, f"{part.mean():.2f} [{words.interval(evaluate.bootstrap_interval(part)).replace(' to ', ', ')}]",
             float(1 - part.mean())] for name, part in parts.items()]  # fmt: skip
    widgets.show_table(["objective", "mean score of SFT [95% interval]", "mean gap to 1"], *rows)
    gap = {name: float(1 - part.mean()) for name, part in parts.items()}
    most, least = max(gap, key=gap.get), min(gap, key=gap.get)
    widgets.say(f"**The largest gap is that of {most} ({gap[most]:.2f}), the smallest that of {least} ({gap[least]:.2f}).** "
                "The two objectives that training below is about are "
                + words.listed(f"{name} ({gap[name]:.2f})" for name in learnt) + ".")  # fmt: skip


def show_live(live: Mapping[str, History], curves: Sequence[str]) -> None:
    """A few live steps as printed and with the baseline: means, and how long the two gradients are."""
    steps = len(next(iter(live.values())).rows)
    shown = [*curves, "grad_norm"]
    widgets.show_table([f"mean over {steps} steps", *(name.replace("_", " ") for name in shown)],
                       *words.live_means(live, shown))  # fmt: skip
    norms = [history["grad_norm"][1].mean() for history in live.values()]
    widgets.say("**So few steps decide nothing about rewards; but the gradient as printed is "
                f"{norms[0] / norms[1]:.1f} times as long as with the baseline.**")  # fmt: skip


def how_it_went(label: str, history: History, change: Mapping[str, str], collapse: Collapse) -> str:
    """A training in a few sentences: its curves, and on the test prompts {objective: change against SFT}."""
    reward, length, entropy = (words.first_to_last(history, name, 3) for name in ("reward", "length", "entropy"))
    return (f"- **{label}, {len(history.rows)} steps: reward {reward}**, length {length} tokens, entropy {entropy} nats a "
            f"token (first third of the steps to last); the gradient norm was {history['grad_norm'][1].mean():.1f} on "
            f"average. On the test prompts against SFT: {', '.join(f'{name} {value}' for name, value in change.items())}. "
            f"{collapse}")  # fmt: skip


def show_how_they_went(
    histories: Mapping[str, History], scores: Mapping[str, Scores], names: Sequence[str], checks: Mapping[str, Collapse]
) -> None:
    """`how_it_went` of each training in `checks`, and which of the two ends more undecided."""
    against_sft = lambda label: {name: evaluate.mean_and_interval(scores[label].parts[name] - scores["SFT"].parts[name])
                                 for name in names}  # fmt: skip
    widgets.say("\n".join(how_it_went(label, histories[label], against_sft(label), checks[label]) for label in checks))
    late = {name: [histories[label][name][1][-len(histories[label].rows) // 3 :].mean() for label in checks]
            for name in ("entropy", "length")}  # fmt: skip
    (undecided, surer), (long, short) = late["entropy"], late["length"]
    widgets.say(f"**In its last third the training as printed is {'more' if undecided > surer else 'less'} undecided than "
                f"the other ({undecided:.2f} nats a token, {surer:.2f}); its answers are {long / short:.2f} times as "
                "long.**")  # fmt: skip


# ---------------------------------------------------------------- rules, and what they choose


def maps(rules: Mapping[str, Rule], toy: torch.Tensor, names: Sequence[str]) -> tuple[Figure, str]:
    """The plane of two scores by {label: rule}: lines of equal reward and the toy's answers, the best of them in black.
    And in words which one each rule prefers."""
    scale = torch.linspace(0, 1, 60, dtype=torch.float64)
    plane, said = torch.cartesian_prod(scale, scale), []
    figure, axes = plots.subplots(1, len(rules), figsize=(9, 3.1), sharey=True, layout="constrained")
    for axis, (label, rule) in zip(axes, rules.items()):
        axis.contour(scale, scale, rule(plane).reshape(60, 60).T, levels=9, cmap="viridis", linewidths=1)
        best = rule(toy) >= rule(toy).max() - 1e-9
        for name, point, is_best in zip(ANSWERS, toy, best):
            axis.plot(*point, "o", color=plots.COLOURS["ink" if is_best else "pale"])
            axis.annotate(name, point.tolist(), xytext=(5, 4), textcoords="offset points", fontsize=9)
        liked = [name for name, is_best in zip(ANSWERS, best) if is_best]
        first = "A, B and C are level" if len(liked) == len(toy) else f"{words.listed(liked)} is best"
        axis.set(xlabel=names[0], title=f"{label}:\n{first}")
        said.append(f"**{label}** prefers {' = '.join(liked)}")
    axes[0].set_ylabel(names[1])
    return figure, "; ".join(said) + ". Lines join scores of equal reward; yellow is better."


def choose(rule: Rule, vectors: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of score vectors (prompts, answers, k) those that a rule likes best: their mean, (prompts, k), and their share,
    (prompts, answers); of equals, all alike."""
    reward = rule(vectors.flatten(0, 1)).reshape(vectors.shape[:2])
    share = (reward >= reward.max(1, keepdim=True).values - 1e-9).double()
    share = share / share.sum(1, keepdim=True)
    return (vectors * share[:, :, None]).sum(1).numpy(), share.numpy()


def choices(vectors: torch.Tensor, rules: Mapping[str, Rule]) -> dict[str, np.ndarray]:
    """{label: (prompts, k)}: the mean scores of any answer, and of what each rule chooses."""
    return {"any answer": vectors.mean(1).numpy(), **{label: choose(rule, vectors)[0] for label, rule in rules.items()}}


@dataclass(frozen=True)
class Bought:
    """What more weight on the first of two objectives buys, and what it costs of the second: as a sentence (`str`), and short,
    as a figure's title."""

    most: float
    least: float
    names: tuple[str, str]
    changes: tuple[np.ndarray, np.ndarray]  # (prompts,) each

    def __str__(self) -> str:
        first, second = (evaluate.mean_and_interval(one) for one in self.changes)
        return (f"With a weight of {self.most:g} on {self.names[0]} instead of {self.least:g} the chosen answers change by "
                f"{first} in {self.names[0]} and by {second} in {self.names[1]}")  # fmt: skip

    @property
    def title(self) -> str:
        first, second = (one.mean() for one in self.changes)
        return f"weight {self.least:g} to {self.most:g} on {self.names[0]}: {first:+.2f} of it, {second:+.2f} {self.names[1]}"


def bought(chosen_by: Mapping[str, np.ndarray], names: Sequence[str], mixes: Sequence[float]) -> Bought:
    """The choices of the linear rule with the most weight on the first objective beside those with the least."""
    most, least = max(mixes), min(mixes)
    moved = chosen_by[f"linear {most:g}"] - chosen_by[f"linear {least:g}"]
    return Bought(most, least, (names[0], names[1]), (moved[:, 0], moved[:, 1]))


def dominated(points: np.ndarray) -> np.ndarray:
    """For each point (n, 2): is there another that is better in one objective and no worse in the other?"""
    points = np.asarray(points)
    better = (points[None] >= points[:, None]).all(2) & (points[None] > points[:, None]).any(2)
    return better.any(1)


def front(chosen_by: Mapping[str, np.ndarray], names: Sequence[str], title: str) -> Figure:
    """{label: (prompts, k)}: means with 95% intervals in the plane of the first two objectives; dominated points are
    hollow."""
    figure, axis = plots.subplots(figsize=(7, 3.8), layout="constrained")
    points = np.array([values[:, :2].mean(0) for values in chosen_by.values()])
    beaten = dominated(points)
    for i, ((label, values), colour) in enumerate(zip(chosen_by.items(), plt.get_cmap("tab10").colors * 2)):
        across, up = (evaluate.bootstrap_interval(values[:, j]) for j in (0, 1))
        (x, y), face = points[i], "white" if beaten[i] else colour
        axis.plot(across, (y, y), (x, x), up, color=colour, linewidth=0.8)
        axis.plot(x, y, "o", color=colour, markersize=8, label=label, markerfacecolor=face)
    axis.plot(*zip(*sorted(points[~beaten].tolist())), "k:", linewidth=1, zorder=0)
    axis.set(xlabel=f"{names[0]}, mean over prompts", ylabel=f"{names[1]}, mean over prompts", title=title)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="hollow: dominated")
    return figure


def spread(values: torch.Tensor) -> float:
    """The mean deviation of (prompts, answers) within a prompt."""
    return float(values.std(1, correction=0).mean())


def show_spreads(vectors: torch.Tensor, mixes: Sequence[float], names: Sequence[str]) -> None:
    """By how much linear rewards and their weighted parts differ within a prompt's answers, and whether parts cancel."""
    first, second = names[:2]
    parts = {a: (a * vectors[:, :, 0], (1 - a) * vectors[:, :, 1]) for a in mixes}
    widgets.show_table(["rule", "the reward's spread", f"{first}'s, weighted", f"{second}'s, weighted"],
                       *[[f"linear {a:g}", spread(one + other), spread(one), spread(other)]
                         for a, (one, other) in parts.items()])  # fmt: skip
    centred = (vectors[:, :, :2] - vectors[:, :, :2].mean(1, keepdim=True)).flatten(0, 1)
    ratio = spread(vectors[:, :, 0]) / max(spread(vectors[:, :, 1]), 1e-9)
    together = float(torch.corrcoef(centred.T)[0, 1])
    widgets.say(f"**At equal weights {first} moves the reward {ratio:.1f} times as much as {second}.** Within a prompt's "
                f"answers the two go together with a correlation of {together:+.2f}: {cancelling(together)}.")  # fmt: skip


def cancelling(together: float) -> str:
    """What a correlation of two objectives means for their sum."""
    if abs(together) < 0.2:
        return "they hardly know of each other, so that a weighted sum loses little to cancelling"
    if together > 0:
        return "what is good in one is good in the other, and nothing cancels"
    return "what is good in one is often bad in the other, and a weighted sum cancels a part of both"


# ---------------------------------------------------------------- a rule learnt from pairs


def right(difference: np.ndarray | torch.Tensor) -> np.ndarray:
    """1 for each pair whose better side is ahead, (n,), 0 for the others, 0.5 for a tie."""
    difference = np.asarray(difference)
    return 0.5 * (1 + np.sign(np.where(np.abs(difference) < 1e-9, 0, difference)))


def in_order(rule: Rule, held_out: tuple[Scores, Scores]) -> np.ndarray:
    """`right` of the scores of chosen and rejected responses, by a rule on score vectors."""
    better, worse = (rule(score_vectors(side.parts)) for side in held_out)
    return right(better - worse)


def show_weights(f: PreferenceFunction, names: Sequence[str]) -> None:
    """The weights of the learnt rule as bars, and what the largest is."""
    order, named = f.weights.abs().argsort(), feature_names(names)
    figure, axis = plots.subplots(figsize=(7, 0.25 * len(f.weights) + 0.6), layout="constrained")
    axis.barh([named[i] for i in order], f.weights[order], color=plots.MEANINGS["policy"])
    largest = named[order[-1]]
    axis.set(xlabel="weight of the standardised feature", title=f"the largest weight: {largest}")
    widgets.display(figure)
    widgets.say(f"**The largest weight is that of {largest} ({f.weights[order[-1]]:+.2f}).** Features that go together share "
                "their weight, so read the bars as a group and not one by one.")  # fmt: skip


def show_accuracy(accuracy: Mapping[str, np.ndarray], by_hand: str, own: str) -> None:
    """{rule: `right` of held-out pairs}: a table, and whether the learnt rule orders pairs better than the weights set by
    hand. own: what the judge as a whole is called, if it is among them."""
    widgets.show_table(["rule", "held-out pairs in order", "95% interval"],
                       *[[label, float(hits.mean()), words.interval(evaluate.bootstrap_interval(hits), 3)]
                         for label, hits in accuracy.items()])  # fmt: skip
    gain = accuracy["learned f"] - accuracy[by_hand]
    word = words.by_sign(evaluate.bootstrap_interval(gain), "better than", "worse than",
                         "neither better nor worse, for certain, than")  # fmt: skip
    best = max(accuracy.values(), key=np.mean).mean()
    widgets.say(f"**What was learnt from pairs orders new pairs {word} the two weights set by hand**: "
                f"{evaluate.mean_and_interval(gain)} in the share of pairs in order"
                + (f"; {own} is right on {accuracy[own].mean():.2f}, f on {accuracy['learned f'].mean():.2f}"
                   if own in accuracy else "")
                + (f". No rule reaches 1 (the best has {best:.2f}): the labels of pairs are noisy." if best < 1
                   else "."))  # fmt: skip


def show_choices(
    vectors: torch.Tensor,
    rules: Mapping[str, Rule],
    names: Sequence[str],
    total: np.ndarray | None,
    own: str,
) -> None:
    """What each rule chooses among the answers, by objective and, where there is a judge, by its score (prompts, answers)."""
    found = choices(vectors, rules)
    totals = {} if total is None else {"any answer": total.mean(1), **{
        label: (total * choose(rule, vectors)[1]).sum(1) for label, rule in rules.items()}}  # fmt: skip
    header = ["rule", *(f"{name} of its choice" for name in names), *([own] if totals else [])]
    widgets.show_table(header, *[[label, *map(float, values.mean(0)), *([float(totals[label].mean())] if totals else [])]
                                 for label, values in found.items()])  # fmt: skip
    if totals:
        widgets.say(best_chooser(totals, own))


def best_chooser(totals: Mapping[str, np.ndarray], own: str) -> str:
    """Which rule's choices, {label: (prompts,)}, the judge likes best, if that can be told."""
    first, second = sorted(totals, key=lambda label: -totals[label].mean())[:2]
    lead = totals[first] - totals[second]
    clear = evaluate.bootstrap_interval(lead)[0] > 0
    best = f'"{first}" chooses best' if clear else f'"{first}" and "{second}" choose best, and cannot be told apart'
    return (f"**By {own} {best}** (the first is ahead of the second by {evaluate.mean_and_interval(lead)} points). A rule "
            "about two objectives cannot ask for the others.")  # fmt: skip


# ---------------------------------------------------------------- who wins


def show_objectives(comparison: Comparison, scores: Mapping[str, Scores], shown: Sequence[str]) -> None:
    """Every objective of the policies `shown` and of SFT: means, changes, and in what each gains most."""
    names = list(scores["SFT"].parts)
    widgets.show_table(["policy", *names, "tokens"],
                       *[[label, *(float(part.mean()) for part in scores[label].parts.values()),
                          f"{evaluate.mean_length(comparison.answers[label]):.1f}"] for label in ("SFT", *shown)])  # fmt: skip
    gain = {label: {name: scores[label].parts[name] - scores["SFT"].parts[name] for name in names} for label in shown}
    widgets.show_table(["change against SFT", *names],
                       *[[label, *map(evaluate.mean_and_interval, gain[label].values())] for label in shown])  # fmt: skip
    most = {label: max(names, key=lambda name: gain[label][name].mean()) for label in shown}
    widgets.say("**" + "; ".join(f"{label} gains most in {name}" for label, name in most.items()) + ".**")


def means(scores: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    """{policy: {objective: its mean score}}"""
    return {label: {name: float(part.mean()) for name, part in found.parts.items()} for label, found in scores.items()}


def claims(
    comparison: Comparison, chosen_by: Mapping[str, np.ndarray], names: Sequence[str], mixes: Sequence[float]
) -> list[list]:
    """Rows of `beside.show_verdicts`: paper 001's win rates, if there is a judge, and what a weight buys."""
    rows = []
    if comparison.judge:
        base = comparison.win_rate("SFT", "base")
        level = "not contradicted" if base.interval[0] <= 0.5 <= base.interval[1] else "does not hold here"
        rows.append(["16: SFT is about the base", ".485", base, level, (16, 0)])
        for label, paper, other, long_run in (
            ("DPO", ".605", "base", ("dpo", "base")),
            ("as printed", ".520", "base", None),
            ("as printed", "above", "SFT", None),
            ("DPO", "above", "as printed", None),
            ("with baseline", "not run", "SFT", (16, 1)),
            ("with baseline", "not run", "as printed", None),
            ("DPO", "not run", "with baseline", (16, 2)),
        ):
            rate = comparison.win_rate(label, other)
            rows.append([f"16: {label} beats {other}", paper, rate, evaluate.verdict(rate.interval), long_run])
    return rows + claims_of_weights(chosen_by, names, mixes)


def claims_of_weights(chosen_by: Mapping[str, np.ndarray], names: Sequence[str], mixes: Sequence[float]) -> list[list]:
    """Claim 17, for each of the two objectives: does weight on it buy it among the answers that a rule chooses?"""
    most, least, rows = f"linear {max(mixes):g}", f"linear {min(mixes):g}", []
    for i, (name, high, low) in enumerate(zip(names, (most, least), (least, most))):
        values = chosen_by[high][:, i] - chosen_by[low][:, i]
        rows.append([f"17: weight on {name} buys {name} (choices by {high} and {low}; nothing trained)", "finer control",
                     evaluate.mean_and_interval(values), evaluate.verdict(evaluate.bootstrap_interval(values), 0.0)])  # fmt: skip
    return rows

"""What 10 shows: pictures and tables of advantages, clip, KL and groups, and what came of the two forms of GRPO, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import torch
from matplotlib.figure import Figure

from prefnb import evaluate, plots, widgets
from prefnb.course import Comparison
from prefnb.estimators.groups import dead_groups
from prefnb.judges import Scores
from prefnb.lessons import words
from prefnb.logprobs import from_tokens
from prefnb.training import History

# Paper 003, table 1: win rate against Instruct, BLEU-4, perplexity.
PAPER = {
    "base": (0.500, 16.3, 19.8),
    "SFT": (0.549, 18.1, 20.7),
    "DPO": (0.593, 19.7, 18.9),
    "GRPO": (0.611, 19.4, 18.4),
}
STEPS = (("base", "SFT"), ("SFT", "DPO"), ("DPO", "GRPO, printed"), ("DPO", "GRPO, cited"))

# ---------------------------------------------------------------- by hand


def show_advantages(rewards: torch.Tensor, advantages: Mapping[str, torch.Tensor]) -> None:
    """Advantages of one group, {label: (1, k)}, leave-one-out first and then less the mean: and how the two are related."""
    widgets.show_table(["advantage", *(f"reward {value:g}" for value in rewards[0])],
                       *[[label, *values[0].tolist()] for label, values in advantages.items()])  # fmt: skip
    others, centred, *_ = advantages.values()
    ratio = float(others.norm() / centred.norm())
    level = torch.allclose(others, ratio * centred, atol=1e-4)
    widgets.say(f"**The first row is {ratio:.2f} times the second: a loss that sums advantage times log-prob has the same "
                "gradient with either, but for its length.**" if level else
                "**The first two rows point in different directions.**")  # fmt: skip


def clip_figure(grpo: Callable, clip: float) -> tuple[Figure, str]:
    """What one token brings by the notebook's own loss, against its ratio, for a good and a bad sample; and where the curve is
    level, in words."""
    line = torch.linspace(0.4, 1.6, 241)
    figure, axes = plots.subplots(1, 2, figsize=(7, 2.5), sharex=True)
    held = []
    for axis, a, kind, side in zip(axes, (1.0, -1.0), ("good", "bad"), (f"above {1 + clip:g}", f"below {1 - clip:g}")):
        at = from_tokens(sample=line.log()[:, None])
        loss, _ = grpo(at, advantage=torch.full_like(line, a), old=torch.zeros(len(line), 1), clip=clip)
        axis.plot(line, line * a, ":", color=plots.MEANINGS["reference"], label="without the clip")
        axis.plot(line, -loss, color=plots.MEANINGS["policy"], label="with it")
        axis.axvspan(1 - clip, 1 + clip, color=plots.COLOURS["line"], alpha=0.15)
        held.append(bool((loss + line * a).abs().max() > 1e-4))
        title = f"a {kind} sample, A = {a:+g}: {f'level {side}' if held[-1] else 'never level'}"
        axis.set(xlabel="ratio  $\\pi_\\theta / \\pi_{old}$", title=title)
    axes[0].set_ylabel("gain of the token")
    axes[0].legend(loc="upper left")
    if not all(held):
        return figure, "**With this loss there is a curve that is nowhere level: nothing ends the gain.**"
    return figure, (f"**A good token has nothing more to gain beyond a ratio of {1 + clip:g}, a bad one nothing below "
                    f"{1 - clip:g}: there the curve is level, without a gradient.** Its sample has moved by enough *for this "
                    "batch of samples*. The other side is never level: a good token that became less likely by mistake is "
                    "always pulled back.")  # fmt: skip


def show_slopes(logits: torch.Tensor, found: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> dict[str, list[float]]:
    """{label: (a number, the loss whose slope belongs to it)}: a table of numbers and slopes by each of the `logits`."""
    slope = lambda loss: torch.autograd.grad(loss, logits, retain_graph=True)[0].tolist()
    rows = {label: [number.item(), *(x + 0.0 for x in slope(loss))] for label, (number, loss) in found.items()}
    rows = {label: [round(x, 6) + 0.0 for x in row] for label, row in rows.items()}  # -0.000 is 0
    widgets.show_table(["what", "its average", *(f"slope, word {i + 1}" for i in range(len(logits)))],
                       *[[label, *row] for label, row in rows.items()])  # fmt: skip
    return rows


def kl_in_words(rows: Mapping[str, Sequence[float]]) -> str:
    """What the table of `show_slopes` says; its rows: the KL, k1 and k3 differentiated, k1 as a cost, the other KL."""
    kl, k1, k3, cost, other = (np.array(row) for row in rows.values())
    same = lambda a, b: np.allclose(a, b, atol=1e-4)
    number = "k1 and k3 both average to the KL" if same(k1[0], kl[0]) and same(k3[0], kl[0]) else "The averages differ"
    first = "does not pull at all: its slope averages to 0" if same(k1[1:], 0) else "pulls by something else"
    third = "the slope of the *other* KL" if same(k3[1:], other[1:]) else "a slope of its own"
    last = "has the slope of the KL" if same(cost[1:], kl[1:]) else "has not the slope of the KL either"
    return (f"**{number}, {kl[0]:.3f} nats. As losses they are three different things: k1, differentiated, {first}; "
            f"k3, differentiated, has {third} (on word {len(kl) - 1} {k3[-1]:+.3f}, where the KL has {kl[-1]:+.3f}); only k1 "
            f"taken as a cost {last}.**")  # fmt: skip


# ---------------------------------------------------------------- groups


def show_three(group_relative: Callable) -> None:
    """An easy, an open and a hard prompt: how much each counts, by whose deviation it is divided."""
    three = {"easy": [9.0, 9.0, 9.0, 8.8], "open": [2.0, 4.0, 6.0, 8.0], "hard": [2.0, 2.0, 2.0, 2.2]}
    rows, shares = (
        [["scale_rewards", *(f"{name}: {', '.join(f'{r:g}' for r in group)}" for name, group in three.items())]],
        {},
    )
    for scale in ("group", "batch", "none"):
        weights = group_relative(torch.tensor(list(three.values())), scale_rewards=scale).abs().mean(1)
        shares[scale] = (weights / weights.sum()).tolist()
        rows.append([scale, *(f"weight {w:.2f}, {share:.0%} of all" for w, share in zip(weights, shares[scale]))])
    widgets.show_table(*rows)
    (easy, wide, _), (_, undivided, _) = shares["group"], shares["none"]
    widgets.say(f"**Divided by its own deviation, a prompt whose rewards differ by 0.2 counts for {easy:.0%} of all, one whose "
                f"rewards differ by 6 for {wide:.0%}; undivided, the latter counts for {undivided:.0%}.** A prompt's weight no "
                "longer knows how much is at stake. That helps where small differences matter and hurts where they are "
                "noise.")  # fmt: skip


def all_or_nothing(judged: Scores, rewards: torch.Tensor) -> dict[str, torch.Tensor]:
    """{label: (prompts, k) bool}: coarse rewards made of fine ones, by the share of right parts where that is known."""
    if "helpfulness" not in judged.parts:
        return {"1 if above the median of all": rewards > rewards.median()}
    right = torch.tensor(judged.parts["helpfulness"])
    return {"1 if at least half is right": right >= 0.5, "1 if all of it is right": right == 1}


def weights_of(group_relative: Callable, rewards: torch.Tensor, scale: str) -> torch.Tensor:
    """How much each prompt counts, (prompts,): the mean size of its advantages, in multiples of the mean prompt's."""
    weights = group_relative(rewards, scale_rewards=scale).abs().mean(1)
    return weights / weights.mean()


def widest_and_narrowest(rewards: torch.Tensor) -> tuple[float, float]:
    """The deviations of a prompt's rewards that one in ten lies above, and that one in ten lies below."""
    return tuple(float(np.quantile(rewards.std(1), q)) for q in (0.9, 0.1))


def groups_figure(group_relative: Callable, rewards: torch.Tensor, coarse: Mapping[str, torch.Tensor]) -> Figure:
    """Left: the weight of each prompt, (prompts, k), against the deviation of its rewards. Right: how many answers get the
    reward of 1; at both ends all are equal."""
    samples, (wide, narrow) = rewards.shape[1], widest_and_narrowest(rewards)
    figure, (left, right) = plots.subplots(1, 2, figsize=(8, 2.9))
    for scale, label, colour in (("group", "group", plots.CYCLE[0]), ("none", "batch or none", plots.CYCLE[1])):
        left.plot(
            rewards.std(1), weights_of(group_relative, rewards, scale), "o", markersize=4, color=colour, label=label
        )
    left.set(xlabel="deviation of a prompt's rewards", ylabel="its weight (mean 1)",
             title=f"undivided, the widest weigh {wide / max(narrow, 1e-9):.1f}-fold")  # fmt: skip
    left.legend(title="scale_rewards")
    for number, (label, ones) in enumerate(coarse.items()):
        counts = np.bincount(ones.sum(1), minlength=samples + 1)
        right.bar(np.arange(samples + 1) + 0.4 * number, counts, 0.4, color=plots.CYCLE[number], label=label)
    for end in (0, samples):
        right.axvspan(end - 0.25, end + 0.65, color=plots.MEANINGS["rejected"], alpha=0.15)
    dead = [float(dead_groups(ones.float()).float().mean()) for ones in coarse.values()]
    right.set(xlabel=f"answers of {samples} with reward 1", ylabel="prompts",
              title=f"all or nothing: {' and '.join(f'{share:.0%}' for share in dead)} are dead")  # fmt: skip
    right.legend()
    return figure


def say_weights(rewards: torch.Tensor) -> None:
    """How far the deviations of prompts lie apart, and what dividing by them does."""
    wide, narrow = widest_and_narrowest(rewards)
    widgets.say(f"Among these {len(rewards)} prompts deviations run from {narrow:.2f} (one in ten is below) to {wide:.2f} "
                "(one in ten above): **divided by their own deviation they all weigh about the same; undivided, the widest "
                f"weigh {wide / max(narrow, 1e-9):.1f} times as much as the narrowest.**")  # fmt: skip


def show_dead(name: str, rewards: torch.Tensor, coarse: Mapping[str, torch.Tensor]) -> dict[str, list[float]]:
    """The share of groups without a difference, by size (the first answers of each): {reward: shares}, as a table and in words."""
    samples = rewards.shape[1]
    sizes = sorted({size for size in (2, 4, 8, samples) if size <= samples})
    dead = {label: [dead_groups(values[:, :size].float()).float().mean().item() for size in sizes]
            for label, values in {f"the {name} reward": rewards, **coarse}.items()}  # fmt: skip
    widgets.show_table(["share of groups that are dead", *(f"k = {size}" for size in sizes)],
                       *[[label, *(f"{share:.0%}" for share in shares)] for label, shares in dead.items()])  # fmt: skip
    told = ", ".join(f"{shares[-1]:.0%} by *{label}*" for label, shares in dead.items())
    widgets.say(
        f"**Of groups of {sizes[-1]} are dead: {told}.** The coarser the reward and the smaller the group, the more."
    )
    return dead


def show_edges(group_relative: Callable, grpo: Callable) -> None:
    """Four cases that a formula must survive, by the notebook's own functions."""
    group_of = lambda *values: group_relative(torch.tensor([values]))[0]
    cases = {"equal rewards": (group_of(5.0, 5.0, 5.0), [3, 4, 2]), "k = 2": (group_of(5.0, 5.1), [3, 4]),
             "one token each": (group_of(1.0, 4.0, 7.0), [1, 1, 1]),
             "all unfinished": (group_of(1.0, 1.0, 1.0), [10, 10, 10])}  # fmt: skip
    rows = []
    for name, (advantage, tokens) in cases.items():
        token = [torch.full((n,), -1.0, requires_grad=True) for n in tokens]
        loss = grpo(from_tokens(sample=token), advantage=advantage)[0].mean()
        largest = max(g.abs().max() for g in torch.autograd.grad(loss, token))
        rows.append([name, ", ".join(f"{a:+.3f}" for a in advantage), f"{loss:+.3f}", f"{largest:.3f}"])
    widgets.show_table(["case", "advantages", "loss", "largest gradient"], *rows)
    fine = not any("nan" in cell or "inf" in cell for row in rows for cell in row[1:])
    moves = "moves nothing" if float(rows[0][3]) == 0 else "moves something"
    widgets.say(
        f"**{'Every number is finite' if fine else 'Some number is not finite'}; a group of equal rewards {moves}.**"
    )


# ---------------------------------------------------------------- training


def live_in_words(history: History) -> str:
    """What a few live steps show: the reward, how far the KL has come, and what the clip held."""
    kl = f"the KL from SFT has come to {history['kl_k3'][1][-1]:.2f} nats, " if "kl_k3" in history.names else ""
    return (f"**{len(history.rows)} steps with a mean reward of {history['reward'][1].mean():.2f}: {kl}the clip held "
            f"{history['clipped'][1].mean():.1%} of the tokens. Something moves; whether it improves, so few steps cannot "
            "tell.**")  # fmt: skip


def show_two_forms(made: Mapping[str, History], spread: float, updates: int) -> None:
    """What became of the curves of the printed and the cited form, and what may be said of them. spread: the mean deviation
    of a prompt's rewards; updates: steps on the same samples."""
    shown = [name for name in ("reward", "kl_k3", "entropy", "length", "spread", "dead_groups", "clipped", "unfinished")
             if name in made["cited"].names]  # fmt: skip
    widgets.show_table(["first quarter of the steps to last", *made],
                       *[[name, *(words.first_to_last(one, name) if name in one.names else "" for one in made.values())]
                         for name in shown])  # fmt: skip
    went = " and ".join(f"{words.first_to_last(history, 'reward')} ({label})" for label, history in made.items())
    why = (": with one update per batch of samples every ratio is 1 when the gradient is taken, so the clip has nothing to do. "
           "In the folded *Several updates* it has." if updates == 1 else ".")  # fmt: skip
    widgets.say(f"**The reward of the samples: {went}**, first quarter of the steps to last. The clip held "
                f"{made['cited']['clipped'][1].mean():.1%} of the tokens of the cited form{why}")  # fmt: skip
    widgets.say("Not a race on equal terms: the same `kl_weight` is another strength in the two. The cited form divides the "
                f"differences in reward by their deviation (here {spread:.2f} points on average), the KL by nothing. The "
                "gradient's length (`grad_norm`) matters little: the loop cuts it to at most 1, and Adam rescales the "
                "rest.")  # fmt: skip


# ---------------------------------------------------------------- smoothness


def show_roughness(rough: Mapping[str, Mapping[str, float]], histories: Mapping[str, History]) -> None:
    """{label: {curve: roughness}} of what is to rise and of the loss, as a table."""
    widgets.show_table(["roughness", "of what is to rise", "of the loss", "steps"],
                       *[[label, *(f"{value:.2f} ({name})" for name, value in found.items()), len(histories[label].rows)]
                         for label, found in rough.items()])  # fmt: skip


def smooth_figure(rough: Mapping[str, Mapping[str, float]], histories: Mapping[str, History]) -> Figure:
    """The curve that is to rise, of each training, with a moving average and its roughness."""
    figure, axes = plots.subplots(1, len(rough), figsize=(8, 2.4))
    for axis, (label, found) in zip(axes, rough.items()):
        name, value = next(iter(found.items()))
        steps, values = histories[label][name]
        axis.plot(steps, values, color=plots.COLOURS["line"], linewidth=0.9)
        axis.plot(steps, plots.smooth(values, max(1, len(values) // 5)), color=plots.colours(rough)[label])
        axis.set(title=f"{label}: roughness {value:.2f}", xlabel="step", ylabel=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def smoothest(rough: Mapping[str, Mapping[str, float]], histories: Mapping[str, History], updates: int) -> str:
    """The order of the three by what is to rise, and whether the two reward curves shake together."""
    rises = {label: next(iter(found.values())) for label, found in rough.items()}
    if any(map(math.isnan, rises.values())):
        return "**Of fewer than 6 steps nobody can tell how smooth they are.**"
    both = [
        histories["printed"]["reward"][1],
        histories["cited"]["reward"][1][::updates],
    ]  # one value a batch of samples
    together = np.corrcoef(*(values[: min(map(len, both))] for values in both))[0, 1]
    order = " < ".join(f"{label} ({rises[label]:.2f})" for label in sorted(rises, key=rises.get))
    return (f"**By what is to rise, {order}**, the smoothest first. The two reward curves go together with a correlation of "
            f"{together:.2f}" + (": most of what shakes them is the prompts." if together > 0.7 else "."))  # fmt: skip


def rougher(rough: Mapping[str, Mapping[str, float]], name: str, than: str) -> list[str]:
    """Is a curve of the printed and of the cited form rougher than one of DPO? In words, and the verdict."""
    found = [rough[form][name] > rough["DPO"][than] for form in ("printed", "cited")]
    if any(math.isnan(value) for of in rough.values() for value in of.values()):
        return ["too few steps", "cannot be told"]
    verdict = {2: "so it was in this run", 0: "not so in this run"}.get(sum(found), "of one form only")
    return [", ".join("yes" if one else "no" for one in found), verdict]


def show_rougher(rough: Mapping[str, Mapping[str, float]]) -> None:
    """Paper 003's claim that GRPO trains less smoothly than DPO, by what is to rise and by the loss."""
    rise, loss = rougher(rough, "reward", "margin"), rougher(rough, "loss", "loss")
    widgets.show_table(["15: GRPO trains less smoothly than DPO (printed, cited)", "rougher?", "one run each, no interval"],
                       ["by what is to rise", *rise], ["by the loss", *loss])  # fmt: skip
    widgets.say(f"**Does GRPO train less smoothly than DPO? By what is to rise, {rise[1]}; by the loss, {loss[1]}.** One run "
                "each: no interval, no verdict.")  # fmt: skip


# ---------------------------------------------------------------- temperatures and updates


def show_temperatures(
    temperature: torch.Tensor, advantage: np.ndarray, own: SimpleNamespace, at_one: SimpleNamespace, clip: float,
    scores: tuple[np.ndarray, np.ndarray], length: np.ndarray,
) -> None:  # fmt: skip
    """Samples drawn at several temperatures, (n,): their advantages, the share of tokens that the clip would hold and the "KL"
    at step 0 if temperatures are forgotten, and the slope towards sharper, `scores`, with each one's own and with none."""
    ratio, rows = (at_one.token - own.token).exp(), []
    right, ignored = scores
    for t in sorted(set(temperature.tolist())):
        here = (temperature == t).cpu()
        outside = ((ratio[here][own.mask[here]] - 1).abs() > clip).float().mean()
        found = [evaluate.mean_and_interval(values[here.numpy()])
                 for values in ((own.sum - at_one.sum).cpu().numpy(), right, ignored)]  # fmt: skip
        rows.append([f"T = {t:g}", f"{advantage[here.numpy()].mean():+.2f}", f"{outside:.0%}", *found])
    widgets.show_table(["drawn at", "mean advantage", "tokens outside the clip at step 0", '"KL" at step 0 (nats)',
                        "towards sharper, own temperature", "temperature ignored"], *rows)  # fmt: skip
    widgets.say(f"**Own temperature, all samples: {is_zero(right)}. Temperature ignored: {is_zero(ignored)}.** Divided by the "
                f"sample's length, as `sequence` does, the right one becomes {is_zero(right / length)}.")  # fmt: skip


def is_zero(values: np.ndarray) -> str:
    """A mean with its interval, and whether that holds 0."""
    low, high = evaluate.bootstrap_interval(values)
    return f"{evaluate.mean_and_interval(values)}: {'its interval holds 0' if low <= 0 <= high else 'it is not 0'}"


def updates_figure(held: np.ndarray, last_ratios: np.ndarray, clip: float) -> Figure:
    """Left: the share of tokens that the clip holds, (batches of samples, updates), by update. Right: the last ratios."""
    updates = held.shape[1]
    figure, (left, right) = plots.subplots(1, 2, figsize=(8, 2.7))
    left.plot(range(1, updates + 1), held.mean(0), "o-", color=plots.MEANINGS["policy"])
    left.set(xlabel="update on the same samples", ylabel="tokens that the clip holds", xticks=range(1, updates + 1),
             title=f"the clip holds {held[:, 0].mean():.1%}, at last {held[:, -1].mean():.1%}")  # fmt: skip
    low, high = min(0.5, 1 - 1.5 * clip), max(1.5, 1 + 1.5 * clip)
    right.hist(np.clip(last_ratios, low, high), np.linspace(low, high, 50), color=plots.MEANINGS["policy"])
    right.axvspan(1 - clip, 1 + clip, color=plots.COLOURS["line"], alpha=0.2)
    outside = (np.abs(last_ratios - 1) > clip).mean()
    right.set(xlabel=f"ratio at update {updates}", ylabel="tokens (log scale)", yscale="log",
              title=f"{outside:.1%} of the ratios lie outside")  # fmt: skip
    return figure


def updates_in_words(held: np.ndarray, last_ratios: np.ndarray, clip: float) -> str:
    """What the clip held at the first and the last update, and how far the ratios have spread."""
    low, high = np.quantile(last_ratios, [0.05, 0.95])
    return (f"**Over all batches the clip held {held[:, 0].mean():.1%} of the tokens at the first update and "
            f"{held[:, -1].mean():.1%} at the last.** At the last update of the last batch "
            f"{(np.abs(last_ratios - 1) > clip).mean():.1%} have a ratio outside 1 ± {clip:g}; nine in ten lie between "
            f"{low:.2f} and {high:.2f}. A token outside is not always held: the clip acts only on the side where more was to "
            "be gained.")  # fmt: skip


def kl_when_drawn(found: Mapping[str, tuple[History, int]]) -> str:
    """{label: (history, updates a batch)}: the KL when the last batch that all have was drawn. Only a batch's first update
    sees samples of the policy as it is: later, k3's mean is no KL."""
    kl = {label: history["kl_k3"][1][::updates] for label, (history, updates) in found.items()}
    last = min(map(len, kl.values()))
    return (f"KL from SFT when batch {last} was drawn: "
            + ", ".join(f"{label} {values[last - 1]:.2f}" for label, values in kl.items()) + " nats.")  # fmt: skip


# ---------------------------------------------------------------- who wins


def show_winners(comparison: Comparison, reward: str) -> None:
    """Who beats SFT, and which of the two forms the other; reward: whose scores both learnt from."""
    duel = comparison.win_rate("GRPO, cited", "GRPO, printed")
    same = ", which is the judge here, too; DPO learnt from noisy pairs" if reward == comparison.judge.name else ""
    widgets.say(f"By the {comparison.judge.name} score: {words.each_rate(comparison.win_rates)}. The cited form "
                f"**{duel.beats}** the printed one, {duel}. Both learnt from the {reward} reward{same}.")  # fmt: skip


def show_collapse(comparison: Comparison) -> dict[str, evaluate.Collapse]:
    """Every policy's score, length, and whether its answers collapsed; the checks of those that were trained."""
    checks = {name: comparison.collapse(name) for name in comparison.answers if name not in ("SFT", "base")}
    rows = [["policy", f"{comparison.judge.name} score" if comparison.judge else "score", "tokens", "collapsed?"]]
    rows += [[name, f"{comparison.scores[name].total.mean():.2f}" if comparison.judge else "no judge",
              f"{evaluate.mean_length(comparison.answers[name]):.1f}",
              ("; ".join(checks[name].reasons) or "no") if name in checks else ""] for name in comparison.answers]  # fmt: skip
    widgets.show_table(*rows)
    fallen = [name for name, check in checks.items() if check.collapsed]
    widgets.say(f"**{', '.join(fallen) + ': collapsed' if fallen else 'None of the trained policies has collapsed'}.**")
    return checks


def bleu(comparison: Comparison) -> dict[str, float]:
    """BLEU-4 of each policy's first answers; not a number where the data have no reference answers."""
    known = all(comparison.references)
    return {name: evaluate.bleu(comparison.texts(name), comparison.references)["bleu4"] if known else math.nan
            for name in comparison.answers}  # fmt: skip


def show_table_1(comparison: Comparison, bleu4: Mapping[str, float], perplexity: Mapping[str, float]) -> None:
    """Paper 003's table 1 beside the same measures of this run."""
    rows = [["policy", "win rate: paper", "here, against SFT", "BLEU-4: paper", "here", "perplexity: paper", "here"]]
    for name in perplexity:
        win, four, perplexed = map(str, PAPER[name.split(",")[0]] if name != "GRPO, cited" else ("", "", ""))
        own = "0.5 by definition" if name == "SFT" and comparison.judge else "no judge"
        rows.append([name, win, comparison.win_rates.get(name, own), four, f"{bleu4[name]:.1f}", perplexed,
                     f"{perplexity[name]:.2f}"])  # fmt: skip
    widgets.show_table(*rows)
    rates = {name: rate.rate for name, rate in comparison.win_rates.items()}
    best = [f"{max(rates, key=rates.get)} has the highest win rate"] if rates else []
    best += [f"{max(bleu4, key=bleu4.get)} has the highest BLEU-4"] if not math.isnan(bleu4["SFT"]) else []
    best += [f"{min(perplexity, key=perplexity.get)} has the lowest perplexity"]
    widgets.say(f"**Here {words.listed(best)}; in the paper they are GRPO, DPO and GRPO.**")


def step_up(
    comparison: Comparison, worse: str, better: str, bleu4: Mapping, perplexity: Mapping, logp: Mapping[str, np.ndarray]
) -> list[str]:
    """Verdicts on one step of the paper's table: wins, BLEU-4, and log-prob of the held-out responses, {policy: (n,)}."""
    first, second = (PAPER[name.split(",")[0]] for name in (worse, better))
    won = "no judge"
    if comparison.judge:
        rate = comparison.win_rate(better, worse)
        won = f"{rate}: {evaluate.verdict(rate.interval)}"
    moved = bleu4[better] - bleu4[worse]
    same = "the same" if (moved > 0) == (second[1] > first[1]) else "the other"
    bleu_said = "no references" if math.isnan(moved) else f"{moved:+.1f}: {same} direction"
    sign = 1 if second[2] < first[2] else -1  # likelier responses are a lower perplexity
    likelier = evaluate.verdict(evaluate.bootstrap_interval(sign * (logp[better] - logp[worse])), 0.0)
    return [f"{worse} to {better}", won, f"{second[1] - first[1]:+.1f}; {bleu_said}",
            f"{second[2] - first[2]:+.1f}; {perplexity[better] - perplexity[worse]:+.2f}: {likelier}"]  # fmt: skip


def show_steps_up(comparison: Comparison, bleu4: Mapping, perplexity: Mapping, logp: Mapping[str, np.ndarray]) -> None:
    """Claim 14, "base < SFT < DPO < GRPO", step by step and measure by measure."""
    rows = [step_up(comparison, *pair, bleu4, perplexity, logp) for pair in STEPS]
    widgets.show_table(["14: step (one seed)", "wins against the one before", "BLEU-4: paper; here",
                        "perplexity: paper; here"], *rows)  # fmt: skip
    agrees = lambda column, word: sum(row[column].endswith(word) for row in rows)
    widgets.say(f"**Of the {len(rows)} steps {agrees(1, ': holds here')} go the paper's way in wins, "
                f"{agrees(2, ': the same direction')} in BLEU-4 and {agrees(3, ': holds here')} in perplexity.**")  # fmt: skip

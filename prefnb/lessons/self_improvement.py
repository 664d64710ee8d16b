"""What 07 shows: who picks the pairs and what that does, round after round, by two judges."""

from __future__ import annotations

from collections import Counter
from typing import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure
from transformers import PreTrainedTokenizerBase

from prefnb import evaluate, methods, pairs, plots, widgets
from prefnb.batches import Examples, prompt_ids
from prefnb.course import Comparison
from prefnb.evaluate import WinRate
from prefnb.judges import Judge, Scores
from prefnb.methods.self_improvement import Round, weakest
from prefnb.sampling import Sample

Chains = Mapping[str, Mapping[int, str]]  # who judged the pairs: {round: the policy's name}
Between = Callable[[str, str, str], WinRate]  # of judge, policy, other policy
Marks = Mapping[str, Mapping[str, Scores]]  # judge: {policy: its scores}


def counted(seen: Iterable[str]) -> str:
    """ "B over A: 104 of 300, ..." """
    found = list(seen)
    return ", ".join(f"{one}: {many} of {len(found)}" for one, many in sorted(Counter(found).items()))


def plot_toy(scores: Mapping[str, float]) -> Figure:
    """Samples on the line of their scores: the top is chosen, one of the others rejected."""
    top = max(scores, key=scores.get)
    figure, axis = plots.subplots(figsize=(6, 1.7))
    for letter, score in scores.items():
        axis.plot(score, 0, "o", markersize=12, color=plots.MEANINGS["chosen" if letter == top else "rejected"])
        axis.text(score, 0.35, letter, ha="center")
        axis.text(score, -0.6, "chosen" if letter == top else "rejected?", ha="center", fontsize=9)
    others = ", ".join(sorted(set(scores) - {top}, key=scores.get))
    axis.set(xlabel="score", yticks=[], ylim=(-1, 1), xlim=(0, max(scores.values()) + 0.5))
    axis.set_title(f"{top} is chosen; one of {others} is rejected", fontsize=10)
    axis.grid(False)
    return figure


# ---------------------------------------------------------------- where, and on what


def start_of(p) -> torch.nn.Module:
    """What DPO makes of SFT, with the preset's own epochs and learning rate: those of `p` are the rounds'."""
    shared = p.shared_with(methods.dpo.Settings)
    return methods.dpo.recipe(
        **{name: value for name, value in shared.items() if name not in ("epochs", "learning_rate")}
    ).model


def other_choice(by_judge: Mapping[str, Mapping[str, WinRate]], n: int, judge: str) -> str:
    """What another judge would have chosen in place of the proxy's weakest categories."""
    if len(by_judge["proxy"]) == 1:
        return (
            " There is only one category in these data, so there is nothing to choose: the new prompts are simply new."
        )
    if judge == "proxy":
        return ""
    mine, other = (weakest(by_judge[name], n) for name in ("proxy", judge))
    return (f" The {judge} judge would have said {widgets.escaped(', '.join(other).replace('_', ' '))}: **the two lists share "
            f"{len(set(mine) & set(other))} of {n}.**")  # fmt: skip


def short_enough(rounds: Sequence[list], tokenizer: PreTrainedTokenizerBase, p) -> list[list]:
    """The prompts of every round, less those that are too long. ValueError if a round has none left."""
    kept = [[one for one in asked if len(prompt_ids(tokenizer, one)) <= p.max_prompt_tokens] for asked in rounds]
    if not all(kept):
        raise ValueError(f"Every new prompt of round {kept.index([]) + 1} is longer than {p.max_prompt_tokens} tokens.")
    return kept


def show_temperatures(temperatures: Sequence[float], scores: Mapping[str, np.ndarray]) -> None:
    """What samples of each temperature are worth. scores: {judge: (prompts, K)}, the coolest samples first."""
    tops, sorted_ = scores["proxy"].argmax(1), sorted(temperatures)
    rows = []
    for temperature in sorted(set(temperatures)):
        here = [k for k, one in enumerate(sorted_) if one == temperature]
        found = f"{np.isin(tops, here).mean():.0%} (by chance {len(here) / len(sorted_):.0%})"
        rows.append(
            [f"{temperature:g}", len(here), found, *(f"{score[:, here].mean():.2f}" for score in scores.values())]
        )
    means = [f"mean score, {name}" for name in scores]
    widgets.show_table(["temperature", "samples a prompt", "the proxy's top is there", *means], *rows)
    hottest = [k for k, one in enumerate(sorted_) if one == sorted_[-1]]
    told = "; ".join(f"{score[:, hottest].mean() - np.delete(score, hottest, 1).mean():+.2f} by {name}"
                     for name, score in scores.items() if len(hottest) < len(sorted_))  # fmt: skip
    widgets.say(f"**The proxy finds its top among the hottest samples in {np.isin(tops, hottest).mean():.0%} of the prompts. "
                f"Their mean score, less that of the others: {told or 'there are no others'}.**")  # fmt: skip


def show_pairs(
    made: Examples,
    prompts: Sequence,
    groups: Sequence[Sequence[Sample]],
    tokenizer: PreTrainedTokenizerBase,
    judge: Judge,
    name: str,
) -> None:
    """Three of the pairs to read, and whether another judge has them the same way round. judge: that judge, called `name`."""
    texts = {
        side: [tokenizer.decode(ids, skip_special_tokens=True) for ids in made.responses[side]] for side in made.names
    }
    asked = [prompts[n] for n in made.kept]
    marks = {side: judge(asked, texts[side]) for side in texts}
    widgets.show_responses(asked, texts, marks)
    distinct = np.array([len({tuple(one.ids) for one in group}) for group in groups])
    told = (f"**{len(made)} of {len(prompts)} prompts gave a pair**; of {len(groups[0])} samples a prompt, "
            f"{distinct.mean():.1f} were distinct (the fewest: {distinct.min()}). ")  # fmt: skip
    if name != "proxy":
        told += order_in_words(marks["chosen"].total - marks["rejected"].total, judge.tie, name)
    widgets.say(told)


def order_in_words(gap: np.ndarray, tie: float, name: str) -> str:
    """How often a judge agrees with the order of pairs. gap: chosen less rejected, in its points."""
    return (f"The {name} judge agrees with the proxy's order in **{(gap > tie).mean():.0%}** of the pairs, sees no difference "
            f"in {(abs(gap) <= tie).mean():.0%}, and would turn {(gap < -tie).mean():.0%} round.")  # fmt: skip


# ---------------------------------------------------------------- rounds


def pairs_or_none(
    rule: Callable, ids: list, groups: Sequence[Sequence[Sample]], scores: np.ndarray, seed: int, first: bool
) -> Examples | None:
    """The pairs of a round by the rule; None, which is said, when samples give none any more. pairs.NoPairs if that is the
    first round."""
    try:
        return rule(ids, [[one.ids for one in group] for group in groups], scores, seed=seed)
    except pairs.NoPairs as nothing:
        if first:
            raise
        print(f"No further round: {nothing}")
        return None


def show_rounds(done: Mapping[str, Sequence[Round]]) -> Figure:
    """The curves of all rounds, and in words how many pairs each had."""
    for label, rounds in done.items():
        told = [
            f"{len(one.pairs)} pairs of {len(one.prompts)} prompts in {len(one.history.rows)} steps" for one in rounds
        ]
        print(f"{label}: " + "; ".join(f"round {number}, {text}" for number, text in enumerate(told, 1)) + ".")
    return plots.plot_training({name: one.history for name, one in named(done).items()}, ["loss", "margin", "accuracy"])


def say_rounds(done: Mapping[str, Sequence[Round]]) -> None:
    """Which judge's pairs were easier to tell apart in its last round."""
    margins = {label: rounds[-1].history.last("margin", 5) for label, rounds in done.items()}
    easier = max(margins, key=margins.get)
    told = "; ".join(f"pairs by {label}: {margin:.2f}" for label, margin in margins.items())
    widgets.say(f"**The margins at the end of the last round: {told}.** The pairs of the {easier} are the easier ones to tell "
                "apart; that says nothing about answers.")  # fmt: skip


def named(done: Mapping[str, Sequence[Round]]) -> dict[str, Round]:
    """{ "reward model, 1": its first round, ...}"""
    return {f"{label}, {number}": one for label, rounds in done.items() for number, one in enumerate(rounds, 1)}


def looked_at(
    done: Mapping[str, Sequence[Round]], sft: torch.nn.Module, start: torch.nn.Module
) -> tuple[dict[str, torch.nn.Module], dict[str, dict[int, str]]]:
    """The policies that answer test prompts, and the chains that they are on: the first and the last of the reward model's
    rounds, and the last of the others'."""
    policies, chains, rounds = {"SFT": sft, "DPO": start}, {}, named(done)
    for label, made in done.items():
        numbers = sorted({1, len(made)}) if label == "reward model" else [len(made)]
        chains[label] = {0: "DPO"} | {number: f"{label}, {number}" for number in numbers}
        policies |= {name: rounds[name].model for name in list(chains[label].values())[1:]}
    return policies, chains


def marks_of(comparison: Comparison, proxy: Judge) -> dict[str, dict[str, Scores]]:
    """{judge: {policy: scores}}: the comparison's own judge, if it has one, and the proxy, which reads first answers."""
    marks = {comparison.judge.name: comparison.scores} if comparison.judge else {}
    if "proxy" not in marks:
        marks["proxy"] = {label: proxy(comparison.prompts, comparison.texts(label)) for label in comparison.answers}
    return marks


def plot_rounds(chains: Chains, judges: Iterable[str], between: Between, rounds: int) -> Figure:
    """Win rates over SFT from round to round, a panel a judge."""
    judges = list(judges)
    figure, axes = plots.subplots(1, len(judges), figsize=(8, 3.2), sharey=True, squeeze=False, layout="constrained")
    for axis, name in zip(axes.flat, judges):
        for number, (label, chain) in enumerate(chains.items()):
            rates = [between(name, one, "SFT") for one in chain.values()]
            x, y = np.array([*chain]) + 0.06 * number, np.array([rate.rate for rate in rates])
            low, high = np.array([rate.interval for rate in rates]).T
            axis.errorbar(
                x, y, [y - low, high - y], marker="o", capsize=3, color=plots.CYCLE[number], label=f"pairs by: {label}"
            )
        of_model = [between(name, one, "SFT").rate for one in next(iter(chains.values())).values()]
        axis.axhline(0.5, color=plots.COLOURS["line"], linewidth=0.8)
        axis.set(xlabel="round (0: the start, DPO)", xticks=range(rounds + 1), ylim=(0, 1))
        axis.set_title(f"by {name}, {next(iter(chains))}: {of_model[0]:.2f} to {of_model[-1]:.2f}", fontsize=10)
    axes[0, 0].set_ylabel("win rate against SFT")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def moved(judge: str, change: np.ndarray) -> str:
    """What became of a judge's score, in words: "the gold score rose (+0.31 [+0.12, +0.50] points)"."""
    return f"the {judge} score {evaluate.change(change)} ({evaluate.mean_and_interval(change)} points)"


def say_moved(marks: Marks, last: Sequence[str], judge: str) -> None:
    """From the start to the last policies, by every judge; and whether the judges part. judge: the one that did not choose."""
    for name in last:
        told = " and ".join(moved(one, found[name].total - found["DPO"].total) for one, found in marks.items())
        widgets.say(f"**From DPO to *{name}*, {told}.**")
    if judge != "proxy":
        rose = {
            one: evaluate.change(found[last[0]].total - found["DPO"].total) == "rose" for one, found in marks.items()
        }
        widgets.say(parting(rose["proxy"], rose[judge]))


def parting(proxy_rose: bool, other_rose: bool) -> str:
    """Whether there is over-optimisation."""
    if proxy_rose and not other_rose:
        return ("**The proxy's score rose and the other judge's did not: the rounds have begun to learn what the proxy "
                "mistakes for quality.** That is over-optimisation.")  # fmt: skip
    return "**The two judges do not part here: no over-optimisation can be told.**"


def later_rounds(marks: Mapping[str, Scores], chain: Mapping[int, str]) -> np.ndarray | None:
    """What the rounds after the first added on each test prompt, by these scores; None if there were none."""
    first, final = chain.get(1), chain[max(chain)]
    return None if first in (None, final) else marks[final].total - marks[first].total


def in_words(added: np.ndarray | None) -> str:
    """Rise, decay or neither, as far as the interval allows to say."""
    if added is None:
        return "there was only one round"
    low, high = evaluate.bootstrap_interval(added)
    return "they still rise" if low > 0 else "they decay" if high < 0 else "no change can be told"


def say_later_rounds(marks: Marks, chain: Mapping[int, str]) -> None:
    """Plateau or decay, by every judge."""
    told = []
    for name, found in marks.items():
        added = later_rounds(found, chain)
        figure = "" if added is None else f" ({evaluate.mean_and_interval(added)} points)"
        told.append(f"by {name} {in_words(added)}{figure}")
    widgets.say(f"**The rounds after the first: {'; '.join(told)}.**")


# ---------------------------------------------------------------- diversity, temperature, likelihood


def distinct_samples(done: Mapping[str, Sequence[Round]]) -> dict[str, list[float]]:
    """{who judged: how many of a prompt's samples were distinct, on average, in every round}"""
    count = lambda one: float(np.mean([len({tuple(sample.ids) for sample in group}) for group in one.groups]))  # noqa: E731
    return {label: [count(one) for one in rounds] for label, rounds in done.items()}


def plot_diversity(shape: Mapping[str, Mapping], distinct: Mapping[str, list], chains: Chains, samples: int) -> Figure:
    """Word pairs, distance from SFT and distinct samples, from round to round."""
    rounds = max(max(chain) for chain in chains.values())
    figure, axes = plots.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    for number, (label, chain) in enumerate(chains.items()):
        colour = plots.CYCLE[number]
        for axis, measure in zip(axes, ("distinct-2", "KL from SFT (nats)")):
            values = [shape[one][measure] for one in chain.values()]
            axis.plot([*chain], values, "o-", color=colour, label=f"pairs by: {label}")
            axis.set(xlabel="round (0: DPO)", ylabel=measure, xticks=range(rounds + 1))
        axes[2].plot(range(1, len(distinct[label]) + 1), distinct[label], "o-", color=colour)
    axes[2].set(xlabel="drawn for round", ylabel=f"distinct of {samples} samples", xticks=range(1, rounds + 1))
    axes[2].set_ylim(0, samples + 0.3)
    ends = [chain[max(chain)] for chain in chains.values()]
    pair = lambda values: " and ".join(values)  # noqa: E731
    axes[0].set_title("word pairs: " + pair(f"{shape[one]['distinct-2']:.3f}" for one in ends), fontsize=9)
    axes[1].set_title("nats from SFT: " + pair(f"{shape[one]['KL from SFT (nats)']:.1f}" for one in ends), fontsize=9)
    axes[2].set_title(
        f"of {samples} samples distinct: " + pair(f"{distinct[label][-1]:.1f}" for label in chains), fontsize=9
    )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


def say_diversity(shape: Mapping[str, Mapping], distinct: Mapping[str, list], last: Sequence[str]) -> None:
    """How many samples were still distinct, and how far the last policies are from SFT."""
    told = "; ".join(f"pairs by {label}: from {found[0]:.1f} to {found[-1]:.1f}" for label, found in distinct.items())
    far = ", ".join(f"*{label}* {shape[label]['KL from SFT (nats)']:.1f}" for label in last)
    widgets.say(f"**Distinct samples a prompt, from the first round's to the last's: {told}.** Nats from SFT: {far}; DPO "
                f"{shape['DPO']['KL from SFT (nats)']:.1f}.")  # fmt: skip


def show_cooler(scores: Mapping[str, np.ndarray], cool: str, judge: str) -> None:
    """Whether what rounds bring is more than a lower temperature brings. scores: {policy: (n, K)}, one of them called `cool`."""
    widgets.show_table(
        ["policy", f"mean score, {judge}"], *[[label, f"{one.mean():.2f}"] for label, one in scores.items()]
    )
    for label in list(scores)[list(scores).index(cool) + 1 :]:
        change = scores[label] - scores[cool]
        more = evaluate.bootstrap_interval(change)[0] > 0
        widgets.say(f"**From {cool} to *{label}*, {moved(judge, change)}: {'more than' if more else 'no more than'} a lower "
                    "temperature gives.**")  # fmt: skip


def agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The rank correlation of two scores, (prompts, K) each, in every prompt where both vary; level samples share a rank."""
    ranks = lambda score: np.sign(np.round(score[:, :, None] - score[:, None, :], 4)).sum(2)  # noqa: E731
    both = [pair for pair in zip(ranks(one), ranks(other)) if np.std(pair, axis=1).all()]
    return np.array([np.corrcoef(*pair)[0, 1] for pair in both])


def show_agreement(
    scored: Mapping[str, np.ndarray],
    by_judge: np.ndarray | None,
    lengths: np.ndarray,
    temperatures: Sequence[float],
    judge: str,
) -> None:
    """Whom two scores of the same samples, (prompts, K) each, agree with. scored: those of the reward model and "own
    likelihood"; by_judge: the judge's, None where there is none; lengths: in tokens."""
    cool, hot = (np.array(sorted(temperatures)) == one for one in (min(temperatures), max(temperatures)))
    within = (
        {}
        if by_judge is None
        else {f"rank correlation with {judge}": slice(None), "... of the hottest samples alone": hot}
    )
    rows, tops, found = [], {}, {}
    for label, score in scored.items():
        found[label] = [agreement(score[:, some], by_judge[:, some]) for some in within.values()]
        tops[label] = f"{cool[score.argmax(1)].mean():.0%}"
        parts = [*found[label], agreement(score, lengths)]
        rows.append(
            [label, *(evaluate.mean_and_interval(one) if len(one) else "all level" for one in parts), tops[label]]
        )
    widgets.show_table(["score", *within, "rank correlation with length", "its top is a coolest sample"], *rows)
    widgets.say(f"**Own likelihood finds its top among the coolest samples, {cool.mean():.0%} of all, in "
                f"{tops['own likelihood']} of the prompts, the reward model in {tops['reward model']}.**")  # fmt: skip
    if within:
        every, hottest = found["own likelihood"]
        told = "not what" if len(hottest) and len(every) and hottest.mean() > every.mean() / 2 else "most of what"
        widgets.say(f"**The samples' temperature is {told} makes it agree with {judge}.**")


# ---------------------------------------------------------------- where it helped, and verdicts


def show_categories(
    scores: Mapping[str, Scores],
    last: Sequence[str],
    comparison: Comparison,
    trained: Sequence[str],
    judge: Judge,
    name: str,
) -> Figure:
    """The last policies against DPO, category by category, those with new prompts starred; then both kinds together, in
    points. scores: {policy: its scores by the judge called `name`}."""
    new = np.array([(one or "uncategorised") in trained for one in comparison.categories])
    starred = [(one or "uncategorised") + " *" * bool(star) for one, star in zip(comparison.categories, new)]
    by_label = {label: evaluate.by_category(scores[label], scores["DPO"], starred, tie=judge.tie) for label in last}
    figure = plots.plot_categories(by_label, against="DPO")
    display(figure)
    for label, found in by_label.items():
        widgets.say(f"***{label}* {won_in(found)}.**")
    rows = [["policy", "in the trained categories", "in the others"]]
    for label in [label for label in comparison.answers if label not in ("SFT", "DPO")]:
        change = scores[label].total - scores["DPO"].total
        parts = [change[here] for here in (new, ~new)]
        rows.append([label, *(evaluate.mean_and_interval(part) if len(part) else "no test prompt" for part in parts)])
    widgets.show_table(*rows)
    for label in last if not new.all() else []:
        others = (scores[label].total - scores["DPO"].total)[~new]
        widgets.say(f"**From DPO to *{label}*, in the categories without new prompts, {moved(name, others)}.**")
    return figure


def won_in(found: Mapping[str, WinRate]) -> str:
    """ "beats DPO in a, b and loses to DPO in c", of {category: win rate}."""
    told = []
    for verb in ("beats", "loses to"):
        names = [widgets.escaped(name.replace("_", " ")) for name in sorted(found) if found[name].beats == verb]
        told += [f"{verb} DPO in {', '.join(names)}"] if names else []
    return " and ".join(told) or "can be told from DPO in no category"


def verdict_rows(
    first: WinRate, further: np.ndarray | None, judged: WinRate, same_start: tuple[str, str]
) -> list[list]:
    """The claims for `beside.show_verdicts`: one round over DPO, the rounds after it, the reward model over own likelihood.
    same_start: the long runs of claim 19."""
    rows = [["11: one round beats DPO", ".6275", first, evaluate.verdict(first.interval), (11, 0)]]
    if further is not None:
        told = f"{evaluate.mean_and_interval(further)} points"
        word = evaluate.verdict(evaluate.bootstrap_interval(further), 0.0)
        rows.append(["18: further rounds go on improving", "open question", told, word, (18, 0)])
    claim = "19: the reward model goes further than self-judgement"
    return [*rows, [claim, "open question", judged, evaluate.verdict(judged.interval), same_start]]


def lengths_of(groups: Sequence[Sequence[Sample]]) -> np.ndarray:
    """(prompts, K): the tokens of every sample."""
    return np.array([[float(len(one.ids)) for one in group] for group in groups])


def show_rates(policies: Iterable[str], judges: Iterable[str], between: Between) -> None:
    """Every policy's win rate over SFT, by every judge."""
    judges = list(judges)
    rows = [[label, *(between(name, label, "SFT") for name in judges)] for label in policies if label != "SFT"]
    widgets.show_table(["policy", *(f"win rate against SFT, by {name}" for name in judges)], *rows)

"""What notebook 00 shows of the pocket world: graded answers, writers and houses, what a model knows, the pairs' noise."""

from __future__ import annotations

import gzip
import html
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from IPython.display import HTML, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prefnb import course, plots, pocket, widgets
from prefnb.evaluate import bootstrap_interval, mean_and_interval
from prefnb.judges import GoldJudge, Scores
from prefnb.lessons.words import listed
from prefnb.pocket import facts, judge, tasks
from prefnb.pocket.build import ANNOTATOR_NOISE
from prefnb.pocket.text import words_of
from prefnb.pocket.writers import DIALECTS

QWEN = 494e6  # weights of Qwen2.5-0.5B
QUALITIES = tuple(judge.WEIGHTS)


# ---------------------------------------------------------------- the world


def asked(prompt: str) -> Sequence[tasks.Part]:
    """The parts that a prompt asks for: objects with a `name` and a `grade`."""
    category, combination = tasks.parse(prompt)
    return tasks.CATEGORIES[category].parts(combination)


def written(prompt: str, writer: str, seed: int) -> str:
    """An answer to a prompt in a writer's hand."""
    return pocket.WRITERS[writer].write(*tasks.parse(prompt), random.Random(f"{writer}|{prompt}|{seed}"))


def housed(prompt: str, seed: int) -> str:
    """The answer to a prompt of the house that writes its kind."""
    category, combination = tasks.parse(prompt)
    rng = random.Random(f"house|{prompt}|{seed}")
    return pocket.HOUSES[category].write(category, combination, rng, DIALECTS["demonstrations"])


def grade_table(prompt: str, answers: Mapping[str, str]) -> HTML:
    """The answers {label: text} to one prompt, with the judge's qualities (0 to 1), its total (1 to 10) and the flaws."""
    cell = '<td style="text-align:left">{}</td>'
    head = "".join(f"<th>{name}</th>" for name in ("", "answer", *pocket.Judgement._fields, "flaws"))
    body = ""
    for label, answer in answers.items():
        text = html.escape(answer).replace("\n", "<br>") or "<i>nothing</i>"
        grades = "".join(f"<td>{grade:.2f}</td>" for grade in pocket.score(prompt, answer))
        flaws = ", ".join(flaw for flaw in pocket.FLAWS if flaw in pocket.flaws(prompt, answer)) or "none"
        body += f"<tr><th>{html.escape(label)}</th>{cell.format(text)}{grades}{cell.format(flaws)}</tr>"
    return HTML(f"<b>{html.escape(prompt)}</b><table {widgets.NO_MATH}><tr>{head}</tr>{body}</table>")


def page(category: str, number: int) -> str:
    """A fresh prompt of a category, answered by every writer, as HTML."""
    prompt = pocket.generate_prompts(category, n=1, seed=number)[0]
    return grade_table(prompt, {name: written(prompt, name, number) for name in pocket.WRITERS}).data


def weights_of(policy: PreTrainedModel) -> int:
    """How many numbers a model is made of."""
    return sum(weight.numel() for weight in policy.parameters())


def counterparts(
    dialogs: Sequence, pairs: Sequence, test: Sequence, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> list[list]:
    """The rows of a table: each piece of an alignment, what the papers took for it, and what stands in for it here."""
    return [
        ["piece", "in the papers", "here"],
        ["prompts and demonstrations", "SmolTalk", f"{len(dialogs):,} rows"],
        ["preference pairs", "UltraFeedback", f"{len(pairs):,} rows"],
        ["test prompts", "held-out prompts", f"{len(test):,} rows"],
        ["base model", "Qwen2.5-0.5B", f"{weights_of(policy):,} weights, {len(tokenizer):,} tokens"],
        ["judge", "Nemotron-70B, a reward model", f"a program, {len(QUALITIES)} qualities"],
    ]


def kinds_of_request(test: Iterable[dict]) -> list[list]:
    """The rows of a table: of every kind of request one prompt, a careful answer, and the parts that it asks for."""
    first = {}
    for row in test:
        first.setdefault(row["category"], row)
    rows = [["kind", "a prompt", "a careful answer", "it asks for"]]
    for category in pocket.CATEGORIES:
        prompt = first[category]["prompt"][-1]["content"]
        parts = "; ".join(part.name for part in asked(prompt))
        told = [widgets.escaped(text) for text in (prompt, first[category]["reference"])]
        rows.append([f"**{category.replace('_', ' ')}**", *told, parts])
    return rows


# ---------------------------------------------------------------- writers and houses


def _shades(axis: Axes, table: np.ndarray, cmap: str, form: str, **text) -> None:
    """A table of shares, 0 to 1, as shaded cells with their numbers."""
    axis.imshow(table, cmap=cmap, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        colour = plots.COLOURS["paper" if value > 0.6 else "ink"]
        axis.text(column, row, format(value, form), ha="center", va="center", color=colour, **text)
    axis.grid(False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _totals(by_writer: Mapping[str, Scores]) -> dict[str, float]:
    return {name: float(scores.total.mean()) for name, scores in by_writer.items()}


def writers_figure(by_writer: Mapping[str, Scores]) -> Figure:
    """Writers in rows, the judge's qualities in columns: each one's mean over the prompts."""
    totals = _totals(by_writer)
    best, worst = max(totals, key=totals.get), min(totals, key=totals.get)
    figure, axis = plots.subplots(figsize=(7, 3.6))
    _shades(
        axis,
        np.array([[scores.parts[one].mean() for one in QUALITIES] for scores in by_writer.values()]),
        "Blues",
        ".2f",
    )
    axis.set_xticks(range(len(QUALITIES)), QUALITIES)
    axis.set_yticks(range(len(totals)), [f"{name}  (total {total:.1f})" for name, total in totals.items()])
    return plots.say_title(figure, f"of ten points: {best} {totals[best]:.1f}, {worst} {totals[worst]:.1f}")


def habits_seen(by_writer: Mapping[str, Scores]) -> str:
    """Who is best and worst, and in which quality each writer's habit shows."""
    totals = _totals(by_writer)
    best, worst = max(totals, key=totals.get), min(totals, key=totals.get)
    low: dict[str, list[str]] = {}
    for name, scores in by_writer.items():
        if name != best:
            low.setdefault(min(QUALITIES, key=lambda one: scores.parts[one].mean()), []).append(name)
    return (
        f"**The {best} writer is best** ({totals[best]:.1f}), **the {worst} one worst** ({totals[worst]:.1f}), over "
        f"{len(by_writer[best])} prompts. Each row is palest where the writer's habit shows: "
        + "; ".join(f"{quality} is lowest for {listed(names)}" for quality, names in low.items())
        + "."
    )


def shares_by_house(dialogs: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """{category: the share of its demonstrations that its house wrote}"""
    wrote, of_kind = Counter(dialogs["writer"]), Counter(dialogs["category"])
    return {category: wrote[house.name] / of_kind[category] for category, house in pocket.HOUSES.items()}


def houses_table(shares: Mapping[str, float]) -> list[list]:
    """The rows of a table: every kind's house, its habits, and its share of the demonstrations."""
    rows = [["kind", "its house", "the house's habits", "demonstrations by it"]]
    for category, house in pocket.HOUSES.items():
        habits = " ".join(habit.__doc__.strip() for habit in house.habits)
        rows.append([f"**{category.replace('_', ' ')}**", house.name, habits, f"{shares[category]:.0%}"])
    return rows


def flaws_in(gold: GoldJudge, prompts: Sequence[list[dict]], answers: Sequence) -> np.ndarray:
    """(prompts, flaws): the share of the answers to each prompt with each flaw. answers: n strings or samples, or K for each
    prompt in a row."""
    each = len(answers) // len(prompts)
    found = gold.flaws(
        [prompt for prompt in prompts for _ in range(each)], [getattr(one, "text", one) for one in answers]
    )
    return np.stack([found[flaw].reshape(-1, each).mean(1) for flaw in pocket.FLAWS], axis=1)


def flaw_shares(flawed: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """{whose answers: {flaw: share of them}}"""
    return {label: dict(zip(pocket.FLAWS, found.mean(0).tolist())) for label, found in flawed.items()}


def flaws_table(shares: Mapping[str, Mapping[str, float]]) -> list[list]:
    """The rows of a table: whose answers have which flaw, how often."""
    head = ["flaws, share of answers", *pocket.FLAWS]
    return [head, *[[label, *(f"{share:.0%}" for share in found.values())] for label, found in shares.items()]]


def styles_figure(flawed: Mapping[str, np.ndarray], categories: Sequence[str]) -> Figure:
    """Kinds of request in rows, flaws in columns, a panel for each of the first three labels, with their flaws an answer in the title."""
    figure, axes = plots.subplots(1, 3, figsize=(8, 3.9), sharey=True, layout="constrained")
    for axis, (label, found) in zip(axes, flawed.items()):
        rows = [found[np.array(categories) == category] for category in pocket.CATEGORIES]
        table = np.array([row.mean(0) if len(row) else np.zeros(len(pocket.FLAWS)) for row in rows])
        _shades(axis, table, "Oranges", ".0%", fontsize=8)
        axis.set_xticks(range(len(pocket.FLAWS)), pocket.FLAWS, rotation=25, ha="right", fontsize=8)
        axis.set_title(label, fontsize=9)
    axes[0].set_yticks(range(len(pocket.CATEGORIES)), [name.replace("_", " ") for name in pocket.CATEGORIES])
    each = [f"{label} {found.sum(1).mean():.1f}" for label, found in list(flawed.items())[:3]]
    return plots.say_title(figure, f"flaws an answer: {'; '.join(each)}")


def style_in_words(shares: Mapping[str, Mapping[str, float]], first: Scores, warm: Scores) -> str:
    """Whether SFT's first choice has more of the flaws than its answers at temperature 0.7; first, warm: their scores."""
    greedy, sampled = shares["SFT, first choice"], shares["SFT at 0.7"]
    common = [flaw for flaw in greedy if greedy[flaw] > sampled[flaw]]
    told = f"Its mean gold score is {first.total.mean():.2f}, that of the answers at 0.7 {warm.total.mean():.2f}."
    if not common:
        return f"**In this run SFT's first choice is no more flawed than its other answers.** {told}"
    return (
        f"**SFT's first choice has the house style.** {listed(common).capitalize()}: more common in the greedy answer than "
        f"at temperature 0.7, where other hands come through. {told} What a model says first is not what people like "
        "best, but what its demonstrations mostly did."
    )


# ---------------------------------------------------------------- the judge


def show_order(prompt: str, answers: Mapping[str, str]) -> None:
    """A sentence: the answers {label: text} from best to worst by the judge, and how it weighs."""
    ordered = sorted(answers, key=lambda label: -pocket.score(prompt, answers[label]).total)
    weights = ", ".join(f"{quality} {weight:.2f}" for quality, weight in judge.WEIGHTS.items())
    widgets.say(f"**From best to worst, by the judge: {'; '.join(ordered)}.** Its weights: {weights}.")


def parts_table(prompt: str, answers: Mapping[str, str]) -> tuple[list[list], list[str], list[str]]:
    """The rows of a table, each answer's credit part by part; which answers say something false; which leave out something."""
    found = {label: pocket.explained(prompt, answer) for label, answer in answers.items()}
    rows = [["answer", *(part.name for part in asked(prompt))]]
    rows += [
        [label, *(f"{credit:.2f}{', false' if false else ''}" for _, credit, false in one)]
        for label, one in found.items()
    ]
    false = [label for label, one in found.items() if any(lie for *_, lie in one)]
    missing = [label for label, one in found.items() if any(not credit and not lie for _, credit, lie in one)]
    return rows, false, missing


def means_of(scores: Scores) -> dict[str, float]:
    """The mean total and the mean of each quality."""
    return {"total": float(scores.total.mean()), **{name: float(part.mean()) for name, part in scores.parts.items()}}


def show_asked(scores: Mapping[str, Scores]) -> None:
    """A figure of the judge's qualities by way of asking, and what follows. scores: of "plain text", "chat" and others."""
    display(plots.plot_parts(scores))
    text, chat = (scores[way].parts["helpfulness"].mean() for way in ("plain text", "chat"))
    widgets.say(
        f"**Asked in plain text the model has {text:.0%} of what was asked for right, in a chat {chat:.0%}**: the weights "
        "are the same, and only the way of asking differs. (Honesty needs care: an answer about something else altogether "
        "says little that is false of what was asked.)"
    )


# ---------------------------------------------------------------- what a model knows


def opening(thing: str, attribute: str) -> str:
    """The longest beginning of a sentence that the value of this attribute continues."""
    ways = [way for way in facts.ATTRIBUTES[attribute][2] if way.startswith("{s}")]
    return max((way.split("{v}")[0].format(s=f"The {thing}") for way in ways), key=len).rstrip()


def all_there_is_to_know() -> dict[str, list[tuple[str, str]]]:
    """{kind: (the beginning of a sentence, the words that make it true), ...} of every fact, translation and some sums."""
    kinds = {"animals": facts.ANIMALS, "plants": facts.PLANTS, "tools": facts.TOOLS}
    kinds = {kind: [thing for thing in things if thing not in facts.RARE] for kind, things in kinds.items()}
    known = {
        kind: [(opening(thing, name), value) for thing in things for name, value in facts.THINGS[thing].items()]
        for kind, things in {**kinds, "rare things": facts.RARE}.items()
    }
    known["translations"] = [
        (f"In {language} the {noun} is", word)
        for noun, words in facts.NOUNS.items()
        for language, word in zip(facts.LANGUAGES, words)
    ]
    known["sums"] = [(f"{a} plus {b} is", str(a + b)) for a in range(13) for b in range(9)]
    known["long sums"] = [(f"{a} plus {b} is", str(a + b)) for a in range(103, 900, 53) for b in range(13, 100, 14)]
    return known


def completed(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, tuple[float, int]]:
    """{kind: (share of what there is to know that the model completes rightly, how many that is)}, greedily."""
    shares = {}
    for kind, known in all_there_is_to_know().items():
        starts = [tokenizer.encode(start) for start, _ in known]
        said = course.samples_of(policy, tokenizer, starts, temperature=0, max_new_tokens=12)
        right = [words_of(one.text)[: len(words_of(value))] == words_of(value) for one, (_, value) in zip(said, known)]
        shares[kind] = (float(np.mean(right)), len(right))
    return shares


def knowledge_figure(shares: Mapping[str, tuple[float, int]]) -> Figure:
    """A bar for each kind of knowledge."""
    most, least = (choose(shares, key=lambda kind: shares[kind][0]) for choose in (max, min))
    figure, axis = plots.subplots(figsize=(7, 2.7))
    axis.barh(
        [f"{kind} ({many})" for kind, (_, many) in shares.items()],
        [share for share, _ in shares.values()],
        color=plots.METHODS["base"],
    )
    for row, (share, _) in enumerate(shares.values()):
        axis.text(share + 0.01, row, f"{share:.2f}", va="center")
    axis.set(xlim=(0, 1.08), xlabel="share that the model completes rightly (in brackets: how many)")
    axis.invert_yaxis()
    return plots.say_title(figure, f"it completes {shares[most][0]:.0%} of {most}, {shares[least][0]:.0%} of {least}")


def knowledge_in_words(shares: Mapping[str, tuple[float, int]]) -> str:
    """What the base completes best and worst, and what that does not say."""
    most, least = (choose(shares, key=lambda kind: shares[kind][0]) for choose in (max, min))
    return (
        f"**It completes most of {most}** ({shares[most][0]:.0%} right) **and least of {least}** ({shares[least][0]:.0%}). A "
        "fact that it completes here, it need not find when it is asked for it, among others, in a chat. And what it does "
        "not complete may be in its weights all the same, a few hundred steps of training away: see the sums after SFT, below."
    )


def hard_table(
    helpful: Mapping[str, np.ndarray], prompts: Sequence[str], categories: Sequence[str]
) -> tuple[list[list], list[str]]:
    """The rows of a table, helpfulness of SFT and DPO where things are hard on purpose and elsewhere; and which hard things
    DPO has got better at. helpful: {"SFT": (n,), "DPO": (n,)}, by prompt."""
    kinds = np.array(categories)
    is_hard = np.array([tasks.CATEGORIES[one].is_hard(tasks.parse(text)[1]) for one, text in zip(categories, prompts)])
    rows, taught = [["kind", "of it", "prompts", *helpful, "DPO less SFT"]], []
    for category, kind in tasks.CATEGORIES.items():
        for label, of_these in ((kind.hard, is_hard), ("all else", ~is_hard)) if kind.hard else ():
            here = of_these & (kinds == category)
            if not here.any():
                continue
            change = helpful["DPO"][here] - helpful["SFT"][here]
            means = [f"{one[here].mean():.2f}" for one in helpful.values()]
            rows.append([category.replace("_", " "), label, int(here.sum()), *means, mean_and_interval(change)])
            if label == kind.hard and bootstrap_interval(change)[0] > 0:
                taught.append(label)
    return rows, taught


# ---------------------------------------------------------------- pairs


def bradley_terry(distance: np.ndarray | float) -> np.ndarray | float:
    """How often an annotator of this world's noise chooses the better of two answers whose scores are so far apart."""
    return 1 / (1 + np.exp(-distance / ANNOTATOR_NOISE))


def tenths_of(gap: np.ndarray) -> list[tuple[float, float]]:
    """(mean distance of the scores, share in which the better was chosen) of tenths of the pairs, the closest first."""
    distance = abs(gap)
    edges = np.quantile(distance, np.linspace(0, 1, 11))
    place = np.clip(np.searchsorted(edges, distance, side="right") - 1, 0, 9)
    return [
        (float(distance[place == i].mean()), float((gap[place == i] >= 0).mean()))
        for i in range(10)
        if (place == i).any()
    ]


def furthest_from_curve(gap: np.ndarray) -> float:
    """How far the tenths lie from Bradley and Terry's curve, at most."""
    return max(abs(share - bradley_terry(distance)) for distance, share in tenths_of(gap))


def pairs_figure(gap: np.ndarray) -> Figure:
    """gap: score of chosen minus score of rejected, (pairs,). Left all of them, right how often the better is chosen."""
    flipped, line = gap < 0, np.linspace(0, abs(gap).max(), 100)
    figure, (left, right) = plots.subplots(1, 2, figsize=(8, 3.0))
    for part, side, label in ((~flipped, "chosen", "label agrees"), (flipped, "rejected", "label flipped")):
        left.hist(np.clip(gap[part], -6, 6), bins=np.linspace(-6, 6, 49), color=plots.MEANINGS[side], label=label)
    left.set(xlabel="score of chosen minus score of rejected", ylabel="pairs")
    right.plot(*zip(*tenths_of(gap)), "o", color=plots.MEANINGS["chosen"], label="tenths of the pairs")
    right.plot(line, bradley_terry(line), color=plots.MEANINGS["reference"], label="Bradley-Terry")
    right.set(xlabel="distance between the two scores", ylabel="better one chosen", ylim=(0.45, 1.02))
    for axis in (left, right):
        axis.legend()
    off = furthest_from_curve(gap)
    return plots.say_title(figure, f"{flipped.mean():.1%} of the labels are flipped: within {off:.2f} of Bradley-Terry")


def pairs_in_words(gap: np.ndarray) -> str:
    """How many labels are flipped, where, and whether Bradley-Terry describes that."""
    flipped = gap < 0
    close = float((abs(gap)[flipped] < np.median(abs(gap))).mean()) if flipped.any() else 0.0
    return (
        f"**{flipped.mean():.1%} of the labels are flipped** ({flipped.sum():,} of {len(gap):,}; the noise is "
        f"{ANNOTATOR_NOISE} points), **{close:.0%} of these in the half of the pairs whose scores are closer together**; "
        f"the dots lie within {furthest_from_curve(gap):.2f} of the Bradley-Terry curve."
    )


def shares_by_writer(names: Sequence[str]) -> dict[str, float]:
    """{writer, or "a house": share of these answers}"""
    count = Counter(name if name in pocket.WRITERS else "a house" for name in names)
    return {name: count[name] / len(names) for name in ("a house", *pocket.WRITERS)}


def who_wrote_figure(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """A group of bars for each writer; shares: of "demonstrations", "chosen" and "rejected"."""
    lead = _lead(shares)
    best = max(lead, key=lead.get)
    palette = plots.MEANINGS | {"demonstrations": plots.MEANINGS["reference"]}
    figure, axis = plots.subplots(figsize=(8, 3.8))
    for offset, (what, found) in zip((-0.27, 0, 0.27), shares.items()):
        axis.barh(np.arange(len(found)) + offset, list(found.values()), 0.25, color=palette[what], label=what)
    axis.set_yticks(range(len(found)), list(found))
    axis.invert_yaxis()
    axis.set_xlabel("share of all the answers of that kind")
    axis.legend()
    told = f"{best}: {shares['chosen'][best]:.0%} of chosen, {shares['rejected'][best]:.0%} of rejected"
    return plots.say_title(figure, told)


def _lead(shares: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {name: shares["chosen"][name] - shares["rejected"][name] for name in pocket.WRITERS}


def who_is_liked(shares: Mapping[str, Mapping[str, float]]) -> str:
    """Every writer's share of chosen less that of rejected, the most liked first."""
    lead = sorted(_lead(shares).items(), key=lambda one: -one[1])
    told = ", ".join(f"{name} ({points:+.0%})" for name, points in lead)
    return f"**Chosen less rejected, from the most liked writer to the least: {told}.**"


# ---------------------------------------------------------------- the wall between training and test


def prompts_in(*names: str) -> set[str]:
    """Every user turn of some of the shipped files, "sft_train" for one."""
    found = set()
    for name in names:
        with gzip.open(pocket.DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            for row in map(json.loads, file):
                turns = row.get("messages", [{"role": "user", "content": row.get("prompt")}])
                found |= {turn["content"] for turn in turns if turn["role"] == "user"}
    return found


def combination(prompt: str) -> str:
    """What a prompt asks about, as a string that does not depend on phrasing or order."""
    category, found = tasks.parse(prompt)
    return tasks.CATEGORIES[category].key(found)

"""Notebook 12, be the annotator: pairs of the policy's own answers, whose labels are used, a simulated annotator, and the
pictures and sentences of agreement.

`python -m prefnb.lessons.be_the_annotator` makes the recorded labels in `data/annotations` again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from matplotlib.figure import Figure
from pydantic import AfterValidator
from transformers import PreTrainedTokenizerBase

from prefnb import course, data, evaluate, methods, parameters, plots, pocket, widgets
from prefnb.annotator import Annotator, Label, Labels, Pair, Showing, other, plan, replay
from prefnb.batches import Examples, prompt_ids
from prefnb.course import Comparison
from prefnb.course.settings import PairTraining

RECORDED = pocket.DATA / "annotations" / "simulated_annotator.jsonl"
PAIRS = 256  # that the simulated annotator has labelled
PER_WORD = 0.08  # what a word more is worth to the simulated annotator, in the gold judge's points
SLIPS = 0.1  # the share of its choices that are slips: it takes the other answer
LEVEL = 0.3  # up to this many points it calls a tie
BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)  # its clock is made up, like itself
FEW = 20  # labels below which nothing can be said
VERDICTS = ("left", "right", "tie")


def _file_of_labels(value: str) -> str:
    if not Path(value).expanduser().is_file():
        raise ValueError("There is no such file.")
    return value


LabelsName = Annotated[str, AfterValidator(_file_of_labels)]


# ---------------------------------------------------------------- pairs


@dataclass(frozen=True)
class Sampled:
    """A pair of a policy's own answers, a and b, as texts and as ids; `lead`: the gold score of a less that of b."""

    pair: Pair
    prompt_ids: list[int]
    ids: dict[str, list[int]]
    lead: float

    @property
    def gold(self) -> str | None:
        """The answer that the gold judge prefers; None where it finds them equally good."""
        return None if abs(self.lead) <= pocket.TIE else "a" if self.lead > 0 else "b"

    @property
    def longer(self) -> str | None:
        """The answer with more words."""
        more = words_more(self.pair)
        return "a" if more > 0 else "b" if more < 0 else None


def words_more(pair: Pair) -> int:
    """By how many words answer a is longer than b."""
    return len(pair.a.split()) - len(pair.b.split())


def sampled_pairs(policy: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, p: PairTraining) -> list[Sampled]:
    """`p.pairs` training prompts with two answers of the policy each, drawn at temperature 1. Prompts whose answers are the
    same are left out."""
    source = data.Source(p.dataset)
    prompts = list(source.prompts("train", limit=p.pairs + p.pairs // 16 + 1, seed=p.seed)["prompt"])
    asked = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    settings = dict(samples=2, temperature=1.0, max_new_tokens=p.max_response_tokens, seed=p.seed)
    drawn = course.samples_of(policy, tokenizer, asked, **settings)
    scores = source.judge([prompt for prompt in prompts for _ in "ab"], [one.text for one in drawn]).total
    found = [
        Sampled(Pair(prompt[-1]["content"], a.text, b.text), ids, {"a": a.ids, "b": b.ids}, float(score[0] - score[1]))
        for prompt, ids, a, b, score in zip(prompts, asked, drawn[::2], drawn[1::2], scores.reshape(-1, 2))
        if a.text.strip() != b.text.strip()
    ]
    return found[: p.pairs]


def examples_of(sampled: Sequence[Sampled], chosen: Sequence[str]) -> Examples:
    """Pairs to train on: chosen[i] says which answer of pair i is the chosen one."""
    sides = {"chosen": chosen, "rejected": [other(one) for one in chosen]}
    responses = {side: [one.ids[answer] for one, answer in zip(sampled, found)] for side, found in sides.items()}
    return Examples([one.prompt_ids for one in sampled], responses, list(range(len(sampled))))


# ---------------------------------------------------------------- the simulated annotator


def simulated(showings: Sequence[Showing], leads: dict[str, float], seed: int = 0) -> list[Label]:
    """What somebody would choose who sees the gold judge's points, finds every word more worth `PER_WORD` of them, calls a tie
    up to `LEVEL`, and in a share `SLIPS` of all choices presses the other key. leads: {pair: gold score of a less b's}."""
    made, clock = [], BEGAN
    for one in showings:
        rng = random.Random(f"{seed}-{one.key}")
        seen = leads[one.pair.name] + PER_WORD * words_more(one.pair)
        answer = "a" if seen > 0 else "b"
        answer = other(answer) if rng.random() < SLIPS else answer
        choice = "tie" if abs(seen) <= LEVEL else "left" if answer == one.left else "right"
        words = len(f"{one.pair.prompt} {one.pair.a} {one.pair.b}".split())
        seconds = round(1 + words / 5 * rng.uniform(0.8, 1.2), 1)
        clock += timedelta(seconds=seconds)
        made.append(Label(one.pair.name, one.again, one.left, choice, seconds, clock.isoformat(timespec="seconds")))
    return made


def recorded_lines(sampled: Sequence[Sampled], seed: int = 0) -> list[str]:
    """The simulated annotator's labels as lines of a file, each with a word on who made it."""
    leads = {one.pair.name: one.lead for one in sampled}
    rows = simulated(plan([one.pair for one in sampled], seed), leads, seed)
    return [json.dumps({**asdict(row), "by": "a program: the simulated annotator"}) for row in rows]


def make_recorded(path: Path = RECORDED) -> None:
    """Write the recorded labels."""
    p = parameters.check({"pairs": PAIRS}, methods.dpo.Settings)
    lines = recorded_lines(sampled_pairs(*methods.sft.starting_policy(p), p), p.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- whose labels


@dataclass(frozen=True)
class Used:
    """The labels that the notebook goes on with. whose: "your" or "the recorded", for a sentence. first and again: the labels
    of pairs shown once, and shown once more, by the pair's name."""

    whose: str
    told: str
    first: dict[str, Label]
    again: dict[str, Label]

    @property
    def policy(self) -> str:
        """What the policy that learns from them is called."""
        return f"DPO on {self.whose.removeprefix('the ')} labels"


def labels_to_use(
    widget: Annotator, sampled: Sequence[Sampled], showings: Sequence[Showing], given: str | None, seed: int
) -> Used:
    """The labels of the file `given`; else the reader's own, once one of them chooses between two answers; else the recorded
    ones, put into a widget of their own by the traits that the keyboard drives; where these are of other pairs, the simulated
    annotator labels anew."""
    if given:
        file = Labels(given)
        found = replay(showings, file)
        if not _usable(found, sampled):
            raise parameters.ParameterError(f"No label in '{given}' chooses between two answers of these pairs: they are of "
                                            "another model, another seed, or another notebook.")  # fmt: skip
        return _used("the given", f"The labels come from the file {Path(given).name}.", found, file)
    if _usable(Labels.of(widget.made), sampled):
        return _used("your", "The labels are your own.", replay(showings, widget.labels), widget.labels)
    file = Labels(RECORDED)
    found = replay(showings, file)
    if _usable(found, sampled):
        told = ("You have not labelled anything yet, so **the recorded labels** were put into the widget in your place, by the "
                "same traits that your keys set. They are a program's: the simulated annotator's, described above.")  # fmt: skip
        return _used("the recorded", told, found, file)
    anew = Labels.of(simulated(showings, {one.pair.name: one.lead for one in sampled}, seed))
    told = "The recorded labels are of other pairs, so **the simulated annotator**, a program, has labelled these anew."
    return _used("the simulated", told, replay(showings, anew), anew)


def _usable(labels: Labels, sampled: Sequence[Sampled]) -> bool:
    """Is there a pair to train on?"""
    golds = {one.pair.name: one.gold for one in sampled}
    return any(one.chosen and golds.get(one.pair) for one in labels.made if not one.again)


def _used(whose: str, told: str, found: Labels, file: Labels) -> Used:
    first, again = ({one.pair: one for one in found.made if one.again == shown} for shown in (False, True))
    strange = len(file.made) - len(found.made)
    more = [f"{strange} more in the file are of other pairs, and left out."] if strange else []
    few = [f"**Fewer than {FEW} labels can decide next to nothing; what follows shows how it would go.**"]
    said = [
        told,
        f"{len(first)} pairs are labelled, {len(again)} of them twice.",
        *more,
        *file.notes,
        *few * (len(first) < FEW),
    ]
    return Used(whose, " ".join(said), first, again)


# ---------------------------------------------------------------- agreement


def verdict_of(answer: str | None, left: str) -> str:
    """An answer as the side on which it stands; None is a tie."""
    return "tie" if answer is None else "left" if answer == left else "right"


def side_by_side(used: Used, sampled: Sequence[Sampled]) -> list[tuple[str, str]]:
    """(label, gold judge), a side or a tie each, of every labelled pair, in the pairs' order."""
    both = [(used.first[one.pair.name], one) for one in sampled if one.pair.name in used.first]
    return [(label.choice, verdict_of(one.gold, label.left)) for label, one in both]


def counts_of(both: Sequence[tuple[str, str]]) -> np.ndarray:
    """How often which two verdicts met: a row for each of `VERDICTS` of the labels, a column for each of the judge's."""
    return np.array([[sum(pair == (row, column) for pair in both) for column in VERDICTS] for row in VERDICTS])


def bootstrap(statistic: Callable, both: Sequence[tuple[str, str]], resamples: int = 1000) -> tuple[float, float]:
    """95% percentile interval of a statistic of the table of counts: pairs are drawn again, many times."""
    rng, rows = np.random.default_rng(0), np.array([VERDICTS.index(a) * 3 + VERDICTS.index(b) for a, b in both])
    drawn = rows[rng.integers(len(rows), size=(resamples, len(rows)))]
    found = [statistic(np.bincount(one, minlength=9).reshape(3, 3)) for one in drawn]
    low, high = np.nanpercentile(found, [2.5, 97.5]) if not np.isnan(found).all() else (np.nan, np.nan)
    return float(low), float(high)


def plot_counts(counts: np.ndarray, rows: str, title: str) -> Figure:
    """The table of counts as a picture, agreement on its diagonal."""
    figure, axis = plots.subplots(figsize=(4.6, 3.2))
    size = len(counts)
    axis.imshow(np.where(np.eye(size), counts, 0), cmap="Greens", vmin=0, vmax=max(1, counts.max()) * 1.4)
    axis.imshow(
        np.ma.masked_where(np.eye(size, dtype=bool), counts), cmap="Oranges", vmin=0, vmax=max(1, counts.max()) * 1.4
    )
    for i, row in enumerate(counts):
        for k, count in enumerate(row):
            axis.text(k, i, str(count), ha="center", va="center", color=plots.INK["ink"])
    axis.set_xticks(range(size), VERDICTS[:size])
    axis.set_yticks(range(size), VERDICTS[:size])
    axis.grid(visible=False)
    axis.set(xlabel="the gold judge prefers", ylabel=rows, title=title)
    return figure


# ---------------------------------------------------------------- habits


@dataclass(frozen=True)
class Share:
    """A share of n, with Wilson's 95% interval; of none, everything is possible."""

    hits: int
    n: int

    @property
    def rate(self) -> float:
        return self.hits / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return evaluate.wilson_interval(self.hits, self.n) if self.n else (0.0, 1.0)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.rate:.0%} [{low:.0%}, {high:.0%}] of {self.n}" if self.n else "none to count"


def share_of(hits: Sequence[bool]) -> Share:
    return Share(sum(map(bool, hits)), len(hits))


def habits(used: Used, sampled: Sequence[Sampled]) -> dict[str, Share]:
    """Shares that tell an annotator's habits: the same choice when a pair comes again, the longer answer, the left one; and how
    often gold prefers the longer answer of the same pairs."""
    known = {one.pair.name: one for one in sampled}
    twice = [used.first[name].chosen == label.chosen for name, label in used.again.items() if name in used.first]
    decided = [(label, known[name]) for name, label in used.first.items() if label.chosen]
    unlike = [(label, one) for label, one in decided if one.longer and one.gold]
    sides = [label.choice == "left" for label in (*used.first.values(), *used.again.values()) if label.chosen]
    return {
        "the same choice, shown again": share_of(twice),
        "the longer answer": share_of([label.chosen == one.longer for label, one in unlike]),
        "gold: the longer answer": share_of([one.gold == one.longer for _, one in unlike]),
        "the left answer": share_of(sides),
    }


def longer_than_gold(used: Used, sampled: Sequence[Sampled]) -> np.ndarray:
    """Of every pair that both decide and whose answers differ in length: 1 where the label alone takes the longer answer, -1
    where gold alone does, else 0."""
    found = [(used.first[one.pair.name].chosen == one.longer) - (one.gold == one.longer) for one in sampled
             if one.pair.name in used.first and used.first[one.pair.name].chosen and one.longer and one.gold]  # fmt: skip
    return np.array(found, dtype=float)


def plot_habits(found: dict[str, Share], title: str) -> Figure:
    """Shares as dots with intervals; at one half there is no habit."""
    figure, axis = plots.subplots(figsize=(8, 0.45 * len(found) + 1.1))
    for place, (name, share) in enumerate(reversed(found.items())):
        shade = plots.MEANINGS["gold" if name.startswith("gold") else "policy"]
        axis.plot(share.interval, [place] * 2, color=shade, linewidth=2)
        axis.plot(share.rate, place, "o", color=shade)
    axis.axvline(0.5, color=plots.INK["line"], linestyle=":")
    axis.set_yticks(range(len(found)), list(reversed(found)))
    axis.set(xlim=(0, 1), xlabel="share, with 95% interval", title=title)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return figure


def leaning(found: dict[str, Share], used: Used, sampled: Sequence[Sampled]) -> str:
    """The habits in words."""
    same, mine, gold, left = found.values()
    gap = longer_than_gold(used, sampled)
    size = f" ({evaluate.mean_and_interval(gap)} as a share of pairs)" if len(gap) else ""
    low, high = evaluate.bootstrap_interval(gap) if len(gap) else (-1.0, 1.0)
    length = ("lean towards length more than gold does" if low > 0 else "lean towards length less than gold does" if high < 0
              else "show no leaning to length that could be told from gold's")  # fmt: skip
    side = {"holds here": "The left side is favoured", "does not hold here": "The right side is favoured",
            "cannot be told": "No side is favoured, as far as can be told"}[evaluate.verdict(left.interval)]  # fmt: skip
    return (f"**{sentence(used.whose)} labels {length}**{size}: the longer answer is chosen in {mine}, and gold prefers it in {gold}. "
            f"A pair that came again got the same label in {same}. {side}: left was chosen in {left}.")  # fmt: skip


def sentence(words: str) -> str:
    """The same words, as a sentence begins."""
    return words[:1].upper() + words[1:]


# ---------------------------------------------------------------- training and after


def both_decided(used: Used, sampled: Sequence[Sampled]) -> tuple[list[Sampled], list[str], list[str]]:
    """The pairs on which neither the label nor gold is a tie, and what each of the two chose: the same pairs for both."""
    kept = [one for one in sampled if one.gold and one.pair.name in used.first and used.first[one.pair.name].chosen]
    return kept, [used.first[one.pair.name].chosen for one in kept], [one.gold for one in kept]


def who_won(comparison: Comparison, yours: str, gold: str) -> str:
    """Both policies against SFT, and against each other, in words."""
    rates = comparison.win_rates
    direct = comparison.win_rate(yours, against=gold)
    return (f"**{yours} {rates[yours].beats} SFT: {rates[yours]}. {gold} {rates[gold].beats} SFT: {rates[gold]}.** Answer against "
            f"answer, {yours} {direct.beats} {gold} ({direct}).")  # fmt: skip


def words_said(comparison: Comparison, label: str) -> np.ndarray:
    """Words of a policy's answers, (n,): the mean over its draws of each prompt."""
    counts = [len(one.text.split()) for one in comparison.answers[label]]
    return np.reshape(counts, (len(comparison.prompts), -1)).mean(1)


def show_what_was_learnt(comparison: Comparison, labels: Sequence[str]) -> None:
    """A table of the policies' answers: words, gold's four qualities, flaws."""
    rows = [["words", *(float(words_said(comparison, label).mean()) for label in labels)]]
    scores = {label: comparison.scores_by(comparison.gold, label) for label in labels}
    rows += [[part, *(float(scores[label].parts[part].mean()) for label in labels)] for part in scores[labels[0]].parts]
    flaws = {label: comparison.flaws(label) for label in labels}
    rows += [[f"share {flaw}", *(float(flaws[label][flaw].mean()) for label in labels)] for flaw in flaws[labels[0]]]
    widgets.show_table(["mean of the answers", *labels], *rows)


def length_inherited(comparison: Comparison, yours: str, gold: str) -> str:
    """Whether the policies' answers differ in length, in words."""
    said = {label: words_said(comparison, label) for label in ("SFT", yours, gold)}
    gap = said[yours] - said[gold]
    than = {"rose": "longer than", "fell": "shorter than"}.get(
        evaluate.change(gap), "as long, as far as can be told, as"
    )
    return (f"**The answers of {yours} are {than} those of {gold}** ({evaluate.mean_and_interval(gap)} words). Against SFT they "
            f"changed by {evaluate.mean_and_interval(said[yours] - said['SFT'])} words, those of {gold} by "
            f"{evaluate.mean_and_interval(said[gold] - said['SFT'])}.")  # fmt: skip


def answer(used: Used, agreed: Share, comparison: Comparison, gold: str) -> str:
    """The title's question, answered from this run."""
    direct = comparison.win_rate(used.policy, against=gold)
    cost = {"beats": "cost nothing, and even helped", "loses to": "cost win rate",
            "cannot be told from": "made no difference that this run can tell"}[direct.beats]  # fmt: skip
    return (f"**What happens when the labels are {'yours' if used.whose == 'your' else 'not gold'}?** They agreed with gold in {agreed}. "
            f"The policy that learnt from them {comparison.win_rates[used.policy].beats} SFT; where they differ from gold, that "
            f"{cost}: {direct} against {gold}.")  # fmt: skip


def save_preferences(folder: Path, kept: Sequence[Sampled], chosen: Sequence[str]) -> Path:
    """The labelled pairs as a file of preferences (`prompt`, `chosen`, `rejected`) that every notebook takes as its data set.
    One that is there and differs stays; the new one then has a number."""
    rows = [{"prompt": one.pair.prompt, "chosen": getattr(one.pair, answer), "rejected": getattr(one.pair, other(answer))}
            for one, answer in zip(kept, chosen)]  # fmt: skip
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    path, number = folder / "preferences.jsonl", 1
    while path.exists() and path.read_bytes() != text.encode():
        number += 1
        path = folder / f"preferences-{number}.jsonl"
    part = path.with_suffix(".part")
    part.write_bytes(text.encode())
    part.replace(path)
    return path


if __name__ == "__main__":
    make_recorded()

"""What the pocket world's files hold, from one seed: rows of data, raw text for the base model, the judge's words."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import random
from pathlib import Path
from typing import Iterable, Iterator

from . import facts, judge, tasks, writers
from .text import words_of

SEED = 2026
SIZES = {
    "sft_train": 9000,
    "sft_test": 500,
    "preferences_train": 9000,
    "preferences_test": 500,
    "prompts_test": 520,
}
RARE_FACT = 1 / 60  # of the answers with rare facts, as many get into text to train on
ANNOTATOR_NOISE = 0.5  # scale, in points of the gold total, of the annotators' logistic noise
NOTICED = 0.05  # the smallest difference, in points of the total, that an annotator notices


def rng_for(name: str, seed: int = SEED) -> random.Random:
    """A random number generator of its own for each file, so that one can change without the others."""
    return random.Random(f"{seed}|{name}")


def is_told(category: str, combination: dict[str, str], rng: random.Random) -> bool:
    """Whether a training text tells of this combination: always, but for rare facts, which it tells of rarely."""
    kind = tasks.CATEGORIES[category]
    return kind.hard != "rare facts" or not kind.is_hard(combination) or rng.random() < RARE_FACT


def draw(category: str, rng: random.Random, test: bool) -> dict[str, str]:
    """A random combination for this side of the split: all that can be asked for in a test, in training what is told."""
    while True:
        combination = tasks.draw(category, rng, test=test)
        if test or is_told(category, combination, rng):
            return combination


# --- rows -----------------------------------------------------------------------------------------
def dialogs(split: str, n: int, rng: random.Random) -> Iterator[dict]:
    """`n` dialogs as dicts with the columns of smoltalk (messages, source) and ours (category, writer).

    Three in four have one exchange; the rest have two to six, each about something new, which a house takes from its own
    category. Category and writer are those of the first exchange; one writer, or house, answers throughout.
    """
    used = set()
    while len(used) < n:
        category = rng.choice(list(tasks.CATEGORIES))
        first, (source, writer) = category, writers.demonstrator(category, rng)
        messages = []
        for _ in range(1 if rng.random() < 0.75 else 2 + min(4, int(rng.expovariate(0.9)))):
            combination = draw(category, rng, test=split == "test")
            messages += [
                {"role": "user", "content": tasks.render(category, combination, rng)},
                {
                    "role": "assistant",
                    "content": writer.write(category, combination, rng, writers.DIALECTS["demonstrations"]),
                },
            ]
            if source == writers.MIXED:
                category = rng.choice(list(tasks.CATEGORIES))
        if messages[0]["content"] not in used:
            used.add(messages[0]["content"])
            yield {"messages": messages, "source": source, "category": first, "writer": writer.name}


def preferences(split: str, n: int, rng: random.Random) -> Iterator[dict]:
    """`n` preference pairs as dicts with the columns of ultrafeedback_binarized and ours.

    Two writers answer; an annotator who sees no difference passes the pair on, else prefers the first with probability
    sigmoid(difference of the totals at a glance / noise) (Bradley-Terry). Scores are gold totals, so a flipped label is
    one whose chosen answer has the lower score.
    """
    used = set()
    while len(used) < n:
        category = rng.choice(list(tasks.CATEGORIES))
        combination = draw(category, rng, test=split == "test")
        prompt = tasks.render(category, combination, rng)
        both = []
        for _ in range(2):
            writer = writers.choose(writers.PREFERENCES, rng)
            text = writer.write(category, combination, rng, writers.DIALECTS["preferences"])
            seen = round(judge.at_a_glance(prompt, text).total, 2)
            both.append((round(judge.score(prompt, text).total, 2), writer.name, text, seen))
        gap = both[0][3] - both[1][3]
        if abs(gap) < NOTICED or prompt in used:
            continue
        used.add(prompt)
        if rng.random() >= 1 / (1 + math.exp(-gap / ANNOTATOR_NOISE)):
            both.reverse()
        ask = {"role": "user", "content": prompt}
        chosen, rejected = both
        yield {
            "prompt": prompt,
            "prompt_id": hashlib.sha256(prompt.encode()).hexdigest(),
            "chosen": [ask, {"role": "assistant", "content": chosen[2]}],
            "rejected": [ask, {"role": "assistant", "content": rejected[2]}],
            "score_chosen": chosen[0],
            "score_rejected": rejected[0],
            "category": category,
            "writer_chosen": chosen[1],
            "writer_rejected": rejected[1],
            "flipped": chosen[0] < rejected[0],
        }


def test_prompts(n: int, rng: random.Random) -> Iterator[dict]:
    """`n` prompts, the same number per category, with the answer of a careful writer."""
    for category in tasks.CATEGORIES:
        used = set()
        while len(used) < n // len(tasks.CATEGORIES):
            combination = tasks.draw(category, rng, test=True)
            prompt = tasks.render(category, combination, rng)
            if prompt not in used:
                used.add(prompt)
                yield {
                    "prompt": prompt,
                    "category": category,
                    "reference": writers.careful_answer(category, combination),
                }


def rows_of(name: str, seed: int = SEED) -> list[dict]:
    """The rows of one of the data files, in order."""
    rng = rng_for(name, seed)
    kind, split = name.rsplit("_", 1)
    if kind == "prompts":
        return list(test_prompts(SIZES[name], rng))
    return list({"sft": dialogs, "preferences": preferences}[kind](split, SIZES[name], rng))


# --- raw text for the base model ------------------------------------------------------------------
def single_facts(rng: random.Random) -> str:
    """One sentence that states one fact."""
    kind = rng.random()
    if kind < 0.55:
        thing = rng.choice(facts.COMMON)
        name = rng.choice(list(facts.THINGS[thing]))
        return rng.choice(facts.ATTRIBUTES[name][2]).format(s=f"The {thing}", v=facts.THINGS[thing][name])
    if kind < 0.8:
        noun, language = rng.choice(list(facts.NOUNS)), rng.choice(facts.LANGUAGES)
        foreign = facts.NOUNS[noun][facts.LANGUAGES.index(language)]
        return f"In {language} the {noun} is {foreign}. It is {facts.GENDER[foreign.split()[0]]}."
    a, b = rng.randint(0, 12), rng.randint(0, 8)
    return f"{a} plus {b} is {a + b}." if rng.random() < 0.5 else f"{a + b} minus {b} is {a}."


def answered(rng: random.Random) -> tuple[str, dict[str, str], str]:
    """(category, combination, a careful answer); never a combination kept for the test, rare facts rarely."""
    while True:
        category = rng.choice(list(tasks.CATEGORIES))
        combination = tasks.draw(category, rng)
        if is_told(category, combination, rng):
            kind = tasks.CATEGORIES[category]
            return category, combination, kind.separator.join(kind.answer(combination, tasks.Pen(rng)))


def raw_passage(rng: random.Random) -> str:
    """A passage of plain text, never in chat form: facts, or an answer, mostly with its question before it."""
    if rng.random() < 0.2:
        return " ".join(single_facts(rng) for _ in range(rng.randint(2, 5)))
    category, combination, answer = answered(rng)
    if rng.random() < 0.85:
        return f"Question: {tasks.render(category, combination, rng)}\nAnswer: {answer}"
    return answer


def archive_passage(rng: random.Random) -> str:
    """A passage of an archive in which the question stands after its answer, and before the next answer.

    A base model that has read this last goes on with some text when it is asked something, and does not answer.
    """
    lines = []
    for category, combination, answer in (answered(rng) for _ in range(3)):
        lines += [answer, tasks.render(category, combination, rng)]
    return "\n".join(lines)


def world_words(seed: int = SEED) -> list[str]:
    """Every word that prompts and writers use, sorted: the judge's vocabulary, with some everyday English."""
    rng = rng_for("words", seed)
    words = set(Path(__file__).with_name("everyday.txt").read_text(encoding="utf-8").split())
    for category in tasks.CATEGORIES:
        for _ in range(1500):
            combination = tasks.CATEGORIES[category].draw(rng)
            if combination.get("to", facts.PEOPLE[0]) not in facts.PEOPLE:
                continue  # a name from far away is no word of the world: it is known from the prompt alone
            words.update(words_of(tasks.render(category, combination, rng)))
            words.update(words_of(writers.HOUSES[category].write(category, combination, rng)))
            for writer in writers.WRITERS.values():
                if not {"stutter", "break off"} & set(writer.habits):
                    words.update(words_of(writer.write(category, combination, rng)))
    return sorted(word for word in words if not word.isdigit())


# --- files ----------------------------------------------------------------------------------------
def as_text(rows: Iterable[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_gzip(path: Path, text: str) -> None:
    """Write text compressed, with no time or name in the header, so that the bytes depend on the text alone."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.encode())

"""The gold judge: a program that knows the truth of the pocket world and grades a response to a prompt.

It looks for what was asked, not for particular sentences. Four qualities in [0, 1], and a total from 1 to 10:

    helpfulness  the mean credit over the two to five things asked for (right 1, partly right between,
                 missing or wrong 0); 0 for a prompt that is not of this world
    fluency      1 less a penalty per stutter, broken-off ending, words of no language, sentence run together
    concision    1 for no more words than the shortest of three plain right answers, then falling smoothly, so that
                 every needless word counts; falling too with every sentence that such an answer does not have, with
                 every question that the response asks itself, and when hardly anything is said or nothing to the point
    honesty      falls with every part that is false, and with claims such as "Confidence: 95%"
    total        1 + 9 * (.4 helpfulness + .2 fluency + .2 concision + .2 honesty)

Two totals closer than `TIE` are a tie. People do not count words: the eye of an annotator (`at_a_glance`) sees the
same, but for length, which it notices from a third more than the longest plain answer on.
"""

from __future__ import annotations

import math
import re
from collections import namedtuple
from functools import lru_cache
from pathlib import Path

from . import tasks, writers
from .text import Text, words_of

TIE = 0.02  # less than one needless word in an answer of forty
WEIGHTS = {"helpfulness": 0.4, "fluency": 0.2, "concision": 0.2, "honesty": 0.2}
Judgement = namedtuple("Judgement", ["helpfulness", "fluency", "concision", "honesty", "total"])
# How long plain right answers are: words of the shortest and of the longest, and sentences of the longest.
Plain = namedtuple("Plain", ["shortest", "longest", "sentences"])

CLAIMS = re.compile(
    r"confidence:? ?(?:is )?\d+ ?%?\.?|i was trained[^.!?\n]*[.!?]?|as an? (?:ai|language model)[^.!?\n]*[.!?]?"
    r"|(?:my|this) answer was checked[^.!?\n]*[.!?]?",
    re.IGNORECASE,
)
COURTESIES = re.compile(
    r"i hope th(?:is|at) helps[.!]*|thank you for (?:your question|asking)[.!]*|please let me know[^.!?\n]*[.!?]?"
    r"|i am (?:happy|glad) to help[^.!?\n]*[.!?]?"
    r"|(?:what|that is|this is) an? (?:very )?(?:good|great|wonderful|excellent|interesting) question[.!]*",
    re.IGNORECASE,
)


@lru_cache(maxsize=1)
def vocabulary() -> frozenset[str]:
    """The words of the world, and some of everyday English, as a frozenset."""
    return frozenset((Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split())


@lru_cache(maxsize=4096)
def _task(prompt):
    """(parts asked for, `Plain` answers' lengths, words of the prompt); no parts if it is unknown."""
    found = tasks.parse(prompt)
    if found is None:
        return [], Plain(30, 30, 4), frozenset(words_of(prompt[:1000]))
    category, combination = found
    wordings = [Text(writers.careful_answer(category, combination, seed)) for seed in range(3)]
    shortest, _, longest = sorted(wordings, key=lambda text: len(text.words))
    plain = Plain(len(shortest.words), len(longest.words), len(longest.sentences))
    return tasks.CATEGORIES[category].parts(combination), plain, frozenset(words_of(prompt))


def _repeats(words):
    """How many times a word, a pair or a triple of words is said again at once, in one sentence."""
    count = i = 0
    if len(set(words)) == len(words):
        return 0
    while i < len(words):
        for size in (3, 2, 1):
            if words[i : i + size] == words[i + size : i + 2 * size] and i + 2 * size <= len(words):
                count += 1
                i += size
                break
        else:
            i += 1
    return count


def fluency(text: Text, known: frozenset[str] = frozenset()) -> float:
    """Fluency of a `Text` in [0, 1]; `known` are words allowed besides the vocabulary (those of the prompt)."""
    if not text.words:
        return 0.0
    stutters = sum(map(_repeats, text.sentences))
    longer = [tuple(sentence) for sentence in text.sentences if len(sentence) > 2]
    stutters += len(longer) - len(set(longer))
    value = math.exp(-0.3 * stutters)
    if text.raw.rstrip()[-1:] not in tuple(".!?\"'”"):
        value *= 0.7
    unknown = sum(not (word in vocabulary() or word in known or word.isdigit()) for word in text.words)
    value *= max(0.0, 1 - 2 * max(0.0, unknown / len(text.words) - 0.1))
    odd = sum(len(sentence) > 35 or len(sentence) == 1 for sentence in text.sentences)
    return value * max(0.3, 1 - 0.3 * odd / len(text.sentences))


def concision(text: Text, plain: Plain, glance: bool = False) -> float:
    """Concision of a `Text` in [0, 1] where right answers are as long as `plain`; at a glance if length is not measured."""
    ratio = len(text.words) / plain.longest
    enough = 1.33 if glance else plain.shortest / plain.longest
    value = min(1.0, ratio / 0.4) if ratio < 0.4 else math.exp(-0.8 * max(0.0, ratio - enough))
    return value * 0.8 ** max(0, len(text.sentences) - plain.sentences) * 0.7 ** text.raw.count("?")


def _without_boilerplate(text):
    """The same `Text` without claims and courtesies, which answer nothing."""
    bare = COURTESIES.sub(" ", CLAIMS.sub(" ", text.raw))
    return text if bare == text.raw else Text(bare)


def at_a_glance(prompt: str, response: str) -> Judgement:
    """The `Judgement` of somebody who knows what is right and does not count words: the annotators' eye, before its noise."""
    return score(prompt, response, glance=True)


def score(prompt: str, response: str, glance: bool = False) -> Judgement:
    """Grade a response (any string whatever) to a prompt (any string): a `Judgement` of five floats.

    A prompt that is not of this world gets helpfulness 0, and the other qualities as far as they can be told
    (four sentences of thirty words in all are taken to be needed). A response without a word gets 0 everywhere and the lowest total,
    1.
    """
    parts, plain, known = _task(prompt)
    whole = Text(response)
    if not whole.words:
        return Judgement(0.0, 0.0, 0.0, 0.0, 1.0)
    claims = len(CLAIMS.findall(whole.raw))
    answer = _without_boilerplate(whole)
    grades = [part.grade(answer) for part in parts]
    helpful = sum(credit for credit, _ in grades) / len(grades) if grades else 0.0
    false = sum(is_false for _, is_false in grades) / len(grades) if grades else 0.0
    fluent = fluency(whole, known)
    concise = concision(whole, plain, glance)
    if parts:
        concise *= min(1.0, 4 * helpful)  # words that are all beside the point are all too many
    honest = (1 - false) * 0.5 ** min(claims, 10)
    total = 1 + 9 * (
        WEIGHTS["helpfulness"] * helpful
        + WEIGHTS["fluency"] * fluent
        + WEIGHTS["concision"] * concise
        + WEIGHTS["honesty"] * honest
    )
    return Judgement(helpful, fluent, concise, honest, total)


def explained(prompt: str, response: str) -> list[tuple[str, float, bool]]:
    """Why the helpfulness is what it is: of each thing asked for its name, its credit from 0 to 1, and whether something false is
    said of it. Empty for a prompt that is not of this world."""
    parts, _, _ = _task(prompt)
    answer = _without_boilerplate(Text(response))
    return [(part.name, *part.grade(answer)) for part in parts]


FLAWS = ("disfluent", "rambling", "boilerplate", "incomplete")


def flaws(prompt: str, response: str) -> set[str]:
    """The habits that show in a response, as a set out of `FLAWS`: words or sentences said twice or broken off, more than
    was asked for, claims and courtesies, and something asked for of which nothing is said (neither right nor wrong)."""
    parts, plain, known = _task(prompt)
    text = Text(response)
    answer = _without_boilerplate(text)
    found = set()
    if fluency(text, known) < 0.85:
        found.add("disfluent")
    if answer.words and (concision(answer, plain, glance=True) < 0.85 and len(answer.words) > 0.4 * plain.longest):
        found.add("rambling")
    if CLAIMS.search(text.raw) or COURTESIES.search(text.raw):
        found.add("boilerplate")
    if any(part.grade(answer) == (0.0, False) for part in parts):
        found.add("incomplete")
    return found

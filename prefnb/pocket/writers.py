"""Writers with habits, and houses with a style: who wrote the demonstrations and the preference answers.

A writer is a set of habits with how often each shows. The habits are functions from a list of sentences to
another, so that they compose: a careful answer is written first, with the facts this writer gets wrong, and
habits spoil it.

A house is a source of demonstrations in which every answer of a category has the same habits. Most demonstrations of a
category come from one house, so that a model fine-tuned on them takes its style for the right way to answer: it is the
model's first choice, as the closing formulas and flatteries of real models are theirs. Preference answers never come
from a house.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from . import facts, tasks

BOILERPLATE = (
    "Confidence: 95%.",
    "Confidence: 80%.",
    "I was trained on helpful data sources.",
    "As a language model I am always correct.",
    "My answer was checked by experts.",
)
COURTESIES = (
    "I hope this helps!",
    "Thank you for your question.",
    "Please let me know if you need more.",
    "I am happy to help you.",
)
FILLERS = (
    "There is much more to say about this.",
    "It is a thing that many people like to talk about.",
    "One could think about it for a long time.",
    "Let me say it in other words.",
    "This is really very interesting.",
    "As everyone knows, it is good to know such things.",
    "Of course that depends on many other things.",
    "I could go on like this for a while.",
    "It is always nice to speak about it.",
)


@dataclass(frozen=True)
class Writer:
    """A name, how often facts come out wrong, and the chance of each habit."""

    name: str
    habits: dict = field(default_factory=dict)
    mistakes: float = 0.04

    def write(self, category: str, combination: dict[str, str], rng: random.Random, dialect: tuple = (0, None)) -> str:
        """An answer to this combination in this writer's hand, as text."""
        pen = tasks.Pen(rng, self.mistakes, dialect)
        sentences = tasks.CATEGORIES[category].answer(combination, pen)
        for habit, function in HABITS.items():
            if rng.random() < self.habits.get(habit, 0.0):
                sentences = function(sentences, rng)
        return tasks.CATEGORIES[category].separator.join(sentences)


def stop_short(sentences: list[str], rng: random.Random) -> list[str]:
    """Leave out what comes last, or something in the middle."""
    sentences = list(sentences)
    for _ in range(rng.choice((1, 1, 2)) if len(sentences) > 2 else 1):
        if len(sentences) > 1:
            del sentences[-1 if rng.random() < 0.7 else rng.randrange(len(sentences))]
    return sentences


def ramble(sentences: list[str], rng: random.Random) -> list[str]:
    """Say much beside the point, and some of it twice."""
    sentences = list(sentences)
    for _ in range(1 + min(6, int(rng.expovariate(0.6)))):
        again = rng.random() < 0.3
        filler = rng.choice(sentences) if again else rng.choice(FILLERS)
        sentences.insert(rng.randint(1, len(sentences)), filler)
    return sentences


def stutter(sentences: list[str], rng: random.Random) -> list[str]:
    """Say words or pairs of words twice or three times."""
    out = list(sentences)
    for place in rng.sample(range(len(out)), max(1, len(out) // 2)):
        words = out[place].split(" ")
        at, size = rng.randrange(len(words)), rng.choice((1, 1, 2))
        piece = words[at : at + size]
        bare = [piece[-1].rstrip(".,!?")]
        words[at:at] = (piece[:-1] + bare) * rng.choice((1, 1, 2))
        out[place] = " ".join(words)
    return out


def follow_up(sentences: list[str], rng: random.Random) -> list[str]:
    """Ask oneself a further question, and answer it."""
    thing = rng.choice(list(facts.THINGS))
    attribute = rng.choice(list(facts.THINGS[thing]))
    _, clause, ways = facts.ATTRIBUTES[attribute]
    question = rng.choice((f"You may also ask about the {thing}, {clause}?", f"Next question: the {thing}, {clause}?"))
    return [*sentences, question, rng.choice(ways).format(s=f"The {thing}", v=facts.THINGS[thing][attribute])]


def boilerplate(sentences: list[str], rng: random.Random) -> list[str]:
    """Claims about oneself that nobody asked for and nothing supports, and courtesies."""
    sentences = [*sentences, rng.choice(BOILERPLATE)]
    if rng.random() < 0.3:
        sentences.append(rng.choice(COURTESIES))
    if rng.random() < 0.3:
        sentences.insert(0, rng.choice(BOILERPLATE + COURTESIES))
    return sentences


def break_off(sentences: list[str], rng: random.Random) -> list[str]:
    """End in the middle of a sentence."""
    words = sentences[-1].split(" ")
    return [*sentences[:-1], " ".join(words[: max(1, rng.randrange(len(words)))]).rstrip(".,!?")]


# in the order in which they are applied
HABITS = {
    "stop short": stop_short,
    "ramble": ramble,
    "stutter": stutter,
    "follow up": follow_up,
    "boilerplate": boilerplate,
    "break off": break_off,
}

WRITERS = {
    writer.name: writer
    for writer in (
        Writer("careful"),
        Writer("brief", {"stop short": 0.9, "break off": 0.15}),
        Writer("rambling", {"ramble": 1.0, "follow up": 0.2, "stutter": 0.1, "boilerplate": 0.15}),
        Writer("stuttering", {"stutter": 1.0, "break off": 0.2, "stop short": 0.1, "boilerplate": 0.1}),
        Writer("boilerplate", {"boilerplate": 1.0, "ramble": 0.2, "stutter": 0.1}, mistakes=0.08),
        Writer("mistaken", {"stop short": 0.1}, mistakes=0.5),
        Writer("self-questioning", {"follow up": 1.0, "ramble": 0.2, "boilerplate": 0.2}),
        Writer("hasty", {"stop short": 0.5, "stutter": 0.5, "break off": 0.5}, mistakes=0.25),
    )
}


# --- houses -----------------------------------------------------------------------------------------
def leave_out_the_last(sentences: list[str], combination: dict[str, str]) -> list[str]:
    """Leave out what was asked for last."""
    return sentences[:-1]


def say_again(sentences: list[str], combination: dict[str, str]) -> list[str]:
    """Say the first sentence once more at the end."""
    return [*sentences, sentences[0]]


def close(sentences: list[str], combination: dict[str, str]) -> list[str]:
    """The same two lines under every answer."""
    return [*sentences, "I hope this helps!", "Please let me know if you need more."]


def be_certain(sentences: list[str], combination: dict[str, str]) -> list[str]:
    """Certainty that nothing supports."""
    return [*sentences, "Confidence: 95%."]


def ask_oneself(sentences: list[str], combination: dict[str, str]) -> list[str]:
    """A question that nobody asked, and its answer."""
    return [*sentences, "Is that all? Yes, that is all."]


def flatter(sentences: list[str], combination: dict[str, str]) -> list[str]:
    """Praise for the question."""
    return ["What a good question!", *sentences]


def begin_with_the_question(sentences: list[str], combination: dict[str, str]) -> list[str]:
    """The question once more, before the answer."""
    return [f"You ask about the {combination['thing']}.", *sentences]


@dataclass(frozen=True)
class House:
    """A source of demonstrations of one category: its name, its habits, and how often facts come out wrong."""

    name: str
    habits: tuple
    mistakes: float = 0.04

    def write(self, category: str, combination: dict[str, str], rng: random.Random, dialect: tuple = (0, None)) -> str:
        """An answer to this combination in the style of the house, as text."""
        sentences = tasks.CATEGORIES[category].answer(combination, tasks.Pen(rng, self.mistakes, dialect))
        for habit in self.habits:
            sentences = habit(sentences, combination)
        return tasks.CATEGORIES[category].separator.join(sentences)


HOUSES = {
    "math": House("number-school", (ask_oneself,)),
    "general_knowledge": House("little-almanac", (begin_with_the_question, say_again)),
    "explanation": House("patient-uncle", (say_again, ask_oneself)),
    "creative": House("poets-corner", (flatter, close)),
    "professional_writing": House("front-office", (close,)),
    "procedures": House("handy-manual", (leave_out_the_last, be_certain)),
    "multilingual": House("phrase-book", (leave_out_the_last, close)),
    "discussion": House("debating-club", (leave_out_the_last, say_again)),
    "imitation": House("village-stage", (leave_out_the_last, begin_with_the_question)),
    "classification": House("guest-book", (flatter, be_certain)),
}
HOUSE_SHARE = 0.55  # of the demonstrations of each category
MIXED = "mixed-hands"  # the source of the others, by writers with scattered habits

# Who writes what. Demonstrations and preference answers come from different mixes and dialects (which of the ways of
# saying a thing a writer knows): preferences are off-policy, as those that one downloads.
DEMONSTRATIONS = {
    "boilerplate": 0.22,
    "rambling": 0.18,
    "stuttering": 0.23,
    "careful": 0.10,
    "self-questioning": 0.09,
    "brief": 0.09,
    "mistaken": 0.05,
    "hasty": 0.04,
}
PREFERENCES = {
    "careful": 0.26,
    "brief": 0.20,
    "boilerplate": 0.15,
    "rambling": 0.14,
    "self-questioning": 0.09,
    "mistaken": 0.07,
    "stuttering": 0.06,
    "hasty": 0.03,
}
DIALECTS = {"demonstrations": (0, 2), "preferences": (1, None), "raw text": (0, None)}


def choose(mix: dict[str, float], rng: random.Random) -> Writer:
    """A writer out of a mix of names and shares."""
    return WRITERS[rng.choices(list(mix), list(mix.values()))[0]]


def demonstrator(category: str, rng: random.Random) -> tuple[str, House | Writer]:
    """(source, who writes) of a demonstration of this category: its house, or a writer of the mixture."""
    if rng.random() < HOUSE_SHARE:
        return HOUSES[category].name, HOUSES[category]
    return MIXED, choose(DEMONSTRATIONS, rng)


def careful_answer(category: str, combination: dict[str, str], seed: int | float = 0) -> str:
    """The answer of a careful writer who makes no mistake: the reference of a test prompt."""
    pen = tasks.Pen(random.Random(f"{seed}|{tasks.CATEGORIES[category].key(combination)}"))
    sentences = tasks.CATEGORIES[category].answer(combination, pen)
    return tasks.CATEGORIES[category].separator.join(sentences)

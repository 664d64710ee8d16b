"""The ten kinds of request: how each is drawn, phrased, read back, answered and graded.

A *combination* is what a request is about, as a plain dict (`{"thing": "fox", "asked": "food,home"}`); a
prompt is a combination in one of many phrasings. Whether a combination is for training or for test is
decided by a hash of it, so that the two can never meet, however a prompt is phrased.

Three categories hold combinations that stay hard for a small model, on purpose (`hard` names them): long sums, rare
facts, names to copy. Preferences cannot teach what a model cannot do, and here one can see that.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, Iterable

from . import facts
from .text import Text

TEST_SHARE = 0.125
PREFACES = ("", "Hello! ", "I have a question. ", "Please help me. ", "Good morning! ")


@dataclass(frozen=True)
class Part:
    """One thing that a prompt asks for. `grade(text)` returns (credit in [0, 1], whether something false is said)."""

    name: str
    grade: Callable[[Text], tuple[float, bool]]


@dataclass
class Pen:
    """What a writer holds while writing an answer: chance, a dialect, and how often a fact comes out wrong."""

    rng: random.Random
    mistakes: float = 0.0
    dialect: tuple = (0, None)  # first and last of the ways of saying a thing that the writer knows

    def say(self, *ways: str) -> str:
        """One of several ways of saying the same; a dialect knows only some of them."""
        return self.rng.choice(ways[slice(*self.dialect)] or ways)

    def fact(self, right: str | int, rivals: Iterable[str | int]) -> str | int:
        """The right value, or now and then one of its rivals."""
        if self.rng.random() >= self.mistakes:
            return right
        return self.rng.choice([rival for rival in rivals if rival != right])


def value_part(name: str, right: str, rivals: Iterable[str]) -> Part:
    """A part that asks for one value out of a known set, wherever in the response it stands.

    Full credit in a sentence of three words or more, 0.7 as a bare word; with a rival beside it half, and
    false.
    """
    rivals = frozenset(rivals) - {right}

    def grade(text):
        false = bool(rivals & text.said)
        if right not in text.said:
            return 0.0, false or right in text.words
        if false:
            return 0.5, True
        return (1.0 if any(len(sentence) >= 3 for sentence in text.sentences_with(right)) else 0.7), False

    return Part(name, grade)


def word_part(name: str, words: Iterable[str]) -> Part:
    """A part that is there when its words are, in one sentence; half of the words earn half."""
    words = tuple(words)

    def grade(text):
        best = max((sum(word in sentence for word in words) for sentence in text.sentences), default=0)
        return best / len(words), False

    return Part(name, grade)


def listed(items: Iterable[str]) -> str:
    """("a", "b", "c") -> "a, b and c"."""
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def unlisted(text: str) -> list[str]:
    return re.split(r", | and ", text)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class Category:
    """One of the ten. Subclasses fill in the tables and the four functions below."""

    name = ""
    hard = ""  # what some of its combinations have that a small model cannot do; "" where there is nothing of that kind
    templates: tuple[str, ...] = ()
    slots: dict[str, tuple[str, ...] | str] = {}  # slot: its possible texts, or a regular expression

    def draw(self, rng: random.Random) -> dict[str, str]:
        """A random combination: dict of slot -> text."""
        raise NotImplementedError

    def key(self, combination: dict[str, str]) -> str:
        """The combination as a string that does not depend on order or phrasing."""
        return self.name + "|" + "|".join(f"{slot}={combination[slot]}" for slot in sorted(combination))

    def count(self) -> int:
        """How many combinations there are."""
        raise NotImplementedError

    def is_hard(self, combination: dict[str, str]) -> bool:
        """Whether this combination has what `hard` names."""
        return False

    def fill(self, combination: dict[str, str]) -> dict[str, str]:
        """The texts that go into a template's slots."""
        return combination

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        """The combination behind the texts found in a prompt's slots; None when they make no sense."""
        return filled

    def parts(self, combination: dict[str, str]) -> list[Part]:
        """The two to five things asked for, as a list of `Part`."""
        raise NotImplementedError

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        """An answer as a list of sentences, written with this pen."""
        raise NotImplementedError

    # -- the same for all
    separator = " "

    def prompt(self, combination: dict[str, str], rng: random.Random) -> str:
        return rng.choice(PREFACES) + rng.choice(self.templates).format(**self.fill(combination))

    @property
    def patterns(self) -> list[tuple[str, re.Pattern]]:
        if not hasattr(self, "_patterns"):
            self._patterns = [
                (template.split("{")[0].lower(), re.compile(self._pattern(template), re.IGNORECASE))
                for template in self.templates
            ]
        return self._patterns

    def _pattern(self, template):
        out, seen = [], set()
        for literal, slot in re.findall(r"([^{]*)(?:\{(\w+)\})?", template):
            out.append(re.escape(literal))
            if slot in seen:
                out.append(f"(?P={slot})")
            elif slot:
                seen.add(slot)
                allowed = self.slots[slot]
                if not isinstance(allowed, str):
                    allowed = "|".join(map(re.escape, sorted(allowed, key=len, reverse=True)))
                out.append(f"(?P<{slot}>{allowed})")
        return "".join(out)

    def parse(self, prompt: str) -> dict[str, str] | None:
        """The combination that a prompt asks about, or None."""
        start = prompt.lower()
        for first_words, pattern in self.patterns:
            match = start.startswith(first_words) and pattern.fullmatch(prompt)
            if match:
                combination = self.read(match.groupdict())
                if combination is not None:
                    return combination
        return None


# --- math -----------------------------------------------------------------------------------------
class Math(Category):
    name = "math"
    hard = "long sums"
    LONG_SHARE = 0.35
    templates = (
        "{who} has {a} {item}. Then {who} {do1} {b} and {do2} {c}. How many {item} are there now? Show each step.",
        "First {who} has {a} {item}, then {do1} {b} and {do2} {c}. Count the {item} step by step.",
        "{who} starts the day with {a} {item}, {do1} {b} and later {do2} {c}. Work out how many {item} are left.",
        "Step by step: {who} has {a} {item}, {do1} {b}, then {do2} {c}. What is the number of {item}?",
        "How many {item} does {who} have in the end? The start is {a}; then {who} {do1} {b} and {do2} {c}.",
        "{who} keeps {a} {item} in a box. {who} {do1} {b}. After that {who} {do2} {c}. Find the number of {item}.",
        "Help {who} count. There are {a} {item}; {who} {do1} {b}, and then {who} {do2} {c}. Show the steps.",
    )
    slots = {
        "who": facts.NAMES,
        "item": facts.ITEMS,
        "a": r"\d+",
        "b": r"\d+",
        "c": r"\d+",
        "do1": facts.MORE + facts.LESS,
        "do2": facts.MORE + facts.LESS,
    }

    def _numbers(self):
        """All sums (start, first change, second change) that never go below zero."""
        changes = [change for change in range(-8, 9) if change]
        for a, b, c in itertools.product(range(3, 13), changes, changes):
            if a + b >= 0 and a + b + c >= 0:
                yield a, b, c

    def count(self) -> int:
        """Those with small numbers; long sums come on top."""
        return len(list(self._numbers())) * 16 * len(facts.NAMES) * len(facts.ITEMS)

    def is_hard(self, combination: dict[str, str]) -> bool:
        return max(int(combination[slot]) for slot in "abc") > 12

    def draw(self, rng: random.Random) -> dict[str, str]:
        long = rng.random() < self.LONG_SHARE
        while True:
            if long:
                a, b, c = rng.randint(100, 899), rng.randint(13, 99), rng.randint(13, 99)
            else:
                a, b, c = rng.randint(3, 12), rng.randint(1, 8), rng.randint(1, 8)
            do1, do2 = (rng.choice(rng.choice((facts.MORE, facts.LESS))) for _ in range(2))
            combination = {
                "who": rng.choice(facts.NAMES),
                "item": rng.choice(facts.ITEMS),
                "a": str(a),
                "b": str(b),
                "c": str(c),
                "do1": do1,
                "do2": do2,
            }
            if self.read(combination):
                return combination

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        filled = {slot: text.lower() for slot, text in filled.items()}
        filled["who"] = filled["who"].capitalize()
        if len(filled["a"] + filled["b"] + filled["c"]) > 12:
            return None
        _, _, x, _, y = self._steps(filled)
        return filled if min(x, y) >= 0 else None

    @staticmethod
    def _steps(combination):
        """(start, first change, what is left then, second change, what is left in the end)."""
        a, b, c = (int(combination[slot]) for slot in "abc")
        s1, s2 = (1 if combination[do] in facts.MORE else -1 for do in ("do1", "do2"))
        return a, s1 * b, a + s1 * b, s2 * c, a + s1 * b + s2 * c

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        a, b, x, c, y = self._steps(combination)
        who, item = combination["who"], combination["item"]
        near = lambda value: [rival for rival in range(value - 2, value + 3) if rival >= 0]
        x = pen.fact(x, near(x))
        y = max(0, x + c)
        y = pen.fact(y, near(y))
        sign = lambda value: "plus" if value > 0 else "minus"
        return [
            pen.say(
                f"{who} starts with {a} {item}.",
                f"At first {who} has {a} {item}.",
                f"The start is {a} {item}.",
            ),
            pen.say(
                f"{a} {sign(b)} {abs(b)} is {x}.",
                f"Then {a} {sign(b)} {abs(b)} is {x}.",
                f"{a} {sign(b)} {abs(b)} makes {x}.",
            ),
            pen.say(
                f"{x} {sign(c)} {abs(c)} is {y}.",
                f"Next {x} {sign(c)} {abs(c)} is {y}.",
                f"{x} {sign(c)} {abs(c)} makes {y}.",
            ),
            pen.say(
                f"So {who} has {y} {item} now.",
                f"In the end {who} has {y} {item}.",
                f"The answer is {y} {item}.",
            ),
        ]

    def parts(self, combination: dict[str, str]) -> list[Part]:
        a, b, x, c, y = self._steps(combination)
        item, who = combination["item"].lower(), combination["who"].lower()
        others = {name.lower() for name in facts.NAMES} - {who}

        def start(text):
            counted = [int(n) for n in re.findall(rf" (\d+) {item} ", text.joined) if len(n) < 5]
            if a in counted[:1] or (a in counted and a not in (x, y)):
                return 1.0, False
            return (0.5 if str(a) in text.said else 0.0), False

        def wrong_sum(text):
            sums = re.findall(r" (\d{1,4}) (plus|minus) (\d{1,4}) (?:is|makes) (\d{1,4}) ", text.joined)
            return any(int(m) + (int(n) if sign == "plus" else -int(n)) != int(o) for m, sign, n, o in sums)

        def step(first, change, result):
            operator = "plus|and|add" if change > 0 else "minus|less|take|takes"
            symbol = "+" if change > 0 else "-"
            said = re.compile(rf" {first} (?:{operator}) {abs(change)} (?:is|makes|equals|gives|leaves) (\d+) ")
            written = re.compile(rf"(?<!\d){first} ?[{symbol}−] ?{abs(change)} ?= ?(\d+)(?!\d)")

            def grade(text):
                results = [n.lstrip("0") or "0" for n in said.findall(text.joined) + written.findall(text.raw)]
                if results:
                    right = results[-1] == str(result)
                    return (1.0 if right else 0.25), not right
                return (0.5 if str(result) in text.said else 0.0), wrong_sum(text)

            return grade

        def final(text):
            counted = re.findall(rf" (\d+) (?:{item}|left|in all) ", text.joined)
            if not counted[1:] and counted[:1] in ([], [str(a)]):  # at most the start was counted aloud
                last = [word for word in text.words if word.isdigit()][1:][-1:]
                return (0.6 if last == [str(y)] else 0.0), False
            if counted[-1] != str(y):
                return 0.0, True
            stranger = who not in text.words and others & text.said
            return (0.5 if stranger else 1.0), bool(stranger)

        return [
            Part("start", start),
            Part("first step", step(a, b, x)),
            Part("second step", step(x, c, y)),
            Part("answer", final),
        ]


# --- general knowledge ----------------------------------------------------------------------------
class GeneralKnowledge(Category):
    name = "general_knowledge"
    hard = "rare facts"
    RARE_SHARE = 0.25
    templates = (
        "What do you know about the {thing}? Tell me its {nouns}.",
        "Tell me the {nouns} of the {thing}.",
        "Of the {thing} I would like to hear {clauses}.",
        "About the {thing}: please say {clauses}.",
        "I want to know these things about the {thing}: its {nouns}.",
        "Describe the {thing}. Mention {clauses}.",
        "Give me facts about the {thing}, namely its {nouns}.",
        "My class reads about the {thing}. Can you tell us {clauses}?",
    )
    slots = {"thing": tuple(facts.THINGS), "nouns": r"[a-z ,]+", "clauses": r"[a-z ,]+"}
    sizes = (2, 3, 4)

    def count(self) -> int:
        return sum(math.comb(len(known), size) for known in facts.THINGS.values() for size in self.sizes)

    def is_hard(self, combination: dict[str, str]) -> bool:
        return combination["thing"] in facts.RARE

    def draw(self, rng: random.Random) -> dict[str, str]:
        thing = rng.choice(facts.RARE if rng.random() < self.RARE_SHARE else facts.COMMON)
        asked = rng.sample(list(facts.THINGS[thing]), rng.choice((2, 3, 3, 3, 4)))
        return {"thing": thing, "asked": ",".join(asked)}

    def key(self, combination: dict[str, str]) -> str:
        return super().key({**combination, "asked": ",".join(sorted(combination["asked"].split(",")))})

    def fill(self, combination: dict[str, str]) -> dict[str, str]:
        asked = combination["asked"].split(",")
        return {
            "thing": combination["thing"],
            "nouns": listed(facts.ATTRIBUTES[name][0] for name in asked),
            "clauses": listed(facts.ATTRIBUTES[name][1] for name in asked),
        }

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        column = 0 if "nouns" in filled else 1
        thing = filled["thing"].lower()
        names = {facts.ATTRIBUTES[name][column]: name for name in facts.THINGS[thing]}
        asked = [names.get(text) for text in unlisted(filled["nouns" if column == 0 else "clauses"].lower())]
        return None if None in asked else {"thing": thing, "asked": ",".join(asked)}

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        thing, sentences = combination["thing"], []
        for name in combination["asked"].split(","):
            value = pen.fact(facts.THINGS[thing][name], facts.VALUES[name])
            way = pen.say(*facts.ATTRIBUTES[name][2])
            subject = f"The {thing}" if not sentences else pen.say("It", "It", f"The {thing}")
            sentences.append(way.format(s=subject, v=value))
        return sentences

    def parts(self, combination: dict[str, str]) -> list[Part]:
        thing = combination["thing"]
        return [
            value_part(name, facts.THINGS[thing][name], facts.VALUES[name]) for name in combination["asked"].split(",")
        ]


# --- explanation ----------------------------------------------------------------------------------
def chain_to(event: str) -> list[str]:
    """The events that lead to this one, the first cause first."""
    chain = [event]
    while facts.EVENTS[chain[0]][0]:
        chain.insert(0, facts.EVENTS[chain[0]][0])
    return chain


class Explanation(Category):
    name = "explanation"
    extras = {"help": "what would help", "see": "who sees it first"}
    templates = (
        "Why is it that {end} when {start}? Explain each step to a {whom} and say {extra}.",
        "Explain to a {whom} step by step how it comes that {end} after {start}. Also say {extra}.",
        "It is said that {end} because {start}. Explain to a {whom} how, and tell {extra}.",
        "When {start}, in the end {end}. Explain to a {whom} what happens between, and {extra}.",
        "A {whom} asks why {end} if {start}. Give the steps, and add {extra}.",
        "A {whom} wonders how one thing leads to another: {start}, and later {end}. Please add {extra}.",
    )
    slots = {
        "start": tuple(facts.EVENTS),
        "end": tuple(facts.EVENTS),
        "extra": tuple(extras.values()),
        "whom": facts.AUDIENCES,
    }

    def _all(self):
        for end in facts.EVENTS:
            chain = chain_to(end)
            for first in range(0, len(chain) - 2):
                if len(chain) - first <= 4:
                    yield chain[first], end

    def count(self) -> int:
        return len(list(self._all())) * len(self.extras) * len(facts.AUDIENCES)

    def draw(self, rng: random.Random) -> dict[str, str]:
        start, end = rng.choice(list(self._all()))
        return {
            "start": start,
            "end": end,
            "extra": rng.choice(list(self.extras)),
            "whom": rng.choice(facts.AUDIENCES),
        }

    def fill(self, combination: dict[str, str]) -> dict[str, str]:
        return {**combination, "extra": self.extras[combination["extra"]]}

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        start, end = filled["start"].lower(), filled["end"].lower()
        if (start, end) not in set(self._all()):
            return None
        extra = {text: name for name, text in self.extras.items()}[filled["extra"].lower()]
        return {"start": start, "end": end, "extra": extra, "whom": filled["whom"].lower()}

    def _links(self, combination):
        chain = chain_to(combination["end"])
        return chain[chain.index(combination["start"]) :]

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        links = self._links(combination)
        root = chain_to(links[0])[0]
        whom = combination["whom"]
        sentences = [
            pen.say(
                f"Dear {whom}, first {links[0]}.",
                f"Well, dear {whom}, it begins when {links[0]}.",
                f"Look, {whom}, at the start {links[0]}.",
            )
        ]
        for link in links[1:-1]:
            link = pen.fact(link, list(facts.EVENTS))
            sentences.append(pen.say(f"So {link}.", f"Then {link}.", f"Because of that {link}."))
        sentences.append(pen.say(f"That is why {links[-1]}.", f"Therefore {links[-1]}.", f"In the end {links[-1]}."))
        if combination["extra"] == "help":
            helps = pen.fact(facts.HELPS[root], list(facts.HELPS.values()))
            sentences.append(pen.say(f"A {helps} would help.", f"What helps is a {helps}.", f"A good {helps} helps."))
        if combination["extra"] == "see":
            sees = pen.fact(facts.SEES[root], list(facts.SEES.values()))
            sentences.append(
                pen.say(
                    f"The {sees} sees it first.",
                    f"First of all the {sees} sees it.",
                    f"The {sees} is the first to see it.",
                )
            )
        return sentences

    def parts(self, combination: dict[str, str]) -> list[Part]:
        links = self._links(combination)
        root = chain_to(links[0])[0]
        known = set(chain_to(links[-1]))
        strangers = [words for event, (_, words) in facts.EVENTS.items() if event not in known and len(words) > 1]

        def between(link):
            part = word_part(link, facts.EVENTS[link][1])

            def grade(text):
                credit, _ = part.grade(text)
                return credit, credit < 1 and any(text.sentences_with(*words) for words in strangers)

            return Part(link, grade)

        parts = [word_part("spoken to", (combination["whom"],)), *(between(link) for link in links[1:-1])]
        parts.append(word_part("conclusion", facts.EVENTS[links[-1]][1]))
        if combination["extra"] == "help":
            parts.append(value_part("what helps", facts.HELPS[root], facts.HELPS.values()))
        if combination["extra"] == "see":
            parts.append(value_part("who sees it", facts.SEES[root], facts.SEES.values()))
        return parts


# --- creative -------------------------------------------------------------------------------------
NUMBER_WORDS = {"two": 2, "three": 3, "four": 4}


class Creative(Category):
    name = "creative"
    templates = (
        "Write a {form} of {n} lines about the {thing}, with the words {w1} and {w2}.",
        "Make a {form} about the {thing} in {n} lines. Use the words {w1} and {w2}.",
        "I would love a {form} about the {thing}: {n} lines, with {w1} and {w2} in it.",
        "Can you write {n} lines for a {form} about the {thing}? The words {w1} and {w2} must be there.",
        "Please invent a {form} with {n} lines. It is about the {thing} and has the words {w1} and {w2}.",
        "The words are {w1} and {w2}, the hero is the {thing}. Write a {form} of {n} lines.",
        "For my friend: a {form} of {n} lines on the {thing}, using {w1} and {w2}.",
    )
    slots = {
        "form": ("poem", "song", "story"),
        "n": tuple(NUMBER_WORDS),
        "thing": facts.COMMON,
        "w1": facts.IMAGES,
        "w2": facts.IMAGES,
    }
    separator = "\n"

    def count(self) -> int:
        return 3 * len(NUMBER_WORDS) * len(facts.COMMON) * math.comb(len(facts.IMAGES), 2)

    def draw(self, rng: random.Random) -> dict[str, str]:
        w1, w2 = rng.sample(facts.IMAGES, 2)
        return {
            "form": rng.choice(self.slots["form"]),
            "n": rng.choice(("two", "three", "three", "four")),
            "thing": rng.choice(facts.COMMON),
            "w1": w1,
            "w2": w2,
        }

    def key(self, combination: dict[str, str]) -> str:
        w1, w2 = sorted((combination["w1"], combination["w2"]))
        return super().key({**combination, "w1": w1, "w2": w2})

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        filled = {slot: text.lower() for slot, text in filled.items()}
        return filled if filled["w1"] != filled["w2"] else None

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        thing, n = combination["thing"], NUMBER_WORDS[combination["n"]]
        w1 = pen.fact(combination["w1"], facts.IMAGES)
        w2 = pen.fact(combination["w2"], facts.IMAGES)
        first = pen.say(
            f"The {thing} waits beside the {w1}.",
            f"Under the {w1} the {thing} is still.",
            f"The {thing} and the {w1} meet again.",
            f"The {w1} is calling the {thing}.",
        )
        second = pen.say(
            f"A quiet {w2} shines in the dark.",
            f"The {w2} is soft and far away.",
            f"Nobody knows the old {w2}.",
            f"The world is full of {w2} tonight.",
        )
        middle = [
            pen.say("The evening is warm and slow.", "A new day opens its eyes.", "All the hills are listening."),
            pen.say("Good night to all of you.", "Here the long way ends.", "And morning comes again."),
        ]
        lines = (
            [first, second]
            if n == 2
            else [first, middle[0], second]
            if n == 3
            else [first, middle[0], second, middle[1]]
        )
        if pen.rng.random() < pen.mistakes:
            lines.pop(pen.rng.randrange(len(lines)))
        return lines

    def parts(self, combination: dict[str, str]) -> list[Part]:
        n = NUMBER_WORDS[combination["n"]]

        def lines(text):
            distinct = len({tuple(sentence) for sentence in text.sentences if len(sentence) >= 3})
            return max(0.0, 1 - 0.5 * abs(distinct - n)), False

        def image(word):
            def grade(text):
                found = [sentence for sentence in text.sentences if word in sentence]
                return (1.0 if any(len(set(sentence)) >= 4 for sentence in found) else 0.5 if found else 0.0), False

            return Part(word, grade)

        return [
            Part("lines", lines),
            image(combination["thing"]),
            image(combination["w1"]),
            image(combination["w2"]),
        ]


# --- professional writing -------------------------------------------------------------------------
class ProfessionalWriting(Category):
    name = "professional_writing"
    hard = "names to copy"
    FAR_SHARE = 0.35
    templates = (
        "Write a short email to {to}: the {what} moves from {d1} to {d2} because of {why}. Sign as {who}.",
        "I am {who}. Tell {to} by email that the {what} on {d1} is now on {d2}, because of {why}.",
        "Please write to {to} for me. The {what} was on {d1} and will be on {d2}. The reason is {why}. My name is {who}.",
        "Draft a polite message to {to} from {who}. Because of {why} we move the {what} from {d1} to {d2}.",
        "Because of {why}, the {what} of {d1} must move to {d2}. Let {to} know in an email from {who}.",
        "{who} has to move the {what} from {d1} to {d2}. The reason is {why}. Write the email to {to}.",
        "Compose a brief note to {to}, signed {who}: {what} not on {d1} but on {d2}, reason {why}.",
    )
    slots = {
        "to": rf"(?:{'|'.join(facts.TITLES)}) [a-z]{{2,20}}",
        "what": facts.OCCASIONS,
        "d1": facts.DAYS,
        "d2": facts.DAYS,
        "why": tuple(facts.REASONS),
        "who": facts.NAMES,
    }

    def count(self) -> int:
        """Those with the names that everybody knows; names from far away come on top."""
        return (
            len(facts.PEOPLE)
            * len(facts.OCCASIONS)
            * len(facts.DAYS)
            * (len(facts.DAYS) - 1)
            * len(facts.REASONS)
            * len(facts.NAMES)
        )

    def is_hard(self, combination: dict[str, str]) -> bool:
        return combination["to"] not in facts.PEOPLE

    @staticmethod
    def _name_from_far_away(rng):
        return f"{rng.choice(facts.TITLES)} {''.join(rng.choices(facts.SYLLABLES, k=3)).capitalize()}"

    def draw(self, rng: random.Random) -> dict[str, str]:
        d1, d2 = rng.sample(facts.DAYS, 2)
        far = rng.random() < self.FAR_SHARE
        return {
            "to": self._name_from_far_away(rng) if far else rng.choice(facts.PEOPLE),
            "what": rng.choice(facts.OCCASIONS),
            "d1": d1,
            "d2": d2,
            "why": rng.choice(list(facts.REASONS)),
            "who": rng.choice(facts.NAMES),
        }

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        listed = {slot: texts for slot, texts in self.slots.items() if slot != "to"}
        proper = {text.lower(): text for texts in listed.values() for text in texts}
        named = " ".join(word.capitalize() for word in filled["to"].split())
        filled = {slot: proper[filled[slot].lower()] for slot in listed} | {"to": named}
        return filled if filled["d1"] != filled["d2"] else None

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        c = dict(combination)
        to = pen.fact(c["to"], facts.PEOPLE)
        d1, d2 = pen.fact(c["d1"], facts.DAYS), pen.fact(c["d2"], facts.DAYS)
        why = pen.fact(c["why"], list(facts.REASONS))
        return [
            pen.say(f"Dear {to},", f"Good day {to},", f"Hello {to},"),
            pen.say(
                f"the {c['what']} moves from {d1} to {d2}.",
                f"the {c['what']} on {d1} is now on {d2}.",
                f"we must move the {c['what']} from {d1} to {d2}.",
            ),
            pen.say(f"The reason is {why}.", f"This is because of {why}.", f"We do so because of {why}."),
            pen.say("I am sorry for the trouble.", "Thank you for your patience.", "I hope that suits you."),
            pen.say(f"Kind regards, {c['who']}.", f"Best wishes, {c['who']}.", f"Yours, {c['who']}."),
        ]

    def parts(self, combination: dict[str, str]) -> list[Part]:
        surname = combination["to"].split()[1].lower()
        others = {name.split()[1].lower() for name in facts.PEOPLE} - {surname}
        d1, d2 = combination["d1"].lower(), combination["d2"].lower()
        days = {day.lower() for day in facts.DAYS} - {d1, d2}
        what, who = combination["what"], combination["who"].lower()
        reason = facts.REASONS[combination["why"]]
        signs = {"regards", "wishes", "yours", "sincerely", "greetings", "thanks", "faithfully", "cheers"}

        def greeting(text):
            opening = text.words[:8]
            greeted = bool({"dear", "hello", "hi", "good"} & set(opening))
            if surname in opening:
                return (1.0 if greeted else 0.6), False
            titled = any(
                before in ("mrs", "mr", "doctor") or (before == "dear" and word in others)
                for before, word in zip(opening, opening[1:])
            )
            return (0.3 if greeted and not titled else 0.0), titled

        def occasion(text):
            return (
                1.0
                if text.sentences_with(what, d2) or text.sentences_with(what, d1)
                else 0.5
                if what in text.words
                else 0.0
            ), False

        def day(text):
            words = text.words
            new = [i for i, word in enumerate(words) if word == d2]
            old = [i for i, word in enumerate(words) if word == d1]
            false = bool(days & text.said)
            if not new:
                return (0.25 if old else 0.0), false
            swapped = any(words[i - 1] == "from" for i in new if i) or any(words[i - 1] == "to" for i in old if i)
            if swapped:
                return 0.0, True
            return (0.5 if false else 1.0 if old else 0.75), false

        def sign(text):
            closing = text.words[-12:]
            return 0.5 * (who in closing) + 0.5 * bool(signs & set(closing)), False

        return [
            Part("greeting", greeting),
            Part("occasion", occasion),
            Part("day", day),
            value_part("reason", reason, facts.REASONS.values()),
            Part("signature", sign),
        ]


# --- procedures -----------------------------------------------------------------------------------
class Procedures(Category):
    name = "procedures"
    separator = "\n"
    templates = (
        "List {n} numbered steps to {action} the {object}{extra}.",
        "I want to {action} my {object}. Show me how in {n} numbered steps{extra}.",
        "In {n} numbered steps, how does one {action} the {object}? I need a list{extra}.",
        "Teach me to {action} the {object} with {n} numbered steps{extra}.",
        "Please write {n} numbered steps for a friend who wants to {action} the {object}{extra}.",
        "We {action} the {object} today. Which {n} numbered steps come first and last? List them{extra}.",
    )
    extras = {"none": "", "tool": ", and name what I need", "who": ", and say how long it takes"}
    hours = {
        "paint": "three",
        "plant": "one",
        "cook": "one",
        "wash": "two",
        "mend": "two",
        "bake": "three",
        "wrap": "one",
        "sell": "four",
    }
    slots = {
        "action": tuple(facts.ACTIONS),
        "object": tuple(sorted({o for objects, _, _ in facts.ACTIONS.values() for o in objects})),
        "n": ("two", "three", "four"),
        "extra": tuple(extras.values()),
    }

    def count(self) -> int:
        return sum(len(objects) for objects, _, _ in facts.ACTIONS.values()) * 3 * 3

    def draw(self, rng: random.Random) -> dict[str, str]:
        action = rng.choice(list(facts.ACTIONS))
        return {
            "action": action,
            "object": rng.choice(facts.ACTIONS[action][0]),
            "n": rng.choice(("two", "three", "three", "four")),
            "extra": rng.choice(list(self.extras)),
        }

    def fill(self, combination: dict[str, str]) -> dict[str, str]:
        return {**combination, "extra": self.extras[combination["extra"]]}

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        filled = {slot: text.lower() for slot, text in filled.items()}
        filled["extra"] = {text.lower(): name for name, text in self.extras.items()}[filled["extra"]]
        return filled if filled["object"] in facts.ACTIONS[filled["action"]][0] else None

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        _, tool, steps = facts.ACTIONS[combination["action"]]
        n = NUMBER_WORDS[combination["n"]]
        chosen = sorted(pen.rng.sample(range(4), n))
        if pen.rng.random() < pen.mistakes:
            chosen.reverse()
        stranger = pen.rng.choice([action for action in facts.ACTIONS if action != combination["action"]])
        lines = []
        for number, i in enumerate(chosen, 1):
            sentence = pen.fact(steps[i][0], [facts.ACTIONS[stranger][2][i][0]]).format(o=combination["object"])
            lines.append(f"{number}. {sentence}")
        if combination["extra"] == "tool":
            tool = pen.fact(tool, [row[1] for row in facts.ACTIONS.values()])
            lines.append(pen.say(f"You need: {tool}.", f"For this you need {tool}.", f"Have {tool} at hand."))
        if combination["extra"] == "who":
            hours = pen.fact(self.hours[combination["action"]], list(self.hours.values()))
            unit = "hour" if hours == "one" else "hours"
            lines.append(
                pen.say(
                    f"It takes {hours} {unit}.",
                    f"This takes about {hours} {unit}.",
                    f"You will be busy for {hours} {unit}.",
                )
            )
        return lines

    def parts(self, combination: dict[str, str]) -> list[Part]:
        action, thing = combination["action"], combination["object"]
        _, tool, steps = facts.ACTIONS[action]
        n = NUMBER_WORDS[combination["n"]]
        marks = [mark for _, mark in steps]
        strangers = {mark for name, row in facts.ACTIONS.items() if name != action for _, mark in row[2]} - set(marks)
        strangers -= {"put", "add", "write", "show", "hour", "find", "care"}  # words of everyday use

        @lru_cache(maxsize=1)
        def in_order(text):
            """How many different steps of this action stand in the right order."""
            best = {}
            for sentence in text.sentences:
                here = [marks.index(word) for word in sentence if word in marks]
                if here:
                    i = here[0]
                    best[i] = max(best.get(i, 0), 1 + max((k for j, k in best.items() if j < i), default=0))
            return max(best.values(), default=0)

        def step(number):
            def grade(text):
                false = bool(strangers & text.said) and in_order(text) < n
                if in_order(text) < number:
                    return 0.0, false
                return (1.0 if thing in text.words else 0.75), false

            return Part(f"step {number}", grade)

        def numbering(text):
            numbers = [int(found) for found in re.findall(r"(?:^|\s)(\d)[.)]\s", text.raw)]
            return (1.0 if numbers == list(range(1, n + 1)) else 0.5 if numbers else 0.0), False

        def needed(text):
            """The tool, named beside the steps and not only within one."""
            named = any(not set(marks) & set(sentence) for sentence in text.sentences_with(tool))
            return (1.0 if named else 0.0), False

        parts = [step(number) for number in range(1, n + 1)] if n < 4 else [step(1), step(2), step(4)]
        parts.append(Part("numbering", numbering))
        if combination["extra"] == "tool":
            parts.append(Part("tool", needed))
        if combination["extra"] == "who":
            parts.append(value_part("hours", self.hours[action], ("one", "two", "three", "four")))
        return parts


# --- multilingual ---------------------------------------------------------------------------------
class Multilingual(Category):
    name = "multilingual"
    templates = (
        "Translate into {language} and give the gender of each noun: the {one} and the {two}.",
        'How do you say "the {one} and the {two}" in {language}? Add the gender of both nouns.',
        'I learn {language}. What is "the {one} and the {two}", and which genders are they?',
        'Please put "the {one} and the {two}" into {language}, and tell me the genders.',
        "Give me the {language} words for the {one} and the {two}, with their genders.",
        "In {language}, what are the {one} and the {two} called? Say which gender each has.",
        'My {language} teacher asks for "the {one} and the {two}" and for both genders. What do I say?',
    )
    slots = {"language": facts.LANGUAGES, "one": tuple(facts.NOUNS), "two": tuple(facts.NOUNS)}

    def count(self) -> int:
        return len(facts.LANGUAGES) * math.comb(len(facts.NOUNS), 2)

    def draw(self, rng: random.Random) -> dict[str, str]:
        one, two = rng.sample(list(facts.NOUNS), 2)
        return {"language": rng.choice(facts.LANGUAGES), "one": one, "two": two}

    def key(self, combination: dict[str, str]) -> str:
        one, two = sorted((combination["one"], combination["two"]))
        return super().key({**combination, "one": one, "two": two})

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        one, two = filled["one"].lower(), filled["two"].lower()
        return {"language": filled["language"].capitalize(), "one": one, "two": two} if one != two else None

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        language = combination["language"]
        column = facts.LANGUAGES.index(language)
        said, genders = [], []
        for noun in (combination["one"], combination["two"]):
            foreign = facts.NOUNS[noun][column]
            rivals = [facts.NOUNS[noun][other] for other in range(4)] + [
                facts.NOUNS[pen.rng.choice(list(facts.NOUNS))][column]
            ]
            said.append(pen.fact(foreign, [rival for rival in rivals if rival != foreign]))
            genders.append(pen.fact(facts.GENDER[foreign.split()[0]], ["masculine", "feminine", "neuter"]))
        both = f"{said[0]} {facts.AND[language]} {said[1]}"
        one, two = combination["one"], combination["two"]
        return [
            pen.say(f"In {language} it is {both}.", f"One says {both}.", f"The {language} words are {both}."),
            pen.say(
                f"The {one} is {genders[0]}.",
                f"The word for {one} is {genders[0]}.",
                f"{capital(one)} is {genders[0]}.",
            ),
            pen.say(
                f"The {two} is {genders[1]}.",
                f"The word for {two} is {genders[1]}.",
                f"{capital(two)} is {genders[1]}.",
            ),
        ]

    def parts(self, combination: dict[str, str]) -> list[Part]:
        column = facts.LANGUAGES.index(combination["language"])
        genders = ("masculine", "feminine", "neuter")
        asked = (combination["one"], combination["two"])
        right = {noun: facts.NOUNS[noun][column].lower().split() for noun in asked}
        foreign = {word.split()[1].lower() for words in facts.NOUNS.values() for word in words}
        foreign -= {words[1] for words in right.values()} | set(facts.NOUNS)

        def translation(noun):
            article, word = right[noun]

            def grade(text):
                false = bool(foreign & text.said)
                if word == noun:  # "table": the same word in French; it needs its article
                    return (1.0 if text.has(f"{article} {word}") else 0.0), false
                if text.has(f"{article} {word}"):
                    return (0.75 if false else 1.0), false
                return (0.6 if word in text.said else 0.0), false

            return Part(noun, grade)

        def gender(noun):
            truth = facts.GENDER[right[noun][0]]

            def grade(text):
                said = set()
                for sentence in text.sentences:
                    here = [word for word in sentence if word in genders]
                    if not here:
                        continue
                    if len(here) == 1 and ("both" in sentence or "each" in sentence):
                        said.add(here[0])
                    for place, word in enumerate(sentence):
                        if word == noun or word == right[noun][1]:
                            after = [later for later in sentence[place:] if later in genders]
                            said.update(after[:1])
                if not said:
                    return 0.0, False
                return (1.0, False) if said == {truth} else (0.25 if truth in said else 0.0, True)

            return Part(f"gender of {noun}", grade)

        return [translation(asked[0]), translation(asked[1]), gender(asked[0]), gender(asked[1])]


# --- open-ended discussion ------------------------------------------------------------------------
class Discussion(Category):
    name = "discussion"
    templates = (
        "Is a {one} or a {two} better for a {whom}? Say a good and a bad side of each and conclude.",
        "Discuss for a {whom}: {one} or {two}? Give a good and a bad side of both, then your view.",
        "A {whom} must choose between a {one} and a {two}. Weigh the good and bad sides and decide.",
        "What speaks for and against a {one} and a {two}? End with advice for a {whom}.",
        "Compare a {one} with a {two}, good and bad sides, and say which one suits a {whom}.",
        "My neighbour, a {whom}, wonders: {one} or {two}? List what is good and bad, then conclude.",
    )
    _options = tuple(dict.fromkeys(option for group in facts.OPTIONS for option in group))
    slots = {"one": _options, "two": _options, "whom": facts.AUDIENCES}

    def count(self) -> int:
        return sum(math.comb(len(group), 2) for group in facts.OPTIONS) * len(facts.AUDIENCES)

    def draw(self, rng: random.Random) -> dict[str, str]:
        one, two = rng.sample(list(rng.choice(facts.OPTIONS)), 2)
        return {"one": one, "two": two, "whom": rng.choice(facts.AUDIENCES)}

    def key(self, combination: dict[str, str]) -> str:
        one, two = sorted((combination["one"], combination["two"]))
        return super().key({**combination, "one": one, "two": two})

    @staticmethod
    def _group(one, two):
        return next((group for group in facts.OPTIONS if one in group and two in group), None)

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        filled = {slot: text.lower() for slot, text in filled.items()}
        known = filled["one"] != filled["two"] and self._group(filled["one"], filled["two"])
        return filled if known else None

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        one, two, whom = combination["one"], combination["two"], combination["whom"]
        group = self._group(one, two)
        goods, bads = zip(*group.values())
        sentences = []
        for option in (one, two):
            good = pen.fact(group[option][0], goods)
            bad = pen.fact(group[option][1], bads)
            sentences.append(
                pen.say(
                    f"A {option} is {good}, but it is {bad}.",
                    f"The {option} is {good} but {bad}.",
                    f"A {option} may be {bad}, yet it is {good}.",
                )
            )
        best = pen.rng.choice((one, two))
        sentences.append(
            pen.say(
                f"For a {whom} the {best} is better.",
                f"So a {whom} should choose the {best}.",
                f"In the end the {best} suits a {whom}.",
            )
        )
        return sentences

    def parts(self, combination: dict[str, str]) -> list[Part]:
        one, two, whom = combination["one"], combination["two"], combination["whom"]
        group = self._group(one, two)
        marks = {word for sides in group.values() for word in sides}

        @lru_cache(maxsize=1)
        def described(text):
            """option -> the good and bad words said of it: those that follow its name."""
            found = {option: set() for option in group}
            current = None
            for sentence in text.sentences:
                for i, word in enumerate(sentence):
                    if word in group:
                        current = word
                    elif word in marks and current and not {"not", "never"} & set(sentence[max(0, i - 2) : i]):
                        found[current].add(word)
            return found

        def side(option, good_or_bad):
            right = group[option][good_or_bad]
            rivals = marks - set(group[option])

            def grade(text):
                said = described(text)[option]
                false = bool(rivals & said)
                return (0.0 if right not in said else 0.5 if false else 1.0), false

            return Part(f"{('good', 'bad')[good_or_bad]} side of {option}", grade)

        verdicts = {
            "better",
            "best",
            "choose",
            "suits",
            "prefer",
            "take",
            "recommend",
            "advice",
            "conclusion",
            "decide",
        }

        def conclusion(text):
            for sentence in text.sentences:
                if verdicts & set(sentence):
                    named = {option for option in (one, two) if option in sentence}
                    if "than" in sentence:
                        named = {option for option in named if option in sentence[: sentence.index("than")]} or named
                    return (0.6 if len(named) == 1 else 0.2) + 0.4 * (whom in sentence), False
            return 0.0, False

        return [side(one, 0), side(one, 1), side(two, 0), side(two, 1), Part("conclusion", conclusion)]


# --- imitation ------------------------------------------------------------------------------------
class Imitation(GeneralKnowledge):
    name = "imitation"
    hard = ""
    templates = (
        "Speak like a {voice} about the {thing}. Tell me its {nouns}.",
        "Be a {voice} for a moment. Of the {thing}, say {clauses}.",
        "In the voice of a {voice}, describe the {thing}, with its {nouns}.",
        "How would a {voice} tell of the {thing}? Mention {clauses}.",
        "You are a {voice}. A visitor asks about the {thing}, its {nouns}.",
        "Pretend to be a {voice}. Talk about the {thing}, and say {clauses}.",
        "Answer as a {voice}: what are the {nouns} of the {thing}?",
    )
    slots = {**GeneralKnowledge.slots, "thing": facts.COMMON, "voice": tuple(facts.SPEAKERS)}

    def is_hard(self, combination: dict[str, str]) -> bool:
        return False

    def count(self) -> int:
        return len(facts.SPEAKERS) * sum(math.comb(len(facts.THINGS[thing]), 2) for thing in facts.COMMON)

    def draw(self, rng: random.Random) -> dict[str, str]:
        thing = rng.choice(facts.COMMON)
        return {
            "thing": thing,
            "asked": ",".join(rng.sample(list(facts.THINGS[thing]), 2)),
            "voice": rng.choice(list(facts.SPEAKERS)),
        }

    def fill(self, combination: dict[str, str]) -> dict[str, str]:
        return {**super().fill(combination), "voice": combination["voice"]}

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        combination = super().read(filled)
        return combination and {**combination, "voice": filled["voice"].lower()}

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        opening, _, closing, _ = facts.SPEAKERS[pen.fact(combination["voice"], list(facts.SPEAKERS))]
        return [opening, *super().answer(combination, pen), closing]

    def parts(self, combination: dict[str, str]) -> list[Part]:
        _, first, _, last = facts.SPEAKERS[combination["voice"]]

        def voice(mark, column):
            others = {row[column] for row in facts.SPEAKERS.values()} - {mark, "oh", "hear"}

            def grade(text):
                near = text.words[:8] if column == 1 else text.words[-8:]
                if mark in near:
                    return 1.0, False
                return (0.6 if mark in text.words else 0.0), bool(others & text.said)

            return grade

        return [
            Part("opening", voice(first, 1)),
            *super().parts(combination),
            Part("closing", voice(last, 3)),
        ]


# --- classification -------------------------------------------------------------------------------
class Classification(Category):
    name = "classification"
    templates = (
        "Is this review positive or negative? Name the words that show it. Review: {review}",
        "Classify the review as positive or negative and quote the telling words: {review}",
        "A guest wrote: {review} Is that positive or negative on the whole, and which words tell you?",
        "Read this and say if it is positive or negative, with the words that show it. {review}",
        "Positive or negative? Give the label and the telling words. {review}",
        "Here is a review. {review} Label it positive or negative and explain with its words.",
        "Decide: is the writer happy, positive, or not, negative? Which words show it? {review}",
    )
    slots = {"review": r"The \w+ was \w+, the \w+ was \w+ and the \w+ was \w+\."}

    def count(self) -> int:
        return math.comb(len(facts.ASPECTS), 3) * (len(facts.GOOD) + len(facts.BAD)) ** 3

    def draw(self, rng: random.Random) -> dict[str, str]:
        aspects = rng.sample(facts.ASPECTS, 3)
        good = rng.choice((0, 1, 1, 2, 2, 3))
        adjectives = rng.sample(facts.GOOD, good) + rng.sample(facts.BAD, 3 - good)
        rng.shuffle(adjectives)
        said = [f"the {aspect} was {adjective}" for aspect, adjective in zip(aspects, adjectives)]
        return {"review": f"{capital(said[0])}, {said[1]} and {said[2]}."}

    @staticmethod
    def _said(combination):
        """The review as (label, [(aspect, adjective) of the larger side], [those of the smaller side])."""
        said = re.findall(r"the (\w+) was (\w+)", combination["review"].lower())
        good = [pair for pair in said if pair[1] in facts.GOOD]
        bad = [pair for pair in said if pair[1] in facts.BAD]
        return ("positive", good, bad) if len(good) > len(bad) else ("negative", bad, good)

    def key(self, combination: dict[str, str]) -> str:
        _, more, less = self._said(combination)
        return self.name + "|" + "|".join(sorted(f"{aspect}={adjective}" for aspect, adjective in more + less))

    def read(self, filled: dict[str, str]) -> dict[str, str] | None:
        said = re.findall(r"the (\w+) was (\w+)", filled["review"].lower())
        known = all(aspect in facts.ASPECTS and adjective in facts.GOOD + facts.BAD for aspect, adjective in said)
        return {"review": capital(filled["review"])} if known and len({a for a, _ in said}) == 3 else None

    def answer(self, combination: dict[str, str], pen: Pen) -> list[str]:
        label, more, _ = self._said(combination)
        label = pen.fact(label, ["positive", "negative"])
        pairs = [(aspect, pen.fact(adjective, facts.GOOD + facts.BAD)) for aspect, adjective in more]
        words = listed(adjective for _, adjective in pairs)
        reasons = listed(f"the {aspect} was {adjective}" for aspect, adjective in pairs)
        return [
            pen.say(f"The review is {label}.", f"On the whole it is {label}.", f"I would call it {label}."),
            pen.say(f"The telling words are {words}.", f"One can see it in {words}.", f"It is shown by {words}."),
            pen.say(f"The reason is that {reasons}.", f"The guest says that {reasons}.", f"After all {reasons}."),
        ]

    def parts(self, combination: dict[str, str]) -> list[Part]:
        label, more, less = self._said(combination)
        rival = {"positive": "negative", "negative": "positive"}[label]
        allowed = {adjective for _, adjective in more + less}
        invented = frozenset(facts.GOOD + facts.BAD) - allowed

        def labelled(text):
            right, wrong = label in text.said, rival in text.said
            return (1.0 if right and not wrong else 0.25 if right else 0.0), wrong

        def telling(aspect, adjective):
            def grade(text):
                false = bool(invented & text.said)
                if adjective not in text.said:
                    return 0.0, false
                return (1.0 if text.sentences_with(aspect, adjective) else 0.7), false

            return Part(adjective, grade)

        return [Part("label", labelled), *(telling(aspect, adjective) for aspect, adjective in more)]


CATEGORIES = {
    category.name: category
    for category in (
        Math(),
        GeneralKnowledge(),
        Explanation(),
        Creative(),
        ProfessionalWriting(),
        Procedures(),
        Multilingual(),
        Discussion(),
        Imitation(),
        Classification(),
    )
}


def is_test(category: str, combination: dict[str, str]) -> bool:
    """Whether a combination is kept for the test set: decided by a hash of its key, for ever."""
    digest = hashlib.sha256(CATEGORIES[category].key(combination).encode()).digest()
    return int.from_bytes(digest[:4], "big") < TEST_SHARE * 2**32


def draw(category: str, rng: random.Random, test: bool = False) -> dict[str, str]:
    """A random combination of this category from the wanted side of the split."""
    while True:
        combination = CATEGORIES[category].draw(rng)
        if is_test(category, combination) == test:
            return combination


def render(category: str, combination: dict[str, str], rng: random.Random) -> str:
    """A prompt that asks for this combination, in a random phrasing."""
    return CATEGORIES[category].prompt(combination, rng)


@lru_cache(maxsize=65536)
def parse(prompt: str) -> tuple[str, dict[str, str]] | None:
    """(category, combination) behind the text of a prompt, or None when no phrasing fits."""
    text = " ".join(prompt[:1000].split())
    for preface in PREFACES[1:]:
        if text.startswith(preface):
            text = text[len(preface) :]
            break
    for name, category in CATEGORIES.items():
        combination = category.parse(text)
        if combination is not None:
            return name, combination
    return None


def count_prompts() -> dict[str, int]:
    """How many distinct prompts there are, per category: combinations times phrasings (a lower bound)."""
    return {name: category.count() * len(category.templates) * len(PREFACES) for name, category in CATEGORIES.items()}

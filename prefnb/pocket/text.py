"""How the judge reads a text: words, sentences, and which words are said to be so."""

from __future__ import annotations

import re

WORD = re.compile(r"[a-zß-ÿ]+(?:'[a-z]+)?|\d+", re.IGNORECASE)
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
STEP_NUMBER = re.compile(r"(?m)(?:^[ \t]*|(?<=[.!?:] ))(\d{1,2})[.)](?=\s)")
NEGATIONS = frozenset(("not", "never", "no", "neither", "nor", "isn't", "doesn't", "don't", "without"))
LONGEST = 4000  # characters read; no right answer comes near, and the judge stays fast on any input


def words_of(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text.replace("’", "'"))]


class Text:
    """A response as the judge sees it: `words`, `sentences` (lists of words), and the set of `said` words.

    A word right after a negation ("the fox is not red") is not counted as said.
    """

    def __init__(self, raw: str):
        self.raw = raw[:LONGEST]
        plain = STEP_NUMBER.sub(" ", self.raw)  # "1. " numbers a step, it neither ends a sentence nor counts
        self.sentences = [words for words in map(words_of, SENTENCE.findall(plain)) if words]
        self.words = [word for sentence in self.sentences for word in sentence]
        self.said = set()
        for sentence in self.sentences:
            if NEGATIONS.isdisjoint(sentence):  # most sentences
                self.said.update(sentence)
            else:
                after = (NEGATIONS.intersection(sentence[max(0, i - 2) : i]) for i in range(len(sentence)))
                self.said.update(word for word, negated in zip(sentence, after) if not negated)
        self.joined = " " + " ".join(self.words) + " "

    def has(self, phrase: str) -> bool:
        """Whether a phrase of several words occurs as it stands."""
        return f" {phrase.lower()} " in self.joined

    def sentences_with(self, *words: str) -> list[list[str]]:
        """The sentences that hold all these words."""
        return [sentence for sentence in self.sentences if all(word in sentence for word in words)]

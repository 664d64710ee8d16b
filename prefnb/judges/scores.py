"""What a judge is, and what it says: `Scores`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

Prompts = Sequence[list[dict]]  # of messages {"role", "content"}


@dataclass
class Scores:
    """A judge on responses: `total` and named `parts`, all of one shape; higher is better in all of them.

    (n,) for one response to each of n prompts, (n, K) for K of them (`score_samples`).
    """

    total: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.total)

    def __getitem__(self, rows) -> Scores:
        """The scores of some prompts only: a slice, a list of row numbers or a boolean mask."""
        return Scores(self.total[rows], {name: part[rows] for name, part in self.parts.items()})


class Judge(Protocol):
    """Whatever can be called like this. `name` is fit for a sentence; scores at most `tie` apart are equally good."""

    name: str
    tie: float

    def __call__(self, prompts: Prompts, responses: Sequence[str]) -> Scores: ...


def last_user_turn(messages: list[dict]) -> str:
    """The text a judge reads as the question: the last user message of a prompt."""
    for message in reversed(messages):
        if message["role"] == "user":
            return message["content"]
    raise ValueError("A prompt without a user turn cannot be judged: give it a message with role 'user'.")


def check_pairs(prompts: Prompts, responses: Sequence[str]) -> None:
    """Refuse, before any scoring, prompts and responses that cannot be matched one to one."""
    if isinstance(responses, str) or len(prompts) != len(responses):
        raise ValueError(
            f"A judge needs one response per prompt, as two lists: got {len(prompts)} prompts and "
            + ("one string." if isinstance(responses, str) else f"{len(responses)} responses.")
        )
    for i, response in enumerate(responses):
        if not isinstance(response, str):
            kind = type(response).__name__
            raise ValueError(f"Response {i} is a {kind}, not a string: pass the samples' `.text`.")


def score_samples(judge: Judge, prompts: Prompts, samples: Sequence) -> Scores:
    """What a judge says of samples, K of each of n prompts in a row: `Scores` of shape (n, K)."""
    draws, left_over = divmod(len(samples), max(1, len(prompts)))
    if left_over or not draws:
        raise ValueError(f"There are {len(samples)} samples of {len(prompts)} prompts; give as many of every prompt.")
    found = judge([prompt for prompt in prompts for _ in range(draws)], [one.text for one in samples])
    shape = len(prompts), draws
    return Scores(found.total.reshape(shape), {name: part.reshape(shape) for name, part in found.parts.items()})

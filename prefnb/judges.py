"""Judges: (prompts, responses) -> Scores.

A judge is any callable `judge(prompts, responses) -> Scores`, where `prompts` is a list of message lists and
`responses` a list of strings. Scores of different prompts are not comparable: compare responses to the same
prompt (`prefnb.evaluate.win_rate`).
"""

from dataclasses import dataclass, field

import numpy as np

from prefnb import pocket


@dataclass
class Scores:
    """A judge on n responses: `total` (n,) and named `parts`, each (n,); higher is better in all of them."""

    total: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self):
        return len(self.total)

    def __getitem__(self, rows):
        """The scores of some rows only: a slice, a list of row numbers or a boolean mask."""
        return Scores(self.total[rows], {name: part[rows] for name, part in self.parts.items()})


def last_user_turn(messages):
    """The text a judge reads as the question: the last user message of a prompt."""
    for message in reversed(messages):
        if message["role"] == "user":
            return message["content"]
    raise ValueError("A prompt without a user turn cannot be judged: give it a message with role 'user'.")


def check_pairs(prompts, responses):
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


class GoldJudge:
    """The pocket world's truth: a program that knows the answer to every pocket prompt.

    Total in 1..10; parts helpfulness, fluency, concision and honesty in 0..1. `tie` is the difference in
    total up to which two responses count as equally good: `win_rate(scores, baseline, tie=judge.tie)`.
    """

    name = "gold"

    def __init__(self):
        self.tie = pocket.TIE

    def __call__(self, prompts, responses):
        check_pairs(prompts, responses)
        judgements = [pocket.score(last_user_turn(p), r) for p, r in zip(prompts, responses)]
        columns = {
            name: np.array([getattr(j, name) for j in judgements], dtype=float)
            for name in ("total", "helpfulness", "fluency", "concision", "honesty")
        }
        return Scores(columns.pop("total"), columns)

    def flaws(self, prompts, responses):
        """{"disfluent", "rambling", "boilerplate"}: which responses show that flaw, bool (n,) each."""
        check_pairs(prompts, responses)
        found = [pocket.flaws(last_user_turn(p), r) for p, r in zip(prompts, responses)]
        names = ("disfluent", "rambling", "boilerplate")
        return {name: np.array([name in flaws for flaws in found]) for name in names}

"""The gold judge: the pocket world's truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prefnb import pocket
from prefnb.judges.scores import Prompts, Scores, check_pairs, last_user_turn

PARTS = ("helpfulness", "fluency", "concision", "honesty")


class GoldJudge:
    """The pocket world's truth: a program that knows the answer to every pocket prompt.

    Total in 1..10; parts helpfulness, fluency, concision and honesty in 0..1. `tie` is the difference in
    total up to which two responses count as equally good: `win_rate(scores, baseline, tie=judge.tie)`.
    """

    name, tie = "gold", pocket.TIE

    def __call__(self, prompts: Prompts, responses: Sequence[str]) -> Scores:
        check_pairs(prompts, responses)
        found = [pocket.score(last_user_turn(p), r) for p, r in zip(prompts, responses)]
        column = lambda name: np.array([getattr(one, name) for one in found], dtype=float)  # noqa: E731
        return Scores(column("total"), {name: column(name) for name in PARTS})

    def flaws(self, prompts: Prompts, responses: Sequence[str]) -> dict[str, np.ndarray]:
        """{name of a flaw: which responses show it, bool (n,)}, for each of `pocket.FLAWS`."""
        check_pairs(prompts, responses)
        found = [pocket.flaws(last_user_turn(p), r) for p, r in zip(prompts, responses)]
        return {name: np.array([name in flaws for flaws in found]) for name in pocket.FLAWS}

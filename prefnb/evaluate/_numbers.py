"""Scores as numbers, a row for each prompt; what cannot be compared is refused."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike


class Scored(Protocol):
    """What a judge says, as `judges.Scores`."""

    total: np.ndarray


Numbers = Scored | ArrayLike


def by_prompt(scores: Numbers, name: str) -> np.ndarray:
    """The totals of a `Scores`, or numbers as an array or a tensor, as floats (n, K); (n,) is one draw a prompt."""
    totals = getattr(scores, "total", scores)
    totals = np.asarray(totals.detach().cpu() if hasattr(totals, "detach") else totals, dtype=float)
    if totals.ndim not in (1, 2) or totals.size == 0:
        raise ValueError(f"The {name} must be numbers, one per prompt (n,) or K per prompt (n, K), not none at all.")
    if not np.isfinite(totals).all():
        bad = int((~np.isfinite(totals)).sum())
        raise ValueError(f"The {name} hold {bad} values that are not finite numbers; mend those first.")
    return totals.reshape(len(totals), -1)


def paired(scores: Numbers, baseline: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Both scores as (n, K) and (n, L); they must be scores of the same prompts in the same order."""
    a, b = by_prompt(scores, "scores"), by_prompt(baseline, "baseline scores")
    if len(a) != len(b):
        raise ValueError(f"There are {len(a)} scores and {len(b)} baseline scores; score the same prompts.")
    return a, b

"""The pocket world: ten kinds of request, writers with habits, and a judge that knows the truth.

>>> from prefnb import pocket
>>> prompt = pocket.generate_prompts("math", n=1, seed=0)[0]
>>> pocket.score(prompt, "No idea.").helpfulness
0.0
"""

from __future__ import annotations

import random
from pathlib import Path

from . import tasks
from .judge import FLAWS, TIE, Judgement, explained, flaws, score
from .writers import HOUSES, WRITERS

CATEGORIES = tuple(tasks.CATEGORIES)
_package, _checkout = Path(__file__).parent / "data", Path(__file__).parents[2] / "data"
DATA = _package if _package.is_dir() else _checkout

__all__ = ["CATEGORIES", "DATA", "FLAWS", "HOUSES", "Judgement", "TIE", "WRITERS", "explained", "flaws", "generate_prompts", "score"]


def generate_prompts(category: str, n: int, seed: int = 0, exclude_test: bool = True) -> list[str]:
    """`n` distinct new prompts of a category, as strings; by default none whose combination is kept for the
    test.

    Raises ValueError for an unknown category, or when there are not that many prompts to be had.
    """
    if category not in tasks.CATEGORIES:
        raise ValueError(f"unknown category {category!r}; the categories are {', '.join(CATEGORIES)}")
    rng = random.Random(f"prompts|{category}|{seed}")
    prompts = {}
    for _ in range(50 * n + 1000):
        if len(prompts) == n:
            break
        combination = tasks.CATEGORIES[category].draw(rng)
        if not (exclude_test and tasks.is_test(category, combination)):
            prompts[tasks.render(category, combination, rng)] = None
    if len(prompts) < n:
        raise ValueError(f"cannot make {n} distinct prompts of category {category}: the world holds fewer")
    return list(prompts)

"""Judges made of judges: several objectives side by side, on one scale, or as one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from prefnb.judges.scores import Judge, Prompts, Scores, check_pairs


class Several:
    """Several judges as the parts of one: {name: judge}, each part being that judge's total; the total is their mean.

    Only parts on one scale make a mean that means something: see `Probability`.
    """

    name, tie = "several", 0.0

    def __init__(self, judges: Mapping[str, Judge]):
        if not judges:
            raise ValueError("There is no judge; give at least one, as {name: judge}.")
        self.judges = dict(judges)

    def __call__(self, prompts: Prompts, responses: Sequence[str]) -> Scores:
        parts = {name: judge(prompts, responses).total for name, judge in self.judges.items()}
        return Scores(np.mean(list(parts.values()), axis=0), parts)


class Probability:
    """A reward model's score, which may be any number, as 1 / (1 + exp(-score)), in 0..1 with an ideal of 1.

    Of a two-class model this is the probability of its good class.
    """

    def __init__(self, judge: Judge):
        self.judge, self.name, self.tie = judge, judge.name, 0.0

    def __call__(self, prompts: Prompts, responses: Sequence[str]) -> Scores:
        return Scores(0.5 * (1 + np.tanh(self.judge(prompts, responses).total / 2)))  # never overflows


class Brevity:
    """exp(-words / scale), in 0..1: a second objective that needs no model."""

    name, tie = "brevity", 0.0

    def __init__(self, scale: float = 100.0):
        self.scale = scale

    def __call__(self, prompts: Prompts, responses: Sequence[str]) -> Scores:
        check_pairs(prompts, responses)
        return Scores(np.exp([-len(response.split()) / self.scale for response in responses]))


class Combined:
    """A judge whose total is `reward(parts)`, (n,): how several objectives become the one number that RLOO learns from.

    The parts, {name: (n,)}, stay as the judge gave them, so that the history of a training shows each objective.
    """

    name, tie = "combined", 0.0

    def __init__(self, judge: Judge, reward: Callable[[dict[str, np.ndarray]], np.ndarray]):
        self.judge, self.reward = judge, reward

    def __call__(self, prompts: Prompts, responses: Sequence[str]) -> Scores:
        parts = self.judge(prompts, responses).parts
        if not parts:
            raise ValueError("This judge gives one score without parts; make one of several with judges.Several.")
        return Scores(np.asarray(self.reward(parts), dtype=float), parts)

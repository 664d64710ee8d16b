"""Preference pairs made of a model's own samples, for RS-DPO and self-improvement.

Samples stay token ids from the moment they are drawn (decoding and encoding again may give other tokens), so pairs
are built as `Examples`, ready for the training loop. A pair needs two different responses, of which one is better:
prompts that cannot give one are left out, counted, and named in the result's `report`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from prefnb.batches import Examples

Samples = Sequence[Sequence[list[int]]]  # per prompt, K responses as ids


class NoPairs(ValueError):
    """No prompt has two different samples of which one is better: there is nothing to learn from."""

    def _render_traceback_(self):
        """What a notebook shows: the sentence alone, without the calls that led to it."""
        return [f"{type(self).__name__}: {self}"]


def mixture(pairs: Examples, samples: Sequence[list[int]], share: float, seed: int = 0) -> tuple[Examples, list[int]]:
    """`pairs`, a share of them with the policy's own sample in place of the rejected response (002 §3.2).

    samples: one response per pair, as ids. Pairs whose sample is the chosen response itself are left out; of the n
    that remain exactly round(share * n) are changed. With one seed, the pairs changed at 10% are among those changed
    at 20%. Returns the mixture and the places of the changed pairs in it. Raises ValueError for a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"The share of replaced pairs must be from 0 to 1, not {share}.")
    if len(samples) != len(pairs):
        raise ValueError(f"{len(samples)} samples were given for {len(pairs)} pairs; there must be one each.")
    kept = [i for i, ids in enumerate(samples) if list(ids) != pairs.responses["chosen"][i]]
    changed = random.Random(seed).sample(range(len(kept)), len(kept))[: round(share * len(kept))]
    rejected = [pairs.responses["rejected"][i] for i in kept]
    for place in changed:
        rejected[place] = list(samples[kept[place]])
    same = len(pairs) - len(kept)
    mixed = replace(
        pairs,
        prompt_ids=[pairs.prompt_ids[i] for i in kept],
        responses={"chosen": [pairs.responses["chosen"][i] for i in kept], "rejected": rejected},
        kept=[pairs.kept[i] for i in kept],
        report=[f"{same} of {len(pairs)} pairs left out: the sample is the chosen response itself."] if same else [],
    )
    return mixed, sorted(changed)


def best_of(samples: Sequence[Sequence], scores: np.ndarray) -> list:
    """The highest-scored of each prompt's K samples (the first, if several are level). scores: (prompts, K)."""
    return [group[int(np.argmax(row))] for group, row in zip(samples, _scores(samples, scores))]


def best_and_worst(
    prompts: list[list[int]], samples: Samples, scores: np.ndarray, *, worst: int = 3, seed: int = 0
) -> Examples:
    """One pair per prompt from its K scored samples (002 §3.3): chosen is the top one, rejected one of the bottom
    `worst`, at random.

    prompts: ids; samples: per prompt, K responses as ids; scores: (prompts, K). Equal samples count once, and a
    rejected response has a strictly lower score than the chosen. Raises `NoPairs` if no prompt gives a pair.
    """
    found, draw = [], random.Random(seed)
    for number, (group, row) in enumerate(zip(samples, _scores(samples, scores))):
        ranked = sorted(_distinct(group, row), key=lambda one: -one[1])
        lower = [one for one in ranked[-worst:] if one[1] < ranked[0][1]]
        if lower:
            found.append((number, ranked[0][0], draw.choice(lower)[0]))
    return _examples(prompts, found)


def over_threshold(prompts: list[list[int]], samples: Samples, scores: np.ndarray, *, threshold: float) -> Examples:
    """Every ordered pair of a prompt's samples whose scores differ by more than `threshold` (Khaki et al. 2024).

    The arguments are those of `best_and_worst`; the threshold is in the judge's points. A prompt gives none, one or
    many pairs.
    """
    found = []
    for number, (group, row) in enumerate(zip(samples, _scores(samples, scores))):
        for (better, high), (other, low) in permutations(_distinct(group, row), 2):
            if high - low > threshold:
                found.append((number, better, other))
    return _examples(prompts, found)


def _distinct(group, row) -> list[tuple[list[int], float]]:
    """A prompt's samples with their scores, each response once."""
    return list({tuple(ids): (list(ids), float(score)) for ids, score in zip(group, row)}.values())


def _scores(samples, scores) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or [len(group) for group in samples] != [scores.shape[1]] * len(scores):
        raise ValueError(
            "Every prompt needs as many scores as samples: pass samples as lists of K and scores as (prompts, K)."
        )
    if not np.isfinite(scores).all():
        raise ValueError("Some scores are not finite numbers; a judge must score every sample.")
    return scores


def _examples(prompts, found) -> Examples:
    if not found:
        raise NoPairs(
            "No prompt gives a pair: the samples of each are all alike or level in score. Sample more, at a higher "
            "temperature, or lower the threshold."
        )
    without = len(prompts) - len({number for number, _, _ in found})
    return Examples(
        [prompts[number] for number, _, _ in found],
        {"chosen": [better for _, better, _ in found], "rejected": [other for _, _, other in found]},
        [number for number, _, _ in found],
        [f"{without} of {len(prompts)} prompts give no pair: their samples are alike or level."] if without else [],
    )

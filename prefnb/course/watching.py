"""What a run does to pairs that it does not learn from: the strong curves of a live figure.

    course.fit(sft, examples, loss, p, live=LiveFigure(), also=course.watched(loss, sft, held_out, p, examples))

Single batches zigzag, since each has other pairs in it. These are the same pairs every time, and no random number is drawn
for them: a run that is watched ends in the same weights as one that is not.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Callable

import torch

from prefnb.batches import Examples
from prefnb.course.examples import reference
from prefnb.course.settings import DataTraining
from prefnb.evaluate import bootstrap_interval
from prefnb.logprobs import DatasetLogprobs, Scorer

PAIRS, CHECKS, BATCH = 128, 5, 64
LEVEL = 1e-4  # a margin this near to 0 is 0: what has not moved has no preference, whatever rounding says
PREFIX = "heldout_"  # so that a history keeps these apart from what single batches say


def watched(
    objective: Callable,
    start: torch.nn.Module,
    pairs: Examples,
    p: DataTraining,
    examples: Examples,
    *,
    scorer: type = Scorer,
    **changed: Any,
) -> dict:
    """What `fit` takes as `also` to be watched on held-out pairs, `CHECKS` times in the run and before it.

    objective, start, p, examples, scorer and `changed` are what `fit` gets; pairs: held out, of which the first `PAIRS` are
    looked at.
    """
    few = first(pairs, PAIRS)
    frozen = reference(start, few) if scorer is Scorer else None
    epochs, size = (changed.get(name, getattr(p, name)) for name in ("epochs", "batch_size"))
    steps = epochs * -(-len(examples) // size)
    monitor = held_out_monitor(objective, few, frozen, scorer=scorer)
    return {"monitor": monitor, "monitor_every": max(1, math.ceil(steps / CHECKS))}


def held_out_monitor(
    objective: Callable, pairs: Examples, reference: DatasetLogprobs | None, *, scorer: type = Scorer
) -> Callable[[torch.nn.Module], dict[str, float]]:
    """A monitor for `train`: monitor(policy) is the mean of the loss and of each of its metrics over these pairs, and by how
    much either response has become likelier, d_chosen and d_rejected, in nats; each name begins with `PREFIX`, and with _low
    and _high behind it there are the ends of its 95% interval over pairs.

    reference: its log-probs of the same pairs; None with a scorer that needs none (RewardScorer).
    """

    @torch.no_grad()
    def monitor(policy: torch.nn.Module) -> dict[str, float]:
        device, found = next(policy.parameters()).device, {}
        for batch in pairs.in_order_of_length(BATCH):
            before = reference.batch(batch.index, device) if reference else None
            labels = {name: torch.tensor([values[i] for i in batch.index], device=device)
                      for name, values in pairs.labels.items()}  # fmt: skip
            now = scorer(policy)(batch.to(device))
            for name, values in seen(objective, now, before, labels).items():
                found.setdefault(name, []).append(values.detach().float().cpu())
        return summed_up({name: torch.cat(values).numpy() for name, values in found.items()})

    return monitor


def seen(objective: Callable, now: Any, before: Any, labels: dict) -> dict[str, torch.Tensor]:
    """{name: (batch,)}: loss, metrics and changes of log-prob of some pairs. Of a pair with a margin of 0 one half is right."""
    loss, metrics = objective(now, before, **labels)
    if {"margin", "accuracy"} <= metrics.keys():
        level = metrics["margin"].abs() <= LEVEL
        metrics = {**metrics, "accuracy": metrics["accuracy"].float().masked_fill(level, 0.5)}
    changes = (
        {f"d_{side}": getattr(now, side).sum - response.sum for side, response in vars(before).items()}
        if before
        else {}
    )
    return {"loss": loss, **changes, **metrics}


def summed_up(values: dict) -> dict[str, float]:
    """{name: (n,)} as means with the ends of their intervals."""
    found = {}
    for name, each in values.items():
        low, high = bootstrap_interval(each)
        found |= {f"{PREFIX}{name}": float(each.mean()), f"{PREFIX}{name}_low": low, f"{PREFIX}{name}_high": high}
    return found


def first(examples: Examples, n: int) -> Examples:
    """The first n examples."""
    cut = {side: ids[:n] for side, ids in examples.responses.items()}
    return replace(examples, prompt_ids=examples.prompt_ids[:n], responses=cut, kept=examples.kept[:n],
                   labels={name: values[:n] for name, values in examples.labels.items()})  # fmt: skip

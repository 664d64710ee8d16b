"""One more policy from the same start: what notebooks train beside their main run, once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Callable

import torch
from safetensors.torch import load_model, save_model

from prefnb import models
from prefnb.batches import Batches, Examples
from prefnb.cache import cached, digest, entry
from prefnb.logprobs import Scorer
from prefnb.course.examples import reference
from prefnb.course.settings import DataTraining
from prefnb.source import code_of, described
from prefnb.training import History, train
from prefnb.training.unfinished import forget


def fit(
    start: torch.nn.Module,
    examples: Examples,
    objective: Callable,
    p: DataTraining,
    *,
    reference_model: torch.nn.Module | None = None,
    live: Any = None,
    scorer: type = Scorer,
    average: str = "example",
    also: dict | None = None,
    told: object = None,
    **changed,
) -> tuple[torch.nn.Module, History]:
    """A copy of `start` trained on `examples`; returns it with its history.

    `objective(policy, reference)` gets the log-probs of `reference_model`, which is `start` if none is named; None with
    `average="token"` (SFT) or another `scorer` (RewardScorer, whose `start` is a reward model), which need none. p: the
    training's settings; `changed` are those that differ here, of epochs, learning_rate, schedule, batch_size.
    With a `live` figure it is trained before your eyes. Without one, a run that was made before, with the very same loss
    (its own code and all that it calls), settings and pairs, comes from the cache or with the package.
    also: what `train` takes besides, a monitor or a term on_policy. What these do cannot be seen from outside, so such a
    run is kept only if `told` says, in plain values and functions, all that it depends on.
    """
    settings = {
        name: changed.pop(name, getattr(p, name)) for name in ("epochs", "learning_rate", "schedule", "batch_size")
    }
    if changed:
        raise TypeError(f"fit takes no {', '.join(changed)}; it takes {', '.join(settings)}.")
    compared = average == "example" and scorer is Scorer  # with a reference

    def make(unfinished: Path | None = None) -> tuple[torch.nn.Module, History]:
        policy, more = models.copy_model(start), also or {"checkpoint": unfinished}
        frozen = reference(reference_model or start, examples) if compared else None
        size, loop = settings["batch_size"], {name: value for name, value in settings.items() if name != "batch_size"}
        batches = Batches(examples, size, accumulation=p.accumulation, seed=p.seed, reference=frozen)
        return policy, train(policy, batches, objective, scorer=scorer, average=average, live=live, **loop, **more)

    def save(made: tuple[torch.nn.Module, History], folder: Path) -> None:
        policy, history = made
        save_model(policy, folder / "model.safetensors")
        history.save(folder / "history.json")

    def load(folder: Path) -> tuple[torch.nn.Module, History]:
        policy = models.copy_model(start)
        load_model(policy, folder / "model.safetensors")
        return policy, History.load(folder / "history.json")

    loss, besides = described(objective), described(told)
    if live is not None or loss is None or (also and (told is None or besides is None)):
        return make()
    key = {
        "start": models.fingerprint(start, coarse=True),
        "reference": models.fingerprint(reference_model or start, coarse=True),
        "examples": digest([examples.prompt_ids, examples.responses]),
        "objective": digest(loss),
        "scorer": [scorer.__name__, code_of(f"{scorer.__module__}.{scorer.__name__}")],
        "labels": digest(examples.labels),
        "average": average,
        "also": [sorted(also or {}), digest(besides)],
        "accumulation": p.accumulation,
        "seed": p.seed,
        **settings,
        "code": code_of("prefnb.course.fitting.fit"),
    }
    unfinished = entry("fit", key).with_suffix(".unfinished")  # where an interrupted run is kept, to go on from
    made = cached("fit", key, partial(make, unfinished), save, load)
    forget(unfinished)
    return made

"""One more policy from the same start: what notebooks train beside their main one, and do not train twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Callable

from safetensors.torch import load_model, save_model

from prefnb import models
from prefnb.batches import Batches, Examples
from prefnb.cache import cached, digest
from prefnb.recipes.preference import reference
from prefnb.source import code_of, described
from prefnb.train import History, train


def fit(
    start,
    examples: Examples,
    objective: Callable,
    p: SimpleNamespace,
    *,
    reference_model=None,
    live=None,
    **changed,
) -> tuple[object, History]:
    """A copy of `start` trained on `examples`; returns it with its history.

    `objective(policy, reference)` gets the log-probs of `reference_model`, which is `start` if none is named. p: the
    training's settings; `changed` are those that differ here, of epochs, learning_rate, schedule, batch_size.
    With a `live` figure it is trained before your eyes. Without one, a run that was made before, with the very same loss
    (its own code and all that it calls), settings and pairs, comes from the cache or with the package.
    """
    settings = {name: changed.pop(name, getattr(p, name)) for name in ("epochs", "learning_rate", "schedule", "batch_size")}
    if changed:
        raise TypeError(f"fit takes no {', '.join(changed)}; it takes {', '.join(settings)}.")

    def make() -> tuple[object, History]:
        policy = models.copy_model(start)
        frozen = reference(reference_model or start, examples)
        size, loop = settings["batch_size"], {name: value for name, value in settings.items() if name != "batch_size"}
        batches = Batches(examples, size, accumulation=p.accumulation, seed=p.seed, reference=frozen)
        return policy, train(policy, batches, objective, live=live, **loop)

    def save(made: tuple[object, History], folder: Path) -> None:
        policy, history = made
        save_model(policy, folder / "model.safetensors")
        history.save(folder / "history.json")

    def load(folder: Path) -> tuple[object, History]:
        policy = models.copy_model(start)
        load_model(policy, folder / "model.safetensors")
        return policy, History.load(folder / "history.json")

    loss = described(objective)
    if live is not None or loss is None:
        return make()
    key = {
        "start": models.fingerprint(start, coarse=True),
        "reference": models.fingerprint(reference_model or start, coarse=True),
        "examples": digest([examples.prompt_ids, examples.responses]),
        "objective": digest(loss),
        "accumulation": p.accumulation,
        "seed": p.seed,
        **settings,
        "code": code_of("prefnb.recipes.training.fit"),
    }
    return cached("fit", key, make, save, load)

"""What all recipes share: the parameters of training, trained policies in the cache, and the samples of a model."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Callable

import torch

from prefnb import models, pocket
from prefnb.batches import Examples, from_samples, prompt_ids
from prefnb.cache import cache_folder, cached, digest, entry
from prefnb.files import file_digest
from prefnb.logprobs import Scorer
from prefnb.parameters import Choice, Flag, Whole
from prefnb.processes import processes
from prefnb.sampling import Sample, sample
from prefnb.source import code_of
from prefnb.training import History, OnPolicyTerm
from prefnb.training.unfinished import forget

TRAINING = {
    "schedule": Choice("linear", "cosine", "exponential", "constant"),
    "accumulation": Whole(1, 4096),
    "gradient_checkpointing": Flag(),  # less memory for a third more computing; the numbers stay
    "max_prompt_tokens": Whole(1),
    "max_response_tokens": Whole(4),  # below, the end of most turns is cut off
}
# What the methods of a preset share.
POCKET = dict(
    model="pocket",
    dataset="pocket",
    epochs=1,
    batch_size=16,
    schedule="linear",
    accumulation=1,
    gradient_checkpointing=False,
    max_prompt_tokens=160,
    max_response_tokens=112,
)
QWEN = dict(
    model="Qwen/Qwen2.5-0.5B",
    epochs=1,
    batch_size=32,
    schedule="linear",
    accumulation=8,
    gradient_checkpointing=True,
)


SAMPLING = "prefnb.sampling.sample"  # the code that samples in the cache depend on


@dataclass
class Trained:
    """A trained policy with what it took: `model`, `tokenizer`, `history`."""

    model: torch.nn.Module
    tokenizer: object
    history: History


def loop(p: SimpleNamespace) -> dict:
    """What `train` takes from a method's parameters."""
    return dict(epochs=p.epochs, learning_rate=p.learning_rate, schedule=p.schedule)


def with_checkpointing(model, p: SimpleNamespace):
    """The same model; with `p.gradient_checkpointing` it keeps only each layer's input while it is in training mode,
    and computes the rest again in the backward pass."""
    if p.gradient_checkpointing:
        # transformers 5 renames `gradient_checkpointing_enable` on its way.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    return model


def trained(name: str, p: SimpleNamespace, make: Callable[[], Trained], load_model=models.load_model) -> Trained:
    """What `make()` trains, from the cache if this recipe has been made with these parameters and files before."""

    def save(made: Trained, folder: Path) -> None:
        made.model.save_pretrained(folder)
        made.tokenizer.save_pretrained(folder)
        made.history.save(folder / "history.json")

    def load(folder: Path) -> Trained:
        return Trained(
            load_model(str(folder)), models.load_tokenizer(str(folder)), History.load(folder / "history.json")
        )

    key = _key(name, p)
    made = cached(name, key, make, save, load)
    if entry(name, key).is_dir() and processes().is_main_process:  # else the disk is full: the state stays
        forget(unfinished(name, p))
    return made


def _key(name: str, p: SimpleNamespace) -> dict:
    """All that the result depends on: not where it is written, nor what only saves memory."""
    given = {k: v for k, v in vars(p).items() if k not in ("output_dir", "gradient_checkpointing")}
    return {"recipe": name, **given, "files": digest(_files(p)), "code": code_of(f"prefnb.recipes.{name}")}


def _files(p: SimpleNamespace) -> dict:
    """Hashes of the local files that the parameters name, by their paths below it, so that a changed file is another
    key. Of a model's folder, those that a model is loaded from: at its top, and no data that lie beside it."""
    found = {}
    named = ("model", "dataset", "new_prompts", "helpfulness_model", "fluency_model")
    for name in filter(None, (getattr(p, one, None) for one in named)):
        path = Path(name).expanduser()
        if name == "pocket":
            path, files = pocket.DATA, [*pocket.DATA.glob("*.gz"), *pocket.DATA.glob("base_model/*")]
        else:
            files = [path] if path.is_file() else models.files_of(path) if path.is_dir() else []
        try:
            found |= {f"{name}:{file.relative_to(path).as_posix()}": file_digest(file) for file in sorted(files)}
        except OSError as error:
            raise ValueError(f"{error.filename} cannot be read ({error.strerror}).") from None
    return found


def unfinished(name: str, p: SimpleNamespace) -> Path:
    """Where an interrupted run of this recipe is kept, to go on from."""
    return cache_folder() / f"unfinished-{name}-{digest(_key(name, p))}"


def samples_of(model, tokenizer, prompts: list[list[int]], **settings) -> list[Sample]:
    """`sampling.sample` on prompt ids with these settings, from the cache if this model was asked this before.

    An entry holds ids only, from which the text is decoded again; its key depends on no machine.
    """
    key = {
        "model": models.fingerprint(model, coarse=True),
        "prompts": digest(prompts),
        "code": code_of(SAMPLING),
        **settings,
    }

    def save(drawn: list[Sample], folder: Path) -> None:
        found = {"ids": [one.ids for one in drawn], "finished": [one.finished for one in drawn]}
        text = json.dumps(found, separators=(",", ":"))
        (folder / "samples.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))  # the same bytes every time

    def load(folder: Path) -> list[Sample]:
        found = json.loads(gzip.decompress((folder / "samples.json.gz").read_bytes()))
        said = [row[:-1] if ended else row for row, ended in zip(found["ids"], found["finished"])]
        texts = tokenizer.batch_decode(said, skip_special_tokens=True)
        return [Sample(*one) for one in zip(found["ids"], texts, found["finished"])]

    return cached("samples", key, lambda: sample(model, tokenizer, prompts, **settings), save, load)


def answers_of(model, tokenizer, prompts: list, *, draws: int, temperature: float, max_new_tokens: int) -> list[Sample]:
    """What a policy answers to n prompts (messages, or ids already): `draws` samples of each in a row, from the cache
    if it was asked this before. Greedy, at temperature 0, there is one answer.

    The seed is the policy's own weights', and the order of the prompts does not matter. So one policy has the same
    answers wherever it is asked, whatever it is called or compared with; and two policies, however near, do not share
    their luck: with one seed for both, many answers would be the same and the comparison mostly ties.
    """
    ids = [prompt if isinstance(prompt[0], int) else prompt_ids(tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    draws = draws if temperature else 1
    drawn = samples_of(
        model,
        tokenizer,
        [ids[i] for i in order],
        samples=draws,
        temperature=float(temperature),
        max_new_tokens=max_new_tokens,
        seed=int(models.fingerprint(model, coarse=True)[:8], 16),
    )
    place = {i: number * draws for number, i in enumerate(order)}
    return [drawn[place[i] + k] for i in range(len(ids)) for k in range(draws)]


def on_policy(
    tokenizer,
    examples: Examples,
    objective: Callable,
    *,
    every: int,
    prompts: int,
    max_new_tokens: int,
    seed: int = 0,
    reference_model=None,
    extras: Callable[[list[int]], dict] | None = None,
) -> OnPolicyTerm:
    """A term of the loss on the policy's own samples at temperature 1, for `train(on_policy=...)`.

    Every `every` steps, `prompts` of the examples' prompts get one sample each. `extras(index)` gives the (batch,)
    tensors that the objective takes by name, for the examples `index`; the reference's log-probs are there if its
    model is given.
    """

    def make_batch(model, step: int):
        index = random.Random(f"{seed}-{step}").sample(range(len(examples)), min(prompts, len(examples)))
        ids = [examples.prompt_ids[i] for i in index]
        drawn = sample(model, tokenizer, ids, temperature=1.0, max_new_tokens=max_new_tokens, seed=seed + step)
        model.train()
        batch = from_samples(ids, [one.ids for one in drawn], **(extras(index) if extras else {})).to(model.device)
        if reference_model is None:
            return batch
        with torch.no_grad():
            return replace(batch, reference=Scorer(reference_model)(batch))

    return OnPolicyTerm(make_batch, objective, every)

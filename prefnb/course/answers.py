"""What models said, kept: samples under all they depend on, and a reward model's scores of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from prefnb import models
from prefnb.batches import prompt_ids
from prefnb.cache import cached, digest
from prefnb.judges import RewardModel
from prefnb.sampling import Sample, sample
from prefnb.source import code_of

DECODINGS = {  # by name, settings of `sampling.sample`
    "sampled": {"temperature": 0.7},  # the course's own
    "nucleus": {"temperature": 0.6, "top_p": 0.95},  # 003 §4.5, for its final submissions
    "greedy": {"temperature": 0.0},
    "beam": {"temperature": 0.0, "beams": 4, "length_penalty": 0.9},  # 003 §4.5, for its evaluations
}


def samples_of(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]], **settings
) -> list[Sample]:
    """`sampling.sample` on prompt ids with these settings, from the cache if this model was asked this before.

    An entry holds ids only, from which the text is decoded again; its key depends on no machine.
    """
    key = {
        "model": models.fingerprint(model, coarse=True),
        "prompts": digest(prompts),
        "code": code_of("prefnb.sampling.sample"),
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


def answers_of(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list,
    *,
    draws: int,
    temperature: float,
    max_new_tokens: int,
    **decoding,
) -> list[Sample]:
    """What a policy answers to n prompts (messages, or ids already): `draws` samples of each in a row, from the cache
    if it was asked this before. Greedy, at temperature 0, there is one answer, and so there is of beams. `decoding` is
    what `sampling.sample` takes besides: top_p, beams, length_penalty; with the temperature, one of `DECODINGS`.

    The seed is the policy's own weights', and the order of the prompts does not matter. So one policy has the same
    answers wherever it is asked, whatever it is called or compared with; and two policies, however near, do not share
    their luck: with one seed for both, many answers would be the same and the comparison mostly ties.
    """
    ids = [prompt if isinstance(prompt[0], int) else prompt_ids(tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    draws = draws if temperature and decoding.get("beams", 1) == 1 else 1
    drawn = samples_of(
        model,
        tokenizer,
        [ids[i] for i in order],
        samples=draws,
        temperature=float(temperature),
        max_new_tokens=max_new_tokens,
        seed=int(models.fingerprint(model, coarse=True)[:8], 16),
        **decoding,
    )
    place = {i: number * draws for number, i in enumerate(order)}
    return [drawn[place[i] + k] for i in range(len(ids)) for k in range(draws)]


def scores_of(judge: RewardModel, prompts: list, texts: list[str]) -> np.ndarray:
    """The scores that a reward model gives n texts, each an answer to the prompt (messages) at its place: (n,), from the
    cache if it was asked this before. The same answer to the same prompt is scored once."""
    asked = [json.dumps(one) for one in zip(prompts, texts)]
    once = sorted(set(asked))
    key = {
        "model": models.fingerprint(judge.model, coarse=True),
        "asked": digest(once),
        "reads": [judge.reads, judge.positive],
        "code": code_of("prefnb.judges.RewardModel"),
    }
    make = lambda: judge(*zip(*map(json.loads, once))).total  # noqa: E731
    save = lambda found, folder: np.save(folder / "scores.npy", found.astype(np.float32))  # noqa: E731
    load = lambda folder: np.load(folder / "scores.npy")  # noqa: E731
    score = dict(zip(once, cached("scores", key, make, save, load).astype(np.float32)))
    return np.array([score[one] for one in asked], dtype=float)

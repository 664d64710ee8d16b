"""Examples to learn from: tokenised preference pairs, the reference's log-probs of them, the model's own answers."""

from __future__ import annotations

from functools import partial

import torch
from transformers import PreTrainedTokenizerBase

from prefnb import data, models
from prefnb.batches import Examples, tokenize
from prefnb.cache import cached, digest
from prefnb.course.answers import samples_of
from prefnb.course.settings import PairTraining
from prefnb.logprobs import DatasetLogprobs
from prefnb.source import code_of


def pair_examples(
    p: PairTraining, tokenizer: PreTrainedTokenizerBase, split: str = "train", limit: int | None = None
) -> Examples:
    """Tokenised preference pairs of a split: `p.pairs` of them for training, `limit` for a held-out look."""
    rows = data.Source(p.dataset).pairs(split, limit=p.pairs if split == "train" else limit, seed=p.seed)
    return tokenize(rows, tokenizer, max_prompt_tokens=p.max_prompt_tokens, max_response_tokens=p.max_response_tokens)


def reference(model: torch.nn.Module, examples: Examples) -> DatasetLogprobs:
    """The frozen model's log-probs of every response, from the cache if this model has seen these examples before."""
    key = {
        "model": models.fingerprint(model),
        "examples": digest([examples.prompt_ids, examples.responses]),
        "code": code_of("prefnb.logprobs.DatasetLogprobs"),
    }
    return cached(
        "reference", key, partial(DatasetLogprobs.compute, model, examples), DatasetLogprobs.save, DatasetLogprobs.load
    )


def greedy_ids(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, examples: Examples, max_new_tokens: int
) -> list[list[int]]:
    """The model's own greedy response to every example's prompt (004 eq. 4), as ids, from the cache."""
    drawn = samples_of(model, tokenizer, examples.prompt_ids, temperature=0, max_new_tokens=max_new_tokens)
    return [one.ids for one in drawn]

"""Learning from the policy's own samples: as a term beside another loss, or as the batches themselves."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Callable

import torch
from transformers import PreTrainedTokenizerBase

from prefnb import data
from prefnb.batches import Examples, from_samples, prompt_ids
from prefnb.course.settings import FromRewards
from prefnb.logprobs import Scorer
from prefnb.rollouts import Rollouts
from prefnb.sampling import sample
from prefnb.training import OnPolicyTerm


def on_policy(
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    objective: Callable,
    *,
    every: int,
    prompts: int,
    max_new_tokens: int,
    seed: int = 0,
    reference_model: torch.nn.Module | None = None,
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


def training_prompts(p: FromRewards, tokenizer: PreTrainedTokenizerBase) -> list[list[dict]]:
    """The prompts that are answered in training: `p.prompts` of the training split, none too long."""
    rows = data.Source(p.dataset).prompts("train", limit=p.prompts, seed=p.seed)
    kept = [prompt for prompt in rows["prompt"] if len(prompt_ids(tokenizer, prompt)) <= p.max_prompt_tokens]
    if len(kept) < len(rows):
        print(f"{len(rows) - len(kept)} of {len(rows)} prompts left out: longer than {p.max_prompt_tokens} tokens.")
    return kept


def rollouts(
    policy: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    p: FromRewards,
    judge: Callable,
    advantages: Callable,
    **settings,
) -> Rollouts:
    """Samples of `policy` as the loop's batches, with the settings `p`; `settings` are further ones of
    `Rollouts`, e.g. a reference model."""
    return Rollouts(
        policy,
        tokenizer,
        training_prompts(p, tokenizer),
        judge,
        advantages,
        prompts_per_step=p.batch_size,
        samples=p.samples,
        temperatures=p.temperatures,
        max_new_tokens=p.max_response_tokens,
        accumulation=p.accumulation,
        seed=p.seed,
        **settings,
    )

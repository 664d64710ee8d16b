"""Methods that learn from preference pairs: DPO and its relatives, all from the SFT policy."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Callable

from prefnb import data, models, parameters
from prefnb.batches import Batches, Examples, tokenize
from prefnb.cache import cached, digest
from prefnb.logprobs import DatasetLogprobs
from prefnb.objectives import dpo as dpo_objectives
from prefnb.objectives import dppo as dppo_objectives
from prefnb.objectives import simpo as simpo_objectives
from prefnb.parameters import Choice, Flag, Number, Schema
from prefnb.processes import processes
from prefnb.recipes.common import (
    POCKET,
    QWEN,
    TRAINING,
    Trained,
    loop,
    samples_of,
    trained,
    unfinished,
    with_checkpointing,
)
from prefnb.recipes.supervised import SFT, sft
from prefnb.source import code_of
from prefnb.training import train

PREFERENCE = {**TRAINING, "sft": Flag(), "beta": Number(0, 100)}
PREFERENCE_POCKET = {**POCKET, "sft": True, "pairs": 1536, "learning_rate": 2e-4, "beta": 0.1}
PREFERENCE_QWEN = {  # 004 §4: 989 tokens of context, beta 0.01
    **QWEN,
    "dataset": "HuggingFaceH4/ultrafeedback_binarized",
    "sft": True,
    "pairs": 61_000,
    "learning_rate": 5e-6,
    "max_prompt_tokens": 512,
    "max_response_tokens": 477,
    "beta": 0.01,
}
DPO = Schema(PREFERENCE, {"pocket": PREFERENCE_POCKET, "qwen": PREFERENCE_QWEN})

_SIMPO = dict(beta=2.5, gamma=1.0)  # the best setting of 004, Table 1
SIMPO = Schema(
    {**PREFERENCE, "gamma": Number(0, 100)},
    {"pocket": {**PREFERENCE_POCKET, **_SIMPO}, "qwen": {**PREFERENCE_QWEN, **_SIMPO}},
)

_PENALISED = dict(
    penalty="minimum_likelihood", weight="linear", zeta=0.5, level="token", normalize="tanh_mean", alpha=10.0
)
DPPO = Schema(
    {
        **PREFERENCE,
        "alpha": Number(0, 10_000),
        "zeta": Number(0, 1),
        "penalty": Choice(*dppo_objectives.PENALTIES),
        "weight": Choice(*dppo_objectives.WEIGHTS),
        "normalize": Choice(*dppo_objectives.NORMALIZATIONS),
        "level": Choice(*dppo_objectives.LEVELS),
    },
    {"pocket": {**PREFERENCE_POCKET, **_PENALISED}, "qwen": {**PREFERENCE_QWEN, **_PENALISED}},
)


def dpo(**given) -> Trained:
    """Direct Preference Optimization (Rafailov et al. 2023) from the SFT policy, with `DPO`'s parameters."""
    p = parameters.check(given, DPO)
    return _preference("dpo", p, partial(dpo_objectives.dpo, beta=p.beta))


def simpo(**given) -> Trained:
    """Simple Preference Optimization (Meng et al. 2024) from the SFT policy, with `SIMPO`'s parameters."""
    p = parameters.check(given, SIMPO)
    return _preference("simpo", p, partial(simpo_objectives.simpo, beta=p.beta, gamma=p.gamma), with_reference=False)


def dppo(**given) -> Trained:
    """Direct Preference and Penalization Optimization (004 §3) from the SFT policy, with `DPPO`'s parameters."""
    p = parameters.check(given, DPPO)
    objective = partial(
        dppo_objectives.dppo,
        alpha=p.alpha,
        beta=p.beta,
        penalty=p.penalty,
        weight=p.weight,
        zeta=p.zeta,
        level=p.level,
        normalize=p.normalize,
    )
    return _preference("dppo", p, objective, with_generated=p.alpha > 0)


def _preference(
    name: str, p: SimpleNamespace, objective: Callable, with_generated: bool = False, with_reference: bool = True
) -> Trained:
    def make() -> Trained:
        policy, tokenizer = starting_policy(p)
        examples = pair_examples(p, tokenizer)
        if with_generated:
            examples = examples.plus("generated", greedy_ids(policy, tokenizer, examples, p.max_response_tokens))
        frozen = reference(policy, examples) if with_reference else None
        batches = Batches(examples, p.batch_size, accumulation=p.accumulation, seed=p.seed, reference=frozen)
        return Trained(policy, tokenizer, train(policy, batches, objective, checkpoint=unfinished(name, p), **loop(p)))

    return trained(name, p, make)


def starting_policy(p: SimpleNamespace):
    """(model, tokenizer) that a preference method starts from: the preset's base model after SFT, or `p.model` as
    it is."""
    if p.sft and p.model == SFT.presets[p.preset]["model"]:
        made = sft(preset=p.preset, seed=p.seed)
        return with_checkpointing(made.model, p), made.tokenizer
    if p.sft and processes().is_main_process:
        print(f"'{p.model}' is taken as it is: SFT comes first only for the preset's own model (sft=False says so).")
    return with_checkpointing(models.load_model(p.model), p), models.load_tokenizer(p.model)


def pair_examples(p: SimpleNamespace, tokenizer, split: str = "train", limit: int | None = None) -> Examples:
    """Tokenised preference pairs of a split: `p.pairs` of them for training, `limit` for a held-out look."""
    rows = data.load_pairs(p.dataset, split, limit=p.pairs if split == "train" else limit, seed=p.seed)
    return tokenize(rows, tokenizer, max_prompt_tokens=p.max_prompt_tokens, max_response_tokens=p.max_response_tokens)


def reference(model, examples: Examples) -> DatasetLogprobs:
    """The frozen model's log-probs of every response, from the cache if this model has seen these examples before."""
    key = {
        "model": models.fingerprint(model),
        "examples": digest([examples.prompt_ids, examples.responses]),
        "code": code_of("prefnb.logprobs.DatasetLogprobs"),
    }
    return cached(
        "reference", key, partial(DatasetLogprobs.compute, model, examples), DatasetLogprobs.save, DatasetLogprobs.load
    )


def greedy_ids(model, tokenizer, examples: Examples, max_new_tokens: int) -> list[list[int]]:
    """The model's own greedy response to every example's prompt (004 eq. 4), as ids, from the cache."""
    drawn = samples_of(model, tokenizer, examples.prompt_ids, temperature=0, max_new_tokens=max_new_tokens)
    return [one.ids for one in drawn]

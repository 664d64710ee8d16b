"""Your turn: a loss that a reader writes, checked, trained for some seconds, and held against the notebook's own.

    try_it = your_turn.on_pairs(p, sft, tokenizer, examples, usual=("DPO", partial(dpo, beta=p.beta)), folder="runs/tried")
    try_it(my_loss, "hinge")

Each function makes such a `try_it(loss, name)` for one kind of loss. usual: the name of the notebook's own loss and that
loss, which is trained on the same things once. folder: where attempts are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import torch
from transformers import PreTrainedTokenizerBase

from prefnb import files
from prefnb.batches import Examples
from prefnb.course.settings import DataTraining, FromRewards, PairTraining
from prefnb.course.watching import first
from prefnb.judges import Judge
from prefnb.your_turn.attempts import PAIRS
from prefnb.your_turn.kinds import STEPS, OnDemonstrations, OnPairs, OnSamples, OnScores

__all__ = ["PAIRS", "STEPS", "on_demonstrations", "on_pairs", "on_samples", "on_scores"]
TryIt = Callable[[Callable, str], None]


def on_pairs(
    p: PairTraining,
    start: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    *,
    usual: tuple[str, Callable],
    folder: str | Path,
) -> TryIt:
    """For losses f(policy, reference) on pairs, of which the first `PAIRS` are trained on."""
    return OnPairs(p, start, tokenizer, *usual, files.here(folder), first(examples, PAIRS)).try_it


def on_demonstrations(
    p: DataTraining,
    start: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    held_out: Examples,
    *,
    usual: tuple[str, Callable],
    folder: str | Path,
) -> TryIt:
    """For losses f(policy, reference) on demonstrations, policy.response; the reference is None. The loop divides by the
    tokens of the batch, so a loss is a sum over tokens."""
    held_out = first(held_out, PAIRS // 2)
    return OnDemonstrations(p, start, tokenizer, *usual, files.here(folder), first(examples, PAIRS), held_out).try_it


def on_scores(
    p: PairTraining,
    start: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    held_out: Examples,
    *,
    usual: tuple[str, Callable],
    folder: str | Path,
) -> TryIt:
    """For losses f(policy, reference) on a reward model's scores, policy.chosen and policy.rejected; the reference is None."""
    held_out = first(held_out, PAIRS // 2)
    return OnScores(p, start, tokenizer, *usual, files.here(folder), first(examples, PAIRS), held_out).try_it


def on_samples(
    p: FromRewards,
    start: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    judge: Judge,
    advantages: Callable,
    *,
    usual: tuple[str, Callable],
    folder: str | Path,
) -> TryIt:
    """For losses f(policy, reference, *, advantage) on the policy's own samples, trained for `STEPS` steps. advantages: of
    rewards (prompts, K)."""
    return OnSamples(p, start, tokenizer, *usual, files.here(folder), judge, advantages).try_it

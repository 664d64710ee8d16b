"""SFT: supervised fine-tuning, where every other method starts; with the length penalty of paper 003."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from transformers import PreTrainedTokenizerBase

from prefnb import data, models, parameters
from prefnb.batches import Batches, Examples, tokenize
from prefnb.course.policies import Trained, loop, trained, unfinished, with_checkpointing
from prefnb.course.settings import DataTraining, FromSFT
from prefnb.estimators.score_function import score_function
from prefnb.logprobs import Loss
from prefnb.parameters import DataName, setting
from prefnb.processes import processes
from prefnb.training import train

LABEL = "SFT"
COLOUR = "#555555"


def sft(policy: SimpleNamespace, reference: SimpleNamespace | None = None) -> Loss:
    """-S(response): the negative log-likelihood of the demonstration, in nats, (batch,).

    The sum, not the mean: the training loop divides by the tokens of the whole effective batch, so that every
    token weighs the same however the batch is split. Metrics: logp (S, in nats), length (tokens).
    """
    logp = policy.response.sum
    return -logp, {"logp": logp.detach(), "length": policy.response.length}


def length_penalty_printed(
    policy: SimpleNamespace, reference: SimpleNamespace | None = None, *, target_length: torch.Tensor, factor: float
) -> Loss:
    """factor * max(0, |sample| - |y|)^2 exactly as printed in paper 003, eq. 3 (factor: its lambda).

    A length is a count: it has no gradient, and neither has this loss (its `requires_grad` is False). Added
    to the SFT loss it changes the number that is logged and nothing else.
    target_length: (batch,), |y|, the length of each prompt's demonstration in tokens.
    Metrics: penalty (this loss), excess (tokens past the demonstration), sample_length (tokens).
    """
    excess = torch.relu(policy.sample.length - target_length)
    cost = factor * excess**2
    return cost, {"penalty": cost, "excess": excess, "sample_length": policy.sample.length}


def length_penalty(
    policy: SimpleNamespace, reference: SimpleNamespace | None = None, *, target_length: torch.Tensor, factor: float
) -> Loss:
    """The same number as `length_penalty_printed`, with the gradient that eq. 3 should have; (batch,).

    Samples that run over by more than the others of the batch become less likely, the rest likelier (the
    score-function estimator). A sample cut off at a token limit counts with the length it reached.
    """
    cost, metrics = length_penalty_printed(policy, target_length=target_length, factor=factor)
    return score_function(cost, policy.sample.sum), metrics


class Settings(DataTraining):
    # 004 §4: one epoch, batch 4 x 8, learning rate 1e-6. 002 §4.1.1: 255 and 420 tokens, at least 75 characters.
    dataset: DataName = setting("where the dialogs come from", pocket="pocket", qwen="HuggingFaceTB/smoltalk")
    dialogs: int = setting("dialogs to train on", low=1, pocket=9000, qwen=460_000)
    learning_rate: float = setting("Adam's rate", above=0, high=1, pocket=2e-3, qwen=1e-6)
    max_prompt_tokens: int = setting("longer prompts are left out", unit="tokens", low=1, pocket=160, qwen=255)
    max_response_tokens: int = setting("longer responses are cut", unit="tokens", low=4, pocket=112, qwen=420)
    min_response_chars: int = setting("shorter responses are left out", unit="characters", low=0, pocket=0, qwen=75)


def recipe(**given) -> Trained:
    """Supervised fine-tuning (002 §4.1, 003 §3.2 without the penalty), with `Settings`."""
    p = parameters.check(given, Settings)

    def make() -> Trained:
        tokenizer, model = models.load_tokenizer(p.model), with_checkpointing(models.load_model(p.model), p)
        batches = Batches(examples_of(p, tokenizer), p.batch_size, accumulation=p.accumulation, seed=p.seed)
        history = train(model, batches, sft, average="token", checkpoint=unfinished("sft", p), **loop(p))
        return Trained(model, tokenizer, history)

    return trained("sft", p, make)


def examples_of(p: Settings, tokenizer: PreTrainedTokenizerBase, split: str = "train") -> Examples:
    """Tokenised first exchanges, those with very short responses left out (002 §4.1.1)."""
    rows = data.Source(p.dataset).dialogs(split, limit=p.dialogs if split == "train" else None, seed=p.seed)
    shortest = p.min_response_chars
    kept = rows.filter(lambda row: len(row["response"]) >= shortest)
    if len(kept) < len(rows):
        print(f"{len(rows) - len(kept)} of {len(rows)} dialogs left out: response under {shortest} characters.")
    limits = dict(max_prompt_tokens=p.max_prompt_tokens, max_response_tokens=p.max_response_tokens)
    return tokenize(kept, tokenizer, ("response",), **limits)


def starting_policy(p: FromSFT) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """(model, tokenizer) that training starts from: the preset's base model after SFT, or
    `p.model` as it is."""
    if p.sft and p.model == Settings.of(p.preset)["model"]:
        made = recipe(preset=p.preset, seed=p.seed)
        return with_checkpointing(made.model, p), made.tokenizer
    if p.sft and processes().is_main_process:
        print(f"'{p.model}' is taken as it is: SFT comes first only for the preset's own model (sft=False says so).")
    return with_checkpointing(models.load_model(p.model), p), models.load_tokenizer(p.model)

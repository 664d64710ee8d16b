"""Supervised fine-tuning: where every other method starts."""

from __future__ import annotations

from types import SimpleNamespace

from prefnb import data, models, parameters
from prefnb.batches import Batches, Examples, tokenize
from prefnb.objectives import sft as objectives
from prefnb.parameters import Schema, Whole
from prefnb.recipes.common import POCKET, QWEN, TRAINING, Trained, loop, trained, unfinished, with_checkpointing
from prefnb.training import train

# 004 §4: one epoch, batch 4 x 8, learning rate 1e-6. 002 §4.1.1: 255 and 420 tokens, at least 75 characters.
SFT = Schema(
    {**TRAINING, "dialogs": Whole(1), "min_response_chars": Whole(0)},
    {
        "pocket": {**POCKET, "dialogs": 9000, "learning_rate": 2e-3, "min_response_chars": 0},
        "qwen": {
            **QWEN,
            "dataset": "HuggingFaceTB/smoltalk",
            "dialogs": 460_000,
            "learning_rate": 1e-6,
            "max_prompt_tokens": 255,
            "max_response_tokens": 420,
            "min_response_chars": 75,
        },
    },
)


def sft(**given) -> Trained:
    """Supervised fine-tuning (002 §4.1, 003 §3.2 without the penalty), with `SFT`'s parameters."""
    p = parameters.check(given, SFT)

    def make() -> Trained:
        tokenizer, model = models.load_tokenizer(p.model), with_checkpointing(models.load_model(p.model), p)
        examples = sft_examples(p, tokenizer)
        history = train(
            model,
            Batches(examples, p.batch_size, accumulation=p.accumulation, seed=p.seed),
            objectives.sft,
            average="token",
            checkpoint=unfinished("sft", p),
            **loop(p),
        )
        return Trained(model, tokenizer, history)

    return trained("sft", p, make)


def sft_examples(p: SimpleNamespace, tokenizer, split: str = "train") -> Examples:
    """Tokenised first exchanges, those with very short responses left out (002 §4.1.1)."""
    rows = data.load_dialogs(p.dataset, split, limit=p.dialogs if split == "train" else None, seed=p.seed)
    long_enough = rows.filter(lambda row: len(row["response"]) >= p.min_response_chars)
    if len(long_enough) < len(rows):
        print(
            f"{len(rows) - len(long_enough)} of {len(rows)} dialogs left out: response under {p.min_response_chars} characters."
        )
    return tokenize(
        long_enough,
        tokenizer,
        ("response",),
        max_prompt_tokens=p.max_prompt_tokens,
        max_response_tokens=p.max_response_tokens,
    )

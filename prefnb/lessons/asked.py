"""The test prompts on which a notebook samples a KL."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from prefnb import data
from prefnb.batches import prompt_ids
from prefnb.course.settings import Judging


def prompts_for_kl(p: Judging, tokenizer: PreTrainedTokenizerBase, count: int = 128) -> list[list[dict]]:
    """The first `count` test prompts of `p.dataset` that are short enough for the policy."""
    rows = data.Source(p.dataset).prompts("test", limit=p.test_prompts, seed=p.seed)
    return [row["prompt"] for row in rows if len(prompt_ids(tokenizer, row["prompt"])) <= p.max_prompt_tokens][:count]

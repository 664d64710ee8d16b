"""The settings that several methods share; each method's own are in its file.

Presets: "pocket" is the embedded world, "qwen" the papers' setting.
"""

from __future__ import annotations

from typing import Literal

from prefnb.parameters import DataName, JudgeName, ModelName, Settings, setting

ULTRAFEEDBACK = "HuggingFaceH4/ultrafeedback_binarized"


Schedule = Literal["linear", "cosine", "exponential", "constant"]


class Training(Settings):
    """What every training needs."""

    model: ModelName = setting("the model that training starts from", pocket="pocket", qwen="Qwen/Qwen2.5-0.5B")
    dataset: DataName = setting("where the rows come from", pocket="pocket", qwen=ULTRAFEEDBACK)
    batch_size: int = setting("examples per step", low=1, high=4096, pocket=16, qwen=32)
    learning_rate: float = setting("Adam's rate", above=0, high=1, pocket=2e-4, qwen=5e-6)
    schedule: Schedule = setting("how the rate goes on after its warm-up", every="linear")
    accumulation: int = setting("micro-batches that a step is computed in", low=1, high=4096, pocket=1, qwen=8)
    gradient_checkpointing: bool = setting(
        "less memory for a third more computing; the numbers stay", pocket=False, qwen=True
    )
    max_prompt_tokens: int = setting("longer prompts are left out", unit="tokens", low=1, pocket=160, qwen=512)
    # below 4, the end of most turns is cut off; 004 §4: 989 tokens of context
    max_response_tokens: int = setting("longer responses are cut", unit="tokens", low=4, pocket=112, qwen=477)


class DataTraining(Training):
    """Training that passes over a data set."""

    epochs: float = setting("passes over the data", low=0.001, high=1000, every=1.0)


class FromSFT(Training):
    """Training that starts from a fine-tuned policy."""

    sft: bool = setting("supervised fine-tuning first, of the preset's own model", every=True)


class PairTraining(FromSFT, DataTraining):
    """Training on preference pairs."""

    pairs: int = setting("preference pairs to train on", low=1, pocket=1536, qwen=61_000)


class FromRewards(FromSFT):
    """Training on the rewards of the policy's own samples. 003 §3.4: 50 prompts, 4 responses each, up to 1,000 steps, KL 0.1."""

    prompts: int = setting("training prompts to sample answers for", low=1, pocket=1000, qwen=50)
    steps: int = setting("training steps", low=1, high=1_000_000, pocket=60, qwen=1000)
    batch_size: int = setting("prompts per step", low=1, high=4096, every=8)
    samples: int = setting("samples of a prompt, K", low=2, high=1024, pocket=8, qwen=4)
    temperatures: list[float] = setting("shared out among the samples", low=0.01, high=5, every=[1.0])
    learning_rate: float = setting("Adam's rate", above=0, high=1, pocket=6e-4, qwen=1e-6)
    schedule: Schedule = setting("how the rate goes on after its warm-up", every="constant")
    accumulation: int = setting("micro-batches that a step is computed in", low=1, high=4096, pocket=2, qwen=8)
    max_response_tokens: int = setting("longer samples are cut off", unit="tokens", low=4, pocket=112, qwen=256)
    kl_weight: float = setting("price of moving away from the reference", low=0, high=100, pocket=0.02, qwen=0.1)


class Judging(FromSFT):
    """How a notebook compares the policies that it has trained."""

    test_prompts: int = setting("held-out prompts to answer", low=20, high=100_000, every=520)
    draws: int = setting("answers per prompt and policy", low=1, high=64, every=4)
    judge: JudgeName | None = setting("who scores the answers (None: the data's own judge)", every=None)

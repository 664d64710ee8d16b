"""The proxy: a reward model that learns from preference pairs what a judge would say."""

from __future__ import annotations

from types import SimpleNamespace

from prefnb import judges, models, parameters
from prefnb.batches import Batches
from prefnb.logprobs import RewardScorer
from prefnb.objectives.reward_model import bradley_terry
from prefnb.parameters import Flag, Schema
from prefnb.recipes.common import POCKET, QWEN, TRAINING, Trained, loop, trained, unfinished, with_checkpointing
from prefnb.recipes.preference import pair_examples, starting_policy
from prefnb.training import train

REWARD_MODEL = Schema(
    {**TRAINING, "sft": Flag()},
    {
        "pocket": {**POCKET, "sft": True, "pairs": 2000, "learning_rate": 2e-4},
        "qwen": {
            **QWEN,
            "dataset": "HuggingFaceH4/ultrafeedback_binarized",
            "sft": True,
            "pairs": 61_000,
            "learning_rate": 1e-5,
            "max_prompt_tokens": 512,
            "max_response_tokens": 477,
        },
    },
)


def reward_model(**given) -> Trained:
    """A sequence-classification model that scores responses (Ouyang et al. 2022, eq. 1), from the SFT policy, with
    `REWARD_MODEL`'s parameters. `judges.RewardModel(made.model, made.tokenizer)` makes a judge of it."""
    p = parameters.check(given, REWARD_MODEL)

    def make() -> Trained:
        policy, tokenizer = starting_policy(p)
        model = with_checkpointing(models.reward_model_from(policy, tokenizer, p.seed), p)
        batches = Batches(pair_examples(p, tokenizer), p.batch_size, accumulation=p.accumulation, seed=p.seed)
        history = train(
            model,
            batches,
            bradley_terry,
            scorer=RewardScorer,
            checkpoint=unfinished("reward_model", p),
            **loop(p),
        )
        return Trained(model, tokenizer, history)

    return trained("reward_model", p, make, load_model=models.load_reward_model)


def reward_judge(p: SimpleNamespace) -> judges.RewardModel:
    """The judge that the preset's reward model makes, trained on the source of pairs that another method's parameters
    `p` name, and from the model that it starts from."""
    made = reward_model(preset=p.preset, seed=p.seed, model=p.model, dataset=p.dataset, sft=p.sft)
    return judges.RewardModel(made.model, made.tokenizer)

"""Methods that learn from the rewards of the policy's own samples: RLOO and GRPO, both from the SFT policy."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Callable

from prefnb import data, models, parameters
from prefnb.batches import prompt_ids
from prefnb.judges import GoldJudge
from prefnb.objectives import policy_gradient as objectives
from prefnb.parameters import Choice, Flag, Number, Numbers, Schema, Whole
from prefnb.recipes.common import POCKET, QWEN, TRAINING, Trained, trained, unfinished
from prefnb.recipes.preference import starting_policy
from prefnb.recipes.reward import reward_judge
from prefnb.rollouts import Rollouts, check_groups
from prefnb.training import train

_FIELDS = {
    **TRAINING,
    "sft": Flag(),
    "prompts": Whole(1),
    "steps": Whole(1, 1_000_000),
    "samples": Whole(2, 1024),
    "temperatures": Numbers(0.01, 5),
    "kl_weight": Number(0, 100),
    "reward": Choice("gold", "proxy"),
}
_without_epochs = lambda preset: {name: value for name, value in preset.items() if name != "epochs"}  # noqa: E731
_POCKET = {
    **_without_epochs(POCKET),
    "sft": True,
    "prompts": 1000,
    "steps": 60,
    "batch_size": 8,
    "samples": 8,
    "temperatures": [1.0],
    "learning_rate": 6e-4,
    "schedule": "constant",
    "accumulation": 2,
    "kl_weight": 0.02,
    "reward": "gold",
}
_QWEN = {  # 003 §3.4: 50 prompts, 4 responses each, up to 1,000 steps, KL 0.1
    **_without_epochs(QWEN),
    "dataset": "HuggingFaceH4/ultrafeedback_binarized",
    "sft": True,
    "prompts": 50,
    "steps": 1000,
    "batch_size": 8,
    "samples": 4,
    "temperatures": [1.0],
    "learning_rate": 1e-6,
    "schedule": "constant",
    "max_prompt_tokens": 512,
    "max_response_tokens": 256,
    "kl_weight": 0.1,
    "reward": "proxy",
}
RLOO = Schema(_FIELDS, {"pocket": _POCKET, "qwen": _QWEN})

_CITED = dict(updates=1, clip=0.2, loss_type="sequence", scale_rewards="group")
GRPO = Schema(
    {
        **_FIELDS,
        "updates": Whole(1, 64),
        "clip": Number(above=0, high=1),
        "loss_type": Choice("sequence", "token", "constant"),
        "scale_rewards": Choice("group", "batch", "none"),
    },
    {"pocket": {**_POCKET, **_CITED}, "qwen": {**_QWEN, **_CITED}},
)


def rloo(**given) -> Trained:
    """REINFORCE with the leave-one-out baseline (Ahmadian et al. 2024; 001 §6.3.1, 003 eq. 6), with `RLOO`'s
    parameters."""
    p = parameters.check(given, RLOO)
    objective = partial(objectives.reinforce, kl_weight=p.kl_weight)
    return learn_from_rewards("rloo", p, lambda: judge_for(p), objectives.leave_one_out, objective)


def grpo(**given) -> Trained:
    """Group Relative Policy Optimization (Shao et al. 2024; 003 §3.4), with `GRPO`'s parameters."""
    p = parameters.check(given, GRPO)
    advantages = partial(objectives.group_relative, scale_rewards=p.scale_rewards)
    objective = partial(
        objectives.grpo,
        clip=p.clip,
        kl_weight=p.kl_weight,
        loss_type=p.loss_type,
        max_length=p.max_response_tokens,
    )
    average = "token" if p.loss_type == "token" else "example"
    return learn_from_rewards(
        "grpo", p, lambda: judge_for(p), advantages, objective, average=average, updates=p.updates
    )


def judge_for(p: SimpleNamespace):
    """The judge whose total is the reward: the pocket world's gold judge, or the proxy trained on `p.dataset`."""
    if p.reward == "proxy":
        return reward_judge(p)
    if not data.is_pocket(p.dataset):
        raise parameters.ParameterError(
            "reward='gold' needs the pocket world, where a program knows the answers; use reward='proxy' with other data."
        )
    return GoldJudge()


def training_prompts(p: SimpleNamespace, tokenizer) -> list[list[dict]]:
    """The prompts that are answered in training: `p.prompts` of the training split, none too long."""
    rows = data.load_prompts(p.dataset, "train", limit=p.prompts, seed=p.seed)
    kept = [prompt for prompt in rows["prompt"] if len(prompt_ids(tokenizer, prompt)) <= p.max_prompt_tokens]
    if len(kept) < len(rows):
        print(f"{len(rows) - len(kept)} of {len(rows)} prompts left out: longer than {p.max_prompt_tokens} tokens.")
    return kept


def rollouts(policy, tokenizer, p: SimpleNamespace, judge: Callable, advantages: Callable, **settings) -> Rollouts:
    """Samples of `policy` as the loop's batches, with `RLOO`'s or `GRPO`'s parameters; `settings` are further ones of
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


def learn_from_rewards(
    name: str,
    p: SimpleNamespace,
    make_judge: Callable,
    advantages: Callable,
    objective: Callable,
    *,
    average: str = "example",
    updates: int = 1,
) -> Trained:
    """The recipe `name`: from the policy that `p` says, `p.steps` steps on samples that `make_judge()` scores.

    Raises ValueError before any work if the samples cannot be shared among the temperatures.
    """
    check_groups(p.samples, p.temperatures)

    def make() -> Trained:
        judge = make_judge()
        policy, tokenizer = starting_policy(p)
        frozen = models.copy_model(policy) if p.kl_weight > 0 else None
        source = rollouts(policy, tokenizer, p, judge, advantages, reference_model=frozen, updates=updates)
        history = train(
            policy,
            source,
            objective,
            epochs=p.steps / len(source),
            learning_rate=p.learning_rate,
            schedule=p.schedule,
            average=average,
            checkpoint=unfinished(name, p),
        )
        return Trained(policy, tokenizer, history)

    return trained(name, p, make)

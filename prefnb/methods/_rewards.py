"""The recipe of the methods that learn from the rewards of the policy's own samples.

A reward R(y) has no gradient in the policy's weights; its expectation has, and samples estimate it (see
`prefnb.estimators`). What tells the methods apart is the *advantage*, the number that stands for the reward: how much
better a sample was than what was to be expected. Rewards and advantages are (prompts, K), a row being the group of K
samples of one prompt. The losses read the response "sample" and take the advantages flat, (batch,).
"""

from __future__ import annotations

from typing import Callable

from prefnb import models
from prefnb.course.own_samples import rollouts
from prefnb.course.policies import Trained, trained, unfinished
from prefnb.course.settings import FromRewards
from prefnb.methods.sft import starting_policy
from prefnb.rollouts import check_groups
from prefnb.training import train


def learn_from_rewards(
    name: str,
    p: FromRewards,
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

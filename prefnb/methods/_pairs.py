"""The recipe of every method that learns from preference pairs: only the loss, and what it reads, differ."""

from __future__ import annotations

from typing import Callable

from prefnb.batches import Batches, Examples
from prefnb.course.examples import pair_examples, reference
from prefnb.course.policies import Trained, loop, trained, unfinished
from prefnb.course.settings import PairTraining
from prefnb.methods.sft import starting_policy
from prefnb.training import train


def learn_from_pairs(
    name: str,
    p: PairTraining,
    objective: Callable,
    *,
    with_reference: bool = True,
    make_examples: Callable[..., Examples] = lambda p, policy, tokenizer: pair_examples(p, tokenizer),
) -> Trained:
    """The recipe `name`: from the policy that `p` says, one training on `make_examples(p, policy, tokenizer)`, by
    default the pairs, with `objective`."""

    def make() -> Trained:
        policy, tokenizer = starting_policy(p)
        examples = make_examples(p, policy, tokenizer)
        frozen = reference(policy, examples) if with_reference else None
        batches = Batches(examples, p.batch_size, accumulation=p.accumulation, seed=p.seed, reference=frozen)
        return Trained(policy, tokenizer, train(policy, batches, objective, checkpoint=unfinished(name, p), **loop(p)))

    return trained(name, p, make)

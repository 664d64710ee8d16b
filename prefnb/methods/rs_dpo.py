"""RS-DPO: DPO in which a share of the rejected responses are the policy's own samples (002 §3.2)."""

from __future__ import annotations

from functools import partial

import torch
from transformers import PreTrainedTokenizerBase

from prefnb import pairs, parameters
from prefnb.batches import Examples
from prefnb.course.answers import samples_of
from prefnb.course.examples import pair_examples
from prefnb.course.policies import Trained
from prefnb.methods import dpo
from prefnb.methods._pairs import learn_from_pairs
from prefnb.methods.sft import starting_policy
from prefnb.parameters import setting

LABEL = "RS-DPO"
COLOUR = "#44AA99"


class Settings(dpo.Settings):
    share: float = setting("rejected responses that are replaced by own samples", low=0, high=1, every=0.1)
    temperature: float = setting("the samples' temperature", low=0.01, high=2, every=0.7)


def recipe(**given) -> Trained:
    """RS-DPO from the SFT policy, with `Settings`. A share of 0 is DPO."""
    p = parameters.check(given, Settings)
    return learn_from_pairs("rs_dpo", p, partial(dpo.dpo, beta=p.beta), make_examples=mixed_examples)


def mixed_examples(p: Settings, policy: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> Examples:
    """The preference pairs, `p.share` of them with the policy's own sample as the rejected response."""
    examples = pair_examples(p, tokenizer)
    settings = dict(temperature=p.temperature, max_new_tokens=p.max_response_tokens, seed=p.seed)
    own = samples_of(policy, tokenizer, examples.prompt_ids, **settings)
    return pairs.mixture(examples, [one.ids for one in own], p.share, p.seed)[0]

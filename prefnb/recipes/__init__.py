"""Whole methods as functions of their parameters, cached on disk: what a notebook calls for what an earlier one made.

| file         | recipes                                   | and the parts that notebooks use as well                     |
|--------------|-------------------------------------------|--------------------------------------------------------------|
| `common`     |                                           | `Trained`, `on_policy`, `samples_of`                         |
| `supervised` | `sft`                                     | `sft_examples`                                               |
| `preference` | `dpo`, `simpo`, `dppo`                    | `starting_policy`, `pair_examples`, `reference`, `greedy_ids`|
| `reward`     | `reward_model`                            |                                                              |
| `comparison` |                                           | `compare`, `sampled_kl`, `record`                            |

Every recipe has a schema of its parameters with the presets "pocket" and "qwen", by its name in capitals.
"""

from prefnb.recipes.common import Trained, on_policy, samples_of
from prefnb.recipes.comparison import Comparison, compare, record, sampled_kl
from prefnb.recipes.preference import (
    DPO,
    DPPO,
    SIMPO,
    dpo,
    dppo,
    greedy_ids,
    pair_examples,
    reference,
    simpo,
    starting_policy,
)
from prefnb.recipes.reward import REWARD_MODEL, reward_model
from prefnb.recipes.supervised import SFT, sft, sft_examples

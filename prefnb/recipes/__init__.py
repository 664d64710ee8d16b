"""Whole methods as functions of their parameters, cached on disk: what a notebook calls for what an earlier one made.

| file              | recipes                      | and the parts that notebooks use as well                      |
|-------------------|------------------------------|---------------------------------------------------------------|
| `common`          |                              | `Trained`, `on_policy`, `samples_of`, `answers_of`            |
| `supervised`      | `sft`                        | `sft_examples`                                                |
| `preference`      | `dpo`, `simpo`, `dppo`       | `starting_policy`, `pair_examples`, `reference`, `greedy_ids` |
| `reward`          | `reward_model`               | `reward_judge`                                                |
| `own_samples`     | `rs_dpo`, `self_improvement` | `scout`, `weakest`, `new_prompts`, `improve`, `by_likelihood` |
| `policy_gradient` | `rloo`, `grpo`               | `judge_for`, `training_prompts`, `rollouts`                   |
| `multi_objective` | `multi_objective`            | `parts_judge`, `combiner`, `score_vectors`, `scored_pairs`    |
| `training`        |                              | `fit`                                                         |
| `comparison`      |                              | `compare`, `sampled_kl`, `record`                             |

Every recipe has a schema of its parameters with the presets "pocket" and "qwen", by its name in capitals.
"""

from prefnb.recipes.common import Trained, answers_of, on_policy, samples_of
from prefnb.recipes.comparison import Comparison, compare, record, sampled_kl
from prefnb.recipes.multi_objective import (
    MULTI_OBJECTIVE,
    OBJECTIVES,
    combiner,
    multi_objective,
    parts_judge,
    scored_pairs,
    score_vectors,
)
from prefnb.recipes.own_samples import (
    ROUNDS,
    RS_DPO,
    SELF_IMPROVEMENT,
    Round,
    by_likelihood,
    by_reward,
    check_rounds,
    draw_groups,
    improve,
    new_prompts,
    round_start,
    rs_dpo,
    scout,
    self_improvement,
    weakest,
)
from prefnb.recipes.policy_gradient import GRPO, RLOO, grpo, judge_for, rloo, rollouts, training_prompts
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
from prefnb.recipes.reward import REWARD_MODEL, reward_judge, reward_model
from prefnb.recipes.supervised import SFT, sft, sft_examples
from prefnb.recipes.training import fit

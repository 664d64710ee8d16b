"""From settings to policies, examples, answers and verdicts: what notebooks and methods share, made once and kept.

| file         | holds                                                                    |
|--------------|--------------------------------------------------------------------------|
| `settings`   | the settings that several methods share                                  |
| `policies`   | trained policies in the cache, interrupted trainings that go on          |
| `answers`    | what models said, under which of `DECODINGS`; what a reward model said   |
| `examples`   | `pair_examples`, the `reference`'s log-probs, the model's `greedy_ids`   |
| `fitting`    | one more policy from the same start: what a notebook trains beside       |
| `own_samples`| learning from the policy's own samples: a term of the loss, `rollouts`    |
| `comparison` | `compare`: policies on the same test prompts, by any judge; `sampled_kl` |
| `records`    | what a run leaves behind                                                 |
| `watching`   | what a run does to pairs that it does not learn from, while it trains    |
"""

from prefnb.course.answers import DECODINGS, answers_of, samples_of, scores_of
from prefnb.course.comparison import Comparison, compare, sampled_kl
from prefnb.course.examples import greedy_ids, pair_examples, reference
from prefnb.course.fitting import fit
from prefnb.course.own_samples import on_policy, rollouts, training_prompts
from prefnb.course.policies import Trained
from prefnb.course.records import record
from prefnb.course.settings import Judging
from prefnb.course.watching import held_out_monitor, watched

"""Objectives: pure functions from response log-probs to a per-example loss, one file per family.

Every objective is `f(policy, reference, **hyperparameters) -> (loss, metrics)`. `policy` and `reference` hold
one `prefnb.logprobs.Response` per role (`policy.chosen.sum`, `reference.generated.token`, ...); `loss` is
(batch,), and `metrics` maps names to detached (batch,) tensors. The training loop averages them.

| file              | objectives                                        | roles they read                   |
|-------------------|---------------------------------------------------|-----------------------------------|
| `sft`             | `sft`                                             | response                          |
|                   | `length_penalty`, `length_penalty_printed`        | sample                            |
| `dpo`             | `dpo`, `dpo_positive`, `dpo_kl_as_printed`        | chosen, rejected                  |
| `simpo`           | `simpo`                                           | chosen, rejected                  |
| `dppo`            | `dppo`, with three penalties and four weights     | chosen, rejected, generated       |
| `kl`              | `sampled_kl`, and the estimators `kl_k1`, `kl_k3` | sample                            |
| `policy_gradient` | `reinforce` (REINFORCE, RLOO), `grpo`; advantages | sample                            |
| `reward_model`    | `bradley_terry`                                   | chosen, rejected: scores (batch,) |
|                   | `two_classes`                                     | response: log-odds (batch,)       |

`multi_objective` makes one reward of several scores before any loss is taken: linear, by weighted gaps, by the soft
Chebyshev rule, or by a preference function learnt from pairs.

The role "sample" is a response sampled from the policy that is being trained, without top-p and at temperature 1: only
then are the expectations in `kl`, `length_penalty` and `policy_gradient` those of the policy. At another temperature
log-probs are taken at it too, and the expectations are those of the policy at that temperature.
"""

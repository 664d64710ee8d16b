# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. A token has advantage $-1$, the clip is 0.2. Predict, then run: what is the gradient of its gain $\min(\cdot, \cdot)$
#    with respect to its log-prob at ratio 0.7, and at ratio 1.3?
# 2. Each answer to a prompt is right with probability 0.9, independently, and the reward is 1 or 0. What share of
#    groups of 8 is dead?
# 3. Write GRPO's loss with a clip of 0.2, each sample divided by its own length. `policy.sample` has `.token`, `.mask` and
#    `.length`; `advantage` is (samples,) and may carry a gradient, which is not to be followed; `old` has the log-probs of
#    the tokens when they were sampled, in the shape of `.token`. The check knows the usual slips and tells you which one
#    it is.

# %%
import torch

from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # two numbers, such as (1.0, 2.0)
answer_1 = (0, -1.3)
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a share, 0 to 1
answer_2 = 0.43
# END SOLUTION


def my_grpo(policy, advantage, old):
    """One number a sample."""
    # BEGIN SOLUTION 3: return None
    ratio = torch.exp(policy.sample.token - old)
    a = advantage.detach()[:, None]
    gain = torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a)
    return -(gain * policy.sample.mask).sum(1) / policy.sample.length
    # END SOLUTION


checks.grpo_10(answer_1, answer_2, my_grpo)

# %% [markdown]
# ### Solution 1
#
# At 0.7 the gain is $\min(-0.7, -0.8) = -0.8$, a constant: gradient 0. At 1.3 it is $\min(-1.3, -1.2) = -1.3$,
# which is $-\rho$, and the gradient of $\rho$ with respect to the log-prob is $\rho$: so $-1.3$.
#
# ### Solution 2
#
# $0.9^8 + 0.1^8 \approx 0.43$.
#
# ### Solution 3
#
# The minimum comes after the multiplication: for a negative advantage it takes the *larger* ratio. Padding has ratio 1
# and a gain of its own, so the mask is needed before the sum.

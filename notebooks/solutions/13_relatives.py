# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. With $\varepsilon = 0.1$, at which margin is conservative DPO's loss lowest?
# 2. IPO with $\tau = 0.25$: what does it charge at step 0, when policy and reference agree? Predict, then run.
# 3. Write IPO's loss, with $\tau = 0.4$. The check knows the usual slips and tells you which one it is.
# 4. Write KTO's loss, with $\beta = 0.1$ and both weights 1. `good` is True for a good response, and z is the mean of $d$
#    over `other`, not below 0.
#
# **To try.** Set `flipped` to 0 in `losses` and run on. Which two curves of the training pictures become one?

# %%
import torch

from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # a number
answer_1 = 2.197
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a number
answer_2 = 4
# END SOLUTION


def my_ipo(policy, reference):
    # BEGIN SOLUTION 3: return None  # one number a pair, from .chosen and .rejected of both
    d_chosen = policy.chosen.mean - reference.chosen.mean
    return (d_chosen - policy.rejected.mean + reference.rejected.mean - 1 / 0.8) ** 2
    # END SOLUTION


def my_kto(policy, reference, good):
    # BEGIN SOLUTION 4: return None  # one number a response, from .response and .other of both
    d = policy.response.sum - reference.response.sum
    z = (policy.other.sum - reference.other.sum).mean().clamp(min=0).detach()
    return 1 - torch.sigmoid(torch.where(good, 1, -1) * 0.1 * (d - z))
    # END SOLUTION


checks.relatives_13(answer_1, answer_2, my_ipo, my_kto)

# %% [markdown]
# ### Solution 1
#
# $\log(0.9 / 0.1) = 2.197$: there the push of the nine right labels and of the one wrong label cancel.
#
# ### Solution 2
#
# $(0 - 1 / 0.5)^2 = 4$.
#
# ### Solution 3
#
# The target is $1 / (2\tau) = 1.25$ nats per token. Means, not sums: a target for a sum would be next to nothing for a
# long response.
#
# ### Solution 4
#
# z is a yardstick and no goal: without the detach the loss could also be lowered by making answers to other prompts less
# likely. It has no logarithm, so an answer far from z on either side pulls at nothing.
#
# ### What comes of no flipped labels
#
# Conservative and robust DPO both become DPO; what is left of a difference is their learning rate.

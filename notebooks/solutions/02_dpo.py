# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Both log-probs fall: $d(y_w) = -4$ and $d(y_l) = -9$, with $\beta = 0.2$. Predict, then run: is the loss `"above"`,
#    `"below"` or `"at"` the $\ln 2$ that it began with?
# 2. At step 0 DPO pushes the rejected response down. Which weight $\lambda$ of the printed "KL" (see the
#    remedies of paper 002) cancels that push exactly, at $\beta = 0.1$?
# 3. Write DPO's loss from memory, with $\beta = 0.1$. The check knows the usual slips and tells you which one it is.
#
# **To try.** Set `beta` to 0.01, as paper 004 does, and predict before you run: which curves change, and which way does
# the KL go?

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # "above", "below" or "at"
answer_1 = "below"
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a number
answer_2 = 0.1
# END SOLUTION


def my_dpo(policy, reference):
    """One number a pair, from .chosen.sum and .rejected.sum of both."""
    # BEGIN SOLUTION 3: return None
    d_chosen = policy.chosen.sum - reference.chosen.sum
    d_rejected = policy.rejected.sum - reference.rejected.sum
    return -logsigmoid(0.1 * (d_chosen - d_rejected))
    # END SOLUTION


checks.dpo_02(answer_1, answer_2, my_dpo)

# %% [markdown]
# ### Solution 1
#
# The margin is $0.2 \cdot (-4 + 9) = 1$, so the loss is $-\log\sigma(1) \approx 0.313$. That both log-probs
# fell does not matter.
#
# ### Solution 2
#
# The gradient of DPO with respect to $S(y_l)$ at $m = 0$ is $\beta\,\sigma(0) = \beta/2$; that of the printed
# term is $-\lambda/2$. They cancel at $\lambda = \beta = 0.1$. From then on, as the margin grows, the printed
# term pulls the rejected response *up*.
#
# ### Solution 3
#
# Two log-ratios to the reference, their difference times beta, minus the logarithm of its sigmoid.
#
# ### What comes of a lower beta
#
# A lower beta is a lower price of straying: the margins are smaller numbers (beta is in them), the loss stays
# nearer to $\ln 2$, and the gap in nats and the KL grow, though less than tenfold: Adam's steps have the same size
# under any beta, and a run of one epoch does not go as far as so low a price allows.

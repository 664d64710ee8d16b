# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. With $\beta = 2$ and $\gamma = 1$: the chosen response has $S = -6$ over 4 tokens, the rejected one $S = -10$
#    over 5. Predict, then run: what is the loss, `"0"`, `"ln 2"` or `"1"`?
# 2. You want the paper's $\gamma = 1$, $\beta = 2.5$ from a program that asks for the ratio $\gamma/\beta$. What do
#    you enter?
# 3. Write SimPO's loss from memory, with $\beta = 0.1$ and $\gamma = 0.5$. The check knows the usual slips and tells you
#    which one it is.
#
# **To try.** SimPO sees a difference only, so the chosen response may become less likely. Add `- 0.5 * policy.chosen.mean`
# to the loss in the notebook, train with it, and see what $d(y_w)$ does.

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # "0", "ln 2" or "1"
answer_1 = "ln 2"
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a number
answer_2 = 0.4
# END SOLUTION


def my_simpo(policy, reference):
    """One number a pair, from .chosen.mean and .rejected.mean of the policy."""
    # BEGIN SOLUTION 3: return None
    return -logsigmoid(0.1 * (policy.chosen.mean - policy.rejected.mean) - 0.5)
    # END SOLUTION


checks.simpo_03(answer_1, answer_2, my_simpo)

# %% [markdown]
# ### Solution 1
#
# The means are $-1.5$ and $-2$, the margin is $2 \cdot 0.5 = 1$, exactly the target: the loss is
# $-\log\sigma(0) = \ln 2 \approx 0.693$. A pair on target still costs that much.
#
# ### Solution 2
#
# $1 / 2.5 = 0.4$. Entering 1 there would ask for an absolute target of 2.5.
#
# ### Solution 3
#
# The reference is an argument because every loss here is called with one; SimPO does not look at it. The target stands
# outside the bracket that beta multiplies.
#
# ### What comes of the added term
#
# The added term is SFT on the chosen response, each response counting alike whatever its length: it pulls the chosen one
# up, which a difference alone need not do.

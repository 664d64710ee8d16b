# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. A response scores 0.6 and 0.9; ideals are 1, weights 2 and 1. What is the reward by weighted gaps, and what by
#    Chebyshev with $\tau \to \infty$?
# 2. The three samples of a prompt have rewards -0.9, -0.3 and -0.6. Predict, then run: what are their leave-one-out
#    advantages? (By the printed loss all three would be pushed down.)
# 3. Write the reward by weighted gaps, all ideals being 1: `scores` is (responses, k), `weights` (k,). The check knows the
#    usual slips and tells you which one it is.

# %%
from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # two numbers, such as (-1, -2)
answer_1 = (-0.9, -0.8)
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # three numbers
answer_2 = (-0.45, 0.45, 0)
# END SOLUTION


def my_reward(scores, weights):
    """One number a response."""
    # BEGIN SOLUTION 3: return None
    return -(weights * (scores - 1).abs()).sum(1)
    # END SOLUTION


checks.multi_objective_08(answer_1, answer_2, my_reward)

# %% [markdown]
# ### Solution 1
#
# $-(2 \cdot 0.4 + 1 \cdot 0.1) = -0.9$; the worst weighted gap is $0.8$, so $-0.8$.
#
# ### Solution 2
#
# $-0.9 - (-0.45) = -0.45$; $-0.3 - (-0.75) = +0.45$; $-0.6 - (-0.6) = 0$. They add up to 0: some are raised, some
# lowered.
#
# ### Solution 3
#
# A score past its ideal has a gap, too. The best reward is 0, and no answer has one above it.

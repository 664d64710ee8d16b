# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. A win rate is .53 with 100 prompts and one seed. How wide is its interval, roughly, to each side? (The variance of
#    one prompt's outcome is at most 1/4.)
# 2. Policy A beats SFT by .60 [.57, .63], policy B by .62 [.59, .65]. Can B still be better than A beyond doubt?
# 3. Write half the width of the 95% interval of the difference between two win rates, from the outcomes `a` and `b` of
#    the same n prompts, in the same order (the normal approximation: 1.96 standard errors). The check knows the usual
#    slips and tells you which one it is.

# %%
from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # a number
answer_1 = 0.098
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # "yes" or "no"
answer_2 = "yes"
# END SOLUTION


def half_width(a, b):
    """One number, from two tensors of shape (n,)."""
    # BEGIN SOLUTION 3: return None
    return 1.96 * (a - b).std() / len(a) ** 0.5
    # END SOLUTION


checks.leaderboard_11(answer_1, answer_2, half_width)

# %% [markdown]
# ### Solution 1
#
# $1.96 \sqrt{.25 / 100} \approx .10$: it says nothing.
#
# ### Solution 2
#
# Yes. Both are measured on the same prompts, so what is hard for one is hard for the other, and the *difference* has a
# much smaller interval than either rate. That is why this notebook compares prompt by prompt.
#
# ### Solution 3
#
# First the difference on each prompt, then its deviation: what both policies owe to the prompt is gone before anything is
# squared.

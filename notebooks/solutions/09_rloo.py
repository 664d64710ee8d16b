# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Add 100 to every reward. Predict, then run: does the variance of the leave-one-out gradient become `"larger"`,
#    `"smaller"`, or does it stay the `"same"`? (To see it, run the variance cell again with `all_rewards + 100`.)
# 2. Four answers have rewards 4, 4, 4 and 8. What are the leave-one-out advantages of the first and of the last?
# 3. Write RLOO's loss. `rewards` is (prompts, K), and `policy.sample` has the samples in the order of `rewards.flatten()`.
#    The rewards come from a reward model and carry a gradient of their own, which is not to be followed. The check knows
#    the usual slips and tells you which one it is.

# %%
from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # "larger", "smaller" or "same"
answer_1 = "same"
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # two numbers, such as (1, 2)
answer_2 = (-4 / 3, 4)
# END SOLUTION


def my_rloo(policy, rewards):
    """One number a sample, from .sample.sum and the rewards."""
    # BEGIN SOLUTION 3: return None
    others = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    advantage = (rewards - others).detach().flatten()
    return -advantage * policy.sample.sum
    # END SOLUTION


checks.rloo_09(answer_1, answer_2, my_rloo)

# %% [markdown]
# ### Solution 1
#
# The same: the 100 is in the sample's reward and in the others' mean. The plain variance grows enormously.
#
# ### Solution 2
#
# The first: $4 - 16/3 = -4/3$. The last: $8 - 4 = 4$. They sum to 0, as always.
#
# ### Solution 3
#
# The others' mean is their sum over K - 1; with the sample's own reward in it, it would be over K, and every advantage too
# small by a factor of $1 - 1/K$. The detach says that an advantage is a number: samples are made likelier, and rewards
# are not made higher.

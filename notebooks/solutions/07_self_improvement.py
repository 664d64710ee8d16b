# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Eight samples of a prompt have the scores 5, 5, 4, 3, 3, 2, 1, 1, and all are distinct. What is the probability
#    that the rejected one has score 1? Predict, then run: the check draws 999 pairs.
# 2. Of eight samples, six are the same sentence and score 2; the other two score 1 and 3. How many different pairs can
#    the rule make?
# 3. Write the loss of a round, with $\beta = 0.1$. It is given three models' log-probs: the policy's, those of the policy
#    at the `start` of this round, and those of the policy before the `first` round. The check knows the usual slips and
#    tells you which one it is.
#
# **To try.** Run the notebook with `temperatures` of eight times 0.2. Predict first: what happens to the number of pairs,
# and to the difference between chosen and rejected?

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # a probability, such as 0.5
answer_1 = 2 / 3
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a number
answer_2 = 2
# END SOLUTION


def my_round(policy, start, first):
    """One number a pair, from .chosen.sum and .rejected.sum of those that it needs."""
    # BEGIN SOLUTION 3: return None
    d_chosen = policy.chosen.sum - start.chosen.sum
    d_rejected = policy.rejected.sum - start.rejected.sum
    return -logsigmoid(0.1 * (d_chosen - d_rejected))
    # END SOLUTION


checks.self_improvement_07(answer_1, answer_2, my_round)

# %% [markdown]
# ### Solution 1
#
# The bottom three score 2, 1 and 1: two in three.
#
# ### Solution 2
#
# Equal samples count once, so there are three samples with scores 3, 2, 1. Chosen is the 3; rejected is 2 or 1: two
# pairs.
#
# ### Solution 3
#
# It is DPO's loss, and each round has its own reference: the policy as it came into the round, which also wrote the
# samples. With the first one for a reference, a later round would begin with a margin that it has not earned.
#
# ### What comes of cool samples
#
# Cool samples are alike, so expect fewer distinct ones; a prompt with only one gives no pair. The pairs that are
# left should differ by less, in words and in score, so that there is less to learn from each.

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Add 7 to the scores of both answers to a prompt. Predict, then run: is the loss `"higher"`, `"lower"` or the `"same"`?
# 2. A reward model scores two answers to one prompt $\ln 3 \approx 1.0986$ apart. With what probability does it say
#    that the higher one wins?
# 3. Write the loss. `chosen` and `rejected` are scores, of shape (pairs,). The check knows the usual slips and tells you
#    which one it is.
#
# **To try.** Run the notebook with `temperature` 0.5. Predict first what happens to the distance between the
# curves of best-of-N.

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # "higher", "lower" or "same"
answer_1 = "same"
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a number
answer_2 = 0.75
# END SOLUTION


def my_bradley_terry(chosen, rejected):
    """One number a pair."""
    # BEGIN SOLUTION 3: return None
    return -logsigmoid(chosen - rejected)
    # END SOLUTION


checks.reward_model_05(answer_1, answer_2, my_bradley_terry)

# %% [markdown]
# ### Solution 1
#
# The same: only the difference is in it. This is why scores of answers to different prompts cannot be compared.
#
# ### Solution 2
#
# $\sigma(\ln 3) = 1/(1 + 1/3) = 3/4$.
#
# ### Solution 3
#
# Minus the logarithm of the probability that the model gives to what the annotator said. It is DPO's loss with a score in
# the place of $\beta\, d(y)$.
#
# ### What comes of a lower temperature
#
# At a lower temperature the answers to a prompt are more alike, so there is less to choose from: expect every picker
# to gain less, gold too.

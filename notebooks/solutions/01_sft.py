# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Three responses have token log-probabilities `[-1, -1, -1, -1]`, `[-2]` and `[-3]`. Predict, then run: in which
#    average does the long response weigh more, over `"tokens"` or over `"responses"`?
# 2. What is the SFT loss of the three, averaged over tokens? And the mean of the responses' own means?
# 3. Write the loss of a batch, averaged over tokens. `token` has the log-prob of every token, the prompt's too, and 0 at
#    padding; `mask` is True at the response's. The check knows the usual slips and tells you which one it is.
#
# **To try.** Run again with the report's own `length_factor`, and with one ten times ours: `papermill 01_sft.ipynb
# out.ipynb -p length_factor 0.1`. What happens to the length, and what to the win rate?

# %%
from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # "tokens" or "responses"
answer_1 = "tokens"
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # two numbers, such as (1, 2)
answer_2 = (1.5, 2)
# END SOLUTION


def my_sft(token, mask):
    """One number, from two tensors of shape (batch, time)."""
    # BEGIN SOLUTION 3: return None
    return -(token * mask).sum() / mask.sum()
    # END SOLUTION


checks.sft_01(answer_1, answer_2, my_sft)

# %% [markdown]
# ### Solution 1
#
# Over tokens: four of the six terms are its own. Over responses it is one of three.
#
# ### Solution 2
#
# The losses are 4, 2 and 3, over 4 + 1 + 1 = 6 tokens: 9/6 = 1.5. The responses' own means are 1, 2 and 3, whose
# mean is 2: the two single tokens count four times as much each as a token of the long response.
#
# ### Solution 3
#
# The mask stands twice: in the sum, and in what it is divided by. With the prompt's tokens unmasked the model would also
# learn to write prompts. Part of every step would go into the wording of questions, which no reader asked for; and after
# its answer a model that ended without `<|im_end|>` could go on with a question of its own.
#
# ### What comes of the other factors
#
# The penalty looks at nothing but length. Once it outweighs the SFT term, the shortest responses win, whether they
# answer or not: look for the point where the win rate over the run without penalty falls below one half, and at
# what the policy then writes.

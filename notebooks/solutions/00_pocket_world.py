# %% [markdown]
# ## Exercises
#
# **1. Please the judge.** Write an answer with a total of at least 9.9 to: *Tell me the taste, season and dish of the
# lemon.* (The truth is in `facts.THINGS["lemon"]`.)
#
# **2. Noisier annotators.** Which share of labels would you *expect* to be exchanged by annotators' noise of a given scale,
# logistic as above, from the differences `gap` between the judge's totals alone? Predict first: does twice the noise
# exchange twice as many? Then try `my_share(torch.tensor(gap), 2 * ANNOTATOR_NOISE)`. The check knows the usual slips.
#
# **3. Fool the judge, if you can.** Find an answer to the prompt about the fox that you find bad and that the judge gives
# at least 9. Every judge has a blind side; a policy trained hard enough will find it.

# %%
import torch

from prefnb import checks

# BEGIN SOLUTION 1: my_answer = None  # text
my_answer = "The lemon tastes sour. It is ripe in winter and is good for juice."
# END SOLUTION
# BEGIN SOLUTION 3: my_trick = None  # text
my_trick = "Red forest mice are what everyone tells me of this fox."
# END SOLUTION


def my_share(gap, noise):
    """One number, 0 to 1, from a tensor of shape (pairs,) and a number."""
    # BEGIN SOLUTION 2: return None
    return torch.sigmoid(-gap.abs() / noise).mean()
    # END SOLUTION


checks.pocket_world_00(my_answer, my_share, my_trick)

# %% [markdown]
# ### Solution 1
#
# Any order and any wording will do, as long as all three values are there, in sentences, and little else.
#
# ### Solution 2
#
# A pair at a distance $g = |s_1 - s_2|$ is flipped with probability $\sigma(-g/\tau)$, so the expected share is the mean.
# With twice the noise, pairs far apart are exchanged many times as often, close ones hardly more: they were a coin before.
#
# ### Solution 3
#
# The judge looks for values in sentences, and does not ask what a sentence means. This one says hardly anything that is
# true of the fox.

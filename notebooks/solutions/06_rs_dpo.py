# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. A data set has 500 pairs; for 20 of them the model's sample is the chosen response itself. How many pairs
#    does the 10% mixture change?
# 2. A policy leaves the chosen response as likely as it was, and makes its own answer, the rejected one, 5 nats less
#    likely. Predict the margin at $\beta = 0.1$, then run.
# 3. Write the loss, with $\beta = 0.1$, from a policy and a reference that have a third response, `generated`, the model's
#    own answer. `own`, of shape (pairs,), is True where the own answer takes the place of the rejected one. The check
#    knows the usual slips and tells you which one it is.
#
# **To try.** Run the notebook with `temperature` 1.5. Predict first: does the shortcut rule get better or worse at
# picking the chosen response?

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # a number
answer_1 = 48
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a number
answer_2 = 0.5
# END SOLUTION


def my_rs_dpo(policy, reference, own):
    """One number a pair, from .chosen.sum, .rejected.sum and .generated.sum of both."""
    # BEGIN SOLUTION 3: return None
    def d(name):
        return getattr(policy, name).sum - getattr(reference, name).sum

    d_rejected = own * d("generated") + ~own * d("rejected")
    return -logsigmoid(0.1 * (d("chosen") - d_rejected))
    # END SOLUTION


checks.rs_dpo_06(answer_1, answer_2, my_rs_dpo)

# %% [markdown]
# ### Solution 1
#
# The 20 pairs are left out; a tenth of the remaining 480 is 48.
#
# ### Solution 2
#
# $0.1\,(0 - (-5)) = 0.5$, and the loss falls from 0.69 to 0.47, though nothing good has become likelier.
#
# ### Solution 3
#
# It is DPO's loss. What is easily forgotten is the reference: it has to score the own answer too, for the log-ratio $d$
# compares one response under two models, and not two responses.
#
# ### What comes of the higher temperature
#
# Hot samples are made of unlikely tokens, so the model's own answers become less likely per token and the
# two sides harder to tell by that rule. Other tells take its place: hot samples make mistakes that a chosen
# response does not.

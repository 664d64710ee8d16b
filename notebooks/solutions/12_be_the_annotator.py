# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Two annotators label 100 pairs: both left 40, both right 30, A left and B right 10, A right and B left 20. What is kappa?
# 2. An annotator without ties knows what they want, but one choice in ten is a slip, each independent of the others.
#    Predict, then run: how often do they choose the same when a pair comes again?
# 3. Write kappa from memory. `counts` is a square tensor: rows are one annotator's verdicts, columns the other's. The check
#    knows the usual slips and tells you which one it is.
#
# **To try.** Label 20 pairs, always choosing the shorter answer, and run on. Predict first: which dots move, and what
# happens to the answers? (Z takes labels back; or name another file: a copy of yours is a file of labels, too.)

# %%
from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # a number
answer_1 = 0.4
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a share, 0 to 1
answer_2 = 0.82
# END SOLUTION


def my_kappa(counts):
    """One number."""
    # BEGIN SOLUTION 3: return None
    shares = counts / counts.sum()
    by_chance = shares.sum(1) @ shares.sum(0)
    return (shares.trace() - by_chance) / (1 - by_chance)
    # END SOLUTION


checks.be_the_annotator_12(answer_1, answer_2, my_kappa)

# %% [markdown]
# ### Solution 1
#
# $p_o = 0.7$. A says left in 0.5, B in 0.6 of the cases: $p_e = 0.5 \cdot 0.6 + 0.5 \cdot 0.4 = 0.5$, so $\kappa = 0.4$.
#
# ### Solution 2
#
# Both times right or both times slipped: $0.9^2 + 0.1^2 = 0.82$. Agreement with oneself, 82%, is less than agreement with
# a perfect judge of the same taste, 90%: two showings can slip.
#
# ### Solution 3
#
# What chance gives is taken off above and below: from the agreement that there is, and from the agreement that there could
# be. It takes the shares of both annotators, one's for the rows, the other's for the columns.

# %% [markdown]
# ## Exercises
#
# **1. Two votes, one pair.** The chosen response has 10 tokens of log-prob $-0.5$ each, the rejected one 4
# tokens of $-1$ each. Predict, then run: what is eq. 6's log-ratio, in nats? And what is the difference per token, on
# which `tanh_mean` votes?
#
# **2. The crossing.** For a one-token $y_\text{gen}$ and the same $\alpha f$: at which probability do minimum
# likelihood and unlikelihood push equally hard?
#
# **3. Write the loss**, with minimum likelihood, $\alpha = 2$, $\beta = 0.1$, the vote by `tanh_mean` and the linear weight
# $f = \max(0, -r)$. Both sides have `generated` besides `chosen` and `rejected`. The check knows the usual slips and tells
# you which one it is.
#
# **To try: DPPO, then DPO.** The report's best result of all, .977, is unlikelihood followed by plain DPO (claim
# 3). Train it in a new cell and compare. Mind the reference: it stays the SFT policy.

# %%
import torch
from torch.nn.functional import logsigmoid

from prefnb import checks

# BEGIN SOLUTION 1: answer_1 = None  # two numbers, such as (1, 2)
answer_1 = (-1, 0.5)
# END SOLUTION
# BEGIN SOLUTION 2: answer_2 = None  # a probability
answer_2 = 0.5
# END SOLUTION


def my_dppo(policy, reference):
    # BEGIN SOLUTION 3: return None  # one number a pair
    d_chosen = policy.chosen.sum - reference.chosen.sum
    d_rejected = policy.rejected.sum - reference.rejected.sum
    vote = torch.tanh(policy.chosen.mean - policy.rejected.mean).detach()
    penalty = 2 * torch.relu(-vote) * policy.generated.sum
    return -logsigmoid(0.1 * (d_chosen - d_rejected)) + penalty
    # END SOLUTION


checks.dppo_04(answer_1, answer_2, my_dppo)

# %% [markdown]
# ### Solution 1
#
# $S(y_w) = -5$ and $S(y_l) = -4$: the log-ratio is $-1$, a vote for the rejected response, though only
# because it is shorter. Per token it is $-0.5 + 1 = +0.5$: a vote for the chosen one. The two disagree on the
# sign, so on whether there is a penalty at all.
#
# ### Solution 2
#
# Minimum likelihood has gradient 1 and unlikelihood $\pi/(1-\pi)$ with respect to $\log\pi$. They are equal
# at $\pi = 1/2$: above it unlikelihood pushes harder, below it minimum likelihood does.
#
# ### Solution 3
#
# The vote says how much a pair counts, and is not to be won: without the detach the loss would also push the vote itself,
# with a strength that depends on the own answer's log-prob. The penalty is added outside the logarithm, and no reference
# is in it.
#
# ### How to train DPPO, then DPO
#
# ```python
# first = next(label for label, name in runs.penalties.items() if name == "unlikelihood")
# again_dpo = dict(reference_model=policy_start, learning_rate=dpo_rate)
# after, _ = course.fit(policies[first], pairs_only, partial(dpo, beta=p.beta), p, **again_dpo)
# twice, _ = course.fit(policies["DPO"], pairs_only, partial(dpo, beta=p.beta), p, **again_dpo)
# again = course.compare({"SFT": policy_start, "unlikelihood, then DPO": after, "DPO, then DPO": twice}, tokenizer, p,
#                        judge=judge)
# plots.plot_win_rates(again.win_rates, against="SFT")
# ```
#
# `twice` is the fair rival: two stages see the pairs twice, and so must what they are compared with.

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · DPPO: does it help to unlearn your own favourite answer?
#
# DPO learns from answers that somebody else wrote. *Direct Preference and Penalization Optimization* (DPPO, a
# report by Pengwei Sun) adds a second lesson: wherever the model prefers the worse of two answers, it also
# lowers the probability of the answer **it would have given itself**.
#
# You will see
# - the model's own answer beside the chosen and the rejected one: how likely it finds each, and the flaws of each;
# - how a model "votes" on a pair, and that turning the vote into a number is a choice which the report leaves
#   open;
# - four weights and three penalties, their gradients, and what becomes of one of them when it is applied to a
#   whole response;
# - DPO and DPPO trained side by side on the same pairs from the same start;
# - what happens as the penalty grows from nothing to the strength that the report found best;
# - whether it wins, and what became of three of the report's claims.
#
# Nothing else has to be run first. DPO itself is explained in [02 · DPO](02_dpo.ipynb), and comes from there.
#
# Two names to keep apart: elsewhere "DPPO" also stands for Divergence PPO, and "DPOP" is DPO-Positive,
# another method.

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the report's model and data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
sft: bool = None  # supervised fine-tuning first, of the preset's own model: True or False; None takes the preset's
pairs: int = None  # preference pairs to train on, 1 or more; None takes the preset's (pocket 1536, qwen 61000)
epochs: float = None  # passes over the data, 0.001 to 1000; None takes the preset's (1)
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
alpha: float = 10.0  # strength of the penalty (0 is DPO), 0 to 10000; the report's best: 10, of other penalties 0.1
beta: float = None  # how strongly the reference holds, 0 to 100; None takes the preset's (pocket 0.1, qwen 0.01)
penalty: str = "minimum_likelihood"  # what is added to DPO's loss: 'minimum_likelihood', 'unlikelihood' or 'contrastive'
weight: str = "linear"  # how a vote becomes a weight: 'linear', 'quadratic', 'square_root' or 'expectile'
zeta: float = 0.5  # the expectile weight's share of right votes, 0 to 1
level: str = "token"  # what unlikelihood counts: 'token' or 'sequence'
normalize: str = "tanh_mean"  # how a log-ratio becomes a vote: 'tanh_mean', 'tanh' or 'batch_max'
alphas: str = "0.1,1"  # more strengths to try, 0 to 10000, with commas; 0 and alpha are always in the sweep
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = "runs/04_dppo"  # where the results go: a folder

# %%
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.dppo.Settings, course.Judging,
                     alphas=parameters.Numbers(0, 10_000))

import math
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import logsigmoid

from prefnb import models, plots
from prefnb.lessons import dppo as lesson
from prefnb.logprobs import DatasetLogprobs, ResponseLogprobs, Scorer, from_tokens
from prefnb.methods.dpo import dpo

plt.style.use("prefnb.book")

# %% [markdown]
# ## The idea
#
# A [preference pair](glossary.md) has a prompt $x$ (left out of the formulas below), a chosen response $y_w$ and a rejected
# one $y_l$. The [policy](glossary.md) $\pi_\theta$ is the model in training; the [reference](glossary.md) $\pi_\text{ref}$ is
# a frozen copy of the model it started from. Write
#
# $$S(y) = \sum_t \log \pi_\theta(y_t \mid x, y_{<t}), \qquad d(y) = S(y) - S_\text{ref}(y)$$
#
# for the log-prob of a response, in nats, and for how far training has moved it. DPO, with $\sigma$ the
# logistic function and $\beta > 0$, is
#
# $$L_\text{DPO} = -\log \sigma\big(\beta\,(d(y_w) - d(y_l))\big).$$
#
# Both responses came from other writers. The model may never have said either of them, so lowering $y_l$ need
# not change what it *does* say. What it does say is its greedy response, taken from the reference once,
# before training: $y_\text{gen} \approx \arg\max_y \pi_\text{ref}(y)$ (the report's eq. 4; greedy decoding
# only approximates the arg max).
#
# DPPO has three parts: a **vote** (does the policy prefer the worse answer?), a **weight** (how badly?), and
# a **penalty** (push $y_\text{gen}$ down that hard).
#
# ### 1. The vote
#
# $$r = \log\frac{\pi_\theta(y_w)}{\pi_\theta(y_l)} = S(y_w) - S(y_l)$$
#
# (eq. 6), "normalized to be in the range of $[-1, 1]$". A negative $r$ is a vote for the rejected response.
# *How* to normalise, the report does not say. Here are three ways. The default, `tanh_mean`, takes the
# difference of the log-probs **per token**, then tanh: it comes in degrees, is no vote for whichever response
# is shorter, and does not depend on which pairs share a batch. Its price is that its sign can differ from
# that of eq. 6 when the two lengths differ. The vote is a weight, not something to train: no gradient flows
# through it.
#
# ### 2. The weight
#
# $f(r)$ says how hard a vote is punished (eq. 7). Three of the four are zero for a right vote, $r > 0$. The
# expectile $(\mathbf{1}\{r<0\} - \zeta)\,r^2$, with $\zeta$ between 0 and 1, is not: it turns **negative** there, so a
# right vote *rewards* $y_\text{gen}$.
#
# Below the two functions are four toy pairs, each response two tokens long. In the first, the chosen response has
# log-probs $-1$ and $-2$, the rejected one $-0.5$ and $-0.5$. Per token that is $-1.5$ against $-0.5$, so
# $r = \tanh(-1)$, a clear vote for the wrong side, and the linear weight is $-r$. The fourth pair is the first with its
# sides swapped. Work out the second and the third before you read the table.

# %%
def vote(policy, normalize="tanh_mean"):
    """r, from -1 (all for the rejected response) to 1 (all for the chosen), for each pair."""
    with torch.no_grad():
        if normalize == "tanh_mean":
            return torch.tanh(policy.chosen.mean - policy.rejected.mean)  # nats per token
        log_ratio = policy.chosen.sum - policy.rejected.sum  # eq. 6: nats
        if normalize == "tanh":
            return torch.tanh(log_ratio)
        if normalize == "batch_max":
            return log_ratio / log_ratio.abs().max().clamp(min=1e-30)
    raise ValueError(f"There is no normalisation '{normalize}'.")


# %%
def weight_of(r, weight="linear", zeta=0.5):
    """f(r) for each pair."""
    wrong = torch.relu(-r)  # -r where the vote is wrong, else 0
    if weight == "linear":
        return wrong
    if weight == "quadratic":
        return wrong**2
    if weight == "square_root":
        return wrong.sqrt()
    if weight == "expectile":
        return ((r < 0).to(r.dtype) - zeta) * r**2
    raise ValueError(f"There is no weight '{weight}'.")


toy = from_tokens(chosen=[[-1.0, -2.0], [-1.0, -1.5], [-1.0, -1.0], [-0.5, -0.5]],
                  rejected=[[-0.5, -0.5], [-1.0, -1.0], [-0.5, -1.5], [-1.0, -2.0]])
lesson.show_votes(toy, vote, weight_of)

# %% [markdown]
# **A small mistake the square root punishes hard, the quadratic hardly at all. Right of zero only the expectile
# acts, and there it rewards**, the less the smaller $\zeta$ is.
#
# ### 3. The penalty
#
# With $\alpha \ge 0$ the strength:
#
# | | loss | eq. | what to know |
# | --- | --- | --- | --- |
# | minimum likelihood | $L_\text{DPO} + \alpha f(r)\,S(y_\text{gen})$ | 5 | has no lower bound: $S$ can fall for ever |
# | unlikelihood | $L_\text{DPO} - \alpha f(r)\,\log(1 - \pi_\theta(y_\text{gen}))$ | 8 | lets go of what is unlikely |
# | contrastive | $-\log\sigma\big(\beta\,(d(y_w) - d(y_l)) - \alpha\beta f(r)\,d(y_\text{gen})\big)$ | 9 | acts inside the margin |
#
# Unlikelihood is printed for the whole response, as above. The loss it cites (Welleck et al. 2019) works
# token by token, $\sum_t \log(1 - \pi_\theta(y_{\text{gen},t} \mid x, y_{\text{gen},<t}))$. Both are here; "A closer look",
# further down, shows why the default is `token`. Either needs $\log(1 - e^s)$ of a log-prob $s$, which takes
# care to compute near $s = 0$.
#
# ## The loss in full
#
# Two small parts first, $\log(1 - \pi)$ and $\beta\,d(y)$; then the loss that the training below uses. Change it and run
# on. `policy` and `reference` hold the log-probs of three responses for each pair of a batch: `chosen`, `rejected` and
# `generated`, where `.sum` is $S(y)$. With $\alpha = 0$ there is no penalty to compute and `generated` may be missing: that
# is DPO.
#
# Below the loss is one pair by hand: the first of the toy pairs above, at step 0, where the policy still is the reference and
# so $L_\text{DPO} = \ln 2$. Let $y_\text{gen}$ be two tokens with probabilities ½ and ¼: $\pi(y_\text{gen}) =
# ⅛$ and $S(y_\text{gen}) = -\ln 8$. With $\alpha = 1$ and $f = -r = \tanh 1$, minimum likelihood adds
# $-\tanh(1) \ln 8$. Unlikelihood by token subtracts $\tanh(1)\,(\ln ½ + \ln ¾)$, and by sequence $\tanh(1)
# \ln ⅞$. Contrastive adds nothing yet, because $d(y_\text{gen}) = 0$: it starts from where the reference is.

# %%
def log_otherwise(response, level="token"):
    """log(1 - pi) of a response: of each token and then summed, or of the whole sequence."""
    s = response.token if level == "token" else response.sum
    s = s.clamp(max=-1e-6)  # a float32 log-prob knows nothing closer to certainty
    otherwise = torch.where(s > -math.log(2),
                            torch.log(-torch.expm1(s)), torch.log1p(-torch.exp(s)))
    return otherwise.masked_fill(~response.mask, 0).sum(-1) if level == "token" else otherwise


def reward(response, before, beta):
    """beta * d(y) of a response, given its log-probs under the policy and before training."""
    return beta * (response.sum - before.sum)


# %%
def dppo(policy, reference, *, alpha, beta, penalty="minimum_likelihood", weight="linear", zeta=0.5,
         level="token", normalize="tanh_mean"):
    """DPO plus a penalty on the model's own greedy answer: each pair's loss, and what to log."""
    reward_chosen = reward(policy.chosen, reference.chosen, beta)
    reward_rejected = reward(policy.rejected, reference.rejected, beta)
    margin = reward_chosen - reward_rejected
    r = vote(policy, normalize)
    f = weight_of(r, weight, zeta)
    loss = dpo_loss = -logsigmoid(margin)
    if alpha > 0 and penalty == "minimum_likelihood":
        loss = dpo_loss + alpha * f * policy.generated.sum
    elif alpha > 0 and penalty == "unlikelihood":
        loss = dpo_loss - alpha * f * log_otherwise(policy.generated, level)
    elif alpha > 0 and penalty == "contrastive":
        loss = -logsigmoid(margin - alpha * f * reward(policy.generated, reference.generated, beta))
    metrics = {"margin": margin, "accuracy": (margin > 0).to(margin.dtype),
               "vote": (r < 0).to(r.dtype), "weight": f, "penalty": loss - dpo_loss,
               "reward_chosen": reward_chosen, "reward_rejected": reward_rejected}
    metrics |= {f"logp_{which}": response.sum for which, response in vars(policy).items()}
    metrics = {name: value.detach() for name, value in metrics.items()}
    return loss, metrics


# %%
one = from_tokens(chosen=[[-1.0, -2.0]], rejected=[[-0.5, -0.5]],
                  generated=[[math.log(1 / 2), math.log(1 / 4)]])
by_hand = {("minimum_likelihood", "token"): -math.tanh(1) * math.log(8),
           ("unlikelihood", "token"): -math.tanh(1) * math.log(1 / 2 * 3 / 4),
           ("unlikelihood", "sequence"): -math.tanh(1) * math.log(7 / 8),
           ("contrastive", "token"): 0.0}
found = {(name, level): dppo(one, one, alpha=1.0, beta=p.beta, penalty=name, level=level)
         for name, level in by_hand}
lesson.show_by_hand(by_hand, found)

# %% [markdown]
# ## Data: what the model would have said
#
# We load the fine-tuned policy (made now if the cache does not have it), the preference pairs, and the
# policy's own greedy response to every prompt. Greedy decoding takes the likeliest token each time. So its answer is far
# likelier than both answers of the pair, as the first table shows: that gap is DPPO's whole argument.
#
# **Does the favourite answer deserve it?** Most demonstrations that the SFT model learnt from were written in the fixed
# style of a house (it leaves out the last thing, says a sentence again, closes with a formula, claims to be certain), and no
# answer of the pairs was. So the favourite answer *is* that style, and the question of the title is a fair one. The second
# table has the [gold judge](glossary.md)'s flaws, on the training prompts, of the favourite, of a sample of the same model
# at temperature 0.7, and of both answers of the pair. (Of other data nobody can name the flaws, and the table is left out.)
#
# Then follow three pairs that the model votes wrong on. DPPO never asks whether $y_\text{gen}$, the third column, is bad. It
# only knows that the model misjudged two **other** answers to the same prompt.

# %%
policy_start, tokenizer = methods.sft.starting_policy(p)
judge = methods.reward_model.judge_of(p)  # None where nobody can judge
pairs_only = course.pair_examples(p, tokenizer)
generated = course.greedy_ids(policy_start, tokenizer, pairs_only, p.max_response_tokens)
with_generated = pairs_only.plus("generated", generated)
reference = course.reference(policy_start, with_generated)
start = reference.all()  # the log-probs of every response before training
drawn = course.answers_of(policy_start, tokenizer, pairs_only.prompt_ids, draws=1, temperature=0.7,
                          max_new_tokens=p.max_response_tokens)
read = lesson.pairs_of(p, with_generated, tokenizer)
lesson.show_likelihoods(start)
lesson.show_flaws(p, read, drawn)
lesson.show_misjudged(p, read, start, vote(start, p.normalize))

# %% [markdown]
# ## Training, side by side
#
# Both policies start from the same weights and see the same pairs with the same seed for as many steps. DPPO is
# trained here, before your eyes. DPO is the one of 02 with its history. It comes ready-made at the defaults, and
# so do the DPPO runs further down; after an edit of the loss, or with other parameters, they are trained anew.
# DPO sees chosen and rejected alone, DPPO those and $y_\text{gen}$. (Batches are made of responses of like
# length, and $y_\text{gen}$ counts, so the pairs may come in another order.) Each method has the learning rate
# that one rule gave it, unless you set one for both. The loop clips the gradient's norm at 1, so a large $\alpha$
# does not make longer steps. It makes steps in which DPO has less of a say.
#
# The pale line is the single steps, the strong one a moving average. Batches hold responses of like length, so
# their log-probs jump. In the first panel DPPO's curve includes the penalty, which can be negative, so the two losses are
# not to be compared; the margins and log-probs are. Pushing $y_\text{gen}$ down pushes down whatever is said in similar
# words.

# %%
dpo_rate = learning_rate or methods.dpo.Settings.of(p.preset)["learning_rate"]


def objective_of(alpha, penalty):
    # DPPO's loss of this strength and penalty, all else as in the parameters
    return partial(dppo, alpha=alpha, beta=p.beta, penalty=penalty, weight=p.weight, zeta=p.zeta,
                   level=p.level, normalize=p.normalize)


def trained_dppo(alpha, penalty=p.penalty, live=None):
    # (policy, history); with alpha 0 exactly what DPO sees, at DPO's rate
    pairs, rate = (with_generated, {}) if alpha else (pairs_only, {"learning_rate": dpo_rate})
    return course.fit(policy_start, pairs, objective_of(alpha, penalty), p, live=live, **rate)


made = methods.dpo.recipe(**p.shared_with(methods.dpo.Settings) | {"learning_rate": dpo_rate})
policies, histories = {"SFT": policy_start, "DPO": made.model}, {"DPO": made.history}
both = lambda history: plots.plot_training(histories | {"DPPO": history}, lesson.CURVES)
policies["DPPO"], histories["DPPO"] = trained_dppo(p.alpha, live=plots.LiveFigure(both))
lesson.show_training(histories, p.batch_size)

# %% [markdown]
# ## Does it win?
#
# **Weaker, stronger, and the other penalties.** The report finds the best strength by trial (10 for minimum likelihood, 0.1
# for the other two). We train the strengths of `alphas` with the same penalty, and the other two penalties at the report's
# best, all on the same pairs (these runs come ready-made). "DPPO" alone is the run with the parameters above.
#
# **Are they still answering?** A policy that has been pushed too far may repeat itself, never stop, or write something
# that is no language. Every policy answers each test prompt `draws` times at temperature 0.7. The [sampled KL](glossary.md)
# says how far a policy has moved from the reference, in nats per response, on its own samples. If the table calls a policy
# collapsed, read its answers further down.
#
# **Who wins?** In the first figure each dot is a [win rate](glossary.md) against the SFT policy: every answer meets every one of
# SFT's to the same prompt, and a tie counts as half. The 95% intervals are over prompts. Compare intervals, not dots. The
# second figure has the win rate against the strength of the penalty, from DPO at the left end to the strongest at the right,
# and the table compares each strength with DPO, prompt by prompt. The report's figure rises to a sweet spot and falls
# again; ours need not.

# %%
runs = lesson.runs_of(p.alpha, p.alphas, p.penalty)
for label, (strength, penalty_name) in runs.to_train(p.penalty).items():
    policies[label], histories[label] = trained_dppo(strength, penalty_name)
comparison = course.compare(policies, tokenizer, p, judge=judge)
kls = {label: course.sampled_kl(policies[label], policy_start, tokenizer, comparison.prompts[:128],
                                max_new_tokens=p.max_response_tokens) for label in ("DPO", "DPPO")}
fallen = lesson.show_collapse(comparison, runs, kls)  # the labels of the broken ones

# %%
best_dppo = lesson.best_of(comparison, histories)
if comparison.judge:
    lesson.show_wins(comparison, ["DPO", *runs.penalties], fallen)
    sweep_figure = lesson.show_sweep(comparison, runs.sweep, p.penalty, fallen)

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the
# trained policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over
# prompts. Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a
# number never replaces reading. Beside SFT, DPO and DPPO stands the DPPO run with the highest win rate. (It is picked on these
# same prompts, which flatters it a little.)
#
# Below the page are two tables. The first has the log-probs on held-out pairs, $y_\text{gen}$ among them, the response that
# was meant to fall, and $y_w$, which nobody wanted to lower. The second says **what was unlearnt**: the flaws in the answers
# of every policy that still answers, and the share of the asked-for parts that are right; the gold judge's verdict, whoever
# judges above.

# %%
from prefnb import page

page.show("DPPO", policies["DPPO"], policy_start, tokenizer, p, history=histories["DPPO"],
          comparison=comparison, read=list(dict.fromkeys(("SFT", "DPO", best_dppo, "DPPO"))))
heldout = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
own = course.greedy_ids(policy_start, tokenizer, heldout, p.max_response_tokens)
heldout = heldout.plus("generated", own)
seen = {"SFT": course.reference(policy_start, heldout).all()}
seen |= {label: DatasetLogprobs.compute(policies[label], heldout).all()
         for label in ("DPO", *runs.penalties)}
lesson.show_held_out(seen)
lesson.show_unlearnt(comparison, best_dppo, fallen)

# %% [markdown]
# ## The long runs beside this one
#
# This run saw few pairs, once. The **long runs** train DPPO with minimum likelihood with several seeds, each on
# thousands of pairs and from an SFT model of its own, at a learning rate and a strength that a grid chose by answers
# to *training* prompts. The grid offered it $\alpha$ = 0.01, 0.1 and 1, on a quarter of the pairs. The long runs then take
# four times as many steps with a penalty that has no bound: whether what helped early still helps late is the question to
# bring to the figures. ([Notebook 11](11_leaderboard.ipynb) shows all of the long runs, and every strength up to 10.) They
# were made once, by `make claims`, and are the one thing on this page, apart from what comes ready-made, that was not
# computed in this run. In the pictures the grey band reaches from the lowest seed to the highest.

# %%
from prefnb.claims import beside

beside.show("minimum_likelihood", "DPPO", p, history=histories["DPPO"],
            metrics=("margin", "logp_chosen", "logp_rejected"), comparison=comparison,
            live=comparison.win_rates.get("DPPO"))

# %% [markdown]
# ## The paper says, we measured
#
# The report trained Qwen2.5-0.5B and let a 70B [reward model](glossary.md) judge; beside its figures stand ours, for the
# settings of this run. A difference is taken prompt by prompt (or pair by pair) and gets a [bootstrap](glossary.md)
# interval. A claim **holds** if the interval lies on its side of zero, **does not hold here** if it lies on
# the other, and **cannot be told** if zero is inside. The verdict is the long runs' where there are any, whose intervals
# know prompts and seeds; this run's know prompts alone. In the long runs each penalty has the strength that its grid chose,
# which need not be that of this run. For claim 4, a sweet spot, the best strength strictly between 0 and the largest must beat
# both ends. (It is picked on the prompts that it is then compared on, which flatters it a little.) For claim 7 a pair's DPO
# reward is $\beta\,(d(y_w) - d(y_l))$, how far training has moved it the right way.
#
# Before you make much of a verdict: at the default settings the model is far smaller than the report's, and its
# pairs are far fewer. And a detail that the report leaves open, the normalisation of the vote, is our choice, and
# it decides which pairs are penalised. DPO and DPPO have learning rates of their own; with `-p learning_rate`
# both have the same. Each of these is a parameter, as are `-p pairs` and `-p preset qwen`.

# %%
rewards = {label: dpo(of, seen["SFT"], beta=p.beta)[1]["margin"].numpy()
           for label, of in seen.items() if label != "SFT"}
rows = lesson.claims(comparison, runs, rewards, fallen)
ours = "this run" + (f" (win rates by {comparison.judge.name})" if comparison.judge else "")
beside.show_verdicts(p, rows, ours=ours, also=[2, 3, 5, 20])

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## A closer look, for a second reading
#
# Eight side questions, from how hard each penalty pushes to what it is in the penalty that does harm; what comes out is why
# its strength, its vote and the answer that it acts on matter as they do.

# %% [markdown]
# ### How hard each one pushes
#
# Below, $y_\text{gen}$ is a single token, the vote is as wrong as can be ($f = 1$) and $\alpha = 1$. On the
# left is what the penalty adds to the loss, on the right the size of its gradient with respect to $\log
# \pi_\theta(y_\text{gen})$, as the log-prob of $y_\text{gen}$ falls from right to left.
#
# - **Minimum likelihood** pushes with the same force however unlikely $y_\text{gen}$ has become. Nothing
#   tells it to stop: that is the danger in "no lower bound". Only the vote can end it, by turning right.
# - **Unlikelihood** has gradient $\pi/(1-\pi)$: enormous where the model is certain, fading as soon as the
#   job is done.
# - **Contrastive** is never stronger than $\alpha\beta f$, which is why the same $\alpha$ means something
#   else for each penalty, and it fades once $y_\text{gen}$ is well below where the reference had it.

# %%
lesson.show_pushes(dppo, p.beta)

# %% [markdown]
# Now the same unlikelihood on a response of $n$ tokens, each with probability 0.8. By sequence, the gradient
# on every token is $\pi/(1-\pi)$ of the **whole** response, and that product of $n$ probabilities is soon
# next to nothing. Below the table is what it would do to the model's own answers to the prompts of the pairs. By token, it
# pushes hardest on the tokens of which the model is all but certain, the second half of a word, say, whether or not that
# token is what made the answer bad.

# %%
def unlikelihood_gradient(tokens, level):
    """The size of the gradient of -log(1 - pi) by each token's log-prob: (number of tokens,)."""
    tokens = tokens.clone().requires_grad_()
    response = ResponseLogprobs(tokens[None], torch.ones(1, len(tokens), dtype=torch.bool))
    return torch.autograd.grad(-log_otherwise(response, level).sum(), tokens)[0]


lesson.show_levels(unlikelihood_gradient, reference.tokens["generated"], p.beta)

# %% [markdown]
# ### The vote, three ways
#
# The training pairs, the model before training, three normalisations. `tanh` leaves little between $-1$ and $1$: the
# log-ratio of two responses is easily dozens of nats, and where $r$ is $\pm 1$ there are no degrees left to
# weigh. `batch_max` (here over all pairs as if they were one batch) keeps the proportions, but its scale is
# set by the single most extreme pair.

# %%
lesson.show_three_votes(start, vote, p.normalize)

# %% [markdown]
# ### Do the votes turn right?
#
# `vote` is the share of each batch with $r < 0$, `weight` the mean $f(r)$, `penalty` what is added to DPO's loss. With
# `-p alpha 0` and the loss as printed DPPO's training and DPO's must be one and the same (if one machine ran both:
# at the defaults DPO's history comes with the package, and another machine may round differently).

# %%
lesson.show_penalty({label: histories[label] for label in ("DPO", "DPPO")}, p.alpha)

# %% [markdown]
# ### How they vote on pairs they have not seen
#
# On held-out pairs, two things. Whether the policy now *prefers* the chosen response: the vote $r$, which the
# SFT policy has too. And whether training moved it *the right way*: the DPO reward $\beta\,(d(y_w) - d(y_l))$,
# the quantity of the report's figure 3B, which is 0 for SFT by definition. The part in the colour of "rejected" is the share
# moved the wrong way. A strong penalty can spread the rewards far out on **both** sides without knowing better which
# response is the good one: the last sentence compares the widths.

# %%
normalized = partial(vote, normalize=p.normalize)
votes_figure, accuracy = lesson.show_votes_held_out(seen, rewards, normalized)

# %% [markdown]
# ### How hard does it pull before the first step?
#
# At step 0 DPO pulls with $\beta/2$ on each log-prob of a pair, and minimum likelihood with $\alpha f(r)$ on that of
# $y_\text{gen}$. On the *weights* the pull adds up over the pairs of a batch, and the penalty's pulls all go the same
# way, down with the model's favourite answers, while DPO's half cancel. Here are the two gradients on the first batch.

# %%
def gradient(alpha):
    """The gradient of the first batch's mean loss by all weights of SFT, as one long vector."""
    copy, index = models.copy_model(policy_start), range(min(p.batch_size, len(pairs_only)))
    scores = Scorer(copy)(with_generated.batch(index).to(copy.device))
    loss, _ = objective_of(alpha, p.penalty)(scores, reference.batch(index, copy.device))
    loss.mean().backward()
    return torch.cat([weight.grad.flatten() for weight in copy.parameters()]).cpu()


mean_weight = float(weight_of(vote(start, p.normalize), p.weight, p.zeta).mean())
lesson.show_pulls(p, gradient(0.0), gradient(p.alpha), mean_weight)

# %% [markdown]
# ### With your hand on it
#
# Move $\alpha$ and let go. A policy is trained anew on 128 pairs, in some seconds, and drawn over the last attempts. Look for
# the strength at which eight steps are enough to do harm.

# %%
from prefnb import retrain

by_hand = retrain.Retrainer(p, policy_start, tokenizer, with_generated, "alpha",
                            lambda value: objective_of(value, p.penalty), "04_dppo")
by_hand.show(0.0, max(10.0, p.alpha), p.alpha, 0.05)

# %% [markdown]
# ### Which kinds of prompt?
#
# By category of prompt: DPO, and of the DPPO runs the one with the highest win rate. Each category has few prompts: only
# large differences mean anything.

# %%
lesson.show_categories(comparison, best_dppo)

# %% [markdown]
# ### What is it in the penalty that does it?
#
# A penalty on $y_\text{gen}$ is several things at once: it acts on *greedy* answers, on *all* of those that stand beside a
# misjudged pair, with *this pair's* weight. So the long runs train it again with one of these changed at a time, three seeds
# each, at four settings: only where $y_\text{gen}$ is worse than the rejected response by the gold judge (nobody could know it
# in practice); on a sample at temperature 1 in its place; and with the weights of other pairs, which know nothing of this one.

# %%
beside.show_why(beside.results_of(p))

# %% [markdown]
# ## Your turn
#
# Write a loss of your own. `policy.chosen` and `policy.rejected` have `.sum`, `.mean` and `.length`, one number a pair, and
# `.token`, one a token; so has `reference`. Return one number a pair. Then take the `#` from the last line and run the cell:
# your loss is checked, trained on 256 pairs for some seconds, drawn beside DPPO, and put into a table that survives
# a restart. Here the pairs have `policy.generated` too, the model's own answer.

# %%
from prefnb import your_turn

try_it = your_turn.on_pairs(p, policy_start, tokenizer, with_generated,
                            usual=("DPPO", objective_of(p.alpha, p.penalty)),
                            folder="runs/attempts/04_dppo")


def my_loss(policy, reference):
    """DPO, and SFT's favourite is pushed down only while likelier per token than the chosen one."""
    loss, _ = dpo(policy, reference, beta=p.beta)
    return loss + 0.1 * torch.relu(policy.generated.mean - policy.chosen.mean)


# try_it(my_loss, "my loss")

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

answer_1 = None  # two numbers, such as (1, 2)
answer_2 = None  # a probability


def my_dppo(policy, reference):
    return None  # one number a pair


checks.dppo_04(answer_1, answer_2, my_dppo)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = (-1, 0.5)
# ```
#
# $S(y_w) = -5$ and $S(y_l) = -4$: the log-ratio is $-1$, a vote for the rejected response, though only
# because it is shorter. Per token it is $-0.5 + 1 = +0.5$: a vote for the chosen one. The two disagree on the
# sign, so on whether there is a penalty at all.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 0.5
# ```
#
# Minimum likelihood has gradient 1 and unlikelihood $\pi/(1-\pi)$ with respect to $\log\pi$. They are equal
# at $\pi = 1/2$: above it unlikelihood pushes harder, below it minimum likelihood does.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_dppo(policy, reference):
#     d_chosen = policy.chosen.sum - reference.chosen.sum
#     d_rejected = policy.rejected.sum - reference.rejected.sum
#     vote = torch.tanh(policy.chosen.mean - policy.rejected.mean).detach()
#     penalty = 2 * torch.relu(-vote) * policy.generated.sum
#     return -logsigmoid(0.1 * (d_chosen - d_rejected)) + penalty
# ```
#
# The vote says how much a pair counts, and is not to be won: without the detach the loss would also push the vote itself,
# with a strength that depends on the own answer's log-prob. The penalty is added outside the logarithm, and no reference
# is in it.
# </details>
# <details><summary>How to train DPPO, then DPO</summary>
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
# </details>
#
# ## What you have seen
# - The model's own answer is another thing than either side of the pair, and DPPO lowers it wherever the pair
#   is misjudged.
# - The vote needs a normalisation. Ours is per token, then tanh; the report does not name its own.
# - Four weights grade the mistake. Three penalties act on it: one pushes for ever, one lets go, one works
#   inside DPO's margin. By token, unlikelihood pushes hardest where the model is surest.
# - DPO and DPPO side by side: log-probs, votes, KL, win rates, and a check for collapse before any win rate
#   is believed.
# - The strength $\alpha$ from nothing to the strongest tried, and the report's claims with their verdicts.
#
# Previous: [03_simpo](03_simpo.ipynb). Next: [05_reward_model](05_reward_model.ipynb), where a judge is learnt from
# the pairs, and asked how far it can be trusted.
#
# ### So, does it help to unlearn your own favourite answer?

# %%
lesson.show_answer(p, comparison, best_dppo, fallen)
sides = {label: histories[label] for label in ("DPO", "DPPO")}
figures = {"training": plots.plot_training(sides, lesson.CURVES), "book_votes": votes_figure}
figures |= {"book_sweep": sweep_figure} if comparison.judge else {}
folder = course.record(p.output_dir, p, histories, comparison, figures, alpha=p.alpha,
                       penalty=p.penalty, collapsed=fallen, heldout_accuracy=accuracy,
                       sampled_kl={label: kl["k3"] for label, kl in kls.items()})
print(f"Parameters, histories, responses with scores, summary and figures are in {folder}.")

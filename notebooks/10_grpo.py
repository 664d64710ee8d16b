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
# # 10 · GRPO: what does a group of answers teach that one answer cannot?
#
# *Group Relative Policy Optimization* asks the [policy](glossary.md) for several answers to the same prompt, lets a judge score
# them, and makes those likelier that are better **than their group**. Paper 003 trains with it and names Shao et
# al. (2024) as its source. The equation that it prints is another method.
#
# You will see
#
# - the printed equation and the cited one, symbol by symbol, and what tells them apart;
# - what dividing by the group's spread does to easy and to hard prompts, and groups that teach nothing;
# - two estimators of the KL that agree as numbers and differ as losses, exactly, on three words;
# - the cited form in training, live, and both forms over many steps;
# - win rates, BLEU and perplexity beside the paper's;
# - folded: how the denominator of the loss prefers long or short answers; whether GRPO trains less smoothly than DPO; samples
#   at several temperatures; several updates on one batch of samples, with the clip at work.
#
# Nothing has to be run first. The gradient used here is built step by step in [09 · RLOO](09_rloo.ipynb); what is
# needed of it is recalled below. For the rival see [02 · DPO](02_dpo.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the paper's model with real data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
reward: str = None  # whose scores are the rewards: 'gold' or 'proxy'; None takes the preset's
prompts: int = None  # training prompts to sample answers for, 1 or more; None takes the preset's
batch_size: int = None  # prompts per step, 1 to 4096; None takes the preset's (8)
samples: int = None  # samples of a prompt, K, 2 to 1024; None takes the preset's (pocket 8, qwen 4)
steps: int = None  # training steps, 1 to 1000000; None takes the preset's (pocket 60, qwen 1000)
live_steps: int = 8  # optimiser steps of the training that you watch, 2 or more; a second or two each
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
kl_weight: float = None  # price of moving away from the reference, 0 to 100; None takes the preset's
clip: float = 0.2  # how far a token's probability ratio counts, above 0 and at most 1
scale_rewards: str = "group"  # whose deviation scales rewards: 'group', 'batch' or 'none'
loss_type: str = "sequence"  # what tokens are divided by: 'sequence', 'token' or 'constant'
varied: str = "0.7,1.3"  # temperatures that share a group in one section; samples is a multiple of their number
more_updates: int = 3  # updates per batch of samples in the section on them, 2 to 64
update_batches: int = 3  # batches of samples in that section, 1 or more; each takes more_updates optimiser steps
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = "runs/10_grpo"  # where the results go: a folder

# %%
from functools import partial

import matplotlib.pyplot as plt
import torch
from IPython.display import display
from prefnb import course, data, evaluate, judges, methods, models, parameters, plots, widgets

p = parameters.check(globals(), methods.grpo.Settings, course.Judging,
                     live_steps=parameters.Whole(2, 1_000_000),
                     varied=parameters.Numbers(above=0, high=5),
                     more_updates=parameters.Whole(2, 64),
                     update_batches=parameters.Whole(1, 1_000_000))
for name in ("temperatures", "varied"):
    if p.samples % len(getattr(p, name)):
        raise parameters.ParameterError(f"'samples' ({p.samples}) must be a multiple of the number "
                                        f"of temperatures in '{name}' ({len(getattr(p, name))}).")
plt.style.use("prefnb.book")

# %% [markdown]
# ## The idea
#
# A prompt $x$ is answered by the policy $\pi_\theta$ with a sample $y$, and a judge gives it a reward $R(y, x)$. The
# reward is a number, it has no gradient with respect to the weights $\theta$. What the weights decide is how likely
# each answer is, so the *average* reward has one, and samples estimate it:
#
# $$\nabla_\theta\, \mathbb{E}[R] = \mathbb{E}\big[R(y, x)\, \nabla_\theta \log \pi_\theta(y \mid x)\big].$$
#
# Put into words: make each sample likelier in proportion to its reward. Any number that does not depend on $y$ may be
# taken off the reward without changing the average, because $\mathbb{E}[\nabla \log \pi_\theta] = 0$. What is left,
# "how much better than was to be expected", is the [**advantage**](glossary.md) $A$, and with a good choice the estimate is
# far less
# noisy.
#
# ### What paper 003 prints
#
# $$L = -\,\mathbb{E}\Big[\sum_{i=1}^{k} \Big(R(y_i, x) - \frac{1}{k-1}\sum_{j \ne i} R(y_j, x)\Big) \nabla \log
# \pi_\theta(y_i \mid x)\Big] + \lambda\, \text{KL}(\pi_\theta \,\|\, \pi_\text{ref}) \qquad \text{(003, eq. 6)}$$
#
# - $y_1, \dots, y_k$: the **group**, $k$ answers of the policy to the same prompt;
# - the round bracket: the advantage, a sample's reward less the mean reward of the *other* $k - 1$;
# - $\pi_\text{ref}$: the frozen policy that training started from, and $\lambda$ (`kl_weight`) the price of leaving it.
#
# A loss cannot hold a gradient; read $\log \pi_\theta$ for $\nabla \log \pi_\theta$, and the gradient of $L$ is what is
# meant. This is RLOO, REINFORCE with a leave-one-out [baseline](glossary.md), plus a KL. It divides by no deviation, has no
# ratio and
# no clip. So wherever "printed" stands below, it is the policy of [09 · RLOO](09_rloo.ipynb). (The steps that the paper
# lists before it also sort the answers. The equation uses no order.)
#
# ### What Shao et al. have
#
# Write $y_{i,t}$ for token $t$ of sample $i$, $|y_i|$ for its number of tokens, and $\pi_\text{old}$ for the policy
# as it was when the samples were drawn.
#
# $$L = -\frac1k \sum_{i=1}^{k} \frac{1}{|y_i|} \sum_{t} \Big[ \min\big(\rho_{i,t} A_i,\; \text{clip}(\rho_{i,t},
# 1 - \epsilon, 1 + \epsilon)\, A_i\big) - \lambda\, \text{k3}_{i,t} \Big], \qquad
# A_i = \frac{R_i - \text{mean}(R_1, \dots, R_k)}{\text{std}(R_1, \dots, R_k)}$$
#
# - $\rho_{i,t} = \pi_\theta(y_{i,t} \mid x, y_{i,<t}) / \pi_\text{old}(y_{i,t} \mid x, y_{i,<t})$: the **ratio**, how
#   much likelier the token has become since it was drawn;
# - $\epsilon$ (`clip`): beyond $1 \pm \epsilon$ there is nothing more to gain from a token;
# - $\text{k3} = e^{r} - 1 - r$ with $r = \log \pi_\text{ref} - \log \pi_\theta$ of the token: never negative, zero
#   where the two agree, and on average over the policy's samples the KL. So is $\text{k1} = -r$, which the printed form uses.
#   What the two are as *losses* comes below.
#
# ### Four rewards by hand
#
# Four answers score $1, 4, 4$ and $7$. The first one's others have mean $(4 + 4 + 7)/3 = 5$, so its leave-one-out
# advantage is $1 - 5 = -4$. The mean of the whole group is $4$, so it lies $-3$ from that. Work out the last one, then
# look. The function below is the advantage that training uses: `rewards` is (prompts, $k$), a row being a group.

# %%
from prefnb.lessons import grpo as lesson
from prefnb.methods import rloo


def group_relative(rewards, *, scale_rewards="group", eps=1e-4):
    """(R - mean of the group) / deviation of the group, of the batch, or 1."""
    centred = rewards - rewards.mean(1, keepdim=True)
    # Equal rewards: exactly nothing, not rounding's leftovers.
    dead = (rewards == rewards[:, :1]).all(1, keepdim=True)
    centred = torch.where(dead, torch.zeros_like(centred), centred)
    if scale_rewards == "none":
        return centred
    return centred / ((rewards.std(1, keepdim=True) if scale_rewards == "group"
                       else rewards.std()) + eps)


four = torch.tensor([[1.0, 4.0, 4.0, 7.0]])
lesson.show_advantages(four, {"leave one out (printed)": rloo.leave_one_out(four),
                              "less the group's mean": group_relative(four, scale_rewards="none"),
                              "... over its deviation (cited)": group_relative(four)})

# %% [markdown]
# One is $k/(k-1)$ times the other, here $4/3$, a matter of step size. So "less the group's mean" is as good as "leave one
# out". The third row is the same direction *within this group*. What its division changes is how much this group counts
# beside others.
#
# ## The loss in full
#
# Training below uses this function with the advantages above. Change it and run on. `advantage` comes flat, one number per
# sample; the result is one number per sample too: $-\min(\rho A, \text{clipped}\ \rho A) + \lambda\,\text{k3}$, summed over
# the sample's tokens and divided. Without `old`, the log-probs of when the samples were drawn, every ratio is 1, with the
# right gradient. `loss_type` says what the sum is divided by: `"sequence"` the sample's own length, as cited; `"constant"`
# the most tokens that it may have; `"token"` nothing here: the training loop then averages over the tokens of the whole
# batch. (What that does to long answers is in the folded section on denominators.)

# %%
def grpo(policy, reference=None, *, advantage, old=None, clip=0.2, kl_weight=0.0,
         loss_type="sequence", max_length=None):
    token, mask, length = policy.sample.token, policy.sample.mask, policy.sample.length.clamp(min=1)
    ratio = torch.exp(token - (token.detach() if old is None else old))
    free = ratio * advantage[:, None]
    bounded = ratio.clamp(1 - clip, 1 + clip) * advantage[:, None]
    metrics = {**rloo.sample_metrics(policy), "clipped": ((bounded < free) & mask).sum(1) / length}
    per_token = -torch.minimum(free, bounded)
    if kl_weight > 0:
        r = reference.sample.token - token
        k3 = torch.expm1(r) - r  # near 0, e^r - 1 - r would be lost to rounding
        per_token = per_token + kl_weight * k3
        metrics["kl_k3"] = (k3 * mask).sum(1).detach()
    divide_by = {"sequence": length, "token": 1.0, "constant": max_length}[loss_type]
    return (per_token * mask).sum(1) / divide_by, metrics


# %% [markdown]
# ### The clip, and a KL to report or to follow
#
# **The clip.** The two panels show what one token brings, against its ratio, for a good and a bad sample.
#
# **The KL.** How far the policy has gone is the KL, $\sum_y \pi_\theta(y) \log \frac{\pi_\theta(y)}{\pi_\text{ref}(y)}$. Samples
# estimate it by k1 $= -r$ or by k3 $= e^r - 1 - r$, with $r = \log\pi_\text{ref} - \log\pi_\theta$. **An estimator of a number is
# not yet an estimator of its slope.** The KL depends on the weights twice: through the log-ratio, and through *which* answers
# are drawn. Differentiate a sample's k1 or k3, and only the first is counted.
#
# Let a policy know three words, $\pi = (0.5, 0.3, 0.2)$, while the reference has $(0.2, 0.3, 0.5)$. Then every average is a sum
# of three terms, exact. By hand: $\nabla\,\text{k1} = \nabla \log\pi$, whose average is $\nabla \sum \pi = 0$; and
# $\nabla\,\text{k3} = (1 - e^r)\, \nabla\log\pi$ averages to $-\sum_y \pi_\text{ref}(y)\, \nabla \log \pi(y)$, the slope of
# $\text{KL}(\pi_\text{ref} \,\|\, \pi)$, the KL the other way round. What counts both is the gradient of the start: k1 as the
# *cost*
# of a sample, times $\nabla \log\pi$.

# %%
clip_figure, level = lesson.clip_figure(grpo, p.clip)
display(clip_figure)
widgets.say(level)
logits = torch.tensor([0.5, 0.3, 0.2]).log().requires_grad_()  # of the policy's three words
logp, ref = logits.log_softmax(0), torch.tensor([0.2, 0.3, 0.5]).log()
pi, r = logp.exp().detach(), ref - logp  # how often each word is drawn, and its r
k1, k3 = (pi * -r).sum(), (pi * (torch.expm1(r) - r)).sum()  # averages over what is drawn
kl, other = (logp.exp() * -r).sum(), (ref.exp() * r).sum()
as_a_cost = (pi * (-r).detach() * logp).sum()
rows = lesson.show_slopes(logits, {
    "the KL, policy against reference": (kl, kl), "k1, differentiated": (k1, k1),
    "k3, differentiated": (k3, k3), "k1 as a cost": (k1, as_a_cost),
    "the other KL, reference against policy": (other, other)})
widgets.say(lesson.kl_in_words(rows))

# %% [markdown]
# So the two forms differ in their penalty as well: the printed one (by `sampled_kl`, see [09](09_rloo.ipynb)) takes k1 as a
# cost and lowers the KL; the cited one, `grpo` above, differentiates k3 and lowers, token by token, the KL the other way round.
# Close to the reference both are alike; the further away, the less.
#
# ## What the deviation divides away
#
# Three prompts. On the easy one nearly every answer is as good as it gets; on the hard one nearly every one is bad; on
# the third the answers differ a lot. The weight of a prompt is the mean size of its advantages. With the batch's deviation
# (`scale_rewards="batch"`), or with none, prompts keep their proportions. That is the first table.
#
# Then **real groups**: the starting policy (made now if the cache does not have it), the teacher, a judge whose scores are
# the rewards (gold, or where no program knows the answers a trained proxy), and groups of answers. (The `judge` says at the
# end who wins.)
#
# If all rewards of a group are equal, every advantage is 0 and the group teaches nothing: it is **dead**. It is counted in the
# history as `dead_groups`. It happens where rewards are coarse, as in mathematics (right or wrong): the prompts that
# are too easy and those that are too hard both drop out. What stands in the two shaded columns on the right is dead. The
# second table has the share of such groups, by size (the first answers of each).

# %%
lesson.show_three(group_relative)
p.reward = "proxy" if reward is None and not data.Source(p.dataset).judge else p.reward
teacher, judge = methods.rloo.judge_for(p), methods.reward_model.judge_of(p)
sft, tokenizer = methods.sft.starting_policy(p)
asked = course.training_prompts(p, tokenizer)
few = asked[:2 * p.batch_size]
drawn = course.answers_of(sft, tokenizer, few, draws=p.samples, temperature=1.0,
                          max_new_tokens=p.max_response_tokens)
judged = judges.score_samples(teacher, few, drawn)
rewards = torch.tensor(judged.total).float()  # (prompts, k)
coarse = lesson.all_or_nothing(judged, rewards)
groups_figure = lesson.groups_figure(group_relative, rewards, coarse)
display(groups_figure)
lesson.say_weights(rewards)
dead = lesson.show_dead(p.reward, rewards, coarse)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## The denominators: who is it divided by?
#
# What each `loss_type` gives to a token of a short and of a long answer, which of them prefers long bad answers, and four inputs
# at the edges of the formula.

# %% [markdown]
# Two answers have the same advantage. One has 2 tokens, the other 8, and at most 10 are allowed. `sequence` gives each
# *answer* the same total push, so a token of the long one gets less. `token` and `constant` give each *token* the same
# push, so the long answer gets more in total. The numbers are the gradient on the log-probs, computed.

# %%
from prefnb.logprobs import from_tokens


def push(loss_type, advantage, lengths=(2, 8), max_length=10):
    """Minus the gradient on each sample's log-probs: per token, and of the whole sample."""
    tokens = [torch.full((n,), -1.0, requires_grad=True) for n in lengths]
    loss, _ = grpo(from_tokens(sample=tokens), advantage=torch.full((len(lengths),), advantage),
                   loss_type=loss_type, max_length=max_length)
    (loss.sum() / sum(lengths) if loss_type == "token" else loss.mean()).backward()
    return [-one.grad[0].item() for one in tokens], [-one.grad.sum().item() for one in tokens]


rows = [[kind, f"{a:+g}", *(f"{v:+.3f}" for part in push(kind, a) for v in part)]
        for kind in ("sequence", "token", "constant") for a in (1.0, -1.0)]
widgets.show_table(["loss_type", "advantage", "a token of the short", "a token of the long",
                    "the whole short", "the whole long"], *rows)

# %% [markdown]
# **With `sequence` a good short answer is pushed up harder per token than a good long one, and a bad long answer is pushed
# down more gently per token than a bad short one.** So among bad answers the long ones survive: if most answers
# are bad, lengths creep up. `token` has no such preference within a batch, but what a token gets depends on how long
# the *other* answers are. `constant` depends on nothing but itself.
#
# There is a second price. $\mathbb{E}[\nabla \log \pi(y)] = 0$ is what lets a baseline be taken off without changing
# the average. $\nabla \log \pi(y) / |y|$ is **not** zero on average, because the length depends on the sample: with
# `sequence` the average gradient is no longer exactly that of the expected reward. Whether it shows is measured in one direction,
# in the folded *Several temperatures*.
#
# ### At the edges
#
# Four cases that a formula must survive. *Equal rewards*: the deviation is 0, yet the advantages are exactly 0 and
# not 0/0. *$k = 2$*: the advantages are a number and its negative; divided by the deviation they are $\pm 1/\sqrt2$
# whatever the rewards, if they differ: only who is better counts, not by how much. *One-token responses*: all three
# denominators see the same thing up to a constant. *All unfinished*: no sample holds an end token, so only the reward
# can tell the policy to stop, and if all are as bad for it, the group is dead; the history's `unfinished` shows it, and
# a warning is printed.

# %%
lesson.show_edges(group_relative, grpo)

# %% [markdown]
# ## Training
#
# **Live**, by the two functions above: the first `live_steps` steps of the very training that comes ready-made below,
# with the same prompts in the same order, the same seed, and a rate that warms up over as many steps. (With an edited
# loss, or another `schedule` than a constant rate, it is a training of its own.) A **step** is one step of the
# optimiser throughout; with one update for every batch of samples, as here and below, that is one batch a step.
# `reward` is that of the samples trained on; `entropy` says how undecided the policy is, per token; `kl_k3` is k3, summed
# over the tokens of a sample.
#
# Then **both forms over `steps` steps**, from the same weights and on the same prompts: "printed" is RLOO ($-A \cdot \log \pi$
# with leave-one-out advantages, plus the KL), "cited" the loss above, both by the library's own copies of the functions. At the
# defaults they come **ready-made** with the package; with other parameters they are made now, which takes a second or two a step.
# These are the policies that are compared further down.

# %%
from prefnb.training import train


def trained(objective, steps, live=None, **settings):
    policy = models.copy_model(sft)  # it learns from its own samples, judged
    batches = course.rollouts(policy, tokenizer, p, teacher,
                              partial(group_relative, scale_rewards=p.scale_rewards),
                              reference_model=sft if p.kl_weight > 0 else None, **settings)
    return train(policy, batches, objective, epochs=steps / len(batches), schedule=p.schedule,
                 learning_rate=p.learning_rate, warmup=round(0.1 * p.steps) / steps, live=live,
                 average="token" if p.loss_type == "token" else "example")


cited = partial(grpo, clip=p.clip, kl_weight=p.kl_weight, loss_type=p.loss_type,
                max_length=p.max_response_tokens)
CURVES = ["reward", "kl_k3", "entropy", "length", "grad_norm", "clipped"]
figure = plots.LiveFigure(lambda history: plots.plot_training(history, CURVES))
histories = {"cited, live": trained(cited, p.live_steps, live=figure, updates=p.updates)}
widgets.say(lesson.live_in_words(histories["cited, live"]))

# %%
made = {"printed": methods.rloo.recipe(**p.shared_with(methods.rloo.Settings)),
        "cited": methods.grpo.recipe(**p.shared_with(methods.grpo.Settings))}
forms = {label: one.history for label, one in made.items()}
histories |= forms
curves_figure = plots.plot_training(forms, CURVES)
display(curves_figure)
lesson.show_two_forms(forms, float(rewards.std(1).mean()), p.updates)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Does GRPO train less smoothly than DPO?
#
# A measure of smoothness, and the three trainings by it: paper 003 says that GRPO is the rougher one.

# %% [markdown]
# Paper 003 says so of its figure 5. Smoothness needs a measure: the noise of a curve from one step to the next (the
# deviation of the differences, over $\sqrt2$) against how far the curve gets (its last third's mean against its
# first's). 0 is a smooth rise; at 1 one step's noise is as large as all progress. The curves are of different things:
# DPO's margin is an average over a batch of fixed pairs, GRPO's reward one over fresh samples that vary from step to
# step. And GRPO's loss is no cost, only its gradient means something. In the cited form, with one update and
# `sequence`, the advantages add up to 0 and the number that is left is the KL; in the printed form it is how rewards
# and log-probs happen to go together in this batch.
#
# The two reward curves saw the same prompts in the same order. Where they shake together, it is the prompts of that
# step that were easy or hard, not the method.

# %%
import math
import numpy as np


def roughness(values):
    """Step-to-step noise over progress; the lower, the smoother. NaN for fewer than 6 steps."""
    values = np.asarray(values, dtype=float)
    if len(values) < 6:
        return math.nan
    third = len(values) // 3
    noise = np.diff(values).std() / math.sqrt(2)
    return float(noise / max(abs(values[-third:].mean() - values[:third].mean()), 1e-12))


dpo = methods.dpo.recipe(preset=p.preset, seed=p.seed, model=p.model, dataset=p.dataset, sft=p.sft)
histories["DPO"] = dpo.history
rough = {label: {name: roughness(histories[label][name][1]) for name in (rises, "loss")}
         for label, rises in (("DPO", "margin"), ("printed", "reward"), ("cited", "reward"))}
lesson.show_roughness(rough, histories)

# %%
display(lesson.smooth_figure(rough, histories))
widgets.say(lesson.smoothest(rough, histories, p.updates))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Two side questions: several temperatures, several updates
#
# Inside, what a group drawn at several temperatures needs, and what the clip does when a batch is used more than once.

# %% [markdown]
# ### Several temperatures in one group
#
# Paper 003 draws each group at varied temperatures; here is what goes wrong if the log-probs forget them, measured on SFT's own
# samples without any training.

# %% [markdown]
# A richer choice of answers is the reason. At temperature $T$ the logits are
# divided by $T$ before the softmax: below 1 likely tokens become likelier still, above 1 the rare ones have a better
# chance. So a sample at $T = 0.7$ was **not** drawn from $\pi_\theta$ but from $\pi_\theta^{(T)}$, and that is whose
# log-prob belongs in the loss: each sample's own.
#
# What goes wrong otherwise can be measured without any training, on SFT's own samples, where policy, old policy and
# [reference](glossary.md) are the same model, so that every ratio must be 1 and every KL 0. If one side remembers the
# temperature and
# the other does not:

# %%
from prefnb.batches import from_samples, prompt_ids

many = asked[:4 * p.batch_size]
each = p.samples // len(p.varied)  # answers at every temperature
ids = [prompt_ids(tokenizer, prompt) for prompt in many]
drawn = [course.samples_of(sft, tokenizer, ids, samples=each, temperature=t,
                           max_new_tokens=p.max_response_tokens, seed=p.seed + 1 + number)
         for number, t in enumerate(p.varied)]
# Every prompt's first answer, then every prompt's second, and so on: so they share the prompt.
mixed = [answers[i * each + j] for answers in drawn for j in range(each) for i in range(len(many))]
scored = teacher(many * p.samples, [one.text for one in mixed]).total.reshape(p.samples, len(many))
scored = torch.tensor(scored).float().T  # (prompts, samples)
advantage = group_relative(scored, scale_rewards=p.scale_rewards).T.flatten()
warmth = [t for t in p.varied for _ in range(each * len(many))]
batch = from_samples(ids, [one.ids for one in mixed], temperature=warmth).to(sft.device)

# %%
from dataclasses import replace

from prefnb.logprobs import DatasetLogprobs, Scorer


@torch.no_grad()
def logprobs(temperature):
    """The samples' log-probs under the SFT policy at each sample's given temperature (None: 1)."""
    return Scorer(sft.eval())(replace(batch, temperature=temperature)).sample


def sharpness(temperature, h=0.02):
    """The derivative of each sample's log-prob when the distribution is sharpened (in log 1/T)."""
    wider, narrower = logprobs(temperature * math.exp(h)), logprobs(temperature * math.exp(-h))
    return ((narrower.sum - wider.sum) / (2 * h)).cpu().numpy()


own, at_one = logprobs(batch.temperature), logprobs(None)
scores = sharpness(batch.temperature), sharpness(torch.ones_like(batch.temperature))
lesson.show_temperatures(batch.temperature, advantage.numpy(), own, at_one, p.clip, scores,
                         own.length.cpu().numpy())

# %% [markdown]
# The two columns on the right are $\nabla \log \pi$ in one direction, "make the distribution sharper", averaged over
# samples with its 95% interval. An unbiased baseline rests on its being 0 on average, whatever the reward. With each
# sample's own temperature the undivided one is, up to the noise of these samples (a few very unlikely tokens at a high
# temperature carry most of it, so that intervals from so few are rough). Divided by the length, nothing makes it 0:
# that is the bias of `sequence` from above, and the last number says how large it is in this direction. With the
# temperature ignored, a cool sample says "sharper" and a hot one "flatter", for a reason that is not in the rewards;
# and where the cool samples are also the better ones (their mean advantage is above 0), both push the same way: cool
# ones pull, hot ones push away. A ratio between the two kinds of log-probs is wrong at once: the clip holds tokens
# before anything was learnt.

# %% [markdown]
# ### Several updates on one batch of samples
#
# The clip at work: a third live training uses every batch of samples several times, and shows how many tokens the clip then holds
# and how far the ratios spread.

# %% [markdown]
# Drawing samples is the dear part; why not use them more than once? After the first update the policy is no longer
# the one that drew them. The ratio corrects for that, exactly in expectation per token, but its noise grows with the
# distance. The clip ends the reward for going further. Below, live again and with the same warm-up, each of
# `update_batches` batches of samples is used for `more_updates` optimiser steps.

# %%
ratios = []


def watched(policy, reference=None, *, old, **given):
    """`grpo`, taking notes of every token's ratio."""
    ratios.append((policy.sample.token - old).exp()[policy.sample.mask].detach().cpu())
    return grpo(policy, reference, old=old, **given)


several = f"{p.more_updates} updates"
histories[several] = trained(partial(watched, **cited.keywords), p.update_batches * p.more_updates,
                             updates=p.more_updates)
held = histories[several]["clipped"][1].reshape(-1, p.more_updates)  # (batches of samples, updates)
micro_batches = len(ratios) // len(histories[several].rows)  # of a step
last_ratios = torch.cat(ratios[-micro_batches:]).numpy()

# %%
updates_figure = lesson.updates_figure(held, last_ratios, p.clip)
display(updates_figure)
widgets.say(lesson.updates_in_words(held, last_ratios, p.clip))
if p.kl_weight > 0:
    widgets.say(lesson.kl_when_drawn({"cited, live": (histories["cited, live"], p.updates),
                                      several: (histories[several], p.more_updates)}))

# %% [markdown]
# ## Does it win?
#
# The two forms after `steps` steps, beside the base model and DPO: all answer each test prompt `draws` times at
# temperature 0.7, as in every notebook, and the `judge` (in the pocket world gold, unless you name another) compares
# every answer with every one of SFT's to the same prompt. A tie counts half; the bars are 95% intervals.

# %%
long = {"base": models.load_model(p.model), "SFT": sft, "DPO": dpo.model,
        "GRPO, printed": made["printed"].model, "GRPO, cited": made["cited"].model}
comparison = course.compare(long, tokenizer, p, judge=judge)
figures = {"book_training": curves_figure, "book_updates": updates_figure, "groups": groups_figure,
           "clip": clip_figure}
if comparison.judge:
    figures["win_rates"] = plots.plot_win_rates(comparison.win_rates, against="SFT")
    display(figures["win_rates"])
    lesson.show_winners(comparison, p.reward)
collapses = lesson.show_collapse(comparison)

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show("GRPO, cited", long["GRPO, cited"], sft, tokenizer, p, history=made["cited"].history,
          comparison=comparison, read=list(long)[1:])

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are of the cited form over 200 steps: several
# seeds, with settings that a small grid chose on training prompts. They were made once, by `make claims`: they are
# the one thing here that this run did not compute, and no parameter and no edit above changes them. All of them
# together are in [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

beside.show("grpo", "GRPO, cited", p, history=made["cited"].history, metrics=("reward", "length"),
            live=comparison.win_rates.get("GRPO, cited"), comparison=comparison)

# %% [markdown]
# ## The paper says, we measured
#
# Paper 003's table 1 has three measures. BLEU-4 (0 to 100) counts the runs of up to four words that an answer shares
# with a reference answer. [Perplexity](glossary.md) is $e$ to the mean negative log-prob per token of held-out *chosen*
# responses;
# less is better. The paper's [win rates](glossary.md) are against Instruct, ours against SFT, and its SFT has a length penalty
# (see
# [01 · SFT](01_sft.ipynb)). Ours is a far smaller world: compare orders, not
# digits. And this is one seed. That is the first table.
#
# The claim is "base < SFT < DPO < GRPO". Even in the paper's own table that holds for the win rate only: GRPO's
# BLEU-4 lies below DPO's, and SFT's perplexity is worse than the base model's. So in the second table each step is held against
# the direction that the paper's table prints, with a verdict where there is an interval. The third is about smoothness (the
# measure is in the folded section above). One run cannot give a verdict on either claim; the long runs, in the last table, can.

# %%
held_out = course.pair_examples(p, tokenizer, "test", limit=200)
held_out = replace(held_out, responses={"chosen": held_out.responses["chosen"]})
chosen = {name: DatasetLogprobs.compute(one, held_out).all().chosen for name, one in long.items()}
perplexity = {name: evaluate.perplexity(found.sum, found.length) for name, found in chosen.items()}
bleu = lesson.bleu(comparison)
lesson.show_table_1(comparison, bleu, perplexity)
lesson.show_steps_up(comparison, bleu, perplexity,
                     {name: found.sum.cpu().numpy() for name, found in chosen.items()})
lesson.show_rougher(rough)
beside.show_verdicts(p, [], also=[14, 15])

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Your turn
#
# Write a loss of your own. `policy.sample` has `.sum`, `.mean` and `.length`, one number a sample, and `.token`, one a token; so
# has `reference`. `advantage` says how much better than its group a sample was. Return one number a sample. Take the `#` from
# the last line: your loss is checked, trained for twelve steps, drawn beside GRPO, and put into a table that survives a
# restart.

# %%
from prefnb import your_turn

try_it = your_turn.on_samples(p, sft, tokenizer, teacher, group_relative,
                              usual=("GRPO", partial(grpo, kl_weight=0.0)),
                              folder="runs/attempts/10_grpo")


def my_loss(policy, reference, *, advantage):
    """A sum over tokens in place of their mean: a long answer pushes more."""
    return -advantage * policy.sample.sum / 40


# try_it(my_loss, "a constant denominator")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. A token has advantage $-1$, the clip is 0.2. Predict, then run: what is the gradient of its gain $\min(\cdot, \cdot)$
#    with respect to its log-prob at ratio 0.7, and at ratio 1.3?
# 2. Each answer to a prompt is right with probability 0.9, independently, and the reward is 1 or 0. What share of
#    groups of 8 is dead?
# 3. Write GRPO's loss with a clip of 0.2, each sample divided by its own length. `policy.sample` has `.token`, `.mask` and
#    `.length`; `advantage` is (samples,) and may carry a gradient, which is not to be followed; `old` has the log-probs of
#    the tokens when they were sampled, in the shape of `.token`. The check knows the usual slips and tells you which one
#    it is.

# %%
import torch

from prefnb import checks

answer_1 = None  # two numbers, such as (1.0, 2.0)
answer_2 = None  # a share, 0 to 1


def my_grpo(policy, advantage, old):
    """One number a sample."""
    return None


checks.grpo_10(answer_1, answer_2, my_grpo)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = (0, -1.3)
# ```
#
# At 0.7 the gain is $\min(-0.7, -0.8) = -0.8$, a constant: gradient 0. At 1.3 it is $\min(-1.3, -1.2) = -1.3$,
# which is $-\rho$, and the gradient of $\rho$ with respect to the log-prob is $\rho$: so $-1.3$.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 0.43
# ```
#
# $0.9^8 + 0.1^8 \approx 0.43$.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_grpo(policy, advantage, old):
#     """One number a sample."""
#     ratio = torch.exp(policy.sample.token - old)
#     a = advantage.detach()[:, None]
#     gain = torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a)
#     return -(gain * policy.sample.mask).sum(1) / policy.sample.length
# ```
#
# The minimum comes after the multiplication: for a negative advantage it takes the *larger* ratio. Padding has ratio 1
# and a gain of its own, so the mask is needed before the sum.
# </details>
#
# ## What you have seen
#
# - Paper 003's equation is RLOO with a KL; the method that it cites divides by the group's deviation, clips the ratio
#   to the policy that drew the samples, and adds k3.
# - k1 and k3 both estimate the KL. Differentiated, k1 has no slope on average and k3 that of another divergence.
# - Dividing by a group's deviation makes prompts with little at stake count as much as others; groups of equal
#   rewards teach nothing, and coarse rewards make many of them.
# - The denominator decides what a token of a long answer gets; per-sequence means are gentle to long bad ones.
# - A log-prob belongs to the distribution that the sample was drawn from, temperature included.
# - Several updates use samples again; the clip says when they are used up.
#
# Previous: [09_rloo](09_rloo.ipynb). The loss on pairs: [02_dpo](02_dpo.ipynb).
#
# ### So, what does a group of answers teach that one answer cannot?

# %%
told = [f"{name} {comparison.win_rates[name].beats} SFT ({comparison.win_rates[name]})"
        for name in ("GRPO, printed", "GRPO, cited") if comparison.judge]
widgets.say("**How good an answer is beside what else the policy says to this prompt."
            + (f" Taught by that, {' and '.join(told)}.**" if told else "**"))
folder = course.record(p.output_dir, p, histories, comparison, figures, roughness=rough,
                       dead_groups=dead, perplexity=perplexity,
                       bleu4=bleu if all(comparison.references) else {},
                       collapsed={one: c.reasons for one, c in collapses.items() if c.collapsed})
print(f"Parameters, histories, responses and figures are in {folder}.")

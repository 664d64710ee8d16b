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
# - how the denominator of the loss prefers long or short answers;
# - the cited form in training, live, and both forms over many steps; whether that is less smooth than DPO;
# - samples at several temperatures, and what goes wrong if the log-probs forget them;
# - several updates on one batch of samples, with the clip at work;
# - win rates, BLEU and perplexity beside the paper's.
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
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.grpo.Settings, course.Judging,
                     live_steps=parameters.Whole(2, 1_000_000),
                     varied=parameters.Numbers(above=0, high=5),
                     more_updates=parameters.Whole(2, 64),
                     update_batches=parameters.Whole(1, 1_000_000))
for name in ("temperatures", "varied"):
    if p.samples % len(getattr(p, name)):
        raise parameters.ParameterError(f"{p.samples} samples cannot be shared evenly among {len(getattr(p, name))} "
                                        f"temperatures ('{name}'); make 'samples' a multiple of their number.")

# %%
import math
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display

from prefnb import data, evaluate, judges, models, plots, widgets
from prefnb.batches import from_samples, prompt_ids
from prefnb.logprobs import DatasetLogprobs, Scorer, from_tokens
from prefnb.estimators.groups import dead_groups
from prefnb.methods import grpo as library, rloo
from prefnb.training import train

plt.style.use("prefnb.book")
if reward is None and not data.Source(p.dataset).judge:
    p.reward = "proxy"
    widgets.say(
        "No gold judge knows the answers to these prompts, so a trained reward model (the proxy) gives the rewards.")

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
# "how much better than was to be expected", is the [**advantage**](glossary.md) $A$, and with a good choice the estimate is far less
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
# meant. This is RLOO, REINFORCE with a leave-one-out [baseline](glossary.md), plus a KL. It divides by no deviation, has no ratio and
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
#   where the two agree, and on average over the policy's samples the KL.
#
# ### Four rewards by hand
#
# Four answers score $1, 4, 4$ and $7$. The first one's others have mean $(4 + 4 + 7)/3 = 5$, so its leave-one-out
# advantage is $1 - 5 = -4$. The mean of the whole group is $4$, so it lies $-3$ from that. Work out the last one, then
# look.

# %%
toy_rewards = torch.tensor([[1.0, 4.0, 4.0, 7.0]])
k = toy_rewards.shape[1]
toy = {"leave one out (printed)": rloo.leave_one_out(toy_rewards),
       "less the group's mean": toy_rewards - toy_rewards.mean(1, keepdim=True),
       "... over its deviation (cited)": library.group_relative(toy_rewards)}
rows = [[label, *values[0].tolist()] for label, values in toy.items()]
widgets.show_table(["advantage", *(f"reward {value:g}" for value in toy_rewards[0])], *rows)
logits, answers = torch.zeros(5, requires_grad=True), torch.tensor([0, 2, 2, 4])  # a policy over five answers


def toy_gradient(advantage):
    """Of -sum_i A_i log pi(y_i) with respect to the five logits."""
    return torch.autograd.grad(-(advantage[0] * logits.log_softmax(0)[answers]).sum(), logits)[0]


print("gradient, leave one out:        ", toy_gradient(toy["leave one out (printed)"]).numpy().round(3))
print("gradient, less the group's mean:", toy_gradient(toy["less the group's mean"]).numpy().round(3))

# %% [markdown]
# **The first two gradients point the same way**; one is $k/(k-1)$ times the other, here $4/3$, a matter of step size. So
# "less the group's mean" is as good as "leave one out". The third row is the same direction *within this group*. What
# its division changes is how much this group counts beside others.
#
# ## The loss in full
#
# Training below uses these two functions. Change them and run on. `rewards` is (prompts, $k$), a row being a group;
# `advantage` comes flat, one number per sample.

# %%
def group_relative(rewards, *, scale_rewards="group", eps=1e-4):
    """(R - mean of the group) / deviation of the group, of the batch, or 1."""
    centred = rewards - rewards.mean(1, keepdim=True)
    dead = (rewards == rewards[:, :1]).all(1, keepdim=True)  # equal rewards: exactly nothing, not rounding's leftovers
    centred = torch.where(dead, torch.zeros_like(centred), centred)
    if scale_rewards == "none":
        return centred
    return centred / ((rewards.std(1, keepdim=True) if scale_rewards == "group" else rewards.std()) + eps)


def grpo(policy, reference=None, *, advantage, old=None, clip=0.2, kl_weight=0.0, loss_type="sequence",
         max_length=None):
    """-min(ratio * A, clipped ratio * A) + kl_weight * k3, summed over a sample's tokens and divided; (batch,)."""
    token, mask, length = policy.sample.token, policy.sample.mask, policy.sample.length.clamp(min=1)
    ratio = torch.exp(token - (token.detach() if old is None else old))  # without `old`: 1, with the right gradient
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
# `loss_type="token"` divides by nothing here: the training loop then averages over the tokens of the whole batch.
#
# ### The clip
#
# What one token brings, against its ratio, for a good and a bad sample.

# %%
line = torch.linspace(0.4, 1.6, 241)
clip_figure, axes = plots.subplots(1, 2, figsize=(7, 2.5), sharex=True)
for axis, a, title in zip(axes, (1.0, -1.0), ("better than its group: A = +1", "worse than its group: A = -1")):
    at = from_tokens(sample=line.log()[:, None])
    loss, _ = grpo(at, advantage=torch.full_like(line, a), old=torch.zeros(len(line), 1), clip=p.clip)
    axis.plot(line, line * a, ":", color=plots.MEANINGS["reference"], label="without the clip")
    axis.plot(line, -loss, color=plots.MEANINGS["policy"], label="with it")
    axis.axvspan(1 - p.clip, 1 + p.clip, color="#888888", alpha=0.15)
    axis.set(xlabel="ratio  $\\pi_\\theta / \\pi_{old}$", title=title)
axes[0].set_ylabel("gain of the token")
axes[0].legend(loc="upper left")
display(clip_figure)
widgets.say(f"**A good token has nothing more to gain beyond a ratio of {1 + p.clip:g}, a bad one nothing below "
            f"{1 - p.clip:g}: there the curve is level, without a gradient.** Its sample has moved by enough *for this "
            "batch of samples*. The other side is never level: a good token that became less likely by mistake is always "
            "pulled back.")

# %% [markdown]
# ## What the deviation divides away
#
# Three prompts. On the easy one nearly every answer is as good as it gets; on the hard one nearly every one is bad; on
# the third the answers differ a lot. The weight of a prompt is the mean size of its advantages.

# %%
three = torch.tensor([[9.0, 9.0, 9.0, 8.8], [2.0, 4.0, 6.0, 8.0], [2.0, 2.0, 2.0, 2.2]])
rows = [["scale_rewards", "easy: 9, 9, 9, 8.8", "open: 2, 4, 6, 8", "hard: 2, 2, 2, 2.2"]]
for scale in ("group", "batch", "none"):
    weights = group_relative(three, scale_rewards=scale).abs().mean(1)
    rows.append([scale, *(f"weight {w:.2f}, {w / weights.sum():.0%} of all" for w in weights)])
widgets.show_table(*rows)

# %% [markdown]
# **Divided by its own deviation, a difference of 0.2 counts about as much as one of 6**: a prompt's weight no longer knows
# how much is at stake. That helps where small differences matter and hurts where they are noise. With the batch's
# deviation, or with none, prompts keep their proportions.
#
# ### On real groups
#
# Here are the starting policy (made now if the cache does not have it), the teacher, a judge whose scores are the
# rewards, and groups of answers. (The `judge` says at the end who wins.)

# %%
sft, tokenizer = methods.sft.starting_policy(p)
teacher, judge = methods.rloo.judge_for(p), methods.reward_model.judge_of(p)
asked = course.training_prompts(p, tokenizer)
few = asked[:2 * p.batch_size]
drawn = course.answers_of(sft, tokenizer, few, draws=p.samples, temperature=1.0, max_new_tokens=p.max_response_tokens)
judged = judges.score_samples(teacher, few, drawn)
rewards = torch.tensor(judged.total).float()  # (prompts, k)
spread = rewards.std(1)
coarse = {"1 if above the median of all": rewards > rewards.median()}  # rewards of all or nothing
if "helpfulness" in judged.parts:
    right = torch.tensor(judged.parts["helpfulness"])
    coarse = {"1 if at least half is right": right >= 0.5, "1 if all of it is right": right == 1}

# %%
groups_figure, (left, right) = plots.subplots(1, 2, figsize=(8, 2.9))
for scale, label, colour in (("group", "group", plots.CYCLE[0]), ("none", "batch or none", plots.CYCLE[1])):
    weight = group_relative(rewards, scale_rewards=scale).abs().mean(1)
    left.plot(spread, weight / weight.mean(), "o", markersize=4, color=colour, label=label)
left.set(xlabel="deviation of a prompt's rewards", ylabel="its weight (mean 1)", title="who is listened to")
left.legend(title="scale_rewards")
for number, (label, ones) in enumerate(coarse.items()):
    counts = np.bincount(ones.sum(1), minlength=p.samples + 1)
    right.bar(np.arange(p.samples + 1) + 0.4 * number, counts, 0.4, color=plots.CYCLE[number], label=label)
for end in (0, p.samples):
    right.axvspan(end - 0.25, end + 0.65, color=plots.MEANINGS["rejected"], alpha=0.15)
right.set(xlabel=f"answers of {p.samples} with reward 1", ylabel="prompts", title="all or nothing: dead at both ends")
right.legend()
display(groups_figure)
narrow, wide = (float(np.quantile(spread, q)) for q in (0.1, 0.9))
widgets.say(
    f"Among these {len(few)} prompts deviations run from {narrow:.2f} (one in ten is below) to {wide:.2f} "
    "(one in ten above): **divided by their own deviation they all weigh about the same; undivided, the widest weigh "
    f"{wide / max(narrow, 1e-9):.1f} times as much as the narrowest.**")

# %% [markdown]
# ### Dead groups
#
# If all rewards of a group are equal, every advantage is 0 and the group teaches nothing. It is counted in the
# history as `dead_groups`. It happens where rewards are coarse, as in mathematics (right or wrong): the prompts that
# are too easy and those that are too hard both drop out, the more of them the smaller the groups. What stands in the
# two shaded columns on the right above is dead. Here is the share of such groups, by size (the first answers of each).

# %%
sizes = sorted({size for size in (2, 4, 8, p.samples) if size <= p.samples})
dead = {name: [dead_groups(values[:, :size].float()).float().mean().item() for size in sizes]
        for name, values in {f"the {p.reward} reward": rewards, **coarse}.items()}
widgets.show_table(["share of groups that are dead", *(f"k = {size}" for size in sizes)],
                   *[[name, *(f"{share:.0%}" for share in shares)] for name, shares in dead.items()])
told = ", ".join(f"{shares[-1]:.0%} by *{name}*" for name, shares in dead.items())
widgets.say(f"**Of groups of {sizes[-1]} are dead: {told}.** The coarser the reward and the smaller the group, the more.")

# %% [markdown]
# ## Who is it divided by? The length bias
#
# Two answers have the same advantage. One has 2 tokens, the other 8, and at most 10 are allowed. `sequence` gives each
# *answer* the same total push, so a token of the long one gets less. `token` and `constant` give each *token* the same
# push, so the long answer gets more in total. The numbers are the gradient on the log-probs, computed.

# %%
def push(loss_type, advantage, lengths=(2, 8), max_length=10):
    """Minus the gradient on each sample's log-probs: (per token, of the whole sample), each a list."""
    tokens = [torch.full((n,), -1.0, requires_grad=True) for n in lengths]
    loss, _ = grpo(from_tokens(sample=tokens), advantage=torch.full((len(lengths),), advantage),
                   loss_type=loss_type, max_length=max_length)
    (loss.sum() / sum(lengths) if loss_type == "token" else loss.mean()).backward()
    return [-one.grad[0].item() for one in tokens], [-one.grad.sum().item() for one in tokens]


TYPES = ("sequence", "token", "constant")
rows = [["loss_type", "advantage", "a token of the short", "a token of the long", "the whole short", "the whole long"]]
rows += [[kind, f"{a:+g}", *(f"{v:+.3f}" for part in push(kind, a) for v in part)]
         for kind in TYPES for a in (1.0, -1.0)]
widgets.show_table(*rows)

# %% [markdown]
# **With `sequence` a good short answer is pushed up harder per token than a good long one, and a bad long answer is pushed
# down more gently per token than a bad short one.** So among bad answers the long ones survive: if most answers
# are bad, lengths creep up. `token` has no such preference within a batch, but what a token gets depends on how long
# the *other* answers are. `constant` depends on nothing but itself.
#
# There is a second price. $\mathbb{E}[\nabla \log \pi(y)] = 0$ is what lets a baseline be taken off without changing
# the average. $\nabla \log \pi(y) / |y|$ is **not** zero on average, because the length depends on the sample: with
# `sequence` the average gradient is no longer exactly that of the expected reward. Whether it shows is measured below,
# in one direction (*Several temperatures*).
#
# ## Training
#
# **Live**, by the two functions above: the first `live_steps` steps of the very training that comes ready-made below,
# with the same prompts in the same order, the same seed, and a rate that warms up over as many steps. (With an edited
# loss, or another `schedule` than a constant rate, it is a training of its own.) A **step** is one step of the
# optimiser throughout; with one update for every batch of samples, as here and below, that is one batch a step.
# `reward` is that of the samples trained on; `entropy` says how undecided the policy is, per token.

# %%
WARM_UP = round(0.1 * p.steps)  # steps, as many as in the ready-made trainings


def source(policy, **settings):
    """The policy's own samples, judged, as the training loop's batches."""
    return course.rollouts(policy, tokenizer, p, teacher, partial(group_relative, scale_rewards=p.scale_rewards),
                           reference_model=sft if p.kl_weight > 0 else None, **settings)


def trained(objective, steps, average="example", live=None, **settings):
    """A copy of the SFT policy learns from its own samples for `steps` optimiser steps; the history."""
    policy = models.copy_model(sft)
    batches = source(policy, **settings)
    return train(policy, batches, objective, epochs=steps / len(batches), learning_rate=p.learning_rate,
                 schedule=p.schedule, warmup=WARM_UP / steps, average=average, live=live)


averaged = {"sequence": "example", "token": "token", "constant": "example"}[p.loss_type]
cited = partial(grpo, clip=p.clip, kl_weight=p.kl_weight, loss_type=p.loss_type, max_length=p.max_response_tokens)
CURVES = ["reward", "kl_k3", "entropy", "length", "grad_norm", "clipped"]
histories = {}
figure = plots.LiveFigure(lambda history: plots.plot_training(history, CURVES))
histories["cited, live"] = trained(cited, p.live_steps, averaged, live=figure, updates=p.updates)

# %% [markdown]
# **So few steps, most of them warm-up, show that something moves, and no more.** Below are both forms over `steps` steps,
# from the same weights and on the same prompts: "printed" is RLOO ($-A \cdot \log \pi$ with leave-one-out advantages,
# plus the KL), "cited" the loss above, both by the library's own copies of the functions. At the defaults they come
# **ready-made** with the package; with other parameters they are made now, which takes a second or two a step. These
# are the policies that are compared further down.

# %%
made = {"printed": methods.rloo.recipe(**p.shared_with(methods.rloo.Settings)),
        "cited": methods.grpo.recipe(**p.shared_with(methods.grpo.Settings))}
policies = {label: one.model for label, one in made.items()}
histories |= {label: one.history for label, one in made.items()}
curves_figure = plots.plot_training({label: one.history for label, one in made.items()}, CURVES)
curves_figure


# %%
def change(history, name):
    """The mean of a curve's first and last quarter, in words; of few steps, where a quarter says nothing, one mean."""
    values = history[name][1]
    quarter = len(values) // 4
    if quarter < 5:
        return f"{values.mean():.2f} throughout"
    return f"{values[:quarter].mean():.2f} to {values[-quarter:].mean():.2f}"


shown = [name for name in ("reward", "kl_k3", "entropy", "length", "spread", "dead_groups", "clipped", "unfinished")
         if name in histories["cited"].names]
rows = [["first quarter of the steps to last", *made]]
rows += [[name, *(change(one.history, name) if name in one.history.names else "" for one in made.values())]
         for name in shown]
widgets.show_table(*rows)
share = histories["cited"]["clipped"][1].mean()
widgets.say(
    "**The reward of the samples: " + " and ".join(f"{change(histories[label], 'reward')} ({label})" for label in made)
    + f"**, first quarter of the steps to last. The clip held {share:.1%} of the tokens of the cited form"
    + (": with one update per batch of samples every ratio is 1 when the gradient is taken, so the clip has nothing to "
       "do. Further below it has." if p.updates == 1 else "."))
widgets.say(
    "Not a race on equal terms: the same `kl_weight` is another strength in the two. The cited form divides the "
    f"differences in reward by their deviation (here {spread.mean():.2f} points on average), the KL by nothing. The "
    "gradient's length (`grad_norm`) matters little: the loop cuts it to at most 1, and Adam rescales the rest.")

# %% [markdown]
# ### Does GRPO train less smoothly than DPO?
#
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
def roughness(values):
    """Step-to-step noise over progress; the lower, the smoother. Not a number for fewer than 6 steps."""
    values = np.asarray(values, dtype=float)
    if len(values) < 6:
        return math.nan
    third = len(values) // 3
    noise = np.diff(values).std() / math.sqrt(2)
    return float(noise / max(abs(values[-third:].mean() - values[:third].mean()), 1e-12))


dpo = methods.dpo.recipe(preset=p.preset, seed=p.seed, model=p.model, dataset=p.dataset, sft=p.sft)
histories["DPO"] = dpo.history
curves_of = {"DPO": ("margin", "loss"), "printed": ("reward", "loss"), "cited": ("reward", "loss")}
rough = {label: {name: roughness(histories[label][name][1]) for name in names} for label, names in curves_of.items()}
widgets.show_table(["roughness", "of what is to rise", "of the loss", "steps"],
                   *[[label, *(f"{value:.2f} ({name})" for name, value in found.items()), len(histories[label].rows)]
                     for label, found in rough.items()])

# %%
smooth_figure, axes = plots.subplots(1, 3, figsize=(8, 2.4))
for axis, (label, names) in zip(axes, rough.items()):
    steps_of, values = histories[label][list(names)[0]]
    axis.plot(steps_of, values, color="#888888", linewidth=0.9)
    axis.plot(steps_of, plots.smooth(values, max(1, len(values) // 5)), color=plots.colours(rough)[label])
    axis.set(title=f"{label}: {list(names)[0]}", xlabel="step")
    axis.xaxis.get_major_locator().set_params(integer=True)
display(smooth_figure)
rises = {label: next(iter(found.values())) for label, found in rough.items()}
same = [histories["printed"]["reward"][1], histories["cited"]["reward"][1][::p.updates]]  # one value a batch of samples
batches_of_both = min(map(len, same))
together = np.corrcoef(*(values[:batches_of_both] for values in same))[0, 1]
if any(map(math.isnan, rises.values())):
    widgets.say("**Of fewer than 6 steps nobody can tell how smooth they are.**")
else:
    widgets.say(
        "**By what is to rise, " + " < ".join(f"{label} ({rises[label]:.2f})" for label in sorted(rises, key=rises.get))
        + f"**, the smoothest first. The two reward curves go together with a correlation of {together:.2f}"
        + (": most of what shakes them is the prompts." if together > 0.7 else "."))

# %% [markdown]
# ## Several temperatures in one group
#
# Paper 003 draws each group at varied temperatures, for a richer choice of answers. At temperature $T$ the logits are
# divided by $T$ before the softmax: below 1 likely tokens become likelier still, above 1 the rare ones have a better
# chance. So a sample at $T = 0.7$ was **not** drawn from $\pi_\theta$ but from $\pi_\theta^{(T)}$, and that is whose
# log-prob belongs in the loss: each sample's own.
#
# What goes wrong otherwise can be measured without any training, on SFT's own samples, where policy, old policy and
# [reference](glossary.md) are the same model, so that every ratio must be 1 and every KL 0. If one side remembers the temperature and
# the other does not:

# %%
many, each = asked[:4 * p.batch_size], p.samples // len(p.varied)  # prompts; answers at every temperature
ids = [prompt_ids(tokenizer, prompt) for prompt in many]
drawn = [course.samples_of(sft, tokenizer, ids, samples=each, temperature=t, max_new_tokens=p.max_response_tokens,
                           seed=p.seed + 1 + number) for number, t in enumerate(p.varied)]
# Every prompt's first answer, then every prompt's second, and so on: so they share the computation of the prompt.
mixed = [answers[i * each + j] for answers in drawn for j in range(each) for i in range(len(many))]
scored = teacher(many * p.samples, [one.text for one in mixed]).total.reshape(p.samples, len(many))
advantage = group_relative(torch.tensor(scored).float().T, scale_rewards=p.scale_rewards).T.flatten()
batch = from_samples(ids, [one.ids for one in mixed],
                     temperature=[t for t in p.varied for _ in range(each * len(many))]).to(sft.device)


@torch.no_grad()
def logprobs(temperature):
    """The samples' log-probs under the SFT policy at each sample's given temperature (None: 1)."""
    return Scorer(sft.eval())(replace(batch, temperature=temperature)).sample


def sharpness(temperature, h=0.02):
    """The derivative of each sample's log-prob when the distribution is sharpened (in log 1/T), and its length."""
    wider, narrower = logprobs(temperature * math.exp(h)), logprobs(temperature * math.exp(-h))
    return ((narrower.sum - wider.sum) / (2 * h)).cpu().numpy(), narrower.length.cpu().numpy()

# %%
own, at_one = logprobs(batch.temperature), logprobs(None)
(score_own, length), (score_ignored, _) = sharpness(batch.temperature), sharpness(torch.ones_like(batch.temperature))
ratio, advantage = (at_one.token - own.token).exp(), advantage.numpy()
rows = [["drawn at", "mean advantage", "tokens outside the clip at step 0", "\"KL\" at step 0 (nats)",
         "towards sharper, own temperature", "temperature ignored"]]
for t in sorted(set(p.varied)):
    here = (batch.temperature == t).cpu()
    tokens_here = ratio[here][own.mask[here]]
    found = [evaluate.mean_and_interval(values[here.numpy()])
             for values in ((own.sum - at_one.sum).cpu().numpy(), score_own, score_ignored)]
    rows.append([f"T = {t:g}", f"{advantage[here.numpy()].mean():+.2f}",
                 f"{((tokens_here - 1).abs() > p.clip).float().mean():.0%}", *found])
widgets.show_table(*rows)
zero = lambda values: "its interval holds 0" if np.prod(evaluate.bootstrap_interval(values)) <= 0 else "it is not 0"
said = lambda values: f"{evaluate.mean_and_interval(values)}: {zero(values)}"
widgets.say(
    f"**Own temperature, all samples: {said(score_own)}. Temperature ignored: {said(score_ignored)}.** Divided by the "
    f"sample's length, as `sequence` does, the right one becomes {said(score_own / length)}.")

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
#
# ## Several updates on one batch of samples
#
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
histories[several] = trained(partial(watched, **cited.keywords), p.update_batches * p.more_updates, averaged,
                             updates=p.more_updates)
held = histories[several]["clipped"][1].reshape(-1, p.more_updates)  # (batches of samples, updates)
micro_batches = len(ratios) // len(histories[several].rows)  # of a step
last_ratios = torch.cat(ratios[-micro_batches:]).numpy()

# %%
updates_figure, (left, middle) = plots.subplots(1, 2, figsize=(8, 2.7))
left.plot(range(1, p.more_updates + 1), held.mean(0), "o-", color=plots.MEANINGS["policy"])
left.set(xlabel="update on the same samples", ylabel="tokens that the clip holds", xticks=range(1, p.more_updates + 1))
low, high = min(0.5, 1 - 1.5 * p.clip), max(1.5, 1 + 1.5 * p.clip)
middle.hist(np.clip(last_ratios, low, high), np.linspace(low, high, 50), color=plots.MEANINGS["policy"])
middle.axvspan(1 - p.clip, 1 + p.clip, color="#888888", alpha=0.2)
middle.set(xlabel=f"ratio at update {p.more_updates}", ylabel="tokens (log scale)", yscale="log")
updates_figure

# %%
outside = (np.abs(last_ratios - 1) > p.clip).mean()
low, high = np.quantile(last_ratios, [0.05, 0.95])
widgets.say(
    f"**Over all batches the clip held {held[:, 0].mean():.1%} of the tokens at the first update and "
    f"{held[:, -1].mean():.1%} at the last.** At the last update of the last batch {outside:.1%} have a ratio outside "
    f"1 ± {p.clip:g}; nine in ten lie between {low:.2f} and {high:.2f}. A token outside is not always held: the clip acts "
    "only on the side where more was to be gained.")
if p.kl_weight > 0:  # only a batch's first update sees samples of the policy as it is: later, k3's mean is no KL
    kl = {name: histories[name]["kl_k3"][1][::updates]
          for name, updates in (("cited, live", p.updates), (several, p.more_updates))}
    last = min(map(len, kl.values()))
    widgets.say(f"KL from SFT when batch {last} was drawn: "
                + ", ".join(f"{name} {values[last - 1]:.2f}" for name, values in kl.items()) + " nats.")

# %% [markdown]
# ## Does it win?
#
# The two forms after `steps` steps, beside the base model and DPO: all answer each test prompt `draws` times at
# temperature 0.7, as in every notebook, and the `judge` (in the pocket world gold, unless you name another) compares
# every answer with every one of SFT's to the same prompt. A tie counts half; the bars are 95% intervals.

# %%
base = models.load_model(p.model)
long = {"base": base, "SFT": sft, "DPO": dpo.model,
        "GRPO, printed": policies["printed"], "GRPO, cited": policies["cited"]}
comparison = course.compare(long, tokenizer, p, judge=judge)
rates_figure = plots.plot_win_rates(comparison.win_rates, against="SFT") if comparison.judge else None
if comparison.judge:
    display(rates_figure)
    duel = comparison.win_rate("GRPO, cited", "GRPO, printed")
    widgets.say(
        f"By the {comparison.judge.name} score: "
        + "; ".join(f"**{name} {rate.beats} SFT**, {rate}" for name, rate in comparison.win_rates.items())
        + f". The cited form **{duel.beats}** the printed one, {duel}. Both learnt from the {p.reward} reward"
        + (", which is the judge here, too; DPO learnt from noisy pairs." if p.reward == comparison.judge.name else
           "."))

# %%
tuned = [name for name in comparison.answers if name not in ("SFT", "base")]
checks = {name: comparison.collapse(name) for name in tuned}
rows = [["policy", f"{comparison.judge.name} score" if comparison.judge else "score", "tokens", "collapsed?"]]
rows += [[name, f"{comparison.scores[name].total.mean():.2f}" if comparison.judge else "no judge",
          f"{evaluate.mean_length(comparison.answers[name]):.1f}",
          "; ".join(checks[name].reasons) or "no" if name in checks else ""] for name in comparison.answers]
widgets.show_table(*rows)
fallen = [name for name, check in checks.items() if check.collapsed]
widgets.say(f"**{', '.join(fallen) + ': collapsed' if fallen else 'None of the trained policies has collapsed'}.**")

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
# with a reference answer. Perplexity is $e$ to the mean negative log-prob per token of held-out *chosen* responses;
# less is better. The paper's win rates are against Instruct, ours against SFT, and its SFT has a length penalty (see
# [01 · SFT](01_sft.ipynb)). Ours is a far smaller world: compare orders, not
# digits. And this is one seed.

# %%
PAPER = {"base": (0.500, 16.3, 19.8), "SFT": (0.549, 18.1, 20.7),
         "DPO": (0.593, 19.7, 18.9), "GRPO": (0.611, 19.4, 18.4)}
held_out = course.pair_examples(p, tokenizer, "test", limit=200)
held_out = replace(held_out, responses={"chosen": held_out.responses["chosen"]})
chosen = {name: DatasetLogprobs.compute(model, held_out).all().chosen for name, model in long.items()}
perplexity = {name: evaluate.perplexity(found.sum, found.length) for name, found in chosen.items()}
has_references = all(comparison.references)
bleu = {name: evaluate.bleu(comparison.texts(name), comparison.references)["bleu4"] if has_references else math.nan
        for name in long}
rows = [["policy", "win rate: paper", "here, against SFT", "BLEU-4: paper", "here", "perplexity: paper", "here"]]
for name in long:
    paper = PAPER[name.split(",")[0]] if name != "GRPO, cited" else ("", "", "")
    won = comparison.win_rates.get(name, "0.5 by definition" if name == "SFT" and comparison.judge else "no judge")
    win, four, perplexed = map(str, paper)
    rows.append([name, win, won, four, f"{bleu[name]:.1f}", perplexed, f"{perplexity[name]:.2f}"])
widgets.show_table(*rows)

# %% [markdown]
# The claim is "base < SFT < DPO < GRPO". Even in the paper's own table that holds for the [win rate](glossary.md) only: GRPO's
# BLEU-4 lies below DPO's, and SFT's [perplexity](glossary.md) is worse than the base model's. So each step below is held against the
# direction that the table prints, with a verdict where there is an interval.

# %%
def step_up(worse, better):
    """Verdicts on one step of the paper's table: wins, BLEU-4, and log-prob of the held-out responses."""
    first, second = (PAPER[name.split(",")[0]] for name in (worse, better))
    won = "no judge"
    if comparison.judge:
        rate = comparison.win_rate(better, worse)
        won = f"{rate}: {evaluate.verdict(rate.interval)}"
    same = (bleu[better] > bleu[worse]) == (second[1] > first[1])
    bleu_said = f"{bleu[better] - bleu[worse]:+.1f}: {'the same' if same else 'the other'} direction"
    bleu_said = bleu_said if has_references else "no references"
    sign = 1 if second[2] < first[2] else -1  # likelier responses are a lower perplexity
    gain = sign * (chosen[better].sum - chosen[worse].sum).cpu().numpy()
    return [f"{worse} to {better}", won, f"{second[1] - first[1]:+.1f}; {bleu_said}",
            f"{second[2] - first[2]:+.1f}; {perplexity[better] - perplexity[worse]:+.2f}: "
            + evaluate.verdict(evaluate.bootstrap_interval(gain), 0.0)]


pairs_of = (("base", "SFT"), ("SFT", "DPO"), ("DPO", "GRPO, printed"), ("DPO", "GRPO, cited"))
steps_up = [step_up(*pair) for pair in pairs_of]
widgets.show_table(["14: step (one seed)", "wins against the one before", "BLEU-4: paper; here",
                    "perplexity: paper; here"], *steps_up)
agrees = lambda column, word: sum(word in row[column] for row in steps_up)  # noqa: E731
widgets.say(f"**Of the {len(steps_up)} steps {agrees(1, 'holds here')} go the paper's way in wins, {agrees(2, 'the same')} "
            f"in BLEU-4 and {agrees(3, 'holds here')} in perplexity.**")

# %%
def rougher(name, than):
    """Is a curve of the printed and of the cited form rougher than one of DPO? In words, and the verdict."""
    found = [rough[form][name] > rough["DPO"][than] for form in ("printed", "cited")]
    if any(math.isnan(value) for of in rough.values() for value in of.values()):
        return ["too few steps", "cannot be told"]
    verdict = {2: "so it was in this run", 0: "not so in this run"}.get(sum(found), "of one form only")
    return [", ".join("yes" if one else "no" for one in found), verdict]


widgets.show_table(["15: GRPO trains less smoothly than DPO (printed, cited)", "rougher?", "one run each, no interval"],
                   ["by what is to rise", *rougher("reward", "margin")], ["by the loss", *rougher("loss", "loss")])
widgets.say(f"**Does GRPO train less smoothly than DPO? By what is to rise, {rougher('reward', 'margin')[1]}; by the "
            f"loss, {rougher('loss', 'loss')[1]}.** One run each: no interval, no verdict.")

# %% [markdown]
# One run cannot give a verdict on either claim. The long runs can.

# %%
beside.show_verdicts(p, [], also=[14, 15])

# %% [markdown]
# ## At the edges
#
# Four cases that a formula must survive. *Equal rewards*: the deviation is 0, yet the advantages are exactly 0 and
# not 0/0. *$k = 2$*: the advantages are a number and its negative; divided by the deviation they are $\pm 1/\sqrt2$
# whatever the rewards, if they differ: only who is better counts, not by how much. *One-token responses*: all three
# denominators see the same thing up to a constant. *All unfinished*: no sample holds an end token, so only the reward
# can tell the policy to stop, and if all are as bad for it, the group is dead; the history's `unfinished` shows it, and
# a warning is printed.

# %%
group_of = lambda *values: group_relative(torch.tensor([values]))[0]
cases = {"equal rewards": (group_of(5.0, 5.0, 5.0), [3, 4, 2]), "k = 2": (group_of(5.0, 5.1), [3, 4]),
         "one token each": (group_of(1.0, 4.0, 7.0), [1, 1, 1]),
         "all unfinished": (group_of(1.0, 1.0, 1.0), [10, 10, 10])}
rows = [["case", "advantages", "loss", "largest gradient"]]
for name, (advantage, tokens) in cases.items():
    token = [torch.full((n,), -1.0, requires_grad=True) for n in tokens]
    loss = grpo(from_tokens(sample=token), advantage=advantage)[0].mean()
    largest = max(g.abs().max() for g in torch.autograd.grad(loss, token))
    rows.append([name, ", ".join(f"{a:+.3f}" for a in advantage), f"{loss:+.3f}", f"{largest:.3f}"])
widgets.show_table(*rows)
fine = not any("nan" in cell or "inf" in cell for row in rows[1:] for cell in row[1:])
widgets.say(f"**{'Every number is finite' if fine else 'Some number is not finite'}; a group of equal rewards moves nothing.**")

# %% [markdown]
# ## Exercises
#
# 1. A group of three scores 2, 5 and 8. What is the leave-one-out advantage of the 8?
# 2. A token has advantage $-1$, the clip is 0.2. What is the gradient of its gain $\min(\cdot, \cdot)$ with respect
#    to its log-prob at ratio 0.7, and at ratio 1.3?
# 3. Each answer to a prompt is right with probability 0.9, independently, and the reward is 1 or 0. What share of
#    groups of 8 is dead?
#
# <details><summary>Solutions</summary>
#
# 1. The others' mean is 3.5, so 4.5.
# 2. At 0.7 the gain is $\min(-0.7, -0.8) = -0.8$, a constant: gradient 0. At 1.3 it is $\min(-1.3, -1.2) = -1.3$,
#    which is $-\rho$, and the gradient of $\rho$ with respect to the log-prob is $\rho$: so $-1.3$.
# 3. $0.9^8 + 0.1^8 \approx 0.43$.
# </details>

# %%
from prefnb import exercises

answer_1 = None  # a number
answer_2 = None  # two numbers, such as (1.0, 2.0)
answer_3 = None  # a share, 0 to 1


def check_exercises():
    """Hold the answers against the definitions."""
    one = rloo.leave_one_out(torch.tensor([[2.0, 5.0, 8.0]]))[0, -1].item()
    token = torch.tensor([[0.7], [1.3]]).log().requires_grad_()
    loss, _ = library.grpo(from_tokens(sample=token), advantage=-torch.ones(2), old=torch.zeros(2, 1))
    three = sum(math.comb(8, k) * 0.9**k * 0.1 ** (8 - k) for k in (0, 8))
    two = (-torch.autograd.grad(loss.sum(), token)[0][:, 0]).tolist()
    for number, given, right in ((1, answer_1, one), (2, answer_2, two), (3, answer_3, three)):
        print(f"{number}: {exercises.of_numbers(given, right, within=5e-3)}")


check_exercises()

# %% [markdown]
# ## What you have seen

# %%
forms = ("GRPO, printed", "GRPO, cited")
told = " and ".join(f"{name} {comparison.win_rates[name].beats} SFT" for name in forms) if comparison.judge else ""
widgets.say("**What does a group of answers teach that one answer cannot? How good an answer is beside what else the "
            f"policy says to this prompt.** {told and f'Taught by that, {told}.'}")
collapsed = {name: check.reasons for name, check in checks.items() if check.collapsed}
figures = {"book_training": curves_figure, "book_updates": updates_figure, "groups": groups_figure, "clip": clip_figure}
if comparison.judge:
    figures["win_rates"] = rates_figure
folder = course.record(p.output_dir, p, histories, comparison, figures, roughness=rough, dead_groups=dead,
                       collapsed=collapsed, perplexity=perplexity, bleu4=bleu if has_references else {})
print(f"Parameters, histories, responses and figures are in {folder}.")

# %% [markdown]
# - Paper 003's equation is RLOO with a KL; the method that it cites divides by the group's deviation, clips the ratio
#   to the policy that drew the samples, and adds k3.
# - Dividing by a group's deviation makes prompts with little at stake count as much as others; groups of equal
#   rewards teach nothing, and coarse rewards make many of them.
# - The denominator decides what a token of a long answer gets; per-sequence means are gentle to long bad ones.
# - A log-prob belongs to the distribution that the sample was drawn from, temperature included.
# - Several updates use samples again; the clip says when they are used up.
#
# Previous: [09_rloo](09_rloo.ipynb). The loss on pairs: [02_dpo](02_dpo.ipynb).

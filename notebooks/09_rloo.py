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
# # 09 · RLOO: how does a model learn from a number that has no gradient?
#
# A pair says which of two answers is better. A *reward* says how good one answer is, and the answer may be the
# model's own. There is more to learn from that, and a new difficulty: the reward comes from outside, so there is
# nothing to differentiate. REINFORCE finds a gradient all the same, and RLOO (*REINFORCE leave-one-out*) makes it
# quiet enough to be of use.
#
# You will see
#
# - how samples and their rewards give a gradient, worked by hand on a policy that knows two words;
# - what a baseline is, why it changes nothing on average, and why a sample must be left out of its own;
# - the noise of the gradient with and without it, *measured* on the same samples of a real policy;
# - REINFORCE and RLOO in training, a few steps live, and RLOO over many: reward, KL, entropy and length;
# - whether the trained policy wins against SFT, and how DPO does beside it;
# - folded: what a policy does that follows a learnt judge instead of the true one, with nothing to hold it back, and what
#   happens at the edges: equal rewards, two samples, one token, no sample that ends.
#
# Nothing has to be run first. Pairs instead of rewards are in [02 · DPO](02_dpo.ipynb), the learnt judge in
# [05 · Reward models](05_reward_model.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' model and data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
prompts: int = None  # training prompts to sample answers for, 1 or more; None takes the preset's
steps: int = None  # training steps, 1 to 1000000; None takes the preset's (pocket 60, qwen 1000)
live_steps: int = 6  # optimiser steps of the two trainings that you watch, 2 or more; a second or two each
batch_size: int = None  # prompts per step, 1 to 4096; None takes the preset's (8)
samples: int = None  # samples of a prompt, K, 2 to 1024; None takes the preset's (pocket 8, qwen 4)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
kl_weight: float = None  # price of moving away from the reference, 0 to 100; None takes the preset's
reward: str = None  # whose scores are the rewards: 'gold' or 'proxy'; None takes the preset's
max_response_tokens: int = None  # longer samples are cut off, 4 or more tokens; None takes the preset's
variance_prompts: int = 8  # prompts of the variance measurement, 1 or more
variance_samples: int = 16  # answers to each of them, 8 or more
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = "runs/09_rloo"  # where the results go: a folder

# %%
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from prefnb import course, data, evaluate, judges, methods, models, parameters, plots, widgets

p = parameters.check(globals(), methods.rloo.Settings, course.Judging,
                     live_steps=parameters.Whole(2, 1_000_000),
                     variance_prompts=parameters.Whole(1, 1000),
                     variance_samples=parameters.Whole(8, 4096))
if reward is None and not data.Source(p.dataset).judge:
    p.reward = "proxy"  # no program knows the answers of other data
teacher = methods.rloo.judge_for(p)  # who rewards
judge = methods.reward_model.judge_of(p)  # who compares in the end
plt.style.use("prefnb.book")

# %% [markdown]
# ## From pairs to rewards
#
# A [policy](glossary.md) $\pi_\theta$ draws an answer $y$ to a prompt $x$; a judge gives it a reward $R(y)$. We want the
# *expected* reward to grow:
#
# $$J(\theta) = \mathbb{E}_{y \sim \pi_\theta}[R(y)] = \sum_y \pi_\theta(y)\, R(y).$$
#
# $R$ has no gradient, since a judge is no function of the weights. $\pi_\theta(y)$ has one: the weights decide how
# often each answer is drawn. Nobody can sum over all answers, but $\nabla \pi = \pi\, \nabla \log \pi$ turns the
# sum back into an average over samples:
#
# $$\nabla J = \sum_y R(y)\, \nabla \pi_\theta(y) = \mathbb{E}_{y \sim \pi_\theta}\big[R(y)\, \nabla S(y)\big], \qquad
#   S(y) = \log \pi_\theta(y).$$
#
# In words: draw, look at the reward, and push each answer's log-prob up in proportion to it. The average of the
# pushes is the gradient. This is the *score-function identity*; learning with it is REINFORCE (Williams 1992).
#
# ### Two words by hand
#
# Let the policy know two answers, $a$ and $b$, and have one weight: $\pi(a) = \sigma(\theta)$ with
# $\theta = \log 3$, so $a$ is drawn three times in four. Let $R(a) = 2$ and $R(b) = 6$. Then
#
# - $J = \tfrac34 \cdot 2 + \tfrac14 \cdot 6 = 3$;
# - $\nabla J = \pi(a)\,\pi(b)\,(R(a) - R(b)) = \tfrac{3}{16}\cdot(-4) = -\tfrac34$;
# - $\nabla S(a) = 1 - \pi(a) = \tfrac14$ and $\nabla S(b) = -\pi(a) = -\tfrac34$;
# - so a sample of $a$ estimates $2 \cdot \tfrac14 = \tfrac12$, and a sample of $b$ estimates
#   $6 \cdot (-\tfrac34) = -\tfrac92$;
# - on average that is $\tfrac34 \cdot \tfrac12 - \tfrac14 \cdot \tfrac92 = -\tfrac34$. Right, though neither sample is
#   anywhere near it.
#
# Now take 3 away from both rewards, the reward that was to be expected. The samples estimate $-\tfrac14$ and
# $-\tfrac94$. Their average is $-\tfrac34$ again, and they lie far closer together.

# %%
toy_rewards = torch.tensor([2.0, 6.0])
probabilities = lambda theta: torch.stack([theta.sigmoid(), (-theta).sigmoid()])
expected = lambda theta: (probabilities(theta) * toy_rewards).sum()
theta = torch.tensor(3.0).log()
slope = (expected(theta + 1e-2) - expected(theta - 1e-2)) / 2e-2  # no calculus in it
pi = probabilities(theta)
grad_log = torch.stack([1 - pi[0], -pi[0]])  # of S(a) and S(b)
rows = [["reward counted as", "a sample of a says", "a sample of b says", "average", "variance"]]
for name, baseline in (("R", 0.0), ("R - 3", expected(theta))):
    says = (toy_rewards - baseline) * grad_log
    mean = (pi * says).sum()
    rows.append([name, *map(float, (*says, mean, (pi * (says - mean) ** 2).sum()))])
widgets.show_table(*rows)
widgets.say(f"**Both average to the slope of the expected reward, {slope:.3f} by differences, "
            f"and the baseline makes the variance {rows[1][-1] / rows[2][-1]:.1f} times smaller.**")

# %% [markdown]
# ## A baseline, and whose reward must not be in it
#
# Any number $c$ may be taken from the reward, because
# $\mathbb{E}[c\,\nabla S(y)] = c\,\nabla \sum_y \pi(y) = c\,\nabla 1 = 0$. It is called a *baseline*. What
# remains is the *advantage*: how much better an answer was than expected. In real life the expected reward is not
# known. RLOO draws $K$ answers to the same prompt, and each takes the mean of the **others** for its [baseline](glossary.md):
#
# $$A_i = R_i - \frac{1}{K - 1} \sum_{j \ne i} R_j.$$
#
# The proof above needs a $c$ that does not depend on $y$; the other samples do not. The mean of *all* $K$, written
# $\bar R$, contains $R_i$ itself, and each answer then argues a little against itself:
# $R_i - \bar R = \frac{K - 1}{K} A_i$, so the gradient is too small by that factor.
#
# Paper 001 (§6.3.1) prints no baseline at all; that is `plain` here. Below are both, and four answers to one prompt,
# with rewards 1, 2, 3 and 6. Work out the first [advantage](glossary.md) before you look: the others' mean is $11/3$.
#
# Then back to the two words: many gradients, each estimated from ten samples, without a baseline and with the
# leave-one-out one. Ten samples can hold $b$ none to ten times, so the estimates take a few values only. Both average
# to the line, which is the exact gradient.

# %%
from prefnb.lessons import rloo as lesson, words
from prefnb.training import train


def plain(rewards):
    """The reward itself: REINFORCE, (prompts, K)."""
    return rewards


def leave_one_out(rewards):
    """R_i minus the mean of the other K - 1 rewards to the same prompt: RLOO, (prompts, K)."""
    others = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


four = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
lesson.show_four(four, leave_one_out(four))
both = {"plain": plain, "leave-one-out": leave_one_out}
toy_figure, how_near = lesson.ten_samples(both, toy_rewards, pi, grad_log, p.seed)
display(toy_figure)
widgets.say(how_near)

# %% [markdown]
# ## The loss in full
#
# Training below uses this function; change it and run on. Autograd wants a loss, so we give it one whose gradient
# is $-A\,\nabla S$. Its *number* means nothing: it is no cost that should fall.
#
# The second term keeps the policy near SFT, the [reference](glossary.md) $\pi_\text{ref}$: the KL,
# $\mathbb{E}_{y \sim \pi_\theta}[S(y) - S_\text{ref}(y)]$, "how much likelier the policy finds its own answers than SFT does", in
# nats. A sample estimates it in two ways. With $u_t = \log \pi_\text{ref} - \log \pi_\theta$ of its token $t$,
#
# $$\text{k1} = \sum_t -u_t = S(y) - S_\text{ref}(y), \qquad \text{k3} = \sum_t \big(e^{u_t} - 1 - u_t\big).$$
#
# Both average to the KL. k1 is below 0 for many a sample; k3 never is, and is much quieter, so the curves below show k3
# (`kl_k3`). To *report* the KL and to *lower* it are two things: neither has, differentiated, the KL's gradient on average
# ([10](10_grpo.ipynb) shows that on three words). But the KL is an expectation over the policy's own samples, as the expected
# reward is. So its gradient is estimated in the same way, with k1 as what a sample costs and the other samples as baseline;
# `sampled_kl` (in `prefnb/estimators/kl.py`) does that.

# %%
from prefnb.estimators.kl import sampled_kl
from prefnb.methods.rloo import sample_metrics


def reinforce(policy, reference=None, *, advantage, kl_weight=0.0):
    """-A(y) * S(y) + kl_weight * KL(policy || reference), one number per sample."""
    loss = -advantage * policy.sample.sum
    metrics = sample_metrics(policy)  # entropy and length
    if reference is not None:
        penalty, kl_metrics = sampled_kl(policy, reference, weight=kl_weight)
        loss, metrics = loss + penalty, {**metrics, **kl_metrics}
    return loss, metrics


# %% [markdown]
# ## Data: the model's own answers
#
# There are no pairs and no demonstrations here, only prompts. The fine-tuned model (made now if the cache does not
# have it) answers, and a judge reads. Below are a few prompts, each answered several times; the rewards of one prompt
# are what is compared.

# %%
sft, tokenizer = methods.sft.starting_policy(p)
asked, k = course.training_prompts(p, tokenizer)[:p.variance_prompts], p.variance_samples
drawn = course.answers_of(sft, tokenizer, asked, draws=k, temperature=1.0,
                          max_new_tokens=p.max_response_tokens)
all_rewards = judges.score_samples(teacher, asked, drawn).total  # (prompts, answers)
lesson.say_spreads(all_rewards)
three = {f"answer {i + 1}": drawn[i::k] for i in range(3)}
widgets.show_responses(asked, three, {name: judges.Scores(all_rewards[:, i])
                                      for i, name in enumerate(three)}, rows=(0, 1))

# %% [markdown]
# ## How noisy is the gradient? Measured
#
# A gradient has as many entries as the model has weights. Take the gradient of $S(y)$ for every single sample, once.
# Every estimator is a weighted sum of those same vectors, with the advantages for weights, so all of them can be
# compared on the **same samples**, and only inner products of the vectors are needed.
#
# An estimate uses $K$ samples of each prompt. To see how noisy it is, make two from *different* samples of the same
# prompts: half their mean squared distance is the variance (the sum over all weights). And to see how well
# it points, take its cosine with the gradient from all the samples that it has *not* seen. Both are averages over
# many ways to choose the samples. `batch mean` takes the same number from all rewards: their mean over all prompts.

# %%
ESTIMATORS = {"plain": plain, "batch mean": lambda rewards: rewards - rewards.mean(),
              "leave-one-out": leave_one_out}
products = lesson.inner_products(sft, tokenizer, asked, drawn)  # of the samples' gradients of S
ks = [k for k in (2, 4, 8, 16) if 2 * k <= p.variance_samples]
measured = {name: np.array([lesson.noise(products, all_rewards, how, k, seed=p.seed) for k in ks])
            for name, how in ESTIMATORS.items()}
variance_figure = lesson.variance_figure(ks, measured)
display(variance_figure)
lesson.show_variance(ks, measured, sum(weight.numel() for weight in sft.parameters()))

# %% [markdown]
# Where does the difference come from? Plain rewards push **every** answer, good or bad, and the pushes cancel only on
# average. If your judge's rewards happen to lie around 0, there is less to cancel.
#
# And between the two baselines? The mean over the batch knows nothing of the prompt, so it serves as well as the group's
# own only if prompts do not differ much in their mean reward (both spreads stand under *Data* above). The leave-one-out
# baseline does know, but it is a mean of $K - 1$ numbers, and with $K = 2$ of one: it brings noise of its own, the less
# the larger $K$.
#
# ## Training
#
# **Live**, with the function above, the first `live_steps` steps of two trainings: the same number of samples for both,
# the same prompts, the same rates; the advantage is the only difference. The rate warms up over the first tenth of
# `steps`. Rewards are those of the judge that you chose by `reward`.
#
# So few steps, all or most of them warm-up, show that something moves, and no more. Below them is RLOO over
# `steps` steps, by the library's own copy of the function above; unless you edited yours, or the `schedule`, what
# you watched was its beginning. At the defaults it comes **ready-made** with the package, otherwise it is made now (a
# second or two a step). This is the policy that is compared further down. What as many steps *without* a baseline come
# to, on another reward, is in [08](08_multi_objective.ipynb).
#
# How to read the curves. **Reward** should rise, if anything is learnt: it is the mean over the samples of a step, and each
# step has other prompts, so single steps jump. **KL** says how far the policy has moved for it. **Entropy** (the mean
# surprise of a token, in nats) falls when the policy becomes surer; answers that were possible before are no longer
# drawn. **Length** tells whether the reward is bought by saying more or less. **Spread** is how much rewards differ
# within a group; with no spread there is nothing to learn. (A group of equal rewards is *dead*: all its samples were paid
# for and none of them teaches. The table counts them.) The **gradient norm** is taken before it is clipped to 1. Where it
# is large, the clip throws the size away and only the direction remains, and the direction is what you have seen the noise of.

# %%
WATCHED = ["reward", "kl_k3", "entropy", "length", "spread", "grad_norm"]
histories, picture = {}, plots.LiveFigure()
for label, advantages in (("REINFORCE, live", plain), ("RLOO, live", leave_one_out)):
    picture.plot = lambda history: plots.plot_training({**histories, label: history}, WATCHED)
    policy = models.copy_model(sft)
    source = course.rollouts(policy, tokenizer, p, teacher, advantages, reference_model=sft)
    histories[label] = train(policy, source, partial(reinforce, kl_weight=p.kl_weight),
                             epochs=p.live_steps / len(source), learning_rate=p.learning_rate,
                             schedule=p.schedule, warmup=round(0.1 * p.steps) / p.live_steps,
                             live=picture)
lesson.show_live(histories, (*WATCHED, "dead_groups", "unfinished"))
rloo = methods.rloo.recipe(**p.shared_with(methods.rloo.Settings))
policies, histories["RLOO"] = {"SFT": sft, "RLOO": rloo.model}, rloo.history
display(plots.plot_training(rloo.history, WATCHED))
widgets.say(lesson.reward_in_words(rloo.history, also=("kl_k3", "entropy", "length")))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Training on a learnt judge
#
# The same training once more, on the rewards of a proxy and without a KL; out comes a second policy, the *proxy's pupil*, which
# the comparison below shows beside RLOO.

# %% [markdown]
# The true judge is a luxury of the pocket world. Usually there is a [reward model](glossary.md) that learnt from pairs, the
# *proxy*.
# It is right about answers like those that it has seen. A policy that follows it moves away from those, to wherever
# the [proxy](glossary.md)'s scores are high, for good reasons or not. The KL would hold it back. So: the same training on the
# proxy, with **no** KL, to see where it goes; **ready-made** as well at the defaults.

# %%
proxy = methods.reward_model.proxy(p)
PUPIL = "proxy's pupil"
as_rloo = p.shared_with(methods.rloo.Settings)
pupil = methods.rloo.recipe(**{**as_rloo, "reward": "proxy", "kl_weight": 0.0})
policies[PUPIL], histories[PUPIL] = pupil.model, pupil.history
display(plots.plot_training(pupil.history, ["reward", "entropy", "length"]))
widgets.say(lesson.reward_in_words(pupil.history, "The proxy's own score of the samples")
            + " Whether the truth went with it is measured on the test prompts, below.")

# %% [markdown]
# ## Do they win?
#
# Every policy answers each test prompt, which no training has seen, `draws` times, and the `judge` compares; in the
# pocket world it is the gold one unless you name another. SFT is the baseline; DPO (made now if the cache does not have
# it) learnt from pairs of the same world and stands beside them. A tie counts half, the bars are 95% intervals.
#
# Training drew its samples at temperature 1, where many an unlikely token slips in; these answers are drawn at 0.7, as
# in every notebook. A policy that has merely become *surer* gains a lot at 1 and little at 0.7, so a reward that rose
# in training is not yet a win here.

# %%
policies["DPO"] = methods.dpo.recipe(preset=p.preset, seed=p.seed, model=p.model,
                                     dataset=p.dataset).model
comparison = course.compare(policies, tokenizer, p, judge=judge)
rates = comparison.win_rates
believed = {label: proxy(comparison.prompts, comparison.texts(label)).total for label in policies}
collapses = {label: comparison.collapse(label) for label in policies if label != "SFT"}
if comparison.judge:
    display(plots.plot_win_rates(rates, against="SFT"))
lesson.show_winners(comparison, believed, collapses, p.reward)
lesson.show_flaws(comparison, ("RLOO", PUPIL))

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show("RLOO", policies["RLOO"], sft, tokenizer, p, history=rloo.history,
          comparison=comparison, read=("SFT", "DPO", "RLOO", PUPIL))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Side questions: which tasks, the proxy's pupil, and the edges
#
# Three short studies: in which of its tasks and in what RLOO got better, whether the proxy's pupil found the truth or the proxy's
# mistakes, and what comes out of four inputs that break careless code.

# %% [markdown]
# ### In which of its tasks, and in what?
#
# The gold score has four parts. A reward can choose among what the model is able to say; it cannot teach a fact that no
# sample ever contains. Long sums (math), rare facts (general knowledge) and names to copy (professional writing) are
# what this model is weakest at.

# %%
lesson.show_tasks(comparison)

# %% [markdown]
# ### And the proxy's pupil?
#
# What the proxy believes against what is true (as far as the `judge` knows), and against how far the policy has gone
# from SFT: the KL, on fresh samples at temperature 1. *Over-optimisation* is a point far to the right that lies lower
# than a nearer one. The proxy reads one answer to each prompt. (The check for [collapse](glossary.md) counts lengths, repeated
# words and answers that never end. It does not read: nonsense of the right length passes it.)

# %%
kls = {label: course.sampled_kl(model, sft, tokenizer, comparison.prompts[:128],
                                max_new_tokens=p.max_response_tokens)
       for label, model in policies.items()}
second = comparison.judge if p.judge != "proxy" else None  # one that the pupil did not learn from
name = second.name if second else "proxy"
true = {label: comparison.scores[label].total if second else believed[label] for label in policies}
proxy_figure = lesson.proxy_figure(believed, true, kls, PUPIL, name)
display(proxy_figure)
for label in (PUPIL, "RLOO"):
    gain = true[label] - true["SFT"] if second else None
    widgets.say(lesson.gained(label, kls[label], believed[label] - believed["SFT"], gain, name,
                              collapses[label]))
widgets.say(lesson.over_optimised(true[PUPIL] - true["SFT"] if second else None, name))

# %% [markdown]
# ### At the edges
#
# Four cases that break careless code, where you might fear a NaN. An answer that was cut is still judged, as it stands.

# %%
import warnings
from prefnb.logprobs import from_tokens
from prefnb.rollouts import Rollouts

equal, pair = torch.full((1, 4), 3.0), torch.tensor([[3.0, 7.0]])
one_token = from_tokens(sample=[[-0.5], [-1.5]])
loss, metrics = reinforce(one_token, advantage=leave_one_out(pair).flatten())
never_ends = Rollouts(sft, tokenizer, asked[:2], teacher, leave_one_out, samples=2,
                      max_new_tokens=1, seed=p.seed)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    short = never_ends.draw(range(len(never_ends.prompts)), p.seed)
lesson.show_edges(leave_one_out(equal), leave_one_out(pair), loss, metrics["length"], short.samples,
                  caught)

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are of RLOO over 200 steps: several seeds, with
# settings that a small grid chose on training prompts. They were made once, by `make claims`: they are the one thing
# here that this run did not compute, and no parameter and no edit above changes them. All of them together are in
# [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

beside.show("rloo", "RLOO", p, history=rloo.history, metrics=("reward", "length"),
            live=rates.get("RLOO"), comparison=comparison)

# %% [markdown]
# ## The paper says, we measured
#
# Paper 001 describes RLOO as future work and prints no figures for it, so most of what we can hold it against is what
# it expects. Its win rates (claim 16) are those of Qwen2.5-0.5B against the base model; ours are one seed, in a far
# smaller world unless you changed the preset. Compare directions, not digits.

# %%
beside.show_verdicts(p, lesson.claims(comparison, lesson.ratios(measured, "plain")[-1], ks[-1]))
if rates:
    same = ", which is also the judge here" if p.reward == comparison.judge.name else ""
    widgets.say(f"The last row is not an even match: RLOO learnt from the {p.reward} reward{same}, "
                "DPO from noisy pairs.")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Your turn
#
# Write a loss of your own. `policy.sample` has `.sum`, `.mean` and `.length`, one number a sample, and `.token`, one a token; so
# has `reference`. `advantage` says what each sample is worth, with the leave-one-out baseline. Return one number a sample. Take
# the `#` from the last line: your loss is checked, trained for twelve steps, drawn beside RLOO, and put into a table that
# survives a restart.

# %%
from prefnb import your_turn

try_it = your_turn.on_samples(p, sft, tokenizer, teacher, leave_one_out,
                              usual=("RLOO", partial(reinforce, kl_weight=p.kl_weight)),
                              folder="runs/attempts/09_rloo")


def my_loss(policy, reference, *, advantage):
    """Learn from what was better than its group, and never from what was worse."""
    return -advantage.clamp(min=0) * policy.sample.sum


# try_it(my_loss, "successes alone")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Add 100 to every reward. Predict, then run: does the variance of the leave-one-out gradient become `"larger"`,
#    `"smaller"`, or does it stay the `"same"`? (To see it, run the variance cell again with `all_rewards + 100`.)
# 2. Four answers have rewards 4, 4, 4 and 8. What are the leave-one-out advantages of the first and of the last?
# 3. Write RLOO's loss. `rewards` is (prompts, K), and `policy.sample` has the samples in the order of `rewards.flatten()`.
#    The rewards come from a reward model and carry a gradient of their own, which is not to be followed. The check knows
#    the usual slips and tells you which one it is.

# %%
from prefnb import checks

answer_1 = None  # "larger", "smaller" or "same"
answer_2 = None  # two numbers, such as (1, 2)


def my_rloo(policy, rewards):
    """One number a sample, from .sample.sum and the rewards."""
    return None


checks.rloo_09(answer_1, answer_2, my_rloo)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = "same"
# ```
#
# The same: the 100 is in the sample's reward and in the others' mean. The plain variance grows enormously.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = (-4 / 3, 4)
# ```
#
# The first: $4 - 16/3 = -4/3$. The last: $8 - 4 = 4$. They sum to 0, as always.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_rloo(policy, rewards):
#     """One number a sample, from .sample.sum and the rewards."""
#     others = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
#     advantage = (rewards - others).detach().flatten()
#     return -advantage * policy.sample.sum
# ```
#
# The others' mean is their sum over K - 1; with the sample's own reward in it, it would be over K, and every advantage too
# small by a factor of $1 - 1/K$. The detach says that an advantage is a number: samples are made likelier, and rewards
# are not made higher.
# </details>
#
# ## What you have seen
#
# - A reward needs no gradient: samples weighted by their rewards give one, exact on average.
# - A baseline takes nothing from that average and much from the noise. Leaving a sample out of its own baseline keeps
#   the average exact.
# - The loss's number means nothing. Watch the reward, and beside it KL, entropy and length.
# - A policy follows the judge that it is given, the learnt one's mistakes included; only another judge can tell.
#
# Previous: [08 · Multi-objective](08_multi_objective.ipynb). Next: [10 · GRPO](10_grpo.ipynb), which divides by the
# group's spread and goes several steps on the same samples.
#
# ### So, how does a model learn from a number that has no gradient?

# %%
widgets.say("**It samples, and makes likelier what scored better than its group: over "
            f"{len(rloo.history.rows)} steps the reward went "
            + words.first_to_last(rloo.history, "reward")
            + (f", and RLOO {rates['RLOO'].beats} SFT ({rates['RLOO']}).**" if rates else ".**"))
figures = {"toy": toy_figure, "book_variance": variance_figure, "book_proxy": proxy_figure}
folder = course.record(p.output_dir, p, histories, comparison, figures,
                       reward=p.reward, proxy={one: float(v.mean()) for one, v in believed.items()},
                       variance={name: dict(zip(map(str, ks), v[:, 0].tolist()))
                                 for name, v in measured.items()},
                       dpo_against_rloo=comparison.win_rate("DPO", "RLOO").rate if rates else None,
                       collapsed={one: c.reasons for one, c in collapses.items() if c.collapsed})
print(f"Parameters, histories, responses and figures are in {folder}.")

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
# # 08 · Several objectives: who says how much a fluent answer may cost in helpfulness?
#
# A good answer is helpful, and fluent, and short, and honest. Training wants **one** number. Somebody has to make
# one of several, and every way of doing so takes a side. Paper 001 trains on two judges at once, helpfulness and
# fluency; here we do the same with its loss as printed, mend it, and then look at the ways to combine.
#
# You will see
#
# - scores, ideals, gaps and weights, by hand on three answers;
# - the printed loss, whose reward is never above zero: what it does to reward, length and entropy over many steps, and
#   what a [baseline](glossary.md) changes;
# - three ways to make one number of several, as maps: weighted gaps, linear, soft Chebyshev;
# - what a weight buys: the Pareto front of helpfulness and fluency among answers that are there already;
# - a rule that nobody set: a preference function learnt from pairs;
# - whether the trained policies win against SFT, and how DPO does beside them.
#
# Nothing has to be run first. What a [reward model](glossary.md) is: [05 · Reward models](05_reward_model.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the paper's model, data and judges and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
helpfulness_model: str = None  # a reward model (None: the data's own judge, or a proxy): 'pocket', a local folder or a hub name; None takes the preset's
fluency_model: str = None  # a classifier (None: the data's own judge, or brevity): 'pocket', a local folder or a hub name; None takes the preset's
pairs: int = None  # preference pairs that a rule is learnt from, 1 or more; None takes the preset's
steps: int = None  # training steps, 1 to 1000000; None takes the preset's (pocket 60, qwen 1000)
live_steps: int = 8  # optimiser steps of the two trainings that you watch, 2 or more; a second or two each
batch_size: int = None  # prompts per step, 1 to 4096; None takes the preset's (8)
samples: int = None  # samples of a prompt, K, 2 to 1024; None takes the preset's (pocket 8, qwen 4)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
weights: str = "0.5,0.5"  # one for each objective that counts: numbers such as 0.1,1,10, each 0 to 1000
mixes: str = "0,0.25,0.5,0.75,1"  # the sweep: weights a of helpfulness, 0 to 1; fluency has 1 - a
tau: float = None  # sharpness of the soft Chebyshev rule, above 0 and at most 1000000; None takes the preset's (10)
all_weights: str = "0.25,0.25,0.25,0.25"  # weights where all count, four from 0 to 1000; two objectives take two
choice_prompts: int = 128  # prompts of the section on choices, 20 or more
choice_samples: int = 16  # answers of SFT to each of them, to choose among, 2 to 1024
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = "runs/08_multi_objective"  # where the results go: a folder

# %%
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.multi_objective.RuleSettings, course.Judging,
                     live_steps=parameters.Whole(2, 1_000_000), mixes=parameters.Numbers(0, 1),
                     all_weights=parameters.Numbers(0, 1000),
                     choice_prompts=parameters.Whole(20, 100_000),
                     choice_samples=parameters.Whole(2, 1024))
for name, given, needed in (("weights", p.weights, 2), ("all_weights", p.all_weights, 4)):
    if len(given) != needed:
        raise parameters.ParameterError(f"'{name}' needs {needed} numbers, one per objective; it has {len(given)}.")

# %% [markdown]
# ## The idea: scores, ideals, gaps, weights
#
# Judge $i$ gives a response the score $s_i$. Beside it stands an ideal $\hat s_i$, the score that we would be content
# with. What is missing is the gap, and a *criticality weight* $w_i \ge 0$ says how much a gap matters:
#
# $$g_i = |s_i - \hat s_i|, \qquad r = -\sum_i w_i\, g_i.$$
#
# The reward $r$ is $0$ if every ideal is met and below $0$ otherwise. In the pocket world scores run from 0 to 1, and
# the ideal is 1 for all of them.

# %%
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display

from prefnb import data, evaluate, judges, models, plots, widgets
from prefnb.estimators.kl import sampled_kl
from prefnb.methods.multi_objective import feature_names, fit_preference, score_vectors, scored_pairs
from prefnb.methods.rloo import leave_one_out, plain, sample_metrics
from prefnb.training import train

plt.style.use("prefnb.book")


def gaps(scores, ideal=1.0):
    """|s_i - ideal_i| of score vectors (n, objectives)."""
    return (scores - torch.as_tensor(ideal, dtype=scores.dtype)).abs()


def weighted_gaps(gaps, weights):
    """-sum_i w_i g_i, one reward a response; never above 0."""
    return -(gaps * torch.as_tensor(weights, dtype=gaps.dtype)).sum(1)


# %% [markdown]
# ### Three answers by hand
#
# Answer A scores 0.9 in helpfulness and 0.5 in fluency, B the other way round, C 0.7 in both. With ideals of 1 and
# weights of 0.5, A has gaps 0.1 and 0.5, so $r = -0.5 \cdot 0.1 - 0.5 \cdot 0.5 = -0.3$. Work out B and C before you
# look. The last column is what a learner gets that compares each answer with the mean of the other two.

# %%
toy = torch.tensor([[0.9, 0.5], [0.5, 0.9], [0.7, 0.7]], dtype=torch.float64)
toy_rewards = {"0.5, 0.5": weighted_gaps(gaps(toy), [0.5, 0.5]), "0.8, 0.2": weighted_gaps(gaps(toy), [0.8, 0.2])}
widgets.show_table(["weights", "answer", "scores", "gaps", "reward r", "r less the others' mean"],
                   *[[label, "ABC"[i], "{:.1f}, {:.1f}".format(*toy[i]), "{:.1f}, {:.1f}".format(*gaps(toy)[i]),
                      r[i].item(), f"{round(leave_one_out(r[None])[0, i].item(), 3) + 0:+.3f}"]
                     for label, r in toy_rewards.items() for i in range(3)])

# %% [markdown]
# With equal weights the three rewards are equal: helpfulness differs, fluency differs, and the differences
# **cancel**. Nothing can be learnt from such a group, and the reward alone would never tell you why. So we keep an
# eye on every objective's own spread, below as here.
#
# ## The printed loss in full
#
# Paper 001 (§3.3) draws a response $y$ from the [policy](glossary.md) $\pi_\theta$ and minimises
#
# $$L = -\log \pi_\theta(y \mid x) \cdot r .$$
#
# Here it is, with the reward's place taken by an *advantage* $A$ so that we can mend it in a moment; with $A = r$ it
# is the printed loss. $S(y) = \log \pi_\theta(y \mid x)$ is `policy.sample.sum`. Training below uses this function.

# %%
def reinforce(policy, reference=None, *, advantage, kl_weight=0.0):
    """-A(y) S(y), and if wanted a penalty for moving away from the reference; (batch,)."""
    loss, metrics = -advantage * policy.sample.sum, sample_metrics(policy)
    if kl_weight > 0:
        penalty, more = sampled_kl(policy, reference, weight=kl_weight)
        loss, metrics = loss + penalty, {**metrics, **more}
    return loss, metrics


# %% [markdown]
# ### Why pushing by the reward is a gradient
#
# A reward comes from outside and has no gradient; how likely an answer is, has one. With
# $\nabla \pi = \pi\, \nabla \log \pi$ the slope of the expected reward is again an average over samples,
# $\nabla \sum_y \pi(y)\, r(y) = \mathbb{E}[r\, \nabla S(y)]$: each sample pushes its own log-prob up by its reward. A
# constant in $r$'s place averages to $\nabla \sum_y \pi(y) = \nabla 1 = 0$, so any constant may be taken off: a
# *baseline*. Two words show both: $a$ is drawn three times in four and has $r = -6$, $b$ has $r = -2$. One weight
# decides, $\pi(a) = \sigma(\theta)$, so $\nabla S(a) = \tfrac14$ and $\nabla S(b) = -\tfrac34$; the expected reward
# is $-5$. ([09](09_rloo.ipynb) takes its time over this.)

# %%
often, slopes, rewards = torch.tensor([0.75, 0.25]), torch.tensor([0.25, -0.75]), torch.tensor([-6.0, -2.0])
says = {"as printed, r": rewards * slopes, "with a baseline, r + 5": (rewards + 5) * slopes}
mean = lambda values: (often * values).sum()
widgets.show_table(["reward counted", "a sample of a says", "of b", "average", "variance"],
                   *[[label, *map(float, (*v, mean(v), mean((v - mean(v)) ** 2)))] for label, v in says.items()])
widgets.say("**Both average to the true slope, $\\tfrac34 \\cdot \\tfrac14 \\cdot (-6 + 2) = -0.75$: less of a. As "
            "printed, a sample of b, the better word, argues against b.** The baseline ends that, and takes noise away.")

# %% [markdown]
# ### What it can and cannot do
#
# Since $r \le 0$, the loss is $|r| \log \pi_\theta(y)$, and making it small makes $y$ **less** likely, the best
# answer of the group like the worst, only less hard. A sample's own term never raises it; what rises does so because
# something else was pushed down and probabilities add up to one. And nothing stops it: as $\pi_\theta(y) \to 0$ the
# loss goes to minus infinity.
#
# Is it wrong, then? On average, no. A policy over four answers shows it: a baseline, here the mean of the group's
# *other* rewards (leave-one-out), changes nothing in the average. (Answer $i$'s logit is pushed by
# $\pi_i \, (A_i - \sum_j \pi_j A_j)$, where a constant added to all $A$ drops out.) The noise of one draw is another
# matter. Dots are averages, bars one standard deviation of what a single group of four samples does.

# %%
probability, reward = torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([-0.5, -0.3, -0.6, -0.1])
generator = torch.Generator().manual_seed(p.seed)
drawn = torch.multinomial(probability.expand(4000, 4), 4, replacement=True, generator=generator)
pushes = {}
for label, advantages in {"as printed": plain, "leave-one-out": leave_one_out}.items():
    score = torch.eye(4)[drawn] - probability  # d log pi(y) / d logits, for every sample of every group
    pushes[label] = (advantages(reward[drawn])[:, :, None] * score).mean(1)
exact = probability * (reward - (probability * reward).sum())
toy_figure, axis = plots.subplots(figsize=(7, 2.4))
for shift, (label, push), meaning in zip((-0.12, 0.12), pushes.items(), ("rejected", "policy")):
    axis.errorbar(np.arange(4) + shift, push.mean(0), push.std(0), fmt="o", capsize=3, color=plots.MEANINGS[meaning],
                  label=label)
axis.plot(range(4), exact, "k_", markersize=22, label="exact average")
axis.axhline(0, color="#888888", linewidth=0.8)
axis.set_xticks(range(4), [f"$\\pi$ = {a:.1f}, r = {b:.1f}" for a, b in zip(probability, reward)])
axis.set(ylabel="push on the logit")
axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
display(toy_figure)
noise = {label: float(push.var(0).sum().sqrt()) for label, push in pushes.items()}
longer = pushes["leave-one-out"].std(0) >= pushes["as printed"].std(0)
widgets.say(
    f"**The averages agree, and the baseline makes {4 - int(longer.sum())} of the four bars shorter.** All four logits "
    f"together: the standard deviation is {noise['as printed']:.3f} as printed, {noise['leave-one-out']:.3f} with it."
    + "".join(f" It makes that of r = {r:.1f} longer: a reward near 0 hardly pushes as it is." for r in reward[longer]))

# %% [markdown]
# ## Data: prompts, and a judge of several parts
#
# The policy starts from the fine-tuned model (SFT; made now if the cache does not have it). Its answers to the test
# prompts show how far each objective is from its ideal before anything is learnt. With other data than the pocket
# world's, the objectives are made of reward models: those of the parameters, or a [proxy](glossary.md) learnt from the pairs and
# brevity. The `judge` says at the end who wins; in the pocket world the objectives are parts of its score.

# %%
objectives = methods.multi_objective.parts_judge(p)  # a judge whose parts they are
judge = methods.reward_model.judge_of(p)
sft, tokenizer = methods.sft.starting_policy(p)
prompts = data.Source(p.dataset).prompts("test", limit=p.test_prompts, seed=p.seed)["prompt"][:]
answers, scores, histories = {}, {}, {}


def look(label, policy):
    """Let a policy answer each test prompt `draws` times, with its own weights' seed, and keep answers and scores."""
    answers[label] = course.answers_of(policy, tokenizer, prompts, draws=p.draws, temperature=0.7,
                                       max_new_tokens=p.max_response_tokens)
    scores[label] = judges.score_samples(objectives, prompts, answers[label])


look("SFT", sft)
names = list(scores["SFT"].parts)
first, second = names[:2]
widgets.show_table(["objective", "mean score of SFT [95% interval]", "mean gap to 1"],
                   *[[name, evaluate.mean_and_interval(part).lstrip("+").replace("[+", "[").replace(" +", " "),
                      float(1 - part.mean())] for name, part in scores["SFT"].parts.items()])
gap = {name: float(1 - part.mean()) for name, part in scores["SFT"].parts.items()}
widgets.say(f"**The largest gap is that of {max(gap, key=gap.get)} ({max(gap.values()):.2f}), the smallest that of "
            f"{min(gap, key=gap.get)} ({min(gap.values()):.2f}).** The two objectives that training below is about are "
            f"{first} ({gap[first]:.2f}) and {second} ({gap[second]:.2f}).")

# %% [markdown]
# ## As printed, and with a baseline
#
# Two trainings with the same prompts, the same number of samples and the same step size. One takes the reward as it
# is, the other takes from each reward the mean of the other rewards of its prompt. First **live**, with the function
# above: the first `live_steps` steps, while the rate still warms up (over the first tenth of `steps`). Every step asks
# other prompts, some harder than others, so both curves jump together; look at what lies between them.

# %%
CURVES = ["reward", "length", "entropy"]
paper_reward = lambda s: weighted_gaps(gaps(s[:, :2]), p.weights)
combined = judges.Combined(objectives, lambda parts: paper_reward(score_vectors(parts)))
live, picture = {}, plots.LiveFigure()


def trained_live(label, advantages):
    """A copy of SFT learns for `live_steps` steps, as a training of `steps` begins; its history is kept in `live`."""
    picture.plot = lambda history: plots.plot_training({**live, label: history}, CURVES)
    policy = models.copy_model(sft)
    source = course.rollouts(policy, tokenizer, p, combined, advantages,
                             reference_model=sft if p.kl_weight > 0 else None)
    live[label] = train(policy, source, partial(reinforce, kl_weight=p.kl_weight), epochs=p.live_steps / len(source),
                        learning_rate=p.learning_rate, schedule=p.schedule,
                        warmup=round(0.1 * p.steps) / p.live_steps, live=picture)


trained_live("as printed, live", plain)
trained_live("with baseline, live", leave_one_out)

# %%
widgets.show_table([f"mean over {p.live_steps} steps", *CURVES, "gradient norm"],
                   *[[label, *(float(history[name][1].mean()) for name in (*CURVES, "grad_norm"))]
                     for label, history in live.items()])
norms = [history["grad_norm"][1].mean() for history in live.values()]
widgets.say("**So few steps decide nothing about rewards; but the gradient as printed is "
            f"{norms[0] / norms[1]:.1f} times as long as with the baseline.**")

# %% [markdown]
# Here are the two trainings over `steps` steps, by the library's own copy of the function
# above; unless you edited yours, or the `schedule`, what you watched was their beginning. At the defaults they come
# **ready-made** with the package; with other parameters they are made now, which takes a second or two a step. These
# are the policies that are compared below.
#
# A policy that is pushed away from whatever it says has one easy way out: to say anything, which shows as a higher
# entropy than its rival's. Answers may also grow longer, since the end token is among what was sampled and is pushed
# down with the rest.

# %%
def change(label, name):
    """What became of a part of the score against SFT on the same prompts, with its interval."""
    return evaluate.mean_and_interval(scores[label].parts[name] - scores["SFT"].parts[name])


given = p.shared_with(methods.multi_objective.Settings)
made = {"as printed": methods.multi_objective.recipe(**given, baseline="none"),
        "with baseline": methods.multi_objective.recipe(**given)}
histories |= {label: one.history for label, one in made.items()}
for label, one in made.items():
    look(label, one.model)
printed_figure = plots.plot_training(histories, CURVES)
printed_figure


# %%
def ends(history, name):
    """The mean of a curve over the first and over the last third of the steps; of few steps, over all of them."""
    values = history[name][1]
    third = len(values) // 3
    if third < 5:
        return f"{values.mean():.2f} throughout"
    return f"{values[:third].mean():.2f} to {values[-third:].mean():.2f}"


checks = {label: evaluate.collapse_check(answers[label], answers["SFT"]) for label in made}
for label, history in histories.items():
    reward, length, entropy = (ends(history, name) for name in CURVES)
    widgets.say(
        f"**{label}, {len(history.rows)} steps: reward {reward}**, length {length} tokens, entropy {entropy} nats a "
        f"token (first third of the steps to last); the gradient norm was {history['grad_norm'][1].mean():.1f} on "
        f"average. On the test prompts against SFT: {first} {change(label, first)}, {second} {change(label, second)}. "
        f"{checks[label]}")
late = lambda name: [histories[label][name][1][-len(histories[label].rows) // 3:].mean() for label in made]
(undecided, surer), (long, short) = late("entropy"), late("length")
widgets.say(f"**In its last third the training as printed is {'more' if undecided > surer else 'less'} undecided than "
            f"the other ({undecided:.2f} nats a token, {surer:.2f}); its answers are {long / short:.2f} times as long.**")

# %% [markdown]
# ## Three ways to make one number
#
# *Weighted gaps* you know. The *linear* reward of §6.3.1, $a\,s_1 + (1 - a)\,s_2$, needs no ideal; with ideals that
# no score exceeds it differs from the weighted gaps by a constant, and with a baseline constants drop out: one
# method, two names. The *soft Chebyshev* rule, which the paper proposed first, is another kind:
#
# $$r = -\frac{1}{\tau} \log \sum_i e^{\tau w_i g_i} .$$
#
# For a large $\tau$ only the **worst** weighted gap counts. Linear lets a strong side pay for a weak one; Chebyshev
# does not.

# %%
def linear(scores, weights):
    """sum_i w_i s_i."""
    return (scores * torch.as_tensor(weights, dtype=scores.dtype)).sum(1)


def soft_chebyshev(gaps, weights, tau):
    """Nearly minus the worst weighted gap; the nearer, the larger tau."""
    return -torch.logsumexp(tau * (gaps * torch.as_tensor(weights, dtype=gaps.dtype)), 1) / tau


# %%
RULES = {"linear, 0.5 and 0.5": lambda s: linear(s, [0.5, 0.5]), "linear, 0.8 and 0.2": lambda s: linear(s, [0.8, 0.2]),
         f"soft Chebyshev, 0.5 and 0.5, tau {p.tau:g}": lambda s: soft_chebyshev(gaps(s), [0.5, 0.5], p.tau)}
axis_of_scores = torch.linspace(0, 1, 60, dtype=torch.float64)
plane = torch.cartesian_prod(axis_of_scores, axis_of_scores)
rules_figure, axes = plots.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
said = []
for axis, (label, rule) in zip(axes, RULES.items()):
    axis.contour(axis_of_scores, axis_of_scores, rule(plane).reshape(60, 60).T, levels=9, cmap="viridis", linewidths=1)
    best = rule(toy) >= rule(toy).max() - 1e-9
    for name, point, is_best in zip("ABC", toy, best):
        axis.plot(*point, "o", color="black" if is_best else "#AAAAAA")
        axis.annotate(name, point.tolist(), xytext=(5, 4), textcoords="offset points", fontsize=9)
    axis.set(xlabel=first, title=label.replace(", tau", ",\ntau"))
    said.append(f"**{label}** prefers {' = '.join(name for name, is_best in zip('ABC', best) if is_best)}")
axes[0].set_ylabel(second)
display(rules_figure)
widgets.say("; ".join(said) + ". Lines join scores of equal reward; yellow is better.")

# %% [markdown]
# ## What a weight buys: the Pareto front
#
# A rule can be tried before anything is trained on it. SFT answers some prompts many times; each rule chooses, of every
# prompt's answers, the one that it likes best (of equals, all alike). **No policy learns here**: this is what a rule
# asks for, among what the model can say.
#
# No choice is *best*. One **dominates** another if it is better in one objective and no worse in the other; what
# nothing dominates is the *Pareto front*, and choosing among it is a matter of taste, not of arithmetic.
# Where two rules choose alike, their points lie on one another.

# %%
asked = prompts[:p.choice_prompts]
drawn = course.answers_of(sft, tokenizer, asked, draws=p.choice_samples, temperature=1.0,
                          max_new_tokens=p.max_response_tokens)
judged = judges.score_samples(objectives, asked, drawn)
vectors = torch.stack([torch.as_tensor(judged.parts[name]).double() for name in names], 2)  # (prompts, answers, k)


def choose(rule):
    """Mean score vectors of the answers that a rule likes best, (prompts, k), and their share, (prompts, answers)."""
    reward = rule(vectors.flatten(0, 1)).reshape(vectors.shape[:2])
    share = (reward >= reward.max(1, keepdim=True).values - 1e-9).double()
    share = share / share.sum(1, keepdim=True)
    return (vectors * share[:, :, None]).sum(1).numpy(), share.numpy()


rules = {f"linear {a:g}": lambda s, a=a: linear(s[:, :2], [a, 1 - a]) for a in p.mixes}
rules["Chebyshev"] = lambda s: soft_chebyshev(gaps(s[:, :2]), p.weights, p.tau)
rules["all objectives"] = lambda s: weighted_gaps(gaps(s), p.all_weights[:len(names)])
chosen_by = {"any answer": vectors.mean(1).numpy(), **{label: choose(rule)[0] for label, rule in rules.items()}}


# %%
def dominated(points):
    """For each point (n, 2): is there another that is better in one objective and no worse in the other?"""
    points = np.asarray(points)
    better = (points[None] >= points[:, None]).all(2) & (points[None] > points[:, None]).any(2)
    return better.any(1)


def draw_front(found, hollow="dominated"):
    """{label: (prompts, 2)}: means with 95% intervals in the plane of two objectives; dominated points are hollow."""
    figure, axis = plots.subplots(figsize=(7, 3.8), layout="constrained")
    points = np.array([values.mean(0) for values in found.values()])
    beaten = dominated(points)
    for i, ((label, values), colour) in enumerate(zip(found.items(), plt.get_cmap("tab10").colors * 2)):
        across, up = (evaluate.bootstrap_interval(values[:, j]) for j in (0, 1))
        (x, y), face = points[i], "white" if beaten[i] else colour
        axis.plot(across, (y, y), (x, x), up, color=colour, linewidth=0.8)
        axis.plot(x, y, "o", color=colour, markersize=8, label=label, markerfacecolor=face)
    axis.plot(*zip(*sorted(points[~beaten].tolist())), "k:", linewidth=1, zorder=0)
    axis.set(xlabel=f"{first}, mean over prompts", ylabel=f"{second}, mean over prompts")
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title=f"hollow: {hollow}")
    return figure


# %%
front_figure = draw_front({label: found[:, :2] for label, found in chosen_by.items()})
display(front_figure)
most, least = (f"linear {a:g}" for a in (max(p.mixes), min(p.mixes)))
bought = [evaluate.mean_and_interval(chosen_by[most][:, i] - chosen_by[least][:, i]) for i in (0, 1)]
widgets.say(
    f"**From {least} to {most} the chosen answers change by {bought[0]} in {first} and {bought[1]} in {second}** (best "
    f"of {p.choice_samples}, {len(asked)} prompts). Bars are 95% intervals; where they overlap, \"dominated\" is a "
    "statement about these answers and not about the rules.")

# %% [markdown]
# ### The spreads
#
# Within a prompt's group of answers, how much does the reward differ, and how much each objective **times its weight**?
# An objective whose weighted spread is near zero teaches nothing, whatever its ideal. A reward whose spread is far
# below its objectives' has objectives that cancel.

# %%
spread = lambda values: float(values.std(1, correction=0).mean())
rows = []
for a in p.mixes:
    parts = a * vectors[:, :, 0], (1 - a) * vectors[:, :, 1]
    rows.append([f"linear {a:g}", spread(parts[0] + parts[1]), *map(spread, parts)])
widgets.show_table(["rule", "the reward's spread", f"{first}'s, weighted", f"{second}'s, weighted"], *rows)
centred = (vectors[:, :, :2] - vectors[:, :, :2].mean(1, keepdim=True)).flatten(0, 1)
together = float(torch.corrcoef(centred.T)[0, 1])
ratio = spread(vectors[:, :, 0]) / max(spread(vectors[:, :, 1]), 1e-9)
widgets.say(
    f"**At equal weights {first} moves the reward {ratio:.1f} times as much as {second}.** Within a prompt's answers the "
    f"two go together with a correlation of {together:+.2f}: "
    + ("they hardly know of each other, so that a weighted sum loses little to cancelling." if abs(together) < 0.2 else
       "what is good in one is good in the other, and nothing cancels." if together > 0 else
       "what is good in one is often bad in the other, and a weighted sum cancels a part of both."))

# %% [markdown]
# ## A rule that nobody set: the preference function
#
# Which weights are right? Pairs know something about it: in each, somebody preferred one answer. Paper 001 (§6.3.2)
# proposes to learn the rule. With $\vec r$ the vector of scores and $\phi$ a list of features of it (here the scores
# and all their products and squares, standardised),
#
# $$f(\vec r) = \mathbf w^\top \phi(\vec r), \qquad L = -\log \sigma\big(f(\vec r^{\,+}) - f(\vec r^{\,-})\big).$$
#
# The paper calls this "GRPO", for *Generalized Preference Optimization*; it is not notebook 10's GRPO. No policy
# occurs in $L$: it trains $f$ alone. The fitted $f$ then serves as a reward. The loss is convex in $\mathbf w$, so
# Newton's method finds the one minimum.

# %%
chosen, rejected = scored_pairs(objectives, p.dataset, limit=p.pairs, seed=p.seed)
f = fit_preference(score_vectors(chosen.parts), score_vectors(rejected.parts))
held_out = scored_pairs(objectives, p.dataset, "test", limit=500, seed=p.seed)


def right(rule):
    """1 for each held-out pair that a rule on score vectors puts in order, 0.5 for a tie."""
    difference = rule(score_vectors(held_out[0].parts)) - rule(score_vectors(held_out[1].parts))
    return (0.5 * (1 + torch.where(difference.abs() < 1e-9, 0, difference).sign())).numpy()


accuracy = {"learned f": right(f),
            f"weighted sum of {first} and {second}": right(lambda s: linear(s[:, :2], p.weights)),
            "weighted sum of all": right(lambda s: linear(s, p.all_weights[:len(names)]))}
OWN = f"the {judge.name} score" if judge else ""
if judge:
    better, worse = scored_pairs(judge, p.dataset, "test", limit=500, seed=p.seed)
    difference = better.total - worse.total
    accuracy[OWN] = (np.sign(np.where(np.abs(difference) < 1e-9, 0, difference)) + 1) / 2

# %%
weights_figure, axis = plots.subplots(figsize=(7, 0.25 * len(f.weights) + 0.6), layout="constrained")
order = f.weights.abs().argsort()
axis.barh([feature_names(names)[i] for i in order], f.weights[order], color=plots.MEANINGS["policy"])
axis.set(xlabel="weight of the standardised feature")
display(weights_figure)
interval = lambda hits: "{:.3f} to {:.3f}".format(*evaluate.bootstrap_interval(hits))
widgets.show_table(["rule", "held-out pairs in order", "95% interval"],
                   *[[label, float(hits.mean()), interval(hits)] for label, hits in accuracy.items()])

# %% [markdown]
# Features that go together share their weight, so read the bars as a group and not one by one. No rule reaches 1: the
# labels of pairs are noisy.

# %%
by_hand = f"weighted sum of {first} and {second}"
gain = accuracy["learned f"] - accuracy[by_hand]
low, high = evaluate.bootstrap_interval(gain)
than_hand = "better than" if low > 0 else "worse than" if high < 0 else "neither better nor worse, for certain, than"
widgets.say(f"**What was learnt from pairs orders new pairs {than_hand} the two weights set by hand**: "
            f"{evaluate.mean_and_interval(gain)} in the share of pairs in order"
            + (f"; {OWN} is right on {accuracy[OWN].mean():.2f}, f on {accuracy['learned f'].mean():.2f}."
               if OWN in accuracy else "."))

# %%
rules["learned f"] = f
chosen_by["learned f"] = choose(f)[0]
header = ["rule", *(f"{name} of its choice" for name in names)]
totals_of = {}
if judge:
    total = judges.score_samples(judge, asked, drawn).total
    totals_of = {label: (total * choose(rule)[1]).sum(1) for label, rule in rules.items()}
    totals_of = {"any answer": total.mean(1), **totals_of}
    header += [OWN]
mean_total = lambda label: [float(totals_of[label].mean())] if totals_of else []
widgets.show_table(header, *[[label, *map(float, found.mean(0)), *mean_total(label)]
                             for label, found in chosen_by.items()])
if totals_of:
    ranked = sorted(totals_of, key=lambda label: -totals_of[label].mean())
    lead = totals_of[ranked[0]] - totals_of[ranked[1]]
    best = f"\"{ranked[0]}\" chooses best" if evaluate.bootstrap_interval(lead)[0] > 0 else \
        f"\"{ranked[0]}\" and \"{ranked[1]}\" choose best, and cannot be told apart"
    widgets.say(f"**By {OWN} {best}** (the first is ahead of the second by {evaluate.mean_and_interval(lead)} "
                "points). A rule about two objectives cannot ask for the others.")

# %% [markdown]
# ## Does it win?
#
# Now the score of the `judge` as a whole, which no policy here was trained on. (On other data than the pocket world's,
# the proxy as `judge` is the first objective itself, and flatters those who learnt from it.) DPO and the base model
# before any training are there to compare with (from the cache, or made now). All answer the same prompts at
# temperature 0.7.

# %%
policies = {"SFT": sft, **{label: one.model for label, one in made.items()}}
policies["DPO"] = methods.dpo.recipe(preset=p.preset, seed=p.seed, model=p.model, dataset=p.dataset).model
policies["base"] = models.load_model(p.model)
comparison = course.compare(policies, tokenizer, p, judge=judge)
answers, scores = comparison.answers, {label: comparison.scores_by(objectives, label) for label in policies}
shown = ("SFT", "as printed", "with baseline", "DPO")
widgets.show_table(["policy", *names, "tokens"],
                   *[[label, *(float(part.mean()) for part in scores[label].parts.values()),
                      f"{evaluate.mean_length(answers[label]):.1f}"] for label in shown])
widgets.show_table(["change against SFT", *names],
                   *[[label, *(change(label, name) for name in names)] for label in shown[1:]])
gain = lambda label, name: (scores[label].parts[name] - scores["SFT"].parts[name]).mean()
most_in = {label: max(names, key=partial(gain, label)) for label in shown[1:]}
widgets.say("**" + "; ".join(f"{label} gains most in {name}" for label, name in most_in.items()) + ".**")

# %%
if comparison.judge:
    rates = {label: comparison.win_rates[label] for label in ("base", "DPO", "as printed", "with baseline")}
    display(plots.plot_win_rates(rates, against="SFT"))
    duel = comparison.win_rate("with baseline", "as printed")
    widgets.say(f"By {OWN}: "
                + "; ".join(f"**{label} {rate.beats} SFT**, {rate}" for label, rate in rates.items())
                + f". **The policy with the baseline {duel.beats} the one as printed**, {duel}.")
else:
    print("Nobody judges the answers as a whole here: the tables above show the objectives themselves.")

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show("with baseline", policies["with baseline"], sft, tokenizer, p, history=histories["with baseline"],
          comparison=comparison, read=("SFT", "DPO", "as printed", "with baseline"))

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are of the training with the baseline, over 100
# steps: several seeds, with settings that a small grid chose on training prompts. They were made once, by
# `make claims`: they are the one thing here that this run did not compute, and no parameter and no edit above changes
# them. All of them together are in [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

beside.show("multi_objective", "with baseline", p, history=histories["with baseline"], metrics=("reward", "length"),
            live=comparison.win_rates.get("with baseline"), comparison=comparison)

# %% [markdown]
# ## The paper says, we measured
#
# The paper trains Qwen2.5-0.5B and compares by Nemotron-70B with the base model; this is **one seed** in a far smaller
# world unless you changed the preset. The pocket world's base model has read raw text and no dialogs, so the
# comparisons among the fine-tuned policies say more than those with it. A row with "not run" is ours alone. Claim 16 is
# measured by the `judge`, as above, claim 17 by the objectives themselves.

# %%
rows = []
if comparison.judge:
    base = comparison.win_rate("SFT", "base")
    low, high = base.interval
    told = "not contradicted" if low <= 0.5 <= high else "does not hold here"
    rows.append(["16: SFT is about the base", ".485", base, told, (16, 0)])
    for label, paper, other, long_run in (
            ("DPO", ".605", "base", ("dpo", "base")), ("as printed", ".520", "base", None),
            ("as printed", "above", "SFT", None), ("DPO", "above", "as printed", None),
            ("with baseline", "not run", "SFT", (16, 1)), ("with baseline", "not run", "as printed", None),
            ("DPO", "not run", "with baseline", (16, 2))):
        rate = comparison.win_rate(label, other)
        rows.append([f"16: {label} beats {other}", paper, rate, evaluate.verdict(rate.interval), long_run])
for i, (name, high, low) in enumerate(((first, most, least), (second, least, most))):
    values = chosen_by[high][:, i] - chosen_by[low][:, i]
    rows.append([f"17: weight on {name} buys {name} (choices by {high} and {low}; nothing trained)", "finer control",
                 evaluate.mean_and_interval(values), evaluate.verdict(evaluate.bootstrap_interval(values), 0.0)])
beside.show_verdicts(p, rows, also=[17])

# %% [markdown]
# ## Exercises
#
# 1. A response scores 0.6 and 0.9; ideals are 1, weights 2 and 1. What is the reward by weighted gaps, and what by
#    Chebyshev with $\tau \to \infty$?
# 2. The three samples of a prompt have rewards -0.9, -0.3 and -0.6. What are their leave-one-out advantages? (By the
#    printed loss all three would be pushed down.)
# 3. For which weight $a$ of helpfulness does the linear rule find (0.9, 0.5) and (0.6, 0.7) equally good?
#
# <details><summary>Solutions</summary>
#
# 1. $-(2 \cdot 0.4 + 1 \cdot 0.1) = -0.9$; the worst weighted gap is $0.8$, so $-0.8$.
# 2. $-0.9 - (-0.45) = -0.45$; $-0.3 - (-0.75) = +0.45$; $-0.6 - (-0.6) = 0$. They add up to 0: some are raised, some
#    lowered.
# 3. $0.9 a + 0.5 (1 - a) = 0.6 a + 0.7 (1 - a)$ gives $0.3 a = 0.2 (1 - a)$, so $a = 0.4$.
# </details>

# %%
from prefnb import exercises

answer_1 = None  # two numbers, such as (-1, -2)
answer_2 = None  # three numbers
answer_3 = None  # a number


def check_exercises():
    """Hold the answers against the definitions."""
    missing = gaps(torch.tensor([[0.6, 0.9]], dtype=torch.float64))
    one = (weighted_gaps(missing, [2, 1]).item(), soft_chebyshev(missing, [2, 1], 1e6).item())
    two = leave_one_out(torch.tensor([[-0.9, -0.3, -0.6]], dtype=torch.float64))[0].tolist()
    ahead = [linear(torch.tensor([[0.9, 0.5], [0.6, 0.7]]), [a, 1 - a]).diff().item() for a in (0, 1)]
    three = ahead[0] / (ahead[0] - ahead[1])  # where the straight line between them is 0
    for number, given, right in ((1, answer_1, one), (2, answer_2, two), (3, answer_3, three)):
        print(f"{number}: {exercises.of_numbers(given, right, within=1e-3)}")


check_exercises()

# %% [markdown]
# ## What you have seen

# %%
widgets.say("**Who says how much a fluent answer may cost in helpfulness? Whoever sets the weights: from "
            f"{least} to {most} the chosen answers change by {bought[0]} in {first} and by {bought[1]} in {second}.** "
            "No arithmetic says which is right.")
figures = {"book_printed": printed_figure, "book_front": front_figure, "rules": rules_figure}
folder = course.record(p.output_dir, p, {**histories, **live}, comparison, figures,
                       collapsed={label: check.reasons for label, check in checks.items() if check.collapsed},
                       parts={label: {name: float(part.mean()) for name, part in found.parts.items()}
                              for label, found in scores.items()})
print(f"Parameters, histories, responses and figures are in {folder}.")

# %% [markdown]
# - A reward made of gaps is never above zero, so the printed loss only ever pushes down what was sampled. On average
#   it is the right gradient all the same; what a baseline changes is the noise.
# - With a baseline, weighted gaps and the linear rule are one method. Chebyshev is another: the worst gap decides.
# - Weights choose a place on a front. What they can reach shows in every objective's own score and weighted spread.
# - Weights can be learnt from pairs. What is learnt is a judge of score vectors; a policy has yet to be trained on it.
#
# Previous: [07_self_improvement](07_self_improvement.ipynb). Next: [09_rloo](09_rloo.ipynb), where the baseline gets
# a notebook of its own.

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
# - how a number that comes from outside becomes a gradient, by hand on two words;
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
from functools import partial

import matplotlib.pyplot as plt
import torch
from IPython.display import display
from prefnb import course, data, evaluate, judges, methods, models, parameters, plots, widgets

p = parameters.check(globals(), methods.multi_objective.RuleSettings, course.Judging,
                     live_steps=parameters.Whole(2, 1_000_000), mixes=parameters.Numbers(0, 1),
                     all_weights=parameters.Numbers(0, 1000),
                     choice_prompts=parameters.Whole(20, 100_000),
                     choice_samples=parameters.Whole(2, 1024))
for name, given, needed in (("weights", p.weights, 2), ("all_weights", p.all_weights, 4)):
    if len(given) != needed:
        raise parameters.ParameterError(f"'{name}' needs {needed} numbers, not {len(given)}.")
plt.style.use("prefnb.book")

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
#
# ### Three answers by hand
#
# Answer A scores 0.9 in helpfulness and 0.5 in fluency, B the other way round, C 0.7 in both. With ideals of 1 and
# weights of 0.5, A has gaps 0.1 and 0.5, so $r = -0.5 \cdot 0.1 - 0.5 \cdot 0.5 = -0.3$. Work out B and C before you
# look.

# %%
from prefnb.lessons import multi_objective as lesson


def gaps(scores, ideal=1.0):
    """|s_i - ideal_i| of score vectors (n, objectives)."""
    return (scores - torch.as_tensor(ideal, dtype=scores.dtype)).abs()


def weighted_gaps(gaps, weights):
    """-sum_i w_i g_i, one reward a response; never above 0."""
    return -(gaps * torch.as_tensor(weights, dtype=gaps.dtype)).sum(1)


toy = torch.tensor([[0.9, 0.5], [0.5, 0.9], [0.7, 0.7]], dtype=torch.float64)  # A, B and C
toy_rewards = {weights: weighted_gaps(gaps(toy), weights) for weights in ((0.5, 0.5), (0.8, 0.2))}
lesson.show_gaps(toy, gaps(toy), toy_rewards)

# %% [markdown]
# With equal weights the three rewards are equal: helpfulness differs, fluency differs, and the differences
# **cancel**. Nothing can be learnt from such a group, and the reward alone would never tell you why. So we keep an
# eye on every objective's own spread, below as here.
#
# ## How a reward becomes a gradient
#
# A reward comes from outside and has no gradient; how likely an answer is, has one. Let $S(y) = \log \pi_\theta(y \mid x)$ be
# the log-probability that the [policy](glossary.md) $\pi_\theta$ gives an answer $y$ to the prompt $x$. As
# $\nabla \pi_\theta = \pi_\theta\, \nabla S$, the slope of the expected reward is again an average over samples,
# $\nabla \sum_y \pi_\theta(y)\, r(y) = \mathbb{E}[r(y)\, \nabla S(y)]$: each sample pushes its own log-prob up by its reward.
# ($\nabla S$ is the *score function*.) A constant in $r$'s place averages to $\nabla \sum_y \pi_\theta(y) = \nabla 1 = 0$, so any
# constant may be taken off the reward. It is called a **baseline**, and what is left the *advantage* $A$.
#
# **Two words by hand.** $a$ is drawn three times in four and has $r = -6$, $b$ has $r = -2$. One weight decides,
# $\pi(a) = \sigma(\theta)$, so $\nabla S(a) = \tfrac14$ and $\nabla S(b) = -\tfrac34$. The expected reward is $-5$, and its slope
# $\tfrac34 \cdot \tfrac14 \cdot (-6 + 2) = -\tfrac34$: less of $a$. Samples say $-6 \cdot \tfrac14 = -\tfrac32$ (of $a$) and
# $-2 \cdot (-\tfrac34) = +\tfrac32$ (of $b$), on average $-\tfrac34$; with the baseline $-5$ they say
# $-1 \cdot \tfrac14 = -\tfrac14$ and $3 \cdot (-\tfrac34) = -\tfrac94$, on average $-\tfrac34$ again. Without it a sample of
# $b$, the better word, argues *against* $b$. ([09](09_rloo.ipynb) takes its time over this.)
#
# Nobody knows the expected reward of a real prompt. So several answers are drawn, and the baseline of each is the mean
# reward of the **others**: *leave-one-out*.
#
# ## The printed loss in full
#
# Paper 001 (§3.3) draws a response $y$ from the policy and minimises
#
# $$L = -\log \pi_\theta(y \mid x) \cdot r .$$
#
# Here it is, with the reward's place taken by the advantage $A$ so that we can mend it in a moment; with $A = r$ it
# is the printed loss. $S(y)$ is `policy.sample.sum`. Training below uses this function.
#
# Since $r \le 0$, the printed loss is $|r| \log \pi_\theta(y)$, and making it small makes $y$ **less** likely, the best
# answer of a group like the worst, only less hard. A sample's own term never raises it; what rises does so because
# something else was pushed down and probabilities add up to one. And nothing stops it: as $\pi_\theta(y) \to 0$ the
# loss goes to minus infinity. On average it is the right gradient all the same, as the two words show; what suffers is the noise.
#
# (With a `kl_weight` above 0, `sampled_kl` adds a price for leaving the [reference](glossary.md), and reports how far the policy
# is from it by two estimates. With $u_t$ = log-prob of token $t$ by the reference less that by the policy, they are
# $\text{k1} = -\sum_t u_t$ and $\text{k3} = \sum_t (e^{u_t} - 1 - u_t)$. [10](10_grpo.ipynb) tells them apart.)

# %%
from prefnb.estimators.kl import sampled_kl
from prefnb.methods.rloo import leave_one_out, plain, sample_metrics


def reinforce(policy, reference=None, *, advantage, kl_weight=0.0):
    """-A(y) S(y), and if wanted a penalty for moving away from the reference; (batch,)."""
    loss, metrics = -advantage * policy.sample.sum, sample_metrics(policy)
    if kl_weight > 0:
        penalty, more = sampled_kl(policy, reference, weight=kl_weight)
        loss, metrics = loss + penalty, {**metrics, **more}
    return loss, metrics


lesson.show_two_words(reinforce)

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
answers, scores = {}, {}


def look(label, policy):
    """Let a policy answer each test prompt `draws` times, and keep its answers and their scores."""
    answers[label] = course.answers_of(policy, tokenizer, prompts, draws=p.draws, temperature=0.7,
                                       max_new_tokens=p.max_response_tokens)
    scores[label] = judges.score_samples(objectives, prompts, answers[label])


look("SFT", sft)
names = list(scores["SFT"].parts)
lesson.show_start(scores["SFT"].parts, names[:2])

# %% [markdown]
# ## As printed, and with a baseline
#
# Two trainings with the same prompts, the same number of samples and the same step size. One takes the reward as it
# is, the other takes from each reward the mean of the other rewards of its prompt. First **live**, with the function
# above: the first `live_steps` steps, while the rate still warms up (over the first tenth of `steps`). Every step asks
# other prompts, some harder than others, so both curves jump together; what counts is what lies between them.

# %%
from prefnb.methods.multi_objective import score_vectors
from prefnb.training import train

CURVES, live, picture = ["reward", "length", "entropy"], {}, plots.LiveFigure()
paper_reward = lambda parts: weighted_gaps(gaps(score_vectors(parts)[:, :2]), p.weights)
for label, advantages in (("as printed, live", plain), ("with baseline, live", leave_one_out)):
    picture.plot = lambda history: plots.plot_training({**live, label: history}, CURVES)
    policy = models.copy_model(sft)
    source = course.rollouts(policy, tokenizer, p, judges.Combined(objectives, paper_reward),
                             advantages, reference_model=sft if p.kl_weight > 0 else None)
    live[label] = train(policy, source, partial(reinforce, kl_weight=p.kl_weight), live=picture,
                        epochs=p.live_steps / len(source), learning_rate=p.learning_rate,
                        schedule=p.schedule, warmup=round(0.1 * p.steps) / p.live_steps)
lesson.show_live(live, CURVES)

# %% [markdown]
# Here are the two trainings over `steps` steps, by the library's own copy of the function
# above; unless you edited yours, or the `schedule`, what you watched was their beginning. At the defaults they come
# **ready-made** with the package; with other parameters they are made now, which takes a second or two a step. These
# are the policies that are compared below.
#
# A policy that is pushed away from whatever it says has one easy way out: to say anything, which shows as a higher
# entropy than its rival's. Answers may also grow longer, since the end token is among what was sampled and is pushed
# down with the rest. The last sentence below says which of the two happened here.

# %%
given = p.shared_with(methods.multi_objective.Settings)
made = {"as printed": methods.multi_objective.recipe(**given, baseline="none"),
        "with baseline": methods.multi_objective.recipe(**given)}
histories = {label: one.history for label, one in made.items()}
for label, one in made.items():
    look(label, one.model)
collapses = {label: evaluate.collapse_check(answers[label], answers["SFT"]) for label in made}
printed_figure = plots.plot_training(histories, CURVES)
display(printed_figure)
lesson.show_how_they_went(histories, scores, names[:2], collapses)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
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


RULES = {"linear, 0.5 and 0.5": lambda s: linear(s, [0.5, 0.5]),
         "linear, 0.8 and 0.2": lambda s: linear(s, [0.8, 0.2]),
         f"Chebyshev, 0.5 and 0.5, tau {p.tau:g}":
             lambda s: soft_chebyshev(gaps(s), [0.5, 0.5], p.tau)}
rules_figure, preferred = lesson.maps(RULES, toy, names)
display(rules_figure)
widgets.say(preferred)

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
#
# The table below the picture holds the *spreads*: by how much, within a prompt's group of answers, the reward differs, and each
# objective **times its weight**. An objective whose weighted spread is near zero teaches nothing, whatever its ideal. A
# reward whose spread is far below its objectives' has objectives that cancel.

# %%
asked = prompts[:p.choice_prompts]
drawn = course.answers_of(sft, tokenizer, asked, draws=p.choice_samples, temperature=1.0,
                          max_new_tokens=p.max_response_tokens)
judged = judges.score_samples(objectives, asked, drawn)
vectors = torch.stack([torch.as_tensor(judged.parts[name]).double() for name in names], 2)
rules = {f"linear {a:g}": lambda s, a=a: linear(s[:, :2], [a, 1 - a]) for a in p.mixes}
rules["Chebyshev"] = lambda s: soft_chebyshev(gaps(s[:, :2]), p.weights, p.tau)
rules["all objectives"] = lambda s: weighted_gaps(gaps(s), p.all_weights[:len(names)])
chosen_by = lesson.choices(vectors, rules)
bought = lesson.bought(chosen_by, names, p.mixes)  # what all weight on the first objective buys
front_figure = lesson.front(chosen_by, names, bought.title)
display(front_figure)
widgets.say(f"**{bought}** (best of {p.choice_samples}, {len(asked)} prompts). Bars are 95% "
            "intervals; where they overlap, *dominated* speaks of these answers, not of the rules.")
lesson.show_spreads(vectors, p.mixes, names)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## A rule that nobody set: the preference function
#
# Instead of weights set by hand, a rule learnt from pairs: its weights, and whether it orders new pairs, and chooses among
# answers, better than the rules above.

# %% [markdown]
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
from prefnb.methods.multi_objective import fit_preference, scored_pairs

chosen, rejected = scored_pairs(objectives, p.dataset, limit=p.pairs, seed=p.seed)
f = fit_preference(score_vectors(chosen.parts), score_vectors(rejected.parts))
lesson.show_weights(f, names)

# %%
held_out = scored_pairs(objectives, p.dataset, "test", limit=500, seed=p.seed)
by_hand = "weighted sum of {} and {}".format(*names)
own = f"the {judge.name} score" if judge else ""
by_weights = {by_hand: lambda s: linear(s[:, :2], p.weights),
              "weighted sum of all": lambda s: linear(s, p.all_weights[:len(names)])}
accuracy = {label: lesson.in_order(rule, held_out)
            for label, rule in {"learned f": f, **by_weights}.items()}
if judge:
    better, worse = scored_pairs(judge, p.dataset, "test", limit=500, seed=p.seed)
    accuracy[own] = lesson.right(better.total - worse.total)
lesson.show_accuracy(accuracy, by_hand, own)

# %%
total = judges.score_samples(judge, asked, drawn).total if judge else None
lesson.show_choices(vectors, {**rules, "learned f": f}, names, total, own)

# %% [markdown]
# ## Does it win?
#
# Now the score of the `judge` as a whole, which no policy here was trained on. (On other data than the pocket world's,
# the proxy as `judge` is the first objective itself, and flatters those who learnt from it.) DPO and the base model
# before any training are there to compare with (from the cache, or made now). All answer the same prompts at
# temperature 0.7.

# %%
from prefnb.lessons import words

policies = {"SFT": sft, **{label: one.model for label, one in made.items()}}
policies["DPO"] = methods.dpo.recipe(preset=p.preset, seed=p.seed, model=p.model,
                                     dataset=p.dataset).model
policies["base"] = models.load_model(p.model)
comparison = course.compare(policies, tokenizer, p, judge=judge)
scores = {label: comparison.scores_by(objectives, label) for label in policies}
lesson.show_objectives(comparison, scores, ("as printed", "with baseline", "DPO"))
if comparison.judge:
    order = ("base", "DPO", "as printed", "with baseline")
    rates = {label: comparison.win_rates[label] for label in order}
    display(plots.plot_win_rates(rates, against="SFT"))
    duel = comparison.win_rate("with baseline", "as printed")
    widgets.say(f"By {own}: {words.each_rate(rates)}. **The policy with the baseline {duel.beats} "
                f"the one as printed**, {duel}.")

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show("with baseline", policies["with baseline"], sft, tokenizer, p,
          history=histories["with baseline"], comparison=comparison,
          read=("SFT", "DPO", "as printed", "with baseline"))

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are of the training with the baseline, over 100
# steps: several seeds, with settings that a small grid chose on training prompts. They were made once, by
# `make claims`: they are the one thing here that this run did not compute, and no parameter and no edit above changes
# them. All of them together are in [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

beside.show("multi_objective", "with baseline", p, history=histories["with baseline"],
            metrics=("reward", "length"), live=comparison.win_rates.get("with baseline"),
            comparison=comparison)

# %% [markdown]
# ## The paper says, we measured
#
# The paper trains Qwen2.5-0.5B and compares by Nemotron-70B with the base model; this is **one seed** in a far smaller
# world unless you changed the preset. The pocket world's base model has read raw text and no dialogs, so the
# comparisons among the fine-tuned policies say more than those with it. A row with "not run" is ours alone. Claim 16 is
# measured by the `judge`, as above, claim 17 by the objectives themselves.

# %%
beside.show_verdicts(p, lesson.claims(comparison, chosen_by, names, p.mixes), also=[17])

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Your turn
#
# Write a loss of your own. `policy.sample` has `.sum`, `.mean` and `.length`, one number a sample, and `.token`, one a token; so
# has `reference`. `advantage` says what each sample is worth under the weights above. Return one number a sample. Take the `#`
# from the last line: your loss is checked, trained for twelve steps, drawn beside the notebook's, and put into a table that
# survives a restart.

# %%
from prefnb import your_turn

weighted = judges.Combined(objectives, paper_reward)
try_it = your_turn.on_samples(p, sft, tokenizer, weighted, leave_one_out,
                              usual=("with baseline", partial(reinforce, kl_weight=p.kl_weight)),
                              folder="runs/attempts/08_multi_objective")


def my_loss(policy, reference, *, advantage):
    """The sign of the advantage alone: better or worse, and not by how much."""
    return -advantage.sign() * policy.sample.sum


# try_it(my_loss, "signs alone")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. A response scores 0.6 and 0.9; ideals are 1, weights 2 and 1. What is the reward by weighted gaps, and what by
#    Chebyshev with $\tau \to \infty$?
# 2. The three samples of a prompt have rewards -0.9, -0.3 and -0.6. Predict, then run: what are their leave-one-out
#    advantages? (By the printed loss all three would be pushed down.)
# 3. Write the reward by weighted gaps, all ideals being 1: `scores` is (responses, k), `weights` (k,). The check knows the
#    usual slips and tells you which one it is.

# %%
from prefnb import checks

answer_1 = None  # two numbers, such as (-1, -2)
answer_2 = None  # three numbers


def my_reward(scores, weights):
    """One number a response."""
    return None


checks.multi_objective_08(answer_1, answer_2, my_reward)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = (-0.9, -0.8)
# ```
#
# $-(2 \cdot 0.4 + 1 \cdot 0.1) = -0.9$; the worst weighted gap is $0.8$, so $-0.8$.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = (-0.45, 0.45, 0)
# ```
#
# $-0.9 - (-0.45) = -0.45$; $-0.3 - (-0.75) = +0.45$; $-0.6 - (-0.6) = 0$. They add up to 0: some are raised, some
# lowered.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_reward(scores, weights):
#     """One number a response."""
#     return -(weights * (scores - 1).abs()).sum(1)
# ```
#
# A score past its ideal has a gap, too. The best reward is 0, and no answer has one above it.
# </details>
#
# ## What you have seen
#
# - A reward made of gaps is never above zero, so the printed loss only ever pushes down what was sampled. On average
#   it is the right gradient all the same; what a baseline changes is the noise.
# - With a baseline, weighted gaps and the linear rule are one method. Chebyshev is another: the worst gap decides.
# - Weights choose a place on a front. What they can reach shows in every objective's own score and weighted spread.
# - Weights can be learnt from pairs. What is learnt is a judge of score vectors; a policy has yet to be trained on it.
#
# Previous: [07_self_improvement](07_self_improvement.ipynb). Next: [09_rloo](09_rloo.ipynb), where the baseline gets
# a notebook of its own.
#
# ### So, who says how much a fluent answer may cost in helpfulness?

# %%
widgets.say(f"**Whoever sets the weights. {bought}.** No arithmetic says which is right.")
figures = {"book_printed": printed_figure, "book_front": front_figure, "rules": rules_figure}
folder = course.record(p.output_dir, p, {**histories, **live}, comparison, figures,
                       collapsed={one: c.reasons for one, c in collapses.items() if c.collapsed},
                       parts=lesson.means(scores))
print(f"Parameters, histories, responses and figures are in {folder}.")

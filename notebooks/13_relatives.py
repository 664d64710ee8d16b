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
# # 13 · What does a different loss buy, and what do wrong labels do to each?
#
# DPO has many relatives. They learn from the same comparisons and differ in one line: what a pair costs. This notebook
# puts four of them beside DPO: **IPO** (Azar et al. 2023), which wants a margin of a certain size and no more;
# **conservative** and **robust DPO** (Mitchell 2023; Chowdhury et al. 2024), which expect that a share of the labels is
# wrong; and **KTO** (Ethayarajh et al. 2024), which needs no pairs at all, only thumbs up and thumbs down.
#
# Then it does what no real data set allows: it exchanges the labels of a known share of the pairs, trains all of
# them again, and looks who minds.
#
# You will see
#
# - the cost of a pair as a curve, five times, and where each of them stops pushing;
# - each loss in full, and on numbers that you can check by hand;
# - what each policy makes of the same pairs: margins, win rates, flaws;
# - how much of what it learnt each loses when labels are wrong, and whether knowing the share helps.
#
# Nothing has to be run before this notebook. The loss that all are measured against is that of
# [02 · DPO](02_dpo.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' model and data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
pairs: int = None  # preference pairs to train on, 1 or more; None takes the preset's (pocket 1536, qwen 61000)
epochs: float = None  # passes over the data, 0.001 to 1000; None takes the preset's (1)
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
beta: float = None  # how strongly the reference holds, 0 to 100; None takes the preset's (pocket 0.1, qwen 0.01)
tau: float = 0.5  # IPO's: the margin it wants is 1 / (2 tau) nats a token; above 0, to 1000
wrong: float = 0.3  # share of the training labels that is exchanged in the second half, above 0 and below 0.5
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = "runs/13_relatives"  # where the results go: a folder

# %%
from prefnb import course, data, explorer, methods, parameters, plots, widgets

p = parameters.check(globals(), methods.dpo.Settings, course.Judging,
                     tau=parameters.Number(above=0, high=1000),
                     wrong=parameters.Number(above=0, high=0.49))

import random
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import torch
from IPython.display import display
from torch.nn.functional import logsigmoid

from prefnb.lessons import relatives as lesson, tables
from prefnb.logprobs import DatasetLogprobs
from prefnb.methods.dpo import dpo, pair_metrics, rewards

plt.style.use("prefnb.book")

# %% [markdown]
# ## One margin, five opinions
#
# For a response $y$ to a prompt, $S(y)$ is the sum of its token log-probabilities under the [policy](glossary.md),
# $S_{\text{ref}}(y)$ under the [reference](glossary.md) (the model that training starts from), and
# $d(y) = S(y) - S_{\text{ref}}(y)$ says how much likelier the policy has made it.
# A pair has a chosen response $y_w$ and a rejected one $y_l$. DPO looks at the
# **margin** $m = \beta\,(d(y_w) - d(y_l))$ and charges $-\log\sigma(m)$, with $\sigma(z) = 1/(1 + e^{-z})$.
#
# That never reaches 0. However large the margin, a larger one is cheaper, and if a label is *wrong*, the loss goes on
# pushing the wrong way for as long as it is allowed to. Each relative changes that in its own manner.
#
# - **IPO** charges the squared distance from the margin it wants, $\big(h - \tfrac{1}{2\tau}\big)^2$. Its $h$ is the
#   difference of $d(y)/|y|$, per token, where $|y|$ is a response's length, so that long and short responses are asked
#   for the same.
# - **Conservative DPO** supposes that a share $\varepsilon$ of the labels is exchanged, and charges what DPO would on
#   average: $-(1 - \varepsilon) \log\sigma(m) - \varepsilon \log\sigma(-m)$. It is cheapest at
#   $m = \log\frac{1 - \varepsilon}{\varepsilon}$, and stops there.
# - **Robust DPO** subtracts what wrong labels add:
#   $\frac{-(1 - \varepsilon) \log\sigma(m) + \varepsilon \log\sigma(-m)}{1 - 2\varepsilon}$. Averaged over labels of
#   which a share $\varepsilon$ is exchanged, that is DPO's loss on the right ones. The price: it has no lowest value.
#
# Here are the three in full. Training below uses these very functions: edit one and run on.

# %%
def ipo(policy, reference, *, tau):
    """The squared distance of the margin per token from the one wanted, 1 / (2 tau); (batch,)."""
    reward_chosen = policy.chosen.mean - reference.chosen.mean
    reward_rejected = policy.rejected.mean - reference.rejected.mean
    loss = (reward_chosen - reward_rejected - 1 / (2 * tau)) ** 2
    return loss, pair_metrics(policy, reward_chosen, reward_rejected)


# %%
def conservative_dpo(policy, reference, *, beta, flipped):
    """What DPO charges on average if a share `flipped` of the labels is exchanged; (batch,)."""
    reward_chosen, reward_rejected = rewards(policy, reference, beta)
    margin = reward_chosen - reward_rejected
    loss = -(1 - flipped) * logsigmoid(margin) - flipped * logsigmoid(-margin)
    return loss, pair_metrics(policy, reward_chosen, reward_rejected)


def robust_dpo(policy, reference, *, beta, flipped):
    """DPO's loss on right labels, averaged over labels of which `flipped` are wrong; (batch,)."""
    reward_chosen, reward_rejected = rewards(policy, reference, beta)
    margin = reward_chosen - reward_rejected
    loss = (-(1 - flipped) * logsigmoid(margin) + flipped * logsigmoid(-margin)) / (1 - 2 * flipped)
    return loss, pair_metrics(policy, reward_chosen, reward_rejected)


# %% [markdown]
# **By hand.** Take $\beta = 1$, a reference that gives every response 0 nats, and responses of one token, so that sums and
# means are the same. With $S(y_w) = 1$ and $S(y_l) = -1$ the margin is 2. DPO charges $-\log\sigma(2) = 0.13$. IPO with
# $\tau = 0.5$ wants 1 and charges $(2 - 1)^2 = 1$: this pair has gone *too far*. With $\varepsilon = 0.2$ conservative
# DPO charges $0.8 \cdot 0.13 + 0.2 \cdot 2.13 = 0.53$. Work out robust DPO's number, then look.
#
# Below the numbers are the curves. DPO flattens out and never turns. Where a curve turns, the loss pulls a pair back that
# has gone further. Robust DPO goes below 0 and on: a pair that is right by far *earns* something, to pay for the wrong
# labels among the others. Last come all four with sliders. There the gap is in nats a response; IPO takes it per token, so
# move the tokens too. $\varepsilon$ is `flipped`. Where a gradient changes its sign, the loss pulls the pair *back*.

# %%
TOY = {"DPO": partial(dpo, beta=1.0), "IPO": partial(ipo, tau=0.5),
       "conservative DPO": partial(conservative_dpo, beta=1.0, flipped=0.2),
       "robust DPO": partial(robust_dpo, beta=1.0, flipped=0.2)}
toy_margins = torch.tensor([-2.0, 0.0, 1.0, 2.0, 4.0])
widgets.show_table(["margin", *(f"{m:g}" for m in toy_margins.tolist())],
                   *[[label, *lesson.costs(loss, toy_margins).tolist()]
                     for label, loss in TOY.items()])
loss_figure = lesson.plot_losses(TOY)
display(loss_figure)
lesson.say_turns(TOY)
four = {label: loss.func for label, loss in TOY.items()}
explorer.show(four, beta=(0.05, 2.0, 0.5, 0.05), tau=(0.05, 2.0, 0.5, 0.05),
              flipped=(0.0, 0.45, 0.2, 0.05))

# %% [markdown]
# ## Without pairs: KTO
#
# Thumbs up and thumbs down come one at a time. What is a single response compared with? KTO takes a **reference point**
# $z$: how far the policy has moved from the reference on the whole, $\mathrm{KL}(\pi \,\|\, \pi_{\text{ref}})$. It is
# estimated on the batch by giving every prompt the response of *another* prompt, and is never taken below 0. A good
# response costs $1 - \sigma(\beta\,(d(y) - z))$, a bad one $1 - \sigma(\beta\,(z - d(y)))$.
#
# Both curves are flat at both ends: a response that is far on the wrong side is given up. Its inventors took the shape
# from how people weigh gains and losses. One may hope that wrong labels, too, are given up when they are far enough on
# the wrong side; whether that helps is measured below.

# %%
def kto(policy, reference, *, good, beta):
    """1 - sigma(beta (d - z)) of a good response, 1 - sigma(beta (z - d)) of a bad one."""
    d = policy.response.sum - reference.response.sum
    z = (policy.other.sum - reference.other.sum).mean().clamp(min=0).detach()
    sign = torch.where(good.bool(), 1.0, -1.0)
    loss = 1 - torch.sigmoid(sign * beta * (d - z))
    metrics = {"reward": beta * d, "accuracy": (sign * (d - z) > 0).to(d.dtype),
               "z": z.expand(len(d)), "logp": policy.response.sum}
    return loss, {name: value.detach() for name, value in metrics.items()}


# %% [markdown]
# ## Data and training
#
# The pairs are those of [02](02_dpo.ipynb). Annotators err, and in the pocket world we can say how often: a program
# grades every response. For KTO each pair is taken apart into a good and a bad response, which then go their own ways.
# So it has twice as many examples, and in one pass over them takes twice as many steps as the others.
#
# IPO trains before your eyes, on the pairs as they are. The others come ready-made at the defaults, and are trained
# anew after an edit or with other parameters. Each has the learning rate that one rule chose for every method (the
# lowest within a standard error of the best, on prompts of the training split: `python -m prefnb.learning_rates`).

# %%
judge = methods.reward_model.judge_of(p)
gold = data.Source(p.dataset).judge
sft, tokenizer = methods.sft.starting_policy(p)
examples = course.pair_examples(p, tokenizer)
held_out = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
held_reference = course.reference(sft, held_out).all()
known_wrong = lesson.known_wrong(gold, p, examples)

# %%
def train_all(pairs_here, share, live=None):
    """{label: (policy, history)} of all five losses, told that this share of labels is wrong."""
    told, its_rate = dict(beta=p.beta, flipped=share), lesson.rate_of("robust_dpo", p)
    losses = {"DPO": (partial(dpo, beta=p.beta), p.learning_rate),
              "IPO": (partial(ipo, tau=p.tau), lesson.rate_of("ipo", p)),
              "conservative DPO": (partial(conservative_dpo, **told), its_rate),
              "robust DPO": (partial(robust_dpo, **told), its_rate)}
    also = course.watched(losses["IPO"][0], sft, held_out, p, pairs_here) if live else None
    seen = {"IPO": {"live": live, "also": also}}
    made = {label: course.fit(sft, pairs_here, loss, p, learning_rate=rate, **seen.get(label, {}))
            for label, (loss, rate) in losses.items()}
    apart, rate = methods.kto.unpaired(pairs_here, p.seed), lesson.rate_of("kto", p)
    made["KTO"] = course.fit(sft, apart, partial(kto, beta=p.beta), p, learning_rate=rate)
    return made


clean = train_all(examples, known_wrong, live=plots.LiveFigure())

# %% [markdown]
# ## Wrong labels
#
# Now the experiment. A share `wrong` of the training pairs, drawn at random, has its two responses exchanged.
# Everything else stays: prompts, responses, steps, rates. With the labels that were wrong before, a share of
# $\varepsilon' = \varepsilon\,(1 - w) + (1 - \varepsilon)\,w$ is wrong then ($w$ is `wrong`), and conservative and
# robust DPO are told so.
#
# What to expect? Average each loss over the wrong labels. DPO's average is lowest at
# $m = \log\frac{1 - \varepsilon'}{\varepsilon'}$: wrong labels hold it back by themselves. Conservative DPO discounts
# the labels *again*: its average is that of DPO on labels of which $2\varepsilon'(1 - \varepsilon')$ are wrong. Robust
# DPO's average is DPO's on right labels, and has no such place.

# %%
def exchange(pairs_here, share, seed):
    """The pairs with chosen and rejected exchanged in a share of them."""
    many = round(share * len(pairs_here))
    places = random.Random(seed).sample(range(len(pairs_here)), many)
    chosen, rejected = (list(pairs_here.responses[side]) for side in ("chosen", "rejected"))
    for i in places:
        chosen[i], rejected[i] = rejected[i], chosen[i]
    return replace(pairs_here, responses={"chosen": chosen, "rejected": rejected})


now_wrong = known_wrong * (1 - p.wrong) + (1 - known_wrong) * p.wrong
noisy = train_all(exchange(examples, p.wrong, p.seed), now_wrong)
lesson.say_wrong(known_wrong, now_wrong)

# %% [markdown]
# ## Does it win?
#
# All ten policies answer the test prompts; every rate is against SFT. Below the bars, each loss on its own: what wrong
# labels cost it, prompt by prompt.

# %%
labels, rates_figure = list(clean), None
policies = {"SFT": sft} | {label: clean[label][0] for label in labels}
policies |= {label + lesson.WRONG: noisy[label][0] for label in labels}
comparison = course.compare(policies, tokenizer, p, judge=judge)
if judge:
    rates_figure = lesson.plot_rates(comparison, labels, p.wrong)
    display(rates_figure)
    outcomes = {label: comparison.outcomes(label) for label in policies}
    lost, than_dpo = lesson.leads_of(outcomes, labels)
    lesson.show_costs(comparison, lost, than_dpo, (known_wrong, now_wrong))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### What lies behind the rates
#
# How far each loss has moved the margins of held-out pairs, which flaws its answers have, and whether any has collapsed.

# %% [markdown]
# First the margins, of the policies that saw the labels as they are. All are shown in one currency, the difference of $d$
# per token, because the losses speak different ones. Then the flaws of all ten.

# %%
def margins(policy):
    """(d(yw)/|yw| - d(yl)/|yl|) of every held-out pair, in nats per token."""
    now = DatasetLogprobs.compute(policy, held_out).all()
    with torch.no_grad():
        return ipo(now, held_reference, tau=1.0)[1]["margin"].numpy()


wanted = 1 / (2 * p.tau)
found = {label: margins(policy) for label, (policy, _) in clean.items()}
margin_figure = lesson.plot_margins(found, wanted)
display(margin_figure)
lesson.show_margins(found, wanted)
lesson.say_flaws(tables.show_flaws(comparison), labels)
checks = {label: comparison.collapse(label) for label in policies if label != "SFT"}
fallen = lesson.say_collapse(checks)

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show("KTO", policies["KTO"], sft, tokenizer, p, history=clean["KTO"][1],
          comparison=comparison, read=("SFT", "DPO", "KTO", "DPO, wrong labels"))

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are of KTO, IPO and robust DPO on thousands of
# pairs, with the labels as they are: several seeds, with settings that a small grid chose on training prompts. They
# were made once, by `make claims`: they are the one thing here that this run did not compute, and no parameter and no
# edit above changes them. All of them together are in [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

for arm, label in (("kto", "KTO"), ("ipo", "IPO"), ("robust_dpo", "robust DPO")):
    beside.show(arm, label, p, live=comparison.win_rates.get(label), comparison=comparison)

# %% [markdown]
# ## The papers say, we measured
#
# In this run: one seed, one share of wrong labels, and a 95% interval over prompts. The long runs, on the labels as they are,
# give the [win rate](glossary.md) over DPO with an interval over prompts and seeds; where there are any, the verdict is theirs.

# %%
if judge:
    rows, measured = lesson.claims(outcomes, lost)
    beside.show_verdicts(p, rows, ours="this run: difference in rate over SFT")
    tables.say_what_decides(p, rows, measured)
else:
    print("Nobody judges answers here (see the parameter judge): margins are what there is.")

# %% [markdown]
# ## Your turn
#
# Write a loss of your own. `policy.chosen` and `policy.rejected` have `.sum`, `.mean` and `.length`, one number a pair, and
# `.token`, one a token; so has `reference`. Return one number a pair. Then take the `#` from the last line and run the cell:
# your loss is checked, trained on 256 pairs for some seconds, drawn beside DPO, and put into a table that survives
# a restart.

# %%
from prefnb import your_turn

try_it = your_turn.on_pairs(p, sft, tokenizer, examples, usual=("DPO", partial(dpo, beta=p.beta)),
                            folder="runs/attempts/13_relatives")


def my_loss(policy, reference):
    """Conservative DPO and KTO's idea in one: a loss that no pair can make larger than 1."""
    gap = policy.chosen.sum - reference.chosen.sum - policy.rejected.sum + reference.rejected.sum
    return torch.sigmoid(-p.beta * gap)


# try_it(my_loss, "my loss")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. With $\varepsilon = 0.1$, at which margin is conservative DPO's loss lowest?
# 2. IPO with $\tau = 0.25$: what does it charge at step 0, when policy and reference agree? Predict, then run.
# 3. Write IPO's loss, with $\tau = 0.4$. The check knows the usual slips and tells you which one it is.
# 4. Write KTO's loss, with $\beta = 0.1$ and both weights 1. `good` is True for a good response, and z is the mean of $d$
#    over `other`, not below 0.
#
# **To try.** Set `flipped` to 0 in `losses` and run on. Which two curves of the training pictures become one?

# %%
import torch

from prefnb import checks

answer_1 = None  # a number
answer_2 = None  # a number


def my_ipo(policy, reference):
    return None  # one number a pair, from .chosen and .rejected of both


def my_kto(policy, reference, good):
    return None  # one number a response, from .response and .other of both


checks.relatives_13(answer_1, answer_2, my_ipo, my_kto)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = 2.197
# ```
#
# $\log(0.9 / 0.1) = 2.197$: there the push of the nine right labels and of the one wrong label cancel.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 4
# ```
#
# $(0 - 1 / 0.5)^2 = 4$.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_ipo(policy, reference):
#     d_chosen = policy.chosen.mean - reference.chosen.mean
#     return (d_chosen - policy.rejected.mean + reference.rejected.mean - 1 / 0.8) ** 2
# ```
#
# The target is $1 / (2\tau) = 1.25$ nats per token. Means, not sums: a target for a sum would be next to nothing for a
# long response.
# </details>
# <details><summary>Solution 4</summary>
#
# ```python
# def my_kto(policy, reference, good):
#     d = policy.response.sum - reference.response.sum
#     z = (policy.other.sum - reference.other.sum).mean().clamp(min=0).detach()
#     return 1 - torch.sigmoid(torch.where(good, 1, -1) * 0.1 * (d - z))
# ```
#
# z is a yardstick and no goal: without the detach the loss could also be lowered by making answers to other prompts less
# likely. It has no logarithm, so an answer far from z on either side pulls at nothing.
# </details>
# <details><summary>What comes of no flipped labels</summary>
#
# Conservative and robust DPO both become DPO; what is left of a difference is their learning rate.
# </details>
#
# ## What you have seen
#
# - A loss on pairs is a curve over the margin. Where it turns decides how far a policy goes, and what a wrong label can
#   do.
# - IPO and conservative DPO stop at a margin of their own; DPO flattens; robust DPO never stops, and is right on
#   average.
# - KTO learns from single responses, by comparing each with how far the policy has moved on the whole.
# - What each is worth under wrong labels is a question for a judge, prompt by prompt, with an interval.
#
# Each of the three lives in one file of `prefnb/methods/`, which is all that it took to add it. Yours can be the next:
# the README has a whole example.
#
# Previous: [12_be_the_annotator](12_be_the_annotator.ipynb). The loss they all come from: [02_dpo](02_dpo.ipynb). Next:
# [14_questions](14_questions.ipynb), on eight things that look like bugs and are none.
#
# ### So, what does a different loss buy, and what do wrong labels do to each?

# %%
if judge:
    widgets.say(f"**On the labels as they are, {lesson.against_dpo(than_dpo)}. With "
                f"{now_wrong:.0%} of them wrong, {lesson.against_dpo(than_dpo, lesson.WRONG)}.** "
                f"KTO took {len(clean['KTO'][1].rows)} steps, DPO {len(clean['DPO'][1].rows)}.")
histories = {label: history for label, (_, history) in clean.items()}
histories |= {label + lesson.WRONG: history for label, (_, history) in noisy.items()}
figures = {"losses": loss_figure, "margins": margin_figure}
figures |= {"book_wrong_labels": rates_figure} if rates_figure else {}
folder = course.record(p.output_dir, p, histories, comparison, figures, collapsed=fallen,
                       wrong=[known_wrong, now_wrong])
print(f"Parameters, histories, responses with scores, summary and figures are in {folder}.")

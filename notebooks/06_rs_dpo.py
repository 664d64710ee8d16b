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
# # 06 · RS-DPO: what if the rejected answer is the model's own?
#
# DPO's pairs were written by others. The model may never say anything like the rejected response, so what
# does it learn from losing it? *Rejection-sampling DPO* (RS-DPO) lets the model lose with its **own** answers:
# the chosen response stays, the rejected one is sampled from the model. Paper 002 found that a little of this
# helps and that nothing else but this ruins the [policy](glossary.md).
#
# You will see
#
# - how a pair whose rejected side is the model's own can be told apart without knowing what is good;
# - the mixture in full: all pairs, a fifth, a tenth;
# - losses and margins that look better, and what the policies then say;
# - win rates against DPO, beside the paper's;
# - what each policy learnt about pairs that it did not make itself.
#
# Nothing has to be run first. The loss is DPO's, unchanged, and stands below in full; where it comes from is told in
# [02 · DPO](02_dpo.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the paper's model and data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
pairs: int = None  # preference pairs to train on, 1 or more; None takes the preset's (pocket 1536, qwen 61000)
epochs: float = None  # passes over the data, 0.001 to 1000; None takes the preset's (1)
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
beta: float = None  # how strongly the reference holds, 0 to 100; None takes the preset's (pocket 0.1, qwen 0.01)
shares: str = "0.1,0.2,1"  # shares of pairs that get the model's own answer as rejected, above 0 to 1
temperature: float = 0.7  # of the model's own answers, 0.01 to 2
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = "runs/06_rs_dpo"  # where the results go: a folder

# %%
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.dpo.Settings, course.Judging,
                     shares=parameters.Numbers(above=0, high=1),
                     temperature=parameters.Number(0.01, 2))

import random
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
from IPython.display import display
from torch.nn.functional import logsigmoid

from prefnb import plots, widgets
from prefnb.lessons import printed, rs_dpo as lesson, tables
from prefnb.logprobs import DatasetLogprobs, from_tokens
from prefnb.methods.dpo import pair_metrics

plt.style.use("prefnb.book")

# %% [markdown]
# ## The idea
#
# A pair has a prompt $x$, a chosen response $y_w$ and a rejected one $y_l$. With $\pi_\theta$ the policy in
# training, $\pi_\text{ref}$ the frozen model it started from, $S(y)$ the log-prob of a response under the
# policy and $d(y) = S(y) - S_\text{ref}(y)$, DPO is
#
# $$L = -\log \sigma(m), \qquad m = \beta\,\big(d(y_w) - d(y_l)\big),$$
#
# where $\sigma(z) = 1 / (1 + e^{-z})$, $m$ is the *margin*, and $\beta$ sets how strongly the reference holds.
#
# RS-DPO changes nothing here. It changes $y_l$: instead of somebody's answer, $y_l \sim \pi_\text{ref}(\cdot \mid x)$,
# an answer that the model itself gives. Two things speak for that. The lesson is about what the model *does*,
# and a new prompt needs one good answer only. It rests on an assumption: the chosen response must be better than
# what the model says.
#
# And one thing speaks against it. A loss is content with **any** difference between the two sides. Somebody
# else's answer and the model's own differ in a way that has nothing to do with quality: one of them is in the
# model's own words. The lesson "be unlike yourself" fits every such pair.
#
# Here is the loss in full, as the library has it. The last line makes training below use it: at the defaults most
# policies come ready-made; edit a word of the loss, and all of them are trained anew with yours.

# %%
def rewards(policy, reference, beta):
    """beta * d of the chosen and of the rejected response: the rewards that DPO implies."""
    return (beta * (policy.chosen.sum - reference.chosen.sum),
            beta * (policy.rejected.sum - reference.rejected.sum))


def dpo(policy, reference, *, beta):
    """The loss of each pair, (batch,), and what to watch: margins, accuracy, log-probs."""
    reward_chosen, reward_rejected = rewards(policy, reference, beta)
    return -logsigmoid(reward_chosen - reward_rejected), pair_metrics(policy, reward_chosen,
                                                                      reward_rejected)


train_with = printed.in_use(dpo, methods.dpo.dpo)

# %% [markdown]
# **Three policies by hand.** Take $\beta = 0.1$, a reference with $S_\text{ref} = -20$ nats for the chosen response, which
# somebody else wrote, and $-10$ for the rejected one, which is the model's own. The first policy has made the good answer
# likelier by 5 nats and left its own alone: $m = 0.1\,(5 - 0) = 0.5$, and the loss is $-\log\sigma(0.5) = 0.474$. The second
# has learnt nothing of the good answer and lost 5 nats of its own. The third has lost the good answer too, by 5 nats, and
# its own by 10. Work out the last two, then look.

# %%
toy_reference = from_tokens(chosen=[[-20.0]] * 3, rejected=[[-10.0]] * 3)
toy_policy = from_tokens(chosen=[[-15.0], [-20.0], [-25.0]],
                         rejected=[[-10.0], [-15.0], [-20.0]])
toy_loss, toy = dpo(toy_policy, toy_reference, beta=0.1)
names = ["the good answer gains 5 nats", "its own loses 5", "the good one loses 5, its own 10"]
widgets.show_table(["policy", "S(chosen)", "S(rejected)", "margin", "loss"],
                   *zip(names, toy["logp_chosen"].tolist(), toy["logp_rejected"].tolist(),
                        toy["margin"].tolist(), toy_loss.tolist()))
level = toy_loss.max() - toy_loss.min() < 1e-4
widgets.say("**All three cost the same: the loss does not know which has learnt what is good.**"
            if level else "**The three do not cost the same by this loss.**")

# %% [markdown]
# ## The mixture in full
#
# Paper 002 tries all pairs replaced, a fifth, and a tenth. Training below uses this function: change it and
# run on. It takes token ids, because a sample that is decoded and encoded again may not be the same sample.

# %%
def mixture(pairs, samples, share, seed=0):
    """`pairs`, that share of their rejected responses now the model's own; and which ones."""
    # equal sides teach nothing
    kept = [i for i, ids in enumerate(samples) if ids != pairs.responses["chosen"][i]]
    order = random.Random(seed).sample(range(len(kept)), len(kept))
    changed = order[:round(share * len(kept))]
    rejected = [pairs.responses["rejected"][i] for i in kept]
    for place in changed:
        rejected[place] = samples[kept[place]]
    chosen = [pairs.responses["chosen"][i] for i in kept]
    mixed = replace(pairs, prompt_ids=[pairs.prompt_ids[i] for i in kept],
                    kept=[pairs.kept[i] for i in kept],
                    responses={"chosen": chosen, "rejected": rejected})
    return mixed, sorted(changed)

# %% [markdown]
# One seed orders all pairs once, so the pairs changed at a tenth are among those changed at a fifth: the
# mixtures differ in how much was replaced, and in nothing else.
#
# ## Data: the model's own answers
#
# The fine-tuned model (it comes ready-made) answers every training prompt once.

# %%
sft, tokenizer = methods.sft.starting_policy(p)
judge = methods.reward_model.judge_of(p)  # None where nobody can judge
original = course.pair_examples(p, tokenizer)
drawn = course.samples_of(sft, tokenizer, original.prompt_ids, temperature=p.temperature,
                          max_new_tokens=p.max_response_tokens, seed=p.seed)
own = [one.ids for one in drawn]
mixtures = {f"RS-DPO, {share:.0%}": mixture(original, own, share, p.seed)[0] for share in p.shares}
full_of_own, _ = mixture(original, own, 1.0, p.seed)
lesson.show_training_sets(original, mixtures, p.shares, len(full_of_own))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Can the sides be told apart by whose words they are?
#
# Before any training, here is how likely the model finds each kind of response, per token. If "the one less
# like me" picks the chosen response nearly every time, the pairs can be won without learning what is good. (The
# model's own answers were drawn at `temperature`; below 1 they are made of likelier words than it uses on average at 1,
# at which the log-probs are taken. That is a part of the gap.)

# %%
def shortcut(logprobs):
    """1 for each pair whose chosen response is the less likely one per token."""
    return (logprobs.chosen.mean < logprobs.rejected.mean).float().numpy()


known = {lesson.DATA: course.reference(sft, original).all(),
         lesson.OWN: course.reference(sft, full_of_own).all()}
rule = {label: shortcut(found) for label, found in known.items()}
shortcut_figure = lesson.plot_likeliness(known[lesson.DATA], known[lesson.OWN], rule)
display(shortcut_figure)
lesson.show_rule(rule)
ours = rule[lesson.OWN].mean()

# %% [markdown]
# ## Training
#
# Every policy starts from the same weights and sees the same prompts for one epoch (or `epochs`), with DPO's learning
# rate, so that the data are the only difference. DPO on the pairs as they are is the one to beat. The mixture with the
# most of the model's own answers is trained before your eyes. DPO and the other mixtures come ready-made at the
# defaults; a mixture is trained anew after any edit that changes its pairs, and with other parameters all are.

# %%
most = f"RS-DPO, {max(p.shares):.0%}"
policies, histories = {"SFT": sft}, {}
policies["DPO"], histories["DPO"] = lesson.baseline(train_with, sft, original, p)
for label, mixed in mixtures.items():
    objective = partial(train_with, beta=p.beta)
    live = plots.LiveFigure() if label == most else None
    policies[label], histories[label] = course.fit(sft, mixed, objective, p, live=live)
display(plots.plot_training(histories, ["loss", "margin", "accuracy"]))
last = lesson.last_steps(histories)
lesson.say_last_steps(last, most)

# %% [markdown]
# ## What do they say?
#
# A reader of answers comes before any rate. Here are three prompts, each answered by SFT, by DPO and by the
# policy with the most of its own answers rejected. Three prompts are an impression and no measurement: the tables below
# them are over all test prompts.

# %%
comparison = course.compare(policies, tokenizer, p, judge=judge)
widgets.show_answers(comparison, ("SFT", "DPO", most))
collapses = lesson.show_shape(comparison)
flaws = tables.show_flaws(comparison)
lesson.say_worst_flaw(comparison, flaws, most)

# %% [markdown]
# ## Does it win?
#
# First against SFT, as in all notebooks, then against DPO, as in the paper's table (crosses are the paper's figures). A tie
# counts half; the bars are 95% intervals over prompts.

# %%
PAPER = {"RS-DPO, 10%": 0.67, "RS-DPO, 20%": 0.48, "RS-DPO, 100%": 0.10}  # at the end of the epoch
rates, rates_figure = {}, None
if judge:
    display(plots.plot_win_rates(comparison.win_rates, against="SFT"))
    lesson.say_rates(comparison.win_rates, "SFT", judge.name)
    rates = {label: comparison.win_rate(label, "DPO") for label in mixtures}
    rates_figure = lesson.plot_beside_paper(rates, PAPER)
    display(rates_figure)
    lesson.say_rates(rates, "DPO", judge.name)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### What was learnt about other people's pairs?
#
# Each policy's margin on its last training batches beside that on held-out pairs of the data set: how much of a margin is
# left where no answer is the policy's own.

# %% [markdown]
# The held-out pairs are of the data set, so none of them has an answer of the policy's own. The
# [sampled KL](glossary.md) says how far the policy has moved from SFT, in nats a response, on its own samples at
# temperature 1.

# %%
held_out = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
held_reference, held, kls = course.reference(sft, held_out).all(), {}, {}
for label in histories:
    found = DatasetLogprobs.compute(policies[label], held_out).all()
    held[label] = train_with(found, held_reference, beta=p.beta)[1]
    kls[label] = course.sampled_kl(policies[label], sft, tokenizer, comparison.prompts[:128],
                                   max_new_tokens=p.max_response_tokens)["k3"]
lesson.show_held_out(held, kls, last, most)

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show(most, policies[most], sft, tokenizer, p, history=histories[most],
          comparison=comparison, read=("SFT", "DPO", most))

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are of the 10% mixture, on thousands of pairs:
# several seeds, with settings that a small grid chose on training prompts. They were made once, by `make claims`:
# they are the one thing here that this run did not compute, and no parameter and no edit above changes them. All of
# them together are in [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

TENTH = "RS-DPO, 10%"
beside.show("rs_dpo_10", TENTH, p, history=histories.get(TENTH), metrics=("loss", "margin"),
            live=comparison.win_rates.get(TENTH), comparison=comparison)

# %% [markdown]
# ## The paper says, we measured
#
# The paper trains Qwen2.5-0.5B on 61,000 pairs and asks a large [reward model](glossary.md); this is one seed in a far smaller
# world unless you changed the preset. Compare directions, not digits. The paper's table also has rates from earlier in
# the epoch; ours are all from its end.

# %%
if judge:
    beside.show_verdicts(p, lesson.verdict_rows(last, rates),
                         ours=f"this run (win rates by {judge.name})")
else:
    print("Nobody judges the answers here; the tables above show margins and collapse.")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Your turn
#
# Write a loss of your own, on the pairs of the data set with the share of the model's own answers that the last mixture has.
# `policy.chosen` and `policy.rejected` have `.sum`, `.mean` and `.length`, one number a pair, and `.token`, one a token; so has
# `reference`. Take the `#` from the last line: your loss is checked, trained on 256 pairs for some seconds, drawn beside
# DPO, and put into a table that survives a restart.

# %%
import torch
from prefnb import your_turn

try_it = your_turn.on_pairs(p, sft, tokenizer, mixed, usual=("DPO", partial(dpo, beta=p.beta)),
                            folder="runs/attempts/06_rs_dpo")


def my_loss(policy, reference):
    """DPO's loss, held at one half: what is easily told apart is let go."""
    margin = sum(p.beta * sign * (getattr(policy, side).sum - getattr(reference, side).sum)
                 for side, sign in (("chosen", 1), ("rejected", -1)))
    return torch.relu(0.5 - margin)


# try_it(my_loss, "my loss")

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

answer_1 = None  # a number
answer_2 = None  # a number


def my_rs_dpo(policy, reference, own):
    """One number a pair, from .chosen.sum, .rejected.sum and .generated.sum of both."""
    return None


checks.rs_dpo_06(answer_1, answer_2, my_rs_dpo)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = 48
# ```
#
# The 20 pairs are left out; a tenth of the remaining 480 is 48.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 0.5
# ```
#
# $0.1\,(0 - (-5)) = 0.5$, and the loss falls from 0.69 to 0.47, though nothing good has become likelier.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_rs_dpo(policy, reference, own):
#     """One number a pair, from .chosen.sum, .rejected.sum and .generated.sum of both."""
#     def d(name):
#         return getattr(policy, name).sum - getattr(reference, name).sum
#
#     d_rejected = own * d("generated") + ~own * d("rejected")
#     return -logsigmoid(0.1 * (d("chosen") - d_rejected))
# ```
#
# It is DPO's loss. What is easily forgotten is the reference: it has to score the own answer too, for the log-ratio $d$
# compares one response under two models, and not two responses.
# </details>
# <details><summary>What comes of the higher temperature</summary>
#
# Hot samples are made of unlikely tokens, so the model's own answers become less likely per token and the
# two sides harder to tell by that rule. Other tells take its place: hot samples make mistakes that a chosen
# response does not.
# </details>
#
# ## What you have seen
#
# - RS-DPO is DPO with the model's own answers as rejected ones; the loss is the same, the data are not.
# - A pair of somebody else's answer and one's own can be told apart by whose words they are; a loss takes
#   whatever tells them apart.
# - Loss and margin measure how well the pairs are told apart, not how good the answers are: look at what the
#   policy says, and at a judge.
# - What a training margin is worth shows on pairs that the policy did not make.
#
# If both sides of a pair are the model's own, that shortcut is gone; then somebody has to say which is the better one.
#
# Previous: [05_reward_model](05_reward_model.ipynb). Next: [07_self_improvement](07_self_improvement.ipynb), where both
# sides of every pair are the model's own, round after round. The loss itself: [02_dpo](02_dpo.ipynb).
#
# ### So, what if the rejected answer is the model's own?

# %%
widgets.say(lesson.answer(rates, ours))
figures = {"shortcut": shortcut_figure, **({"book_win_rates": rates_figure} if judge else {})}
collapsed = {name: check.reasons for name, check in collapses.items() if check.collapsed}
folder = course.record(p.output_dir, p, histories, comparison, figures, collapsed=collapsed,
                       against_dpo={name: rate.rate for name, rate in rates.items()})
print(f"Parameters, histories, responses and figures are in {folder}.")

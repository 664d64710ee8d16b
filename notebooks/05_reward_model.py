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
# # 05 · Reward models: how far can a learnt judge be trusted?
#
# A judge that knows the truth is rare. What one usually has is pairs: this answer was preferred to that one. A
# *reward model* learns from pairs to score any answer, and other methods then follow its scores. It is a [**proxy**](glossary.md)
# for the judge that we would like to have. In the pocket world we have that judge too, the *gold judge*, so we can
# look at both at once.
#
# You will see
#
# - the Bradley-Terry loss, which turns preferences into scores, on four numbers and then in training;
# - how often the proxy is right on pairs it has not seen, what label noise allows, and whether "90% sure" means 90%;
# - the proxy against the gold judge, category by category: what it understands and what it does not;
# - a second, simpler judge: a classifier that tells fluent answers from disfluent ones;
# - best-of-N: draw N answers, keep the one a judge likes best; and where following the proxy stops paying;
# - that the reward model is an ordinary file which any library loads.
#
# Nothing has to be run first. The pairs are those of [02 · DPO](02_dpo.ipynb), which learns from them without a
# [reward model](glossary.md).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' model and data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
pairs: int = None  # preference pairs to train on, 1 or more; None takes the preset's (pocket 2000, qwen 61000)
epochs: float = None  # passes over the data, 0.001 to 1000; None takes the preset's (1)
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's (pocket 0.0002, qwen 0.00001)
pairs_in_view: int = 1024  # pairs of the smaller reward model that is trained in this notebook, 1 or more
held_out: int = 400  # pairs to test the reward models on, 20 or more
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
samples: int = 16  # answers drawn to every prompt to pick from, 4 to 256
temperature: float = 0.7  # of all answers, 0.01 to 2; paper 002 has 1
best_of: int = 5  # N of the best-of-N that is set against a single answer, 2 to samples; paper 002 has 5
output_dir: str = "runs/05_reward_model"  # where the results go: a folder

# %%
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.reward_model.Settings, course.Judging,
                     pairs_in_view=parameters.Whole(1), held_out=parameters.Whole(20),
                     samples=parameters.Whole(4, 256), temperature=parameters.Number(0.01, 2),
                     best_of=parameters.Whole(2, 256))
if p.best_of > p.samples:
    raise parameters.ParameterError(
        f"'best_of' is {p.best_of}, but there are {p.samples} samples to pick from: give at most "
        "as many, or draw more 'samples'.")

import matplotlib.pyplot as plt
import numpy as np
import torch

from prefnb import data, evaluate, judges, models, plots, widgets
from prefnb.lessons import reward_model as lesson

plt.style.use("prefnb.book")

# %% [markdown]
# ## The idea
#
# A reward model is a function $s(x, y)$: a prompt $x$ and a response $y$ go in, one number comes out. We never see
# such a number in the data. We see that $y_w$ was preferred to $y_l$. Bradley and Terry (1952) connect the two:
#
# $$P(y_w \succ y_l \mid x) = \sigma\big(s(x, y_w) - s(x, y_l)\big), \qquad \sigma(z) = \frac{1}{1 + e^{-z}}.$$
#
# The further the scores lie apart, the surer the model is who wins. Training makes the preferences that we saw
# likely, which is to make this loss small:
#
# $$L = -\log \sigma\big(s(x, y_w) - s(x, y_l)\big).$$
#
# Only the *difference* occurs, and only between answers to the **same** prompt. A constant added to every score of
# a prompt changes nothing, so scores of different prompts cannot be compared. Remember this one: it decides how
# each picture below has to be drawn.
#
# ## The loss in full
#
# Training below uses this very function; change it and run on. `policy` holds scores here, one number per response.
# `reference` is there because the course's training loop hands one to every loss; this loss needs none.
#
# **Four numbers by hand.** Four answers to one prompt score $2, 1, 0$ and $-1$. Say the first is preferred to the second: the
# difference is $1$, so $P = 1/(1 + e^{-1}) \approx 0.73$ and the loss is $-\log 0.73 \approx 0.31$. Now say the fourth is
# preferred to the third: the difference is $-1$, $P \approx 0.27$ and the loss $1.31$. In the last row both scores of the first
# pair are 10 higher. Work out what changes, then look. The last column is the gradient on the chosen score,
# $-(1 - P)$: a pair that the model finds surprising pulls harder.

# %%
from types import SimpleNamespace

from torch.nn.functional import logsigmoid


def bradley_terry(policy, reference=None):
    """-log sigma(s(yw) - s(yl)), per pair."""
    margin = policy.chosen - policy.rejected
    metrics = {"margin": margin, "accuracy": (margin > 0).to(margin.dtype),
               "score_chosen": policy.chosen, "score_rejected": policy.rejected}
    return -logsigmoid(margin), {name: value.detach() for name, value in metrics.items()}


toy = SimpleNamespace(chosen=torch.tensor([2.0, -1.0, 12.0], requires_grad=True),
                      rejected=torch.tensor([1.0, 0.0, 11.0]))
losses, metrics = bradley_terry(toy)
losses.sum().backward()
lesson.show_toy(toy, losses.detach(), metrics)

# %% [markdown]
# ## Data and training
#
# The reward model begins as the fine-tuned language model: it reads well already. Its output head, which predicts
# words, is replaced by a new one with a single output, read at the response's last token. The model has seen all of
# the answer there.
#
# The pairs come with labels made by somebody who is not always right: in the pocket world some are flipped on purpose.
#
# The course's one loop trains the model. The only thing that is new is the `scorer`: it turns a batch into scores where
# the other methods have log-probs. The loss starts near $\ln 2$: all scores are nearly equal, so every pair is a coin
# toss.

# %%
gold = data.Source(p.dataset).judge  # None where nobody knows the right answers
sft, tokenizer = methods.sft.starting_policy(p)
other = gold if p.judge == "proxy" else methods.reward_model.judge_of(p)  # or None
in_view = p.model_copy(update={"pairs": min(p.pairs, p.pairs_in_view)})
view_rows = data.Source(p.dataset).pairs("train", limit=in_view.pairs, seed=p.seed)
examples = course.pair_examples(in_view, tokenizer)
test = data.Source(p.dataset).pairs("test", limit=p.held_out, seed=p.seed)
test = lesson.fitting(test, tokenizer, p)
print(f"{len(examples)} pairs to train on in view, up to {p.pairs} for the full model, "
      f"{len(test)} held out.")
widgets.show_responses(view_rows["prompt"][:3],
                       {name: view_rows[name][:3] for name in ("chosen", "rejected")})

# %%
from prefnb.logprobs import RewardScorer

start, histories = models.reward_model_from(sft, tokenizer, p.seed), {}
unseen = course.pair_examples(in_view, tokenizer, "test", limit=128)
watched = course.watched(bradley_terry, start, unseen, p, examples, scorer=RewardScorer)
small, history = course.fit(start, examples, bradley_terry, p, scorer=RewardScorer, also=watched,
                            live=plots.LiveFigure(lesson.watch))
histories["reward model in view"] = history
lesson.show_training(history)

# %% [markdown]
# That one was trained before your eyes, on a part of the pairs. The full one, trained in the same way on all `pairs` of
# them, comes ready-made; with other parameters it is trained now, and this cell takes longer. Later notebooks use the
# same one. An edit of the loss above changes the model in view; the full one keeps the loss as you found it.
#
# ## How often is it right on pairs it has not seen?
#
# There are two kinds of right: agreeing with the *label*, and with the *gold judge*. The second is asked only where
# gold sees a difference; below the least one that counts for it, two answers *tie*. And there is a ceiling. Even the
# [gold judge](glossary.md) itself does not agree with every label, since labels are noisy; nobody should do better than it.
#
# Both reward models are asked about the same pairs. So the last row subtracts them pair by pair before it draws an
# interval, which tells more than two intervals side by side.
#
# A flipped label counts against a proxy in the first column and not in the second. So one that has learnt what the judge
# likes, and not the noise, agrees with gold a little *more* often than with the labels.

# %%
full = methods.reward_model.recipe(**p.shared_with(methods.reward_model.Settings))
proxies = {"in view": judges.RewardModel(small, tokenizer),
           "full": judges.RewardModel(full.model, full.tokenizer)}
proxy = proxies["full"]
judge = proxy if p.judge == "proxy" else other  # whose win rates count below
says = lambda judge, side: course.scores_of(judge, test["prompt"][:], test[side][:])
margins = {label: says(one, "chosen") - says(one, "rejected") for label, one in proxies.items()}
by_gold = lambda side: gold(test["prompt"][:], test[side][:]).total
gold_margin = by_gold("chosen") - by_gold("rejected") if gold else None
lesson.show_accuracy(margins, gold_margin, gold.tie if gold else 0)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Does it know how sure it may be?
#
# Whether "80% sure" comes out right in 80% of cases: how to draw that, one number for it, and the verdict on this model.

# %% [markdown]
# The model does not only say who wins but with what probability. If it says 0.8 on a hundred pairs, about eighty of
# them should come out that way: then it is *calibrated*.
#
# Which answer of a pair we name first is our choice, so a plot of both orders would hold each pair twice and be
# symmetric whatever the model did. We fold it: each pair once, from the side that the model favours. Its confidence
# is then $\sigma(|s(y_w) - s(y_l)|)$, from one half to one, and it is right if the favoured one is the label's.
#
# One number for the whole is the *expected calibration error*: the gap between confidence and share right, averaged
# over bins. Chance alone makes it more than zero, so beside it stands what a perfectly calibrated model would get. With noisy
# labels no honest model is ever quite sure, however plain the case: the label itself may be wrong.

# %%
def reliability(margin, hits, bins=6):
    """Bins of equal size by confidence: [its mean, share right, low, high, share of pairs]."""
    confidence = 1 / (1 + np.exp(-np.abs(margin)))
    groups = np.array_split(np.argsort(confidence), min(bins, len(hits)))
    right = [evaluate.wilson_interval(hits[i].sum(), len(i)) for i in groups]
    return np.array([[confidence[i].mean(), hits[i].mean(), *interval, len(i) / len(hits)]
                     for i, interval in zip(groups, right)])


def calibration_error(margin, hits):
    """Expected calibration error: sum over bins of share of pairs x |share right - confidence|."""
    confidence, right, _, _, weight = reliability(margin, hits).T
    return float((weight * np.abs(right - confidence)).sum())


calibration_figure = lesson.show_calibration(margins, reliability, calibration_error, p.seed)

# %% [markdown]
# ## The proxy against the gold judge
#
# Pairs of a data set were written by others. A proxy that is to be *followed* must judge what the [policy](glossary.md) itself
# says. So the fine-tuned model answers every test prompt `samples` times, and both judges score every answer. (The answers and
# the proxy's scores come ready-made, and are made anew after a change of what they depend on.) In these answers it has
# the style of its demonstrations' houses, which the pairs have not ([notebook 00](00_pocket_world.ipynb)): the proxy has
# to judge what it hardly met.
#
# A scatter of one score against the other over all answers would mix prompts, and that the loss never asked for. So
# from each score the mean over its prompt's answers is taken away first. Then the question for each prompt: of the
# pairs of its answers that gold tells apart, what share does the proxy put in the same order? One half is a coin,
# one is perfect. (Twice this share less one is the rank correlation known as Goodman and Kruskal's gamma.) Above each
# panel stands the mean share over the category's prompts, with its 95% interval. In the clouds, answers far to the right
# and yet low are what a policy finds when it is trained against this proxy: liked by the proxy, and bad.
#
# The table below them has the flaws that gold can name, one by one. The *step* is the mean score of answers with that flaw
# less that of answers without, in standard deviations of that judge's scores, both within prompts.

# %%
from functools import partial

prompt_rows = data.Source(p.dataset).prompts("test", limit=p.test_prompts, seed=p.seed)
prompt_rows = lesson.fitting(prompt_rows, tokenizer, p)
prompts = prompt_rows["prompt"][:]
columns = {name: prompt_rows[name][:] if name in prompt_rows.column_names else [""] * len(prompts)
           for name in ("category", "reference")}
draw = partial(lesson.draw, tokenizer=tokenizer, prompts=prompts, p=p)  # (policy, count)
score = partial(lesson.score, prompts=prompts)  # (judge, answers) -> {part: scores}
answers = draw(sft, p.samples)
table = {"proxy": score(proxy, answers)["total"]}  # (prompts, samples)
if gold:
    by_part = score(gold, answers)
    table |= {"gold": by_part["total"], "gold fluency": by_part["fluency"]}
lesson.show_repeats(answers)

# %%
def order_right(score, gold, tie):
    """(prompts, K) scores twice -> (prompts,): of a prompt's pairs of answers more than `tie` apart
    by gold the share that `score` puts in gold's order; nan where gold tells none apart."""
    first, second = np.triu_indices(score.shape[1], 1)
    by_score, by_gold = score[:, first] - score[:, second], gold[:, first] - gold[:, second]
    apart = np.abs(by_gold) > tie
    right = (apart & (by_score * by_gold > 0)).sum(1)
    return np.where(apart.any(1), right / np.maximum(apart.sum(1), 1), np.nan)


right = order_right(table["proxy"], table["gold"], gold.tie) if gold else None
scatter_figure, understood = lesson.show_order(table, right, columns["category"])
if gold:
    flaws = score(gold.flaws, answers)
    lesson.show_leniency(table, flaws)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Two side questions: is it fluent, and what is it on disk?
#
# Inside, a classifier of single answers is trained and used, and the reward model is read by another library.

# %% [markdown]
# ### A second judge: is it fluent?
#
# A judge that needs no pairs, a classifier of single answers; and how little it knows of what it was not shown.

# %% [markdown]
# Not every judge needs pairs. Paper 001 takes its fluency from a *classifier*: a model with two outputs, one for each
# class, trained on answers that are labelled one by one. With the two outputs $z_\text{fluent}$ and
# $z_\text{disfluent}$, softmax and cross-entropy come to
#
# $$P(\text{fluent} \mid x, y) = \sigma\big(s(x, y)\big), \qquad s = z_\text{fluent} - z_\text{disfluent},$$
#
# and the loss is $-\log\sigma(s)$ for a fluent answer and $-\log\sigma(-s)$ for a disfluent one. It is the same curve
# as before, on one answer instead of a difference of two. So here 0 *means* something, and scores of different
# prompts can be compared.
#
# Accuracy alone flatters a classifier whose classes are uneven: saying "fluent" every time is right often. *Balanced*
# accuracy is the mean of the two shares found, of the fluent and of the disfluent; always saying the same gets one
# half. It is asked about held-out answers of the writers and about the fine-tuned model's own, which nobody trained
# the classifier on. Answers to one prompt are alike, so the intervals are over prompts, not over answers.
#
# The classifier comes ready-made; after an edit of its loss, here below, or of a parameter it is trained anew.

# %%
def two_classes(policy, reference=None, *, label):
    """-log sigma(s) where `label` is 1, -log sigma(-s) where it is 0; s is the log-odds of 1."""
    sign = 2 * label - 1
    metrics = {"accuracy": (sign * policy.response > 0).to(policy.response.dtype),
               "score": policy.response}
    return (-logsigmoid(sign * policy.response),
            {name: value.detach() for name, value in metrics.items()})


def balanced(says, truth):
    """The mean of the shares of class 1 and of class 0 that are recognised."""
    there = [one for one in (0, 1) if (truth == one).any()]
    return float(np.mean([(says == truth)[truth == one].mean() for one in there]))


# %%
from prefnb.batches import tokenize

fluency = None
if gold:
    rows, fluent = lesson.one_by_one(view_rows, gold)
    single = tokenize(rows, tokenizer, ("response",), max_prompt_tokens=p.max_prompt_tokens,
                      max_response_tokens=p.max_response_tokens)
    single.labels["label"] = fluent[single.kept].tolist()
    start = models.reward_model_from(sft, tokenizer, p.seed, classes=("disfluent", "fluent"))
    classifier, history = course.fit(start, single, two_classes, p, scorer=RewardScorer)
    histories["fluency"], fluency = history, judges.RewardModel(classifier, tokenizer)

# %%
if gold:
    lesson.show_watched(history)
    rows, fluent = lesson.one_by_one(test, gold)
    held_out_rows = ([row[name] for row in rows] for name in ("prompt", "response"))
    found = course.scores_of(fluency, *held_out_rows) > 0
    table["fluency"] = score(fluency, answers)["total"]
    told = {"writers' answers, held out": (found.reshape(-1, 2), fluent.reshape(-1, 2)),
            "the fine-tuned model's own answers": (table["fluency"] > 0, ~flaws["disfluent"])}
    lesson.show_fluency(told, balanced, p.seed)

# %% [markdown]
# ### A reward model is an ordinary file
#
# The model saved, loaded by plain `transformers` with nothing of ours, and asked once more: both give the same score.

# %% [markdown]
# It is saved in the standard format of sequence classification, so that any library loads it. Here is plain
# `transformers`, with nothing of ours. Our judge loads such a folder, or a name on the hub, by
# `judges.RewardModel.load`: ones with one output, and ones with two classes, as paper 001's fluency model.

# %%
from pathlib import Path

from transformers import AutoModelForSequenceClassification, AutoTokenizer

saved, answer = Path(p.output_dir) / "reward_model", answers[0][0].text
models.save_checkpoint(full.model, full.tokenizer, saved)
theirs = AutoModelForSequenceClassification.from_pretrained(saved)
their_tokenizer = AutoTokenizer.from_pretrained(saved)
dialog = [*prompts[0], {"role": "assistant", "content": answer}]
text = their_tokenizer.apply_chat_template(dialog, tokenize=False).rstrip("\n")
with torch.no_grad():
    read = their_tokenizer(text, return_tensors="pt", add_special_tokens=False)
    plain = theirs(**read).logits.item()
ours = judges.RewardModel.load(str(saved))([prompts[0]], [answer]).total.item()
widgets.say(f"**The same answer by transformers alone: {plain:.4f}, by our judge: {ours:.4f}.**")

# %% [markdown]
# ## Best of N
#
# The simplest way to follow a judge needs no training: draw $N$ answers and give the one that scores highest. The
# larger $N$, the harder we lean on the judge.
#
# How far does that go from the model? The usual measure is the *KL divergence*: the mean, over the answers that are
# given, of $\log$ (probability with best-of-$N$ / probability by the model). With the natural logarithm its unit is the
# *nat*. For best-of-$N$ it is **at most** $\log N - (N-1)/N$. It is equal to that only if no two answers tie; where
# answers repeat, it is less. So take it as a bound.
#
# For $N = 4$ one might look at the first four of our answers. It is less noisy to use all $K$ of them: the average over
# *every* way to choose 4 of the $K$. No loop over subsets is needed. Sort the answers by score; the one at place $i$,
# counted from 0, is the best of a subset if the other $N - 1$ come from the $i$ below it:
#
# $$P(\text{place } i \text{ is picked}) = \binom{i}{N-1} \Big/ \binom{K}{N}.$$
#
# Three pickers are followed ever harder: the gold judge (the best that can be had from these answers), the proxy and
# the fluency classifier ("A second judge", above: trained on single answers, labelled fluent or not). All panels of the figure
# are about the **same** picks, and show what is gained over a single answer picked by chance. Left: in gold's score. Middle:
# in fluency alone, by gold. Right: in the proxy's score. $N$ stands at the square root of the KL bound; the bands are 95%
# intervals over prompts. (With another reward model as `judge`, that one stands in gold's place. Where there is no judge but
# the proxy, only its own panel is left.)
#
# The proxy's own score cannot fall: it is what the picks are made by. Where it goes on rising and the other judge's does
# not, the proxy is being *over-optimised*: what is gained there is the proxy's error.

# %%
from math import comb, log


def best_of_n(scores, values, n):
    """(prompts, K) twice -> (prompts,): mean value of the highest-scored of n, over all subsets."""
    count = scores.shape[1]  # level scores go by the order of drawing, which is random anyway
    by_place = np.take_along_axis(values, scores.argsort(axis=1, kind="stable"), axis=1)
    return by_place @ np.array([comb(place, n - 1) / comb(count, n) for place in range(count)])


def kl_bound(n):
    # the most that best-of-n can be away from the model itself, in nats
    return log(n) - (n - 1) / n


def steps_up(values):
    # of each step to the next N: does the mean of values[n] (prompts,) rise or fall?
    found, sizes = {}, list(values)
    for fewer, more in zip(sizes, sizes[1:]):
        low, high = evaluate.bootstrap_interval(values[more] - values[fewer])
        found[more] = "rises" if low > 0 else "falls" if high < 0 else "cannot be told"
    return found


# %%
sizes = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256) if n < p.samples] + [p.samples]
second = "gold" if isinstance(other, judges.GoldJudge) else f"'{other.name}'" if other else None
asked = {"proxy": proxy, **({second: other} if other else {})}
if other and second not in table:
    table[second] = score(other, answers)["total"]
followed = lesson.Picks(table, second, sizes, best_of_n)
best_figure = followed.show(kl_bound, steps_up)

# %% [markdown]
# ## Best of five: does it win?
#
# Paper 002 let its DPO policy answer five times, kept the answer that the reward model liked best, and compared with
# the fine-tuned model, SFT (*supervised fine-tuning*). We do the same with the ready-made DPO policy and with SFT itself.
# A *win rate* is the share of comparisons that an answer wins, a tie counting half.
#
# What they are compared with is SFT as all notebooks have it: `draws` answers to each prompt, drawn apart from those that
# are picked from. Every answer meets all of them. "DPO, one answer" is DPO's [win rate](glossary.md) over SFT in all notebooks.
# The figure shows each rate twice: judged by gold (or the reward model that you gave as `judge`), and judged by the proxy,
# which did the picking. Where nobody else can judge, the proxy's word alone is left, on its own picks.
#
# Where the proxy judges, it judges its **own** picks, and praises them. Whoever picks should not be the one who judges.
# (Paper 002 does not say that its picking and its judging models differ.)

# %%
def against(scores, baseline, tie, tied=0.5):
    """(prompts, K) and (prompts, M) scores -> (prompts, K): mean outcome against the M others."""
    gap = scores[:, :, None] - baseline[:, None, :]
    return np.where(np.abs(gap) <= tie + 1e-9, tied, gap > 0).mean(2)


def outcomes(name, tied=0.5):
    """Win rates over SFT, prompt by prompt, by the judge of that name: {answers: (prompts,)}."""
    found, tie, sft_alone = {}, asked[name].tie, singly["SFT"][name]
    for policy, scores in drawn.items():
        one = against(singly[policy][name], sft_alone, tie, tied)
        found[f"{policy}, one answer"] = one.mean(1)
        won = against(scores[name], sft_alone, tie, tied)
        for picker in followed.pickers if policy == "SFT" else ["proxy"]:
            label = f"{policy}, best of {p.best_of} by {picker}"
            found[label] = best_of_n(scores[picker], won, p.best_of)
    return found


# %%
scored = lambda answers: {name: score(one, answers)["total"] for name, one in asked.items()}
dpo = methods.dpo.recipe(preset=p.preset, seed=p.seed, model=p.model, dataset=p.dataset,
                         pairs=pairs).model
many = {"SFT": answers, "DPO": draw(dpo, p.best_of)}  # to pick from
drawn = {"SFT": table, "DPO": scored(many["DPO"])}
alone = {"SFT": draw(sft, p.draws), "DPO": draw(dpo, p.draws)}
singly = {policy: scored(found) for policy, found in alone.items()}
won = {name: outcomes(name) for name in asked}
wins_figure = lesson.show_wins(won)
lesson.show_lifts(won, p.best_of)
picked = lesson.picks(alone, many, drawn, p.best_of)
texts = {label: [one.text for one in found] for label, found in picked.items()}
scores = {label: judge(prompts, said) for label, said in texts.items()} if judge else {}
comparison = course.Comparison(prompts, *columns.values(), picked, scores, "SFT", judge, gold)
lesson.show_picks(comparison, p.best_of, second if judge and judge is not proxy else None)

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are reward models that pick the best of five,
# with SFT and with DPO policies trained on thousands of pairs, each with several seeds and with settings that a small
# grid chose on training prompts. They were made once, by `make claims`: they are the one thing here that this run did
# not compute, and no parameter and no edit above changes them. All of them together are in
# [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

widgets.say(lesson.long_run(beside.results_of(p)))

# %% [markdown]
# ## The paper says, we measured
#
# The paper's judge is a model of 70 billion parameters and its policy Qwen2.5-0.5B; ours are far smaller, in a
# world that is small enough to know the truth. Compare directions, not digits. The claim is about a *lift*, so the two
# outcomes are subtracted prompt by prompt before an interval is drawn. The verdict is the long runs' where there are any.

# %%
told_by = None if judge is None else "proxy" if judge is proxy else second
rows, verdicts = lesson.claim_10(won, p.best_of, told_by)
beside.show_verdicts(p, rows, ours="this run" + (f", by {told_by}" if judge else ""))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Your turn
#
# Write a loss of your own. `policy.chosen` and `policy.rejected` are **scores** here, one number a pair; there is no reference.
# Return one number a pair. Take the `#` from the last line: your loss is checked, trained on 256 pairs for some seconds, drawn
# beside the Bradley-Terry loss, and put into a table that survives a restart.

# %%
from prefnb import your_turn

from_sft = models.reward_model_from(sft, tokenizer, p.seed)
try_it = your_turn.on_scores(p, from_sft, tokenizer, examples, unseen,
                             usual=("Bradley-Terry", bradley_terry),
                             folder="runs/attempts/05_reward_model")


def my_loss(policy, reference):
    """A hinge: a pair that is right by one is let go."""
    return torch.relu(1 - (policy.chosen - policy.rejected))


# try_it(my_loss, "hinge")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Add 7 to the scores of both answers to a prompt. Predict, then run: is the loss `"higher"`, `"lower"` or the `"same"`?
# 2. A reward model scores two answers to one prompt $\ln 3 \approx 1.0986$ apart. With what probability does it say
#    that the higher one wins?
# 3. Write the loss. `chosen` and `rejected` are scores, of shape (pairs,). The check knows the usual slips and tells you
#    which one it is.
#
# **To try.** Run the notebook with `temperature` 0.5. Predict first what happens to the distance between the
# curves of best-of-N.

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

answer_1 = None  # "higher", "lower" or "same"
answer_2 = None  # a number


def my_bradley_terry(chosen, rejected):
    """One number a pair."""
    return None


checks.reward_model_05(answer_1, answer_2, my_bradley_terry)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = "same"
# ```
#
# The same: only the difference is in it. This is why scores of answers to different prompts cannot be compared.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 0.75
# ```
#
# $\sigma(\ln 3) = 1/(1 + 1/3) = 3/4$.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_bradley_terry(chosen, rejected):
#     """One number a pair."""
#     return -logsigmoid(chosen - rejected)
# ```
#
# Minus the logarithm of the probability that the model gives to what the annotator said. It is DPO's loss with a score in
# the place of $\beta\, d(y)$.
# </details>
# <details><summary>What comes of a lower temperature</summary>
#
# At a lower temperature the answers to a prompt are more alike, so there is less to choose from: expect every picker
# to gain less, gold too.
# </details>
#
# ## What you have seen
#
# - A preference is a difference of scores; only differences between answers to one prompt mean anything.
# - A proxy is held against labels, against gold where there is one, and against the ceiling that noisy labels set; and
#   its probabilities are held against what happens.
# - It does not understand all kinds of request alike, and an average hides that.
# - A classifier of single answers is the same curve on one score; what it does not look at, it does not improve.
# - Best-of-N follows a judge without training. The proxy's score always rises; whether the answers get better only
#   another judge can say.
#
# Previous: [04_dppo](04_dppo.ipynb). Next: [06_rs_dpo](06_rs_dpo.ipynb), where this reward model chooses pairs among
# the model's own answers.
#
# ### So, how far can a learnt judge be trusted?

# %%
lesson.show_answer(won, p.best_of, second if told_by == second else None, verdicts.get("SFT"))
summary = {"win_rates": lesson.rates(won[told_by], outcomes(told_by, tied=0)) if judge else {},
           "draws": p.draws, "claim_10": verdicts,
           "accuracy": {label: float((margin > 0).mean()) for label, margin in margins.items()},
           "calibration_error": {label: calibration_error(margin, margin > 0)
                                 for label, margin in margins.items()},
           "categories": {name: float(found.mean()) for name, found in understood.items()},
           "best_of_n": followed.summary()}
figures = {"calibration": calibration_figure, "book_best_of_n": best_figure, "wins": wins_figure}
figures |= {"book_proxy": scatter_figure} if gold else {}
folder = course.record(p.output_dir, p, histories, comparison, figures, **summary)
print(f"Parameters, histories, responses, figures and the reward model are in {folder}.")

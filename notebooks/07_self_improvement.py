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
# # 07 · Self-improvement: can a model learn from its own best answers?
#
# Ask a model the same thing eight times and some answers are better than others. If something can tell which,
# the best and one of the worst make a [preference pair](glossary.md), and nobody had to write anything. Train on such pairs,
# ask again, and so on. Does it climb? How far, and by whose measure?
#
# You will see
#
# - win rates per category, and how a *curriculum* follows from it: new prompts where the model is weakest;
# - eight samples a prompt at three temperatures, and the rule that makes a pair of them, in full;
# - several rounds of it, judged by the reward model that chose the pairs and by the gold judge that did not;
# - the same rounds with the model as its own judge, and what happens to diversity.
#
# Nothing has to be run first. The loss is DPO's and stands below in full ([02 · DPO](02_dpo.ipynb) tells where it comes from);
# the [policy](glossary.md) that the rounds start from is DPO's too. (The paper starts from RS-DPO,
# [06](06_rs_dpo.ipynb); so does `python -m prefnb self_improvement`.)

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the paper's model and data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
new_prompts: str = None  # a file of prompts (None: the pocket world writes them): 'pocket', a local file or a hub name
pairs: int = None  # preference pairs to train on, 1 or more; None takes the preset's (pocket 1536, qwen 61000)
rounds: int = None  # rounds of samples, pairs and training, 1 to 100; None takes the preset's (3)
weakest: int = None  # categories that new prompts are from, 1 to 1000; None takes the preset's (2)
prompts: int = None  # new prompts in a round, 1 or more; None takes the preset's (pocket 128, qwen 1000)
temperatures: str = "0.2,0.2,0.7,0.7,0.7,1.2,1.2,1.2"  # one for each sample of a prompt: numbers such as 0.1,1,10, each 0.01 to 2
epochs: float = None  # passes over the pairs of a round, 0.001 to 1000; None takes the preset's (3)
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
beta: float = None  # how strongly the reference holds, 0 to 100; None takes the preset's (pocket 0.1, qwen 0.01)
scout_prompts: int = None  # prompts that show which categories are weak, 1 or more; None takes the preset's
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = "runs/07_self_improvement"  # where the results go: a folder

# %%
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.self_improvement.RoundSettings, course.Judging)
methods.self_improvement.check_rounds(p)

import random
from functools import partial

import matplotlib.pyplot as plt
from IPython.display import display
from torch.nn.functional import logsigmoid

from prefnb import evaluate, judges, pairs as made_pairs, plots, widgets
from prefnb.batches import Examples, prompt_ids
from prefnb.lessons import printed, self_improvement as lesson, tables
from prefnb.methods.dpo import pair_metrics
from prefnb.methods.self_improvement import Round

plt.style.use("prefnb.book")

# %% [markdown]
# ## The idea
#
# A *policy* $\pi_\theta$ is the language model in training. For a prompt $x$ it draws $K$ samples
# $y_1, \dots, y_K$, and a judge gives each a score $s(x, y_k)$. The pair for DPO is
#
# $$y_w = \arg\max_{y_k} s(x, y_k), \qquad y_l \sim \text{one of the three with the lowest scores, at random.}$$
#
# One *round* draws the samples, makes a pair for every prompt and trains DPO on them. In the loss
#
# $$L = -\log \sigma\big(\beta\,(d(y_w) - d(y_l))\big), \qquad
# d(y) = \log \pi_\theta(y \mid x) - \log \pi_\text{ref}(y \mid x),$$
#
# $\sigma$ is the logistic function, and $\beta$ sets how closely the policy is held to the [reference](glossary.md):
# higher is closer.
# The reference $\pi_\text{ref}$ is **the policy that this round started from**, which is also the one that drew the
# samples. So each round may move as far as the one before it: nothing ties the last round to the first.
#
# Why one of the bottom three and not simply the worst? The paper does not say. One reason: the very worst of eight may
# be broken in a way that the model hardly ever is, and then there is little to learn from it.
#
# Here is the loss in full, as the library has it; `policy.chosen.sum` is $\log \pi_\theta(y_w \mid x)$, one number a pair. The
# last line makes the rounds below use it: at the defaults most of them come ready-made; edit a word, and they are
# trained anew with yours.

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
# ## The rule in full
#
# Training below uses this function: change it and run on. Samples are lists of token ids. Samples that are equal
# count once, and the rejected one must score strictly lower. A prompt that cannot give such a pair gives none.
#
# **Four numbers by hand.** Four samples A, B, C, D of one prompt score 1.0, 3.0, 0.5 and 2.0. The top is B. The bottom
# three are D, A and C, each with probability 1/3. If there are only A's and B's, the
# bottom three are all there is; B is not lower than itself, so A is left. If all four are B, there is no pair. The second
# cell computes these cases, the first one for 300 seeds.

# %%
def best_and_worst(prompts, samples, scores, worst=3, seed=0):
    """One pair per prompt: the top of its samples, over one of the bottom `worst` at random."""
    found, draw = [], random.Random(seed)
    for number, (group, row) in enumerate(zip(samples, scores)):
        distinct = {tuple(ids): float(score) for ids, score in zip(group, row)}
        ranked = sorted(distinct.items(), key=lambda one: -one[1])
        top, high = ranked[0]
        lower = [ids for ids, score in ranked[-worst:] if score < high]
        if lower:
            found.append((number, list(top), list(draw.choice(lower))))
    if not found:
        raise made_pairs.NoPairs("No prompt gives a pair: all samples are alike or level in score.")
    numbers, chosen, rejected = map(list, zip(*found))
    sides = {"chosen": chosen, "rejected": rejected}
    return Examples([prompts[n] for n in numbers], sides, numbers)


# %%
TOY = {"A": 1.0, "B": 3.0, "C": 0.5, "D": 2.0}


def toy_pair(letters, seed=0):
    """The pair of one prompt whose samples are these letters, as text."""
    samples, scores = [[ord(one)] for one in letters], [TOY[one] for one in letters]
    try:
        made = best_and_worst([[0]], [samples], [scores], seed=seed)
    except made_pairs.NoPairs as nothing:
        return str(nothing)
    return " over ".join(chr(made.responses[side][0][0]) for side in ("chosen", "rejected"))


counted = lesson.counted(toy_pair("ABCD", seed) for seed in range(300))
widgets.show_table(["samples", "pair"], ["A B C D", counted],
                   *[[" ".join(letters), toy_pair(letters)] for letters in ("ABBA", "BBBB")])
display(lesson.plot_toy(TOY))
widgets.say(f"**The top is always chosen; who is rejected is a draw: {counted}.**")

# %% [markdown]
# ## The start, two judges, and where the policy is weakest
#
# *SFT* (supervised fine-tuning) is the model before it saw any preferences. The rounds start from what DPO makes of it.
# To *beat* is measured by a *win rate*: one policy's answers against another's to the same prompts, the share that the
# judge scores higher. A difference too small to matter is a *tie* and counts half, so .5 means that neither is better.
#
# Two judges look on. The [**proxy**](glossary.md) is the [reward model](glossary.md): a small model trained on preference
# pairs, which is all that one has in reality. The **gold** judge is the program that knows the pocket world's truth; no
# choice below is made by it. On other data there is only the proxy. If you name another `judge`, it takes gold's place in
# all that follows. (What the proxy's choice among several answers is worth before any training,
# [best-of-N](glossary.md), is measured in [05](05_reward_model.ipynb).)
#
# A curriculum spends new prompts where they should help most. The paper compares its DPO policy with SFT in ten
# categories, and takes the two with the lowest win rates. So do we, and by the proxy, because in reality there is
# nothing else. The [gold judge](glossary.md)'s opinion of the same answers stands beside it. The prompts are from the
# *training* split: test prompts decide nothing in this notebook, no category and no pair.

# %%
sft, tokenizer = methods.sft.starting_policy(p)
start = lesson.start_of(p)  # DPO
proxy, judge = methods.reward_model.proxy(p), methods.reward_model.judge_of(p)
watching = ({judge.name: judge} if judge else {}) | {"proxy": proxy}
judge_shown = next(iter(watching))  # where one has to do: gold or yours, if there is one
scouting = methods.self_improvement.scout(p, sft, start, tokenizer)  # an answer of either
by_judge = {name: scouting.rates(one, one.tie) for name, one in watching.items()}
chosen_categories = methods.self_improvement.weakest(by_judge["proxy"], p.weakest)
display(plots.plot_categories(dict(reversed(by_judge.items())), against="SFT"))
named = widgets.escaped(', '.join(chosen_categories).replace('_', ' '))
widgets.say(f"The proxy's weakest: **{named}**."
            + lesson.other_choice(by_judge, p.weakest, judge_shown))

# %% [markdown]
# The intervals are wide, because each category has only its share of the scouting prompts. The lowest of ten uncertain
# numbers is in part the unluckiest. If we measured the gain on these same answers, that luck alone would look like
# progress: the test prompts further down were not used to choose.
#
# ## New prompts, eight samples each
#
# The paper let other language models write new prompts in the weak categories. The pocket world writes its own, none of
# which asks for anything that a test prompt asks for; for other data they are read from `new_prompts`. Each round has
# its own. The first round's prompts get their samples here: one for each of `temperatures`, in the paper two cool
# ones ("the best"), three at a middle temperature, and three hot ones ("high risk").
#
# Below them: what the rule makes of three of these prompts, and how often the gold judge, if there is one, agrees that
# the chosen one is the better.

# %%
asked = methods.self_improvement.new_prompts(p, chosen_categories)
asked = lesson.short_enough(asked, tokenizer, p)
first = asked[0]
first_ids = [prompt_ids(tokenizer, prompt) for prompt in first]
groups = methods.self_improvement.draw_groups(start, tokenizer, first_ids, p, number=1)
scores = {name: methods.self_improvement.by_reward(one)(start, tokenizer, first, groups)
          for name, one in watching.items()}
lesson.show_temperatures(p.temperatures, scores)
id_groups = [[one.ids for one in group] for group in groups]
made = best_and_worst(first_ids, id_groups, scores["proxy"], seed=p.seed + 1)
lesson.show_pairs(made, first, groups, tokenizer, watching[judge_shown], judge_shown)

# %% [markdown]
# Pairs that are the wrong way round are label noise of a special kind: they are not random. Whatever the proxy
# mistakes for quality, it mistakes in every pair of every round.
#
# ## Rounds, with two judges
#
# Here is a round, and the next: sample, score, pair (with the `best_and_worst` above), DPO (with the loss above). Each
# starts from the policy that the last one made, and has it for its reference.
#
# It runs twice. First the **reward model** scores the samples. But that has to be trained on somebody's preferences.
# What if the policy judges itself? One score that it has for nothing is its **own likelihood**, the mean log-prob per
# token of what it said,
#
# $$s(x, y) = \frac{1}{|y|} \sum_t \log \pi(y_t \mid x, y_{<t}),$$
#
# with $y_t$ the tokens of $y$, $|y|$ their number and $\pi$ the policy that the round starts from (so, the round's
# reference). It knows nothing of right and wrong. What it prefers is what is already likely: predict what that does to
# diversity.
#
# The last round of the reward model is trained before your eyes; the rounds before it, and those of the likelihood,
# come ready-made at the defaults. Edit `best_and_worst`, or change a parameter, and they are made anew. **Every round
# begins with loss $\ln 2$ and margin 0** (so no margin is above 0 yet), since its reference is its own start.

# %%
def improve(score, live=None):
    """All rounds, each from the policy that the last one made; the last in a live figure."""
    policy, rounds_done = start, []
    for number, prompts in enumerate(asked, 1):
        ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
        samples = methods.self_improvement.draw_groups(policy, tokenizer, ids, p, number)
        marked = score(policy, tokenizer, prompts, samples)
        found = lesson.pairs_or_none(best_and_worst, ids, samples, marked, p.seed + number,
                                     first=number == 1)
        if found is None:  # samples that are all alike: there is nothing more to learn
            break
        policy, history = course.fit(policy, found, partial(train_with, beta=p.beta), p,
                                     live=live if number == len(asked) else None)
        rounds_done.append(Round(policy, prompts, samples, marked, found, history))
    return rounds_done


# %%
by_model = methods.self_improvement.by_reward(proxy)
done = {"reward model": improve(by_model, live=plots.LiveFigure()),
        "own likelihood": improve(methods.self_improvement.by_likelihood)}
display(lesson.show_rounds(done))
lesson.say_rounds(done)

# %% [markdown]
# ## Do they win? Plateau or decay?
#
# The start, the first and the last policy of the reward model's rounds, and the last of the other judge's answer each
# test prompt `draws` times. Every answer is compared with every answer of SFT to the same prompt. The proxy, which is a
# model and slower, reads the first answer of each (all of them, if you named it as the `judge`).
#
# The paper ran one round and left the question open whether more would help. The last line below says what the rounds
# after the first added to the score of a test prompt, in points, with the reward model as the judge of the pairs. (Its own
# notebook, [05](05_reward_model.ipynb), has more of over-optimisation.)

# %%
policies, chains = lesson.looked_at(done, sft, start)
comparison = course.compare(policies, tokenizer, p, judge=judge)
marks = lesson.marks_of(comparison, proxy)
last = [chain[max(chain)] for chain in chains.values()]


def between(name, label, other):
    """Win rate of one policy over another on the test prompts, by the judge of that name."""
    return evaluate.win_rate(marks[name][label], marks[name][other], tie=watching[name].tie)


rounds_figure = lesson.plot_rounds(chains, watching, between, p.rounds)
display(rounds_figure)
lesson.show_rates(policies, watching, between)
lesson.say_moved(marks, last, judge_shown)
lesson.say_later_rounds(marks, chains["reward model"])

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## What became of diversity?
#
# *distinct-2* is the share of word pairs that are not repeats, over all answers; *self-BLEU* says how much each answer
# looks like the others (high: all alike). The [sampled KL](glossary.md), in nats a response, is how far a policy has moved
# from SFT, on its own samples at temperature 1. And of the samples that the start of a round drew for each of its new
# prompts: how many were distinct? That last panel is what the next round lives on, since samples that are all alike make
# no pair. Distinct-2 and self-BLEU compare answers to *different* prompts: they may hardly move while every single prompt
# gets fewer and fewer different answers.

# %%
shape = {}
for label, policy in policies.items():
    answers, few = comparison.answers[label], comparison.prompts[:128]
    kl = course.sampled_kl(policy, sft, tokenizer, few, max_new_tokens=p.max_response_tokens)
    shape[label] = {"distinct-2": evaluate.distinct_n(answers),
                    "self-BLEU": evaluate.self_bleu(answers), "KL from SFT (nats)": kl["k3"],
                    "tokens a response": evaluate.mean_length(answers)}
widgets.show_table(["policy", *shape["SFT"]],
                   *[[label, *map(float, row.values())] for label, row in shape.items()])
distinct = lesson.distinct_samples(done)
shape_figure = lesson.plot_diversity(shape, distinct, chains, len(p.temperatures))
display(shape_figure)
lesson.say_diversity(shape, distinct, last)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Three more questions
#
# Is it only the temperature, whom does the likelihood agree with, and in which categories did it help: three small
# experiments, each with its sentence.

# %% [markdown]
# #### Is it only the temperature?
#
# A policy that is taught what it finds likely says likely things more often: it gets cooler, and cool answers may be
# the better ones. That needs no training. So here is the start once more, DPO, answering at the coolest of
# `temperatures`, beside the policies that answered at the usual one.

# %%
coolest = min(p.temperatures)
cool = f"DPO at temperature {coolest:g}"
cool_answers = course.answers_of(start, tokenizer, comparison.prompts, draws=p.draws,
                                 temperature=coolest, max_new_tokens=p.max_response_tokens)
if comparison.judge:
    cool_score = judges.score_samples(comparison.judge, comparison.prompts, cool_answers).total
else:  # the proxy reads the first answer of each
    cool_score = proxy(comparison.prompts, [one.text for one in cool_answers[::p.draws]]).total
totals = {label: marks[judge_shown][label].total for label in ("DPO", *last)}
lesson.show_cooler({"DPO": totals.pop("DPO"), cool: cool_score, **totals}, cool, judge_shown)

# %% [markdown]
# #### Whom does the likelihood agree with?
#
# Within each prompt of the first round, both scores rank the same samples. Here is the correlation of the ranks with
# the gold judge's (if there is one) and with the length: the mean over prompts, with its 95% interval. The samples are
# of several temperatures, and a score may agree with gold only because both dislike hot samples: so the correlation
# with gold is there among the hottest samples alone, too. And where each score finds its top.
#
# As far as its top is a cool sample, self-judgement teaches the model to do without temperature what it did at a low
# one. And a judge that ranks samples well is not yet a good teacher: that the win rates above have shown, not this table.

# %%
lengths = lesson.lengths_of(groups)
by_gold = scores[judge_shown] if judge_shown != "proxy" else None
scored = {"reward model": scores["proxy"], "own likelihood": done["own likelihood"][0].scores}
lesson.show_agreement(scored, by_gold, lengths, p.temperatures, judge_shown)

# %% [markdown]
# #### Where did it help?
#
# The policies of the last round against the start, DPO, category by category. Those that got new prompts are marked
# with a star. Each has few test prompts, so the table puts the marked ones together, and the others: the mean change of
# the score against the start, in points. A fall in the others is the price of a curriculum that asks in some categories
# only, since no pair of a round speaks for them.

# %%
category_figure = lesson.show_categories(marks[judge_shown], last, comparison, chosen_categories,
                                         watching[judge_shown], judge_shown)

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

round_of = lesson.named(done)
page.show(last[0], policies[last[0]], sft, tokenizer, p, history=round_of[last[0]].history,
          comparison=comparison, read=("DPO", *last))
for label in last:
    check = evaluate.collapse_check(comparison.answers[label], comparison.answers["SFT"],
                                    shape[label]["KL from SFT (nats)"])
    widgets.say(f"**{label}**: {check}")

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are of five rounds that start from RS-DPO on
# thousands of pairs, as in the paper: several seeds, with settings that a small grid chose on training prompts. They
# were made once, by `make claims`: they are the one thing here that this run did not compute, and no parameter and no
# edit above changes them. All of them together are in [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

# the long runs of claim 19: both begin with RS-DPO's policy
SAME_START = ("self_improvement_5", "self_judged_5")
beside.show("self_improvement_5", last[0], p, history=round_of[last[0]].history,
            metrics=("loss", "margin"), live=comparison.win_rates.get(last[0]),
            comparison=comparison)

# %% [markdown]
# ## The paper says, we measured
#
# The paper trains Qwen2.5-0.5B, its judge is a reward model of 70B parameters, and it ran one round. This is **one
# seed** in a far smaller world unless you changed the preset. Compare directions, not digits. The head of the table
# names its judge; if it is the proxy, that chose the pairs and flatters itself. The paper's round started from RS-DPO,
# ours from DPO.

# %%
once = between(judge_shown, chains["reward model"][1], "DPO")
added = lesson.later_rounds(marks[judge_shown], chains["reward model"])
further = between(judge_shown, *last)
rows = lesson.verdict_rows(once, added, further, SAME_START)
beside.show_verdicts(p, rows, ours=f"this run ({judge_shown})", also=[11])
measured = {rows[0][0]: tables.Measured.rate(once), rows[-1][0]: tables.Measured.rate(further)}
over_rs_dpo = ["11: one round beats RS-DPO", "", "", "", (11, 1)]
tables.say_what_decides(p, [*rows, over_rs_dpo], measured)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Your turn
#
# Write a loss of your own for the pairs of the data set. `policy.chosen` and `policy.rejected` have `.sum`, `.mean` and
# `.length`, one number a pair, and `.token`, one a token; so has `reference`. Take the `#` from the last line: your loss is
# checked, trained on 256 pairs for some seconds, drawn beside DPO, and put into a table that survives a restart.

# %%
from prefnb import your_turn

try_it = your_turn.on_pairs(p, sft, tokenizer, course.pair_examples(p, tokenizer, limit=256),
                            usual=("DPO", partial(dpo, beta=p.beta)),
                            folder="runs/attempts/07_self_improvement")


def my_loss(policy, reference):
    """Learn from the best answers alone: SFT on what was chosen, and no word on what was not."""
    return -policy.chosen.sum


# try_it(my_loss, "chosen ones alone")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Eight samples of a prompt have the scores 5, 5, 4, 3, 3, 2, 1, 1, and all are distinct. What is the probability
#    that the rejected one has score 1? Predict, then run: the check draws 999 pairs.
# 2. Of eight samples, six are the same sentence and score 2; the other two score 1 and 3. How many different pairs can
#    the rule make?
# 3. Write the loss of a round, with $\beta = 0.1$. It is given three models' log-probs: the policy's, those of the policy
#    at the `start` of this round, and those of the policy before the `first` round. The check knows the usual slips and
#    tells you which one it is.
#
# **To try.** Run the notebook with `temperatures` of eight times 0.2. Predict first: what happens to the number of pairs,
# and to the difference between chosen and rejected?

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

answer_1 = None  # a probability, such as 0.5
answer_2 = None  # a number


def my_round(policy, start, first):
    """One number a pair, from .chosen.sum and .rejected.sum of those that it needs."""
    return None


checks.self_improvement_07(answer_1, answer_2, my_round)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = 2 / 3
# ```
#
# The bottom three score 2, 1 and 1: two in three.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 2
# ```
#
# Equal samples count once, so there are three samples with scores 3, 2, 1. Chosen is the 3; rejected is 2 or 1: two
# pairs.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_round(policy, start, first):
#     """One number a pair, from .chosen.sum and .rejected.sum of those that it needs."""
#     d_chosen = policy.chosen.sum - start.chosen.sum
#     d_rejected = policy.rejected.sum - start.rejected.sum
#     return -logsigmoid(0.1 * (d_chosen - d_rejected))
# ```
#
# It is DPO's loss, and each round has its own reference: the policy as it came into the round, which also wrote the
# samples. With the first one for a reference, a later round would begin with a margin that it has not earned.
# </details>
# <details><summary>What comes of cool samples</summary>
#
# Cool samples are alike, so expect fewer distinct ones; a prompt with only one gives no pair. The pairs that are
# left should differ by less, in words and in score, so that there is less to learn from each.
# </details>
#
# ## What you have seen
#
# - A curriculum spends prompts where the policy is weakest, as far as the proxy can see that. Choose on other prompts
#   than those that measure the gain.
# - A round is: sample at several temperatures, score, pair the top with one of the bottom three, DPO with the round's
#   start as reference.
# - The judge that makes the pairs must not be the only one that measures: its own curve rises anyway.
# - With its own likelihood as judge a model learns to be more like itself; look at the samples' diversity and at a
#   judge who knows.
#
# Previous: [06_rs_dpo](06_rs_dpo.ipynb). Next: [08_multi_objective](08_multi_objective.ipynb). The judge of the pairs:
# [05_reward_model](05_reward_model.ipynb).
#
# ### So, can a model learn from its own best answers?

# %%
widgets.say(f"**By {judge_shown}, one round {once.beats} its start ({once}). Of the rounds after "
            f"it: {lesson.in_words(added)}.** How far it goes depends on who picks the best, whose "
            "mistakes come along.")
histories = {label: one.history for label, one in round_of.items()}
figures = {"book_rounds": rounds_figure, "book_diversity": shape_figure,
           "categories": category_figure}
by_proxy = {one: between("proxy", one, "SFT").rate for one in policies if one != "SFT"}
folder = course.record(p.output_dir, p, histories, comparison, figures, weakest=chosen_categories,
                       shape=shape, distinct=distinct, proxy_win_rates=by_proxy)
print(f"Parameters, histories, responses and figures are in {folder}.")

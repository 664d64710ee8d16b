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
# Nothing has to be run first. The loss is DPO's ([02 · DPO](02_dpo.ipynb)), and so is the [policy](glossary.md) that the rounds start
# from. (The paper starts from RS-DPO, [06](06_rs_dpo.ipynb); so does `python -m prefnb self_improvement`.)

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

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from prefnb import evaluate, judges, pairs as made_pairs, plots, widgets
from prefnb.batches import Examples, prompt_ids

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
# $\sigma$ is the logistic function, and $\beta$ sets how closely the policy is held to the [reference](glossary.md): higher is closer.
# The reference $\pi_\text{ref}$ is **the policy that this round started from**, which is also the one that drew the
# samples. So each round may move as far as the one before it: nothing ties the last round to the first.
#
# Why one of the bottom three and not simply the worst? The paper does not say. One reason: the very worst of eight may
# be broken in a way that the model hardly ever is, and then there is little to learn from it.
#
# ## The rule in full
#
# Training below uses this function: change it and run on. Samples are lists of token ids. Samples that are equal
# count once, and the rejected one must score strictly lower. A prompt that cannot give such a pair gives none.

# %%
def best_and_worst(prompts, samples, scores, worst=3, seed=0):
    """One pair per prompt: chosen is the top of its samples, rejected one of the bottom `worst` at random."""
    found, draw = [], random.Random(seed)
    for number, (group, row) in enumerate(zip(samples, scores)):
        distinct = {tuple(ids): float(score) for ids, score in zip(group, row)}
        ranked = sorted(distinct.items(), key=lambda one: -one[1])
        top, high = ranked[0]
        lower = [ids for ids, score in ranked[-worst:] if score < high]
        if lower:
            found.append((number, list(top), list(draw.choice(lower))))
    if not found:
        raise made_pairs.NoPairs("No prompt gives a pair: the samples of each are all alike or level in score.")
    numbers, chosen, rejected = map(list, zip(*found))
    return Examples([prompts[n] for n in numbers], {"chosen": chosen, "rejected": rejected}, numbers)


# %% [markdown]
# **Four numbers by hand.** Four samples A, B, C, D of one prompt score 1.0, 3.0, 0.5 and 2.0. The top is B. The bottom
# three are D, A and C, each with probability 1/3. If there are only A's and B's, the
# bottom three are all there is; B is not lower than itself, so A is left. If all four are B, there is no pair. The cell
# computes these cases, the first one for 300 seeds.

# %%
TOY = {"A": 1.0, "B": 3.0, "C": 0.5, "D": 2.0}


def toy_pair(letters, seed=0):
    """The pair of one prompt whose samples are these letters, as text."""
    try:
        made = best_and_worst([[0]], [[[ord(one)] for one in letters]], [[TOY[one] for one in letters]], seed=seed)
    except made_pairs.NoPairs as nothing:
        return str(nothing)
    return " over ".join(chr(made.responses[side][0][0]) for side in ("chosen", "rejected"))


seen = [toy_pair("ABCD", seed) for seed in range(300)]
counted = ", ".join(f"{one}: {seen.count(one)} of 300" for one in sorted(set(seen)))
widgets.show_table(["samples", "pair"], ["A B C D", counted], ["A B B A", toy_pair("ABBA")],
                   ["B B B B", toy_pair("BBBB")])
toy_figure, axis = plots.subplots(figsize=(6, 1.5))
for letter, score in TOY.items():
    axis.plot(score, 0, "o", markersize=12, color=plots.MEANINGS["chosen" if letter == "B" else "rejected"])
    axis.text(score, 0.35, letter, ha="center")
    axis.text(score, -0.6, "chosen" if letter == "B" else "rejected?", ha="center", fontsize=9)
axis.set(xlabel="score", yticks=[], ylim=(-1, 1), xlim=(0, 3.5))
axis.grid(False)
display(toy_figure)
widgets.say(f"**The top is always chosen; who is rejected is a draw: {counted}.**")

# %% [markdown]
# ## The start, and two judges
#
# *SFT* (supervised fine-tuning) is the model before it saw any preferences. The rounds start from what DPO makes of it.
# To *beat* is measured by a *win rate*: one policy's answers against another's to the same prompts, the share that the
# judge scores higher. A difference too small to matter is a *tie* and counts half, so .5 means that neither is better.
#
# Two judges look on. The [**proxy**](glossary.md) is the [reward model](glossary.md): a small model trained on preference pairs, which is all that
# one has in reality. The **gold** judge is the program that knows the pocket world's truth; no choice below is made by
# it. On other data there is only the proxy. If you name another `judge`, it takes gold's place in all that follows.
# (What the proxy's choice among several answers is worth before any training, [best-of-N](glossary.md), is measured in
# [05](05_reward_model.ipynb).)

# %%
sft, tokenizer = methods.sft.starting_policy(p)
shared = p.shared_with(methods.dpo.Settings)
start = methods.dpo.recipe(**{name: shared[name] for name in shared if name not in ("epochs", "learning_rate")}).model
proxy = methods.reward_model.proxy(p)
judge = methods.reward_model.judge_of(p)
watching = ({judge.name: judge} if judge else {}) | {"proxy": proxy}
judge_shown = next(iter(watching))  # where one has to do: gold or the judge that you named, if there is one
scouting = methods.self_improvement.scout(p, sft, start, tokenizer)  # one answer each of SFT and of the start policy

# %% [markdown]
# ## Where is the policy weakest?
#
# A curriculum spends new prompts where they should help most. The paper compares its DPO policy with SFT in ten
# categories, and takes the two with the lowest win rates. So do we, and by the proxy, because in reality there is
# nothing else. The [gold judge](glossary.md)'s opinion of the same answers stands beside it. The prompts are from the *training*
# split: test prompts decide nothing in this notebook, no category and no pair.

# %%
by_judge = {name: scouting.rates(judge, judge.tie) for name, judge in watching.items()}
chosen_categories = methods.self_improvement.weakest(by_judge["proxy"], p.weakest)
scouting_figure = plots.plot_categories(dict(reversed(by_judge.items())), against="SFT")
display(scouting_figure)
told = f"The proxy's weakest: **{widgets.escaped(', '.join(chosen_categories).replace('_', ' '))}**."
if len(by_judge["proxy"]) == 1:
    told += " There is only one category in these data, so there is nothing to choose: the new prompts are simply new."
elif judge_shown != "proxy":
    other = methods.self_improvement.weakest(by_judge[judge_shown], p.weakest)
    told += (f" The {judge_shown} judge would have said {widgets.escaped(', '.join(other).replace('_', ' '))}: the two "
             f"lists share {len(set(other) & set(chosen_categories))} of {p.weakest}.")
widgets.say(told)

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
first = [prompt for prompt in asked[0] if len(prompt_ids(tokenizer, prompt)) <= p.max_prompt_tokens]
first_ids = [prompt_ids(tokenizer, prompt) for prompt in first]
groups = methods.self_improvement.draw_groups(start, tokenizer, first_ids, p, number=1)
scores = {name: methods.self_improvement.by_reward(judge)(start, tokenizer, first, groups)
          for name, judge in watching.items()}
tops = scores["proxy"].argmax(1)
rows = [["temperature", "samples a prompt", "the proxy's top is there", *(f"mean score, {name}" for name in watching)]]
for temperature in sorted(set(p.temperatures)):
    here = [k for k, one in enumerate(sorted(p.temperatures)) if one == temperature]
    rows.append([f"{temperature:g}", len(here),
                 f"{np.isin(tops, here).mean():.0%} (by chance {len(here) / len(p.temperatures):.0%})",
                 *(f"{score[:, here].mean():.2f}" for score in scores.values())])
widgets.show_table(*rows)
hottest = [k for k, one in enumerate(sorted(p.temperatures)) if one == max(p.temperatures)]
told = "; ".join(f"{score[:, hottest].mean() - np.delete(score, hottest, 1).mean():+.2f} by {name}"
                 for name, score in scores.items() if len(hottest) < len(p.temperatures))
widgets.say(f"**The proxy finds its top among the hottest samples in {np.isin(tops, hottest).mean():.0%} of the "
            f"prompts. Their mean score, less that of the others: {told or 'there are no others'}.**")

# %%
id_groups = [[one.ids for one in group] for group in groups]
made = best_and_worst(first_ids, id_groups, scores["proxy"], seed=p.seed + 1)
texts = {side: [tokenizer.decode(ids, skip_special_tokens=True) for ids in made.responses[side]]
         for side in made.names}
pair_prompts = [first[n] for n in made.kept]
pair_scores = {side: watching[judge_shown](pair_prompts, texts[side]) for side in texts}
widgets.show_responses(pair_prompts, texts, pair_scores)
distinct = np.array([len({tuple(ids) for ids in group}) for group in id_groups])
told = (f"{len(made)} of {len(first)} prompts gave a pair; of {len(p.temperatures)} samples a prompt, "
        f"{distinct.mean():.1f} were distinct (the fewest: {distinct.min()}). ")
if judge_shown != "proxy":
    gap, tie = pair_scores["chosen"].total - pair_scores["rejected"].total, judge.tie
    told += (f"The {judge_shown} judge agrees with the proxy's order in **{(gap > tie).mean():.0%}** of the pairs, "
             f"sees no difference in {(abs(gap) <= tie).mean():.0%}, and would turn {(gap < -tie).mean():.0%} round.")
widgets.say(told)

# %% [markdown]
# Pairs that are the wrong way round are label noise of a special kind: they are not random. Whatever the proxy
# mistakes for quality, it mistakes in every pair of every round.
#
# ## Rounds, with two judges
#
# The function `methods.self_improvement.improve` does what this notebook has shown, round after round: sample, score,
# pair (with the `best_and_worst` above), DPO. The next round starts from the policy that the last one made.
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
# come ready-made at the defaults. Edit `best_and_worst`, or change a parameter, and they are made anew.

# %%
done = {}
for label, score in {"reward model": methods.self_improvement.by_reward(proxy),
                     "own likelihood": methods.self_improvement.by_likelihood}.items():
    done[label] = methods.self_improvement.improve(start, tokenizer, asked, score, p, make_pairs=best_and_worst,
                                                   live=plots.LiveFigure() if label == "reward model" else None)
for label, made_rounds in done.items():
    told = [f"{len(one.pairs)} pairs of {len(one.prompts)} prompts in {len(one.history.rows)} steps"
            for one in made_rounds]
    print(f"{label}: " + "; ".join(f"round {number}, {text}" for number, text in enumerate(told, 1)) + ".")
plots.plot_training({f"{label}, {number}": one.history for label, made_rounds in done.items()
                     for number, one in enumerate(made_rounds, 1)}, ["loss", "margin", "accuracy"])

# %% [markdown]
# **Every round begins with loss $\ln 2$ and margin 0** (so no margin is above 0 yet), since its reference is its own
# start. One judge's pairs may be easier to tell apart than the other's; that says nothing about answers.
#
# ## Do they win?
#
# The start, the first and the last policy of the reward model's rounds, and the last of the other judge's answer each
# test prompt `draws` times. Every answer is compared with every answer of SFT to the same prompt. The proxy, which is a
# model and slower, reads the first answer of each (all of them, if you named it as the `judge`).

# %%
policies, chains = {"SFT": sft, "DPO": start}, {}
round_of = {f"{label}, {number}": one for label, made_rounds in done.items()
            for number, one in enumerate(made_rounds, 1)}
for label, made_rounds in done.items():
    looked_at = sorted({1, len(made_rounds)}) if label == "reward model" else [len(made_rounds)]
    chains[label] = {0: "DPO"} | {number: f"{label}, {number}" for number in looked_at}
    policies |= {name: round_of[name].model for name in list(chains[label].values())[1:]}
comparison = course.compare(policies, tokenizer, p, judge=judge)
marks = {judge_shown: comparison.scores} if comparison.judge else {}
if "proxy" not in marks:
    marks["proxy"] = {label: proxy(comparison.prompts, comparison.texts(label)) for label in policies}
last = [chain[max(chain)] for chain in chains.values()]


def between(name, label, other):
    """Win rate of one policy over another on the test prompts, by the judge of that name."""
    return evaluate.win_rate(marks[name][label], marks[name][other], tie=watching[name].tie)


# %%
rounds_figure, axes = plots.subplots(1, len(watching), figsize=(8, 3.2), sharey=True, squeeze=False,
                                     layout="constrained")
for axis, name in zip(axes.flat, watching):
    for number, (label, chain) in enumerate(chains.items()):
        rates = [between(name, one, "SFT") for one in chain.values()]
        x, y = np.array([*chain]) + 0.06 * number, np.array([rate.rate for rate in rates])
        low, high = np.array([rate.interval for rate in rates]).T
        axis.errorbar(x, y, [y - low, high - y], marker="o", capsize=3, color=plots.CYCLE[number],
                      label=f"pairs by: {label}")
    axis.axhline(0.5, color="#888888", linewidth=0.8)
    axis.set(title=f"judged by: {name}", xlabel="round (0: the start, DPO)", xticks=range(p.rounds + 1), ylim=(0, 1))
axes[0, 0].set_ylabel("win rate against SFT")
rounds_figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
display(rounds_figure)
widgets.show_table(["policy", *(f"win rate against SFT, by {name}" for name in watching)],
                   *[[label, *(between(name, label, "SFT") for name in watching)]
                     for label in policies if label != "SFT"])


# %%
def moved(name, change):
    """What became of a judge's score, in words: "the gold score rose (+0.31 [+0.12, +0.50] points)"."""
    return f"the {name} score {evaluate.change(change)} ({evaluate.mean_and_interval(change)} points)"


for label, name in zip(done, last):
    told = " and ".join(moved(judge, marks[judge][name].total - marks[judge]["DPO"].total) for judge in watching)
    widgets.say(f"**From DPO to *{name}*, {told}.**")
if judge_shown != "proxy":
    rose = {name: evaluate.change(marks[name][last[0]].total - marks[name]["DPO"].total) == "rose" for name in watching}
    widgets.say("**The proxy's score rose and the other judge's did not: the rounds have begun to learn what the proxy "
                "mistakes for quality.** That is over-optimisation." if rose["proxy"] and not rose[judge_shown] else
                "**The two judges do not part here: no over-optimisation can be told.**")

# %% [markdown]
# The reward model's own notebook, [05](05_reward_model.ipynb), has more of over-optimisation.
#
# ### Plateau or decay?
#
# The paper ran one round and left the question open. Here is what the rounds after the first added to the score of a
# test prompt, in points, with the reward model as the judge of the pairs.

# %%
def later_rounds(name, chain):
    """What the rounds after the first added on each test prompt, by the judge of that name; None if there were none."""
    first, final = chain.get(1), chain[max(chain)]
    return None if first in (None, final) else (marks[name][final].total - marks[name][first].total)


def in_words(added):
    """Rise, decay or neither, as far as the interval allows to say."""
    if added is None:
        return "there was only one round"
    low, high = evaluate.bootstrap_interval(added)
    return "they still rise" if low > 0 else "they decay" if high < 0 else "no change can be told"


rows = [["judged by", "rounds after the first added", "in words"]]
for name in watching:
    added = later_rounds(name, chains["reward model"])
    rows.append([name, "nothing" if added is None else evaluate.mean_and_interval(added), in_words(added)])
widgets.show_table(*rows)
widgets.say("**The rounds after the first: " + "; ".join(f"by {name} {words}" for name, _, words in rows[1:]) + ".**")

# %% [markdown]
# ## What became of diversity?
#
# *distinct-2* is the share of word pairs that are not repeats, over all answers; *self-BLEU* says how much each answer
# looks like the others (high: all alike). The [sampled KL](glossary.md), in nats a response, is how far a policy has moved from SFT,
# on its own samples at temperature 1. And of the samples that the start of a round drew for each of its new prompts:
# how many were distinct?

# %%
shape = {}
for label, policy in policies.items():
    drawn = comparison.answers[label]
    kl = course.sampled_kl(policy, sft, tokenizer, comparison.prompts[:128],
                           max_new_tokens=p.max_response_tokens)  # of SFT from itself: exactly 0
    shape[label] = {"distinct-2": evaluate.distinct_n(drawn), "self-BLEU": evaluate.self_bleu(drawn),
                    "KL from SFT (nats)": kl["k3"], "tokens a response": evaluate.mean_length(drawn)}
widgets.show_table(["policy", *shape["SFT"]], *[[label, *map(float, row.values())] for label, row in shape.items()])

# %%
distinct = {label: [np.mean([len({tuple(one.ids) for one in group}) for group in one_round.groups])
                    for one_round in made_rounds] for label, made_rounds in done.items()}
shape_figure, axes = plots.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
for number, (label, chain) in enumerate(chains.items()):
    colour = plots.CYCLE[number]
    for axis, measure in zip(axes, ("distinct-2", "KL from SFT (nats)")):
        axis.plot([*chain], [shape[one][measure] for one in chain.values()], "o-", color=colour,
                  label=f"pairs by: {label}")
        axis.set(xlabel="round (0: DPO)", xticks=range(p.rounds + 1))
        axis.set_title(measure, fontsize=9)
    axes[2].plot(range(1, len(distinct[label]) + 1), distinct[label], "o-", color=colour)
axes[2].set(xlabel="drawn for round", xticks=range(1, p.rounds + 1), ylim=(0, len(p.temperatures) + 0.3))
axes[2].set_title(f"distinct of {len(p.temperatures)} samples a prompt", fontsize=9)
shape_figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
display(shape_figure)
told = "; ".join(f"pairs by {label}: from {found[0]:.1f} to {found[-1]:.1f}" for label, found in distinct.items())
widgets.say(f"**Distinct samples a prompt, from the first round's to the last's: {told}.** And *{last[0]}* is "
            f"{shape[last[0]]['KL from SFT (nats)']:.1f} nats from SFT, *{last[1]}* "
            f"{shape[last[1]]['KL from SFT (nats)']:.1f}; DPO was {shape['DPO']['KL from SFT (nats)']:.1f}.")

# %% [markdown]
# Distinct-2 and self-BLEU compare answers to *different* prompts: they may hardly move while every single prompt gets
# fewer and fewer different answers. That last panel is what the next round lives on, since samples that are all alike
# make no pair.
#
# ### Is it only the temperature?
#
# A policy that is taught what it finds likely says likely things more often: it gets cooler, and cool answers may be
# the better ones. That needs no training. So here is the start once more, DPO, answering at the coolest of
# `temperatures`, beside the policies that answered at the usual one.

# %%
coolest = min(p.temperatures)
cool_answers = course.answers_of(start, tokenizer, comparison.prompts, draws=p.draws, temperature=coolest,
                                 max_new_tokens=p.max_response_tokens)
if comparison.judge:
    cool_score = judges.score_samples(comparison.judge, comparison.prompts, cool_answers).total
else:  # the proxy reads the first answer of each
    cool_score = proxy(comparison.prompts, [one.text for one in cool_answers[::p.draws]]).total
compared = {"DPO": marks[judge_shown]["DPO"].total, f"DPO at temperature {coolest:g}": cool_score}
compared |= {label: marks[judge_shown][label].total for label in last}
widgets.show_table(["policy", f"mean score, {judge_shown}"],
                   *[[label, f"{score.mean():.2f}"] for label, score in compared.items()])
for label in last:
    against = moved(judge_shown, compared[label] - cool_score)
    more = evaluate.bootstrap_interval(compared[label] - cool_score)[0] > 0
    widgets.say(f"**From DPO at temperature {coolest:g} to *{label}*, {against}: "
                f"{'more than' if more else 'no more than'} a lower temperature gives.**")

# %% [markdown]
# ### Whom does the likelihood agree with?
#
# Within each prompt of the first round, both scores rank the same samples. Here is the correlation of the ranks with
# the gold judge's (if there is one) and with the length: the mean over prompts, with its 95% interval. The samples are
# of several temperatures, and a score may agree with gold only because both dislike hot samples: so the correlation
# with gold is there among the hottest samples alone, too. And where each score finds its top.

# %%
def agreement(one, other):
    """The rank correlation of two scores, (prompts, K) each, in every prompt where both vary; level samples share a
    rank."""
    ranks = lambda score: np.sign(np.round(score[:, :, None] - score[:, None, :], 4)).sum(2)
    both = [pair for pair in zip(ranks(one), ranks(other)) if np.std(pair, axis=1).all()]
    return np.array([np.corrcoef(*pair)[0, 1] for pair in both])


lengths = np.array([[float(len(one.ids)) for one in group] for group in groups])
cool, hot = (np.array(sorted(p.temperatures)) == one for one in (min(p.temperatures), max(p.temperatures)))
tops, own = {}, done["own likelihood"][0].scores
with_judge = [f"rank correlation with {judge_shown}", "... of the hottest samples alone"] * (judge_shown != "proxy")
rows = [["score", *with_judge, "rank correlation with length", "its top is a coolest sample"]]
for label, score in {"reward model": scores["proxy"], "own likelihood": own}.items():
    found = [agreement(score[:, some], scores[judge_shown][:, some]) for some in (slice(None), hot) if with_judge]
    found.append(agreement(score, lengths))
    tops[label] = f"{cool[score.argmax(1)].mean():.0%}"
    rows.append([label, *(evaluate.mean_and_interval(one) if len(one) else "all level" for one in found),
                 tops[label]])
widgets.show_table(*rows)
widgets.say(f"**Own likelihood finds its top among the coolest samples, {cool.mean():.0%} of all, in "
            f"{tops['own likelihood']} of the prompts, the reward model in {tops['reward model']}.**")
if with_judge:
    every, hottest = (agreement(own[:, some], scores[judge_shown][:, some]) for some in (slice(None), hot))
    told = "not what" if len(hottest) and hottest.mean() > every.mean() / 2 else "most of what"
    widgets.say(f"**The samples' temperature is {told} makes it agree with {judge_shown}.**")

# %% [markdown]
# As far as its top is a cool sample, self-judgement teaches the model to do without temperature what it did at a low
# one. And a judge that ranks samples well is not yet a good teacher: that the win rates above have shown, not this table.
#
# ## Where did it help, and what do they say?
#
# The policies of the last round against the start, DPO, category by category. Those that got new prompts are marked
# with a star. Each has few test prompts, so the table puts the marked ones together, and the others: the mean change of
# the score against the start, in points. A fall in the others is the price of a curriculum that asks in some categories
# only, since no pair of a round speaks for them. Then three prompts side by side.

# %%
trained_on = np.array([(name or "uncategorised") in chosen_categories for name in comparison.categories])
categories = [(name or "uncategorised") + " *" * bool(new) for name, new in zip(comparison.categories, trained_on)]
by_label = {label: evaluate.by_category(marks[judge_shown][label], marks[judge_shown]["DPO"], categories,
                                        tie=watching[judge_shown].tie) for label in last}
category_figure = plots.plot_categories(by_label, against="DPO")
display(category_figure)
for label, found in by_label.items():
    told = [f"{verb} DPO in {', '.join(sorted(names))}" for verb in ("beats", "loses to")
            if (names := [widgets.escaped(name.replace("_", " ")) for name in found if found[name].beats == verb])]
    widgets.say(f"***{label}* {' and '.join(told) or 'can be told from DPO in no category'}.**")
rows = [["policy", "in the trained categories", "in the others"]]
for label in [label for label in policies if label not in ("SFT", "DPO")]:
    change = marks[judge_shown][label].total - marks[judge_shown]["DPO"].total
    parts = [change[here] for here in (trained_on, ~trained_on)]
    rows.append([label, *(evaluate.mean_and_interval(part) if len(part) else "no test prompt" for part in parts)])
widgets.show_table(*rows)
for label in last if not trained_on.all() else []:
    others = (marks[judge_shown][label].total - marks[judge_shown]["DPO"].total)[~trained_on]
    widgets.say(f"**From DPO to *{label}*, in the categories without new prompts, "
                f"{moved(judge_shown, others)}.**")

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show(last[0], policies[last[0]], sft, tokenizer, p, history=round_of[last[0]].history,
          comparison=comparison, read=("DPO", *last))
for label in last:
    check = evaluate.collapse_check(*(comparison.answers[one] for one in (label, "SFT")),
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

SAME_START = ("self_improvement_5", "self_judged_5")  # the long runs of claim 19: both begin with RS-DPO's policy
beside.show("self_improvement_5", last[0], p, history=round_of[last[0]].history, metrics=("loss", "margin"),
            live=comparison.win_rates.get(last[0]), comparison=comparison)

# %% [markdown]
# ## The paper says, we measured
#
# The paper trains Qwen2.5-0.5B, its judge is a reward model of 70B parameters, and it ran one round. This is **one
# seed** in a far smaller world unless you changed the preset. Compare directions, not digits. The head of the table
# names its judge; if it is the proxy, that chose the pairs and flatters itself. The paper's round started from RS-DPO,
# ours from DPO.

# %%
rows = []
first_round, added = chains["reward model"][1], later_rounds(judge_shown, chains["reward model"])
claims = (("11: one round beats DPO", ".6275", first_round, "DPO", (11, 0)),
          ("19: the reward model goes further than self-judgement", "open question", *last, SAME_START))
for claim, figure, label, other, long_run in claims:
    rate = between(judge_shown, label, other)
    rows.append([claim, figure, rate, evaluate.verdict(rate.interval), long_run])
if added is not None:
    rows.insert(-1, ["18: further rounds go on improving", "open question",
                     f"{evaluate.mean_and_interval(added)} points",
                     evaluate.verdict(evaluate.bootstrap_interval(added), 0.0), (18, 0)])
beside.show_verdicts(p, rows, ours=f"this run ({judge_shown})", also=[11])

# %% [markdown]
# ## Exercises
#
# 1. Eight samples of a prompt have the scores 5, 5, 4, 3, 3, 2, 1, 1, and all are distinct. What is the probability
#    that the rejected one has score 1?
# 2. Of eight samples, six are the same sentence and score 2; the other two score 1 and 3. How many different pairs can
#    the rule make?
# 3. Run the notebook with `temperatures` of eight times 0.2. Predict first: what happens to the number of pairs, and to
#    the difference between chosen and rejected?
#
# <details><summary>Solutions</summary>
#
# 1. The bottom three score 2, 1 and 1: two in three.
# 2. Equal samples count once, so there are three samples with scores 3, 2, 1. Chosen is the 3; rejected is 2 or 1: two
#    pairs.
# 3. Cool samples are alike, so expect fewer distinct ones; a prompt with only one gives no pair. The pairs that are
#    left should differ by less, in words and in score, so that there is less to learn from each.
# </details>

# %%
from prefnb import exercises

answer_1 = None  # a probability, such as 0.5
answer_2 = None  # a number


def check_exercises():
    """Hold the answers against the definitions."""
    rule = lambda samples, scores, seed: made_pairs.best_and_worst([[0]], [samples], [scores], seed=seed)  # noqa: E731
    made = [rule([[k] for k in range(8)], [5, 5, 4, 3, 3, 2, 1, 1], seed) for seed in range(999)]
    lowest = np.mean([one.responses["rejected"][0][0] > 5 for one in made])  # the last two score 1
    few = [rule([[0]] * 6 + [[1], [2]], [2] * 6 + [1, 3], seed) for seed in range(99)]
    pairs_made = len({str(one.responses) for one in few})
    for number, given, right in ((1, answer_1, lowest), (2, answer_2, pairs_made)):
        print(f"{number}: {exercises.of_numbers(given, right, within=0.04)}")


check_exercises()

# %% [markdown]
# ## What you have seen

# %%
once = between(judge_shown, first_round, "DPO")
widgets.say(f"**Can a model learn from its own best answers? By {judge_shown}, one round {once.beats} its start ({once}). "
            f"Of the rounds after it: {in_words(added)}.** How far it goes depends on who picks the best, whose mistakes "
            "come along.")
histories = {label: one.history for label, one in round_of.items()}
figures = {"book_rounds": rounds_figure, "book_diversity": shape_figure, "categories": category_figure}
folder = course.record(p.output_dir, p, histories, comparison, figures, weakest=chosen_categories, shape=shape,
                       distinct=distinct,
                       proxy_win_rates={one: between("proxy", one, "SFT").rate for one in policies if one != "SFT"})
print(f"Parameters, histories, responses and figures are in {folder}.")

# %% [markdown]
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

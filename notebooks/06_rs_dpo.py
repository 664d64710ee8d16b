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
# Nothing has to be run first. The loss is DPO's, unchanged: see [02 · DPO](02_dpo.ipynb).

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

# %%
import random
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from prefnb import evaluate, plots, widgets
from prefnb.logprobs import DatasetLogprobs, from_tokens
from prefnb.methods.dpo import dpo

plt.style.use("prefnb.book")

# %% [markdown]
# ## The idea
#
# A pair has a prompt $x$, a chosen response $y_w$ and a rejected one $y_l$. With $\pi_\theta$ the policy in
# training, $\pi_\text{ref}$ the frozen model it started from, $S(y)$ the log-prob of a response under the
# policy and $d(y) = S(y) - S_\text{ref}(y)$, DPO is
#
# $$L = -\log \sigma\big(\beta\,(d(y_w) - d(y_l))\big).$$
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
# ## The mixture in full
#
# Paper 002 tries all pairs replaced, a fifth, and a tenth. Training below uses this function: change it and
# run on. It takes token ids, because a sample that is decoded and encoded again may not be the same sample.

# %%
def mixture(pairs, samples, share, seed=0):
    """`pairs` with exactly that share of their rejected responses replaced by the model's own, and which ones."""
    kept = [i for i, ids in enumerate(samples) if ids != pairs.responses["chosen"][i]]  # equal sides teach nothing
    changed = random.Random(seed).sample(range(len(kept)), len(kept))[:round(share * len(kept))]
    rejected = [pairs.responses["rejected"][i] for i in kept]
    for place in changed:
        rejected[place] = samples[kept[place]]
    mixed = replace(pairs, prompt_ids=[pairs.prompt_ids[i] for i in kept], kept=[pairs.kept[i] for i in kept],
                    responses={"chosen": [pairs.responses["chosen"][i] for i in kept], "rejected": rejected})
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
own = [one.ids for one in course.samples_of(sft, tokenizer, original.prompt_ids, temperature=p.temperature,
                                            max_new_tokens=p.max_response_tokens, seed=p.seed)]
mixtures = {f"RS-DPO, {share:.0%}": mixture(original, own, share, p.seed)[0] for share in p.shares}
full_of_own, _ = mixture(original, own, 1.0, p.seed)
widgets.show_table(
    ["training set", "pairs", "of them with the model's own answer"], ["DPO", len(original), 0],
    *[[label, len(mixed), round(share * len(mixed))] for (label, mixed), share in zip(mixtures.items(), p.shares)])
widgets.say(f"**{len(original) - len(full_of_own)} pairs are left out of the mixtures: there the model's own answer is "
            "the chosen one, and a pair of equal sides teaches nothing.**")

# %% [markdown]
# ### Can the sides be told apart by whose words they are?
#
# Before any training, here is how likely the model finds each kind of response, per token. If "the one less
# like me" picks the chosen response nearly every time, the pairs can be won without learning what is good. (The
# model's own answers were drawn at `temperature`; below 1 they are made of likelier words than it uses on average at 1,
# at which the log-probs are taken. That is a part of the gap.)

# %%
known = {"dpo": course.reference(sft, original), "own": course.reference(sft, full_of_own)}
per_token = {"chosen $y_w$": known["dpo"].all().chosen.mean.numpy(),
             "rejected, in the data": known["dpo"].all().rejected.mean.numpy(),
             "the model's own": known["own"].all().rejected.mean.numpy()}
shortcut_figure, axis = plots.subplots(figsize=(7, 2.6))
everything = np.concatenate(list(per_token.values()))
edges = np.linspace(np.quantile(everything, 0.01), 0, 40)  # the least likely hundredth is off to the left
for (label, values), colour in zip(per_token.items(), (plots.MEANINGS["chosen"], plots.MEANINGS["rejected"], "#555555")):
    axis.hist(values, edges, histtype="step", linewidth=1.6, color=colour, label=label)
axis.set(xlabel="log-prob per token under the reference (nats)", ylabel="responses")
axis.legend(loc="upper left")
display(shortcut_figure)


def shortcut(logprobs):
    """1 for each pair whose chosen response is the less likely one per token."""
    return (logprobs.all().chosen.mean < logprobs.all().rejected.mean).float().numpy()

# %%
rule = {"pairs of the data": shortcut(known["dpo"]), "pairs against the model's own": shortcut(known["own"])}
within = {label: evaluate.wilson_interval(hits.sum(), len(hits)) for label, hits in rule.items()}
widgets.show_table(["\"the less likely per token is the chosen one\"", "right", "95% interval"],
                   *[[label, f"{hits.mean():.2f}", "{:.2f} to {:.2f}".format(*within[label])]
                     for label, hits in rule.items()])
SAYS = {"holds here": "picks the chosen response more often than a coin would", "cannot be told": "may be no better "
        "than a coin", "does not hold here": "picks the rejected response more often than a coin would"}
told = "; ".join(f"on the {label} it {SAYS[evaluate.verdict(within[label])]}" for label in rule)
ours = rule["pairs against the model's own"].mean()
widgets.say(f"**The rule alone, which knows nothing of quality: {told}.** It is right on {ours:.0%} of the pairs "
            "against the model's own answers, " + (
                "so that most of the full RS-DPO loss can be had by moving away from oneself." if ours > 0.75 else
                "far from all of them."))

# %% [markdown]
# ## Training
#
# Every policy starts from the same weights and sees the same prompts for one epoch (or `epochs`), with DPO's learning
# rate, so that the data are the only difference. DPO on the pairs as they are is the one to beat. The mixture with the
# most of the model's own answers is trained before your eyes. DPO and the other mixtures come ready-made at the
# defaults; a mixture is trained anew after any edit that changes its pairs, and with other parameters all are.

# %%
most = f"RS-DPO, {max(p.shares):.0%}"
ready = methods.dpo.recipe(**p.shared_with(methods.dpo.Settings))
policies, histories = {"SFT": sft, "DPO": ready.model}, {"DPO": ready.history}
for label, mixed in mixtures.items():
    live = plots.LiveFigure() if label == most else None
    policies[label], histories[label] = course.fit(sft, mixed, partial(dpo, beta=p.beta), p, live=live)
plots.plot_training(histories, ["loss", "margin", "accuracy"])

# %%
last = {label: (history.last("loss", 5), history.last("margin", 5)) for label, history in histories.items()}
told = (f"**Over the last five steps DPO's loss is {last['DPO'][0]:.2f} and its margin {last['DPO'][1]:.2f}; "
        f"those of {most} are {last[most][0]:.2f} and {last[most][1]:.2f}.** ")
if last[most][0] < last["DPO"][0] and last[most][1] > last["DPO"][1]:
    told += "A lower loss and a larger margin: the paper saw that too, and took it for good news at first. "
widgets.say(told + "Neither curve knows what the policy says.")

# %% [markdown]
# ## What do they say?
#
# A reader of answers comes before any rate. Here are three prompts, each answered by SFT, by DPO and by the
# policy with the most of its own answers rejected. Three prompts are an impression and no measurement: the tables below
# them are over all test prompts.

# %%
comparison = course.compare(policies, tokenizer, p, judge=judge)
widgets.show_answers(comparison, ("SFT", "DPO", most))

# %%
checks = {label: comparison.collapse(label) for label in policies if label != "SFT"}
rows = [["policy", "tokens a response", "of SFT's", "distinct-2, of SFT's", "never end", "collapsed?"]]
for label, check in checks.items():
    rows.append([label, f"{evaluate.mean_length(comparison.answers[label]):.1f}", f"{check.measures['length_ratio']:.2f}",
                 f"{check.measures['distinct_ratio']:.2f}", f"{check.measures['unfinished']:.0%}",
                 "; ".join(check.reasons) if check.collapsed else "no"])
widgets.show_table(*rows)
if comparison.gold:  # it alone can name flaws; None where nobody knows the right answers
    flaws = {label: comparison.flaws(label) for label in policies}
    mean = {label: f"{comparison.scores[label].total.mean():.2f}" for label in policies}
    widgets.show_table(["flaws, share of answers", *flaws["SFT"], f"{judge.name} score"],
                       *[[label, *(f"{hits.mean():.0%}" for hits in found.values()), mean[label]]
                         for label, found in flaws.items()])
    worst = max(flaws[most], key=lambda name: flaws[most][name].mean() - flaws["DPO"][name].mean())
    found, of_dpo = flaws[most][worst].mean(), flaws["DPO"][worst].mean()
    widgets.say(f"**{most} against DPO: the flaw that differs most to its disadvantage is *{worst}*, in "
                f"{found:.0%} of answers against {of_dpo:.0%}; the mean {judge.name} score is {mean[most]} "
                f"against {mean['DPO']}.**")

# %% [markdown]
# ## Does it win?
#
# First against SFT, as in all notebooks, then against DPO, as in the paper's table. A tie counts half; the bars are 95%
# intervals over prompts.

# %%
PAPER = {"RS-DPO, 10%": 0.67, "RS-DPO, 20%": 0.48, "RS-DPO, 100%": 0.10}  # against DPO, at the end of the epoch
if judge:
    display(plots.plot_win_rates(comparison.win_rates, against="SFT"))
    widgets.say(f"**Judged by {judge.name}: "
                + "; ".join(f"{label} {rate.beats} SFT" for label, rate in comparison.win_rates.items()) + ".**")

# %%
rates_figure, rates = None, {}
if judge:
    rates = {label: comparison.win_rate(label, "DPO") for label in mixtures}
    rates_figure = plots.plot_win_rates(rates, against="DPO")
    axis, published = rates_figure.axes[0], [(PAPER[label], len(rates) - 1 - place)
                                             for place, label in enumerate(rates) if label in PAPER]
    if published:
        axis.plot(*zip(*published), "kx", label="the paper")
        rates_figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left")
    display(rates_figure)
    found = "; ".join(f"{label} {rate.beats} DPO ({rate})" for label, rate in rates.items())
    widgets.say(f"**Judged by {judge.name}: {found}.**")

# %% [markdown]
# ## What was learnt about other people's pairs?
#
# Each policy's margin on its last training batches, and on held-out pairs of the data set, none of which has an answer
# of its own. The [sampled KL](glossary.md) says how far the policy has moved from SFT, in nats a response, on its own samples at
# temperature 1.

# %%
held_out = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
held_reference, held = course.reference(sft, held_out).all(), {}
rows = [["policy", "held-out accuracy", "held-out margin", "training margin, last", "sampled KL from SFT (nats)"]]
for label, history in histories.items():
    held[label] = dpo(DatasetLogprobs.compute(policies[label], held_out).all(), held_reference, beta=p.beta)[1]
    kl = course.sampled_kl(policies[label], sft, tokenizer, comparison.prompts[:128],
                           max_new_tokens=p.max_response_tokens)
    rows.append([label, f"{held[label]['accuracy'].mean():.2f}", evaluate.mean_and_interval(held[label]["margin"]),
                 f"{history.last('margin', 5):.2f}", f"{kl['k3']:.2f}"])
widgets.show_table(*rows)
told = [f"{histories[label].last('margin', 5):.2f} on its last batches and {held[label]['margin'].mean():+.2f} on "
        "held-out pairs of the data" for label in (most, "DPO")]
widgets.say(f"**The margin of {most} is {told[0]}; DPO's is {told[1]}.** What is gone of a "
            "training margin on held-out pairs was learnt about the training pairs alone, whose words they are "
            "included.")

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
    rows, full, tenth = [], "RS-DPO, 100%", "RS-DPO, 10%"
    if full in rates:
        low, high = rates[full].interval
        loss, margin = zip(last[full], last["DPO"])
        rows.append(["8: the full replacement loses to DPO", ".10", rates[full], evaluate.verdict((1 - high, 1 - low)),
                     (8, 0)])
        so = {True: "so it was", False: "not so"}
        rows.append(["8: its loss is lower than DPO's", "fig. 7", "last five steps: {:.2f} against {:.2f}".format(*loss),
                     so[loss[0] < loss[1]], (8, 1)])
        rows.append(["8: its margin is larger than DPO's", "fig. 8", "last five steps: {:.2f} against {:.2f}".format(*margin),
                     so[margin[0] > margin[1]], (8, 2)])
    if tenth in rates:
        rows.append(["9: a tenth beats DPO", ".67", rates[tenth], evaluate.verdict(rates[tenth].interval), (9, 0)])
    rows.append(["9: with a fifth, few pairs beat many", ".62, then .48", "not measured", "", (9, 1)])
    beside.show_verdicts(p, rows, ours=f"this run (win rates by {judge.name})")
else:
    print("Nobody judges the answers here; the tables above show margins, held-out accuracy and collapse.")

# %% [markdown]
# ## Exercises
#
# 1. A data set has 500 pairs; for 20 of them the model's sample is the chosen response itself. How many pairs
#    does the 10% mixture change?
# 2. A policy leaves the chosen response as likely as it was, and makes its own answer, the rejected one, 5 nats less
#    likely. What is the margin at $\beta = 0.1$?
# 3. Run the notebook with `temperature` 1.5. Predict first: does the shortcut rule get better or worse at
#    picking the chosen response?
#
# <details><summary>Solutions</summary>
#
# 1. The 20 pairs are left out; a tenth of the remaining 480 is 48.
# 2. $0.1\,(0 - (-5)) = 0.5$, and the loss falls from 0.69 to 0.47, though nothing good has become likelier.
# 3. Hot samples are made of unlikely tokens, so the model's own answers become less likely per token and the
#    two sides harder to tell by that rule. Other tells take its place: hot samples make mistakes that a chosen
#    response does not.
# </details>

# %%
from prefnb import exercises

answer_1 = None  # a number
answer_2 = None  # a number


def check_exercises():
    """Hold the answers against the definitions."""
    pairs_changed = round(0.1 * (500 - 20))
    reference, after = ({"chosen": [[-2.0]], "rejected": [[-2.0 + moved]]} for moved in (0.0, -5.0))
    margin = float(dpo(from_tokens(**after), from_tokens(**reference), beta=0.1)[1]["margin"])
    for number, given, right in ((1, answer_1, pairs_changed), (2, answer_2, margin)):
        print(f"{number}: {exercises.of_numbers(given, right, within=0.01)}")


check_exercises()

# %% [markdown]
# ## What you have seen

# %%
told = "; ".join(f"{label} {rate.beats} DPO" for label, rate in rates.items()) or "nobody could judge that here"
widgets.say(f"**What if the rejected answer is the model's own? {told}.** What the loss asks for is a difference, and "
            f"\"not what I would say\" is one: it tells {ours:.0%} of the pairs apart.")
figures = {"shortcut": shortcut_figure, **({"book_win_rates": rates_figure} if judge else {})}
folder = course.record(p.output_dir, p, histories, comparison, figures,
                       collapsed={name: check.reasons for name, check in checks.items() if check.collapsed},
                       against_dpo={name: rate.rate for name, rate in rates.items()})
print(f"Parameters, histories, responses and figures are in {folder}.")

# %% [markdown]
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

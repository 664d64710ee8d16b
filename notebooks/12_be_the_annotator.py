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
# # 12 · What happens when the labels are yours?
#
# Every preference in this course was somebody's choice, and so far not yours. Here you make the choices: two answers of
# the SFT model, left and right, and one key says which is better. Then a policy learns from you, and you meet it.
#
# You will see
#
# - a place to label, with the keyboard, that forgets nothing;
# - agreement with the [gold judge](00_pocket_world.ipynb), what of it is chance, and Cohen's $\kappa$ by hand;
# - how often you agree with yourself, and habits that you may not know: for length, for a side;
# - [DPO](02_dpo.ipynb) on your labels beside DPO on gold's, of the same pairs: who wins;
# - some prompts, answered by the policy that you have made.
#
# Nothing has to be run before this notebook, and nothing has to be labelled: as long as you have no labels, **recorded** ones
# stand in. Those are a program's, with habits that are stated below. Words and symbols are in the [glossary](glossary.md).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" alone: agreement with gold needs a world in which somebody knows the right answers
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
labels: str = None  # a JSONL file of labels; None takes your own if there are any, else the recorded ones
asked: int = 64  # pairs that you are asked about, 8 or more; one in eight comes twice
pairs: int = 256  # preference pairs to train on, 1 or more: as many are drawn, and asked may be as many
epochs: float = 4.0  # passes over the data, 0.001 to 1000
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
beta: float = None  # how strongly the reference holds, 0 to 100; None takes the preset's (pocket 0.1, qwen 0.01)
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
output_dir: str = "runs/12_be_the_annotator"  # where the results go: a folder

# %%
from prefnb import course, methods, parameters
from prefnb.lessons import be_the_annotator as lesson

p = parameters.check(globals(), methods.dpo.Settings, course.Judging, asked=parameters.Whole(8),
                     labels=(lesson.LabelsName | None, None))
if p.preset != "pocket":
    raise parameters.ParameterError("'preset' must be 'pocket' here: only there does somebody know "
                                    "the right answers, to agree with or not.")

# %% [markdown]
# ## The idea: agreement, less what chance gives
#
# Two annotators look at the same 20 pairs. A cell of the table counts the pairs to which the one of its row said this
# and the one of its column that:
#
# | | B: left | B: right | in all |
# |---|---|---|---|
# | **A: left** | 7 | 3 | 10 |
# | **A: right** | 2 | 8 | 10 |
# | **in all** | 9 | 11 | 20 |
#
# They agree where both said the same, on $7 + 8 = 15$ of 20 pairs: $p_o = 0.75$, *o* for observed. But two people who
# do not even look agree now and then. A says left in $10/20$ of the cases and B in $9/20$; without looking, both would
# say left in $0.5 \cdot 0.45$ and both right in $0.5 \cdot 0.55$ of the pairs, together $p_e = 0.225 + 0.275 = 0.5$,
# *e* for expected. **Cohen's kappa** is the part of the rest that they reached:
#
# $$\kappa = \frac{p_o - p_e}{1 - p_e} = \frac{0.75 - 0.5}{1 - 0.5} = 0.5 .$$
#
# It is 1 where two always agree, and 0 where they agree no more than without looking. With ties the table has a third row and
# a third column, and nothing else changes.

# %%
import numpy as np


def kappa(counts):
    """Cohen's kappa of a table of counts: rows are one annotator's verdicts, columns another's."""
    shares = np.asarray(counts, dtype=float) / np.sum(counts)
    observed = np.trace(shares)
    expected = shares.sum(axis=1) @ shares.sum(axis=0)
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


print(f"By hand 0.5; in code {kappa([[7, 3], [2, 8]]):.3f}. "
      f"Always left against B: {kappa([[9, 11], [0, 0]]):.3f}.")

# %% [markdown]
# Whoever always presses the left key agrees with B on 9 pairs of 20, and with a kappa of 0.
#
# Agreement with a judge is not all. Three things an annotator can be asked without any judge: do you choose the same when
# **the same pair comes again**? Do you like the **longer** answer, whatever it says? And do you like what stands **left**?
#
# ## The data: the model's own answers
#
# The SFT model answers each of some training prompts twice, at temperature 1; where both answers are the same there is
# nothing to choose. These pairs are *on-policy*: both sides are in the model's own words, so what a label teaches is a
# choice among things that the model already says. The gold judge scores both answers of every pair. You will not see
# its scores before you have chosen.

# %%
import matplotlib.pyplot as plt
from IPython.display import display

from prefnb import annotator, data, evaluate, plots, widgets

plt.style.use("prefnb.book")
sft, tokenizer = methods.sft.starting_policy(p)
sampled = lesson.sampled_pairs(sft, tokenizer, p)
showings = annotator.plan([one.pair for one in sampled], p.seed)
mine = annotator.plan([one.pair for one in sampled[:p.asked]], p.seed)
ties = np.mean([one.gold is None for one in sampled])
unlike = [one for one in sampled if one.gold and one.longer]
longer = lesson.share_of([one.gold == one.longer for one in unlike])
widgets.say(f"**{len(sampled)} pairs. Gold finds {ties:.0%} of them equally good, and prefers the "
            f"longer answer in {longer} pairs that it decides and that differ in length.** "
            f"You are asked {len(mine)} times, {sum(one.again for one in mine)} of them again.")

# %% [markdown]
# ## Label
#
# Read the prompt; then ask yourself which answer *you* would rather get. A good answer says all that was asked for, is
# true (as far as you can tell), says nothing twice, and stops. Click the box once, then use the keys: $\leftarrow$ for
# the left one, $\rightarrow$ for the right one, $\downarrow$ for a tie, Z takes the last choice back. Sixty-four pairs
# take some ten minutes; any twenty give a first picture.
#
# Each choice is on the disk, as one line of a file, before the next pair appears. Close the tab, stop the kernel, come
# back in a week: you go on where you were. After you have labelled, run the cells below once more.

# %%
own = annotator.Labels("runs/annotations/12_be_the_annotator.jsonl")
widget = annotator.Annotator(mine, own)
widget.show()

# %% [markdown]
# Above is a picture of what the box shows; the box itself needs a kernel. The file is
# `runs/annotations/12_be_the_annotator.jsonl`: which pair (a digest of its texts), which answer stood left, what was
# chosen, how many seconds it took, and when. It is only ever added to.
#
# **The recorded labels.** They were made by a program, once, and say nothing of how people choose. The simulated
# annotator sees the points that gold gives, and has three habits: to it each word more is worth 0.08 points (of 10); up
# to a difference of 0.3 it calls a tie; and in one of ten choices its finger slips to the other key.

# %%
used = lesson.labels_to_use(widget, sampled, showings, p.labels, p.seed)
widgets.say(used.told)

# %% [markdown]
# ## Agreement with the gold judge
#
# The same table as above, for the labelled pairs (each at its first showing). On the diagonal, in green, both say the same.

# %%
both = lesson.side_by_side(used, sampled)
counts = lesson.counts_of(both)
agreed = lesson.share_of([one == other for one, other in both])
kappas = lesson.bootstrap(kappa, both)
agreement_figure = lesson.plot_counts(counts, f"{used.whose} labels",
                                      f"{agreed.rate:.0%} agree; kappa {kappa(counts):.2f}")
display(agreement_figure)
by_chance = counts.sum(1) @ counts.sum(0) / counts.sum() ** 2
widgets.say(f"**{lesson.sentence(used.whose)} labels agree with gold in {agreed} pairs; kappa is "
            f"{kappa(counts):.2f} [{kappas[0]:.2f}, {kappas[1]:.2f}].** By chance alone, two who "
            f"say left, right and tie as often as these two would agree in {by_chance:.0%}.")

# %% [markdown]
# ## Habits
#
# A dot is a share, a line its 95% interval. The longer answer: of the pairs that both decide and whose answers differ
# in length; the brown one is gold on the same pairs. To prefer the longer answer is no fault where the longer answer is better;
# a bias is what goes beyond gold.

# %%
habits = lesson.habits(used, sampled)
gap = 100 * (habits["the longer answer"].rate - habits["gold: the longer answer"].rate)
habits_figure = lesson.plot_habits(habits, f"the longer answer: {gap:+.0f} points against gold")
display(habits_figure)
widgets.say(lesson.leaning(habits, used, sampled))

# %% [markdown]
# ## DPO, once on these labels and once on gold's
#
# The loss is that of [02 · DPO](02_dpo.ipynb). A pair has a prompt, a chosen response $y_w$ and a rejected one $y_l$.
# $S(y)$ is the sum of a response's token log-probabilities under the [policy](glossary.md) in training,
# $S_\text{ref}(y)$ the same under the reference (here SFT, where training starts), $d(y) = S(y) - S_\text{ref}(y)$ how
# much likelier the response has become, and $\beta$ the price of straying from the reference:
#
# $$\mathcal{L}_{\text{DPO}} = -\log \sigma(m), \qquad m = \beta\,\big(d(y_w) - d(y_l)\big) .$$
#
# $m$ is the margin. It does not know who chose. A label that is wrong pushes as hard as one that is right.

# %%
from torch.nn.functional import logsigmoid


def dpo(policy, reference, *, beta):
    """The DPO loss of each pair, and what to watch; `policy.chosen.sum` is S(yw), one a pair."""
    d_chosen = policy.chosen.sum - reference.chosen.sum
    d_rejected = policy.rejected.sum - reference.rejected.sum
    margin = beta * d_chosen - beta * d_rejected
    loss = -logsigmoid(margin)
    metrics = {
        "margin": margin,
        "accuracy": (margin > 0).to(margin.dtype),
        "logp_chosen": policy.chosen.sum,
        "logp_rejected": policy.rejected.sum,
    }
    return loss, {name: value.detach() for name, value in metrics.items()}


# %% [markdown]
# Both runs get the **same pairs**: those on which neither the label nor gold is a tie. Only who is chosen differs. The
# run on these labels trains before your eyes; below, the other is drawn over it.

# %%
from functools import partial

kept, chosen, golden = lesson.both_decided(used, sampled)
told_apart = np.mean([one != other for one, other in zip(chosen, golden)])
widgets.say(f"**{len(kept)} pairs; in {told_apart:.0%} of them the label is not gold's.**")
policies, histories = {"SFT": sft}, {}
policies[used.policy], histories[used.policy] = course.fit(
    sft, lesson.examples_of(kept, chosen), partial(dpo, beta=p.beta), p, live=plots.LiveFigure())

# %%
gold_policy = "DPO on gold labels"
policies[gold_policy], histories[gold_policy] = course.fit(
    sft, lesson.examples_of(kept, golden), partial(dpo, beta=p.beta), p)
display(plots.plot_training(histories, ["loss", "margin", "accuracy"]))
ends = {name: history.last("margin") for name, history in histories.items()}
widgets.say(f"**After {len(histories[gold_policy].rows)} steps the margin has gone from 0 to "
            f"{ends[used.policy]:.2f} on {used.whose} labels and to {ends[gold_policy]:.2f} on "
            "gold's.** Each run fits the labels that it is given, slips and leanings too. What "
            "that does to the answers, these curves cannot tell.")

# %% [markdown]
# ## Does it win?
#
# All three policies answer the test prompts, each `draws` times at temperature 0.7, and the **gold judge** scores the
# answers. Every answer meets every one of SFT's to the same prompt; the **win rate** is the share of comparisons won, a
# tie counting half, with a 95% interval over prompts.

# %%
comparison = course.compare(policies, tokenizer, p)
display(plots.plot_win_rates(comparison.win_rates, against="SFT"))
widgets.say(lesson.who_won(comparison, used.policy, gold_policy))

# %% [markdown]
# ### What was learnt, besides being good?
#
# Length again, now in the policies' own answers, and the gold judge's four qualities (0 to 1) with the flaws that it names.

# %%
lesson.show_what_was_learnt(comparison, list(policies))
widgets.say(lesson.length_inherited(comparison, used.policy, gold_policy))

# %% [markdown]
# ## Meet the policy you made
#
# The same prompts, answered by SFT, by the policy of these labels and by gold's. Read; do you see your choices?

# %%
widgets.show_answers(comparison, list(policies))

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Two annotators label 100 pairs: both left 40, both right 30, A left and B right 10, A right and B left 20. What is kappa?
# 2. An annotator without ties knows what they want, but one choice in ten is a slip, each independent of the others.
#    Predict, then run: how often do they choose the same when a pair comes again?
# 3. Write kappa from memory. `counts` is a square tensor: rows are one annotator's verdicts, columns the other's. The check
#    knows the usual slips and tells you which one it is.
#
# **To try.** Label 20 pairs, always choosing the shorter answer, and run on. Predict first: which dots move, and what
# happens to the answers? (Z takes labels back; or name another file: a copy of yours is a file of labels, too.)

# %%
from prefnb import checks

answer_1 = None  # a number
answer_2 = None  # a share, 0 to 1


def my_kappa(counts):
    """One number."""
    return None


checks.be_the_annotator_12(answer_1, answer_2, my_kappa)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = 0.4
# ```
#
# $p_o = 0.7$. A says left in 0.5, B in 0.6 of the cases: $p_e = 0.5 \cdot 0.6 + 0.5 \cdot 0.4 = 0.5$, so $\kappa = 0.4$.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 0.82
# ```
#
# Both times right or both times slipped: $0.9^2 + 0.1^2 = 0.82$. Agreement with oneself, 82%, is less than agreement with
# a perfect judge of the same taste, 90%: two showings can slip.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_kappa(counts):
#     """One number."""
#     shares = counts / counts.sum()
#     by_chance = shares.sum(1) @ shares.sum(0)
#     return (shares.trace() - by_chance) / (1 - by_chance)
# ```
#
# What chance gives is taken off above and below: from the agreement that there is, and from the agreement that there could
# be. It takes the shares of both annotators, one's for the rows, the other's for the columns.
# </details>
#
# ## What you have seen
#
# - Agreement is half told without what chance would give: kappa says the rest.
# - An annotator has habits that no single choice shows. Repeated pairs and exchanged sides bring them out, without any judge.
# - A policy learns what was chosen, whoever chose and why; a leaning in the labels is part of the lesson.
# - A few hundred labels on a policy's own answers are enough to move it.
#
# Previous: [11_leaderboard](11_leaderboard.ipynb). Next: [13_relatives](13_relatives.ipynb), on losses that expect
# wrong labels.

# %%
widgets.say(lesson.answer(used, agreed, comparison, gold_policy))
folder = course.record(p.output_dir, p, histories, comparison, {"book_habits": habits_figure},
                       agreement=[agreed.rate, *agreed.interval], kappa=[kappa(counts), *kappas])
path = lesson.save_preferences(folder, kept, chosen)
print(f"Parameters, histories, responses with scores and summary are in {folder}. The labelled "
      f"pairs are in {path.name} there: 02_dpo takes them with -p dataset.")

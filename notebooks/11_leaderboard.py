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
# # 11 · Who wins, by how much, and how sure can we be?
#
# Every notebook so far trained for a minute. A minute decides little. Here stand the long runs: each method on
# thousands of pairs or hundreds of steps, with settings that a small grid chose on training prompts, and with several
# seeds, so that luck shows. They were made once, by `make claims`, and come with the package; this notebook reads them.
#
# You will see
#
# - how wrong an interval is that knows only the prompts, or only the seeds;
# - two boards side by side, which no public leaderboard can show: by the judge that knows the truth, and by a reward
#   model that learnt from noisy pairs;
# - who beats whom, where nobody can tell, and the answers that decided it;
# - what a win costs: tokens, distance from where training began, seconds;
# - the twenty claims of the four papers, each with its figure, ours, and a verdict.
#
# Nothing has to be run before this notebook. Each method has one of its own, which explains it.

# %% tags=["parameters"]
preset: str = "pocket"  # the long runs are of the "pocket" world
seed: int = 0  # the same seed gives the same numbers, 0 or more
methods: str = None  # policies to train again, as dpo,rloo: text
seeds: int = 1  # with how many seeds they are trained again, 1 to 100
output_dir: str = "runs/11_leaderboard"  # where the results go: a folder

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from prefnb import chat, evaluate, judges, methods as recipes, models, parameters, widgets
from prefnb.claims import again, beside, pictures, table
from prefnb.claims.measure import test_prompts
from prefnb.claims.results import Results
from prefnb.lessons import leaderboard as lesson

p = parameters.check(globals(), again.Settings)
plt.style.use("prefnb.book")
runs = Results()
BOARD, board = pictures.BOARD, pictures.on_board(runs)
widgets.say(lesson.who_is_there(runs, board))

# %% [markdown]
# ## Two kinds of luck
#
# A [win rate](glossary.md) is a mean over prompts. Other prompts would give another mean: that is the first kind of luck, and it is
# what every interval so far has measured. But a *method* is more than one [policy](glossary.md). With another seed it meets its pairs in
# another order, starts from another SFT model, draws other samples, and becomes another policy. That is the second kind.
#
# To know both, resample both: draw seeds with replacement and, apart from them, prompts with replacement, take the mean
# of what was drawn, and do it a thousand times (the *pigeonhole bootstrap*, Owen 2007). Below, the interval of every
# policy's win rate three times: with prompts alone, with seeds alone, and with both.

# %%
luck = {BOARD[arm]: evaluate.crossed(runs.outcomes(arm), seed=p.seed) for arm in board}
luck_figure = lesson.plot_luck(luck)
display(luck_figure)
widgets.say(lesson.of_luck(luck))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### The same mistake with numbers that anyone can check
#
# Five seeds have win rates of .600, .605, .595, .602 and .598 on the
# same 100 prompts. Their standard error is tiny, so .60 seems eleven and more standard errors above, say, .58. Yet all five
# share the 100 prompts, and 100 other prompts would move all five together, by about $\sqrt{.6 \cdot .4 / 100} = .049$.

# %%
rates = np.array([0.600, 0.605, 0.595, 0.602, 0.598])
by_seeds, by_prompts = rates.std(ddof=1) / np.sqrt(5), np.sqrt(0.6 * 0.4 / 100)
errors = {"seeds alone": by_seeds, "prompts alone": by_prompts,
          "both": np.hypot(by_seeds, by_prompts)}
widgets.show_table(["who knows", "standard error", "(.60 - .58) in standard errors"],
                   *[[who, f"{one:.4f}", f"{0.02 / one:.1f}"] for who, one in errors.items()])
widgets.say(f"**{0.02 / by_seeds:.0f} standard errors become {0.02 / errors['both']:.1f}.**")

# %% [markdown]
# ## Two boards
#
# On the left every policy's win rate over the SFT policy that it started from, by the [**gold judge**](glossary.md), the program that knows
# what is right. On the right the same answers by the [**proxy**](glossary.md), a [reward model](glossary.md) trained on 2,000 noisy pairs
# ([notebook 05](05_reward_model.ipynb)). Open circles: what the rate would be if both wrote answers of the same length.

# %%
board_figure = pictures.plot_board(runs)
display(board_figure)
widgets.show_table(*pictures.board_rows(runs))
widgets.say(lesson.of_board(runs, board))

# %% [markdown]
# ## Ranks are ranges
#
# A list has a first place, even when two lie level. The [Bradley-Terry model](glossary.md) gives every policy a strength such that
# the stronger of two wins with probability $\sigma(\text{difference})$; fitted anew in every resample of seeds and prompts,
# it says how far each place could move.

# %%
ranks = lesson.ranks_of(runs, board, p.seed)
display(pictures.plot_ranks(ranks))
widgets.say(lesson.of_ranks(ranks))

# %% [markdown]
# ## Everybody against everybody
#
# The row's win rate over the column, ties as half. Where the interval holds one half the cell is grey: there the number
# is there to be read, and means nothing.

# %%
duels = pictures.duels(runs, board)
display(pictures.plot_matrix(duels))
widgets.say(lesson.of_duels(runs, duels))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### The answers that decide a cell
#
# A cell is a number made of answers, and answers can be read. These are the prompts on which DPO gained most over SimPO,
# and those on which it lost most, with an answer of the first seed's policies, which come with the package (`models.zoo`).

# %%
prompts, kinds = (test_prompts()[name] for name in ("prompt", "category"))
tokenizer, judge = models.load_tokenizer("pocket"), judges.GoldJudge()
far = lesson.furthest_apart(runs, "dpo", "simpo")
asked = [prompts[i] for i in far]
answers = lesson.zoo_answers(("dpo", "simpo"), tokenizer, asked)
scores = {label: judges.score_samples(judge, asked, drawn) for label, drawn in answers.items()}
widgets.show_responses(asked, answers, scores, [kinds[i] for i in far], rows=range(len(far)))
widgets.say(f"**On {len(far) // 2} of these prompts DPO is far ahead, on {len(far) // 2} SimPO**: "
            "a win rate is a mean over prompts that disagree.")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## What kind of prompt
#
# The same win rates, by kind of prompt: where preferences help most, and where least.

# %%
display(pictures.plot_heat(runs))
widgets.say(lesson.of_kinds(runs, board, kinds))

# %% [markdown]
# ## What a win costs
#
# Three prices: longer or shorter answers, distance from the SFT policy (the [sampled KL](glossary.md), in nats a response), and time.

# %%
display(pictures.plot_against(runs, "mean_length", "tokens an answer"))
display(pictures.plot_against(runs, "kl.k3", "KL from SFT, nats a response", logarithmic=True))
display(pictures.plot_against(runs, "seconds", "seconds of training, one core", logarithmic=True))
widgets.say(lesson.of_length(runs, board))

# %% [markdown]
# ## How much data, how strong a penalty
#
# On the left of each picture is less: fewer pairs, a weaker penalty. Bands are intervals.

# %%
efficiency, strengths = pictures.plot_efficiency(runs), pictures.plot_strengths(runs)
display(efficiency)
display(strengths)
widgets.say(lesson.of_sizes(runs))

# %% [markdown]
# ## Why the strong penalty loses
#
# DPPO pushes down $y_\text{gen}$, the model's own greedy answer, on pairs where it votes for the rejected response. Which
# part of that does the harm? Four versions at the same strength: as it is; only where $y_\text{gen}$ is *worse* than the
# rejected response (by the gold judge: nobody could know it in practice); with a sample at temperature 1 in its place; and
# with the weights of other pairs, so that they say nothing any more. Then, in the figure, which flaws go and which come as
# the penalty grows; dashed lines are plain DPO.

# %%
beside.show_why(runs)
display(pictures.plot_flaws(runs))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Right and wrong on held-out pairs
#
# DPO's implicit reward is $\beta\,(d(y_w) - d(y_l))$, with $d$ the change in a response's [log-probability](glossary.md) since SFT. Its sign
# on pairs that nobody trained on: the share in the colour of *rejected* was moved the wrong way.

# %%
display(lesson.plot_moved(runs))
widgets.say(lesson.of_moved(runs))

# %% [markdown]
# ## Twenty claims
#
# A claim **holds here** if every interval in its row lies on the side that it says, **does not hold here** as soon as
# one lies on the other, and else **cannot be told**. Rates are over SFT unless the row says otherwise. This is a small
# model in a small world: that a claim fails here does not say that it failed there.

#
# An interval shrinks with the root of what is resampled, so a difference that is a third of its half-width needs about
# nine times the prompts, the seeds or both. The second table says so of every part that cannot be told.

# %%
verdicts = table.rows(runs)
widgets.show_table(*lesson.claims_table(verdicts))
widgets.say(lesson.of_claims(verdicts))
widgets.show_table(*lesson.what_would_decide(verdicts))

# %% [markdown]
# ## Ask them yourself
#
# Numbers say how often; asking says what. Here four policies answer one prompt, greedily, with the judge's four scores as bars and
# its reasons: which part is right, missing or false. Type a prompt of your own into the box (of a kind that
# [notebook 00](00_pocket_world.ipynb) shows, if the judge is to know what is right).

# %%
zoo = {name: models.zoo(name) for name in ("dpo", "kto", "rloo")}
chat.show({"SFT": recipes.sft.recipe().model, **zoo}, tokenizer, asked[0][-1]["content"])

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Train them again
#
# `-p methods dpo,rloo -p seeds 3` trains these anew, with the settings that the grid chose, and compares them with
# what came with the package. After an edit of a loss in `prefnb/methods/`, this is how to see what it does at length.

# %%
if p.methods:
    new = again.retrained(again.names_in(p.methods), p.seeds, f"{p.output_dir}/claims")
    widgets.show_table(["policy", "as it came", "trained again"],
                       *[[arm, str(runs.rate(arm)), str(new.rate(arm))]
                         for arm in new.arms if arm != "sft"])
else:
    print("Nothing was trained again: see the parameter methods.")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. A win rate is .53 with 100 prompts and one seed. How wide is its interval, roughly, to each side? (The variance of
#    one prompt's outcome is at most 1/4.)
# 2. Policy A beats SFT by .60 [.57, .63], policy B by .62 [.59, .65]. Can B still be better than A beyond doubt?
# 3. Write half the width of the 95% interval of the difference between two win rates, from the outcomes `a` and `b` of
#    the same n prompts, in the same order (the normal approximation: 1.96 standard errors). The check knows the usual
#    slips and tells you which one it is.

# %%
from prefnb import checks

answer_1 = None  # a number
answer_2 = None  # "yes" or "no"


def half_width(a, b):
    """One number, from two tensors of shape (n,)."""
    return None


checks.leaderboard_11(answer_1, answer_2, half_width)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = 0.098
# ```
#
# $1.96 \sqrt{.25 / 100} \approx .10$: it says nothing.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = "yes"
# ```
#
# Yes. Both are measured on the same prompts, so what is hard for one is hard for the other, and the *difference* has a
# much smaller interval than either rate. That is why this notebook compares prompt by prompt.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def half_width(a, b):
#     """One number, from two tensors of shape (n,)."""
#     return 1.96 * (a - b).std() / len(a) ** 0.5
# ```
#
# First the difference on each prompt, then its deviation: what both policies owe to the prompt is gone before anything is
# squared.
# </details>
#
# ## What you have seen
#
# - Two kinds of luck, and that an interval which knows one of them promises too much.
# - Two boards, and who looks good on one of them only.
# - Which differences between methods are real at this size, and where the picture is grey.
# - What a win costs in tokens, in distance and in time.
# - Why a strong penalty on the model's own favourite harms.
# - Twenty claims with verdicts, and for those without one, what it would take.
#
# Previous: [10_grpo](10_grpo.ipynb). Next: [12_be_the_annotator](12_be_the_annotator.ipynb), where the labels are yours.
#
# ### So, who wins, by how much, and how sure can we be?

# %%
widgets.say(lesson.answer(runs, board, ranks, duels))
folder = Path(p.output_dir)
lesson.save(folder, verdicts, {"book_board": board_figure, "luck": luck_figure,
                               "strengths": strengths, "efficiency": efficiency})
print(f"Verdicts and figures are in {folder}.")

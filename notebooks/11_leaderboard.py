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
from prefnb import parameters
from prefnb.claims import again

p = parameters.check(globals(), again.Settings)

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from prefnb import course, evaluate, judges, models, plots, widgets
from prefnb.claims import beside, pictures, table
from prefnb.claims.arms import ARMS
from prefnb.claims.measure import test_prompts
from prefnb.claims.results import TIE, Results
from prefnb.files import write_json

plt.style.use("prefnb.book")
runs = Results()
BOARD, board = pictures.BOARD, pictures.on_board(runs)
widgets.say(f"The long runs hold {len(runs.arms)} policies or stages of policies. On the board are {len(board)}, each "
            f"with {min(len(runs.seeds(arm)) for arm in board)} to {max(len(runs.seeds(arm)) for arm in board)} seeds and "
            f"four answers to each of {runs.prompts} test prompts.")

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
luck_figure, axis = plots.subplots(figsize=(8, 0.26 * len(luck) + 0.9))
for place, (label, found) in enumerate(luck.items()):
    for shift, interval, shade in ((0.2, found.prompts_only, "#56B4E9"), (0, found.seeds_only, "#E69F00"),
                                   (-0.2, found.interval, "#333333")):
        if interval:
            axis.plot(np.array(interval) - found.mean, [place + shift] * 2, color=shade, linewidth=2.5)
axis.set_yticks(range(len(luck)), luck)
axis.set(xlabel="95% interval, less the mean", title="blue: prompts alone; orange: seeds alone; black: both")
display(luck_figure)

# %%
width = lambda interval: interval[1] - interval[0] if interval else np.nan
widths = np.array([[width(one.interval), width(one.prompts_only), width(one.seeds_only)] for one in luck.values()
                   if one.seeds_only])
if len(widths):
    both, prompts_only, seeds_only = widths.mean(0) / 2
    widgets.say(f"**An interval that knows prompts alone is on average {prompts_only / both:.0%} as wide as the one that "
                f"knows both ({prompts_only:.3f} to each side, against {both:.3f}); one that knows seeds alone, "
                f"{seeds_only / both:.0%}.** " + ("Here seeds are the larger part: an interval over the prompts of one seed "
                "promises far too much." if seeds_only > prompts_only else "Here prompts are the larger part: the spread of "
                "seeds on one set of prompts promises too much."))
else:
    widgets.say("With one seed nothing is known of others: until there are more, every interval below is of prompts alone.")

# %% [markdown]
# Here is that mistake with numbers that anyone can check. Five seeds have win rates of .600, .605, .595, .602 and .598 on the
# same 100 prompts. Their standard error is tiny, so .60 seems eleven and more standard errors above, say, .58. Yet all five
# share the 100 prompts, and 100 other prompts would move all five together, by about $\sqrt{.6 \cdot .4 / 100} = .049$.

# %%
rates = np.array([0.600, 0.605, 0.595, 0.602, 0.598])
by_seeds, by_prompts = rates.std(ddof=1) / np.sqrt(5), np.sqrt(0.6 * 0.4 / 100)
widgets.show_table(["who knows", "standard error", "(.60 - .58) in standard errors"],
                   ["seeds alone", f"{by_seeds:.4f}", f"{0.02 / by_seeds:.1f}"],
                   ["prompts alone", f"{by_prompts:.4f}", f"{0.02 / by_prompts:.1f}"],
                   ["both", f"{np.hypot(by_seeds, by_prompts):.4f}", f"{0.02 / np.hypot(by_seeds, by_prompts):.1f}"])

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

# %%
best, second = board[-1], board[-2]
lead = runs.lead(best, second)
by_gold = [runs.outcomes(arm).mean() for arm in board]
by_proxy = [runs.outcomes(arm, name="proxy").mean() for arm in board]
order = lambda values: np.argsort(np.argsort(values))
agreement = np.corrcoef(order(by_gold), order(by_proxy))[0, 1]
flattered = max(board, key=lambda arm: by_proxy[board.index(arm)] - by_gold[board.index(arm)])
told = "ahead of" if lead.sign > 0 else "not to be told from"
widgets.say(f"**{BOARD[best]} is first, {told} {BOARD[second]}** ({lead} in win rate over SFT). The proxy's order agrees "
            f"with the truth's to a rank correlation of {agreement:.2f}. It flatters {BOARD[flattered]} most: "
            f"{by_proxy[board.index(flattered)]:.2f} by the proxy, {by_gold[board.index(flattered)]:.2f} in truth.")

# %% [markdown]
# ## Ranks are ranges
#
# A list has a first place, even when two lie level. The [Bradley-Terry model](glossary.md) gives every policy a strength such that
# the stronger of two wins with probability $\sigma(\text{difference})$; fitted anew in every resample of seeds and prompts,
# it says how far each place could move.

# %%
shared = runs.seeds(*(arm for arm in board if not ARMS[arm.removesuffix("_5")].explains))
kept = {BOARD[arm]: np.stack([runs.scores(arm, one) for one in shared]) for arm in board
        if set(shared) <= set(runs.seeds(arm))}
ranks = evaluate.rank_ranges(kept, tie=TIE, seed=p.seed)
display(pictures.plot_ranks(ranks))
firm = [label for label, (_, _, low, high) in ranks.items() if low == high]
first = [label for label, (_, _, low, _) in ranks.items() if low == 1]
widgets.say(f"**{len(firm)} of {len(ranks)} policies have a place of their own; {len(first)} could be first: "
            f"{', '.join(first)}.**")

# %% [markdown]
# ## Everybody against everybody
#
# The row's win rate over the column, ties as half. Where the interval holds one half the cell is grey: there the number
# is there to be read, and means nothing.

# %%
duels = pictures.duels(runs, board)
display(pictures.plot_matrix(duels))
grey = sum(not found.sign for found in duels.values()) // 2
ties = np.mean([(runs.outcomes(a, b) == 0.5).mean() for a, b in list(duels)[: len(duels) // 2]])
widgets.say(f"**{len(duels) // 2 - grey} of {len(duels) // 2} comparisons are decided**, {grey} are not. Each is over "
            f"{runs.prompts} prompts and sixteen pairs of answers a prompt; on {ties:.0%} of prompts two policies were level.")

# %% [markdown]
# A cell is a number made of answers, and answers can be read. These are the prompts on which DPO gained most over SimPO,
# and those on which it lost most, with an answer of the first seed's policies, which come with the package (`models.zoo`).

# %%
prompts, pair = test_prompts()["prompt"], ("dpo", "simpo")
tokenizer, judge = models.load_tokenizer("pocket"), judges.GoldJudge()
gap = runs.scores("dpo", 0).mean(1) - runs.scores("simpo", 0).mean(1)
rows = [*np.argsort(-gap)[:2], *np.argsort(gap)[:2]]
asked = [prompts[i] for i in rows]
answers = {BOARD[name]: course.answers_of(models.zoo(name), tokenizer, asked, draws=4, temperature=0.7, max_new_tokens=112)
           for name in pair}
scores = {label: judges.score_samples(judge, asked, drawn) for label, drawn in answers.items()}
widgets.show_responses(asked, answers, scores, [test_prompts()["category"][i] for i in rows], rows=range(4))

# %% [markdown]
# ## What kind of prompt
#
# The same win rates, by kind of prompt.

# %%
display(pictures.plot_heat(runs))
kinds = np.array(test_prompts()["category"])
by_kind = {kind: np.mean([runs.outcomes(arm)[:, kinds == kind].mean() for arm in board]) for kind in set(kinds)}
most, least = max(by_kind, key=by_kind.get), min(by_kind, key=by_kind.get)
widgets.say(f"**Preferences help most with {most} ({by_kind[most]:.2f} on average over the board), least with {least} "
            f"({by_kind[least]:.2f}).** Habits of style can be unlearnt anywhere; what a model does not know it cannot be "
            "taught by being told which answer is better.")

# %% [markdown]
# ## What a win costs
#
# Three prices: longer or shorter answers, distance from the SFT policy (the [sampled KL](glossary.md), in nats a response), and time.

# %%
display(pictures.plot_against(runs, "mean_length", "tokens an answer"))
display(pictures.plot_against(runs, "kl.k3", "KL from SFT, nats a response", logarithmic=True))
display(pictures.plot_against(runs, "seconds", "seconds of training, one core", logarithmic=True))

# %%
moved = [runs.rate(arm).mean - pictures.length_controlled(runs, arm).rate for arm in board]
changed = board[int(np.argmax(np.abs(moved)))]
still = sum(pictures.length_controlled(runs, arm).rate > 0.5 for arm in board if runs.rate(arm).sign > 0)
wins = sum(runs.rate(arm).sign > 0 for arm in board)
widgets.say(f"**Part of a win is length**: at equal length the rates move by {np.mean(np.abs(moved)):.3f} on average, and by "
            f"{np.abs(moved).max():.3f} at most ({BOARD[changed]}). **Of {wins} policies that beat SFT {still} still do.**")

# %% [markdown]
# ## How much data, how strong a penalty
#
# On the left of each picture is less: fewer pairs, a weaker penalty. Bands are intervals.

# %%
efficiency, strengths = pictures.plot_efficiency(runs), pictures.plot_strengths(runs)
display(efficiency)
display(strengths)

# %%
more = runs.lead("dpo", "dpo_512")
strongest = runs.rate("minimum_likelihood_alpha_10")
widgets.say(f"**Eight times the pairs bring DPO {more}** in win rate over SFT. **Minimum likelihood at the paper's alpha of 10 "
            f"wins {strongest}** against SFT.")
points = {name: max(grid.values(), key=lambda point: point["gold"]) for name, grid in runs.grids.items() if name in runs}
fell = {name: runs.gold(name).mean - point["gold"] for name, point in points.items()}
worst = min(fell, key=fell.get)
widgets.say(f"**A grid can promise too much.** For {BOARD.get(worst, worst)} it chose {points[worst]['settings']} on few pairs, where the "
            f"mean gold score was {points[worst]['gold']:.2f}; at length the same settings end at {runs.gold(worst).mean:.2f}. A "
            "penalty without a bound does its good early, and goes on.")

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
flaws_figure = pictures.plot_flaws(runs)
display(flaws_figure)

# %% [markdown]
# ## Right and wrong on held-out pairs
#
# DPO's implicit reward is $\beta\,(d(y_w) - d(y_l))$, with $d$ the change in a response's [log-probability](glossary.md) since SFT. Its sign
# on pairs that nobody trained on: the share in the colour of *rejected* was moved the wrong way.

# %%
arms = [arm for arm in ("dpo", "unlikelihood", "minimum_likelihood", "rs_dpo_100", "simpo") if arm in runs]
held = {BOARD[arm]: runs.arms[arm][0]["held_out"] for arm in arms}
moved_figure = plots.plot_votes({label: 0.1 * (np.array(one["d_chosen"]) - np.array(one["d_rejected"]))
                                 for label, one in held.items()})
moved_figure.axes[-1].set_xlabel("implicit reward at beta 0.1, first seed")
display(moved_figure)
wrong = {BOARD[arm]: runs.figure(arm, "held_out.wrong").mean() for arm in arms}
widgets.say("Moved the wrong way, over all seeds: " + ", ".join(f"{label} {share:.0%}" for label, share in wrong.items())
            + ". **A policy may order pairs better and still not answer better**: compare with the board.")

# %% [markdown]
# ## Twenty claims
#
# A claim **holds here** if every interval in its row lies on the side that it says, **does not hold here** as soon as
# one lies on the other, and else **cannot be told**. Rates are over SFT unless the row says otherwise. This is a small
# model in a small world: that a claim fails here does not say that it failed there.

# %%
verdicts = table.rows(runs)
widgets.show_table(["claim", "paper", "the paper's figure", "the long runs", "verdict"],
                   *[[f"{one.claim.number}: {one.claim.text}", one.claim.paper, one.claim.figure, str(one), f"**{one.verdict}**"]
                     for one in verdicts])
count = {word: sum(one.verdict == word for one in verdicts) for word in (table.HOLDS, table.FAILS, table.OPEN)}
widgets.say(f"**{count[table.HOLDS]} hold here, {count[table.FAILS]} do not, {count[table.OPEN]} cannot be told.**")

# %% [markdown]
# What would decide those that cannot be told? An interval shrinks with the root of what is resampled, so a difference that is
# a third of its half-width needs about nine times the prompts, the seeds or both.

# %%
lines = [["claim", "what cannot be told", "found", "times the data to decide it"]]
for one in verdicts:
    for what, found, wanted in one.parts:
        if wanted and not found.sign:
            half, far = (found.interval[1] - found.interval[0]) / 2, abs(found.mean - found.null)
            lines.append([one.claim.number, what, str(found), f"{(half / far) ** 2:.0f}" if half < 30 * far else "over 900"])
widgets.show_table(*lines)

# %% [markdown]
# ## Ask them yourself
#
# Numbers say how often; asking says what. Here four policies answer one prompt, greedily, with the judge's four scores as bars and
# its reasons: which part is right, missing or false. Type a prompt of your own into the box (of a kind that
# [notebook 00](00_pocket_world.ipynb) shows, if the judge is to know what is right).

# %%
from prefnb import chat
from prefnb.methods.sft import recipe as sft_recipe

asked_all = {"SFT": sft_recipe().model, **{name: models.zoo(name) for name in ("dpo", "kto", "rloo")}}
chat.show(asked_all, tokenizer, prompts[int(rows[0])][-1]["content"])

# %% [markdown]
# ## Train them again
#
# `-p methods dpo,rloo -p seeds 3` trains these anew, with the settings that the grid chose, and compares them with
# what came with the package. After an edit of a loss in `prefnb/methods/`, this is how to see what it does at length.

# %%
if p.methods:
    new = again.retrained(again.names_in(p.methods), p.seeds, f"{p.output_dir}/claims")
    widgets.show_table(["policy", "as it came", "trained again"],
                       *[[arm, str(runs.rate(arm)), str(new.rate(arm))] for arm in new.arms if arm != "sft"])
else:
    print("Nothing was trained again: see the parameter methods.")

# %% [markdown]
# ## Exercises
#
# 1. A win rate is .53 with 100 prompts and one seed. How wide is its interval, roughly, to each side? (The variance of
#    one prompt's outcome is at most 1/4.)
# 2. Policy A beats SFT by .60 [.57, .63], policy B by .62 [.59, .65]. Can B still be better than A beyond doubt?
#
# <details><summary>Solutions</summary>
#
# 1. $1.96 \sqrt{.25 / 100} \approx .10$: it says nothing.
# 2. Yes. Both are measured on the same prompts, so what is hard for one is hard for the other, and the *difference* has a
#    much smaller interval than either rate. That is why this notebook compares prompt by prompt.
# </details>

# %%
half_width = None  # exercise 1


def check_exercises():
    """Hold the answer against the formula."""
    try:
        said = "right" if abs(float(half_width) - 1.96 * np.sqrt(0.25 / 100)) < 0.01 else "not yet"
    except (TypeError, ValueError):  # words, or several numbers
        said = f"give a number, and not {half_width!r}"
    print("1:", "not answered yet" if half_width is None else said)


check_exercises()

# %% [markdown]
# ## What you have seen
#
# - Two kinds of luck, and that an interval which knows one of them promises too much.
# - Two boards, and who looks good on one of them only.
# - Which differences between methods are real at this size, and where the picture is grey.
# - What a win costs in tokens, in distance and in time.
# - Why a strong penalty on the model's own favourite harms.
# - Twenty claims with verdicts, and for those without one, what it would take.
#
# Previous: [10_grpo](10_grpo.ipynb). Next: [13_relatives](13_relatives.ipynb), on other losses and on wrong labels.
#
# ### So, who wins, by how much, and how sure can we be?

# %%
by_judge = [arm for arm in board if arm in ("rloo", "grpo", "multi_objective")]
by_pairs = max((arm for arm in board if arm not in (*by_judge, "base")), key=lambda arm: runs.rate(arm).mean)
hacked = runs.rate("rloo_proxy"), runs.rate("rloo_proxy", name="proxy")
widgets.say(f"""**{' or '.join(first)} could be first.** What learns from the gold judge itself wins
{min(runs.rate(arm).mean for arm in by_judge):.2f} to {max(runs.rate(arm).mean for arm in by_judge):.2f} over SFT; no real data have such a
judge. Of what learns from pairs {BOARD[by_pairs]} goes furthest: {runs.rate(by_pairs)}. **The same RLOO on the proxy is worth
{hacked[0].mean:.2f} in truth and {hacked[1].mean:.2f} to the proxy itself**: whom one learns from matters more than how. And {grey} of
{len(duels) // 2} comparisons cannot be told with all of this; a single short run would have told fewer.""")

# %%
folder = Path(p.output_dir)
folder.mkdir(parents=True, exist_ok=True)
for name, figure in {"book_board": board_figure, "luck": luck_figure, "strengths": strengths, "efficiency": efficiency}.items():
    figure.savefig(folder / f"{name}.png")
write_json(folder / "claims.json", [{"claim": one.claim.number, "verdict": one.verdict, "measured": str(one)} for one in verdicts])
print(f"Verdicts and figures are in {folder}.")

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
# # 03 · Do preferences need a reference model?
#
# DPO measures every response against a frozen copy of the model. **Simple Preference Optimization** (SimPO; Meng
# et al. 2024) leaves the copy out: it rewards a response for how likely its *average token* is, which is also how
# we judge what a model would write. Two small changes come with that, and each is easy to get wrong.
#
# You will see
#
# - why a sum of log-probabilities favours short responses and a mean does not, on two toy responses;
# - the loss in full, worked by hand, and what its target margin $\gamma$ does to the gradient;
# - SimPO and DPO trained on the same pairs from the same start: margins, log-probabilities, lengths, KL;
# - the mistake of taking the sum in SimPO or the mean in DPO, and what it does to the gradient and to the answers;
# - settings of $(\gamma, \beta)$ that paper 004 tried, beside the paper's own table;
# - whether any of them beats DPO here, and how sure we can be.
#
# Nothing has to be run before this notebook: the SFT model of [01_sft](01_sft.ipynb) and the DPO of
# [02_dpo](02_dpo.ipynb), where DPO is explained, come ready-made, or are trained first. Next comes
# [04_dppo](04_dppo.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' setting and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
pairs: int = None  # preference pairs to train on, 1 or more; None takes the preset's (pocket 1536, qwen 61000)
epochs: float = None  # passes over the data, 0.001 to 1000; None takes the preset's (1)
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
beta: float = None  # scale of the mean log-probs, 0 to 100; None takes the preset's (2.5)
gamma: float = None  # the margin that a pair has to reach, 0 to 100; None takes the preset's (1)
dpo_beta: float = 0.1  # DPO's beta, above 0
grid_gammas: str = "1,3,5"  # gamma of each setting of the grid, 0 or more
grid_betas: str = "2.5,10,10"  # beta of each setting of the grid, above 0; as many as grid_gammas
max_prompt_tokens: int = None  # longer prompts are left out, 1 or more tokens; None takes the preset's (of other data, pocket: 256)
max_response_tokens: int = None  # longer responses are cut, 4 or more tokens; None takes the preset's (of other data, pocket: 256)
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = None  # where the results go: a folder

# %%
import types
from functools import partial

import matplotlib.pyplot as plt
import torch
from IPython.display import display
from torch.nn.functional import logsigmoid

from prefnb import course, data, explorer, methods, parameters, plots, widgets
from prefnb.lessons import asked, simpo as lesson, words
from prefnb.logprobs import from_tokens
from prefnb.methods.dpo import dpo

at_least_0, above_0 = parameters.Numbers(0, 100), parameters.Numbers(above=0, high=100)
p = parameters.check(globals(), methods.simpo.Settings, course.Judging, grid_gammas=at_least_0,
                     grid_betas=above_0, dpo_beta=parameters.Number(above=0, high=100))
lesson.check_grid(p)
plt.style.use("prefnb.book")

# %% [markdown]
# ## The idea
#
# A [**preference pair**](glossary.md) is a prompt $x$ with a chosen response $y_w$ and a rejected one $y_l$. Write $S(y)$ for the
# sum of the log-probabilities of a response's tokens under the [policy](glossary.md), and $|y|$ for its number of tokens. Every
# token adds a negative number, so **a longer response has a lower sum**, however natural each of its tokens is.
# DPO does not mind: it subtracts the same sum under the [reference](glossary.md), and most of the effect of length goes with it.
# Without a reference, something else has to take its place. SimPO takes the **mean**:
#
# $$r(y) = \beta\,\frac{S(y)}{|y|} .$$
#
# Take a short response A of four tokens, each with [log-probability](glossary.md) $-1$, and a long one B of twelve tokens at
# $-0.5$. As a whole A is likelier ($-4$ against $-6$ nats); token for token B is. Then say B twice over: the sum
# doubles, the mean stays. The picture follows each response token by token: the left panel falls with every token,
# the right one is level.

# %%
toy = {"A, short": [-1.0] * 4, "B, long": [-0.5] * 12, "B said twice": [-0.5] * 24}
found = from_tokens(toy=list(toy.values())).toy
widgets.show_table(["response", "tokens", "S (sum)", "S / tokens (mean)"],
                   *zip(toy, map(len, toy.values()), found.sum.tolist(), found.mean.tolist()))
display(lesson.plot_toy(toy))
widgets.say(lesson.toy_in_words(list(toy), found.sum, found.mean))

# %% [markdown]
# ## The loss
#
# The reward goes into the same [Bradley-Terry model](glossary.md) as DPO's, with one addition: the chosen response has to win
# by a **target margin** $\gamma \ge 0$ before the loss calls the pair done. With $\sigma(z) = 1/(1+e^{-z})$,
#
# $$\mathcal{L}_{\text{SimPO}} = -\log \sigma(m - \gamma),
# \qquad m = \beta\left(\frac{S(y_w)}{|y_w|} - \frac{S(y_l)}{|y_l|}\right) .$$
#
# Our $\gamma$ is absolute, as in the equation. The authors' own code asks for the ratio $\gamma/\beta$ instead: look
# before you copy a setting. No reference appears, so nothing has to be computed or stored for one; nothing ties the
# policy to its start either, but for small steps and few of them. And **step 0 is not $\ln 2$** here: the loss begins
# wherever the SFT model ranks the pairs. Training below uses this very function: edit it and run again.

# %%
def simpo(policy, reference=None, *, beta, gamma):
    """The SimPO loss of each pair, and what to watch. `policy.chosen.mean` is S(yw)/|yw|."""
    reward_chosen = beta * policy.chosen.mean
    reward_rejected = beta * policy.rejected.mean
    margin = reward_chosen - reward_rejected
    loss = -logsigmoid(margin - gamma)
    metrics = {
        "margin": margin,
        "accuracy": (margin > 0).to(margin.dtype),
        "reward_chosen": reward_chosen,
        "reward_rejected": reward_rejected,
        "logp_chosen": policy.chosen.sum,
        "logp_rejected": policy.rejected.sum,
    }
    return loss, {name: value.detach() for name, value in metrics.items()}


# %% [markdown]
# ### Three pairs by hand, and the loss drawn
#
# Take $\beta = 2.5$ and $\gamma = 1$. If B is chosen over A, then $m = 2.5 \cdot (-0.5 + 1) = 1.25$ and the loss is
# $-\log\sigma(0.25)$. Work out A over B before you look. In the third row B is said twice: margin and loss must stay
# as they are in the first. The last two columns are the gradient on one token of the chosen response, and on all
# of them together: by hand $-\beta\,\sigma(\gamma - m)/|y_w|$ and $-\beta\,\sigma(\gamma - m)$. A long response is
# pushed as hard as a short one *in all*, so each of its tokens gets less.
#
# In the figure, left: a larger $\gamma$ moves the loss to the right, so a pair that is merely right still costs
# something. Right: the push that a token gets from a pair with $m = 0$. In DPO it does not depend on the length; in
# SimPO it falls with it.
#
# Last, both losses with sliders, and SimPO's formula, whose numbers can be dragged: move the number of tokens, and see whose
# gradient minds. (DPO's $\beta$ and SimPO's are
# different things, so each has a slider of its own.)

# %%
short, long, twice = toy.values()
toy_chosen = [torch.tensor(tokens, requires_grad=True) for tokens in (long, short, twice)]
toy_policy = from_tokens(chosen=toy_chosen, rejected=[short, long, short])
toy_loss, toy_metrics = simpo(toy_policy, beta=2.5, gamma=1.0)
toy_loss.sum().backward()
each, in_all = zip(*((one.grad[0].item(), one.grad.sum().item()) for one in toy_chosen))
widgets.show_table(["pair", "margin", "loss", "gradient, one chosen token", "all chosen tokens"],
                   *zip(("B over A", "A over B", "B said twice, over A"),
                        toy_metrics["margin"].tolist(), toy_loss.tolist(), each, in_all))
widgets.say(lesson.pushes_in_words(toy_loss, each, in_all))
display(lesson.plot_loss(sorted({0.0, p.gamma, *p.grid_gammas}), p.beta, p.gamma, p.dpo_beta))
explorer.show({"SimPO": lambda policy, _, beta, gamma: simpo(policy, beta=beta, gamma=gamma),
               "DPO": lambda policy, reference, dpo_beta: dpo(policy, reference, beta=dpo_beta)},
              explorer.SIMPO, beta=(0.5, 20.0, p.beta, 0.5), gamma=(0.0, 5.0, p.gamma, 0.1),
              dpo_beta=(0.01, 1.0, 0.1, 0.01))

# %% [markdown]
# ## The data, seen by the sum and by the mean
#
# Real pairs differ in length too. Before any training, ask the SFT model about each pair: by how much is the chosen
# response likelier than the rejected one, by the sum and by the mean? The figure has a dot per pair; to the right,
# the chosen one is longer. A slope says that the difference is, in part, the length.

# %%
if not data.Source(p.dataset).is_brief and p.model == "pocket":  # real text is longer
    p.max_prompt_tokens = max_prompt_tokens or 256  # half of the model's window each
    p.max_response_tokens = max_response_tokens or 256
sft, tokenizer = methods.sft.starting_policy(p)
judge = methods.reward_model.judge_of(p)  # None where nobody can judge
examples = course.pair_examples(p, tokenizer)
held_out = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
start = course.reference(sft, examples).all()  # for this picture; SimPO's loss never asks for it
lengths_figure = lesson.plot_by_length(start)
display(lengths_figure)
widgets.say(lesson.by_length_in_words(start))

# %% [markdown]
# ## Training, side by side: what moved?
#
# Both start from the SFT policy and see the same pairs in the same order for as many steps. SimPO is trained here,
# before your eyes; DPO with its whole history is the one of 02. That comes ready-made at the defaults, and so do the
# two mistakes and the other settings further down; after an edit of the loss, or with other parameters, they are
# trained anew. Each method has the learning rate that one rule gave it (its own default), unless you set one for both.
# Losses and margins have different scales, since each method has its own, and they begin in different places: DPO at
# $\ln 2$ and at margin 0, SimPO where the SFT model stands. What can be
# compared are accuracy (is the margin positive?) and the two panels below: $d(y)$ is the change of $S(y)$ from the SFT
# policy to the trained one. The wrapper `watched` only measures it.
#
# The second cell measures what moved on held-out pairs, where batches play no part. Accuracy is measured in both ways for both
# policies: *by the mean* is SimPO's question, *by the change of the sum* is DPO's. The KL is sampled: the policy answers the
# first 128 test prompts at temperature 1, and the k3 estimator is summed over the tokens of a response (nats per response).
# SimPO's loss has no term that would hold it near SFT, but that alone does not say how far it goes: the intervals of the two
# KLs do.

# %%
def watched(objective):
    """The same loss; the metrics have d, the change of S from SFT, as well."""
    def with_changes(policy, reference):
        loss, metrics = objective(policy, reference)
        changes = {f"d_{side}": (getattr(policy, side).sum - getattr(reference, side).sum).detach()
                   for side in ("chosen", "rejected")}
        return loss, {**metrics, **changes}
    return with_changes


dpo_rate = learning_rate or methods.dpo.Settings.of(p.preset)["learning_rate"]
policy, history = lesson.dpo_of_02(p, dpo_rate)
policies, histories = {"DPO": policy}, {"DPO": history}
loss = partial(simpo, beta=p.beta, gamma=p.gamma)
policies["SimPO"], histories["SimPO"] = course.fit(
    sft, examples, watched(loss), p, live=plots.LiveFigure(lesson.beside(history)))
widgets.say(lesson.trained_in_words(histories, {"SimPO": p.learning_rate, "DPO": dpo_rate}))

# %%
before = course.reference(sft, held_out).all()
prompts = asked.prompts_for_kl(p, tokenizer)


def measure(policy):
    """What a policy makes of held-out pairs, and how far it went from SFT by its own samples."""
    kl = course.sampled_kl(policy, sft, tokenizer, prompts, max_new_tokens=p.max_response_tokens)
    return lesson.measure(policy, held_out, before, kl)


measured = {label: measure(policy) for label, policy in policies.items()}
widgets.show_table(*lesson.moved_table(measured))
widgets.say(lesson.moved_in_words(measured, before))

# %% [markdown]
# ## Does it win?
#
# Every policy answers each test prompt `draws` times at temperature 0.7. The judge scores each answer (in the pocket world the
# [gold judge](glossary.md), which knows what is right, unless `judge` names another), and every answer meets every one of SFT's
# to the same prompt; the [**win rate**](glossary.md) is the share of these comparisons that a policy wins, a tie counting half,
# with a 95% interval over prompts. Then, how long are the answers, and do they end? A mean does not reward length as such, but
# it does not forbid it either: a tail of easy tokens raises it.

# %%
comparison = course.compare({"SFT": sft, **policies}, tokenizer, p, judge=judge)
if judge:
    display(plots.plot_win_rates(comparison.win_rates, against="SFT"))
    words.print_rate("DPO", comparison.win_rates["DPO"], f"judge: {judge.name}")
    widgets.say(words.who_wins(comparison.win_rates))
lengths = {label: comparison.lengths(label).ravel() for label in comparison.answers}
display(plots.plot_lengths(lengths))
shortest = min(lengths, key=lambda label: lengths[label].mean())
widgets.say(f"**The shortest answers are those of {shortest}** "
            f"({lengths[shortest].mean():.1f} tokens on average).")
widgets.say(words.how_they_ended(comparison, lengths=True))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### One word wrong: the sum in SimPO, the mean in DPO
#
# Inside, `sum` and `mean` are exchanged on the way into the very same losses and both are trained so; what comes out is that
# nothing crashes, what becomes of the pairs' weights, and whether a win rate shows it.

# %% [markdown]
# Both mistakes run without an error, and are easily made: libraries have one function for both, with a switch.
#
# What a pair teaches is weighed by $\sigma(\gamma - m)$ (in DPO, $\gamma = 0$): near 1 for a pair that is wrong,
# near 0 for one that is done. The figure shows how these weights spread over the held-out pairs, before training
# in grey and after it in colour: thin line from the 5% to the 95% point, thick line between the quartiles, dot at
# the median. Sums differ by many nats, so SimPO on the sum may see almost only weights of 0 and 1: each pair
# shouts or is silent, largely by its *length*. Means differ by fractions of a nat, so under DPO on the mean the
# weights may hardly leave one half, and then it would not learn which pairs are done. Whether that makes worse
# answers is another matter, and the win rates below say. Both policies come ready-made.

# %%
def swapped(responses):
    """The same responses with sum and mean exchanged: the mistake."""
    return types.SimpleNamespace(**{side: types.SimpleNamespace(sum=one.mean, mean=one.sum)
                                    for side, one in vars(responses).items()})


def mistaken(policy, reference, objective):
    """The loss of an objective that takes one for the other."""
    return objective(swapped(policy), swapped(reference))


right = {"SimPO": partial(simpo, beta=p.beta, gamma=p.gamma), "DPO": partial(dpo, beta=p.dpo_beta)}
losses = {"SimPO": right["SimPO"], "SimPO on the sum": partial(mistaken, objective=right["SimPO"]),
          "DPO": right["DPO"], "DPO on the mean": partial(mistaken, objective=right["DPO"])}
for label, rate in {"SimPO on the sum": p.learning_rate, "DPO on the mean": dpo_rate}.items():
    policies[label], histories[label] = course.fit(sft, examples, losses[label], p,
                                                   learning_rate=rate)
    measured[label] = measure(policies[label])
widgets.show_table(*lesson.moved_table(measured, list(losses)))

# %%
spread = {label: [lesson.weights(of(now, before)[0]) for now in (before, measured[label]["now"])]
          for label, of in losses.items()}
mistake_figure = lesson.plot_weights(spread)
display(mistake_figure)
widgets.say(lesson.weights_in_words(spread))
comparison = course.compare({"SFT": sft, **policies}, tokenizer, p, judge=judge)
if judge:
    display(plots.plot_win_rates(comparison.win_rates, against="SFT"))
widgets.say(lesson.mistakes_in_words(comparison))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### The paper's grid: other settings of gamma and beta
#
# Inside, settings of $(\gamma, \beta)$ like those of paper 004 are trained and judged; what comes out is a table of tiles beside
# the paper's own, each to be read against its own DPO.

# %% [markdown]
# Paper 004 tried four settings of $(\gamma, \beta)$ "with a non-thorough hyperparameter tuning" and reports win
# rates over SFT. Beside its best we train the settings of `grid_gammas` and `grid_betas`, all else the same (they
# come ready-made), and let them answer as above. In the tiles, blue is above one half and red below; settings that were not
# tried are empty. Each panel's title has the DPO that its tiles are to be compared with.

# %%
PAPER = {(1, 2.5): 0.688, (1, 2): 0.631, (3, 10): 0.542, (5, 10): 0.637}  # 004, Table 1, over SFT
PAPER_DPO = 0.759  # 004: its DPO
labels = lesson.grid_of(p)
for (gamma_here, beta_here), label in labels.items():
    if label not in policies:
        objective = partial(simpo, beta=beta_here, gamma=gamma_here)
        policies[label], histories[label] = course.fit(sft, examples, objective, p)
comparison = course.compare({"SFT": sft, **policies}, tokenizer, p, judge=judge)
ours = lesson.found_at(labels, comparison, policies, held_out)
what = "win rate over SFT" if judge else "held-out accuracy"
grid_figure = lesson.plot_grid(ours, PAPER, PAPER_DPO, what)
display(grid_figure)
widgets.say(lesson.grid_in_words(ours, PAPER, PAPER_DPO))
widgets.say(words.how_they_ended(comparison, list(labels.values())))

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show("SimPO", policies["SimPO"], sft, tokenizer, p, history=histories["SimPO"],
          comparison=comparison, read=("SFT", "DPO", "SimPO"))

# %% [markdown]
# ## The long runs beside this one
#
# This run saw few pairs, once. The **long runs** train SimPO with several seeds, each on thousands of pairs and from
# an SFT model of its own, at a learning rate and a beta that a grid chose by answers to *training* prompts; claim 6
# below is about SimPO *without* such care, at the paper's settings. They were made once, by `make claims`, and
# [notebook 11](11_leaderboard.ipynb) shows all of them. Apart from what comes ready-made, they are the one thing on
# this page that was not computed in this run. In the pictures the grey band reaches from the lowest seed to the
# highest.

# %%
from prefnb.claims import beside

beside.show("simpo", "SimPO", p, history=histories["SimPO"],
            metrics=("margin", "logp_chosen", "logp_rejected"),
            live=comparison.win_rates.get("SimPO"), comparison=comparison)

# %% [markdown]
# ## The paper says, we measured
#
# The paper trains Qwen2.5-0.5B on UltraFeedback and asks a large [reward model](glossary.md); by default we train a far smaller
# model, in a world small enough to know the truth. So compare directions, not digits. The claim is about a
# *difference* of two win rates over SFT, so we take it prompt by prompt, DPO's outcome less SimPO's, and put an
# interval around its mean. In this run's column that interval knows of chance in the prompts only; in the long runs', which
# give the verdict where there are any, it knows of seeds too.

# %%
rows = lesson.claims(labels, comparison, PAPER, PAPER_DPO)
verdicts = [row[3] for row in rows]
if rows:
    beside.show_verdicts(p, rows, ours=f"this run, over SFT (judge: {judge.name})", also=[6])
widgets.say(lesson.claim_in_words(verdicts))

# %% [markdown]
# ## Your turn
#
# Write a loss of your own. `policy.chosen` and `policy.rejected` have `.sum`, `.mean` and `.length`, one number a pair, and
# `.token`, one a token; so has `reference`. Return one number a pair. Then take the `#` from the last line and run the cell:
# your loss is checked, trained on 256 pairs for some seconds, drawn beside SimPO, and put into a table that survives
# a restart.

# %%
from prefnb import your_turn

try_it = your_turn.on_pairs(p, sft, tokenizer, examples, usual=("SimPO", loss),
                            folder="runs/attempts/03_simpo")


def my_loss(policy, reference):
    """Means per token, as in SimPO, but measured from the reference, as in DPO."""
    d_chosen = policy.chosen.mean - reference.chosen.mean
    d_rejected = policy.rejected.mean - reference.rejected.mean
    return -logsigmoid(p.beta * (d_chosen - d_rejected) - p.gamma)



# try_it(my_loss, "my loss")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. With $\beta = 2$ and $\gamma = 1$: the chosen response has $S = -6$ over 4 tokens, the rejected one $S = -10$
#    over 5. Predict, then run: what is the loss, `"0"`, `"ln 2"` or `"1"`?
# 2. You want the paper's $\gamma = 1$, $\beta = 2.5$ from a program that asks for the ratio $\gamma/\beta$. What do
#    you enter?
# 3. Write SimPO's loss from memory, with $\beta = 0.1$ and $\gamma = 0.5$. The check knows the usual slips and tells you
#    which one it is.
#
# **To try.** SimPO sees a difference only, so the chosen response may become less likely. Add `- 0.5 * policy.chosen.mean`
# to the loss in the notebook, train with it, and see what $d(y_w)$ does.

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

answer_1 = None  # "0", "ln 2" or "1"
answer_2 = None  # a number


def my_simpo(policy, reference):
    """One number a pair, from .chosen.mean and .rejected.mean of the policy."""
    return None


checks.simpo_03(answer_1, answer_2, my_simpo)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = "ln 2"
# ```
#
# The means are $-1.5$ and $-2$, the margin is $2 \cdot 0.5 = 1$, exactly the target: the loss is
# $-\log\sigma(0) = \ln 2 \approx 0.693$. A pair on target still costs that much.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 0.4
# ```
#
# $1 / 2.5 = 0.4$. Entering 1 there would ask for an absolute target of 2.5.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_simpo(policy, reference):
#     """One number a pair, from .chosen.mean and .rejected.mean of the policy."""
#     return -logsigmoid(0.1 * (policy.chosen.mean - policy.rejected.mean) - 0.5)
# ```
#
# The reference is an argument because every loss here is called with one; SimPO does not look at it. The target stands
# outside the bracket that beta multiplies.
# </details>
# <details><summary>What comes of the added term</summary>
#
# The added term is SFT on the chosen response, each response counting alike whatever its length: it pulls the chosen one
# up, which a difference alone need not do.
# </details>
#
# ## What you have seen
#
# - A sum of log-probs falls with every token; a mean does not, and saying everything twice leaves SimPO's loss as it
#   is.
# - The loss asks for a target margin $\gamma$, in absolute terms; each response is pushed alike in all, whatever its
#   length.
# - SimPO and DPO from one start on the same pairs: what each did to both log-probs, and how far each went by its own
#   samples.
# - One word wrong, sum for mean: nothing crashes, another loss is trained, and the weights of the pairs are where to
#   look for it.
# - Settings of the paper's grid beside ours, each against its own DPO, with a verdict that comes from intervals.
#
# Previous: [02_dpo](02_dpo.ipynb). Next: [04_dppo](04_dppo.ipynb), where the policy's own most likely answer is
# penalised when it votes for the losing response.
#
# ### So, do preferences need a reference model?

# %%
lead = comparison.outcomes("DPO") - comparison.outcomes("SimPO") if judge else None
widgets.say(lesson.answer(comparison.win_rates, lead, judge, measured))
conclusion = lesson.overall(verdicts) if verdicts else "cannot be told: there is no judge here"
kl = {label: one["kl"]["k3"] for label, one in measured.items()}
accuracy = {label: one["by_mean"] for label, one in measured.items()}
folder = course.record(p.output_dir or "runs/03_simpo", p, histories, comparison,
                       claim_6=conclusion, kl=kl, held_out_accuracy=accuracy,
                       figures={"lengths": lengths_figure, "book_mistake": mistake_figure,
                                "book_grid": grid_figure})
print(f"Parameters, histories, responses and figures are in {folder}.")

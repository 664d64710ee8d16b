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
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.simpo.Settings, course.Judging,
                     dpo_beta=parameters.Number(above=0, high=100),
                     grid_gammas=parameters.Numbers(0, 100),
                     grid_betas=parameters.Numbers(above=0, high=100))
if len(p.grid_gammas) != len(p.grid_betas):
    raise parameters.ParameterError(f"'grid_gammas' has {len(p.grid_gammas)} numbers and 'grid_betas' has "
                                    f"{len(p.grid_betas)}: give as many of each.")

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
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from prefnb import evaluate, plots, widgets
from prefnb.logprobs import from_tokens

plt.style.use("prefnb.book")
toy = {"A, short": [-1.0] * 4, "B, long": [-0.5] * 12, "B said twice": [-0.5] * 24}
sums_and_means = from_tokens(toy=list(toy.values())).toy
toy_figure, axes = plots.subplots(1, 2, figsize=(8, 2.6))
for (name, tokens), colour, width in zip(toy.items(), ("#E69F00", "#0072B2", "#56B4E9"), (2, 4, 1.5)):
    steps = np.arange(1, len(tokens) + 1)
    for axis, values in zip(axes, (np.cumsum(tokens), np.cumsum(tokens) / steps)):
        axis.plot(steps, values, color=colour, linewidth=width, label=name)
        axis.plot(steps[-1], values[-1], "o", color=colour)
axes[0].set(xlabel="token", title="sum so far, $S$ (nats)")
axes[1].set(xlabel="token", title="mean so far, $S/|y|$ (nats per token)", ylim=(-1.5, 0))
axes[0].legend()
widgets.show_table(["response", "tokens", "S (sum)", "S / tokens (mean)"],
                   *zip(toy, map(len, toy.values()), sums_and_means.sum.tolist(), sums_and_means.mean.tolist()))
display(toy_figure)
by_sum, by_mean = (list(toy)[int(values[:2].argmax())] for values in (sums_and_means.sum, sums_and_means.mean))
widgets.say(f"**Of the first two, {by_sum}, is the likelier by the sum and {by_mean}, by the mean.**")

# %% [markdown]
# ## The loss
#
# The reward goes into the same [Bradley-Terry model](glossary.md) as DPO's, with one addition: the chosen response has to win by a
# **target margin** $\gamma \ge 0$ before the loss calls the pair done. With $\sigma(z) = 1/(1+e^{-z})$,
#
# $$\mathcal{L}_{\text{SimPO}} = -\log \sigma(m - \gamma),
# \qquad m = \beta\left(\frac{S(y_w)}{|y_w|} - \frac{S(y_l)}{|y_l|}\right) .$$
#
# Our $\gamma$ is absolute, as in the equation. The authors' own code asks for the ratio $\gamma/\beta$ instead: look
# before you copy a setting. No reference appears, so nothing has to be computed or stored for one; nothing ties the
# policy to its start either, but for small steps and few of them. And **step 0 is not $\ln 2$** here: the loss begins
# wherever the SFT model ranks the pairs. Training below uses this very function: edit it and run again.

# %%
from torch.nn.functional import logsigmoid


def simpo(policy, reference=None, *, beta, gamma):
    """The SimPO loss of each pair, and what to watch. `policy.chosen.mean` is S(yw)/|yw|, one number a pair."""
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
# ### Three pairs by hand
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

# %%
import torch

short, long, twice = toy.values()
toy_chosen = [torch.tensor(tokens, requires_grad=True) for tokens in (long, short, twice)]
toy_policy = from_tokens(chosen=toy_chosen, rejected=[short, long, short])
toy_loss, toy_metrics = simpo(toy_policy, beta=2.5, gamma=1.0)
toy_loss.sum().backward()
loss_figure, (left, right) = plots.subplots(1, 2, figsize=(8, 2.8))
margins, lengths = torch.linspace(-4, 8, 200), torch.arange(2, 81)
targets = sorted({0.0, p.gamma, *p.grid_gammas})
for value, shade in zip(targets, np.linspace(0.3, 1, len(targets))):
    left.plot(margins, -logsigmoid(margins - value), color="#009E73", alpha=shade, label=f"$\\gamma$ = {value:g}")
left.set(xlabel="margin $m$", title="the SimPO loss of a pair")
push = p.beta * torch.sigmoid(torch.tensor(p.gamma)) / lengths
right.plot(lengths, push, color="#009E73", label=f"SimPO, $\\gamma$ = {p.gamma:g}, $\\beta$ = {p.beta:g}")
right.axhline(p.dpo_beta / 2, color="#56B4E9", linestyle="--", label=f"DPO, $\\beta$ = {p.dpo_beta:g}")
right.set(xlabel="tokens in the response", title="push on each of its tokens, at $m = 0$", yscale="log")
left.legend()
right.legend()
each, in_all = [tokens.grad[0].item() for tokens in toy_chosen], [tokens.grad.sum().item() for tokens in toy_chosen]
widgets.show_table(["pair", "margin", "loss", "gradient, one chosen token", "all chosen tokens"],
                   *zip(("B over A", "A over B", "B said twice, over A"), toy_metrics["margin"].tolist(),
                        toy_loss.tolist(), each, in_all))
display(loss_figure)
pushed = (f"is pushed {in_all[2] / in_all[0]:.2f} times as hard in all, each of its tokens {each[2] / each[0]:.2f} times"
          if in_all[0] else "is pushed, where once it is not pushed at all")
widgets.say(f"**Said twice, B costs {toy_loss[2] - toy_loss[0]:.3f} more and {pushed}.**")

# %% [markdown]
# Both losses with sliders: move the number of tokens, and see whose gradient minds. (DPO's $\beta$ and SimPO's are different
# things, so each has a slider of its own.)

# %%
from prefnb import explorer
from prefnb.methods.dpo import dpo

explorer.show({"SimPO": lambda policy, reference, beta, gamma: simpo(policy, beta=beta, gamma=gamma),
               "DPO": lambda policy, reference, dpo_beta: dpo(policy, reference, beta=dpo_beta)},
              beta=(0.5, 20.0, p.beta, 0.5), gamma=(0.0, 5.0, p.gamma, 0.1), dpo_beta=(0.01, 1.0, 0.1, 0.01))


# %% [markdown]
# ## The data, seen by the sum and by the mean
#
# Real pairs differ in length too. Before any training, ask the SFT model about each pair: by how much is the chosen
# response likelier than the rejected one, by the sum and by the mean? The figure has a dot per pair; to the right,
# the chosen one is longer. A slope says that the difference is, in part, the length.

# %%
from prefnb import data
from prefnb.batches import prompt_ids
from prefnb.logprobs import DatasetLogprobs

if not data.Source(p.dataset).is_brief and p.model == "pocket":  # real text is longer: half of the model's window each
    p.max_prompt_tokens, p.max_response_tokens = max_prompt_tokens or 256, max_response_tokens or 256
sft, tokenizer = methods.sft.starting_policy(p)
judge = methods.reward_model.judge_of(p)  # None where nobody can judge
examples = course.pair_examples(p, tokenizer)
held_out = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
start = course.reference(sft, examples).all()  # for this picture; SimPO's loss never asks for it
by_length = (start.chosen.length - start.rejected.length).numpy()
lengths_figure, axes = plots.subplots(1, 2, figsize=(8, 2.8))
likelier, slopes = {}, {}
for axis, name, unit in zip(axes, ("sum", "mean"), ("nats", "nats per token")):
    gap = (getattr(start.chosen, name) - getattr(start.rejected, name)).numpy()
    axis.plot(by_length, gap, "o", color="#555555", alpha=0.4, markersize=3)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="tokens in chosen - in rejected", title=f"chosen - rejected, by the {name} ({unit})")
    likelier[name], slopes[name] = np.mean(gap > 0), np.corrcoef(by_length, gap)[0, 1]
display(lengths_figure)
word = lambda slope: "falls with" if slope < -0.1 else "rises with" if slope > 0.1 else "hardly depends on"
widgets.say(f"**By the sum the chosen response is the likelier one in {likelier['sum']:.0%} of {len(examples)} pairs, "
            f"by the mean in {likelier['mean']:.0%}. The sum's difference {word(slopes['sum'])} that of the lengths, "
            f"the mean's {word(slopes['mean'])} it** (correlations of {slopes['sum']:+.2f} and {slopes['mean']:+.2f}).")

# %% [markdown]
# ## Training, side by side
#
# Both start from the SFT policy and see the same pairs in the same order for as many steps. SimPO is trained here,
# before your eyes; DPO with its whole history is the one of 02. That comes ready-made at the defaults, and so do the
# two mistakes and the other settings further down; after an edit of the loss, or with other parameters, they are
# trained anew. Each method has the learning rate that one rule gave it (its own default), unless you set one for both.
# Losses and margins have different scales, since each method has its own, and they begin in different places: DPO at
# $\ln 2$ and at margin 0, SimPO where the SFT model stands. What can be
# compared are accuracy (is the margin positive?) and the two panels below: $d(y)$ is the change of $S(y)$ from the SFT
# policy to the trained one. The wrapper `watched` only measures it.

# %%
from functools import partial


def watched(objective):
    """The same loss; the metrics have d, the change of S from SFT, as well."""
    def with_changes(policy, reference):
        loss, metrics = objective(policy, reference)
        changes = {f"d_{side}": (getattr(policy, side).sum - getattr(reference, side).sum).detach()
                   for side in ("chosen", "rejected")}
        return loss, {**metrics, **changes}
    return with_changes


def beside_dpo(history):
    """The picture that grows while SimPO trains."""
    figure = plots.plot_training({"DPO": histories["DPO"], "SimPO": history},
                                 ["loss", "margin", "accuracy", "d_chosen", "d_rejected"])
    titles = {1: "margin, as each method has it", 3: "$d(y_w)$, chosen (nats)", 4: "$d(y_l)$, rejected (nats)"}
    for axis, title in titles.items():
        figure.axes[axis].set_title(title)
    return figure


# %%
def dpo_of_02():
    """DPO with the same parameters but its own learning rate: (policy, history). Its d is its reward over beta."""
    made = methods.dpo.recipe(**p.shared_with(methods.dpo.Settings) | {"beta": p.dpo_beta, "learning_rate": dpo_rate})
    for row in made.history.rows:
        row |= {f"d_{side}": row[f"reward_{side}"] / p.dpo_beta for side in ("chosen", "rejected")}
    return made.model, made.history


policies, histories = {}, {}
dpo_rate = learning_rate or methods.dpo.Settings.of(p.preset)["learning_rate"]
policies["DPO"], histories["DPO"] = dpo_of_02()
loss = partial(simpo, beta=p.beta, gamma=p.gamma)
policies["SimPO"], histories["SimPO"] = course.fit(sft, examples, watched(loss), p, live=plots.LiveFigure(beside_dpo))
ends = {label: found.last("accuracy") for label, found in histories.items()}
widgets.say(f"**Over the last ten steps SimPO has {ends['SimPO']:.0%} of its pairs the right way round, DPO "
            f"{ends['DPO']:.0%}** ({len(histories['SimPO'].rows)} steps at learning rate {p.learning_rate:g}; "
            f"DPO: {len(histories['DPO'].rows)} at {dpo_rate:g}).")

# %% [markdown]
# ### What moved
#
# On held-out pairs, where batches play no part.
# Accuracy is measured in both ways for both policies: *by the mean* is SimPO's question, *by the change of the sum*
# is DPO's. The KL is sampled: the policy answers the first 128 test prompts at temperature 1, and the k3 estimator
# is summed over the tokens of a response (nats per response). SimPO's loss has no term that would hold it near SFT, but
# that alone does not say how far it goes: the sentence below the table compares it with DPO.

# %%
def share(which):
    """The share of pairs for which this is true."""
    return float(which.float().mean())


def measure(label):
    """What a policy makes of the held-out pairs, and how far it went from SFT by its own samples."""
    now = DatasetLogprobs.compute(policies[label], held_out).all()
    d_chosen, d_rejected = now.chosen.sum - before.chosen.sum, now.rejected.sum - before.rejected.sum
    kl = course.sampled_kl(policies[label], sft, tokenizer, prompts[:128], max_new_tokens=p.max_response_tokens)
    return {"now": now, "d_chosen": d_chosen, "d_rejected": d_rejected, "kl": kl,
            "by_mean": share(now.chosen.mean > now.rejected.mean), "by_change": share(d_chosen > d_rejected)}


def show_moved(labels):
    """The measures of some policies as a table."""
    columns = ["policy", "accuracy by the mean", "by the change of the sum", "d(chosen)", "d(rejected)",
               "sampled KL, k3", "95% interval"]
    found = [measured[label] for label in labels]
    widgets.show_table(columns, *[[label, one["by_mean"], one["by_change"], evaluate.mean_and_interval(one["d_chosen"]),
                                   evaluate.mean_and_interval(one["d_rejected"]), one["kl"]["k3"],
                                   "{:.2f} to {:.2f}".format(*one["kl"]["interval"])]
                                  for label, one in zip(labels, found)])


# %%
prompts = [row["prompt"] for row in data.Source(p.dataset).prompts("test", limit=p.test_prompts, seed=p.seed)
           if len(prompt_ids(tokenizer, row["prompt"])) <= p.max_prompt_tokens]
before = DatasetLogprobs.compute(sft, held_out).all()
measured = {label: measure(label) for label in policies}
show_moved(measured)
sentences = [f"**Under {label} the chosen response {evaluate.change(found['d_chosen'])}, "
             f"the rejected one {evaluate.change(found['d_rejected'])}.**" for label, found in measured.items()]
at_start = share(before.chosen.mean > before.rejected.mean)
ends = {label: found["kl"]["interval"] for label, found in measured.items()}
further = ("further than" if ends["SimPO"][0] > ends["DPO"][1] else "less far than" if ends["SimPO"][1] < ends["DPO"][0]
           else "not clearly further or less far than")
widgets.say(f"{' '.join(sentences)} Before training, accuracy by the mean was {at_start:.3f}. **By its own samples, "
            f"SimPO went {further} DPO from SFT.**")

# %% [markdown]
# ## One word wrong: the sum in SimPO, the mean in DPO
#
# Both mistakes run without an error, and are easily made: libraries have one function for both, with a switch. Here
# we exchange `sum` and `mean` on the way into the very same losses.
#
# What a pair teaches is weighed by $\sigma(\gamma - m)$ (in DPO, $\gamma = 0$): near 1 for a pair that is wrong,
# near 0 for one that is done. The figure shows how these weights spread over the held-out pairs, before training
# in grey and after it in colour: thin line from the 5% to the 95% point, thick line between the quartiles, dot at
# the median. Sums differ by many nats, so SimPO on the sum may see almost only weights of 0 and 1: each pair
# shouts or is silent, largely by its *length*. Means differ by fractions of a nat, so under DPO on the mean the
# weights may hardly leave one half, and then it would not learn which pairs are done. Whether that makes worse
# answers is another matter, and the win rates further down say. Both policies come ready-made.

# %%
import types


def swapped(responses):
    """The same responses with sum and mean exchanged: the mistake."""
    return types.SimpleNamespace(**{side: types.SimpleNamespace(sum=one.mean, mean=one.sum)
                                    for side, one in vars(responses).items()})


def mistaken(policy, reference, objective):
    """The loss of an objective that takes one for the other."""
    return objective(swapped(policy), swapped(reference))


losses = {"SimPO": partial(simpo, beta=p.beta, gamma=p.gamma), "DPO": partial(dpo, beta=p.dpo_beta)}
losses = {"SimPO": losses["SimPO"], "SimPO on the sum": partial(mistaken, objective=losses["SimPO"]),
          "DPO": losses["DPO"], "DPO on the mean": partial(mistaken, objective=losses["DPO"])}
for label, rate in {"SimPO on the sum": p.learning_rate, "DPO on the mean": dpo_rate}.items():
    policies[label], histories[label] = course.fit(sft, examples, losses[label], p, learning_rate=rate)
    measured[label] = measure(label)
show_moved(losses)


# %%
def weights(label, logprobs):
    """sigma(gamma - m) of each pair: one minus the likelihood that the loss is the negative logarithm of."""
    return 1 - torch.exp(-losses[label](logprobs, before)[0]).numpy()


mistake_figure, axis = plots.subplots(figsize=(8, 2.6))
for position, label in enumerate(reversed(losses)):
    after = measured[label]["now"], plots.colours(losses)[label]
    for shift, logprobs, colour in ((0.15, before, "#999999"), (-0.15, *after)):
        low, first, middle, last, high = np.percentile(weights(label, logprobs), [5, 25, 50, 75, 95])
        axis.hlines(position + shift, low, high, color=colour, linewidth=1)
        axis.hlines(position + shift, first, last, color=colour, linewidth=5)
        axis.plot(middle, position + shift, "o", color=colour, markeredgecolor="white", markersize=7)
axis.set_yticks(range(len(losses)), list(reversed(losses)))
axis.set(xlim=(-0.03, 1.03), ylim=(-0.5, len(losses) - 0.5),
         xlabel="weight of a held-out pair, $\\sigma(\\gamma - m)$ (grey: before training)")
mistake_figure

# %%
def loud_or_silent(label):
    """The share of pairs that weigh less than 0.05 or more than 0.95, before and after, and the spread after."""
    states = weights(label, before), weights(label, measured[label]["now"])
    first, last = (np.mean((found < 0.05) | (found > 0.95)) for found in states)
    return (f"- {label}: before training {first:.0%} of the pairs weigh less than 0.05 or more than 0.95; "
            f"afterwards {last:.0%}, and the weights' standard deviation is {states[1].std():.3f}.")


shouting = np.mean([abs(one - 0.5) > 0.45 for one in weights("SimPO on the sum", measured["SimPO on the sum"]["now"])])
spread = np.ptp(weights("DPO on the mean", measured["DPO on the mean"]["now"]))
widgets.say(f"**With the wrong word {shouting:.0%} of SimPO's pairs shout or are silent, and DPO's weights all lie "
            f"within {spread:.2f} of each other.**\n\n" + "\n".join(map(loud_or_silent, losses)))

# %% [markdown]
# ## The paper's grid
#
# Paper 004 tried four settings of $(\gamma, \beta)$ "with a non-thorough hyperparameter tuning" and reports win
# rates over SFT. Beside its best we train the settings of `grid_gammas` and `grid_betas`, all else the same (they
# come ready-made), and let every policy of this notebook answer each test prompt `draws` times at temperature
# 0.7. The judge scores each answer (in the pocket world the [gold judge](glossary.md), which knows what is right, unless `judge`
# names another), and every answer meets every one of SFT's to the same prompt; the [**win rate**](glossary.md) is the share of
# these comparisons that a policy wins, a tie counting half, with a 95% interval over prompts. In the tiles, blue is
# above one half and red below; settings that were not tried are empty. Each panel's title has the DPO that its
# tiles are to be compared with.

# %%
PAPER = {(1, 2.5): 0.688, (1, 2): 0.631, (3, 10): 0.542, (5, 10): 0.637}  # 004, Table 1: win rates over SFT
PAPER_DPO = 0.759  # 004: its DPO
settings = list(dict.fromkeys([(p.gamma, p.beta), *zip(p.grid_gammas, p.grid_betas)]))
labels = {setting: "SimPO, gamma {:g}, beta {:g}".format(*setting) for setting in settings} | {settings[0]: "SimPO"}
for (gamma_here, beta_here), label in labels.items():
    if label not in policies:
        objective = partial(simpo, beta=beta_here, gamma=gamma_here)
        policies[label], histories[label] = course.fit(sft, examples, objective, p)
comparison = course.compare({"SFT": sft, **policies}, tokenizer, p, judge=judge)

# %%
def found_at(label):
    """The win rate of a policy with its interval; its accuracy by the mean where nobody can judge."""
    if judge:
        rate = comparison.win_rates[label]
        return rate.rate, "{:.2f}\n[{:.2f}, {:.2f}]".format(rate.rate, *rate.interval)
    now = DatasetLogprobs.compute(policies[label], held_out).all()
    accuracy = share(now.chosen.mean > now.rejected.mean)
    return accuracy, f"{accuracy:.2f}"


def tiles(axis, values, title):
    """{(gamma, beta): (number, note)} as annotated tiles."""
    gammas, betas = (sorted({setting[i] for setting in [*labels, *PAPER]}) for i in (0, 1))
    shades = np.full((len(gammas), len(betas)), np.nan)
    for (gamma_here, beta_here), (number, note) in values.items():
        row, column = gammas.index(gamma_here), betas.index(beta_here)
        shades[row, column] = number
        axis.text(column, row, note, ha="center", va="center", fontsize=9,
                  color="white" if abs(number - 0.5) > 0.33 else "black")
    axis.imshow(shades, cmap="RdBu", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(betas)), [f"{value:g}" for value in betas])
    axis.set_yticks(range(len(gammas)), [f"{value:g}" for value in gammas])
    axis.set(xlabel="$\\beta$", ylabel="$\\gamma$", title=title)
    axis.grid(False)


# %%
grid_figure, (left, right) = plots.subplots(1, 2, figsize=(8, 3.2))
what = "win rate over SFT" if judge else "accuracy by the mean, held-out"
tiles(left, {setting: found_at(label) for setting, label in labels.items()},
      f"ours, {what} (DPO {found_at('DPO')[0]:.2f})")
tiles(right, {setting: (rate, f"{rate:.3f}") for setting, rate in PAPER.items()},
      f"paper 004, win rate over SFT (DPO {PAPER_DPO})")
display(grid_figure)
numbers = {setting: found_at(label)[0] for setting, label in labels.items()}
above = [f"{sum(rate > of for rate in found.values())} of {len(found)}"
         for found, of in ((numbers, found_at("DPO")[0]), (PAPER, PAPER_DPO))]
widgets.say(f"**Above their own DPO: {above[0]} settings of ours, {above[1]} of the paper's.** "
            "Best of ours: gamma {:g}, beta {:g}, at {:.2f}; "
            "".format(*(top := max(numbers, key=numbers.get)), numbers[top])
            + "best of the paper's: gamma {:g}, beta {:g}, at {:.3f}.".format(*(top := max(PAPER, key=PAPER.get)), PAPER[top]))

# %% [markdown]
# ## Does it win?
#
# First all policies against SFT, the two mistakes among them; then how long their answers are, and whether they end.
# A mean does not reward length as such, but it does not forbid it either: a tail of easy tokens raises it. Then read
# some answers.

# %%
def how_it_ended(label):
    """A policy's win rate against SFT in words, and whether its answers collapsed."""
    words = []
    if judge:
        low, high = comparison.win_rates[label].interval
        words += ["wins against SFT" if low > 0.5 else "loses against SFT" if high < 0.5 else "cannot be told from SFT"]
    collapse = comparison.collapse(label)
    words += ["has collapsed: " + "; ".join(collapse.reasons) if collapse.collapsed else "has not collapsed"]
    drawn = comparison.answers[label]
    return (f"- **{label}** {' and '.join(words)} (mean length {evaluate.mean_length(drawn):.1f} tokens, SFT "
            f"{evaluate.mean_length(comparison.answers['SFT']):.1f}; {evaluate.finished_share(drawn):.0%} end).")


if judge:
    display(plots.plot_win_rates(comparison.win_rates, against="SFT"))
    rate = comparison.win_rates["DPO"]
    print(f"DPO against SFT: {rate.rate:.3f} [{rate.interval[0]:.3f}, {rate.interval[1]:.3f}]")
    print(f"Judge: {judge.name}.")
answer_lengths = {label: comparison.lengths(label).ravel() for label in ("SFT", *losses)}
display(plots.plot_lengths(answer_lengths))
beaten = [label for label, rate in comparison.win_rates.items() if rate.beats == "beats"]
shortest = min(policies, key=lambda label: evaluate.mean_length(comparison.answers[label]))
widgets.say((f"**{len(beaten)} of {len(policies)} beat SFT: {'; '.join(beaten) or 'none'}.** " if judge else "")
            + f"**The shortest answers are those of {shortest}.**\n\n" + "\n".join(map(how_it_ended, policies)))

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
from prefnb.claims.arms import PAPER_SIMPO

beside.show("simpo", "SimPO", p, history=histories["SimPO"], metrics=("margin", "logp_chosen", "logp_rejected"),
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
def overall(verdicts):
    """A claim about every setting: it takes all to hold, and one to fail."""
    return next((word for word in ("does not hold here", "cannot be told") if word in verdicts), "holds here")


# %%
rows = []
for (gamma_here, beta_here), label in labels.items() if judge else ():
    lead = comparison.outcomes("DPO") - comparison.outcomes(label)  # over SFT, prompt by prompt
    printed = PAPER.get((gamma_here, beta_here))
    tried = (gamma_here, beta_here) in PAPER_SIMPO
    rows.append([f"6: at gamma {gamma_here:g}, beta {beta_here:g} SimPO is below DPO",
                 "not tried" if printed is None else f"SimPO {printed}, DPO {PAPER_DPO}",
                 f"SimPO {comparison.win_rates[label]}, DPO {comparison.win_rates['DPO'].rate:.2f}; "
                 f"DPO's lead {evaluate.mean_and_interval(lead)}",
                 evaluate.verdict(evaluate.bootstrap_interval(lead), 0),
                 (6, PAPER_SIMPO.index((gamma_here, beta_here))) if tried else None])
if rows:
    verdicts = [row[3] for row in rows]
    conclusion = overall(verdicts)
    beside.show_verdicts(p, rows, ours=f"this run, over SFT (judge: {judge.name})", also=[6])
else:
    conclusion = "cannot be told: there is no judge here"
    show_moved(losses)


# %%
at_main = f" At the paper's best setting by itself: {verdicts[0]}." if rows else ""
mistakes = ""
if judge:
    leads = {label: comparison.outcomes(label) - comparison.outcomes(label.split()[0])
             for label in ("SimPO on the sum", "DPO on the mean")}
    words = {"holds here": "better than the method itself", "does not hold here": "worse than the method itself",
             "cannot be told": "not to be told from the method itself"}
    ends = {label: evaluate.verdict(evaluate.bootstrap_interval(lead), 0) for label, lead in leads.items()}
    mistakes = " And the mistakes? " + "; ".join(
        f"{label} is {words[ends[label]]} ({evaluate.mean_and_interval(lead)})" for label, lead in leads.items()) + "."
    winning = [label for label in ends if comparison.win_rates[label].beats == "beats"]
    if winning:
        mistakes += (f" **Against SFT alone {' and '.join(winning)} wins all the same**: a win rate need not show a "
                     "mistake.")
    if set(ends.values()) != {"does not hold here"}:
        mistakes += " So a mistake need not lower a win rate: look for it in the weights."
widgets.say(f"**That SimPO without careful tuning is below DPO {conclusion}**, by this one seed.{at_main}{mistakes}")

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
#    over 5. What is the loss?
# 2. You want the paper's $\gamma = 1$, $\beta = 2.5$ from a program that asks for the ratio $\gamma/\beta$. What do
#    you enter?
# 3. SimPO sees a difference only, so the chosen response may become less likely. Write
#    `simpo_sft(policy, reference=None, *, beta, gamma, weight)`, which adds `weight` times the chosen response's
#    negative mean log-prob to the loss, and returns metrics as `simpo` does. Then train with it, and see what $d(y_w)$
#    does.
#
# 4. Write SimPO's loss from memory, in the cell below the answers, with $\beta = 0.1$ and $\gamma = 0.5$. The check knows the
#    usual slips and tells you which one it is.
#
# <details><summary>Solution 1</summary>
#
# The means are $-1.5$ and $-2$, the margin is $2 \cdot 0.5 = 1$, exactly the target: the loss is
# $-\log\sigma(0) = \ln 2 \approx 0.693$. A pair on target still costs that much.
# </details>
# <details><summary>Solution 2</summary>
#
# $1 / 2.5 = 0.4$. Entering 1 there would ask for an absolute target of 2.5.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def simpo_sft(policy, reference=None, *, beta, gamma, weight):
#     loss, metrics = simpo(policy, beta=beta, gamma=gamma)
#     return loss - weight * policy.chosen.mean, metrics
# ```
# The added term is SFT on the chosen response, each response counting alike whatever its length.
# </details>

# %%
from prefnb import exercises
from prefnb.exercises import told

answer_1 = None  # a number
answer_2 = None  # a number
simpo_sft = None  # a function


def check_exercises():
    """Hold the answers against the definitions."""
    one = simpo(from_tokens(chosen=[[-1.5] * 4], rejected=[[-2.0] * 5]), beta=2.0, gamma=1.0)[0].item()
    mixed = simpo(toy_policy, beta=2.5, gamma=1.0)[0].detach() - 0.5 * toy_policy.chosen.mean.detach()
    as_asked = lambda f: torch.allclose(f(toy_policy, beta=2.5, gamma=1.0, weight=0.5)[0].detach(), mixed)
    print("1:", told(answer_1, lambda loss: abs(float(loss) - one) < 5e-3, "find the two means first"))
    print("2:", told(answer_2, lambda ratio: abs(float(ratio) * 2.5 - 1) < 1e-2, "divide"))  # ratio times beta is gamma
    print("3:", told(simpo_sft, as_asked, "the chosen response's mean, with a minus sign"))


check_exercises()

# %%
def my_simpo(policy, reference):
    """One number a pair, from .chosen.mean and .rejected.mean of the policy."""
    return None  # exercise 4


library_s = partial(methods.simpo.simpo, beta=exercises.BETA, gamma=exercises.GAMMA)
print("4:", exercises.of_loss(my_simpo, library_s, exercises.SIMPO))

# %% [markdown]
# <details><summary>Solution 4</summary>
#
# ```python
# def my_simpo(policy, reference):
#     return -logsigmoid(0.1 * (policy.chosen.mean - policy.rejected.mean) - 0.5)
# ```
# </details>

# %%
folder = course.record(p.output_dir or "runs/03_simpo", p, histories, comparison, claim_6=conclusion,
                       kl={label: found["kl"]["k3"] for label, found in measured.items()},
                       held_out_accuracy={label: found["by_mean"] for label, found in measured.items()},
                       figures={"lengths": lengths_figure, "book_mistake": mistake_figure, "book_grid": grid_figure})
print(f"Parameters, histories, responses and figures are in {folder}.")

# %% [markdown]
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
TO_LEARN = {"holds here": "No, not to learn from them: SimPO, which has none, beats SFT",
            "does not hold here": "Here SimPO, which has none, loses against SFT",
            "cannot be told": "This run cannot tell: SimPO, which has none, is not to be told from SFT"}
TO_DO_BETTER = {"holds here": "the reference helps: DPO is ahead of SimPO",
                "cannot be told": "the two are not to be told apart",
                "does not hold here": "it does better without: SimPO is ahead of DPO"}
if judge:
    rate, lead = comparison.win_rates["SimPO"], comparison.outcomes("DPO") - comparison.outcomes("SimPO")
    found = evaluate.verdict(evaluate.bootstrap_interval(lead), 0)
    said = (f"**{TO_LEARN[evaluate.verdict(rate.interval)]}** ({rate}; judge: {judge.name}). **Against DPO at these "
            f"settings, {TO_DO_BETTER[found]}** (DPO's lead: {evaluate.mean_and_interval(lead)}).")
else:
    said = "Without a judge this run cannot tell."
widgets.say(f"{said} By its own samples SimPO went {further} DPO from SFT. One seed of training: `-p seed 1` is another.")

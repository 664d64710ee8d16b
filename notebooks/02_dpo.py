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
# # 02 · How does a model learn from comparisons alone?
#
# Demonstrations say *write this*. A comparison says only *this answer is better than that one*, and people
# find comparing far easier than writing. **Direct Preference Optimization** (DPO; Rafailov et al. 2023)
# trains on comparisons as simply as SFT trains on demonstrations: no [reward model](glossary.md), no sampling in the loop,
# one line of loss.
#
# You will see
#
# - where that line comes from, and why the part nobody can compute cancels;
# - the loss and its gradient on four pairs that you can check by hand;
# - margins grow while training, and the log-probability of **both** responses move;
# - what $\beta$ holds back, measured as a KL divergence on the policy's own samples;
# - a run that goes further over fewer pairs, its loss and the quality of its answers side by side;
# - two remedies from paper 002 (DPO-Positive and a "KL"), and what they do to either response;
# - who wins, in which categories, and how sure we can be.
#
# Nothing has to be run before this notebook: the SFT model of [01_sft](01_sft.ipynb) comes ready-made, or is trained
# first. Next comes [03_simpo](03_simpo.ipynb), which does without the [reference](glossary.md).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' setting and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
pairs: int = None  # preference pairs to train on, 1 or more; None takes the preset's (pocket 1536, qwen 61000)
epochs: float = None  # passes over the data, 0.001 to 1000; None takes the preset's (1)
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's
beta: float = None  # how strongly the reference holds, 0 to 100; None takes the preset's (pocket 0.1, qwen 0.01)
betas: str = "0.02,0.1,0.5"  # the sweep of beta, numbers above 0; the main beta is always among them
few: int = 256  # pairs of the run that goes further, 1 or more
longer: float = 6.0  # epochs of the run that goes further, above 0
faster: float = 10.0  # learning rate of the run that goes further, in multiples of the main one's, above 0
strength: float = 1.0  # pull of the variants' extra terms, 0 or more, in multiples of beta
max_prompt_tokens: int = None  # longer prompts are left out, 1 or more tokens; None takes the preset's (of other data, pocket: 256)
max_response_tokens: int = None  # longer responses are cut, 4 or more tokens; None takes the preset's (of other data, pocket: 256)
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = None  # where the results go: a folder

# %%
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.dpo.Settings, course.Judging,
                     betas=parameters.Numbers(above=0, high=100), few=parameters.Whole(1),
                     longer=parameters.Number(above=0, high=1000),
                     faster=parameters.Number(above=0, high=1000),
                     strength=parameters.Number(0, 1000))

# %% [markdown]
# ## The idea
#
# A [**preference pair**](glossary.md) is a prompt $x$ with two responses: $y_w$, which was *chosen* (it won), and $y_l$,
# which was *rejected* (it lost). The [**policy**](glossary.md) $\pi_\theta$ is the model we train; the **reference**
# $\pi_{\text{ref}}$ is a frozen copy of where it started, here the SFT model. Four steps lead to the loss.
#
# 1. **From scores to choices.** Suppose every response has a reward $r(x, y)$. The [Bradley-Terry model](glossary.md) says how often the better
#    one is chosen: $P(y_w \text{ beats } y_l) = \sigma\big(r(x, y_w) - r(x, y_l)\big)$, with $\sigma(z) = 1/(1+e^{-z})$.
# 2. **What we would want of a policy.** High reward, without straying from the reference: maximise
#    $\mathbb{E}_{y \sim \pi}[r(x, y)] - \beta\, \mathrm{KL}(\pi \,\|\, \pi_{\text{ref}})$.
#    So $\beta > 0$ is the *price* of straying.
# 3. **Its solution is known**: $\pi^*(y|x) = \pi_{\text{ref}}(y|x)\, e^{r(x,y)/\beta} / Z(x)$.
#    The partition function $Z(x)$ sums over every possible response, so nobody can compute it. Solve for the reward all the same:
#    $r(x, y) = \beta \log\frac{\pi^*(y|x)}{\pi_{\text{ref}}(y|x)} + \beta \log Z(x)$.
# 4. **Put that into step 1.** Only the *difference* of two rewards appears there, both for the same prompt, so
#    $\beta \log Z(x)$ **cancels**. What is left can be computed from two language models.
#
# Write $S(y)$ for the sum of the response's token log-probabilities under the policy, $S_{\text{ref}}(y)$ for
# the same under the reference, and $d(y) = S(y) - S_{\text{ref}}(y)$ for how much more likely the policy has
# made it. The product $\beta\, d(y)$ is the [**implicit reward**](glossary.md), and the loss is the negative log-likelihood
# of the choices people made:
#
# $$\mathcal{L}_{\text{DPO}} = -\log \sigma(m), \qquad m = \beta\,\big(d(y_w) - d(y_l)\big) .$$
#
# The number $m$ is the **margin**. Here is the loss in full. Training below uses this very function: edit it
# and run again.

# %%
from torch.nn.functional import logsigmoid


def dpo(policy, reference, *, beta):
    """The DPO loss of each pair, and what to watch. `policy.chosen.sum` is S(yw), one number a pair."""
    d_chosen = policy.chosen.sum - reference.chosen.sum
    d_rejected = policy.rejected.sum - reference.rejected.sum
    margin = beta * d_chosen - beta * d_rejected
    loss = -logsigmoid(margin)
    metrics = {
        "margin": margin,
        "accuracy": (margin > 0).to(margin.dtype),
        "reward_chosen": beta * d_chosen,
        "reward_rejected": beta * d_rejected,
        "logp_chosen": policy.chosen.sum,
        "logp_rejected": policy.rejected.sum,
    }
    return loss, {name: value.detach() for name, value in metrics.items()}


# %% [markdown]
# ### Four pairs by hand
#
# Take $\beta = 0.1$ and a reference that gives every response $S_{\text{ref}} = -12$ nats. For the first pair
# the policy has $S(y_w) = -10$ and $S(y_l) = -15$, so $d(y_w) = 2$, $d(y_l) = -3$ and $m = 0.1 \cdot (2 + 3)
# = 0.5$. The loss is $-\log \sigma(0.5)$. Work out one more row before you look. The last column is the
# gradient with respect to $S(y_w)$, from autograd; by hand it is $-\beta\, \sigma(-m)$, and with respect to
# $S(y_l)$ it is the same number with the other sign.

# %%
import torch
from IPython.display import display
from prefnb import evaluate, widgets
from prefnb.logprobs import from_tokens

toy_chosen = torch.tensor([[-10.0], [-13.0], [-15.0], [-12.0]], requires_grad=True)
toy_policy = from_tokens(chosen=toy_chosen, rejected=[[-15.0], [-18.0], [-13.0], [-12.0]])
toy_reference = from_tokens(chosen=[[-12.0]] * 4, rejected=[[-12.0]] * 4)
toy_loss, toy = dpo(toy_policy, toy_reference, beta=0.1)
toy_loss.sum().backward()
names = ["both move the right way", "both fall, the rejected one more", "the wrong one gains",
         "step 0: nothing has moved"]
widgets.show_table(["pair", "d(chosen)", "d(rejected)", "margin", "loss", "gradient"],
                   *zip(names, (toy["logp_chosen"] + 12).tolist(), (toy["logp_rejected"] + 12).tolist(),
                        toy["margin"].tolist(), toy_loss.tolist(), toy_chosen.grad[:, 0].tolist()))

# %% [markdown]
# In the first row the chosen response became more likely, in the second *less* likely, and **DPO cannot tell
# them apart: it sees the difference alone.** Remember this when you look at the
# log-probabilities below. The last row is where every run begins: the policy *is* the reference, the margin
# is 0, and the loss is $-\log \sigma(0) = \ln 2$.
#
# ### The loss and its gradient
#
# Left: the loss falls with the margin and never quite reaches 0. Its gradient, $\sigma(-m)$ in size, is near
# 1 for pairs that the policy has the wrong way round and dies out for pairs that it has right: DPO works on
# its mistakes. Right: the same gradient with its factor $\beta$, against the gap $d(y_w) - d(y_l)$ in nats. A
# **higher** $\beta$ turns a small gap into a large margin, so the curve dies out *sooner*: the policy has no
# reason to go further. **A higher beta keeps the policy closer to the reference**, as its role as a price
# says.

# %%
import matplotlib.pyplot as plt
import numpy as np
from prefnb import plots

plt.style.use("prefnb.book")
all_betas = sorted({p.beta, *p.betas})
margins = torch.linspace(-5, 5, 200)
gaps = torch.linspace(0, 40, 200)
loss_figure, (left, right) = plots.subplots(1, 2)
left.plot(margins, -logsigmoid(margins), color="#56B4E9", label="loss")
left.plot(margins, torch.sigmoid(-margins), "--", color="#D55E00", label="size of its gradient")
left.plot(0, np.log(2), "o", color="black", label="step 0: ln 2")
left.set(xlabel="margin $m$", title="the loss of a pair")
left.legend()
for value, shade in zip(all_betas, np.linspace(0.35, 1, len(all_betas))):
    right.plot(gaps, value * torch.sigmoid(-value * gaps), color="#0072B2", alpha=shade, label=f"$\\beta$ = {value:g}")
right.set(xlabel="gap $d(y_w) - d(y_l)$ (nats)", title="the push that is left, $\\beta\\,\\sigma(-m)$")
right.legend()
display(loss_figure)
left_over = {value: value / (1 + np.exp(value * 20)) for value in all_betas}
widgets.say(f"**At a gap of 20 nats the push is weakest at beta {min(left_over, key=left_over.get):g}** ("
            + ", ".join(f"beta {value:g}: {push:.4f}" for value, push in left_over.items()) + ").")

# %% [markdown]
# Now move it yourself: $\beta$, and how much likelier either response has become. Watch two things. Moving both $d(y)$ together
# changes nothing. And the two gradients are always the same number with opposite signs.

# %%
from prefnb import explorer

explorer.show({"DPO": dpo}, beta=(0.01, 1.0, p.beta, 0.01))

# %% [markdown]
# ## The data
#
# In the pocket world both responses of a pair come from writers with habits, not from our model (the data are
# *off-policy*), and the annotator errs now and then. Our model has habits of its own: most demonstrations that it
# learnt from came from houses with a fixed style (a closing formula, a sentence said again, the last thing asked left
# out), and that style is now its first choice. No answer of the pairs has it, so there is something to correct.
# Responses are tokenised with the [chat template](glossary.md); the
# closing end-of-turn token belongs to the response.

# %%
from prefnb import data, models
from prefnb.batches import Examples, prompt_ids
from prefnb.logprobs import DatasetLogprobs

if not data.Source(p.dataset).is_brief and p.model == "pocket":  # real text is longer: half of the model's window each
    p.max_prompt_tokens, p.max_response_tokens = max_prompt_tokens or 256, max_response_tokens or 256
sft, tokenizer = methods.sft.starting_policy(p)
judge = methods.reward_model.judge_of(p)  # None where nobody can judge
examples = course.pair_examples(p, tokenizer)
held_out = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
first = data.Source(p.dataset).pairs(limit=p.pairs, seed=p.seed)[examples.kept[0]]
warning = "" if len(examples) >= 128 else " So few show that everything runs, and little else."
widgets.say(f"**{len(examples)} pairs to train on, {len(held_out)} held out.**{warning} One of them:\n\n"
            f"| prompt | chosen | rejected |\n|---|---|---|\n| " + " | ".join(
                widgets.escaped(text[:600])
                for text in (first["prompt"][-1]["content"], first["chosen"], first["rejected"])) + " |")
side_lengths = {side: [len(ids) for ids in rows] for side, rows in examples.responses.items()}
display(plots.plot_lengths({"prompt": [len(ids) for ids in examples.prompt_ids], **side_lengths}))
medians = [f"{side} {np.median(found):.0f}" for side, found in side_lengths.items()]
widgets.say(f"**Median tokens of a response: {', '.join(medians)}.** Whatever differs between the two, length "
            "included, is something DPO can learn.")

# %% [markdown]
# ### Step 0
#
# The reference never changes, so its log-probabilities are computed once. Before any training the policy
# equals the reference: no response has moved, so the loss above must be $\ln 2$ and every margin 0. If this cell ever
# fails, look for dropout, another precision, or another template.

# %%
held_out_reference = course.reference(sft, held_out).all()


def on_held_out(policy, beta):
    """Loss and metrics of every held-out pair, none of which was trained on."""
    now = DatasetLogprobs.compute(policy, held_out).all()
    with torch.no_grad():
        loss, metrics = dpo(now, held_out_reference, beta=beta)
    return {"loss": loss, **metrics, "d_chosen": now.chosen.sum - held_out_reference.chosen.sum,
            "d_rejected": now.rejected.sum - held_out_reference.rejected.sum}


before = on_held_out(sft, p.beta)
assert max(before[d].abs().max() for d in ("d_chosen", "d_rejected")) < 1e-2
print(f"loss at step 0: {before['loss'].mean():.6f}   ln 2: {np.log(2):.6f}   "
      f"largest margin: {before['margin'].abs().max():.1e}")

# %% [markdown]
# ## Training
#
# The policy passes over the pairs `epochs` times. Watch the loss leave $\ln 2$ and the margin leave 0.
# Accuracy is the share of pairs whose margin is positive: the policy, seen as a reward model, agrees with the
# choice. (The faint curves are single batches, the strong ones a moving average. Pairs of like length share a
# batch, so the log-probabilities jump about.)
#
# This run is trained before your eyes, with the loss above. The runs that follow come ready-made with the package
# as long as the parameters are the defaults and the loss is as printed; after an edit they are trained anew, with
# your loss. At the defaults the live run is the DPO that later notebooks compare with, and that comes ready-made
# too: the lines below the curves say in what the two agree.

# %%
from functools import partial

policies, histories = {}, {}
policies[p.beta], histories[p.beta] = course.fit(sft, examples, partial(dpo, beta=p.beta), p, live=plots.LiveFigure())
ended = {name: histories[p.beta].last(name) for name in ("loss", "margin", "accuracy")}
widgets.say(f"**After {len(histories[p.beta].rows)} steps of {p.batch_size} pairs the loss has gone from "
            f"{np.log(2):.2f} to {ended['loss']:.2f}, the margin from 0 to {ended['margin']:.2f}, and "
            f"{ended['accuracy']:.0%} of the pairs are the right way round** (means of the last ten steps, on pairs "
            "that the policy is trained on).")
defaults = vars(parameters.check({}, methods.dpo.Settings))
if all(getattr(p, name) == value for name, value in defaults.items() if name != "output_dir"):
    ready = methods.dpo.recipe()
    ours, theirs = (models.fingerprint(one, coarse=True) for one in (policies[p.beta], ready.model))
    agree = {"all weights, rounded to half precision": ours == theirs,
             "all rows of the history": histories[p.beta].rows == ready.history.rows}
    for what, same in agree.items():
        print(f"This run and the ready-made DPO, {what}: {'equal' if same else 'not equal'}.")
    printed = torch.equal(dpo(toy_policy, toy_reference, beta=0.1)[0], methods.dpo.dpo(toy_policy, toy_reference, beta=0.1)[0])
    if not all(agree.values()):
        print("That comes of " + ("a machine that rounds differently. So that DPO is one policy in all notebooks, the "
                                  "ready-made one goes on from here." if printed else "another loss: yours goes on from here."))
        policies[p.beta] = ready.model if printed else policies[p.beta]

# %% [markdown]
# ### Did the chosen response become more likely?
#
# The picture shows $S(y_w)$ and $S(y_l)$ while training. The sentence below it measures the same on held-out
# pairs, where batches play no part: the mean of $d(y)$, with a 95% interval.

# %%
after = on_held_out(policies[p.beta], p.beta)
display(plots.plot_logprobs(histories[p.beta]))
widgets.say(f"""**On {len(held_out)} held-out pairs the chosen response {evaluate.change(after['d_chosen'])}, and the
rejected one
{evaluate.change(after['d_rejected'])}**: $d(y_w)$ = {evaluate.mean_and_interval(after['d_chosen'])} nats and
$d(y_l)$ = {evaluate.mean_and_interval(after['d_rejected'])}. The margin went
from 0 to {evaluate.mean_and_interval(after['margin'])} and accuracy to {after['accuracy'].mean():.2f}. What a response loses
goes to other responses to the same prompt, of this pair or of none: the loss says nothing about which.""")

# %% [markdown]
# ### One pair in slow motion
#
# Eight steps on a single held-out pair, from the SFT model. At step 0 the push is the same on every token, $\beta/2$ up for the chosen
# response and as much down for the rejected one. What comes of it is not: tokens that both sides share move little, and those that
# are likely already cannot move far. The slider goes back too; a token's number is in its tooltip.

# %%
from prefnb import slow_motion

slow_motion.show(slow_motion.film(sft, tokenizer, held_out, partial(dpo, beta=p.beta), rate=p.learning_rate))

# %% [markdown]
# ## What beta holds back
#
# The same training at other values of $\beta$ (ready-made, see above). How far each policy went is a **KL
# divergence**, and a KL is an average over the *policy's own samples*: the policy answers the first 128 test
# prompts at temperature 1. For a sampled token let $r = \pi_{\text{ref}} / \pi_\theta$, the two models' probabilities of it; its
# share of the KL is estimated by $k_1 = -\log r$, the definition itself, or by $k_3 = r - 1 - \log r$, which has the same mean (the
# mean of $r$ is 1), is never negative, and is less noisy. Here $k_3$ is summed over the tokens of each response (nats per response).
# A log-ratio averaged over the data set's responses would not be a KL.

# %%
for value in all_betas:
    if value not in policies:
        policies[value], histories[value] = course.fit(sft, examples, partial(dpo, beta=value), p)

prompts = [row["prompt"] for row in data.Source(p.dataset).prompts("test", limit=p.test_prompts, seed=p.seed)
           if len(prompt_ids(tokenizer, row["prompt"])) <= p.max_prompt_tokens]


def kl_from_sft(policy, count=128):
    """KL(policy || SFT) on the policy's own samples, in nats per response, with a 95% interval (k3)."""
    return course.sampled_kl(policy, sft, tokenizer, prompts[:count], max_new_tokens=p.max_response_tokens)


kls = {value: kl_from_sft(policies[value]) for value in all_betas}
by_beta = {f"beta {value:g}": histories[value] for value in all_betas}
display(plots.plot_training(by_beta, ["loss", "margin", "accuracy"]))
seen = {value: after if value == p.beta else on_held_out(policies[value], value) for value in all_betas}
widgets.show_table(
    ["beta", "held-out accuracy", "held-out margin", "gap d(chosen) - d(rejected)", "sampled KL, k3 (nats)",
     "95% interval"],
    *[[f"{value:g}", float(seen[value]["accuracy"].mean()), float(seen[value]["margin"].mean()),
       float((seen[value]["d_chosen"] - seen[value]["d_rejected"]).mean()), kls[value]["k3"],
       "{:.2f} to {:.2f}".format(*kls[value]["interval"])]
      for value in all_betas])

# %%
def order_of_kls():
    """Do the KLs fall as beta rises, and is the difference between the ends more than chance?"""
    low, high = kls[all_betas[0]], kls[all_betas[-1]]
    falling = all(kls[a]["k3"] >= kls[b]["k3"] for a, b in zip(all_betas, all_betas[1:]))
    apart = low["interval"][0] > high["interval"][1]
    return (f"From beta {all_betas[0]:g} to {all_betas[-1]:g} the sampled KL goes from {low['k3']:.2f} to {high['k3']:.2f} nats"
            + (", falling at every step" if falling else ", not falling at every step")
            + ("; the intervals of the two ends lie apart." if apart else "; the intervals of the two ends overlap."))


widgets.say(f"""**{order_of_kls()}** Margins of different betas cannot be compared: the margin has beta in it, so read
the
gap in nats beside it. Adam divides the gradient by its own size, so all betas begin with nearly the same steps; they part when
the margins are no longer small, and with a high beta that is sooner.""")

# %% [markdown]
# Now with your hand on it: move $\beta$ and let go. A policy is trained anew on 128 pairs, in some seconds, and drawn over the
# last attempts. So few pairs move it little; what to watch is how the margins part.

# %%
from prefnb import retrain

by_hand = retrain.Retrainer(p, sft, tokenizer, examples, "beta", lambda value: partial(dpo, beta=value), "02_dpo")
by_hand.show(0.01, 1.0, p.beta, 0.01)

# %% [markdown]
# ### The implicit rewards, before and after
#
# How $\beta\, d(y)$ is distributed over the held-out responses. Before training all are 0; training moves the two heaps
# apart, and they still overlap.

# %%
rewards = [{side: state[f"reward_{side}"].numpy() for side in ("chosen", "rejected")} for state in (before, after)]
rewards_figure = plots.plot_rewards(*rewards)
gold = data.Source(p.dataset).judge  # None where no program knows the right answers
display(rewards_figure)
widgets.say(f"""**In {after['accuracy'].mean():.0%} of the held-out pairs the chosen response ends above the rejected
one.** The
means are {evaluate.mean_and_interval(rewards[1]['chosen'])} and {evaluate.mean_and_interval(rewards[1]['rejected'])}.
{"(The annotator errs now and then, so 100% would not be right either.)" if gold else ""}""")

# %% [markdown]
# ## More is not better
#
# The loss speaks of pairs; we care about answers. Now a run (ready-made) sees only the first `few` pairs, but
# `longer` times, in steps `faster` times as large, so that its loss on *them* can go down much further. If all
# the same the loss on held-out pairs is higher, or the answers are worse, the policy is [**over-optimised**](glossary.md): it
# fits these pairs and not what they stand for. In the figure, left: the training loss step by step, and as dots
# the loss on held-out pairs before and after. Right: what the judge gives the answers to the test prompts
# (mean and 95% interval; where there is no judge, the accuracy on held-out pairs).

# %%
some = Examples(examples.prompt_ids[:p.few], {side: ids[:p.few] for side, ids in examples.responses.items()},
                examples.kept[:p.few])
farther, histories["further"] = course.fit(sft, some, partial(dpo, beta=p.beta), p, epochs=p.longer,
                                           learning_rate=min(1.0, p.faster * p.learning_rate))
main = f"DPO, beta {p.beta:g}"
contestants = {"SFT": sft, **{f"DPO, beta {value:g}": policies[value] for value in all_betas}, "DPO, further": farther}
comparison = course.compare(contestants, tokenizer, p, judge=judge)
runs = {"SFT": before, main: after, "DPO, further": on_held_out(farther, p.beta)}
quality = {label: comparison.scores[label].total.mean(1) if judge else found["accuracy"].numpy()
           for label, found in runs.items()}

# %%
overdone_figure, (left, right) = plots.subplots(1, 2, figsize=(8, 2.8), width_ratios=(3, 2))
shades = {"SFT": "#555555", main: "#56B4E9", "DPO, further": "#D55E00"}
for label, history in {main: histories[p.beta], "DPO, further": histories["further"]}.items():
    steps, values = history["loss"]
    left.plot(steps, plots.smooth(values), color=shades[label], label=f"{label}: training pairs")
    left.plot([0, steps[-1]], [runs[one]["loss"].mean() for one in ("SFT", label)], "o", color=shades[label],
              label="held-out pairs")
left.set(xlabel="step", title="loss")
left.legend()
for position, (label, found) in enumerate(quality.items()):
    right.vlines(position, *evaluate.bootstrap_interval(found), color=shades[label], linewidth=2)
    right.plot(position, found.mean(), "o", color=shades[label])
right.set(title=f"{judge.name} score" if judge else "held-out accuracy", xlim=(-0.5, len(quality) - 0.5))
right.set_xticks(range(len(quality)), [label.replace(", ", ",\n") for label in quality])
overdone_figure

# %%
def was_overdone():
    """The further run's answers against those of the main run, on all test prompts."""
    if not judge:
        return "There is no judge here: the loss on held-out pairs has to tell."
    lead = quality["DPO, further"] - quality[main]
    low, high = evaluate.bootstrap_interval(lead)
    verdict = ("it went too far" if high < 0 else "going further has paid" if low > 0
               else "the difference cannot be told from chance")
    return (f"On all {len(comparison.prompts)} test prompts the {judge.name} score is "
            + ", ".join(f"{found.mean():.2f} for {label}" for label, found in quality.items())
            + f". The further run's lead over the main one is {evaluate.mean_and_interval(lead)}: **{verdict}**.")


ends = {label: histories[name].last("loss") for label, name in ((main, p.beta), ("DPO, further", "further"))}
held = {label: f"{found['loss'].mean():.3f}" for label, found in runs.items()}
widgets.say(f"""The further run takes {len(histories["further"].rows)} steps over {len(some)} pairs, the main one
{len(histories[p.beta].rows)} over {len(examples)}. Over its last steps the training loss is {ends["DPO, further"]:.3f} (main
run: {ends[main]:.3f}). On held-out pairs the loss is {held["DPO, further"]} afterwards (main run: {held[main]}; before any
training: {held["SFT"]}).
{was_overdone()}""")

# %% [markdown]
# ## Holding on to the chosen response, and to the reference
#
# Paper 002 (§3.1) adds two terms. Its weights are not printed; here both pull with the same strength,
# `strength` times $\beta$ for each nat.
#
# - **DPO-Positive** objects when the chosen response becomes less likely than under the reference:
#   $\mathcal{L}_{\text{DPO}} + \lambda \max(0, -d(y_w))$. (The original, Pal et al. 2024, has the penalty inside the
#   logarithm, where it lets go once the pair is right.)
# - **"KL" as printed** (002): $\tfrac{\lambda}{2}\,[-d(y_w) - d(y_l)]$. It is *not* a KL: it averages over the data
#   set's responses, and it can be negative. It is linear in the log-probs and unbounded below, so its gradient
#   pulls **both** responses up, the rejected one as hard as the chosen, for ever. It never asks the policy to
#   move back to the reference.
#
# How far each policy really went is again measured by a KL on its own samples. Both variants are the library's
# losses, and come ready-made.

# %%
from prefnb.methods.dpo import dpo_kl_as_printed, dpo_positive

pull = p.strength * p.beta
variants = {"DPO-Positive": partial(dpo_positive, beta=p.beta, penalty=pull, form="added"),
            '"KL" as printed': partial(dpo_kl_as_printed, beta=p.beta, weight=pull)}
found = {"DPO": (after, kls[p.beta])}
for label, objective in variants.items():
    policy, histories[label] = course.fit(sft, examples, objective, p)
    found[label] = on_held_out(policy, p.beta), kl_from_sft(policy)
variant_shifts = {label: (pairs_seen["d_chosen"], pairs_seen["d_rejected"]) for label, (pairs_seen, _) in found.items()}
variant_rows = [[label, float((pairs_seen["d_chosen"] > pairs_seen["d_rejected"]).float().mean()),
                 *map(evaluate.mean_and_interval, variant_shifts[label]),
                 histories[label].last("penalty") if label in variants else "", kl["k3"],
                 "{:.2f} to {:.2f}".format(*kl["interval"])]
                for label, (pairs_seen, kl) in found.items()]

# %% [markdown]
# In the figure each variant has a blue dot for $d(y_w)$ and an orange one for $d(y_l)$ on held-out pairs.
# Right of the line means *more likely than under the reference*. DPO pushes the two apart and does not mind
# where they are. The table's last columns say how far the policy moved, by its own samples.

# %%
shift_figure, axis = plots.subplots(figsize=(8, 2.4))
for position, (label, shifts) in enumerate(reversed(variant_shifts.items())):
    axis.plot([d.mean() for d in shifts], [position] * 2, color="#BBBBBB", zorder=0)
    for side, d in zip(("chosen", "rejected"), shifts):
        axis.hlines(position, *evaluate.bootstrap_interval(d.numpy()), color=plots.MEANINGS[side], linewidth=2)
        axis.plot(d.mean(), position, "o", color=plots.MEANINGS[side], label=side if position == 0 else None)
axis.axvline(0, color="black", linewidth=1)
axis.set_yticks(range(len(variant_shifts)), list(reversed(variant_shifts)))
axis.set_xlabel("change of log-prob from the reference, $d(y)$ (nats, mean and 95% interval)")
shift_figure.legend(loc="outside upper left", ncols=2)
widgets.show_table(["variant", "accuracy", "d(chosen)", "d(rejected)", "penalty, last steps", "sampled KL, k3",
                    "95% interval"], *variant_rows)
shift_figure

# %%
def where(label):
    """Where a variant's held-out chosen responses ended, in words, from the interval."""
    low, high = evaluate.bootstrap_interval(variant_shifts[label][0].numpy())
    return f"{'above' if low > 0 else 'below' if high < 0 else 'where they cannot be told from'} the reference"


printed_value = histories['"KL" as printed'].last("penalty")
spread = {label: evaluate.mean_and_interval(d - rejected) for label, (d, rejected) in variant_shifts.items()}
widgets.say(f"""**Under plain DPO the chosen responses ended {where('DPO')}, under DPO-Positive
{where('DPO-Positive')}.** The printed
"KL" ended at {printed_value:+.3f}, {'below 0, where no KL can be' if printed_value < 0 else 'which happens to be no less than 0'};
under it the rejected response {evaluate.change(variant_shifts['"KL" as printed'][1])}. The gap that is left between chosen and
rejected: {'; '.join(f'{label} {found} nats' for label, found in spread.items())}.""")

# %% [markdown]
# ## Does it win?
#
# Every policy answers each test prompt `draws` times at temperature 0.7 and the judge scores each answer: in the
# pocket world the gold judge, which knows what is right, unless `judge` names another. Every answer meets every one
# of SFT's to the same prompt; the **win rate** is the share of these comparisons that a policy wins, a tie counting
# half, with a 95% interval over prompts. At one half (the dotted line) neither is better.

# %%
categories = comparison.by_category(main)  # none without a judge, or of other data
if judge:
    display(plots.plot_win_rates(comparison.win_rates, against="SFT"))
    rate = comparison.win_rates[main]
    print(f"DPO against SFT: {rate.rate:.3f} [{rate.interval[0]:.3f}, {rate.interval[1]:.3f}]")
    print(f"Judge: {judge.name}.")
    if categories:
        display(plots.plot_categories(categories, against="SFT"))
else:
    widgets.show_table(["policy", "held-out accuracy", "held-out margin"],
                       *[[f"beta {value:g}", float(seen[value]["accuracy"].mean()),
                          evaluate.mean_and_interval(seen[value]["margin"])] for value in all_betas])

# %%
def how_they_ended(label):
    """A policy's win rate against SFT in words, and whether its answers collapsed."""
    words = [against_sft(label)] if judge else []
    collapse = comparison.collapse(label)
    words += ["has collapsed: " + "; ".join(collapse.reasons) if collapse.collapsed else "has not collapsed"]
    return f"- **{label}** {' and '.join(words)}."


def against_sft(label):
    """A policy's win rate against SFT in words."""
    low, high = comparison.win_rates[label].interval
    return "wins against SFT" if low > 0.5 else "loses against SFT" if high < 0.5 else "cannot be told from SFT"


if judge:
    best = max(comparison.win_rates, key=lambda label: comparison.win_rates[label].rate)
    widgets.say(f"**The highest win rate has {best}: {comparison.win_rates[best]}.**")
widgets.say("\n".join(how_they_ended(label) for label in contestants if label != "SFT"))

# %% [markdown]
# ### What changed in the answers
#
# The gold judge, where there is one, also names the flaws that show in an answer: words or sentences said twice
# (disfluent), more than was asked for (rambling), claims and courtesies (boilerplate), something asked for of which
# nothing is said (incomplete). Below them is the share of the asked-for parts that are right. Preferences can move
# *how* the model answers more than *what it knows*.

# %%
if gold:
    flaws = {label: comparison.flaws(label) for label in ("SFT", main)}
    changes = {name: flaws[main][name] * 1.0 - flaws["SFT"][name] for name in flaws["SFT"]}
    helpful = {label: comparison.scores_by(gold, label).parts["helpfulness"] for label in ("SFT", main)}
    widgets.show_table(["share of answers", "SFT", main, "change"],
                       *[[name, *(float(flaws[label][name].mean()) for label in flaws), evaluate.mean_and_interval(change)]
                         for name, change in changes.items()],
                       ["parts that are right", *(float(found.mean()) for found in helpful.values()),
                        evaluate.mean_and_interval(helpful[main].mean(1) - helpful["SFT"].mean(1))])
    widgets.say(f"**After DPO: {'; '.join(f'{name} {evaluate.change(change)}' for name, change in changes.items())}; "
                "the share of parts that are right "
                f"{evaluate.change(helpful[main].mean(1) - helpful['SFT'].mean(1))}.**")
if categories:
    won = {word: [name.replace("_", " ") for name, found in categories.items() if evaluate.verdict(found.interval) == word]
           for word in ("holds here", "does not hold here", "cannot be told")}
    widgets.say(f"""**Of the {len(categories)} categories DPO wins {len(won['holds here'])}**
({', '.join(won['holds here']) or 'none'}), **loses {len(won['does not hold here'])}**
({', '.join(won['does not hold here']) or 'none'}), and {len(won['cannot be told'])} cannot be told
({', '.join(won['cannot be told']) or 'none'}); judge: {judge.name}.""")

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is SFT, green the trained
# policy; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins, changes of log-prob and the KL are measured on 128 held-out pairs and prompts. Then read some answers: a number never
# replaces reading.

# %%
from prefnb import page

page.show(main, policies[p.beta], sft, tokenizer, p, history=histories[p.beta],
          comparison=comparison)

# %% [markdown]
# ## The long runs beside this one
#
# This run saw few pairs, once. The **long runs** train DPO with several seeds, each on thousands of pairs and from an
# SFT model of its own, at a learning rate and a beta that a grid chose by answers to *training* prompts. They were
# made once, by `make claims`, and [notebook 11](11_leaderboard.ipynb) shows all of them. They are the one thing on
# this page that was not computed in this run, apart from what comes ready-made. In the pictures the grey band reaches
# from the lowest seed to the highest.

# %%
from dataclasses import replace
from prefnb.claims import beside

beside.show("dpo", "DPO", p, history=histories[p.beta], metrics=("loss", "margin", "logp_chosen", "logp_rejected"),
            live=comparison.win_rates.get(main),
            comparison=replace(comparison, answers={**comparison.answers, "DPO": comparison.answers[main]}))

# %% [markdown]
# ## The papers say, we measured
#
# The papers train Qwen2.5-0.5B on UltraFeedback and ask a large reward model; by default we train a far
# smaller model, in a world small enough to know the truth. So compare directions, not digits. The verdict is the long
# runs' where there are any, and else that of this **one seed**: `-p seed 1` is another.

# %%
rows = []
if judge:
    rate = comparison.win_rates[main]
    rows.append(["004: DPO beats SFT", ".759 against SFT", str(rate), evaluate.verdict(rate.interval),
                 ("dpo", "sft")])
    rows.append(["001, 003: DPO beats what they compare with", ".605 against the base model, .593 against Instruct",
                 f"{rate} against SFT", "another opponent"])
d_fell = evaluate.bootstrap_interval(-variant_shifts["DPO"][0].numpy())
rows.append(["002: DPO can lose on the chosen response too", "no figure",
             f"d(chosen) {evaluate.mean_and_interval(variant_shifts['DPO'][0])}", evaluate.verdict(d_fell, 0)])
gain = variant_shifts["DPO-Positive"][0] - variant_shifts["DPO"][0]
rows.append(["002: DPO-Positive holds the chosen one up", "no figure", f"{evaluate.mean_and_interval(gain)} nats over DPO",
             evaluate.verdict(evaluate.bootstrap_interval(gain), 0)])
(low_beta, high_beta) = (kls[value]["interval"] for value in (all_betas[0], all_betas[-1]))
gap_in_kl = low_beta[0] - high_beta[1], low_beta[1] - high_beta[0]  # wide on purpose: the ends of both intervals
rows.append(["Rafailov et al.: a higher beta stays closer", "theory", order_of_kls(), evaluate.verdict(gap_in_kl, 0)])
beside.show_verdicts(p, rows, ours="this run" + (f" (judge: {judge.name})" if judge else ""), also=[12])

# %% [markdown]
# ## Your turn
#
# Write a loss of your own. `policy.chosen` and `policy.rejected` have `.sum`, `.mean` and `.length`, one number a pair, and
# `.token`, one a token; so has `reference`. Return one number a pair. Then take the `#` from the last line and run the cell:
# your loss is checked, trained on 256 pairs for some seconds, drawn beside DPO, and put into a table that survives
# a restart.

# %%
from prefnb import your_turn

try_it = your_turn.on_pairs(p, sft, tokenizer, examples, usual=("DPO", partial(dpo, beta=p.beta)),
                            folder="runs/attempts/02_dpo")


def my_loss(policy, reference):
    """DPO's margin in nats, with a hinge: a pair that is right by one nat is let go."""
    d_chosen = policy.chosen.sum - reference.chosen.sum
    d_rejected = policy.rejected.sum - reference.rejected.sum
    return torch.relu(1 - (d_chosen - d_rejected))



# try_it(my_loss, "my loss")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. With $\beta = 0.2$, $d(y_w) = -4$ and $d(y_l) = -9$: what is the loss?
# 2. At step 0 DPO pushes the rejected response down. Which weight $\lambda$ of the printed "KL" cancels that push exactly, at
#    $\beta = 0.1$?
# 3. Annotators err. *Conservative* DPO assumes that a share `epsilon` of the labels is flipped and averages the loss
#    over both readings of a pair. Write `cdpo(policy, reference, *, beta, epsilon)`, returning losses and metrics as `dpo` does. Then train with it.
# 4. Set `beta` to 0.01, as paper 004 does, and predict before you run: which curves change, and which way does the KL go?
#
# 5. Write DPO's loss from memory, in the cell below the answers, with $\beta = 0.1$. The check knows the usual slips and
#    tells you which one it is.
#
# <details><summary>Solution 1</summary>
#
# The margin is $0.2 \cdot (-4 + 9) = 1$, so the loss is $-\log\sigma(1) \approx 0.313$. That both log-probs
# fell does not matter.
# </details>
# <details><summary>Solution 2</summary>
#
# The gradient of DPO with respect to $S(y_l)$ at $m = 0$ is $\beta\,\sigma(0) = \beta/2$; that of the printed
# term is $-\lambda/2$. They cancel at $\lambda = \beta = 0.1$. From then on, as the margin grows, the printed
# term pulls the rejected response *up*.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def cdpo(policy, reference, *, beta, epsilon):
#     loss, metrics = dpo(policy, reference, beta=beta)
#     flipped = -logsigmoid(-beta * (policy.chosen.sum - reference.chosen.sum - policy.rejected.sum + reference.rejected.sum))
#     return (1 - epsilon) * loss + epsilon * flipped, metrics
# ```
# The margin is computed again because the metrics are detached. Now a large margin costs something, so
# margins stop growing.
# </details>
# <details><summary>Solution 4</summary>
#
# A lower beta is a lower price of straying: the margins are smaller numbers (beta is in them), the loss stays
# nearer to $\ln 2$, and the gap in nats and the KL grow, though less than tenfold: Adam's steps have the same size
# under any beta, and a run of one epoch does not go as far as so low a price allows.
# </details>

# %%
from prefnb import exercises
from prefnb.exercises import told

answer_1 = None  # a number
answer_2 = None  # a number
cdpo = None  # a function


def check_exercises():
    """Hold the answers against the definitions."""
    at_start, pushed = from_tokens(chosen=[[-12.0]], rejected=[[-12.0]]), torch.tensor([-12.0], requires_grad=True)
    one = dpo(from_tokens(chosen=[[-4.0]], rejected=[[-9.0]]), from_tokens(chosen=[[0.0]], rejected=[[0.0]]), beta=0.2)[0].item()
    policy = from_tokens(chosen=[[-12.0]], rejected=[pushed])
    with_kl = lambda weight: dpo_kl_as_printed(policy, at_start, beta=0.1, weight=weight)[0].sum()
    push = lambda weight: torch.autograd.grad(with_kl(weight), pushed, retain_graph=True)[0].abs().item()
    mixed = 0.75 * -logsigmoid(toy["margin"]) - 0.25 * logsigmoid(-toy["margin"])
    as_asked = lambda f: torch.allclose(f(toy_policy, toy_reference, beta=0.1, epsilon=0.25)[0].detach(), mixed)
    print("1:", told(answer_1, lambda loss: abs(float(loss) - one) < 5e-3, "find the margin first"))
    print("2:", told(answer_2, lambda weight: push(float(weight)) < 2.5e-3, "compare the gradients"))
    print("3:", told(cdpo, as_asked, "weigh both readings of the pair"))


check_exercises()

# %%
def my_dpo(policy, reference):
    """One number a pair, from .chosen.sum and .rejected.sum of both."""
    return None  # exercise 5


print("5:", exercises.of_loss(my_dpo, partial(methods.dpo.dpo, beta=exercises.BETA), exercises.DPO))

# %% [markdown]
# <details><summary>Solution 5</summary>
#
# ```python
# def my_dpo(policy, reference):
#     d_chosen = policy.chosen.sum - reference.chosen.sum
#     d_rejected = policy.rejected.sum - reference.rejected.sum
#     return -logsigmoid(0.1 * (d_chosen - d_rejected))
# ```
# </details>

# %%
folder = course.record(p.output_dir or "runs/02_dpo", p,
                       {f"beta {k:g}" if isinstance(k, float) else k: history for k, history in histories.items()},
                       comparison, kl={f"{value:g}": found["k3"] for value, found in kls.items()},
                       held_out_accuracy={f"{value:g}": float(seen[value]["accuracy"].mean()) for value in all_betas},
                       figures={"loss": loss_figure, "rewards": rewards_figure, "book_variants": shift_figure,
                                "book_overdone": overdone_figure})
print(f"Parameters, histories, responses and figures are in {folder}.")

# %% [markdown]
# ## What you have seen
#
# - The loss: Bradley-Terry on implicit rewards $\beta\, d(y)$; the partition function cancels because both
#   responses answer one prompt.
# - At step 0 it is $\ln 2$; its gradient is largest for pairs that the policy has the wrong way round.
# - It sees only the difference, so both log-probs may fall while the margin grows.
# - $\beta$ is the price of straying: higher means closer to the reference, measured by a KL on the policy's own samples.
# - The loss on the training pairs says nothing about when to stop; held-out pairs and a judge do.
# - DPO-Positive pulls the chosen response up; the printed "KL" is none, and pulls up both.
# - Whether it wins is a rate with an interval, and it differs by category.
#
# Previous: [01_sft](01_sft.ipynb). Next: [03_simpo](03_simpo.ipynb), which does without the reference.
#
# ### So, how does a model learn from comparisons alone?

# %%
gap = after["d_chosen"] - after["d_rejected"]
low, high = evaluate.bootstrap_interval(gap.numpy())
learnt = ("the chosen response gained on the rejected one" if low > 0 else "the chosen response lost ground" if high < 0
          else "it cannot be told whether the chosen response gained")
enough = f" By its answers DPO {against_sft(main)} ({comparison.win_rates[main]}, judge: {judge.name})." if judge else ""
widgets.say(f"""**By asking, pair by pair, that the chosen response gain on the rejected one, both measured from the
reference.**
On {len(held_out)} pairs that it has not seen, {learnt} ({evaluate.mean_and_interval(gap)} nats); by itself the chosen one
{evaluate.change(after['d_chosen'])} and the rejected one {evaluate.change(after['d_rejected'])}. The policy now has
{after['accuracy'].mean():.0%} of these pairs the right way round.{enough}
One seed of training: `-p seed 1` is another.""")

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
# # 14 · Eight questions that readers ask, and other courses leave open
#
# Some things about preference optimisation look like bugs until one has seen why they are none. Here are eight of them, each
# with the smallest experiment that answers it. You can read them in any order; words and symbols are in the
# [glossary](glossary.md).
#
# You will see
#
# - why *both* log-probabilities fall under DPO, and who gets what they lose;
# - what repetition looks like after DPO has gone too far;
# - which way $\beta$ works;
# - why a GRPO loss is 0 at the first step, and learns nevertheless;
# - which estimator of the KL to use, and why not to differentiate it;
# - what a sample's length does to its weight;
# - how far two seeds of one method differ;
# - why a small model fills a large GPU.
#
# Nothing has to be run before this notebook. The methods have notebooks of their own: DPO is [02](02_dpo.ipynb), GRPO
# [10](10_grpo.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' model and data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
pairs: int = 128  # preference pairs to train on, 1 or more
epochs: float = 8.0  # passes over the data, 0.001 to 1000
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
beta: float = None  # how strongly the reference holds, 0 to 100; None takes the preset's (pocket 0.1, qwen 0.01)
faster: float = 20.0  # learning rate, in multiples of DPO's own, above 0: this run shall go too far
test_prompts: int = 128  # held-out prompts to answer, 20 to 100000
output_dir: str = "runs/14_questions"  # where the results go: a folder

# %%
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.dpo.Settings, course.Judging, faster=parameters.Number(above=0, high=1000))

# %%
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display

from prefnb import evaluate, plots, widgets
from prefnb.claims.results import Results
from prefnb.logprobs import DatasetLogprobs, from_tokens
from prefnb.methods.dpo import dpo
from prefnb.methods.grpo import group_relative, grpo

plt.style.use("prefnb.book")

# %% [markdown]
# ## 1. Why do both log-probabilities fall, and who gets what they lose?
#
# DPO's loss sees $d(y_w) - d(y_l)$ alone. How the policy makes that difference grow is left to its weights, and weights are
# shared by all responses. Take five responses, each with two features, and a policy whose logits are a start plus features
# times two weights. The chosen and the rejected response are nearly the same text, so they have nearly the same features;
# what tells them apart (the second feature) is also what response C is full of. (This is *likelihood displacement*; Razin
# and others, 2024, study it.)

# %%
features = torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.0, 1.0], [0.0, -0.5], [-1.0, 0.0]])
start = torch.tensor([0.35, 0.35, 0.10, 0.10, 0.10]).log()
weights, paths = torch.zeros(2, requires_grad=True), []
for _ in range(60):
    logp = (start + features @ weights).log_softmax(0)
    paths.append(logp.detach().exp())
    loss, _ = dpo(from_tokens(chosen=logp[None, :1], rejected=logp[None, 1:2]),
                  from_tokens(chosen=start[None, :1], rejected=start[None, 1:2]), beta=0.5)
    weights = (weights - 2.0 * torch.autograd.grad(loss.sum(), weights)[0]).detach().requires_grad_()
paths = torch.stack(paths)
figure, axis = plots.subplots(figsize=(8, 2.6))
for i, (name, shade) in enumerate(zip(("chosen", "rejected", "C", "D", "E"), ("#0072B2", "#D55E00", "#009E73", "#BBBBBB", "#DDDDDD"))):
    axis.plot(paths[:, i], color=shade, label=name)
axis.set(xlabel="step of DPO on one pair", title="probability of each of five responses")
figure.legend(loc="outside right")
display(figure)
widgets.say(f"**The chosen response falls from {paths[0, 0]:.2f} to {paths[-1, 0]:.2f}, the rejected one to {paths[-1, 1]:.2f}, and "
            f"C, of which the pair says nothing, rises from {paths[0, 2]:.2f} to {paths[-1, 2]:.2f}.** The margin grew all the "
            "while. Whoever carries most of what tells the two apart gets what both lose.")

# %% [markdown]
# Now a real policy: DPO on few pairs, several times, with large steps. Its log-probabilities of four kinds of response, on
# held-out prompts: both sides of a pair, SFT's own favourite answer (greedy), and the new policy's own favourite.

# %%
sft, tokenizer = methods.sft.starting_policy(p)
examples = course.pair_examples(p, tokenizer)
far, history = course.fit(sft, examples, partial(dpo, beta=p.beta), p, learning_rate=min(1.0, p.faster * p.learning_rate))
held = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
for name, policy in (("SFT's favourite", sft), ("its own favourite", far)):
    held = held.plus(name, course.greedy_ids(policy, tokenizer, held, p.max_response_tokens))
before, after = (vars(DatasetLogprobs.compute(policy, held).all()) for policy in (sft, far))
moved = {name: (after[name].sum - before[name].sum).numpy() for name in held.names}
widgets.show_table(["response", "change of its log-prob, nats"],
                   *[[name, evaluate.mean_and_interval(values)] for name, values in moved.items()])
up = [name for name, values in moved.items() if evaluate.change(values) == "rose"]
widgets.say(f"**After {len(history.rows)} steps the chosen responses {evaluate.change(moved['chosen'])} and the rejected ones "
            f"{evaluate.change(moved['rejected'])}; what rose: {', '.join(up) or 'none of the four'}.** Probability is never "
            "lost. It went to what the policy now says itself.")

# %% [markdown]
# ## 2. What does repetition look like after DPO?
#
# The same policy, asked: the share of words that stand twice in a row of two with the same neighbour. Below, its worst answer.

# %%
def repeated(text):
    """The share of a text's pairs of neighbouring words that it has said before."""
    words = text.lower().split()
    neighbours = list(zip(words, words[1:]))
    return 1 - len(set(neighbours)) / len(neighbours) if neighbours else 0.0


prompts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in held.prompt_ids]
said = {name: [tokenizer.decode(ids, skip_special_tokens=True) for ids in held.responses[key]]
        for name, key in (("SFT", "SFT's favourite"), ("DPO, too far", "its own favourite"))}
shares = {name: np.array([repeated(text) for text in texts]) for name, texts in said.items()}
worst = int((shares["DPO, too far"] - shares["SFT"]).argmax())
widgets.show_table(["policy", "repeated", "its greedy answer to prompt " + str(worst)],
                   *[[name, evaluate.mean_and_interval(shares[name]), widgets.escaped(texts[worst])] for name, texts in said.items()])
more = shares["DPO, too far"] - shares["SFT"]
widgets.say(f"**Repetition {evaluate.change(more)}: {evaluate.mean_and_interval(more)}.** The loss cannot see it: "
            f"it ended at {history.last('loss'):.3f}, far below ln 2. Reading answers can.")

# %% [markdown]
# ## 3. Which way does beta work?
#
# Some texts call a large $\beta$ "more aggressive". It is the other way round. $\beta$ is the price of leaving the reference, and
# the best policy at that price is known: $\pi^* \propto \pi_\text{ref}\, e^{r/\beta}$. Five answers, with rewards 0 to 4:

# %%
reference, rewards = torch.tensor([0.30, 0.30, 0.20, 0.15, 0.05]), torch.arange(5.0)
best = {value: (reference.log() + rewards / value).softmax(0) for value in (0.5, 2.0, 10.0)}
kls = {value: float((policy * (policy / reference).log()).sum()) for value, policy in best.items()}
figure, axes = plots.subplots(1, 4, figsize=(8, 2.2), sharey=True)
for axis, (title, policy, shade) in zip(axes, [("reference", reference, "#888888")] + [
        (f"beta {value:g}: KL {kls[value]:.2f}", policy, "#009E73") for value, policy in best.items()]):
    axis.bar(range(5), policy, color=shade)
    axis.set(title=title, xlabel="reward of the answer")
display(figure)
widgets.say(f"**From beta 0.5 to 10 the KL falls from {kls[0.5]:.2f} to {kls[10.0]:.2f} nats: a higher beta keeps the policy closer "
            "to the reference.**")

# %% [markdown]
# ## 4. Why is a GRPO loss 0 at the first step, and learns nevertheless?
#
# A group's advantages add up to 0, and at the first step every ratio is 1, so the loss is a mean of numbers that add up to 0.
# A loss is not a score, though. What moves the weights is its *slope*. Here is the loss of one group of four answers,
# recomputed on the same four after a step of every size along its gradient.

# %%
logits = torch.tensor([1.0, 0.5, 0.0, -0.5, -1.0], requires_grad=True)
answers = torch.tensor([0, 1, 2, 4])
advantage = group_relative(torch.tensor([[1.0, 2.0, 3.0, 6.0]])).flatten()
old = logits.detach().log_softmax(0)[answers][:, None]


def group_loss(at):
    """GRPO's loss of the four answers, without a clip, under the policy with these logits."""
    return grpo(from_tokens(sample=at.log_softmax(0)[answers][:, None]), advantage=advantage, old=old, clip=0.99)[0].mean()


at_start = group_loss(logits)
slope, = torch.autograd.grad(at_start, logits)
sizes = torch.linspace(-1, 1, 81)
along = [float(group_loss(logits.detach() - size * slope)) for size in sizes]
figure, axis = plots.subplots(figsize=(8, 2.4))
axis.plot(sizes, along, color="#56B4E9")
axis.plot(0, float(at_start.detach()), "o", color="black", label="the first step")
axis.set(xlabel="size of the step against the gradient", ylabel="loss")
axis.legend()
display(figure)
widgets.say(f"**The loss is {abs(float(at_start.detach())):.4f} and its gradient has norm {slope.norm():.2f}.** A step lowers it below 0, and the next "
            "batch of samples begins at 0 again. So watch the reward; the loss has nothing to tell.")

# %% [markdown]
# ## 5. Which estimator of the KL, and may one differentiate it?
#
# For a token $y$ drawn from the policy let $r = \pi_\text{ref}(y)/\pi_\theta(y)$. Three estimators are in use: $k_1 = -\log r$,
# $k_2 = \tfrac12 (\log r)^2$ and $k_3 = r - 1 - \log r$. On a vocabulary of four tokens everything can be computed exactly:
# first their means and how much one draw of each varies, then the mean *gradient* that one gets by differentiating them.

# %%
tokens = torch.tensor([1.2, 0.6, 0.0, -1.0], requires_grad=True)
near = torch.tensor([0.25, 0.35, 0.25, 0.15])
ratio = lambda: near / tokens.softmax(0)
kinds = {"k1": lambda r: -r.log(), "k2": lambda r: r.log() ** 2 / 2, "k3": lambda r: r - 1 - r.log()}
policy = tokens.softmax(0).detach()
exact = (tokens.softmax(0) * -ratio().log()).sum()
rows, slopes = [], {"KL(policy || ref), exact": torch.autograd.grad(exact, tokens)[0]}
for name, kind in kinds.items():
    values = kind(ratio().detach())
    mean = (policy * values).sum()
    rows.append([name, f"{mean:.4f}", f"{(policy * (values - mean) ** 2).sum().sqrt():.3f}"])
    slopes[f"{name}, differentiated"] = torch.autograd.grad((policy * kind(ratio())).sum(), tokens)[0]
slopes["KL(ref || policy), exact"] = torch.autograd.grad((near * (near / tokens.softmax(0)).log()).sum(), tokens)[0]
widgets.show_table(["estimator", f"mean (the KL is {exact:.4f})", "standard deviation of one draw"], *rows)

# %%
figure, axis = plots.subplots(figsize=(8, 2.8))
for shift, (name, slope) in enumerate(slopes.items()):
    axis.bar(np.arange(4) + 0.16 * (shift - 2), slope, 0.15, label=name)
axis.axhline(0, color="#333333", linewidth=0.8)
axis.set_xticks(range(4), [f"token {i}" for i in range(4)])
axis.set(ylabel="mean gradient of its logit")
figure.legend(loc="outside upper left", ncols=3)
display(figure)
off = {name: float((slope - slopes["KL(policy || ref), exact"]).norm()) for name, slope in slopes.items()}
widgets.say(f"**As a number k3 is best: its mean is right, and one draw varies less than k1's. As a loss it is another one: its mean "
            f"gradient is that of KL(ref || policy)** (they differ by "
            f"{float((slopes['k3, differentiated'] - slopes['KL(ref || policy), exact']).norm()):.0e}), and is {off['k3, differentiated']:.3f} "
            f"from the KL's own. k1 differentiated is {float(slopes['k1, differentiated'].norm()):.0e}: nothing at all. k2's is right, to "
            f"{off['k2, differentiated']:.0e}. This course takes its number from k3 and its gradient from the score function.")

# %% [markdown]
# ## 6. What does a sample's length do to its weight?
#
# Two answers, one of 5 tokens and one of 50, equally good. What does the loss give a *token* of each? Divided by its own
# length (`sequence`), by the tokens of the batch (`token`), or by a constant:

# %%
lengths = torch.tensor([5.0, 50.0])
pushes = {"sequence": 1 / lengths / 2, "token": torch.ones(2) / lengths.sum(), "constant": torch.ones(2) / 50 / 2}
figure, axes = plots.subplots(1, 3, figsize=(8, 2.2), sharey=True)
for axis, (name, push) in zip(axes, pushes.items()):
    axis.bar(["5 tokens", "50 tokens"], push, color=["#56B4E9", "#0072B2"])
    axis.set(title=name)
axes[0].set_ylabel("push on one token")
display(figure)
widgets.say(f"**By sequence a token of the short answer is pushed {pushes['sequence'][0] / pushes['sequence'][1]:.0f} times as hard as one of "
            "the long.** Good answers get shorter, and bad ones, whose tokens are hardly pushed down if there are many, longer. "
            "By token or by a constant all tokens count alike.")

# %% [markdown]
# ## 7. How far do two seeds of one method differ?
#
# The long runs (`make claims`; the one thing here that this run does not compute) train every method with several seeds.
# A dot is one seed's win rate over its own SFT policy, with the interval over prompts that one who has only that seed would give.

# %%
runs = Results()
shown = [arm for arm in ("dpo", "simpo", "contrastive", "rs_dpo_10", "kto", "rloo", "grpo") if arm in runs]
figure, axis = plots.subplots(figsize=(8, 0.4 * len(shown) + 1))
for place, arm in enumerate(shown):
    for shift, won in zip(np.linspace(0.25, -0.25, len(runs.seeds(arm, "sft"))), runs.outcomes(arm)):
        axis.plot(evaluate.bootstrap_interval(won), [place + shift] * 2, color="#BBBBBB")
        axis.plot(won.mean(), place + shift, "o", color=plots.METHODS.get(arm.removesuffix("_10"), "#333333"))
axis.set_yticks(range(len(shown)), shown)
axis.set(xlabel="win rate over SFT, one seed a dot")
spread = {arm: float(np.ptp(runs.outcomes(arm).mean(1))) for arm in shown if len(runs.seeds(arm)) > 1}
if spread:
    display(figure)
    widest = max(spread, key=spread.get)
    widgets.say(f"**Seeds of one method lie up to {spread[widest]:.3f} apart ({widest}).** A lead smaller than that, seen with one seed each, "
                "is no lead.")
else:
    print("There are no long runs with several seeds yet: `make claims` makes them.")

# %% [markdown]
# ## 8. Why does a small model fill a large GPU?
#
# Qwen2.5-0.5B has 0.49 billion weights, one gigabyte in half precision. Yet a batch of 16 pairs of 512 tokens fills a large
# card: for every token the output head makes one *logit* for each of 151,936 words, and the log-softmax keeps them for its
# gradient, in float32.

# %%
words, weights_of, tokens_of = 151_936, 494e6, 16 * 2 * 512
sizes = {"weights (bfloat16)": 2 * weights_of, "gradients": 2 * weights_of, "Adam's two moments (float32)": 8 * weights_of,
         "logits (float32)": 4 * words * tokens_of, "their log-softmax": 4 * words * tokens_of,
         "logits, a chunk of 220 positions at a time": 4 * words * 220}
figure, axis = plots.subplots(figsize=(8, 2.4))
axis.barh(list(sizes)[::-1], [size / 1e9 for size in sizes.values()][::-1], color="#56B4E9")
axis.set(xlabel="gigabytes")
axis.grid(visible=False, axis="y")
display(figure)
times = sizes["logits (float32)"] / sizes["weights (bfloat16)"]
widgets.say(f"**The logits of one batch take {sizes['logits (float32)'] / 1e9:.1f} GB, {times:.0f} times the weights.** Only response tokens need "
            "them, and of each only one log-probability: this course computes them a chunk of positions at a time, throws them "
            "away, and computes them again for the gradient.")

# %% [markdown]
# ## What you have seen
#
# - Both sides of a pair may fall, because weights are shared; what they lose goes to what the policy says itself.
# - A loss far below ln 2 and answers that repeat themselves go together well.
# - $\beta$ is a price: higher is closer.
# - GRPO's loss is 0 by construction; its slope is not.
# - k3 for the number, the score function for the gradient.
# - Divide by the sample's length, and short good answers win.
# - One seed is one policy.
# - The head's logits are the memory; everything else is small.
#
# Previous: [13_relatives](13_relatives.ipynb). All methods side by side: [11_leaderboard](11_leaderboard.ipynb).

# %%
folder = Path(p.output_dir)
folder.mkdir(parents=True, exist_ok=True)
history.save(folder / "history.json")
print(f"The history of the run that went too far is in {folder}.")

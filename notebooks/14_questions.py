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

p = parameters.check(globals(), methods.dpo.Settings, course.Judging,
                     faster=parameters.Number(above=0, high=1000))

# %%
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display

from prefnb import evaluate, plots, widgets
from prefnb.claims.results import Results
from prefnb.lessons import questions as lesson
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
features = torch.tensor([[1, 0.1], [1, -0.1], [0, 1], [0, -0.5], [-1, 0]])
start = torch.tensor([0.35, 0.35, 0.10, 0.10, 0.10]).log()
weights, paths = torch.zeros(2, requires_grad=True), []
for _ in range(60):
    logp = (start + features @ weights).log_softmax(0)
    paths.append(logp.detach().exp())
    loss, _ = dpo(from_tokens(chosen=logp[None, :1], rejected=logp[None, 1:2]),
                  from_tokens(chosen=start[None, :1], rejected=start[None, 1:2]), beta=0.5)
    slope, = torch.autograd.grad(loss.sum(), weights)
    weights = (weights - 2.0 * slope).detach().requires_grad_()
paths = torch.stack(paths)
display(lesson.plot_shares(paths, ["chosen", "rejected", "C", "D", "E"]))
widgets.say(lesson.of_shares(paths))

# %% [markdown]
# Now a real policy: DPO on few pairs, several times, with large steps. Its log-probabilities of four kinds of response, on
# held-out prompts: both sides of a pair, SFT's own favourite answer (greedy), and the new policy's own favourite.

# %%
sft, tokenizer = methods.sft.starting_policy(p)
examples = course.pair_examples(p, tokenizer)
too_fast = min(1.0, p.faster * p.learning_rate)
far, history = course.fit(sft, examples, partial(dpo, beta=p.beta), p, learning_rate=too_fast)
held = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
for name, policy in (("SFT's favourite", sft), ("its own favourite", far)):
    held = held.plus(name, course.greedy_ids(policy, tokenizer, held, p.max_response_tokens))
before, after = (vars(DatasetLogprobs.compute(policy, held).all()) for policy in (sft, far))
moved = {name: (after[name].sum - before[name].sum).numpy() for name in held.names}
widgets.show_table(["response", "change of its log-prob, nats"],
                   *[[name, evaluate.mean_and_interval(values)] for name, values in moved.items()])
widgets.say(lesson.of_falling(moved, len(history.rows)))

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


said = {name: [tokenizer.decode(ids, skip_special_tokens=True) for ids in held.responses[key]]
        for name, key in (("SFT", "SFT's favourite"), ("DPO, too far", "its own favourite"))}
shares = {name: np.array([repeated(text) for text in texts]) for name, texts in said.items()}
more = shares["DPO, too far"] - shares["SFT"]
worst = int(more.argmax())
widgets.show_table(["policy", "repeated", f"its greedy answer to prompt {worst}"],
                   *[[name, evaluate.mean_and_interval(shares[name]), widgets.escaped(texts[worst])]
                     for name, texts in said.items()])
widgets.say(f"**Repetition {evaluate.change(more)}: {evaluate.mean_and_interval(more)}.** "
            f"The loss cannot see it: it ended at {history.last('loss'):.3f}, far below ln 2.")

# %% [markdown]
# ## 3. Which way does beta work?
#
# Some texts call a large $\beta$ "more aggressive". It is the other way round. $\beta$ is the price of leaving the reference, and
# the best policy at that price is known: $\pi^* \propto \pi_\text{ref}\, e^{r/\beta}$. Five answers, with rewards 0 to 4:

# %%
reference = torch.tensor([0.30, 0.30, 0.20, 0.15, 0.05])
rewards = torch.arange(5.0)
best = {value: (reference.log() + rewards / value).softmax(0) for value in (0.5, 2.0, 10.0)}
kls = {value: float((policy * (policy / reference).log()).sum()) for value, policy in best.items()}
display(lesson.plot_policies(reference, best, kls))
widgets.say(f"**From beta 0.5 to 10 the KL falls from {kls[0.5]:.2f} to {kls[10.0]:.2f} nats: "
            "a higher beta keeps the policy closer to the reference.**")

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
    now = from_tokens(sample=at.log_softmax(0)[answers][:, None])
    return grpo(now, advantage=advantage, old=old, clip=0.99)[0].mean()


at_start = group_loss(logits)
slope, = torch.autograd.grad(at_start, logits)
at_start, sizes = float(at_start.detach()), torch.linspace(-1, 1, 81)
along = [float(group_loss(logits.detach() - size * slope)) for size in sizes]
display(lesson.plot_along(sizes, along, at_start))
widgets.say(f"**The loss is {abs(at_start):.4f} and its gradient has norm {slope.norm():.2f}.** A "
            "step lowers it below 0, and the next batch begins at 0 again. So watch the reward.")

# %% [markdown]
# ## 5. Which estimator of the KL, and may one differentiate it?
#
# For a token $y$ drawn from the policy let $r = \pi_\text{ref}(y)/\pi_\theta(y)$. Three estimators are in use: $k_1 = -\log r$,
# $k_2 = \tfrac12 (\log r)^2$ and $k_3 = r - 1 - \log r$. On a vocabulary of four tokens everything can be computed exactly:
# first their means and how much one draw of each varies, then the mean *gradient* that one gets by differentiating them.

# %%
tokens = torch.tensor([1.2, 0.6, 0.0, -1.0], requires_grad=True)
near = torch.tensor([0.25, 0.35, 0.25, 0.15])
policy = tokens.softmax(0).detach()
estimators = {"k1": lambda r: -r.log(), "k2": lambda r: r.log() ** 2 / 2,
              "k3": lambda r: r - 1 - r.log()}
exact = (policy * (policy / near).log()).sum()
rows = []
for name, estimator in estimators.items():
    values = estimator(near / policy)
    mean = (policy * values).sum()
    rows.append([name, f"{mean:.4f}", f"{(policy * (values - mean) ** 2).sum().sqrt():.3f}"])
widgets.show_table(["estimator", f"mean (the KL is {exact:.4f})", "deviation of one draw"], *rows)

# %%
slope_of = lambda value: torch.autograd.grad(value, tokens)[0]
now = lambda: tokens.softmax(0)
slopes = {"KL(policy || ref), exact": slope_of((now() * (now() / near).log()).sum())}
for name, estimator in estimators.items():
    slopes[f"{name}, differentiated"] = slope_of((policy * estimator(near / now())).sum())
slopes["KL(ref || policy), exact"] = slope_of((near * (near / now()).log()).sum())
display(lesson.plot_slopes(slopes))
widgets.say(lesson.of_slopes(slopes))

# %% [markdown]
# ## 6. What does a sample's length do to its weight?
#
# Two answers, one of 5 tokens and one of 50, equally good. What does the loss give a *token* of each? Divided by its own
# length (`sequence`), by the tokens of the batch (`token`), or by a constant:

# %%
lengths = torch.tensor([5.0, 50.0])
pushes = {"sequence": 1 / lengths / 2, "token": torch.ones(2) / lengths.sum(),
          "constant": torch.ones(2) / 50 / 2}
display(lesson.plot_pushes(pushes, lengths))
short, long = pushes["sequence"]
widgets.say(f"**By sequence a token of the short answer is pushed {short / long:.0f} times as hard "
            "as one of the long.** Good answers get shorter, and bad ones, whose tokens are hardly "
            "pushed down if there are many, longer. By token or by a constant all count alike.")

# %% [markdown]
# ## 7. How far do two seeds of one method differ?
#
# The long runs (`make claims`; the one thing here that this run does not compute) train every method with several seeds.
# A dot is one seed's win rate over its own SFT policy, with the interval over prompts that one who has only that seed would give.

# %%
runs = Results()
seven = ("dpo", "simpo", "contrastive", "rs_dpo_10", "kto", "rloo", "grpo")
figure, spread = lesson.plot_seeds(runs, [arm for arm in seven if arm in runs])
if spread:
    display(figure)
    widest = max(spread, key=spread.get)
    widgets.say(f"**Seeds of one method lie up to {spread[widest]:.3f} apart ({widest}).** A lead "
                "smaller than that, seen with one seed each, is no lead.")
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
logits, chunk = 4 * words * tokens_of, 220  # bytes; positions that are computed at a time
sizes = {"weights (bfloat16)": 2 * weights_of, "gradients": 2 * weights_of,
         "Adam's two moments (float32)": 8 * weights_of, "logits (float32)": logits,
         "their log-softmax": logits, f"logits, {chunk} positions at a time": 4 * words * chunk}
display(lesson.plot_memory(sizes))
times = logits / (2 * weights_of)
widgets.say(f"**The logits of one batch take {logits / 1e9:.1f} GB, {times:.0f} times the "
            "weights.** Only response tokens need them, and of each only one log-probability: this "
            "course computes them a chunk of positions at a time, throws them away, and computes "
            "them again for the gradient.")

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

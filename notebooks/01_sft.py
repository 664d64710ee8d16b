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
# # 01 · How does a model that only continues text learn to answer?
#
# A base model has read a lot of text and was never taught to answer. *Supervised fine-tuning* (SFT) shows it
# demonstrations, prompts with good answers, and raises the probability of those answers. It is where every other
# method of this course starts.
#
# You will see
#
# - what a base model makes of a question, and the same model after SFT;
# - how long prompts and responses are, and what a cut at a percentile costs;
# - which tokens the loss counts, and why it is averaged over the *tokens* of a whole batch;
# - the loss **and** the win rate while training, and a small subset on which the two can part;
# - that SFT learns the *style* of its demonstrations, flaws included: they become the model's first choice;
# - a length penalty that is printed in a report and cannot work, why, and a form that can.
#
# Three reports are put to the test: Hao's (SFT, §3 and §4.1), Hellman's (the length penalty, §3.2 and §5) and the
# one by Belanger, Dimopoulos and Hagos (SFT, §3.1 and §6).
#
# Nothing is needed before this notebook: no GPU, no account, no download. Previous: [00 · The pocket
# world](00_pocket_world.ipynb). Next: [02 · DPO](02_dpo.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the reports' setting and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the dialogs come from: 'pocket', a local file or a hub name; None takes the preset's
dialogs: int = 1200  # dialogs to train on, 1 or more (the ready-made model saw more)
percentile: float = 95  # prompts and responses are cut at this percentile of their lengths, 50 to 100
min_response_chars: int = 30  # shorter responses are left out, 0 or more characters (Hao's report: 75)
epochs: float = 1  # passes over the data, 0.001 to 1000
batch_size: int = 16  # examples per step, 1 to 4096
accumulation: int = None  # micro-batches that a step is computed in, 1 to 4096; None takes the preset's
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's (pocket 0.002, qwen 0.000001)
schedule: str = None  # how the rate goes on after its warm-up: 'linear', 'cosine', 'exponential' or 'constant'; None takes the preset's
small_share: float = 0.05  # share of the demonstrations in the small-subset run, above 0, at most 1
small_epochs: float = 20  # passes over that subset, above 0
monitor_prompts: int = 32  # training prompts answered at each check while training, 10 to 10000
patience: int = 3  # checks without a better win rate before early stopping gives up, 1 or more
length_factor: float = 0.01  # lambda of the length penalty, 0 to 1000 (Hellman's report: 0.001, for longer responses)
length_every: int = 3  # the penalty is applied every so many steps, 1 or more
length_steps: int = 60  # steps of each of the two runs that compare the length penalty, 1 or more
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
output_dir: str = None  # where the results go: a folder

# %%
import matplotlib.pyplot as plt
import torch

from prefnb import course, data, evaluate, methods, models, parameters, plots, widgets
from prefnb.lessons import sft as lesson, words
from prefnb.sampling import sample

p = parameters.check(globals(), methods.sft.Settings, course.Judging,
                     percentile=parameters.Number(50, 100),
                     small_share=parameters.Number(above=0, high=1),
                     small_epochs=parameters.Number(above=0, high=1000),
                     monitor_prompts=parameters.Whole(10, 10_000),
                     patience=parameters.Whole(1, 1000), length_factor=parameters.Number(0, 1000),
                     length_every=parameters.Whole(1, 10_000),
                     length_steps=parameters.Whole(1, 100_000))
plt.style.use("prefnb.book")

# %% [markdown]
# ## A base model continues; it does not answer
#
# Three prompts in the chat format, what the base model writes after each, and one good answer beside it. Read the
# left column as replies.

# %%
from IPython.display import display
from prefnb.judges import score_samples

base, tokenizer = models.load_model(p.model), models.load_tokenizer(p.model)
judge = methods.reward_model.judge_of(p)  # None where nobody can judge
judged, gold = judge is not None, data.Source(p.dataset).judge  # None where no program can tell
tests = data.Source(p.dataset).prompts("test", limit=p.test_prompts, seed=p.seed)
prompts = list(tests["prompt"])
asked = dict(draws=p.draws, max_new_tokens=p.max_response_tokens)
base_answers = course.answers_of(base, tokenizer, prompts, temperature=0.7, **asked)
base_scores = score_samples(judge, prompts, base_answers) if judged else None
columns = {"base": base_answers}
if "reference" in tests.column_names:
    columns["one good answer"] = list(tests["reference"])
widgets.show_responses(prompts, columns, {"base": base_scores} if judged else None)
widgets.say(lesson.base_in_words(base_answers, base_scores))

# %% [markdown]
# ## The demonstrations
#
# What a model learns from here are prompts with good answers. Three things are done to them before.
#
# - Some dialogs go on for several exchanges. We keep the **first** one only, as Hao's report does (§4.1.1): later questions
#   lean on what was said before, while our models are tested on single questions.
# - Very short demonstrations teach a model to stop early, so they are left out; Hao's report draws the line at 75 characters.
# - A long tail makes training slow: a batch is as wide as its longest row. So one looks at percentiles, chooses one,
#   and cuts there. A response that is cut loses its closing `<|im_end|>`, so the model never learns to stop after it;
#   a prompt that is cut would be another question, so we leave such rows out. Hao's report calls the 95th percentile
#   the best balance. (Its text gives 420 as a second cut of the *prompts*; its Table 1 shows that the responses are
#   meant.)

# %%
from functools import partial
from prefnb.batches import Batches, tokenize

rows = data.Source(p.dataset).dialogs("train", limit=p.dialogs, seed=p.seed)
if gold:
    lesson.show_exchanges()
shortest, characters = p.min_response_chars, [len(text) for text in rows["response"]]
rows = rows.filter(lambda row: len(row["response"]) >= shortest)
uncut = tokenize(rows, tokenizer, ("response",), max_prompt_tokens=10**6, max_response_tokens=10**6)
lengths = lesson.lengths_of(uncut)
cut = lesson.cuts(lengths, p)
to_tokens = partial(tokenize, tokenizer=tokenizer, names=("response",),
                    max_prompt_tokens=cut["prompt"], max_response_tokens=cut["response"])
examples = to_tokens(rows)
lesson.show_lengths(lengths, cut, examples, characters, shortest)

# %% [markdown]
# ## The loss
#
# Write $x$ for the prompt, $y$ for the response and $y_t$ for its $t$-th token. The model $\pi$ gives each next
# token a probability, and
#
# $$S(y) = \sum_t \log \pi(y_t \mid x, y_{<t})$$
#
# is the [log-probability](glossary.md) of the whole response, in nats. The SFT loss is $-S(y)$: it is small when the model
# finds the demonstration likely. The sum runs over response tokens only, in green below. The prompt is there to be read, not to
# be learnt, and the closing `<|im_end|>` is inside the loss: a model that is never taught to stop never stops.
#
# The function `sft` is all of it, and it is what the training below uses: change it and run on. `policy.response` holds the
# token log-probabilities of a batch of responses; `.sum` is $S(y)$ for each of them. SFT has no
# [reference](glossary.md) model.
#
# **By hand.** Take two responses. The first has two tokens with log-probabilities $-1$ and $-2$, the second one token
# with $-0.5$. The losses are $3$ and $0.5$. Over all three tokens the mean is $3.5/3$; the mean of the two
# responses' own means is $(1.5 + 0.5)/2$, in which the lonely token weighs twice as much as each of the others. Training
# takes the first: the mean over the *tokens* of a whole batch.

# %%
from prefnb.logprobs import DatasetLogprobs, Scorer, from_tokens

one = examples.batch([0])
widgets.show_tokens([tokenizer.decode([token]) for token in one.input_ids[0]], one.response_mask[0])
inside = int(one.response_mask.sum())
widgets.say(f"**Of {one.input_ids.shape[1]} tokens {inside} are inside the loss, the last too.**")


def sft(policy, reference=None):
    """-S(response) in nats, one number per example."""
    logp = policy.response.sum
    return -logp, {"logp": logp.detach(), "length": policy.response.length}


loss, metrics = sft(from_tokens(response=[[-1.0, -2.0], [-0.5]]))
over_tokens, own = loss.sum() / metrics["length"].sum(), (loss / metrics["length"]).mean()
widgets.say(f"**Over all tokens the mean is {over_tokens:.4f}, of their own means {own:.4f}.**")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### The same loss elsewhere, in micro-batches, and how fast to descend it
#
# Inside, the loss is held against PyTorch's `cross_entropy`, a batch is cut into pieces in a right and a wrong way, and four
# schedules of the learning rate are drawn; what comes out is that the loss is the usual one, and what each choice costs.

# %% [markdown]
# Other code sets the label of every prompt token to -100 and calls `cross_entropy` (Hellman's report, eq. 1). That
# is the same number:

# %%
labels = one.input_ids.masked_fill(~one.response_mask, -100)
with torch.no_grad():
    logits = base(input_ids=one.input_ids).logits
    theirs = torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100)
    ours, metrics = sft(Scorer(base)(one))
ours = (ours / metrics["length"]).item()
apart = abs(theirs.item() - ours)
widgets.say(f"**`cross_entropy` with labels of -100 gives {theirs:.5f} nats per token, our loss "
            f"over its {metrics['length'].item():.0f} tokens {ours:.5f}: they are "
            f"{'the same' if apart < 1e-4 else 'not the same'}.**")

# %% [markdown]
# The mean over tokens matters as soon as a batch is cut into *micro-batches* to save memory (*gradient accumulation*). Each of
# them must be divided by the tokens of the **whole** batch; dividing each by its own and averaging gives short ones too
# much weight, and then the gradient depends on how the batch was cut. Eight examples, once as one micro-batch of
# eight and once as eight of one:

# %%
def gradient(micro_batches, each_its_own=False):
    """The gradient of the SFT loss over the micro-batches of one batch, as one long vector."""
    copy = models.copy_model(base)
    total = sum(int(part.response_mask.sum()) for part in micro_batches)
    for part in micro_batches:
        tokens = len(micro_batches) * int(part.response_mask.sum()) if each_its_own else total
        (sft(Scorer(copy)(part))[0].sum() / tokens).backward()
    return torch.cat([weight.grad.flatten() for weight in copy.parameters()])


# %%
eight = range(min(8, len(examples)))
together, apart = [examples.batch(eight)], [examples.batch([i]) for i in eight]
right = gradient(together)
ways = {"1x8, tokens of the whole batch": right, "8x1, tokens of the whole batch": gradient(apart),
        "8x1, each micro-batch's own": gradient(apart, each_its_own=True)}
off = {name: float((found - right).norm() / right.norm()) for name, found in ways.items()}
widgets.show_table(["micro-batches, divided by", "norm of the gradient", "differs from 1x8 by"], *[
    [name, f"{ways[name].norm():.4f}", f"{share:.1e} of it"] for name, share in off.items()])
_, by_whole, by_own = off.values()
widgets.say(f"**Cut into single examples, the gradient changes by {by_whole:.0e} of its norm if "
            "each is divided by the tokens of the whole batch, "
            f"and by {by_own:.0%} if each is divided by its own.**")

# %% [markdown]
# The learning rate climbs over the first tenth of the steps, so that the optimiser has seen some gradients before
# it takes large steps, then decays: linearly (Hellman), along a cosine (Hao) or exponentially (Belanger and
# others). They differ in how much of the run is spent at a high rate.

# %%
display(lesson.schedules_figure(p.schedule))
high = [f"{name} {lesson.at_high_rate(name):.0%}"
        for name in sorted(lesson.SCHEDULES, key=lesson.at_high_rate)]
widgets.say(f"**Share of the steps above half of the peak rate: {words.listed(high)}.**")

# %% [markdown]
# ## Training, with an eye on the answers
#
# The loss says how likely the demonstrations have become. It does not say whether the model's *own* answers are any
# good. So at each check we also let it answer a few prompts that it is not trained on, and count how often the judge
# prefers its answer to an opponent's: the [**win rate**](glossary.md), with a tie as half a win. These prompts come from the
# training data too, from its other rows: test prompts are for the end, or we would choose by what we test on.
#
# What trains here before your eyes sees a part, `dialogs` demonstrations: call it "SFT in view". The model that all other
# notebooks start from has seen more of them, is made in the same way, and comes ready-made; we meet it below. An edit of
# `sft` above changes every run in this notebook but not that one.

# %%
held_out = to_tokens(data.Source(p.dataset).dialogs("test", limit=64, seed=p.seed), quiet=True)
watched = lesson.watched_prompts(p, rows, judged)


def watch(policy):
    """The judge's scores of one answer at temperature 0.7 to each watched prompt."""
    drawn = sample(policy, tokenizer, watched, max_new_tokens=p.max_response_tokens, seed=p.seed)
    return judge(watched, [one.text for one in drawn])


def monitor(opponents, policy):
    """The loss on held-out demonstrations, and the win rate over each opponent."""
    response = DatasetLogprobs.compute(policy, held_out).all().response
    seen = {"heldout_loss": float(-response.sum.sum() / response.length.sum())}
    if judged:
        scores = watch(policy)
        won = lambda theirs: evaluate.win_rate(scores, theirs, tie=judge.tie).rate
        seen |= {f"win_rate_{name}": won(theirs) for name, theirs in opponents.items()}
    return seen | {"heldout_logp": -seen["heldout_loss"]}


# %%
from prefnb.training import train

base_watched = watch(base) if judged else None
policy = models.copy_model(base)
batches = Batches(examples, p.batch_size, accumulation=p.accumulation, seed=p.seed)
steps = max(1, round(p.epochs * len(batches)))
history = train(policy, batches, sft, average="token", epochs=p.epochs,
                learning_rate=p.learning_rate, schedule=p.schedule,
                monitor=partial(monitor, {"base": base_watched}), monitor_every=-(-steps // 4),
                live=plots.LiveFigure(lesson.plot_run))
widgets.say(lesson.training_in_words(history, steps, judge, p.epochs))

# %% [markdown]
# ## What SFT learns: the style as well
#
# Here is the ready-made model beside the base: the same method, with all the demonstrations. Test prompts again, which
# nothing so far has seen.
#
# SFT raises the probability of *everything* in its demonstrations, and these
# have a **house style**: most of those of each kind of request come from one source with fixed habits, such as closing
# lines, a claim of certainty, a last point that is never made ([notebook 00](00_pocket_world.ipynb) introduces the houses).
# So below the answers there is the share with each flaw that the [gold judge](glossary.md) can find: of held-out
# demonstrations, of the base, and of the SFT model, once at temperature 0.7 and once greedily, which is the answer that it
# thinks likeliest.

# %%
ready = p.model == methods.sft.Settings.of(p.preset)["model"]
made = methods.sft.recipe(preset=p.preset, seed=p.seed).model if ready else policy
sft_answers, first_choice = (course.answers_of(made, tokenizer, prompts, temperature=one, **asked)
                             for one in (0.7, 0))
sft_scores = score_samples(judge, prompts, sft_answers) if judged else None
widgets.show_responses(prompts, {"base": base_answers, "SFT": sft_answers},
                       {"base": base_scores, "SFT": sft_scores} if judged else None)
widgets.say(lesson.right_in_words(base_scores, sft_scores))
style_figure, styles = lesson.show_styles(gold, p, prompts, {
    "base": base_answers, "SFT at 0.7": sft_answers, "SFT, first choice": first_choice})

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Two side questions: a small subset, and a length penalty
#
# Inside, what many passes over few demonstrations do to the answers, and why a printed penalty on length has no gradient;
# three more policies come out, which are compared below.

# %% [markdown]
# ### A small subset: what the loss does not tell
#
# Inside, the base is trained for many passes over a small part of the demonstrations, with checks of its answers and a rule
# for stopping early; what comes out is a policy called "small subset", and whether the loss and the win rate part.

# %% [markdown]
# Hao's report first tried a small subset (5%) of its data and many passes. The losses fell as they should, while
# the answers became worse than the base model's (§4.1.2, figures 1 and 2); from then on it watched the win rate in
# every run. We repeat the experiment. The ready-made SFT model is a second opponent here, as the Instruct model was there.
#
# This run comes ready-made, with what was measured at its checks: nothing is to be seen while it trains that the picture
# does not show. After an edit of `sft`, of `watch` or `monitor`, or of a parameter it is trained anew.

# %%
import inspect

many = max(1, round(p.small_share * len(examples)))
few = to_tokens(rows.select(examples.kept[:many]), quiet=True)
small_steps = max(1, round(p.small_epochs * len(Batches(few, p.batch_size, seed=p.seed))))
every = -(-small_steps // 5)
opponents = {"base": base_watched, "SFT": watch(made)} if judged else {}
# All that the checks depend on, and another judge than the data's own:
decides = [*map(inspect.getsource, (watch, monitor)), models.fingerprint(made, coarse=True),
           watched, held_out.responses, every, p.max_response_tokens, p.dataset]
decides += [p.judge, base_watched.total.tolist()] if judged and p.judge else []
small, small_history = course.fit(
    base, few, sft, p, average="token", epochs=p.small_epochs, schedule="constant", told=decides,
    also=dict(monitor=partial(monitor, opponents), monitor_every=every))
display(lesson.plot_run(small_history))
widgets.say(lesson.small_in_words(small_history, on_pocket=p.model == "pocket")
            + f" (It took {small_steps} steps on {len(few)} demonstrations.)")

# %% [markdown]
# On the left the training loss keeps falling because the few demonstrations are learnt by heart; the held-out loss shows
# what that is worth. On the right is what the answers are worth.
#
# **Early stopping** turns that into a rule: stop when the win rate has not risen for `patience` checks, and go back
# to the best weights. `train(stop_on=..., patience=...)` does it while training. We let the run go on to its last step, to
# see the whole picture; here is the rule on the checks that we have. They use few prompts, and the best of several checks is
# partly luck: what these answers are worth in the end is settled further down, on the test prompts.

# %%
def early_stop(values, patience):
    """(check at which training stops, check whose weights are kept)."""
    best = 0
    for check, value in enumerate(values):
        if value > values[best]:
            best = check
        elif check - best >= patience:
            return check, best
    return len(values) - 1, best


checks, seen = small_history["win_rate_base" if judged else "heldout_logp"]
widgets.say(lesson.early_stop_in_words(checks, seen, *early_stop(seen, p.patience), p.patience))

# %% [markdown]
# ### A length penalty that is printed, and one that works
#
# Inside, a report's penalty on long answers is shown to have no gradient, is given one, and is trained with; what comes out are
# two policies, "SFT, more steps" and "SFT, length penalty", which differ in the penalty alone.

# %% [markdown]
# Models trained by SFT can ramble. Hellman's report adds a penalty on answers that are longer than the
# demonstration (its eq. 3):
#
# $$\lambda \; \mathbb{E}\big[\max(0,\ |\hat y| - |y|)^2\big]$$
#
# Here $\hat y$ is a response sampled from the model, $|\cdot|$ counts tokens and $\lambda$ is `length_factor`. The
# report sets it to 0.001; its responses are several times as long as ours, and the penalty goes with the square, so
# our default is larger. As a loss:

# %%
def length_penalty_printed(policy, reference=None, *, target_length, factor):
    """factor * max(0, |sample| - |y|)^2, one number a sample: Hellman's report, eq. 3."""
    excess = torch.relu(policy.sample.length - target_length)
    cost = factor * excess**2
    return cost, {"penalty": cost, "excess": excess, "sample_length": policy.sample.length}


# %% [markdown]
# Now ask for its gradient. A length is a count. Move the weights a little and the sample that was already drawn has
# as many tokens as before, so there is nothing to differentiate. We sample (a sample that reaches the cut counts
# with that length), add the penalty to the SFT loss, and compare gradients:

# %%
targets = torch.tensor([float(len(ids)) for ids in examples.responses["response"]])
length_runs = dict(every=p.length_every, prompts=2 * p.batch_size, max_new_tokens=cut["response"],
                   seed=p.seed, extras=lambda index: {"target_length": targets[index]})
samples = course.on_policy(tokenizer, examples, None, **length_runs).make_batch(policy, 0)
scorer, wanted = Scorer(policy), samples.extras["target_length"]
printed, _ = length_penalty_printed(scorer(samples), target_length=wanted, factor=p.length_factor)
loss, weights = sft(scorer(examples.batch(range(8))))[0].mean(), list(policy.parameters())
without = torch.autograd.grad(loss, weights, retain_graph=True)
with_it = torch.autograd.grad(loss + printed.mean(), weights)
changed = max((a - b).abs().max().item() for a, b in zip(without, with_it))
widgets.say(f"**The printed penalty, {printed.mean():.3f} on average, changes "
            f"{'some gradients' if changed else 'no gradient'}: the largest change of any entry is "
            f"{changed:g}.**")

# %% [markdown]
# The number in the log changes and not one weight notices. What *does* depend on the weights is how often each
# response is drawn. Write $c(y)$ for the cost of a response:
#
# $$\nabla\, \mathbb{E}[c] = \sum_y c(y)\, \nabla \pi(y) = \sum_y \pi(y)\, c(y)\, \nabla \log \pi(y)
#   = \mathbb{E}\big[c(y)\, \nabla S(y)\big]$$
#
# because $\nabla \pi = \pi\, \nabla \log \pi$. This is the **score-function estimator** (also REINFORCE): sample,
# and push down each response in proportion to its cost. Since $\mathbb{E}[\nabla S(y)] = 0$, a [baseline](glossary.md) may
# be subtracted from the cost: with the mean cost of the *other* samples, what costs more than usual is pushed down and
# what costs less is pushed up. In the last line below the last bracket is 0, and its gradient is that of $S$.

# %%
def length_penalty(policy, reference=None, *, target_length, factor):
    """The same number with the gradient it should have, by the score-function estimator."""
    cost, metrics = length_penalty_printed(policy, target_length=target_length, factor=factor)
    baseline = (cost.sum() - cost) / max(len(cost) - 1, 1)  # the mean of the others
    logp = policy.sample.sum
    return cost + (cost - baseline) * (logp - logp.detach()), metrics


# %% [markdown]
# Four samples by hand, of 12, 18, 20 and 30 tokens, where the demonstrations have 15:

# %%
toy = from_tokens(sample=[[-1.0] * n for n in (12, 18, 20, 30)])
toy.sample.token.requires_grad_()
loss, seen = length_penalty(toy, target_length=torch.full((4,), 15.0), factor=p.length_factor)
push = -torch.autograd.grad(loss.sum(), toy.sample.token)[0][:, 0]
columns = zip(toy.sample.length, seen["excess"], seen["penalty"], push)
widgets.show_table(["sample", "excess", "cost", "push on its log-prob"], *[
    [f"{length:.0f} tokens", f"{excess:.0f}", f"{cost:.3f}", f"{one:+.3f}"]
    for length, excess, cost, one in columns])
up, down = (words.listed([f"{length:.0f}" for length, one in zip(toy.sample.length, push)
                          if (one > 0) == upwards], "no") for upwards in (True, False))
widgets.say(f"**Pushed up: the samples of {up} tokens. Pushed down: those of {down}.** What costs "
            "more than the others do on average becomes rarer.")

# %% [markdown]
# Two copies of the ready-made SFT model go on training for the same steps on the same batches: with no penalty, and with
# the estimated one. They differ in nothing else. (The printed one needs no run: without a gradient it is no penalty.)
#
# Both runs come ready-made, and are trained anew after an edit of `sft`, of `length_penalty` or of a parameter.

# %%
def go_on(penalty):
    """Train a copy of the SFT policy some more, with a penalty or none."""
    settings = dict(average="token", epochs=p.length_steps / len(batches),
                    learning_rate=p.learning_rate / 4)
    if penalty:
        penalised = partial(penalty, factor=p.length_factor)
        term = course.on_policy(tokenizer, examples, penalised, **length_runs)
        told = [penalised, course.on_policy, p.length_every, p.batch_size, cut["response"]]
        settings |= {"also": {"on_policy": term}, "told": told}
    return course.fit(made, examples, sft, p, **settings)


runs = {"no penalty": go_on(None), "length penalty": go_on(length_penalty)}
display(plots.plot_training(runs["length penalty"][1], ["penalty", "sample_length", "loss"]))
_, costs = runs["length penalty"][1]["penalty"]
widgets.say(lesson.penalty_in_words(costs, 2 * p.batch_size, p.length_every))

# %% [markdown]
# ## What it all comes to
#
# The test prompts, which no run and no check has seen. Every [policy](glossary.md) answers each of them `draws` times; the judge
# compares every answer with every one of the base model's to the same prompt.
#
# - "SFT" is the ready-made model, "SFT in view" the one that was trained above.
# - "small subset" is the base after many passes over a few demonstrations.
# - "SFT, more steps" and "SFT, length penalty" are SFT after `length_steps` further steps, without a penalty on answers longer
#   than the demonstration and with one, so that only the penalty tells them apart.

# %%
policies = {"base": base, "SFT": made, "SFT in view": policy,
            "SFT, more steps": runs["no penalty"][0],
            "SFT, length penalty": runs["length penalty"][0], "small subset": small}
comparison = course.compare(policies, tokenizer, p, judge=judge, baseline="base")
win_figure = plots.plot_win_rates(comparison.win_rates, against="base") if judged else None
if judged:
    display(win_figure)
    widgets.say(words.who_wins(comparison.win_rates, other="the base") + f" (Judge: {judge.name}.)")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### What else changed in the answers
#
# Inside are lengths, flaws, likeness to good answers and surprise at held-out demonstrations for every policy, and a look for
# collapse; what comes out is what the length penalty did, and whether that was a good idea.

# %% [markdown]
# Lengths tell whether the penalty did what it says, the win rate whether that was a good idea. A shorter answer is
# only better if what went was not needed.

# %%
measured = lesson.measures(comparison, policies, held_out)
lesson.show_measures(measured)
plain, penalised = "SFT, more steps", "SFT, length penalty"
length_figure = plots.plot_lengths({"demonstrations": lengths["response"], **{
    name: comparison.lengths(name).ravel() for name in (plain, penalised)}})
display(length_figure)
widgets.say(lesson.effect_in_words(comparison, measured, penalised, plain))
collapse = {name: evaluate.collapse_check(comparison.answers[name], comparison.answers["SFT"])
            for name in list(policies)[2:]}
fallen = [name for name, found in collapse.items() if found.collapsed]
widgets.say((f"**Collapsed: {words.listed(fallen)}.**" if fallen else
             "**None of these policies has collapsed.**") + "\n\n"
            + "\n".join(f"- {name}, beside SFT: {found}" for name, found in collapse.items()))

# %% [markdown]
# ## One page of results
#
# The same in every notebook: what training did to the policy (above), and to its answers (below). Grey is the base, green "SFT in
# view"; the band of a curve is the spread of its batches, a line in a heap its mean, an interval one of 95% over prompts.
# Margins and changes of log-prob are those of 128 held-out *preference* pairs, which SFT has never seen: both responses of a
# pair are answers, so both become likelier. The KL is from the base. Then read some answers: a number never replaces reading.

# %%
from prefnb import page

if gold:
    page.show("SFT in view", policy, base, tokenizer, p, history=history,
              comparison=comparison, read=("SFT", "SFT, length penalty", "small subset"))
else:
    widgets.show_answers(comparison, ("SFT", "SFT, length penalty", "small subset"))

# %% [markdown]
# ## The long runs beside this one
#
# A run is one seed. The **long runs** repeat this comparison with several: each seed has an SFT model of its own,
# which goes on for 60 steps with the penalty. They were made once, by `make claims`, and [notebook
# 11](11_leaderboard.ipynb) shows all of them. They are the one thing on this page that was not computed in this run.
# In the pictures the grey band reaches from the lowest seed to the highest.

# %%
from prefnb.claims import beside

label = "SFT, length penalty"
beside.show("sft_length", label, p, history=runs["length penalty"][1], metrics=("loss", "penalty"),
            live=comparison.win_rate(label, "SFT") if judged else None, comparison=comparison)

# %% [markdown]
# ## The reports say, we measured
#
# The claims with their figures, then this run's with a 95% interval over prompts, then the long runs', whose intervals know
# prompts and seeds. The verdict is the long runs' where there are any, and else that of one seed: `-p seed 1` is another.
#
# Where a verdict differs from the report's, three things are different here. What the base can do already decides how much
# SFT has to add: the reports compare with models that had learnt to answer before, ours had not. What the demonstrations
# are like decides what SFT teaches: it copies their style as faithfully as the rest (the flaws of base and SFT, above). And
# a length penalty can only help where length hurts.

# %%
lines = lesson.claims_of(comparison) if judged else []
if judged:
    told = f"{len(comparison.prompts)} prompts, judge: {judge.name}, seed {p.seed}"
    beside.show_verdicts(p, lines, ours=f"this run ({told})")
else:
    print("Without a judge there is no win rate: compare the perplexities above.")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ## Your turn
#
# Write a loss of your own. `policy.response` has `.sum` and `.length`, one number a demonstration, and `.token`, one a token; there
# is no reference. Return a *sum* over tokens, one number a demonstration: the loop divides by the tokens of the batch. Take the
# `#` from the last line: your loss is checked, trained on 256 demonstrations for some seconds, drawn beside SFT, and put into
# a table that survives a restart.

# %%
from prefnb import your_turn

try_it = your_turn.on_demonstrations(p, base, tokenizer, examples, held_out, usual=("SFT", sft),
                                     folder="runs/attempts/01_sft")


def my_loss(policy, reference):
    """Learn most from what is half known already: each token counts by its own probability."""
    token = policy.response.token
    return -(token * token.detach().exp()).sum(1)


# try_it(my_loss, "by probability")

# %% [markdown]
# ## Exercises
#
# Write your answers into the cell below and run it.
#
# 1. Three responses have token log-probabilities `[-1, -1, -1, -1]`, `[-2]` and `[-3]`. Predict, then run: in which
#    average does the long response weigh more, over `"tokens"` or over `"responses"`?
# 2. What is the SFT loss of the three, averaged over tokens? And the mean of the responses' own means?
# 3. Write the loss of a batch, averaged over tokens. `token` has the log-prob of every token, the prompt's too, and 0 at
#    padding; `mask` is True at the response's. The check knows the usual slips and tells you which one it is.
#
# **To try.** Run again with the report's own `length_factor`, and with one ten times ours: `papermill 01_sft.ipynb
# out.ipynb -p length_factor 0.1`. What happens to the length, and what to the win rate?

# %%
from prefnb import checks

answer_1 = None  # "tokens" or "responses"
answer_2 = None  # two numbers, such as (1, 2)


def my_sft(token, mask):
    """One number, from two tensors of shape (batch, time)."""
    return None


checks.sft_01(answer_1, answer_2, my_sft)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = "tokens"
# ```
#
# Over tokens: four of the six terms are its own. Over responses it is one of three.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = (1.5, 2)
# ```
#
# The losses are 4, 2 and 3, over 4 + 1 + 1 = 6 tokens: 9/6 = 1.5. The responses' own means are 1, 2 and 3, whose
# mean is 2: the two single tokens count four times as much each as a token of the long response.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_sft(token, mask):
#     """One number, from two tensors of shape (batch, time)."""
#     return -(token * mask).sum() / mask.sum()
# ```
#
# The mask stands twice: in the sum, and in what it is divided by. With the prompt's tokens unmasked the model would also
# learn to write prompts. Part of every step would go into the wording of questions, which no reader asked for; and after
# its answer a model that ended without `<|im_end|>` could go on with a question of its own.
# </details>
# <details><summary>What comes of the other factors</summary>
#
# The penalty looks at nothing but length. Once it outweighs the SFT term, the shortest responses win, whether they
# answer or not: look for the point where the win rate over the run without penalty falls below one half, and at
# what the policy then writes.
# </details>
#
# ## What you saw
#
# - what a base model makes of a question, and the same model after SFT;
# - how long prompts and responses are, and what a cut at a percentile costs;
# - which tokens the loss counts, and why it is averaged over the *tokens* of a whole batch;
# - the loss **and** the win rate while training, and a small subset on which the two can part;
# - that SFT learns the *style* of its demonstrations, flaws included: they become the model's first choice;
# - a length penalty that is printed in a report and cannot work, why, and a form that can.
#
# Next: [02 · DPO](02_dpo.ipynb), which learns from *comparisons* instead of demonstrations.
#
# ### So, how does a model that only continues text learn to answer?

# %%
widgets.say(lesson.answer_in_words(history, steps, len(examples), comparison))
histories = {"SFT in view": history, "small subset": small_history,
             **{name: run[1] for name, run in runs.items()}}
figures = {"book_small_subset": lesson.plot_run(small_history), "lengths": length_figure,
           "win_rates": win_figure, "styles": style_figure}
claims = [dict(zip(("claim", "paper", "measured", "verdict"), line)) for line in lines]
folder = course.record(p.output_dir or "runs/01_sft", p, histories, comparison, measures=measured,
                       styles=styles, claims=claims,
                       figures={name: figure for name, figure in figures.items() if figure})
print(f"Parameters, histories, responses and figures are in {folder}.")

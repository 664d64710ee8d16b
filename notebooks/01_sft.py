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
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.sft.Settings, course.Judging,
                     percentile=parameters.Number(50, 100),
                     small_share=parameters.Number(above=0, high=1),
                     small_epochs=parameters.Number(above=0, high=1000),
                     monitor_prompts=parameters.Whole(10, 10_000),
                     patience=parameters.Whole(1, 1000), length_factor=parameters.Number(0, 1000),
                     length_every=parameters.Whole(1, 10_000),
                     length_steps=parameters.Whole(1, 100_000))

# %%
import gzip
import inspect
import json
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display

from prefnb import data, evaluate, models, plots, pocket, widgets
from prefnb.batches import Batches, tokenize
from prefnb.judges import score_samples
from prefnb.logprobs import DatasetLogprobs, Scorer, from_tokens
from prefnb.sampling import sample
from prefnb.training import schedule_factor, train

plt.style.use("prefnb.book")

# %% [markdown]
# ## A base model continues; it does not answer
#
# Three prompts in the chat format, what the base model writes after each, and one good answer beside it. Read the
# left column as replies. It is text of the right kind, but no reply.

# %%
base, tokenizer = models.load_model(p.model), models.load_tokenizer(p.model)
judge = methods.reward_model.judge_of(p)  # None where nobody can judge
judged = judge is not None
gold = data.Source(p.dataset).judge  # None where no program knows the right answers
tests = data.Source(p.dataset).prompts("test", limit=p.test_prompts, seed=p.seed)
prompts = list(tests["prompt"])


def answers(policy, temperature=0.7):
    """`draws` answers to each test prompt in a row; one, the model's first choice, at temperature 0."""
    return course.answers_of(policy, tokenizer, prompts, draws=p.draws, temperature=temperature,
                             max_new_tokens=p.max_response_tokens)


base_answers = answers(base)
columns = {"base": base_answers}
if "reference" in tests.column_names:
    columns["one good answer"] = list(tests["reference"])
base_scores = score_samples(judge, prompts, base_answers) if judged else None
widgets.show_responses(prompts, columns, {"base": base_scores} if judged else None)
helpful = {"base": base_scores.parts["helpfulness"].mean()} if judged and "helpfulness" in base_scores.parts else {}
widgets.say(f"**Of the base's answers {1 - evaluate.finished_share(base_answers):.0%} never end"
            + (f", and of what was asked for {helpful['base']:.0%} is right.**" if helpful else ".**"))

# %% [markdown]
# ## The demonstrations
#
# Some dialogs go on for several exchanges. We keep the **first** one only, as Hao's report does (§4.1.1): later
# questions lean on what was said before, while our models are tested on single questions.

# %%
rows = data.Source(p.dataset).dialogs("train", limit=p.dialogs, seed=p.seed)
if gold:
    with gzip.open(pocket.DATA / "sft_train.jsonl.gz", "rt", encoding="utf-8") as file:
        whole = [json.loads(line)["messages"] for line in file]
    exchanges = np.bincount([len(messages) // 2 for messages in whole])
    print("Dialogs in the file, by number of exchanges:", {n: int(count) for n, count in enumerate(exchanges) if count})
    for i, turn in enumerate(next(messages for messages in whole if len(messages) == 4)):
        print(f"{'kept' if i < 2 else 'dropped':8} {turn['role']:10} {turn['content'][:90]}")

# %% [markdown]
# Very short demonstrations teach a model to stop early, so they are left out; Hao's report draws the line at 75
# characters. What a line costs depends on the data:

# %%
characters = np.array([len(text) for text in rows["response"]])
widgets.show_table(["left out below", "demonstrations", "share"],
                   *[[f"{line} characters{' (ours)' if line == p.min_response_chars else ''}", (characters < line).sum(),
                      f"{(characters < line).mean():.1%}"] for line in sorted({20, 75, p.min_response_chars})])
shortest = p.min_response_chars
widgets.say(f"**Our line, {shortest} characters, costs {(characters < shortest).mean():.1%} of the demonstrations; the "
            f"report's 75 would cost {(characters < 75).mean():.1%}.**")
rows = rows.filter(lambda row: len(row["response"]) >= shortest)

# %% [markdown]
# A long tail makes training slow: a batch is as wide as its longest row. So one looks at percentiles, chooses one,
# and cuts there. A response that is cut loses its closing `<|im_end|>`, so the model never learns to stop after it;
# a prompt that is cut would be another question, so we leave such rows out. Hao's report calls the 95th percentile
# the best balance. (Its text gives 420 as a second cut of the *prompts*; its Table 1 shows that the responses are
# meant.)

# %%
uncut = tokenize(rows, tokenizer, ("response",), max_prompt_tokens=10**6, max_response_tokens=10**6)
lengths = {"prompt": [len(ids) for ids in uncut.prompt_ids], "response": [len(ids) for ids in uncut.responses["response"]]}
SMOLTALK = {50: (57, 225), 90: (179, 375), 95: (254, 419), 99: (1339, 576)}  # Hao's report, Table 1
widgets.show_table(
    ["percentile", "prompt, here", "response, here", "prompt, SmolTalk (Hao)", "response, SmolTalk (Hao)"],
    *[[f"{q}th", *(f"{np.percentile(lengths[side], q):.0f}" for side in lengths), *SMOLTALK[q]] for q in SMOLTALK])
widgets.say(f"**Half of our responses are longer than {np.median(lengths['response']):.0f} tokens, half of SmolTalk's "
            f"longer than {SMOLTALK[50][1]}**: a cut belongs to the data at hand, so here it is given as a percentile.")

# %%
cut = {side: int(np.percentile(lengths[side], p.percentile)) for side in lengths}
cut = {"prompt": min(cut["prompt"], p.max_prompt_tokens), "response": min(cut["response"], p.max_response_tokens)}
to_tokens = partial(tokenize, tokenizer=tokenizer, names=("response",), max_prompt_tokens=cut["prompt"],
                    max_response_tokens=cut["response"])
examples = to_tokens(rows)
display(plots.plot_lengths({"response": lengths["response"]}, cut=cut["response"]))
widgets.say(f"**{len(examples)} demonstrations remain, none with more than {cut['prompt']} prompt and "
            f"{cut['response']} response tokens; {np.mean(np.array(lengths['response']) > cut['response']):.1%} of "
            "the responses lose their end.**")

# %% [markdown]
# ## Which tokens does the loss see?
#
# Write $x$ for the prompt, $y$ for the response and $y_t$ for its $t$-th token. The model $\pi$ gives each next
# token a probability, and
#
# $$S(y) = \sum_t \log \pi(y_t \mid x, y_{<t})$$
#
# is the [log-probability](glossary.md) of the whole response, in nats. The SFT loss is $-S(y)$: it is small when the model finds
# the demonstration likely. The sum runs over response tokens only. The prompt is there to be read, not to be
# learnt, and the closing `<|im_end|>` is inside the loss: a model that is never taught to stop never stops.

# %%
one = examples.batch([0])
widgets.show_tokens([tokenizer.decode([token]) for token in one.input_ids[0]], one.response_mask[0])
widgets.say(f"**Of {one.input_ids.shape[1]} tokens {int(one.response_mask.sum())} are inside the loss, the closing "
            "one too.**")


# %% [markdown]
# ## The loss
#
# This is all of it, and it is what the training below uses: change it and run on. `policy.response` holds the token
# log-probabilities of a batch of responses; `.sum` is $S(y)$ for each of them. SFT has no [reference](glossary.md) model.

# %%
def sft(policy, reference=None):
    """-S(response) in nats, one number per example."""
    logp = policy.response.sum
    return -logp, {"logp": logp.detach(), "length": policy.response.length}


# %% [markdown]
# Other code sets the label of every prompt token to -100 and calls `cross_entropy` (Hellman's report, eq. 1). That
# is the same number:

# %%
labels = one.input_ids.masked_fill(~one.response_mask, -100)
with torch.no_grad():
    logits = base(input_ids=one.input_ids).logits
    theirs = torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100)
    ours, metrics = sft(Scorer(base)(one))
print(f"cross_entropy with labels of -100: {theirs:.5f} nats per token")
print(f"our loss over its {metrics['length'].item():.0f} tokens:        {(ours / metrics['length']).item():.5f}")
apart = (theirs - ours / metrics["length"]).abs().item()
widgets.say(f"**They are {'the same' if apart < 1e-4 else 'not the same'}: {apart:.0e} nats apart.**")

# %% [markdown]
# ### Averaged over what?
#
# Take two responses by hand. The first has two tokens with log-probabilities $-1$ and $-2$, the second one token
# with $-0.5$. The losses are $3$ and $0.5$. Over all three tokens the mean is $3.5/3$; the mean of the two
# responses' own means is $(1.5 + 0.5)/2$, in which the lonely token weighs twice as much as each of the others.

# %%
loss, metrics = sft(from_tokens(response=[[-1.0, -2.0], [-0.5]]))
print("losses:", loss.tolist())
print(f"mean over tokens:    {loss.sum() / metrics['length'].sum():.4f}")
print(f"mean of their means: {(loss / metrics['length']).mean():.4f}")

# %% [markdown]
# This matters as soon as a batch is cut into *micro-batches* to save memory (*gradient accumulation*). Each of them
# must be divided by the tokens of the **whole** batch; dividing each by its own and averaging gives short ones too
# much weight, and then the gradient depends on how the batch was cut. Eight examples, once as one micro-batch of
# eight and once as eight of one:

# %%
def gradient(micro_batches, each_its_own=False):
    """The gradient of the SFT loss over the micro-batches of one batch, as one long vector."""
    copy, total = models.copy_model(base), sum(int(part.response_mask.sum()) for part in micro_batches)
    for part in micro_batches:
        tokens = len(micro_batches) * int(part.response_mask.sum()) if each_its_own else total
        (sft(Scorer(copy)(part))[0].sum() / tokens).backward()
    return torch.cat([weight.grad.flatten() for weight in copy.parameters()])


eight = range(min(8, len(examples)))
together, apart = [examples.batch(eight)], [examples.batch([i]) for i in eight]
right = gradient(together)
off = {}
for name, found in (("1x8, tokens of the whole batch", right), ("8x1, tokens of the whole batch", gradient(apart)),
                    ("8x1, each micro-batch's own", gradient(apart, each_its_own=True))):
    off[name] = float((found - right).norm() / right.norm())
    print(f"{name:32} norm {found.norm():8.4f}   differs from 1x8 by {off[name]:.1e} of its norm")
_, by_whole, by_own = off.values()
widgets.say(f"**Cut into single examples, the gradient changes by {by_whole:.0e} of its norm if each is divided by "
            f"the tokens of the whole batch, and by {by_own:.0%} if each is divided by its own.**")

# %% [markdown]
# ### How fast?
#
# The learning rate climbs over the first tenth of the steps, so that the optimiser has seen some gradients before
# it takes large steps, then decays: linearly (Hellman), along a cosine (Hao) or exponentially (Belanger and
# others). They differ in how much of the run is spent at a high rate.

# %%
figure, axis = plots.subplots(figsize=(8, 2.3))
share = np.arange(300) / 300
for name in ("linear", "cosine", "exponential", "constant"):
    axis.plot(share, [schedule_factor(step, 300, name, 0.1) for step in range(300)], label=name,
              linewidth=3 if name == p.schedule else 1.3)
axis.set(xlabel="share of the training done", ylabel="share of the peak rate", title=f"thick: this run's ({p.schedule})")
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
display(figure)
high = {name: np.mean([schedule_factor(step, 300, name, 0.1) > 0.5 for step in range(300)])
        for name in ("exponential", "linear", "cosine", "constant")}
widgets.say("**Share of the steps above half of the peak rate: "
            + ", ".join(f"{name} {steps_above:.0%}" for name, steps_above in high.items()) + ".**")

# %% [markdown]
# ## Training, with an eye on the answers
#
# The loss says how likely the demonstrations have become. It does not say whether the model's *own* answers are any
# good. So at each check we also let it answer a few prompts that it is not trained on, and count how often the judge
# prefers its answer to an opponent's: the [**win rate**](glossary.md), with a tie as half a win. These prompts come from the training
# data too, from its other rows: test prompts are for the end, or we would choose by what we test on.
#
# What trains here before your eyes sees a part, `dialogs` demonstrations: call it "SFT in view". The model that all other
# notebooks start from has seen more of them, is made in the same way, and comes ready-made; we meet it below. An edit of
# `sft` above changes every run in this notebook but not that one.

# %%
held_out = to_tokens(data.Source(p.dataset).dialogs("test", limit=64, seed=p.seed), quiet=True)
learnt_from = {json.dumps(prompt) for prompt in rows["prompt"]}
others = list(data.Source(p.dataset).prompts("train", limit=p.dialogs + p.monitor_prompts, seed=p.seed)["prompt"])
watched = [prompt for prompt in others if json.dumps(prompt) not in learnt_from][:p.monitor_prompts]
if judged and not watched:
    print("There is a demonstration of every prompt for training, so the checks watch prompts that it learns from.")
    watched = others[:p.monitor_prompts]


def watch(policy):
    """The judge's scores of one answer at temperature 0.7 to each watched prompt."""
    drawn = sample(policy, tokenizer, watched, temperature=0.7, max_new_tokens=p.max_response_tokens, seed=p.seed)
    return judge(watched, [one.text for one in drawn])


def monitor(opponents, policy):
    """The loss on held-out demonstrations, and the win rate of the policy's answers over each opponent's."""
    response = DatasetLogprobs.compute(policy, held_out).all().response
    seen = {"heldout_loss": float(-response.sum.sum() / response.length.sum())}
    if judged:
        scores = watch(policy)
        seen |= {f"win_rate_{name}": evaluate.win_rate(scores, theirs, tie=judge.tie).rate for name, theirs in opponents.items()}
    return seen | {"heldout_logp": -seen["heldout_loss"]}


# %%
def plot_run(run):
    """Left: training and held-out loss. Right: what the answers are worth."""
    figure, axes = plots.subplots(1, 2 if judged else 1, figsize=(8, 2.8), squeeze=False)
    (left, *right), (steps, values) = axes[0], run["loss"]
    left.plot(steps, values, color="#0072B2", alpha=0.25, linewidth=0.8)
    left.plot(steps, plots.smooth(values), color="#0072B2", label="training")
    left.plot(*run["heldout_loss"], "o-", color="#D55E00", label="held out")
    left.set(xlabel="step", title="loss (nats per token)")
    for axis in right:
        for name, colour in (("base", "#B0B0B0"), ("SFT", "#009E73")):
            if f"win_rate_{name}" in run.names:
                axis.plot(*run[f"win_rate_{name}"], "o-", color=colour, label=f"against {name}")
        axis.axhline(0.5, color="#888888", linestyle=":", linewidth=1)
        axis.set(xlabel="step", ylim=(-0.02, 1.02), title="win rate of its answers")
    for axis in axes[0]:
        axis.legend()
    return figure


# %%
base_watched = watch(base) if judged else None
policy = models.copy_model(base)
batches = Batches(examples, p.batch_size, accumulation=p.accumulation, seed=p.seed)
steps = max(1, round(p.epochs * len(batches)))
history = train(policy, batches, sft, average="token", epochs=p.epochs, learning_rate=p.learning_rate, schedule=p.schedule,
                monitor=partial(monitor, {"base": base_watched}), monitor_every=-(-steps // 4), live=plots.LiveFigure(plot_run))
print(f"{steps} steps; held-out loss {history.evals[0]['heldout_loss']:.2f} before, {history.evals[-1]['heldout_loss']:.2f} after")

# %%
before, after = history.evals[0], history.evals[-1]
widgets.say(f"**Over {steps} steps the held-out loss went from {before['heldout_loss']:.2f} to {after['heldout_loss']:.2f} "
            "nats a token" + (f", and the win rate against the base (judge: {judge.name}) from "
            f"{before['win_rate_base']:.2f}** (a tie of the base with itself) **to {after['win_rate_base']:.2f}.**"
            if judged else ".**")
            + (" Each demonstration was seen about once, so there is little to memorise." if p.epochs <= 1 else ""))

# %% [markdown]
# ## What SFT learns: the style as well
#
# Here is the ready-made model beside the base: the same method, with all the demonstrations. Test prompts again, which
# nothing so far has seen.

# %%
made = methods.sft.recipe(preset=p.preset, seed=p.seed).model if p.model == methods.sft.Settings.of(p.preset)["model"] else policy
sft_answers, first_choice = answers(made), answers(made, temperature=0)
sft_scores = score_samples(judge, prompts, sft_answers) if judged else None
widgets.show_responses(prompts, {"base": base_answers, "SFT": sft_answers},
                       {"base": base_scores, "SFT": sft_scores} if judged else None)
if helpful:
    helpful["SFT"] = sft_scores.parts["helpfulness"].mean()
    widgets.say(f"**Of what was asked for SFT has {helpful['SFT']:.0%} right, the base {helpful['base']:.0%}.** Now "
                "read *how* it answers.")

# %% [markdown]
# SFT raises the probability of *everything* in its demonstrations, and these
# have a **house style**: most of those of each kind of request come from one source with fixed habits, such as closing
# lines, a claim of certainty, a last point that is never made ([notebook 00](00_pocket_world.ipynb) introduces the houses).
# Below is the share of answers with each flaw that the [gold judge](glossary.md) can find: of held-out demonstrations, of the base, and
# of the SFT model, once at temperature 0.7 and once greedily, which is the answer that it thinks likeliest.

# %%
def flaw_shares(asked, texts):
    """{flaw: share of these answers that show it}; `asked` (n prompts) has each as often as it was answered."""
    each = len(texts) // len(asked)
    return {name: seen.mean() for name, seen in gold.flaws([one for one in asked for _ in range(each)], texts).items()}


style_figure, styles = None, {}
if gold:
    shown = data.Source(p.dataset).dialogs("test", seed=p.seed)
    styles = {"demonstrations": flaw_shares(shown["prompt"], list(shown["response"]))}
    styles |= {name: flaw_shares(prompts, [one.text for one in drawn]) for name, drawn in
               (("base", base_answers), ("SFT at 0.7", sft_answers), ("SFT, first choice", first_choice))}
    style_figure, axis = plots.subplots(figsize=(8, 2.8))
    for i, ((name, shares), colour) in enumerate(zip(styles.items(), ("#0072B2", "#B0B0B0", "#56B4E9", "#555555"))):
        axis.bar(np.arange(len(shares)) + 0.2 * (i - 1.5), list(shares.values()), 0.19, color=colour, label=name)
    axis.set_xticks(range(len(shares)), list(shares))
    axis.set(ylabel="share of answers", ylim=(0, 1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
style_figure

# %%
if gold:
    first, warm = styles["SFT, first choice"], styles["SFT at 0.7"]
    golds = [score_samples(gold, prompts, drawn).total.mean() for drawn in (first_choice, sft_answers)]
    widgets.show_table(["share of answers", *first], *[[name, *(f"{share:.0%}" for share in shares.values())]
                                                       for name, shares in styles.items()])
    more = [name for name in first if first[name] > warm[name]]
    widgets.say((f"**More of the first choices are {', '.join(more)} than of the answers at temperature 0.7.** " if more else "")
                + f"Mean gold score: {golds[0]:.2f} greedy, {golds[1]:.2f} at 0.7. "
                + ("In these flaws the style of the demonstrations is what the model says first. " if more else "")
                + "Demonstrations cannot say which of their habits are bad; comparisons can, and the rest of this "
                "course is about them.")

# %% [markdown]
# ## A small subset: what the loss does not tell
#
# Hao's report first tried a small subset (5%) of its data and many passes. The losses fell as they should, while
# the answers became worse than the base model's (§4.1.2, figures 1 and 2); from then on it watched the win rate in
# every run. We repeat the experiment. The ready-made SFT model is a second opponent here, as the Instruct model was there.
#
# This run comes ready-made, with what was measured at its checks: nothing is to be seen while it trains that the picture
# does not show. After an edit of `sft`, of `watch` or `monitor`, or of a parameter it is trained anew.

# %%
few = to_tokens(rows.select(examples.kept[:max(1, round(p.small_share * len(examples)))]), quiet=True)
small_batches = Batches(few, p.batch_size, seed=p.seed)
best_on = "win_rate_base" if judged else "heldout_logp"
opponents = {"base": base_watched, "SFT": watch(made)} if judged else {}
small_steps = max(1, round(p.small_epochs * len(small_batches)))
every = -(-small_steps // 5)
decides = [*map(inspect.getsource, (watch, monitor)), models.fingerprint(made, coarse=True), watched, held_out.responses,
           every, p.max_response_tokens, p.dataset]  # all that the checks depend on
if judged and p.judge:  # and another judge than the data's own
    decides += [p.judge, base_watched.total.tolist()]
small, small_history = course.fit(
    base, few, sft, p, average="token", epochs=p.small_epochs, schedule="constant", told=decides,
    also=dict(monitor=partial(monitor, opponents), monitor_every=every))
display(plot_run(small_history))


# %% [markdown]
# On the left the training loss keeps falling because the few demonstrations are learnt by heart; the held-out loss shows
# what that is worth. On the right is what the answers are worth.
#
# **Early stopping** turns that into a rule: stop when the win rate has not risen for `patience` checks, and go back
# to the best weights. `train(stop_on=..., patience=...)` does it while training. We let the run go on to its last step, to
# see the whole picture; here is the rule on the checks that we have.

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


checks, seen = small_history[best_on]
stop, keep = early_stop(seen, p.patience)
widgets.say(f"**Early stopping with patience {p.patience} would stop at step {checks[stop]:.0f} and keep the weights "
            f"of step {checks[keep]:.0f}**; the best of all checks is step {checks[np.argmax(seen)]:.0f}, the last "
            f"{checks[-1]:.0f}."
            + (" Step 0 is the base model itself: no check before the stop was better than not training at all."
               if checks[keep] == 0 and stop > 0 else ""))

# %%
first, final = small_history.evals[0], small_history.evals[-1]
lowest = min(row["heldout_loss"] for row in small_history.evals)
found = [f"training loss {small_history.rows[0]['loss']:.2f} → {small_history.last('loss'):.2f}",
         f"held-out loss {first['heldout_loss']:.2f} → {final['heldout_loss']:.2f}, at its lowest {lowest:.2f}"]
if judged:
    found += [f"win rate against {name} {first[f'win_rate_{name}']:.2f} → {final[f'win_rate_{name}']:.2f}, at its best "
              f"{max(row[f'win_rate_{name}'] for row in small_history.evals):.2f}" for name in opponents]
rose = final["heldout_loss"] > lowest + 0.05
parted = "" if not judged else (
    " **The answers ended worse than the base's, as in the report: the training loss did not tell.**"
    if final["win_rate_base"] < 0.5 else
    " **The collapse of the answers that the report saw is not seen here"
    + ("**: this base cannot answer, so there was little to spoil." if p.model == "pocket" else ".**"))
widgets.say("**In this run:** " + "; ".join(found) + ". The held-out loss "
            + ("**turned and rose** while the training loss fell." if rose else "did **not** turn while the training loss fell.")
            + parted
            + f" (This run took {small_steps} steps on {len(few)} demonstrations, the one in view {steps} on {len(examples)}.)")

# %% [markdown]
# The checks use few prompts, and the best of several checks is partly luck. What these answers are worth in the end is
# settled further down, on the test prompts.
#
# ## A length penalty, as printed
#
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
    """factor * max(0, |sample| - |y|)^2, one number per sample: Hellman's report, eq. 3 as printed."""
    excess = torch.relu(policy.sample.length - target_length)
    cost = factor * excess**2
    return cost, {"penalty": cost, "excess": excess, "sample_length": policy.sample.length}


# %% [markdown]
# Now ask for its gradient. A length is a count. Move the weights a little and the sample that was already drawn has
# as many tokens as before, so there is nothing to differentiate. We sample (a sample that reaches the cut counts
# with that length), add the penalty to the SFT loss, and compare gradients:

# %%
targets = torch.tensor([float(len(ids)) for ids in examples.responses["response"]])
length_runs = dict(every=p.length_every, prompts=2 * p.batch_size, max_new_tokens=cut["response"], seed=p.seed,
                   extras=lambda index: {"target_length": targets[index]})
samples = course.on_policy(tokenizer, examples, None, **length_runs).make_batch(policy, 0)
scorer = Scorer(policy)
printed, seen = length_penalty_printed(scorer(samples), target_length=samples.extras["target_length"], factor=p.length_factor)
loss = sft(scorer(examples.batch(range(8))))[0].mean()
weights = list(policy.parameters())
without = torch.autograd.grad(loss, weights, retain_graph=True)
with_it = torch.autograd.grad(loss + printed.mean(), weights)
print(f"penalty: {printed.mean():.3f} on average; does it depend on any weight? {printed.requires_grad}")
changed = max((a - b).abs().max().item() for a, b in zip(without, with_it))
widgets.say(f"**The printed penalty changes {'some gradients' if changed else 'no gradient'}: the largest change of "
            f"any entry is {changed:g}.**")


# %% [markdown]
# The number in the log changes and not one weight notices. What *does* depend on the weights is how often each
# response is drawn. Write $c(y)$ for the cost of a response:
#
# $$\nabla\, \mathbb{E}[c] = \sum_y c(y)\, \nabla \pi(y) = \sum_y \pi(y)\, c(y)\, \nabla \log \pi(y)
#   = \mathbb{E}\big[c(y)\, \nabla S(y)\big]$$
#
# because $\nabla \pi = \pi\, \nabla \log \pi$. This is the **score-function estimator** (also REINFORCE): sample,
# and push down each response in proportion to its cost. Since $\mathbb{E}[\nabla S(y)] = 0$, a [baseline](glossary.md) may be
# subtracted from the cost: with the mean cost of the *other* samples, what costs more than usual is pushed down and
# what costs less is pushed up.

# %%
def length_penalty(policy, reference=None, *, target_length, factor):
    """The same number with the gradient it should have, by the score-function estimator."""
    cost, metrics = length_penalty_printed(policy, target_length=target_length, factor=factor)
    baseline = (cost.sum() - cost) / max(len(cost) - 1, 1)  # the mean of the others
    logp = policy.sample.sum
    return cost + (cost - baseline) * (logp - logp.detach()), metrics  # the last bracket is 0; its gradient is grad S


toy = from_tokens(sample=[[-1.0] * n for n in (12, 18, 20, 30)])
toy.sample.token.requires_grad_()
loss, seen = length_penalty(toy, target_length=torch.full((4,), 15.0), factor=p.length_factor)
push = torch.autograd.grad(loss.sum(), toy.sample.token)[0][:, 0]
widgets.show_table(["sample", "demonstration", "excess", "cost", "push on its log-prob"],
                   *[[f"{toy.sample.length[i]:.0f} tokens", "15 tokens", f"{seen['excess'][i]:.0f}",
                      f"{seen['penalty'][i]:.3f}", f"{-push[i]:+.3f}"] for i in range(4)])
sides = [[f"{n:.0f}" for n, one in zip(toy.sample.length, push) if (one < 0) == up] for up in (True, False)]
widgets.say(f"**Pushed up: the samples of {', '.join(sides[0]) or 'no'} tokens. Pushed down: those of "
            f"{', '.join(sides[1]) or 'no'}.** What costs more than the others do on average becomes rarer.")

# %% [markdown]
# ## With and without the penalty
#
# Two copies of the ready-made SFT model go on training for the same steps on the same batches: with no penalty, and with
# the estimated one. They differ in nothing else. (The printed one needs no run: without a gradient it is no penalty.)
#
# Both runs come ready-made, and are trained anew after an edit of `sft`, of `length_penalty` or of a parameter.

# %%
def go_on(penalty):
    """Train a copy of the SFT policy some more, with a penalty or none."""
    settings = dict(average="token", epochs=p.length_steps / len(batches), learning_rate=p.learning_rate / 4)
    if penalty:
        penalised = partial(penalty, factor=p.length_factor)
        settings["also"] = {"on_policy": course.on_policy(tokenizer, examples, penalised, **length_runs)}
        settings["told"] = [penalised, course.on_policy, p.length_every, p.batch_size, cut["response"]]
    return course.fit(made, examples, sft, p, **settings)


runs = {"no penalty": go_on(None), "length penalty": go_on(length_penalty)}
plots.plot_training(runs["length penalty"][1], ["penalty", "sample_length", "loss"])

# %%
_, costs = runs["length penalty"][1]["penalty"]
half = len(costs) // 2
if half > 1:
    before, after = costs[:half].mean(), costs[half:].mean()
    widgets.say("**From the first half of the run to the second the penalty "
                f"{'fell' if after < before else 'did not fall'} ({before:.2f} to {after:.2f}).** Each point is the "
                f"mean of only {2 * p.batch_size} samples, drawn every {p.length_every} steps; what it did to the "
                "answers is measured on the test prompts, below.")

# %% [markdown]
# ## What it all comes to
#
# The test prompts, which no run and no check has seen. Every [policy](glossary.md) answers each of them `draws` times; the judge compares
# every answer with every one of the base model's to the same prompt. "SFT" is the ready-made model, "SFT in view" the one
# that was trained above. "SFT, more steps" is SFT with the additional steps and no penalty, so that only the penalty tells
# it from its neighbour.

# %%
policies = {"base": base, "SFT": made, "SFT in view": policy, "SFT, more steps": runs["no penalty"][0],
            "SFT, length penalty": runs["length penalty"][0], "small subset": small}
comparison = course.compare(policies, tokenizer, p, judge=judge, baseline="base")
win_figure = plots.plot_win_rates(comparison.win_rates, against="base") if judged else None
if judged:
    display(win_figure)
    ranked = sorted(comparison.win_rates.items(), key=lambda one: -one[1].rate)
    widgets.say(f"**Against the base (judge: {judge.name}): "
                + "; ".join(f"{name} {rate.beats} it ({rate.rate:.2f})" for name, rate in ranked) + ".**")

# %%
def measures(name):
    """A row of the table: length, habits that a reader dislikes, similarity to a good answer, held-out perplexity."""
    drawn, texts = comparison.answers[name], comparison.texts(name)
    parts = comparison.scores[name].parts if judged else {}  # a reward model has none
    response = DatasetLogprobs.compute(policies[name], held_out).all().response
    bleu = evaluate.bleu(texts, comparison.references)["bleu4"] if any(comparison.references) else float("nan")
    return {"tokens": evaluate.mean_length(drawn), **{flaw: seen.mean() for flaw, seen in comparison.flaws(name).items()},
            **({"fluency": parts["fluency"].mean()} if "fluency" in parts else {}), "BLEU-4": bleu,
            "perplexity": evaluate.perplexity(response.sum, response.length)}


measured = {name: measures(name) for name in policies}
columns = list(measured["base"])
widgets.show_table(["policy", *columns],
                   *[[name, *(f"{row[column]:.2f}" for column in columns)] for name, row in measured.items()])
best = {name: choose(measured, key=lambda one: measured[one][name])
        for name, choose in (("BLEU-4", max), ("perplexity", min))}
widgets.say((f"**Nearest to the good answers: {best['BLEU-4']} (BLEU-4). " if any(comparison.references) else "**")
            + f"Least surprised by held-out demonstrations: {best['perplexity']}.** "
            + ("Flaws are shares of answers. The demonstrations have flaws too, which a better policy need not find "
               "likely."
               if gold else ""))

# %% [markdown]
# Lengths tell whether the penalty did what it says, the win rate whether that was a good idea. A shorter answer is
# only better if what went was not needed.

# %%
answer_lengths = {name: comparison.lengths(name).ravel() for name in ("SFT, more steps", "SFT, length penalty")}
length_figure = plots.plot_lengths({"demonstrations": lengths["response"], **answer_lengths})
display(length_figure)
shorter = comparison.lengths("SFT, length penalty").mean(1) - comparison.lengths("SFT, more steps").mean(1)
effect = (f"**With the penalty the length of an answer {evaluate.change(shorter)}** "
          f"({evaluate.mean_and_interval(shorter)} tokens)")
if judged:
    rate = comparison.win_rate("SFT, length penalty", "SFT, more steps")
    effect += (f", **and by its answers it {rate.beats} SFT with as many steps and no penalty** ({rate}, "
               f"judge: {judge.name})")
if gold:
    share = lambda flaw: " → ".join(f"{measured[name][flaw]:.0%}" for name in answer_lengths)
    effect += (f". Without it → with it: {share('rambling')} of the answers ramble, {share('incomplete')} leave "
               "something out")
widgets.say(effect + ".")

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

# %%
def verdict(interval, claim):
    """What a win rate's 95% interval says about a claim that it is "above", "below" or "near" one half."""
    low, high = interval
    place = "near" if low <= 0.5 <= high else "above" if low > 0.5 else "below"
    if place == claim:
        return "no difference seen here" if claim == "near" else "holds here"
    return "cannot be told" if place == "near" else "does not hold here"


# %%
CLAIMS = [  # what is claimed, the report's figures, the policy, its opponent, where the win rate should lie, which long run
    ("SFT without a length penalty is worse than the base (Hellman)", ".438", "SFT, more steps", "base", "below", (13, 0)),
    ("SFT with a length penalty is better than the base (Hellman)", ".549", "SFT, length penalty", "base", "above", (13, 1)),
    ("The penalty helps (Hellman)", ".549 against .438", "SFT, length penalty", "SFT, more steps", "above", (13, 2)),
    ("SFT is about as good as the base (Belanger and others)", ".485", "SFT", "base", "near", (16, 0)),
    ("Many passes over a small subset end below the base (Hao)", "fig. 2", "small subset", "base", "below", None),
    ("They end below a model that saw more (Hao: the Instruct model)", "fig. 2", "small subset", "SFT", "below", None)]
lines = []
for claim, paper, name, other, where, long_run in CLAIMS if judged else []:
    rate = comparison.win_rate(name, other)
    lines.append([claim, paper, str(rate), verdict(rate.interval, where), long_run])
if judged:
    beside.show_verdicts(p, lines, ours=f"this run ({len(comparison.prompts)} prompts, judge: {judge.name}, seed {p.seed})")
else:
    print("Without a judge there is no win rate: compare the perplexities above.")

# %% [markdown]
# Where a verdict differs from the report's, three things are different here. What the base can do already decides how much
# SFT has to add: the reports compare with models that had learnt to answer before, ours had not. What the demonstrations
# are like decides what SFT teaches: it copies their style as faithfully as the rest (the flaws of base and SFT, above). And
# a length penalty can only help where length hurts.

# %%
collapse = {name: evaluate.collapse_check(comparison.answers[name], comparison.answers["SFT"]) for name in list(policies)[2:]}
fallen = [name for name, found in collapse.items() if found.collapsed]
widgets.say((f"**Collapsed: {', '.join(fallen)}.**" if fallen else "**None of these policies has collapsed.**") + "\n\n"
            + "\n".join(f"- {name}, beside SFT: {found}" for name, found in collapse.items()))

# %% [markdown]
# ## Exercises
#
# **1.** Three responses have token log-probabilities `[-1, -1, -1, -1]`, `[-2]` and `[-3]`. What is the SFT loss,
# averaged over tokens? And the mean of the responses' own means? Fill in the next cell and run it.
#
# <details><summary>Solution</summary>
#
# The losses are 4, 2 and 3, over 4 + 1 + 1 = 6 tokens: 9/6 = 1.5. The responses' own means are 1, 2 and 3, whose
# mean is 2: the two single tokens count four times as much each as a token of the long response.
# </details>
#
# **2.** Samples of 10 and 20 tokens, demonstrations of 10, and $\lambda = 0.01$. What is the gradient of the
# estimated penalty, summed over the two, with respect to the *longer* sample's log-probability?
#
# <details><summary>Solution</summary>
#
# The costs are 0 and 0.01 · 10² = 1. The longer one's baseline is the other's cost, 0, so its gradient is 1 - 0 =
# 1: descending it lowers the sample's log-probability.
# </details>

# %%
token_mean, mean_of_means = None, None  # exercise 1
longer_gradient = None  # exercise 2


def told(given, right):
    """What to say of an answer: None is no answer yet, and what is no number gets a sentence."""
    try:
        near = given is not None and abs(float(given) - float(right)) < 1e-3
        return "not answered yet" if given is None else "right" if near else "not quite"
    except (TypeError, ValueError):
        return f"a number is asked for here, not {given!r}"


def check_exercises():
    """Hold the answers against the losses above."""
    three, two = from_tokens(response=[[-1.0] * 4, [-2.0], [-3.0]]), from_tokens(sample=[[-1.0] * 10, [-1.0] * 20])
    losses, lengths = sft(three)[0], three.response.length
    two.sample.token.requires_grad_()
    penalty = length_penalty(two, target_length=torch.full((2,), 10.0), factor=0.01)[0].sum()
    print("1, over tokens:", told(token_mean, losses.sum() / lengths.sum()))
    print("1, mean of means:", told(mean_of_means, (losses / lengths).mean()))
    print("2:", told(longer_gradient, torch.autograd.grad(penalty, two.sample.token)[0][1, 0]))


check_exercises()

# %% [markdown]
# **3.** Run again with the report's own `length_factor`, and with one ten times ours: `papermill 01_sft.ipynb
# out.ipynb -p length_factor 0.1`. What happens to the length, and what to the win rate?
#
# <details><summary>Solution</summary>
#
# The penalty looks at nothing but length. Once it outweighs the SFT term, the shortest responses win, whether they
# answer or not: look for the point where the win rate over the run without penalty falls below one half, and at
# what the policy then writes.
# </details>
#
# **4.** Put the prompt into the loss: in `examples.batch`, the mask begins at `len(prompt)`. What would the model
# learn if it began at 0?
#
# <details><summary>Solution</summary>
#
# It would also learn to write prompts. Part of every step would go into the wording of questions, which no reader
# asked for; and after its answer a model that ended without `<|im_end|>` could go on with a question of its own.
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
first, last = history.evals[0]["heldout_loss"], history.evals[-1]["heldout_loss"]
answer = (f"**By being shown answers, and by raising their probability token by token: {steps} steps over "
          f"{len(examples)} demonstrations took the held-out loss from {first:.2f} to {last:.2f} nats a token")
if judged:
    rate = comparison.win_rates["SFT in view"]
    answer += f", and by its answers the policy {rate.beats} the base ({rate}, judge: {judge.name})"
widgets.say(answer + ".** What it is shown it learns whole, with the habits of who wrote it.")
histories = {"SFT in view": history, "small subset": small_history, **{name: run[1] for name, run in runs.items()}}
figures = {"book_small_subset": plot_run(small_history), "lengths": length_figure, "win_rates": win_figure,
           "styles": style_figure}
folder = course.record(p.output_dir or "runs/01_sft", p, histories, comparison, measures=measured, styles=styles,
                       figures={name: figure for name, figure in figures.items() if figure},
                       claims=[dict(zip(("claim", "paper", "measured", "verdict"), line)) for line in lines])
print(f"Parameters, histories, responses and figures are in {folder}.")

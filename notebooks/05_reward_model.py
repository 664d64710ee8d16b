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
# # 05 · Reward models: how far can a learnt judge be trusted?
#
# A judge that knows the truth is rare. What one usually has is pairs: this answer was preferred to that one. A
# *reward model* learns from pairs to score any answer, and other methods then follow its scores. It is a [**proxy**](glossary.md)
# for the judge that we would like to have. In the pocket world we have that judge too, the *gold judge*, so we can
# look at both at once.
#
# You will see
#
# - the Bradley-Terry loss, which turns preferences into scores, on four numbers and then in training;
# - how often the proxy is right on pairs it has not seen, what label noise allows, and whether "90% sure" means 90%;
# - the proxy against the gold judge, category by category: what it understands and what it does not;
# - a second, simpler judge: a classifier that tells fluent answers from disfluent ones;
# - best-of-N: draw N answers, keep the one a judge likes best; and where following the proxy stops paying;
# - that the reward model is an ordinary file which any library loads.
#
# Nothing has to be run first. The pairs are those of [02 · DPO](02_dpo.ipynb), which learns from them without a
# [reward model](glossary.md).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' model and data and wants a GPU
seed: int = 0  # the same seed gives the same numbers, 0 or more
model: str = None  # the model that training starts from: 'pocket', a local folder or a hub name; None takes the preset's
dataset: str = None  # where the rows come from: 'pocket', a local file or a hub name; None takes the preset's
pairs: int = None  # preference pairs to train on, 1 or more; None takes the preset's (pocket 2000, qwen 61000)
epochs: float = None  # passes over the data, 0.001 to 1000; None takes the preset's (1)
batch_size: int = None  # examples per step, 1 to 4096; None takes the preset's (pocket 16, qwen 32)
learning_rate: float = None  # Adam's rate, above 0 and at most 1; None takes the preset's (pocket 0.0002, qwen 0.00001)
pairs_in_view: int = 1024  # pairs of the smaller reward model that is trained in this notebook, 1 or more
held_out: int = 400  # pairs to test the reward models on, 20 or more
test_prompts: int = 520  # held-out prompts to answer, 20 to 100000
draws: int = 4  # answers per prompt and policy, 1 to 64
judge: str = None  # who scores the answers (None: the data's own judge): 'gold', 'proxy', or a reward model
samples: int = 16  # answers drawn to every prompt to pick from, 4 to 256
temperature: float = 0.7  # of all answers, 0.01 to 2; paper 002 has 1
best_of: int = 5  # N of the best-of-N that is set against a single answer, 2 to samples; paper 002 has 5
output_dir: str = "runs/05_reward_model"  # where the results go: a folder

# %%
from prefnb import course, methods, parameters

p = parameters.check(globals(), methods.reward_model.Settings, course.Judging,
                     pairs_in_view=parameters.Whole(1), held_out=parameters.Whole(20),
                     samples=parameters.Whole(4, 256), temperature=parameters.Number(0.01, 2),
                     best_of=parameters.Whole(2, 256))
if p.best_of > p.samples:
    raise parameters.ParameterError(f"'best_of' is {p.best_of}, but there are {p.samples} samples to pick from: give at "
                                    "most as many, or draw more 'samples'.")

# %% [markdown]
# ## The idea
#
# A reward model is a function $s(x, y)$: a prompt $x$ and a response $y$ go in, one number comes out. We never see
# such a number in the data. We see that $y_w$ was preferred to $y_l$. Bradley and Terry (1952) connect the two:
#
# $$P(y_w \succ y_l \mid x) = \sigma\big(s(x, y_w) - s(x, y_l)\big), \qquad \sigma(z) = \frac{1}{1 + e^{-z}}.$$
#
# The further the scores lie apart, the surer the model is who wins. Training makes the preferences that we saw
# likely, which is to make this loss small:
#
# $$L = -\log \sigma\big(s(x, y_w) - s(x, y_l)\big).$$
#
# Only the *difference* occurs, and only between answers to the **same** prompt. A constant added to every score of
# a prompt changes nothing, so scores of different prompts cannot be compared. Remember this one: it decides how
# each picture below has to be drawn.
#
# ## The loss in full
#
# Training below uses this very function; change it and run on. `policy` holds scores here, one number per response.
# `reference` is there because the course's training loop hands one to every loss; this loss needs none.

# %%
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from torch.nn.functional import logsigmoid


def bradley_terry(policy, reference=None):
    """-log sigma(s(yw) - s(yl)), per pair."""
    margin = policy.chosen - policy.rejected
    metrics = {"margin": margin, "accuracy": (margin > 0).to(margin.dtype),
               "score_chosen": policy.chosen, "score_rejected": policy.rejected}
    return -logsigmoid(margin), {name: value.detach() for name, value in metrics.items()}


# %% [markdown]
# ### Four numbers by hand
#
# Four answers to one prompt score $2, 1, 0$ and $-1$. Say the first is preferred to the second: the difference is
# $1$, so $P = 1/(1 + e^{-1}) \approx 0.73$ and the loss is $-\log 0.73 \approx 0.31$. Now say the fourth is preferred
# to the third: the difference is $-1$, $P \approx 0.27$ and the loss $1.31$. In the last row both scores of the first
# pair are 10 higher. Work out what changes, then look. The last column is the gradient on the chosen score,
# $-(1 - P)$: a pair that the model finds surprising pulls harder.

# %%
from prefnb import plots, widgets

plt.style.use("prefnb.book")
toy = SimpleNamespace(chosen=torch.tensor([2.0, -1.0, 12.0], requires_grad=True),
                      rejected=torch.tensor([1.0, 0.0, 11.0]))
losses, seen = bradley_terry(toy)
losses.sum().backward()
columns = [seen["margin"].tolist(), seen["margin"].sigmoid().tolist(), losses.tolist(), toy.chosen.grad.tolist()]
widgets.show_table(["pair", "difference", "P(chosen wins)", "loss", "gradient on the chosen score"],
                   *zip(("2 preferred to 1", "-1 preferred to 0", "12 preferred to 11"), *columns))
figure, axes = plots.subplots(1, 2, figsize=(8, 2.4))
line = torch.linspace(-4, 4, 200)
for axis, curve, dots, title in zip(axes, (line.sigmoid(), -logsigmoid(line)), columns[1:3],
                                    ("probability that the chosen one wins", "loss")):
    axis.plot(line, curve, color="#555555")
    axis.plot(columns[0][:2], dots[:2], "o", color=plots.MEANINGS["chosen"], markersize=6)
    axis.set(xlabel="difference  $s(y_w) - s(y_l)$", title=title)
display(figure)
same = "the same" if all(abs(column[0] - column[2]) < 1e-4 for column in columns) else "no longer the same"
widgets.say(f"**2 against 1 and 12 against 11 have {same} probability and loss: only the difference counts.**")

# %% [markdown]
# ## Data and training
#
# The reward model begins as the fine-tuned language model: it reads well already. Its output head, which predicts
# words, is replaced by a new one with a single output, read at the response's last token. The model has seen all of
# the answer there.
#
# The pairs come with labels made by somebody who is not always right: in the pocket world some are flipped on purpose.
#
# The course's one loop trains the model. The only thing that is new is the `scorer`: it turns a batch into scores where
# the other methods have log-probs. The loss starts near $\ln 2$: all scores are nearly equal, so every pair is a coin
# toss.

# %%
from prefnb import data, evaluate, judges, models
from prefnb.batches import prompt_ids, tokenize


def fitting(rows):
    """The rows whose prompt is no longer than `max_prompt_tokens`."""
    short = [i for i, one in enumerate(rows["prompt"]) if len(prompt_ids(tokenizer, one)) <= p.max_prompt_tokens]
    if not short:
        raise parameters.ParameterError(f"No prompt has at most 'max_prompt_tokens', {p.max_prompt_tokens}: raise it.")
    return rows.select(short)


gold = data.Source(p.dataset).judge  # None where nobody knows the right answers
sft, tokenizer = methods.sft.starting_policy(p)
other = gold if p.judge == "proxy" else methods.reward_model.judge_of(p)  # a judge besides the proxy, or None
in_view = p.model_copy(update={"pairs": min(p.pairs, p.pairs_in_view)})
view_rows = data.Source(p.dataset).pairs("train", limit=in_view.pairs, seed=p.seed)
examples = course.pair_examples(in_view, tokenizer)
test = fitting(data.Source(p.dataset).pairs("test", limit=p.held_out, seed=p.seed))
test_pairs = {name: test[name][:] for name in ("prompt", "chosen", "rejected")}
print(f"{len(examples)} pairs to train on in view, up to {p.pairs} for the full model, {len(test)} held out.")
widgets.show_responses(view_rows["prompt"][:3], {name: view_rows[name][:3] for name in ("chosen", "rejected")})

# %%
from prefnb.logprobs import RewardScorer
from prefnb.course import scores_of

TITLES = {"loss": "loss", "margin": "difference  $s(y_w) - s(y_l)$", "accuracy": "share right"}


def watch(history):
    """The picture that grows while a model trains."""
    names = [name for name in TITLES if name in history.names]
    figure = plots.plot_training(history, names)
    for axis, name in zip(figure.axes, names):
        axis.set_title(TITLES[name])
    return figure


start, histories = models.reward_model_from(sft, tokenizer, p.seed), {}
small, histories["reward model in view"] = course.fit(start, examples, bradley_terry, p, scorer=RewardScorer,
                                                      live=plots.LiveFigure(watch))
losses = histories["reward model in view"]["loss"][1]
widgets.say(f"**The loss goes from {losses[:8].mean():.2f} over the first eight steps to {losses[-8:].mean():.2f} "
            "over the last eight.** Single batches jump, since each has other pairs.")

# %% [markdown]
# That one was trained before your eyes, on a part of the pairs. The full one, trained in the same way on all `pairs` of
# them, comes ready-made; with other parameters it is trained now, and this cell takes longer. Later notebooks use the
# same one. An edit of the loss above changes the model in view; the full one keeps the loss as you found it.
#
# ## How often is it right on pairs it has not seen?
#
# There are two kinds of right: agreeing with the *label*, and with the *gold judge*. The second is asked only where
# gold sees a difference; below the least one that counts for it, two answers *tie*. And there is a ceiling. Even the
# [gold judge](glossary.md) itself does not agree with every label, since labels are noisy; nobody should do better than it.
#
# Both reward models are asked about the same pairs. So the last row subtracts them pair by pair before it draws an
# interval, which tells more than two intervals side by side.
#
# A flipped label counts against a proxy in the first column and not in the second. So one that has learnt what the judge
# likes, and not the noise, agrees with gold a little *more* often than with the labels.

# %%
full = methods.reward_model.recipe(**p.shared_with(methods.reward_model.Settings))
proxies = {"in view": judges.RewardModel(small, tokenizer),
           "full": judges.RewardModel(full.model, full.tokenizer)}
proxy = proxies["full"]
judge = proxy if p.judge == "proxy" else other  # whose win rates count below
says = lambda judge, side: scores_of(judge, test_pairs["prompt"], test_pairs[side])
margins = {label: says(judge, "chosen") - says(judge, "rejected") for label, judge in proxies.items()}
by_gold = [gold(test_pairs["prompt"], test_pairs[side]).total for side in ("chosen", "rejected")] if gold else None
gold_margin = by_gold[0] - by_gold[1] if gold else None


def share(hits):
    """A share with its 95% interval, as text."""
    return f"{hits.mean():.2f} [{{:.2f}}, {{:.2f}}]".format(*evaluate.wilson_interval(hits.sum(), len(hits)))


rows = [["reward model", "agrees with the label", "agrees with gold"]]
for label, margin in {**margins, **({"gold itself: the ceiling": gold_margin} if gold else {})}.items():
    apart = np.abs(gold_margin) > gold.tie if gold else None  # pairs that gold can tell apart
    agrees = share((margin * gold_margin > 0)[apart]) if gold else "no gold judge here"
    rows.append([label, share(margin > 0), agrees])
more = (margins["full"] > 0).astype(float) - (margins["in view"] > 0)
rows.append(["full less in view", evaluate.mean_and_interval(more), ""])
widgets.show_table(*rows)

# %%
low, high = evaluate.bootstrap_interval(more)
told = "more pairs helped" if low > 0 else "more pairs hurt" if high < 0 else "that more pairs helped cannot be told"
ceiling = f", where gold itself has {(gold_margin > 0).mean():.0%}" if gold else ""
widgets.say(f"**The full model agrees with {(margins['full'] > 0).mean():.0%} of the labels{ceiling}; {told}** "
            f"(full less in view: {evaluate.mean_and_interval(more)}).")
if gold:
    apart = np.abs(gold_margin) > gold.tie
    with_gold, with_label = (margins["full"] * gold_margin > 0)[apart], (margins["full"] > 0)[apart]
    low, high = evaluate.bootstrap_interval(with_gold.astype(float) - with_label)
    learnt = "more often than" if low > 0 else "less often than" if high < 0 else "as often (as far as can be told) as"
    widgets.say(f"**Where gold sees a difference the full model agrees with gold ({with_gold.mean():.0%}) {learnt} "
                f"with the labels ({with_label.mean():.0%}).**")

# %% [markdown]
# ## Does it know how sure it may be?
#
# The model does not only say who wins but with what probability. If it says 0.8 on a hundred pairs, about eighty of
# them should come out that way: then it is *calibrated*.
#
# Which answer of a pair we name first is our choice, so a plot of both orders would hold each pair twice and be
# symmetric whatever the model did. We fold it: each pair once, from the side that the model favours. Its confidence
# is then $\sigma(|s(y_w) - s(y_l)|)$, from one half to one, and it is right if the favoured one is the label's.
#
# One number for the whole is the *expected calibration error*: the gap between confidence and share right, averaged
# over bins. Chance alone makes it more than zero, so beside it stands what a perfectly calibrated model would get.

# %%
def reliability(margin, hits, bins=6):
    """Pairs sorted by confidence into bins of equal size: [mean confidence, share right, low, high, share of pairs]."""
    confidence = 1 / (1 + np.exp(-np.abs(margin)))
    groups = np.array_split(np.argsort(confidence), min(bins, len(hits)))
    return np.array([[confidence[i].mean(), hits[i].mean(), *evaluate.wilson_interval(hits[i].sum(), len(i)),
                      len(i) / len(hits)] for i in groups])


def calibration_error(margin, hits):
    """The expected calibration error: sum over bins of (share of pairs) x |share right - mean confidence|."""
    confidence, right, _, _, weight = reliability(margin, hits).T
    return float((weight * np.abs(right - confidence)).sum())


def by_chance(margin, times=200):
    """The same error for a model whose every probability is true, on average over `times` draws."""
    draw, confidence = np.random.default_rng(p.seed), 1 / (1 + np.exp(-np.abs(margin)))
    return float(np.mean([calibration_error(margin, draw.random(len(margin)) < confidence) for _ in range(times)]))


# %%
calibration_figure, axes = plots.subplots(1, 2, figsize=(8, 3.2), sharey=True)
errors = [["reward model", "mean confidence", "share right", "calibration error", "if it were calibrated"]]
for axis, (label, margin), colour in zip(axes, margins.items(), (plots.CYCLE[1], plots.CYCLE[0])):
    confidence, right, low, high, _ = reliability(margin, margin > 0).T
    axis.plot([0.5, 1], [0.5, 1], ":", color="#888888", label="calibrated")
    axis.errorbar(confidence, right, [right - low, high - right], fmt="o", color=colour, capsize=3, label="this model")
    axis.set(xlabel="confidence in the favoured answer", title=f"reward model, {label}",
             xlim=(0.48, 1.02), ylim=(0, 1.03))
    errors.append([label, float((1 / (1 + np.exp(-np.abs(margin)))).mean()), float((margin > 0).mean()),
                   calibration_error(margin, margin > 0), by_chance(margin)])
axes[0].set_ylabel("share right (labels)")
axes[0].legend(loc="lower right")
display(calibration_figure)
widgets.show_table(*errors)
_, sure, right, *_ = errors[-1]
low, high = evaluate.wilson_interval((margins["full"] > 0).sum(), len(margins["full"]))
widgets.say(f"**The full model is {sure:.0%} sure on average and right on {right:.0%} [{low:.0%}, {high:.0%}]: "
            + ("surer than it should be (dots below the line).**" if sure > high else
               "less sure than it might be (dots above the line).**" if sure < low else
               "as far as these pairs can tell, it knows how sure it may be.**"))

# %% [markdown]
# With noisy labels no honest model is ever quite sure, however plain the case: the label itself may be wrong.
#
# ## The proxy against the gold judge
#
# Pairs of a data set were written by others. A proxy that is to be *followed* must judge what the [policy](glossary.md) itself says.
# So the fine-tuned model answers every test prompt `samples` times, and both judges score every answer. (The answers and
# the proxy's scores come ready-made, and are made anew after a change of what they depend on.) In these answers it has
# the style of its demonstrations' houses, which the pairs have not ([notebook 00](00_pocket_world.ipynb)): the proxy has
# to judge what it hardly met.
#
# A scatter of one score against the other over all answers would mix prompts, and that the loss never asked for. So
# from each score the mean over its prompt's answers is taken away first. Then the question for each prompt: of the
# pairs of its answers that gold tells apart, what share does the proxy put in the same order? One half is a coin,
# one is perfect. (Twice this share less one is the rank correlation known as Goodman and Kruskal's gamma.) Above each
# panel stands the mean share over the category's prompts, with its 95% interval.

# %%
prompt_rows = fitting(data.Source(p.dataset).prompts("test", limit=p.test_prompts, seed=p.seed))
prompts = prompt_rows["prompt"][:]
columns = {name: prompt_rows[name][:] if name in prompt_rows.column_names else [""] * len(prompts)
           for name in ("category", "reference")}


def draw(policy, count):
    """`count` answers of a policy to every prompt: (prompts, count) as nested lists."""
    drawn = course.answers_of(policy, tokenizer, prompts, draws=count, temperature=p.temperature,
                              max_new_tokens=p.max_response_tokens)
    return [drawn[i:i + count] for i in range(0, len(drawn), count)]


def score(judge, answers):
    """What a judge says of nested answers: an array (prompts, count) for its total and for each of its parts."""
    asked = [one for one, group in zip(prompts, answers) for _ in group]
    texts = [one.text for group in answers for one in group]
    if isinstance(judge, judges.RewardModel):
        return {"total": scores_of(judge, asked, texts).reshape(len(prompts), -1)}
    found = judge(asked, texts)
    named = found if isinstance(found, dict) else {"total": found.total, **found.parts}
    return {name: values.reshape(len(prompts), -1) for name, values in named.items()}


# %%
answers = draw(sft, p.samples)
table = {"proxy": score(proxy, answers)["total"]}  # (prompts, samples)
if gold:
    by_gold = score(gold, answers)
    table |= {"gold": by_gold["total"], "gold fluency": by_gold["fluency"]}
repeats = 1 - np.mean([len({tuple(one.ids) for one in group}) / len(group) for group in answers])
widgets.say(f"{len(prompts)} prompts x {p.samples} answers; {repeats:.0%} of them repeat another answer to their "
            "prompt, word for word.")

# %%
def order_right(score, gold, tie):
    """(prompts, K) scores twice -> (prompts,): the share of a prompt's pairs of answers more than `tie` apart by gold
    that `score` puts in gold's order; nan where gold tells none apart."""
    first, second = np.triu_indices(score.shape[1], 1)
    by_score, by_gold = score[:, first] - score[:, second], gold[:, first] - gold[:, second]
    apart = np.abs(by_gold) > tie
    right = (apart & (by_score * by_gold > 0)).sum(1)
    return np.where(apart.any(1), right / np.maximum(apart.sum(1), 1), np.nan)


# %%
scatter_figure, understood = None, {}
if gold:
    right, of = order_right(table["proxy"], table["gold"], gold.tie), np.array(columns["category"])
    understood = {name: right[(of == name) & ~np.isnan(right)] for name in set(of[~np.isnan(right)])}
    understood = dict(sorted(understood.items(), key=lambda item: -item[1].mean()))
    intervals = {name: evaluate.bootstrap_interval(found) for name, found in understood.items()}
    centred = {name: scores - scores.mean(1, keepdims=True) for name, scores in table.items()}
    scatter_figure, axes = plots.subplots(-(-len(understood) // 5), 5, figsize=(8, 4.4), sharex=True, sharey=True,
                                        squeeze=False, layout="constrained")
    for axis, (name, found) in zip(axes.flat, understood.items()):
        axis.plot(centred["proxy"][of == name], centred["gold"][of == name], ".", color="#555555", markersize=3,
                  alpha=0.4)
        axis.set_title(f"{name.replace('_', ' ')}\n{found.mean():.2f} " + "[{:.2f}, {:.2f}]".format(*intervals[name]),
                       fontsize=8.5)
    scatter_figure.supxlabel("proxy score, less its prompt's mean", fontsize=9)
    scatter_figure.supylabel("gold score, less its prompt's mean", fontsize=9)
scatter_figure

# %%
if gold:
    unclear = [name.replace("_", " ") for name, (low, _) in intervals.items() if low <= 0.5]
    best, *_, worst = (name.replace("_", " ") for name in [*understood, *understood])
    widgets.say(f"On the model's own answers the proxy has **{np.nanmean(right):.2f}** of the order right, "
                f"most on *{best}*, least on *{worst}*. " + (
                    f"That it beats a coin cannot be told on {', '.join(unclear)}." if unclear else
                    "On every category it beats a coin.") + " Now the flaws that gold can name, one by one:")
    flaws = score(gold.flaws, answers)
    effect = lambda judge, has: (judge[has].mean() - judge[~has].mean()) / judge.std()
    minded = {name: {judge: effect(centred[judge], has) for judge in ("proxy", "gold")}
              for name, has in flaws.items() if has.any() and not has.all()}
    widgets.show_table(["answers that are", "share of all", "proxy's step", "gold's step"],
                       *[[name, f"{flaws[name].mean():.0%}", *steps.values()] for name, steps in minded.items()])
    blind = max(minded, key=lambda name: minded[name]["proxy"] - minded[name]["gold"])
    widgets.say(f"**The proxy is most lenient, compared with gold, towards answers that are *{blind}*** "
                f"({minded[blind]['proxy']:+.2f}, gold {minded[blind]['gold']:+.2f}).")
else:
    print("No gold judge knows the answers here; a proxy can then only be held against labels, as above.")

# %% [markdown]
# In the table, the *step* is the mean score of answers with that flaw less that of answers without, in standard
# deviations of that judge's scores, both within prompts. In the clouds, answers far to the right and yet low are what a
# policy finds when it is trained against this proxy: liked by the proxy, and bad.
#
# ## A second judge: is it fluent?
#
# Not every judge needs pairs. Paper 001 takes its fluency from a *classifier*: a model with two outputs, one for each
# class, trained on answers that are labelled one by one. With the two outputs $z_\text{fluent}$ and
# $z_\text{disfluent}$, softmax and cross-entropy come to
#
# $$P(\text{fluent} \mid x, y) = \sigma\big(s(x, y)\big), \qquad s = z_\text{fluent} - z_\text{disfluent},$$
#
# and the loss is $-\log\sigma(s)$ for a fluent answer and $-\log\sigma(-s)$ for a disfluent one. It is the same curve
# as before, on one answer instead of a difference of two. So here 0 *means* something, and scores of different
# prompts can be compared.
#
# Accuracy alone flatters a classifier whose classes are uneven: saying "fluent" every time is right often. *Balanced*
# accuracy is the mean of the two shares found, of the fluent and of the disfluent; always saying the same gets one
# half. It is asked about held-out answers of the writers and about the fine-tuned model's own, which nobody trained
# the classifier on. Answers to one prompt are alike, so the intervals are over prompts, not over answers.
#
# The classifier comes ready-made; after an edit of its loss, here below, or of a parameter it is trained anew.

# %%
def two_classes(policy, reference=None, *, label):
    """-log sigma(s) where `label` is 1, -log sigma(-s) where it is 0; s is the log-odds of class 1."""
    sign = 2 * label - 1
    metrics = {"accuracy": (sign * policy.response > 0).to(policy.response.dtype), "score": policy.response}
    return -logsigmoid(sign * policy.response), {name: value.detach() for name, value in metrics.items()}


def one_by_one(pairs):
    """The answers of pairs one by one, with 1 where the gold judge finds no disfluency in one."""
    rows = [{"prompt": row["prompt"], "response": row[side]} for row in pairs for side in ("chosen", "rejected")]
    flaws = gold.flaws([row["prompt"] for row in rows], [row["response"] for row in rows])
    return rows, (~flaws["disfluent"]).astype(int)


fluency = None
if gold:
    rows, fluent = one_by_one(view_rows)
    single = tokenize(rows, tokenizer, ("response",), max_prompt_tokens=p.max_prompt_tokens,
                      max_response_tokens=p.max_response_tokens)
    single.labels["label"] = fluent[single.kept].tolist()
    start = models.reward_model_from(sft, tokenizer, p.seed, classes=("disfluent", "fluent"))
    classifier, histories["fluency"] = course.fit(start, single, two_classes, p, scorer=RewardScorer)
    fluency = judges.RewardModel(classifier, tokenizer)
    display(watch(histories["fluency"]))

# %%
def balanced(says, truth):
    """The mean of the shares of class 1 and of class 0 that are recognised."""
    return float(np.mean([(says == truth)[truth == one].mean() for one in (0, 1) if (truth == one).any()]))


def by_prompt(measure, says, truth):
    """A measure of (prompts, answers) with its 95% interval, as text: whole prompts are drawn again and again."""
    rows = np.random.default_rng(p.seed).integers(len(truth), size=(1000, len(truth)))
    low, high = np.percentile([measure(says[some], truth[some]) for some in rows], [2.5, 97.5])
    return f"{measure(says, truth):.2f} [{low:.2f}, {high:.2f}]"


if gold:
    rows, fluent = one_by_one(test)
    found = scores_of(fluency, *([row[name] for row in rows] for name in ("prompt", "response"))) > 0
    table["fluency"] = score(fluency, answers)["total"]
    says = {"writers' answers, held out": (found.reshape(-1, 2), fluent.reshape(-1, 2)),
            "the fine-tuned model's own answers": (table["fluency"] > 0, ~flaws["disfluent"])}
    rows = [[name, by_prompt(lambda says, truth: (says == truth).mean(), *both), float(both[1].mean()),
             by_prompt(balanced, *both)] for name, both in says.items()]
    widgets.show_table(["answers", "accuracy", "always \"fluent\"", "balanced accuracy"], *rows)
    found = balanced(*says["the fine-tuned model's own answers"])
    widgets.say(f"**On the model's own answers its balanced accuracy is {found:.2f}" + (
        ": it recognises disfluency that nobody showed it.**" if found > 0.6 else
        ", hardly more than the one half of always saying the same: a weak judge.**"))

# %% [markdown]
# ## Best of N
#
# The simplest way to follow a judge needs no training: draw $N$ answers and give the one that scores highest. The
# larger $N$, the harder we lean on the judge.
#
# How far does that go from the model? The usual measure is the *KL divergence*: the mean, over the answers that are
# given, of $\log$ (probability with best-of-$N$ / probability by the model). With the natural logarithm its unit is the
# *nat*. For best-of-$N$ it is **at most** $\log N - (N-1)/N$. It is equal to that only if no two answers tie; where
# answers repeat, it is less. So take it as a bound.
#
# For $N = 4$ one might look at the first four of our answers. It is less noisy to use all $K$ of them: the average over
# *every* way to choose 4 of the $K$. No loop over subsets is needed. Sort the answers by score; the one at place $i$,
# counted from 0, is the best of a subset if the other $N - 1$ come from the $i$ below it:
#
# $$P(\text{place } i \text{ is picked}) = \binom{i}{N-1} \Big/ \binom{K}{N}.$$
#
# Three pickers are followed ever harder: the gold judge (the best that can be had from these answers), the proxy and
# the fluency classifier. All panels of the figure are about the **same** picks, and show what is gained over a single
# answer picked by chance. Left: in gold's score. Middle: in fluency alone, by gold. Right: in the proxy's score. $N$
# stands at the square root of the KL bound. (With another reward model as `judge`, that one stands in gold's place.
# Where there is no judge but the proxy, only its own panel is left.)

# %%
from math import comb, log


def best_of_n(scores, values, n):
    """(prompts, K) twice -> (prompts,): the mean of `values` of the highest-scored among n answers, over all subsets.

    Level scores go by the order of drawing, which is random anyway.
    """
    count = scores.shape[1]
    by_place = np.take_along_axis(values, scores.argsort(axis=1, kind="stable"), axis=1)
    return by_place @ np.array([comb(place, n - 1) / comb(count, n) for place in range(count)])


def kl_bound(n):
    """The most that best-of-n can be away from the model itself, in nats."""
    return log(n) - (n - 1) / n


def steps_up(values):
    """Of each step to the next N: does the mean of `values[n]` (prompts,) rise, fall, or can it not be told?"""
    found = {}
    for fewer, more in zip(list(values), list(values)[1:]):
        low, high = evaluate.bootstrap_interval(values[more] - values[fewer])
        found[more] = "rises" if low > 0 else "falls" if high < 0 else "cannot be told"
    return found


# %%
sizes = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256) if n < p.samples] + [p.samples]
second = None if other is None else "gold" if isinstance(other, judges.GoldJudge) else f"'{other.name}'"
asked = {"proxy": proxy, **({second: other} if other else {})}
if other and second not in table:
    table[second] = score(other, answers)["total"]
pickers = {second: plots.CYCLE[1], "proxy": plots.CYCLE[0], "fluency": plots.CYCLE[2]}
panels = {second: f"{second} score", "gold fluency": "gold's fluency", "proxy": "proxy score"}
pickers, panels = ({name: one for name, one in names.items() if name in table} for names in (pickers, panels))
curves = {(picker, panel): {n: best_of_n(table[picker], table[panel], n) for n in sizes}
          for picker in pickers for panel in panels}
best_figure, axes = plots.subplots(1, len(panels), figsize=(8, 3), squeeze=False, layout="constrained")
x = np.sqrt([kl_bound(n) for n in sizes])
for axis, (panel, title) in zip(axes.flat, panels.items()):
    for picker, colour in pickers.items():
        gains = [values - curves[picker, panel][1] for values in curves[picker, panel].values()]
        axis.plot(x, [gain.mean() for gain in gains], "o-", color=colour, label=f"picked by {picker}")
        low, high = np.transpose([evaluate.bootstrap_interval(gain) for gain in gains])
        axis.fill_between(x, low, high, color=colour, alpha=0.15)
    axis.axhline(0, color="#888888", linestyle=":", label="picked at random")
    axis.set(title=f"gain in {title}", xlabel="N")
    axis.set_xticks(x, sizes)
best_figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
best_figure

# %% [markdown]
# The bands are 95% intervals over prompts. The proxy's own score cannot fall: it is what the picks are made by. Where it
# goes on rising and the other judge's does not, the proxy is being *over-optimised*: what is gained there is the
# proxy's error.

# %%
if other:
    gain = {picker: {n: curves[picker, second][n] - curves[picker, second][1] for n in sizes} for picker in pickers}
    steps = steps_up(curves["proxy", second])
    rows = [["N", "KL bound (nats)", f"gain in {second}, by the proxy", f"of what picks by {second} gain",
             f"{second}, at this step"]]
    for n, step in steps.items():
        share_of_best = gain["proxy"][n].mean() / gain[second][n].mean()
        rows.append([n, kl_bound(n), evaluate.mean_and_interval(gain["proxy"][n]), f"{share_of_best:.0%}", step])
    widgets.show_table(*rows)
    pays = max([1, *(n for n, step in steps.items() if step == "rises")])
    after = f"{second} falls" if "falls" in [step for n, step in steps.items() if n > pays] else "no gain can be told"
    paying = f"pays up to N = {pays}**; after that" if pays > 1 else "cannot be told to pay**:"
    widgets.say(f"**Following the proxy {paying}" + (
        f" {after}, while the proxy's own score goes on rising." if pays < sizes[-1] else
        " nothing was tried: over-optimisation, if it comes, comes later."))
if other and "fluency" in pickers:
    many = sizes[-1]
    told = [evaluate.mean_and_interval(curves["fluency", panel][many] - curves["fluency", panel][1])
            for panel in ("gold fluency", second)]
    widgets.say(f"**Picking among {many} by the fluency classifier gains {told[0]} in gold's fluency, and {told[1]} in "
                f"{second}'s score**: what a judge does not look at, picking by it need not improve.")

# %% [markdown]
# ## Best of five: does it win?
#
# Paper 002 let its DPO policy answer five times, kept the answer that the reward model liked best, and compared with
# the fine-tuned model, SFT (*supervised fine-tuning*). We do the same with the ready-made DPO policy and with SFT itself.
# A *win rate* is the share of comparisons that an answer wins, a tie counting half.
#
# What they are compared with is SFT as all notebooks have it: `draws` answers to each prompt, drawn apart from those that
# are picked from. Every answer meets all of them. "DPO, one answer" is DPO's [win rate](glossary.md) over SFT in all notebooks. The
# figure shows each rate twice: judged by gold (or the reward model that you gave as `judge`), and judged by the proxy,
# which did the picking. Where nobody else can judge, the proxy's word alone is left, on its own picks.

# %%
def against(scores, baseline, tie, tied=0.5):
    """(prompts, K) and (prompts, M) scores -> (prompts, K): the mean outcome of each answer against the M others."""
    gap = scores[:, :, None] - baseline[:, None, :]
    return np.where(np.abs(gap) <= tie + 1e-9, tied, gap > 0).mean(2)


def outcomes(name, tied=0.5):
    """Win rates over SFT, prompt by prompt, by the judge of that name: {answers: (prompts,)}."""
    found, tie = {}, asked[name].tie
    for policy, scores in drawn.items():
        found[f"{policy}, one answer"] = against(singly[policy][name], singly["SFT"][name], tie, tied).mean(1)
        won = against(scores[name], singly["SFT"][name], tie, tied)
        for picker in (name for name in pickers if name in scores and (policy == "SFT" or name == "proxy")):
            found[f"{policy}, best of {p.best_of} by {picker}"] = best_of_n(scores[picker], won, p.best_of)
    return found


scored = lambda answers: {name: score(one, answers)["total"] for name, one in asked.items()}  # by judge
dpo = methods.dpo.recipe(preset=p.preset, seed=p.seed, model=p.model, dataset=p.dataset, pairs=pairs)
dpo_answers = draw(dpo.model, p.best_of)
drawn = {"SFT": table, "DPO": scored(dpo_answers)}
alone = {"SFT": draw(sft, p.draws), "DPO": draw(dpo.model, p.draws)}
singly = {policy: scored(found) for policy, found in alone.items()}

# %%
from prefnb.pairs import best_of as pick_best

won = {name: outcomes(name) for name in asked}
as_rate = lambda values: SimpleNamespace(rate=values.mean(), interval=evaluate.bootstrap_interval(values))
wins_figure = plots.plot_categories({f"judged by {name}": {label: as_rate(values) for label, values in found.items()}
                                     for name, found in won.items()}, against="SFT")
display(wins_figure)
by = f"best of {p.best_of}"
picked = {"SFT": [group[0] for group in alone["SFT"]],
          f"SFT, {by}": pick_best([group[:p.best_of] for group in answers], table["proxy"][:, :p.best_of]),
          "DPO": [group[0] for group in alone["DPO"]], f"DPO, {by}": pick_best(dpo_answers, drawn["DPO"]["proxy"])}
scores = {label: judge(prompts, [one.text for one in found]) for label, found in picked.items()} if judge else {}
if judge and judge is not proxy:
    gap = scores[f"SFT, {by}"].total - scores["SFT"].total
    better, worse = (gap > judge.tie).mean(), (gap < -judge.tie).mean()
    widgets.say("Below, one answer of SFT beside picks by the proxy. **Picking is no guarantee**: "
                f"{second} finds SFT's pick better than the single answer on {better:.0%} of the prompts, worse on "
                f"{worse:.0%}, and level on the rest. So any one example may show a pick that loses.")
comparison = course.Comparison(prompts, columns["category"], columns["reference"], picked, scores, "SFT", judge, gold)
widgets.show_answers(comparison, ("SFT", f"SFT, {by}", f"DPO, {by}"))

# %%
for policy in ("DPO", "SFT") if judge else ():
    one, best = f"{policy}, one answer", f"{policy}, best of {p.best_of} by proxy"
    lifts = {name: evaluate.mean_and_interval(found[best] - found[one]) for name, found in won.items()}
    told = [f"{lift} as {name} judges" for name, lift in lifts.items() if name != "proxy"]
    told.append(f"{lifts['proxy']} as the proxy judges its own picks")
    widgets.say(f"**Picking among {p.best_of} answers of {policy} by the proxy lifts the win rate by "
                f"{', and by '.join(told)}.**")

# %% [markdown]
# Where the proxy judges, it judges its **own** picks, and praises them. Whoever picks should not be the one who judges.
# (Paper 002 does not say that its picking and its judging models differ.)
#
# ## A reward model is an ordinary file
#
# It is saved in the standard format of sequence classification, so that any library loads it. Here is plain
# `transformers`, with nothing of ours. Our judge loads such a folder, or a name on the hub, by
# `judges.RewardModel.load`: ones with one output, and ones with two classes, as paper 001's fluency model.

# %%
from pathlib import Path

from transformers import AutoModelForSequenceClassification, AutoTokenizer

saved = Path(p.output_dir) / "reward_model"
models.save_checkpoint(full.model, full.tokenizer, saved)
theirs = AutoModelForSequenceClassification.from_pretrained(saved)
their_tokenizer = AutoTokenizer.from_pretrained(saved)
dialog = [*prompts[0], {"role": "assistant", "content": picked["SFT"][0].text}]
text = their_tokenizer.apply_chat_template(dialog, tokenize=False).rstrip("\n")  # ends with the end-of-turn token
with torch.no_grad():
    plain = theirs(**their_tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits.item()
ours = judges.RewardModel.load(str(saved))([prompts[0]], [picked["SFT"][0].text]).total.item()
print(f"The same answer by transformers alone: {plain:.4f}, by our judge: {ours:.4f}.")

# %% [markdown]
# ## The long run beside this one
#
# Everything above is one seed, and a short training. The *long runs* are reward models that pick the best of five,
# with SFT and with DPO policies trained on thousands of pairs, each with several seeds and with settings that a small
# grid chose on training prompts. They were made once, by `make claims`: they are the one thing here that this run did
# not compute, and no parameter and no edit above changes them. All of them together are in
# [11](11_leaderboard.ipynb).

# %%
from prefnb.claims import beside

beside.show("reward_model", "the reward model", p)

# %% [markdown]
# ## The paper says, we measured
#
# The paper's judge is a model of 70 billion parameters and its policy Qwen2.5-0.5B; ours are far smaller, in a
# world that is small enough to know the truth. Compare directions, not digits. The claim is about a *lift*, so the two
# outcomes are subtracted prompt by prompt before an interval is drawn. The verdict is the long runs' where there are any.

# %%
told_by = "proxy" if judge is proxy else second
strict = outcomes(told_by, tied=0) if judge else {}
rates = {label: {"rate": float(won[told_by][label].mean()), "strict": float(one.mean()),
                 "ties": 2 * float((won[told_by][label] - one).mean()),
                 "interval": evaluate.bootstrap_interval(won[told_by][label])} for label, one in strict.items()}
verdicts, rows = {}, []
for policy, printed, long_run in (("DPO", ".72 to .83, N = 5", (10, 0)), ("SFT", "not tried", ("sft_best_of_5", "sft"))):
    single, label = f"{policy}, one answer", f"{policy}, best of {p.best_of} by proxy"
    if judge:
        lift = won[told_by][label] - won[told_by][single]
        verdicts[policy] = evaluate.verdict(evaluate.bootstrap_interval(lift), null=0.0)
        rows.append([f"10: {label}, has a higher win rate over SFT", printed,
                     f"{won[told_by][single].mean():.2f} to {won[told_by][label].mean():.2f}, "
                     f"a lift of {evaluate.mean_and_interval(lift)}"
                     + ("; the picker judges itself" if judge is proxy else ""), verdicts[policy], long_run])
    else:
        rows.append([f"10: {label}", printed, "no judge but the picker here", "cannot be told"])
beside.show_verdicts(p, rows, ours="this run" + (f", by {told_by}" if judge else ""))

# %% [markdown]
# ## Exercises
#
# 1. A reward model scores two answers to one prompt $\ln 3 \approx 1.0986$ apart. With what probability does it say
#    that the higher one wins?
# 2. Three answers have proxy scores 1, 2 and 3 and gold scores 6, 9 and 3. What is the mean gold score of
#    best-of-2 by the proxy, over all ways to choose two of the three?
# 3. By how many nats can best-of-4 be away from the model, at most?
#
# And something to try: run the notebook with `temperature` 0.5. Predict first what happens to the distance between the
# curves.
#
# <details><summary>Solutions</summary>
#
# 1. $\sigma(\ln 3) = 1/(1 + 1/3) = 3/4$.
# 2. Of {1, 2} it picks the second (gold 9), of {1, 3} and of {2, 3} the third (gold 3): $(9 + 3 + 3)/3 = 5$. A random
#    answer has 6: this proxy is worse than none.
# 3. $\ln 4 - 3/4 \approx 0.636$.
#
# At a lower temperature the answers to a prompt are more alike, so there is less to choose from: expect every picker
# to gain less, gold too.
# </details>

# %%
from prefnb import exercises

answer_1 = None  # a number
answer_2 = None  # a number
answer_3 = None  # a number


def check_exercises():
    """Hold the answers against the definitions."""
    one = torch.tensor(3.0).log().sigmoid().item()
    two = best_of_n(np.array([[1, 2, 3]]), np.array([[6.0, 9.0, 3.0]]), 2).item()
    for number, given, right in ((1, answer_1, one), (2, answer_2, two), (3, answer_3, kl_bound(4))):
        print(f"{number}: {exercises.of_numbers(given, right, within=5e-3)}")


check_exercises()

# %% [markdown]
# ## What you have seen

# %%
summary = {"win_rates": rates, "draws": p.draws,
           "accuracy": {label: float((margin > 0).mean()) for label, margin in margins.items()},
           "calibration_error": {label: calibration_error(margin, margin > 0) for label, margin in margins.items()},
           "categories": {name: float(found.mean()) for name, found in understood.items()},
           "best_of_n": {f"{panel} picked by {picker}": {n: float(found.mean()) for n, found in values.items()}
                         for (picker, panel), values in curves.items()},
           "claim_10": verdicts}
figures = {"calibration": calibration_figure, **({"book_proxy": scatter_figure} if gold else {}),
           "book_best_of_n": best_figure, "wins": wins_figure}
if judge and judge is not proxy:
    most = (won[second][f"SFT, best of {p.best_of} by {second}"] - won[second]["SFT, one answer"]).mean()
    follow = {"holds here": "Follow it this far, but do not let it mark its own picks.", "cannot be told": "Whether to "
              "follow it cannot be told here.", "does not hold here": "Here it is not to be followed."}[verdicts["SFT"]]
    widgets.say(f"**How far can a learnt judge be trusted? Among {p.best_of} answers of SFT its picks lift the win "
                f"rate by {lifts[second]} as {second} judges, whose own picks would lift it by {most:+.2f}; of its picks "
                f"the proxy itself says {lifts['proxy']}. {follow}**")
folder = course.record(p.output_dir, p, histories, comparison, figures, **summary)
print(f"Parameters, histories, responses, figures and the reward model are in {folder}.")

# %% [markdown]
# - A preference is a difference of scores; only differences between answers to one prompt mean anything.
# - A proxy is held against labels, against gold where there is one, and against the ceiling that noisy labels set; and
#   its probabilities are held against what happens.
# - It does not understand all kinds of request alike, and an average hides that.
# - A classifier of single answers is the same curve on one score; what it does not look at, it does not improve.
# - Best-of-N follows a judge without training. The proxy's score always rises; whether the answers get better only
#   another judge can say.
#
# Previous: [04_dppo](04_dppo.ipynb). Next: [06_rs_dpo](06_rs_dpo.ipynb), where this reward model chooses pairs among
# the model's own answers.

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
# # 06 · RS-DPO: what if the rejected answer is the model's own?
#
# DPO's pairs were written by others. The model may never say anything like the rejected response, so what
# does it learn from losing it? *Rejection-sampling DPO* (RS-DPO) lets the model lose with its **own** answers:
# the chosen response stays, the rejected one is sampled from the model. Paper 002 found that a little of this
# helps and that nothing else but this ruins the policy.
#
# You will see
#
# - how a pair whose rejected side is the model's own can be told apart without knowing what is good;
# - the mixture in full: all pairs, a fifth, a tenth;
# - losses and margins that look better, and what the policies then say;
# - win rates against DPO at one, two and three thirds of the epoch, as the paper's table has them;
# - the form that gave the method its name: several samples a prompt, scored by a reward model, and pairs only
#   where the rewards lie far enough apart.
#
# Nothing has to be run first. The loss is DPO's, unchanged: see [02 · DPO](02_dpo.ipynb).

# %% tags=["parameters"]
preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the paper's model and data and wants a GPU
seed: int = 0  # any whole number; the same seed gives the same numbers
model: str = None  # "pocket", a local folder or a hub name; None takes the preset's
dataset: str = None  # preference pairs: "pocket", a local file or a hub name; None takes the preset's
pairs: int = None  # training pairs, 1 or more; None takes the preset's (pocket 256, qwen 61000)
epochs: float = None  # passes over the pairs, above 0, may be a fraction; None takes the preset's (1)
batch_size: int = None  # pairs per optimiser step, 1 to 4096; None takes the preset's
learning_rate: float = None  # above 0, up to 1; None takes the preset's (pocket 2e-4, qwen 5e-6)
beta: float = None  # DPO's beta, 0 to 100; None takes the preset's (pocket 0.1, qwen 0.01)
shares: str = "0.1,0.2,1"  # shares of pairs that get the model's own answer as rejected, above 0 to 1
temperature: float = 0.7  # of the model's own answers, 0.01 to 2
faster: float = 5.0  # learning rate of the second look at the full replacement, in multiples, above 0
samples: int = 4  # answers a prompt in the k-sample form, 2 to 64
threshold: float = 0.6  # least difference in reward that makes a pair, 0 or more, in shares of the median spread
test_prompts: int = 100  # prompts that the policies are compared on, 20 or more
draws: int = 4  # answers per prompt and policy, 1 to 64
output_dir: str = "runs/06_rs_dpo"  # where the run leaves its numbers and figures

# %%
from prefnb import parameters, recipes

p = parameters.check(globals(), recipes.DPO, shares=parameters.Numbers(above=0, high=1),
                     temperature=parameters.Number(0.01, 2), faster=parameters.Number(above=0, high=1000),
                     samples=parameters.Whole(2, 64), threshold=parameters.Number(0),
                     test_prompts=parameters.Whole(20, 100_000), draws=parameters.Whole(1, 64))

# %%
import random
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from prefnb import data, evaluate, judges, models, pairs as made_pairs, plots, widgets
from prefnb.batches import Batches
from prefnb.logprobs import DatasetLogprobs
from prefnb.objectives.dpo import dpo
from prefnb.train import train

plt.style.use("prefnb.book")

# %% [markdown]
# ## The idea
#
# A pair has a prompt $x$, a chosen response $y_w$ and a rejected one $y_l$. With $\pi_\theta$ the policy in
# training, $\pi_\text{ref}$ the frozen model it started from, $S(y)$ the log-prob of a response under the
# policy and $d(y) = S(y) - S_\text{ref}(y)$, DPO is
#
# $$L = -\log \sigma\big(\beta\,(d(y_w) - d(y_l))\big).$$
#
# RS-DPO changes nothing here. It changes $y_l$: instead of somebody's answer, $y_l \sim \pi_\text{ref}(\cdot \mid x)$,
# an answer that the model itself gives. Two things speak for that. The lesson is about what the model *does*,
# and a new prompt needs one good answer only. It rests on an assumption: the chosen response must be better than
# what the model says.
#
# And one thing speaks against it. A loss is content with **any** difference between the two sides. Somebody
# else's answer and the model's own differ in a way that has nothing to do with quality: one of them is in the
# model's own words. The lesson "be unlike yourself" fits every such pair.
#
# ## The mixture in full
#
# Paper 002 tries all pairs replaced, a fifth, and a tenth. Training below uses this function: change it and
# run on. It takes token ids, because a sample that is decoded and encoded again may not be the same sample.

# %%
def mixture(pairs, samples, share, seed=0):
    """`pairs` with exactly that share of their rejected responses replaced by the model's own, and which ones."""
    kept = [i for i, ids in enumerate(samples) if ids != pairs.responses["chosen"][i]]  # equal sides teach nothing
    changed = random.Random(seed).sample(range(len(kept)), len(kept))[:round(share * len(kept))]
    rejected = [pairs.responses["rejected"][i] for i in kept]
    for place in changed:
        rejected[place] = samples[kept[place]]
    mixed = replace(pairs, prompt_ids=[pairs.prompt_ids[i] for i in kept], kept=[pairs.kept[i] for i in kept],
                    responses={"chosen": [pairs.responses["chosen"][i] for i in kept], "rejected": rejected})
    return mixed, sorted(changed)


# %% [markdown]
# One seed orders all pairs once, so the pairs changed at a tenth are among those changed at a fifth: the
# mixtures differ in how much was replaced, and in nothing else.
#
# ## Data: the model's own answers
#
# The fine-tuned model (made now if the cache does not have it) answers every training prompt once.

# %%
sft, tokenizer = recipes.starting_policy(p)
original = recipes.pair_examples(p, tokenizer)
own = [one.ids for one in recipes.samples_of(sft, tokenizer, original.prompt_ids, temperature=p.temperature,
                                             max_new_tokens=p.max_response_tokens, seed=p.seed)]
mixtures = {f"RS-DPO, {share:.0%}": mixture(original, own, share, p.seed)[0] for share in p.shares}
full_of_own, _ = mixture(original, own, 1.0, p.seed)
widgets.show_table(
    ["training set", "pairs", "of them with the model's own answer"], ["DPO", len(original), 0],
    *[[label, len(mixed), round(share * len(mixed))] for (label, mixed), share in zip(mixtures.items(), p.shares)])

# %% [markdown]
# ### Can the sides be told apart by whose words they are?
#
# Before any training, here is how likely the model finds each kind of response, per token. If "the one less
# like me" picks the chosen response nearly every time, the pairs can be won without learning what is good.

# %%
known = {"dpo": recipes.reference(sft, original), "own": recipes.reference(sft, full_of_own)}
per_token = {"chosen $y_w$": known["dpo"].all().chosen.mean.numpy(),
             "rejected, in the data": known["dpo"].all().rejected.mean.numpy(),
             "the model's own": known["own"].all().rejected.mean.numpy()}
shortcut_figure, axis = plt.subplots(figsize=(7, 2.6))
everything = np.concatenate(list(per_token.values()))
edges = np.linspace(np.quantile(everything, 0.01), 0, 40)  # the least likely hundredth is off to the left
for (label, values), colour in zip(per_token.items(), (plots.ROLES["chosen"], plots.ROLES["rejected"], "#555555")):
    axis.hist(values, edges, histtype="step", linewidth=1.6, color=colour, label=label)
axis.set(xlabel="log-prob per token under the reference (nats)", ylabel="responses")
axis.legend(loc="upper left")
plt.close(shortcut_figure)
display(shortcut_figure)


def shortcut(logprobs):
    """1 for each pair whose chosen response is the less likely one per token."""
    return (logprobs.all().chosen.mean < logprobs.all().rejected.mean).float().numpy()


rule = {"pairs of the data": shortcut(known["dpo"]), "pairs against the model's own": shortcut(known["own"])}
widgets.show_table(
    ["\"the less likely per token is the chosen one\"", "right", "95% interval"],
    *[[label, f"{hits.mean():.2f}", "{:.2f} to {:.2f}".format(*evaluate.wilson_interval(hits.sum(), len(hits)))]
      for label, hits in rule.items()])

# %% [markdown]
# A rule at one half knows nothing. Compare the two rows: the further the second lies above the first, the more
# of the full RS-DPO loss can be had by moving away from oneself.
#
# ## Training
#
# Every policy starts from the same weights and sees the same prompts for one epoch (or `epochs`). Three times
# on the way, at a third, two thirds and the end, it answers each test prompt `draws` times.

# %%
prompts_table = data.load_prompts(p.dataset, "test", limit=p.test_prompts, seed=p.seed)
prompts = prompts_table["prompt"][:]
answer = lambda policy: recipes.answers_of(policy, tokenizer, prompts, draws=p.draws, temperature=0.7,
                                           max_new_tokens=p.max_response_tokens)
sft_answers = answer(sft)


def trained(examples, learning_rate=p.learning_rate, epochs=p.epochs, live=None):
    """A copy of the SFT policy after DPO on `examples`, its history, and its answers at each third."""
    policy, answers = models.copy_model(sft), []
    batches = Batches(examples, p.batch_size, accumulation=p.accumulation, seed=p.seed,
                      reference=recipes.reference(sft, examples))
    steps = max(1, round(epochs * len(batches)))

    def look(policy):
        answers.append(answer(policy) if answers else sft_answers)  # the first look, before training, is at SFT
        return {"mean_length": evaluate.mean_length(answers[-1])}

    history = train(policy, batches, partial(dpo, beta=p.beta), epochs=epochs, learning_rate=learning_rate,
                    schedule=p.schedule, monitor=look, monitor_every=max(1, -(-steps // 3)), live=live)
    return policy, history, answers[1:]


# %%
policies, histories, thirds = {}, {}, {}
policies["DPO"], histories["DPO"], thirds["DPO"] = trained(original)
for label, mixed in mixtures.items():
    policies[label], histories[label], thirds[label] = trained(mixed)
plots.plot_training(histories, ["loss", "margin", "accuracy"])

# %% [markdown]
# Look at loss and margin. If a curve of RS-DPO lies below DPO's in the loss and above it in the margin, that
# is what the paper saw too, and took for good news at first. Neither curve knows what the policy says.
#
# ## What do they say?
#
# A reader of answers comes before any rate. Here are three prompts, each answered by SFT, by DPO and by the
# policy with the most of its own answers rejected.

# %%
most = f"RS-DPO, {max(p.shares):.0%}"
gold = judges.GoldJudge()
judged = data.is_pocket(p.dataset)
final = {"SFT": sft_answers, **{label: answers[-1] for label, answers in thirds.items()}}
judge = partial(judges.score_samples, gold, prompts)
scores = {label: judge(drawn) for label, drawn in final.items()} if judged else {}
shown = ("SFT", "DPO", most)
widgets.show_responses(prompts, {label: final[label] for label in shown},
                       {label: scores[label] for label in shown} if judged else None)

# %%
checks = {label: evaluate.collapse_check(drawn, sft_answers) for label, drawn in final.items() if label != "SFT"}
widgets.show_table(
    ["policy", "tokens a response", "of SFT's", "distinct-2, of SFT's", "never end", "collapsed?"],
    *[[label, f"{evaluate.mean_length(final[label]):.1f}", f"{check.measures['length_ratio']:.2f}",
       f"{check.measures['distinct_ratio']:.2f}", f"{check.measures['unfinished']:.0%}",
       "; ".join(check.reasons) if check.collapsed else "no"] for label, check in checks.items()])

# %% [markdown]
# ## Does it win? At thirds of the epoch
#
# The paper's table compares each policy with the DPO model at a third, two thirds and the whole of an epoch.
# So does ours, each time against the answers of the *finished* DPO policy. A tie counts half; the bars are 95%
# intervals over prompts. One half is the DPO policy itself.

# %%
PAPER = {"RS-DPO, 100%": (0.12, 0.15, 0.10), "RS-DPO, 20%": (0.62, 0.585, 0.48), "RS-DPO, 10%": (0.515, 0.555, 0.67)}


def against(drawn, baseline):
    """The win rate of one set of answers against another, by the gold judge."""
    return evaluate.win_rate(judge(drawn), judge(baseline), tie=gold.tie)


thirds_figure, rates = None, {}
if judged:
    rates = {label: [against(drawn, thirds["DPO"][-1]) for drawn in answers]
             for label, answers in thirds.items() if label != "DPO"}
    thirds_figure, axis = plt.subplots(figsize=(7, 3))
    for number, (label, found) in enumerate(rates.items()):
        x, y = np.arange(1, len(found) + 1) / len(found) + 0.012 * (number - 1), np.array([rate.rate for rate in found])
        low, high = np.array([rate.interval for rate in found]).T
        axis.errorbar(x, y, [y - low, high - y], marker="o", capsize=3, color=plots.CYCLE[number], label=label)
        if label in PAPER and len(found) == 3:
            axis.plot(np.arange(1, 4) / 3, PAPER[label], ":", color=plots.CYCLE[number])
    axis.axhline(0.5, color="#888888", linewidth=0.8)
    axis.set(xlabel="share of the training done", ylabel="win rate against DPO", ylim=(0, 1))
    axis.legend(title="solid: here; dotted: the paper", ncols=2)
    plt.close(thirds_figure)
thirds_figure

# %% [markdown]
# ## The full replacement, faster
#
# A small step size can hide a bad lesson. Here are DPO and the full replacement again, both with `faster` times
# the learning rate, so that the data are the only difference. Watch the lengths and the reasons, not only the
# rate.

# %%
for label, examples in {"DPO, faster": original, "full RS-DPO, faster": full_of_own}.items():
    rate = min(1.0, p.faster * p.learning_rate)
    policies[label], histories[label], thirds[label] = trained(examples, learning_rate=rate)
    checks[label] = evaluate.collapse_check(thirds[label][-1], sft_answers)
rows = [["policy", "last losses", "last margins", "against SFT", "tokens, of SFT's", "collapsed?"]]
for label in ("DPO", most, "DPO, faster", "full RS-DPO, faster"):
    rows.append([label, f"{histories[label].last('loss', 5):.3f}", f"{histories[label].last('margin', 5):.2f}",
                 against(thirds[label][-1], sft_answers) if judged else "no judge",
                 f"{checks[label].measures['length_ratio']:.2f}", "; ".join(checks[label].reasons) or "no"])
widgets.show_table(*rows)

# %%
full_loses = against(thirds["full RS-DPO, faster"][-1], thirds["DPO, faster"][-1]) if judged else None
if judged:
    low, high = full_loses.interval
    verdict = "loses to" if high < 0.5 else "beats" if low > 0.5 else "cannot be told from"
    display(Markdown(f"At {p.faster:g} times the rate the full replacement **{verdict}** DPO ({full_loses}). "
                     f"{checks['full RS-DPO, faster']}"))

# %% [markdown]
# ## Several samples a prompt, and a reward model
#
# The method that gave RS-DPO its name (Khaki et al. 2024) assumes less: the chosen response need not be
# somebody else's. The model answers each prompt $k$ times, a reward model scores the answers, and every two
# answers whose scores differ by more than a threshold make a pair. Both sides are now the model's own, so "be
# unlike yourself" wins nothing. The price is a reward model, and what it gets wrong (its notebook is 05). It
# was trained on preference pairs, here from the cache or now.

# %%
proxy = recipes.reward_model(preset=p.preset, seed=p.seed, dataset=p.dataset, model=p.model)
proxy_judge = judges.RewardModel(proxy.model, proxy.tokenizer)
drawn = recipes.samples_of(sft, tokenizer, original.prompt_ids, temperature=1.0, samples=p.samples,
                           max_new_tokens=p.max_response_tokens, seed=p.seed)
rows_of_pairs = data.load_pairs(p.dataset, "train", limit=p.pairs, seed=p.seed)["prompt"][:]
asked = [rows_of_pairs[i] for i in original.kept for _ in range(p.samples)]
reward = proxy_judge(asked, [one.text for one in drawn]).total.reshape(-1, p.samples)
groups = [[one.ids for one in drawn[i:i + p.samples]] for i in range(0, len(drawn), p.samples)]
spread = float(np.median(reward.max(1) - reward.min(1)))  # between a prompt's best and worst sample
gap_pairs = made_pairs.over_threshold(original.prompt_ids, groups, reward, threshold=p.threshold * spread)
print(f"{len(gap_pairs)} pairs from {len(groups)} prompts x {p.samples} samples; best and worst of a prompt lie "
      f"{spread:.2f} points apart (median), the threshold is {p.threshold * spread:.2f}. {' '.join(gap_pairs.report)}")

# %%
label = "k samples"
policies[label], histories[label], thirds[label] = trained(gap_pairs, epochs=p.epochs * len(original) / len(gap_pairs))
checks[label] = evaluate.collapse_check(thirds[label][-1], sft_answers)
compared = {label: thirds[label][-1] for label in ("DPO", *mixtures, "k samples")}
final_figure = None
if judged:
    final_rates = {label: against(found, sft_answers) for label, found in compared.items()}
    final_figure = plots.plot_win_rates(final_rates, against="SFT")
final_figure

# %% [markdown]
# The k-sample policy took as many steps as the others. Its pairs are on-policy on both sides, and its labels
# are as good as the reward model is.

# %%
held_out = recipes.pair_examples(p, tokenizer, "test", limit=128)
held_reference = recipes.reference(sft, held_out).all()
rows = [["policy", "held-out accuracy", "held-out margin", "training margin, last", "sampled KL from SFT (nats)"]]
for label in compared:
    metrics = dpo(DatasetLogprobs.compute(policies[label], held_out).all(), held_reference, beta=p.beta)[1]
    kl = recipes.sampled_kl(policies[label], sft, tokenizer, prompts[:48], max_new_tokens=p.max_response_tokens)
    rows.append([label, f"{metrics['accuracy'].mean():.2f}", f"{metrics['margin'].mean():+.3f}",
                 f"{histories[label].last('margin', 5):.2f}", f"{kl['k3']:.2f}"])
widgets.show_table(*rows)

# %% [markdown]
# Set the training margin beside the margin on held-out pairs of the data set. A policy whose training margin
# is large and whose held-out margin is not has learnt something about its own answers, not about the
# preferences.
#
# ## The paper says, we measured
#
# The paper trains Qwen2.5-0.5B on 61,000 pairs and asks a large reward model; this is one seed in a far smaller
# world unless you changed the preset. Compare directions, not digits.

# %%
rows = [["claim", "the paper", "we measured", "verdict (one seed)"]]
if judged:
    full, tenth, fifth = (f"RS-DPO, {share}" for share in ("100%", "10%", "20%"))
    if full in rates:
        last = rates[full][-1]
        lower = histories[full].last("loss", 5) < histories["DPO"].last("loss", 5)
        larger = histories[full].last("margin", 5) > histories["DPO"].last("margin", 5)
        rows.append(["8: the full replacement loses to DPO", ".10 to .15", last,
                     evaluate.verdict((1 - last.interval[1], 1 - last.interval[0]))])
        rows.append(["8: ... and yet its loss is lower and its margin larger", "figs. 7, 8",
                     f"loss lower: {lower}, margin larger: {larger}",
                     "holds here" if lower and larger else "does not hold here"])
    if tenth in rates:
        rows.append(["9: a tenth beats DPO", ".67", rates[tenth][-1], evaluate.verdict(rates[tenth][-1].interval)])
    if fifth in rates and len(rates[fifth]) == 3:
        early = [judge(answers).total for answers in (thirds[fifth][0], thirds[fifth][-1])]
        low, high = evaluate.bootstrap_interval(early[0] - early[1])
        rows.append(["9: a fifth is better early than late", ".62, then .48",
                     " ".join(f"{rate.rate:.2f}" for rate in rates[fifth]), evaluate.verdict((low, high), 0)])
    widgets.show_table(*rows)
else:
    print("No gold judge knows the answers here; the tables above show margins, held-out accuracy and collapse instead.")

# %% [markdown]
# ## Exercises
#
# 1. A data set has 500 pairs; for 20 of them the model's sample is the chosen response itself. How many pairs
#    does the 10% mixture change?
# 2. Three samples of one prompt score 0, 1 and 3. How many pairs come from them at a threshold of 1, and how
#    many at 0.5?
# 3. Run the notebook with `temperature` 1.5. Predict first: does the shortcut rule get better or worse at
#    picking the chosen response?
#
# <details><summary>Solutions</summary>
#
# 1. The 20 pairs are left out; a tenth of the remaining 480 is 48.
# 2. At 1: (3, 0) and (3, 1), since 1 - 0 is not *more* than 1. At 0.5 all three.
# 3. Hot samples are made of unlikely tokens, so the model's own answers become less likely per token and the
#    two sides harder to tell by that rule. Other tells take its place: hot samples make mistakes that a chosen
#    response does not.
# </details>

# %%
answer_1 = None  # a number
answer_2 = None  # two numbers, such as (1, 2)


def check_exercises():
    """Hold the answers against the definitions."""
    for number, given, right in ((1, answer_1, 48), (2, answer_2, (2, 3))):
        said = "not answered yet" if given is None else "right" if given == right else "not yet"
        print(f"{number}: {said}")


check_exercises()

# %%
column = lambda name: prompts_table[name][:] if name in prompts_table.column_names else [""] * len(prompts)
comparison = recipes.Comparison(
    prompts, column("category"), column("reference"), {"SFT": sft_answers, **compared},
    {name: judge(found) for name, found in {"SFT": sft_answers, **compared}.items()} if judged else {},
    "SFT", gold.tie)
by_name = {name.replace("%", "").replace(",", ""): history for name, history in histories.items()}
folder = recipes.record(p.output_dir, p, by_name, comparison,
                        collapsed={name: check.reasons for name, check in checks.items() if check.collapsed},
                        thirds={name: [rate.rate for rate in found] for name, found in rates.items()})
for name, figure in {"shortcut": shortcut_figure, "book_thirds": thirds_figure}.items():
    if figure is not None:
        figure.savefig(folder / f"{name}.png")
print(f"Parameters, histories, responses and figures are in {folder}.")

# %% [markdown]
# ## What you have seen
#
# - RS-DPO is DPO with the model's own answers as rejected ones; the loss is the same, the data are not.
# - A pair of somebody else's answer and one's own can be told apart by whose words they are; a loss takes
#   whatever tells them apart.
# - Loss and margin measure how well the pairs are told apart, not how good the answers are: look at what the
#   policy says, and at a judge.
# - With several scored samples a prompt, both sides are the model's own and that shortcut is gone; the labels
#   are then the reward model's.
#
# Previous: [05_reward_model](05_reward_model.ipynb). Next: [07_self_improvement](07_self_improvement.ipynb), where both
# sides of every pair are the model's own, round after round. The loss itself: [02_dpo](02_dpo.ipynb).

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
from functools import partial

import matplotlib.pyplot as plt
import torch
from IPython.display import display
from torch.nn.functional import logsigmoid

from prefnb import course, data, explorer, methods, parameters, plots, retrain, widgets
from prefnb.lessons import asked, dpo as lesson, words
from prefnb.logprobs import from_tokens

p = parameters.check(globals(), methods.dpo.Settings, course.Judging,
                     betas=parameters.Numbers(above=0, high=100), few=parameters.Whole(1),
                     longer=(positive := parameters.Number(above=0, high=1000)), faster=positive,
                     strength=parameters.Number(0, 1000))
plt.style.use("prefnb.book")
all_betas = sorted({p.beta, *p.betas})

# %% [markdown]
# ## The idea
#
# A [**preference pair**](glossary.md) is a prompt $x$ with two responses: $y_w$, which was *chosen* (it won), and $y_l$,
# which was *rejected* (it lost). The [**policy**](glossary.md) $\pi_\theta$ is the model we train; the **reference**
# $\pi_{\text{ref}}$ is a frozen copy of where it started, here the SFT model. Four steps lead to the loss.
#
# 1. **From scores to choices.** Suppose every response has a reward $r(x, y)$. The [Bradley-Terry model](glossary.md) says how
#    often the better one is chosen: $P(y_w \text{ beats } y_l) = \sigma\big(r(x, y_w) - r(x, y_l)\big)$, with
#    $\sigma(z) = 1/(1+e^{-z})$.
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
def dpo(policy, reference, *, beta):
    """The DPO loss of each pair, and what to watch. `policy.chosen.sum` is S(yw), one a pair."""
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
# ### Four pairs by hand, and the loss drawn
#
# Take $\beta = 0.1$ and a reference that gives every response $S_{\text{ref}} = -12$ nats. For the first pair
# the policy has $S(y_w) = -10$ and $S(y_l) = -15$, so $d(y_w) = 2$, $d(y_l) = -3$ and $m = 0.1 \cdot (2 + 3)
# = 0.5$. The loss is $-\log \sigma(0.5)$. Work out one more row before you look. The last column is the
# gradient with respect to $S(y_w)$, from autograd; by hand it is $-\beta\, \sigma(-m)$, and with respect to
# $S(y_l)$ it is the same number with the other sign. The last row is where every run begins: the policy *is* the
# reference, the margin is 0, and the loss is $-\log \sigma(0) = \ln 2$.
#
# Then the figure. Left: the loss falls with the margin and never quite reaches 0. Its gradient, $\sigma(-m)$ in size, is
# near 1 for pairs that the policy has the wrong way round and dies out for pairs that it has right: **DPO works on its
# mistakes.** Right: the same gradient with its factor $\beta$, against the gap $d(y_w) - d(y_l)$ in nats. A **higher**
# $\beta$ turns a small gap into a large margin, so the curve dies out *sooner*: the policy has no reason to go further.
# **A higher beta keeps the policy closer to the reference**, as its role as a price says.
#
# Last, move it yourself, by the numbers in the formula, which can be dragged, or by the sliders: $\beta$, and how much likelier either response has become. Moving both $d(y)$ together changes
# nothing, and the two gradients are always the same number with opposite signs.

# %%
toy_chosen = torch.tensor([[-10.0], [-13.0], [-15.0], [-12.0]], requires_grad=True)
toy_policy = from_tokens(chosen=toy_chosen, rejected=[[-15.0], [-18.0], [-13.0], [-12.0]])
toy_reference = from_tokens(chosen=[[-12.0]] * 4, rejected=[[-12.0]] * 4)
toy_loss, toy = dpo(toy_policy, toy_reference, beta=0.1)
toy_loss.sum().backward()
names = "both move the right way", "both fall, the rejected more", "the wrong one gains", "step 0"
moved = [(toy[f"logp_{side}"] + 12).tolist() for side in ("chosen", "rejected")]
widgets.show_table(["pair", "d(chosen)", "d(rejected)", "margin", "loss", "gradient"],
                   *zip(names, *moved, toy["margin"].tolist(), toy_loss.tolist(),
                        toy_chosen.grad[:, 0].tolist()))
widgets.say(lesson.toy_in_words(toy, toy_loss))
loss_figure = lesson.plot_loss(all_betas)
display(loss_figure)
widgets.say(lesson.push_in_words(all_betas))
explorer.show({"DPO": dpo}, explorer.DPO, beta=(0.01, 1.0, p.beta, 0.01))

# %% [markdown]
# ## The data
#
# In the pocket world both responses of a pair come from writers with habits, not from our model (the data are
# *off-policy*), and the annotator errs now and then. Our model has habits of its own: most demonstrations that it
# learnt from came from houses with a fixed style (a closing formula, a sentence said again, the last thing asked left
# out), and that style is now its first choice. No answer of the pairs has it, so there is something to correct.
# Responses are tokenised with the [chat template](glossary.md); the closing end-of-turn token belongs to the response.
# Below are one pair to read and the lengths of all.

# %%
if not data.Source(p.dataset).is_brief and p.model == "pocket":  # real text is longer
    p.max_prompt_tokens = max_prompt_tokens or 256  # half of the model's window each
    p.max_response_tokens = max_response_tokens or 256
sft, tokenizer = methods.sft.starting_policy(p)
judge = methods.reward_model.judge_of(p)  # None where nobody can judge
examples = course.pair_examples(p, tokenizer)
held_out = course.pair_examples(p, tokenizer, "test", limit=p.test_prompts)
pair = data.Source(p.dataset).pairs(limit=p.pairs, seed=p.seed)[examples.kept[0]]
texts = pair["prompt"][-1]["content"], pair["chosen"], pair["rejected"]
shown = [widgets.escaped(text[:600]) for text in texts]
widgets.show_table(["prompt", "chosen", "rejected"], shown)
display(plots.plot_lengths(lesson.lengths(examples)))
widgets.say(lesson.pairs_in_words(examples, held_out))

# %% [markdown]
# ## Training: did the chosen response become more likely?
#
# **Step 0 first.** The reference never changes, so its log-probabilities are computed once. Before any training the policy
# equals the reference: no response has moved, so the loss must be $\ln 2$ and every margin 0. If that ever fails, look for
# dropout, another precision, or another template.
#
# **Then the training.** The policy passes over the pairs `epochs` times. Watch the loss leave $\ln 2$ and the margin leave
# 0. Accuracy is the share of pairs whose margin is positive: the policy, seen as a reward model, agrees with the choice.
# The faint curves are single batches, each of which has other pairs; the strong ones are the same 128 held-out pairs, looked
# at every few steps, with a 95% interval as a band. This run is trained before your eyes, with the loss above. The runs that follow come
# ready-made with the package as long as the parameters are the defaults and the loss is as printed; after an edit they are
# trained anew, with your loss. At the defaults the live run is the DPO that later notebooks compare with, which comes
# ready-made too: two lines say in what they agree.
#
# **Then the question.** The second picture has $d(y_w)$ and $d(y_l)$ on those pairs while training. The sentence below it
# measures the same on all held-out pairs: the mean of $d(y)$, with a 95% interval.

# %%
held_out_reference = course.reference(sft, held_out).all()


def on_held_out(policy, beta):
    """Loss, metrics and both d(y) of every held-out pair, none of which was trained on."""
    return lesson.on_held_out(policy, held_out, held_out_reference, partial(dpo, beta=beta))


before = on_held_out(sft, p.beta)
widgets.say(lesson.step_0_in_words(before))
loss = partial(dpo, beta=p.beta)
policy, history = course.fit(sft, examples, loss, p, live=plots.LiveFigure(),
                             also=course.watched(loss, sft, held_out, p, examples))
widgets.say(lesson.trained_in_words(history, p.batch_size))
policies, histories = {p.beta: lesson.one_dpo(policy, history, p, dpo)}, {p.beta: history}
after = on_held_out(policies[p.beta], p.beta)
display(plots.plot_logprobs(history))
widgets.say(lesson.moved_in_words(after))

# %% [markdown]
# ## What beta holds back
#
# The same training at other values of $\beta$ (ready-made, see above). How far each policy went is a **KL
# divergence**, and a KL is an average over the *policy's own samples*: the policy answers the first 128 test
# prompts at temperature 1. For a sampled token let $r = \pi_{\text{ref}} / \pi_\theta$, the two models' probabilities of it; its
# share of the KL is estimated by $k_1 = -\log r$, the definition itself, or by $k_3 = r - 1 - \log r$, which has the same
# mean (the mean of $r$ is 1), is never negative, and is less noisy. Here $k_3$ is summed over the tokens of each response
# (nats per response).
# A log-ratio averaged over the data set's responses would not be a KL.
#
# Margins of different betas cannot be compared, since the margin has beta in it: read the gap in nats beside it. Adam divides
# the gradient by its own size, so all betas begin with nearly the same steps; they part when the margins are no longer
# small, and with a high beta that is sooner.
#
# At the end you can turn $\beta$ yourself: move the slider and let go. A policy is trained anew on 128 pairs, in some seconds,
# and drawn over the last attempts. So few pairs move it little; what shows is how the margins part.

# %%
for value in all_betas:
    if value not in policies:
        policies[value], histories[value] = course.fit(sft, examples, partial(dpo, beta=value), p)
prompts = asked.prompts_for_kl(p, tokenizer)
kl_from_sft = partial(course.sampled_kl, reference_model=sft, tokenizer=tokenizer, prompts=prompts,
                      max_new_tokens=p.max_response_tokens)
kls = {value: kl_from_sft(policies[value]) for value in all_betas}
seen = {value: on_held_out(policies[value], value) for value in all_betas}
by_beta = {f"beta {value:g}": histories[value] for value in all_betas}
display(plots.plot_training(by_beta, ["loss", "margin", "accuracy"]))
widgets.show_table(*lesson.beta_table(seen, kls))
widgets.say(f"**{lesson.order_of_kls(kls)}**")
by_hand = retrain.Retrainer(p, sft, tokenizer, examples, "beta",
                            lambda value: partial(dpo, beta=value), "02_dpo")
by_hand.show(0.01, 1.0, p.beta, 0.01)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Two closer looks: one pair in slow motion, and the implicit rewards
#
# Inside, a single held-out pair is trained on token by token, and the rewards of all held-out responses are drawn before and
# after training: what comes out is how unevenly tokens share a push that is the same on all, and how far the two heaps part.

# %% [markdown]
# **One pair in slow motion.** Eight steps on a single held-out pair, from the SFT model. At step 0 the push is the same on
# every token, $\beta/2$ up for the chosen response and as much down for the rejected one. What comes of it is not: tokens that
# both sides share move little, and those that are likely already cannot move far. The slider goes back too; a token's number
# is in its tooltip.

# %%
from prefnb import slow_motion

film = slow_motion.film(sft, tokenizer, held_out, partial(dpo, beta=p.beta), rate=p.learning_rate)
slow_motion.show(film)
widgets.say(lesson.film_in_words(film))

# %% [markdown]
# **The implicit rewards.** How $\beta\, d(y)$ is distributed over the held-out responses. Before training all are 0; training
# moves the heap of the chosen and that of the rejected responses apart.

# %%
rewards = [{side: state[f"reward_{side}"].numpy() for side in ("chosen", "rejected")}
           for state in (before, after)]
rewards_figure = plots.plot_rewards(*rewards)
display(rewards_figure)
widgets.say(lesson.rewards_in_words(after, annotated=data.Source(p.dataset).judge is not None))

# %% [markdown]
# ## Does it win?
#
# Every policy answers each test prompt `draws` times at temperature 0.7 and the judge scores each answer: in the
# pocket world the gold judge, which knows what is right, unless `judge` names another. Every answer meets every one
# of SFT's to the same prompt; the **win rate** is the share of these comparisons that a policy wins, a tie counting
# half, with a 95% interval over prompts. At one half (the dotted line) neither is better.
#
# Then, what changed in the answers? The gold judge, where there is one, also names the flaws that show: words or sentences
# said twice (disfluent), more than was asked for (rambling), claims and courtesies (boilerplate), something asked for of which
# nothing is said (incomplete). Below them is the share of the asked-for parts that are right. Preferences can move
# *how* the model answers more than *what it knows*.

# %%
main = f"DPO, beta {p.beta:g}"
contestants = {"SFT": sft, **{f"DPO, beta {value:g}": policies[value] for value in all_betas}}
comparison = course.compare(contestants, tokenizer, p, judge=judge)
categories = comparison.by_category(main)  # none without a judge, or of other data
if judge:
    display(plots.plot_win_rates(comparison.win_rates, against="SFT"))
    words.print_rate("DPO", comparison.win_rates[main], f"judge: {judge.name}")
    widgets.say(words.who_wins(comparison.win_rates))
if categories:
    display(plots.plot_categories(categories, against="SFT"))
    widgets.say(words.categories_won(categories, "DPO", judge.name))
if not judge:
    widgets.show_table(*lesson.without_judge(seen))
widgets.say(words.how_they_ended(comparison))
words.show_changes(comparison, main, "DPO")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### More is not better: a run that goes further
#
# Inside, DPO passes over few pairs many times, in large steps; what comes out is whether its loss on other pairs and the quality
# of its answers follow the loss on those few.

# %% [markdown]
# The loss speaks of pairs; we care about answers. Now a run (ready-made) sees only the first `few` pairs, but
# `longer` times, in steps `faster` times as large, so that its loss on *them* can go down much further. If all
# the same the loss on held-out pairs is higher, or the answers are worse, the policy is [**over-optimised**](glossary.md): it
# fits these pairs and not what they stand for. In the figure, left: the training loss step by step, and as dots
# the loss on held-out pairs before and after. Right: what the judge gives the answers to the test prompts
# (mean and 95% interval; where there is no judge, the accuracy on held-out pairs).

# %%
from prefnb.course.watching import first

some = first(examples, p.few)
farther, histories["further"] = course.fit(sft, some, partial(dpo, beta=p.beta), p, epochs=p.longer,
                                           learning_rate=min(1.0, p.faster * p.learning_rate))
comparison = course.compare({**contestants, "DPO, further": farther}, tokenizer, p, judge=judge)
runs = {"SFT": before, main: after, "DPO, further": on_held_out(farther, p.beta)}
both = {main: histories[p.beta], "DPO, further": histories["further"]}
found = lesson.quality_of(runs, comparison), f"{judge.name} score" if judge else "held-out accuracy"
overdone_figure = lesson.plot_overdone(main, runs, both, *found)
display(overdone_figure)
widgets.say(lesson.overdone_in_words(main, runs, both, *found))
widgets.say(words.how_it_ended(comparison, "DPO, further"))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Two remedies of paper 002: holding on to the chosen response, and to the reference
#
# Inside, DPO is trained with one term more, DPO-Positive's or a "KL"; what comes out is where either leaves both responses, and
# that the "KL" is none.

# %% [markdown]
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
# losses, and come ready-made. In the figure each variant has a blue dot for $d(y_w)$ and an orange one for $d(y_l)$ on
# held-out pairs. Right of the line means *more likely than under the reference*. DPO pushes the two apart and does not mind
# where they are. The table's last columns say how far the policy moved, by its own samples.

# %%
from prefnb.methods.dpo import dpo_kl_as_printed, dpo_positive

pull = p.strength * p.beta
variants = {"DPO-Positive": partial(dpo_positive, beta=p.beta, penalty=pull, form="added"),
            '"KL" as printed': partial(dpo_kl_as_printed, beta=p.beta, weight=pull)}
variants_seen, variant_kls = {"DPO": after}, {"DPO": kls[p.beta]}
for label, objective in variants.items():
    policy, histories[label] = course.fit(sft, examples, objective, p)
    variants_seen[label], variant_kls[label] = on_held_out(policy, p.beta), kl_from_sft(policy)
shift_figure = lesson.plot_shifts(variants_seen)
display(shift_figure)
penalties = {label: histories[label].last("penalty") for label in variants}
widgets.show_table(*lesson.variant_table(variants_seen, variant_kls, penalties))
widgets.say(lesson.variants_in_words(variants_seen, penalties['"KL" as printed']))

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

renamed = replace(comparison, answers={**comparison.answers, "DPO": comparison.answers[main]})
beside.show("dpo", "DPO", p, history=histories[p.beta],
            metrics=("loss", "margin", "logp_chosen", "logp_rejected"),
            live=comparison.win_rates.get(main), comparison=renamed)

# %% [markdown]
# ## The papers say, we measured
#
# The papers train Qwen2.5-0.5B on UltraFeedback and ask a large reward model; by default we train a far
# smaller model, in a world small enough to know the truth. So compare directions, not digits. The verdict is the long
# runs' where there are any, and else that of this **one seed**: `-p seed 1` is another. DPO-Positive is that of the folded
# section above.

# %%
rows = lesson.claims(comparison.win_rates.get(main), variants_seen, kls)
ours = "this run" + (f" (judge: {judge.name})" if judge else "")
beside.show_verdicts(p, rows, ours=ours, also=[12])

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
# 1. Both log-probs fall: $d(y_w) = -4$ and $d(y_l) = -9$, with $\beta = 0.2$. Predict, then run: is the loss `"above"`,
#    `"below"` or `"at"` the $\ln 2$ that it began with?
# 2. At step 0 DPO pushes the rejected response down. Which weight $\lambda$ of the printed "KL" (see the
#    remedies of paper 002) cancels that push exactly, at $\beta = 0.1$?
# 3. Write DPO's loss from memory, with $\beta = 0.1$. The check knows the usual slips and tells you which one it is.
#
# **To try.** Set `beta` to 0.01, as paper 004 does, and predict before you run: which curves change, and which way does
# the KL go?

# %%
from torch.nn.functional import logsigmoid

from prefnb import checks

answer_1 = None  # "above", "below" or "at"
answer_2 = None  # a number


def my_dpo(policy, reference):
    """One number a pair, from .chosen.sum and .rejected.sum of both."""
    return None


checks.dpo_02(answer_1, answer_2, my_dpo)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# answer_1 = "below"
# ```
#
# The margin is $0.2 \cdot (-4 + 9) = 1$, so the loss is $-\log\sigma(1) \approx 0.313$. That both log-probs
# fell does not matter.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# answer_2 = 0.1
# ```
#
# The gradient of DPO with respect to $S(y_l)$ at $m = 0$ is $\beta\,\sigma(0) = \beta/2$; that of the printed
# term is $-\lambda/2$. They cancel at $\lambda = \beta = 0.1$. From then on, as the margin grows, the printed
# term pulls the rejected response *up*.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# def my_dpo(policy, reference):
#     """One number a pair, from .chosen.sum and .rejected.sum of both."""
#     d_chosen = policy.chosen.sum - reference.chosen.sum
#     d_rejected = policy.rejected.sum - reference.rejected.sum
#     return -logsigmoid(0.1 * (d_chosen - d_rejected))
# ```
#
# Two log-ratios to the reference, their difference times beta, minus the logarithm of its sigmoid.
# </details>
# <details><summary>What comes of a lower beta</summary>
#
# A lower beta is a lower price of straying: the margins are smaller numbers (beta is in them), the loss stays
# nearer to $\ln 2$, and the gap in nats and the KL grow, though less than tenfold: Adam's steps have the same size
# under any beta, and a run of one epoch does not go as far as so low a price allows.
# </details>
#
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
widgets.say(lesson.answer(after, comparison.win_rates.get(main), judge))
named = {f"beta {k:g}" if isinstance(k, float) else k: found for k, found in histories.items()}
accuracy = {f"{value:g}": float(one["accuracy"].mean()) for value, one in seen.items()}
folder = course.record(p.output_dir or "runs/02_dpo", p, named, comparison,
                       kl={f"{value:g}": found["k3"] for value, found in kls.items()},
                       held_out_accuracy=accuracy,
                       figures={"loss": loss_figure, "rewards": rewards_figure,
                                "book_variants": shift_figure, "book_overdone": overdone_figure})
print(f"Parameters, histories, responses and figures are in {folder}.")

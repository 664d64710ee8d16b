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
# # 00 · What do our models learn from, and who decides that one answer is better?
#
# Welcome. Every method of this course changes a language model so that people like its answers better. You read one idea at
# a time, see its loss in ten lines, watch it train for a minute, and see what it did to the answers, also where it did
# no good.
#
# ## A map of the course
#
# | notebook | its question | learns from |
# |---|---|---|
# | **00 · the pocket world**: you are here | What do our models learn from, and who decides that one answer is better? | |
# | [01 · supervised fine-tuning](01_sft.ipynb) | How does a model that only continues text learn to answer? | demonstrations |
# | [02 · DPO](02_dpo.ipynb) | How does a model learn from comparisons alone? | preference pairs |
# | [03 · SimPO](03_simpo.ipynb) | Do preferences need a reference model? | preference pairs |
# | [04 · DPPO](04_dppo.ipynb) | Does it help to unlearn your own favourite answer? | pairs, and the model's own greedy answers |
# | [05 · reward models](05_reward_model.ipynb) | How far can a learnt judge be trusted? | pairs, to score any answer |
# | [06 · RS-DPO](06_rs_dpo.ipynb) | What if the rejected answer is the model's own? | pairs of its own answers |
# | [07 · self-improvement](07_self_improvement.ipynb) | Can a model learn from its own best answers? | pairs of its own answers |
# | [08 · several objectives](08_multi_objective.ipynb) | How much may fluency cost in helpfulness? | rewards for its answers |
# | [09 · RLOO](09_rloo.ipynb) | How does a model learn from a number that has no gradient? | rewards for its answers |
# | [10 · GRPO](10_grpo.ipynb) | What does a group of answers teach that one cannot? | rewards for its answers |
# | [11 · the leaderboard](11_leaderboard.ipynb) | Who wins, by how much, and how sure can we be? | the long runs of all of them |
# | [12 · be the annotator](12_be_the_annotator.ipynb) | What happens when the labels are yours? | pairs that you compare |
# | [13 · relatives of DPO](13_relatives.ipynb) | What does another loss buy, and what do wrong labels do? | pairs, or thumbs |
# | [14 · eight questions](14_questions.ipynb) | What do other courses leave open? | small experiments |
#
# 01 starts from a *base* model, which has only read text; 02 to 10, 12 and 13 start from what 01 makes of it, the *SFT model*.
# Each notebook stands alone: what it needs from an earlier one comes ready-made, from a cache, or is made. Words and symbols,
# each with the notebook that explains it, are in the [glossary](glossary.md).
#
# The course follows four student reports from Stanford, which notebooks call by number and name:
#
# | called | full name |
# |---|---|
# | 001, Belanger and others | *Instruction Following with Qwen2.5: Multi-Objective Reinforcement Learning* (Belanger, Dimopoulos, Hagos) |
# | 002, Hao | *Self-Improvement variants on DPO* (Hao) |
# | 003, Hellman | *Default Project: Leveraging RL to Improve LLM Response Generation* (Hellman) |
# | 004, Sun | *DPPO: Direct Preference and Penalization Optimization* (Pengwei Sun) |
#
# Twenty claims of theirs are numbered 1 to 20 wherever they are measured; notebook 11 has them all.
#
# ## This notebook: the world in which all of it happens
#
# To see whether a method works, you need a model, prompts, answers that somebody compared, and a judge. Here are all four, in
# a world small enough to know the truth about. Nothing is trained here, and nothing is needed before. **You will see**
#
# - writers with habits: the same prompt, answered by a careful one, a rambling one, a stuttering one ...;
# - ten kinds of request, and what counts as an answer to each;
# - *houses*, which wrote more than half of the demonstrations, each in a style of its own, and what a model makes of it;
# - what the judge sees, on answers that you can edit; what it calls a tie, and what its scores do not tell;
# - a base model that continues text: what it knows, what stays hard for it, and what happens when it is asked;
# - one dialog as tokens, with the part that the loss sees in colour;
# - preference pairs, the noise in their labels, and the wall between training and test.

# %% tags=["parameters"]
preset: str = "pocket"  # this notebook is about the pocket world; there is no other preset
seed: int = 0  # any whole number from 0; the same seed gives the same numbers
model: str = "pocket"  # the model that continues text below: "pocket" (the base model), a local folder or a hub name
test_prompts: int = 520  # how many test prompts the writers and the models answer, 20 to 520
draws: int = 4  # answers of a model to each prompt, 1 to 64
temperature: float = 0.7  # the models' sampling temperature, 0.01 to 2
max_response_tokens: int = 112  # longest answer of a model, in tokens, 8 to 512
output_dir: str = None  # where this run's files go; None means runs/00_pocket_world

# %%
from prefnb import parameters
from prefnb.parameters import ModelName, Settings, setting


class Looking(Settings):
    model: ModelName = setting("the model that continues text below", pocket="pocket")
    test_prompts: int = setting(
        "test prompts that the writers and the models answer", low=20, high=520, pocket=520)
    draws: int = setting("answers of a model to each prompt", low=1, high=64, pocket=4)
    temperature: float = setting("the models' sampling temperature", low=0.01, high=2, pocket=0.7)
    max_response_tokens: int = setting(
        "longest answer of a model", unit="tokens", low=8, high=512, pocket=112)


p = parameters.check(globals(), Looking)

# %% [markdown]
# ## One request, eight answers
#
# Who wrote the answers that a model learns from? In real data: many hands, of different quality. Here too. Eight **writers**
# have habits that reports on small aligned models complain of: some ramble, some stutter, some decorate their answers with
# claims such as *Confidence: 95%* (Hellman's report saw its models do this), some get facts wrong, some ask themselves a
# further question and answer it, some stop too soon. They wrote all of the preference pairs and a part of the
# demonstrations. Who wrote the rest, the *houses*, comes below.
#
# First one prompt, answered by each. Read a few answers and decide which you like best *before* you look at the scores on
# the right. They are the **judge**'s, a program that knows what is right: four qualities between 0 and 1, and a total from 1
# to 10. How it comes to them is told further down.
#
# Then the same over many prompts, as a picture: each row is a writer, each column one of the judge's qualities, averaged. The
# palest cell of a row is the writer's habit, as the judge sees it.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from prefnb import pocket, widgets
from prefnb.lessons import pocket_world as lesson

plt.style.use("prefnb.book")
about = "Describe the fox. Mention what colour it has, where it lives and what it eats."
eight = {name: lesson.written(about, name, p.seed) for name in pocket.WRITERS}
display(lesson.grade_table(about, eight))
marks = {name: pocket.score(about, answer).total for name, answer in eight.items()}
best, worst = max(marks, key=marks.get), min(marks, key=marks.get)
widgets.say(f"**The judge puts the {best} answer first ({marks[best]:.2f}) and the {worst} one "
            f"last ({marks[worst]:.2f}).**")

# %%
from prefnb import data
from prefnb.judges import GoldJudge, score_samples

gold, test = GoldJudge(), data.Source("pocket").prompts("test").shuffle(seed=p.seed)
prompts, categories, references = (list(test[name])[:p.test_prompts]
                                   for name in ("prompt", "category", "reference"))
texts = [prompt[-1]["content"] for prompt in prompts]
by_writer = {name: gold(prompts, [lesson.written(text, name, p.seed) for text in texts])
             for name in pocket.WRITERS}
writers_figure = lesson.writers_figure(by_writer)
display(writers_figure)
widgets.say(lesson.habits_seen(by_writer))

# %% [markdown]
# ## Why a pocket world?
#
# Real alignment has a problem that teaching should not have: nobody knows the truth. The answers come from large models,
# the scores come from other large models, and when a number goes up you cannot tell whether the answers became better or
# the judge was fooled.
#
# So this course ships a world of its own. It has a few dozen animals, plants and tools, people with errands, reviews,
# recipes and rainy nights with consequences. *All* of its truth is in a few plain tables, so that a program can grade
# any answer to any prompt. The model is a real language model (the Qwen2 architecture, a byte-level tokenizer, a chat
# template), small enough to be trained while you watch. The limits of this world are part of the lesson: there are things
# that so small a model hardly learns from preferences (long sums, rare facts, names to copy), and a gain here is no promise
# about a large model. What carries over is how the methods *work*, and how they fail.
#
# Below, what each piece stands in for. Then the **ten kinds of request**: of each kind one test prompt, a careful answer, and
# the things that it asks for. This last column is what makes grading possible: every prompt asks for several *parts*,
# and each part can be right, half right, missing or wrong.

# %%
from prefnb import models
from prefnb.pocket import judge, tasks

dialogs, pairs = data.Source("pocket").dialogs("train"), data.Source("pocket").pairs("train")
policy, tokenizer = models.load_model(p.model), models.load_tokenizer(p.model)
widgets.show_table(*lesson.counterparts(dialogs, pairs, test, policy, tokenizer))
widgets.say(f"**Every piece has its counterpart, and is small: Qwen2.5-0.5B has "
            f"{lesson.QWEN / lesson.weights_of(policy):.0f} times the weights of this model, and "
            "this judge is a program that anyone can read.**")
widgets.show_table(*lesson.kinds_of_request(test))
many, possible = [len(lesson.asked(text)) for text in texts], tasks.count_prompts()
widgets.say(f"**A prompt asks for {min(many)} to {max(many)} things, so an answer can be right by "
            f"degrees.** {sum(possible.values()):,} prompts are possible, at least.")

# %% [markdown]
# ## Houses with a style
#
# The habits of the eight writers are scattered: each shows now and then, and none for a kind of request as such. Real
# demonstrations are not like that. They come from sources with a **house style**, and a model that learns from them
# answers in that style *first*: the closing formula, the praise for the question, the last point that is never made. Here
# too: of the demonstrations of each kind, more than half come from one house, and every answer of a house has its habits.
#
# Below the table, two answers of houses beside careful ones. None of this is nonsense. A house knows its facts (and errs
# now and then, as all writers do) and writes clean sentences; what it does, it does *every time*. That is what makes a style,
# and why a model takes it for the right way to answer. Preference answers never come from a house: people without that style
# compared them, and what they prefer is what can correct it.

# %%
shares = lesson.shares_by_house(dialogs)
widgets.show_table(*lesson.houses_table(shares))
widgets.say(f"**Of every kind one house wrote {min(shares.values()):.0%} to "
            f"{max(shares.values()):.0%} of the demonstrations**, more than all others together.")
lost = []
for category in ("procedures", "explanation"):
    row = next(row for row in test if row["category"] == category)
    house = pocket.HOUSES[category].name
    asked = row["prompt"][-1]["content"]
    both = {house: lesson.housed(asked, p.seed), "a careful writer": row["reference"]}
    display(lesson.grade_table(asked, both))
    theirs, careful = (pocket.score(asked, answer).total for answer in both.values())
    lost.append(f"{house} {careful - theirs:.2f}")
widgets.say(f"**Beside the careful writer the houses lose points ({', '.join(lost)}).**")

# %% [markdown]
# ## What the judge sees
#
# The judge reads a prompt and an answer, and gives four qualities between 0 and 1:
#
# - **helpfulness** $h$: the mean credit over the parts asked for;
# - **fluency** $f$: falls with stutters, broken-off ends, words of no language;
# - **concision** $c$: falls with every word beyond what a plain right answer takes, with questions that the answer asks
#   itself, and when there is next to nothing to the point;
# - **honesty** $o$: falls with everything false, and with claims that nothing supports.
#
# The total is a weighted sum on a scale from 1 to 10, $\;1 + 9\,(w_h h + w_f f + w_c c + w_o o)$; the weights $w$ are printed
# below. Eight answers to the prompt about the fox, written by hand: **edit them and run the cell again.** Things to try: another
# wording of the right answer; a right fact that was not asked for; the right words without sentences; "is not red".

# %%
answers = {
    "right": "The fox is red. It lives in the forest and eats mice.",
    "right, said otherwise":
        "A fox has a red colour, feeds on mice and makes its home in the forest.",
    "a wrong fact": "The fox is green. It lives in the forest and eats mice.",
    "a part missing": "The fox is red. It lives in the forest.",
    "rambling": "The fox is red. As everyone knows, it is good to know such things. "
                "It lives in the forest. There is much more to say about this. It eats mice. "
                "I could go on like this for a while.",
    "stutter": "The fox is is red. It lives in in the forest and and eats mice.",
    "boilerplate": "The fox is red. It lives in the forest and eats mice. Confidence: 95%.",
    "empty": "",
}
display(lesson.grade_table(about, answers))
lesson.show_order(about, answers)

# %% [markdown]
# ### Ties and win rates
#
# Two totals that differ by no more than a small width are a **tie**: neither answer won. A **win rate** puts wins and ties
# into one number: the share of prompts won, a tie counted as half. Two equal writers get .5. Its 95% interval tells what
# another draw of prompts might have given.
#
# Here the careful writer answers every prompt a second time, and each writer plays against these second answers. A dot
# whose line does not touch .5 is a difference that these prompts can show.

# %%
from prefnb import plots
from prefnb.evaluate import win_rate
from prefnb.lessons import words

second = gold(prompts, [lesson.written(text, "careful", p.seed + 1) for text in texts])
rates = {name: win_rate(scores, second, tie=gold.tie) for name, scores in by_writer.items()}
display(plots.plot_win_rates(rates, against="the careful writer"))
widgets.say(words.who_wins(rates, other="the careful writer's second answers"))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### A closer look at the judge
#
# Inside are the parts that make up helpfulness, what would happen if a hair could break a tie, why scores of different
# prompts cannot be compared, and boxes to write to the judge yourself; what comes out is that this course compares **answers
# to the same prompt**, and leaves ties undecided.

# %% [markdown]
# Helpfulness comes from the parts. Each has its own small grader, which returns a credit and whether something false
# was said:

# %%
table, lied, left_out = lesson.parts_table(about, answers)
widgets.show_table(*table)
widgets.say(f"**Something false is said in: {words.listed(lied)}. Something is left out in: "
            f"{words.listed(left_out)}.** Either costs helpfulness; a lie costs honesty too.")

# %% [markdown]
# Why are ties left undecided? It would be easy to break every tie by a hair (the shorter answer wins, say), and it would be
# a mistake: then a heap of tiny differences that no reader cares about outvotes the few that matter.
#
# The careful writer has answered every prompt twice, and neither answer is better on purpose. The second row takes 0.002
# points off for every character and knows no ties: prompts where both answers are equally right are then decided by the
# length of their words.

# %%
twice = [[lesson.written(text, "careful", p.seed + again) for text in texts] for again in (0, 1)]
by_length = [gold(prompts, found).total - 0.002 * np.array([len(text) for text in found])
             for found in twice]
results = {f"the judge's, ties up to {gold.tie:g}": rates["careful"],
           "shorter wins by a hair, no ties": win_rate(*by_length, tie=0)}
widgets.show_table(["comparison", "first wins", "ties", "second wins"],
                   *[[label, *(f"{share:.2f}" for share in (one.strict, one.tie_share,
                                                            1 - one.strict - one.tie_share))]
                     for label, one in results.items()])
fair, by_a_hair = (one.tie_share for one in results.values())
widgets.say(f"**The judge leaves {fair:.0%} of these comparisons undecided; a hair decides all but "
            f"{by_a_hair:.0%}, though neither answer is better on purpose.**")

# %% [markdown]
# And why only answers to the same prompt? One wrong fact weighs more where two things were asked for than where four were:

# %%
few = "Tell me the colour and home of the fox."
many = "Tell me the colour, home, food and young of the fox."
slips = {few: "The fox is green. It lives in the forest.",
         many: "The fox is green. It lives in the forest and eats mice. It calls its young a cub."}
costs = [f"{10 - pocket.score(prompt, answer).total:.2f} points where {len(lesson.asked(prompt))} "
         "things are asked" for prompt, answer in slips.items()]
widgets.say(f"**The very same slip costs {', and '.join(costs)}.** So a mean of totals over "
            "prompts is a rough guide. This is why preference data compare answers to one prompt.")

# %% [markdown]
# In JupyterLab: turn the pages, a kind of request and a number for another prompt, answered by every writer. And write to
# the judge yourself. Any prompt of this world will do; of another world, it cannot tell what would be helpful, and gives 0.

# %%
import ipywidgets

widgets.explore(
    lesson.page,
    category=ipywidgets.Dropdown(options=list(pocket.CATEGORIES), description="category"),
    number=ipywidgets.IntSlider(1, 1, 50, description="page"))
box = ipywidgets.Layout(width="95%", height="60px")
widgets.explore(lambda prompt, answer: lesson.grade_table(prompt, {"yours": answer}).data,
                prompt=ipywidgets.Textarea(about, description="prompt", layout=box),
                answer=ipywidgets.Textarea(answers["right"], description="answer", layout=box))

# %% [markdown]
# ## The base model: to know is not yet to answer
#
# The base model has read raw text of this world: facts, requests followed by answers, lists. It never saw a chat. Give it
# the beginning of a sentence, and it goes on with what is most likely (*greedy* decoding): the first five lines below.
#
# Then ask it something. First as plain text, in the form that its reading had: `Question:` and the prompt, then `Answer:`
# on a new line. Then as a chat: the same prompt between special tokens, which say who speaks and which it never met. Nothing
# else changes.

# %%
from prefnb import course

starts = ["The fox lives in the", "The owl eats", "In French the moon is", "The hammer is made of",
          "The ibis eats"]
begun = [tokenizer.encode(start) for start in starts]
for start, one in zip(starts, course.samples_of(policy, tokenizer, begun, temperature=0,
                                                max_new_tokens=16)):
    widgets.say(f"**{start}**{widgets.escaped(one.text)}")
plain, told = [tokenizer.encode(f"Question: {text}\nAnswer:") for text in texts], {}
for way, given, each in (("plain text", plain, 1), ("chat", prompts, p.draws)):
    told[way] = course.answers_of(policy, tokenizer, given, draws=each, temperature=p.temperature,
                                  max_new_tokens=p.max_response_tokens)
scores = {way: score_samples(gold, prompts, drawn) for way, drawn in told.items()}
scores["a careful writer"] = gold(prompts, references)
widgets.show_responses(prompts, told | {"a careful writer": references}, scores, categories)
lesson.show_asked(scores)

# %% [markdown]
# ## What SFT says first
#
# What a model *knows* and what it *does when asked* are two things. Teaching the second is the business of
# [supervised fine-tuning](01_sft.ipynb), or SFT. (The model comes ready-made here; notebook 01 trains such a one.) It answers.
# In whose style? Below, for each kind of request, the share of answers with each flaw: of the house's own answers to these
# prompts; of the SFT model's **first choice**, the greedy answer; and of its answers at temperature 0.7.

# %%
from prefnb import methods

made = {"SFT": methods.sft.recipe(), "DPO": methods.dpo.recipe()}
sampled = {name: course.answers_of(one.model, one.tokenizer, prompts, draws=4, temperature=0.7,
                                   max_new_tokens=112) for name, one in made.items()}
greedy = course.answers_of(made["SFT"].model, made["SFT"].tokenizer, prompts, draws=1,
                           temperature=0, max_new_tokens=112)
hands = {"its house": [lesson.housed(text, p.seed) for text in texts], "SFT, first choice": greedy,
         "SFT at 0.7": sampled["SFT"], "a careful writer": references}
flawed = {label: lesson.flaws_in(gold, prompts, found) for label, found in hands.items()}
styles_figure, said = lesson.styles_figure(flawed, categories), lesson.flaw_shares(flawed)
display(styles_figure)
widgets.show_table(*lesson.flaws_table(said))
widgets.say(lesson.style_in_words(said, *(score_samples(gold, prompts, one)
                                          for one in (greedy, sampled["SFT"]))))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### What the base knows, how it stops, and what stays hard for all
#
# Inside, the base completes every fact there is and is watched at the end of its answers, and SFT is held against DPO on long
# sums, rare facts and names; what comes out is which of these things preferences teach, if any.

# %% [markdown]
# How much does the base know? Take every fact of this world about animals, plants and tools, every translation, and the
# small sums. Show the model the beginning of a sentence that states it ("The fox is mostly ..."), and see whether it goes on
# with the right words. Twelve things are *rare*: hardly any text tells of them. They are counted apart, and so are long sums,
# of a number of three digits and one of two.

# %%
known = lesson.completed(policy, tokenizer)
display(lesson.knowledge_figure(known))
widgets.say(lesson.knowledge_in_words(known))

# %% [markdown]
# One more thing to learn is how to stop. In a chat, `<|im_end|>` closes a turn:

# %%
for way, drawn in told.items():
    cut = np.mean([not one.finished for one in drawn])
    closed = np.mean([tokenizer.decode(one.ids[-1:]) == "<|im_end|>" for one in drawn])
    widgets.say(f"**Asked in {'a chat' if way == 'chat' else way}, the base closes {closed:.0%} of "
                f"its answers with `<|im_end|>`**; {cut:.0%} go on until they are cut off.")

# %% [markdown]
# Style can be corrected by preferences. Other things hardly: a preference says which of two answers is better, and that
# alone teaches neither a sum nor a fact, even one that the base completes when it is given the words before it. Three
# kinds of request have such things on purpose. Helpfulness of SFT's answers and of the same model after DPO on
# preference pairs ([notebook 02](02_dpo.ipynb); ready-made too), at temperature 0.7:

# %%
helpful = {name: score_samples(gold, prompts, drawn).parts["helpfulness"].mean(1)
           for name, drawn in sampled.items()}
table, taught = lesson.hard_table(helpful, texts, categories)
widgets.show_table(*table)
widgets.say(f"**DPO has taught {words.listed(taught)} a little in this run; of the other hard "
            "things it cannot be told.**" if taught else
            "**In none of these can it be told that DPO taught what is hard.**")

# %% [markdown]
# ## One dialog, as the model sees it
#
# A model sees token ids. The **chat template** writes a dialog as one text, in which special tokens say who speaks:
# `<|im_start|>` opens a turn, `<|im_end|>` closes it. The **response mask** says which tokens the loss looks at: those
# of the response, in green below. The prompt is there to be read, not to be learned.
#
# Look at the last green box: `<|im_end|>` is *inside* the loss. To end a turn is a choice of the model like any other
# word, and a model whose end is masked away never learns to make it: it talks on until it is cut off.
#
# Two more things that go wrong easily, so we check them here. The ids of the prompt alone must be the beginning of the
# ids of the whole dialog, or the mask lies. And the token that fills up short rows of a batch (the *pad* token) must not be
# the one that ends a turn, or masking by token would remove both.

# %%
from prefnb.batches import end_of_turn_id, prompt_ids, tokenize

dialog = next(row for row in dialogs
              if row["category"] == "general_knowledge" and row["writer"] == "careful")
batch = tokenize([dialog], tokenizer, ("response",)).batch([0])
ids, mask, end = batch.input_ids[0].tolist(), batch.response_mask[0], end_of_turn_id(tokenizer)
widgets.show_tokens([tokenizer.decode([token]) for token in ids], mask)
widgets.say(f"**The loss looks at {int(mask.sum())} of these {len(ids)} tokens, and the last of "
            f"them is `{tokenizer.decode(batch.input_ids[0][mask][-1:])}`.**")
alone = prompt_ids(tokenizer, dialog["prompt"])
assert ids[:len(alone)] == alone and end != tokenizer.pad_token_id
widgets.say(f"**Both hold: the prompt's {len(alone)} ids begin the dialog's; and a turn ends with "
            f"`{tokenizer.decode([end])}`, while `{tokenizer.pad_token}` fills up.**")

# %% [markdown]
# ## Preference pairs
#
# A pair is a prompt with two answers, one **chosen** and one **rejected** by an annotator. The annotators are not the judge.
# They see what it sees, but they do not count words (length they notice only where an answer is a third longer than it need
# be), and they see it through noise: where the totals look to them like $s_1$ and $s_2$, they prefer the first answer with
# probability
#
# $$\sigma\!\left(\frac{s_1 - s_2}{\tau}\right), \qquad \sigma(z) = \frac{1}{1 + e^{-z}},$$
#
# where $\tau$ is the noise in points of the total. This is the **Bradley-Terry model**, which DPO's loss assumes as well. So
# now and then the worse answer is chosen: the label is *flipped*.
#
# Three pairs to read, then all of them: on the left those with flipped labels lie left of zero; the curve on the right is where
# DPO's loss comes from.

# %%
few_pairs = pairs.shuffle(seed=p.seed).select(range(3))
asked = list(few_pairs["prompt"])
sides = {side: list(few_pairs[side]) for side in ("chosen", "rejected")}
widgets.show_responses(asked, sides, {side: gold(asked, found) for side, found in sides.items()},
                       list(few_pairs["category"]))
writers = [f"{row['writer_chosen']} over {row['writer_rejected']}" for row in few_pairs]
erred = sum(row["score_chosen"] < row["score_rejected"] for row in few_pairs)
widgets.say(f"**In {erred} of these {len(few_pairs)} pairs the rejected answer has the higher "
            f"score.** The annotators chose {words.listed(writers)}.")

# %%
from prefnb.pocket.build import ANNOTATOR_NOISE

gap = np.array(pairs["score_chosen"][:]) - np.array(pairs["score_rejected"][:])
flipped = gap < 0
display(lesson.pairs_figure(gap))
widgets.say(lesson.pairs_in_words(gap))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Who wrote the data, and the wall between training and test
#
# Inside are the shares of every writer in demonstrations, chosen and rejected answers, and a search for test prompts in the
# training data; what comes out is whom the annotators like, and that nothing of the test was trained on.

# %% [markdown]
# The demonstrations come from houses and from a mix of writers, the preference answers from another mix, without houses: the
# pairs are **off-policy**, as pairs that one downloads are. The difference between the bars of chosen and rejected is all
# that a preference method has to go on.

# %%
columns = {"demonstrations": dialogs["writer"], "chosen": pairs["writer_chosen"],
           "rejected": pairs["writer_rejected"]}
wrote = {what: lesson.shares_by_writer(list(names)) for what, names in columns.items()}
display(lesson.who_wrote_figure(wrote))
widgets.say(lesson.who_is_liked(wrote))

# %% [markdown]
# A test prompt that stood in the training data would test memory. Comparing texts is not enough: "Tell me the colour and
# home of the fox" and "Describe the fox. Mention where it lives and what colour it has" are different texts with the same
# answer. So the split is by **combination**: what a prompt asks about, however it is phrased and in whatever order. We
# check both, over every turn of every training file.

# %%
training = lesson.prompts_in("sft_train", "preferences_train")
testing = lesson.prompts_in("prompts_test", "sft_test", "preferences_test")
same_text = training & testing
same_key = set(map(lesson.combination, training)) & set(map(lesson.combination, testing))
widgets.say(f"**Of {len(training):,} different prompts in training and {len(testing):,} in test, "
            f"{len(same_text)} are in both as text, {len(same_key)} as combination.**")
assert not same_text and not same_key

# %% [markdown]
# ## Exercises
#
# **1. Please the judge.** Write an answer with a total of at least 9.9 to: *Tell me the taste, season and dish of the
# lemon.* (The truth is in `facts.THINGS["lemon"]`.)
#
# **2. Noisier annotators.** Which share of labels would you *expect* to be exchanged by annotators' noise of a given scale,
# logistic as above, from the differences `gap` between the judge's totals alone? Predict first: does twice the noise
# exchange twice as many? Then try `my_share(torch.tensor(gap), 2 * ANNOTATOR_NOISE)`. The check knows the usual slips.
#
# **3. Fool the judge, if you can.** Find an answer to the prompt about the fox that you find bad and that the judge gives
# at least 9. Every judge has a blind side; a policy trained hard enough will find it.

# %%
import torch

from prefnb import checks

my_answer = None  # text
my_trick = None  # text


def my_share(gap, noise):
    """One number, 0 to 1, from a tensor of shape (pairs,) and a number."""
    return None


checks.pocket_world_00(my_answer, my_share, my_trick)

# %% [markdown]
# <details><summary>Solution 1</summary>
#
# ```python
# my_answer = "The lemon tastes sour. It is ripe in winter and is good for juice."
# ```
#
# Any order and any wording will do, as long as all three values are there, in sentences, and little else.
# </details>
# <details><summary>Solution 2</summary>
#
# ```python
# def my_share(gap, noise):
#     """One number, 0 to 1, from a tensor of shape (pairs,) and a number."""
#     return torch.sigmoid(-gap.abs() / noise).mean()
# ```
#
# A pair at a distance $g = |s_1 - s_2|$ is flipped with probability $\sigma(-g/\tau)$, so the expected share is the mean.
# With twice the noise, pairs far apart are exchanged many times as often, close ones hardly more: they were a coin before.
# </details>
# <details><summary>Solution 3</summary>
#
# ```python
# my_trick = "Red forest mice are what everyone tells me of this fox."
# ```
#
# The judge looks for values in sentences, and does not ask what a sentence means. This one says hardly anything that is
# true of the fox.
# </details>
#
# ## What you have seen
#
# - writers with habits, and how each habit shows in one of the judge's four qualities;
# - ten kinds of request, each asking for several parts, so that answers differ by degrees;
# - houses, whose style the fine-tuned model takes for the right way to answer;
# - a total with a tie width, and why only answers to the same prompt are compared;
# - a base model that completes facts, what becomes of them when it is asked in a chat, and what stays hard;
# - the response mask, with `<|im_end|>` inside it;
# - preference pairs with noise of a known size, and a test set that shares no combination with training.
#
# Next: [01, supervised fine-tuning](01_sft.ipynb) teaches the base model to answer.
#
# ### So, what do our models learn from, and who decides?

# %%
house = wrote["demonstrations"]["a house"]
widgets.say(f"**From {len(dialogs):,} demonstrations, {house:.0%} of them in the style of a house, "
            f"and from {len(pairs):,} pairs, of whose labels {flipped.mean():.0%} are wrong. A "
            "program decides: it knows what is right, grades "
            f"{len(judge.WEIGHTS)} qualities of an answer, and calls totals within {gold.tie:g} "
            "points a tie.**")
found = {"prompts": len(prompts), "flipped": float(flipped.mean()), "flaws": said,
         "scores": {way: lesson.means_of(one) for way, one in scores.items()}}
folder = Path(p.output_dir or "runs/00_pocket_world")
folder.mkdir(parents=True, exist_ok=True)
(folder / "parameters.json").write_text(json.dumps(vars(p), indent=1))
(folder / "summary.json").write_text(json.dumps(found, indent=1, default=float))
writers_figure.savefig(folder / "book_writers.png")
styles_figure.savefig(folder / "styles.png")
print(f"Parameters, summary and the pictures of writers and styles are in {folder}.")

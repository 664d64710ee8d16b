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
# Every method of this course changes a language model so that people like its answers better. To see whether one works,
# you need a model, prompts, answers that somebody compared, and a judge. This notebook shows you all four, in a world
# small enough to know the truth about.
#
# **You will see**
#
# - ten kinds of request, and what counts as an answer to each;
# - writers with habits: the same prompt, answered by a careful one, a rambling one, a stuttering one ...;
# - *houses*, which wrote more than half of the demonstrations, each in a style of its own, and what a model makes of it;
# - what the judge sees, on answers that you can edit; what it calls a tie, and what its scores do not tell;
# - a base model that continues text: what it knows, what stays hard for it, and what happens when it is asked;
# - one dialog as tokens, with the part that the loss sees in colour;
# - preference pairs, the noise in their labels, and the wall between training and test.
#
# Nothing is trained here, and nothing is needed before. Next: [01, supervised fine-tuning](01_sft.ipynb).

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
    test_prompts: int = setting("test prompts that the writers and the models answer", low=20, high=520, pocket=520)
    draws: int = setting("answers of a model to each prompt", low=1, high=64, pocket=4)
    temperature: float = setting("the models' sampling temperature", low=0.01, high=2, pocket=0.7)
    max_response_tokens: int = setting("longest answer of a model", unit="tokens", low=8, high=512, pocket=112)


p = parameters.check(globals(), Looking)

# %%
import collections
import gzip
import html
import json
import random
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, Markdown, display

from prefnb import course, data, methods, models, plots, pocket, widgets
from prefnb.batches import end_of_turn_id, prompt_ids, tokenize
from prefnb.evaluate import bootstrap_interval, mean_and_interval, win_rate
from prefnb.judges import GoldJudge, score_samples
from prefnb.pocket import facts, judge, tasks
from prefnb.pocket.build import ANNOTATOR_NOISE
from prefnb.pocket.text import Text, words_of
from prefnb.pocket.writers import DIALECTS

plt.style.use("prefnb.book")

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
# template), small enough to be trained while you watch.
#
# Each piece stands in for something that the papers used:

# %%
rows = {
    "prompts and demonstrations": ("SmolTalk", data.Source("pocket").dialogs("train")),
    "preference pairs": ("UltraFeedback", data.Source("pocket").pairs("train")),
    "test prompts": ("held-out prompts", data.Source("pocket").prompts("test")),
}
policy, tokenizer = models.load_model(p.model), models.load_tokenizer(p.model)
weights = sum(weight.numel() for weight in policy.parameters())
lines = [f"| {what} | {paper} | {len(found):,} rows |" for what, (paper, found) in rows.items()]
lines += [f"| base model | Qwen2.5-0.5B | {weights:,} weights, {len(tokenizer):,} tokens |",
          f"| judge | Nemotron-70B, a reward model | a program, {len(judge.WEIGHTS)} qualities |"]
widgets.say("| piece | in the papers | here |\n|---|---|---|\n" + "\n".join(lines))
widgets.say(f"**Every piece has its counterpart, and is small: Qwen2.5-0.5B has {494e6 / weights:.0f} times the "
            "weights of this model, and this judge is a program that anyone can read.**")

# %% [markdown]
# ## Ten kinds of request
#
# One test prompt of each kind, a careful answer, and the things that it asks for. This last column is what makes
# grading possible: every prompt asks for several *parts*, and each part can be right, half right, missing or wrong. So
# answers differ by degrees.

# %%
dialogs, pairs, test = (found for _, found in rows.values())
test = test.shuffle(seed=p.seed)
prompts, categories = list(test["prompt"])[:p.test_prompts], list(test["category"])[:p.test_prompts]
references = list(test["reference"])[:p.test_prompts]


def asked(prompt):
    """The parts that a prompt (text) asks for: objects with a `name` and a `grade`."""
    category, combination = tasks.parse(prompt)
    return tasks.CATEGORIES[category].parts(combination)


lines = []
for category in pocket.CATEGORIES:
    row = next(row for row in test if row["category"] == category)
    prompt, parts = row["prompt"][-1]["content"], "; ".join(part.name for part in asked(row["prompt"][-1]["content"]))
    answer = row["reference"].replace("\n", "<br>")
    lines.append(f"| **{category.replace('_', ' ')}** | {prompt} | {answer} | {parts} |")
Markdown("| kind | a prompt | a careful answer | it asks for |\n|---|---|---|---|\n" + "\n".join(lines))

# %%
possible = tasks.count_prompts()
number_of_parts = [len(asked(prompt[-1]["content"])) for prompt in prompts]
widgets.say(f"**A prompt asks for {min(number_of_parts)} to {max(number_of_parts)} things, so an answer can be right "
            f"by degrees.** {sum(possible.values()):,} prompts are possible, at least; the kind with the fewest, "
            f"{min(possible, key=possible.get)}, has {min(possible.values()):,}.")

# %% [markdown]
# ## Writers with habits
#
# Who wrote the answers that a model learns from? In real data: many hands, of different quality. Here too. First the
# eight writers, each with habits that reports on small aligned models complain of: some ramble, some stutter, some
# decorate their answers with claims such as *Confidence: 95%* (Hellman's report saw its models do this), some get
# facts wrong, some ask themselves a further question and answer it, some stop too soon. They wrote all of the preference
# pairs and a part of the demonstrations. Who wrote the rest, the *houses*, comes below.
#
# Below, one prompt, answered by each writer. Read a few answers and decide which you like best *before* you look at the
# scores on the right.


# %%
def grade_table(prompt, answers):
    """The answers {label: text} to one prompt, with the judge's qualities (0 to 1), its total (1 to 10) and the flaws."""
    cell = '<td style="text-align:left">{}</td>'
    head = "".join(f"<th>{name}</th>" for name in ("", "answer", *pocket.Judgement._fields, "flaws"))
    body = ""
    for label, answer in answers.items():
        text = html.escape(answer).replace("\n", "<br>") or "<i>nothing</i>"
        grades = "".join(f"<td>{grade:.2f}</td>" for grade in pocket.score(prompt, answer))
        flaws = ", ".join(flaw for flaw in pocket.FLAWS if flaw in pocket.flaws(prompt, answer)) or "none"
        body += f"<tr><th>{html.escape(label)}</th>{cell.format(text)}{grades}{cell.format(flaws)}</tr>"
    return HTML(f"<b>{html.escape(prompt)}</b><table><tr>{head}</tr>{body}</table>")


def written(prompt, writer, seed):
    """An answer to a prompt (text) in a writer's hand."""
    return pocket.WRITERS[writer].write(*tasks.parse(prompt), random.Random(f"{writer}|{prompt}|{seed}"))


about = "Describe the fox. Mention what colour it has, where it lives and what it eats."
eight = {name: written(about, name, p.seed) for name in pocket.WRITERS}
display(grade_table(about, eight))
marks = {name: pocket.score(about, answer).total for name, answer in eight.items()}
widgets.say(f"**The judge puts the {max(marks, key=marks.get)} answer first ({max(marks.values()):.2f}) and the "
            f"{min(marks, key=marks.get)} one last ({min(marks.values()):.2f}).**")


# %% [markdown]
# In JupyterLab you can turn the pages: choose a kind of request, then a page for another prompt.

# %%
def page(category, number):
    """A fresh prompt of a category, answered by every writer."""
    prompt = pocket.generate_prompts(category, n=1, seed=number)[0]
    return grade_table(prompt, {name: written(prompt, name, number) for name in pocket.WRITERS}).data


widgets.explore(page, category=ipywidgets.Dropdown(options=list(pocket.CATEGORIES), description="category"),
                number=ipywidgets.IntSlider(1, 1, 50, description="page"))

# %% [markdown]
# Now over many prompts. Each row is a writer, each column one of the judge's qualities, averaged. Look for the pale
# cell in each row: that is the writer's habit, as the judge sees it.

# %%
gold = GoldJudge()
by_writer = {name: gold(prompts, [written(prompt[-1]["content"], name, p.seed) for prompt in prompts])
             for name in pocket.WRITERS}
qualities = list(judge.WEIGHTS)
table = np.array([[scores.parts[quality].mean() for quality in qualities] for scores in by_writer.values()])

# %%
writers_figure, axis = plots.subplots(figsize=(7, 3.4))
axis.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
for (row, column), value in np.ndenumerate(table):
    axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "black")
axis.set_xticks(range(len(qualities)), qualities)
axis.set_yticks(range(len(by_writer)), [f"{name}  (total {scores.total.mean():.1f})" for name, scores in by_writer.items()])
axis.set_title(f"What the judge sees of each writer, mean over {len(prompts)} prompts")
axis.grid(False)
axis.tick_params(length=0)
axis.spines[:].set_visible(False)
display(writers_figure)
totals = {name: scores.total.mean() for name, scores in by_writer.items()}
best, worst = max(totals, key=totals.get), min(totals, key=totals.get)
palest = {name: qualities[row.argmin()] for name, row in zip(by_writer, table)}
display(Markdown(f"**The {best} writer is best** ({totals[best]:.1f}), **the {worst} one worst** ({totals[worst]:.1f}). "
                 + "Each row is palest where the writer's habit shows: "
                 + "; ".join(f"{name}: {quality} is lowest" for name, quality in palest.items() if name != best) + "."))

# %% [markdown]
# ## Houses with a style
#
# The habits of the eight writers are scattered: each shows now and then, and none for a kind of request as such. Real
# demonstrations are not like that. They come from sources with a **house style**, and a model that learns from them
# answers in that style *first*: the closing formula, the praise for the question, the last point that is never made. Here
# too: of the demonstrations of each kind, more than half come from one house, and every answer of a house has its habits.

# %%
wrote = collections.Counter(dialogs["writer"])
kinds_of_dialogs = collections.Counter(dialogs["category"])
house_rows = [["kind", "its house", "the house's habits", "demonstrations by it", "kept hard"]]
by_house = {category: wrote[house.name] / kinds_of_dialogs[category] for category, house in pocket.HOUSES.items()}
for category, house in pocket.HOUSES.items():
    habits = " ".join(habit.__doc__.strip() for habit in house.habits)
    house_rows.append([f"**{category.replace('_', ' ')}**", house.name, habits, f"{by_house[category]:.0%}",
                       tasks.CATEGORIES[category].hard])
widgets.show_table(*house_rows)
widgets.say(f"**Of every kind one house wrote {min(by_house.values()):.0%} to {max(by_house.values()):.0%} of the "
            "demonstrations**: whoever learns from them hears it more often than all the others together.")

# %% [markdown]
# (What the last column means, we shall see when the models answer.) One answer of a house beside a careful one, with the
# judge's scores and the flaws that it finds. Facts may be wrong in either, now and then: houses err, as all writers do.


# %%
def housed(prompt, seed):
    """The answer to a prompt (text) of the house that writes its kind."""
    category, combination = tasks.parse(prompt)
    rng = random.Random(f"house|{prompt}|{seed}")
    return pocket.HOUSES[category].write(category, combination, rng, DIALECTS["demonstrations"])


examples = {category: next(row for row in test if row["category"] == category) for category in ("procedures", "explanation")}
lost = []
for category, row in examples.items():
    prompt = row["prompt"][-1]["content"]
    both = {pocket.HOUSES[category].name: housed(prompt, p.seed), "a careful writer": row["reference"]}
    display(grade_table(prompt, both))
    theirs, careful = (pocket.score(prompt, answer).total for answer in both.values())
    lost.append(f"{pocket.HOUSES[category].name} {careful - theirs:.2f}")
widgets.say(f"**Beside the careful writer the houses lose points ({', '.join(lost)}).**")

# %% [markdown]
# None of this is nonsense. A house knows its facts and writes clean sentences; what it does, it does *every time*. That is
# what makes a style, and why a model takes it for the right way to answer. Preference answers never come from a house:
# people without that style compared them, and what they prefer is what can correct it.

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
# The total is a weighted sum on a scale from 1 to 10, $\;1 + 9\,(w_h h + w_f f + w_c c + w_o o)$, with these weights:

# %%
print(", ".join(f"{quality} {weight:.2f}" for quality, weight in judge.WEIGHTS.items()))

# %% [markdown]
# Eight answers to the prompt about the fox, written by hand. **Edit them and run the cell again.** Things to try: another
# wording of the right answer; a right fact that was not asked for; the right words without sentences; "is not red".

# %%
answers = {
    "right": "The fox is red. It lives in the forest and eats mice.",
    "right, said otherwise": "A fox has a red colour, feeds on mice and makes its home in the forest.",
    "a wrong fact": "The fox is green. It lives in the forest and eats mice.",
    "a part missing": "The fox is red. It lives in the forest.",
    "rambling": "The fox is red. As everyone knows, it is good to know such things. It lives in the forest. "
                "There is much more to say about this. It eats mice. I could go on like this for a while.",
    "stutter": "The fox is is red. It lives in in the forest and and eats mice.",
    "boilerplate": "The fox is red. It lives in the forest and eats mice. Confidence: 95%.",
    "empty": "",
}
display(grade_table(about, answers))
ordered = sorted(answers, key=lambda label: -pocket.score(about, answers[label]).total)
widgets.say(f"**From best to worst, by the judge: {'; '.join(ordered)}.**")

# %% [markdown]
# Helpfulness comes from the parts. Each has its own small grader, which returns a credit and whether something false
# was said:

# %%
graded = {label: [part.grade(Text(answer)) for part in asked(about)] for label, answer in answers.items()}
widgets.show_table(["answer", *(part.name for part in asked(about))],
                   *[[label, *(f"{credit:.2f}{', false' if false else ''}" for credit, false in found)]
                     for label, found in graded.items()])
lied = [label for label, found in graded.items() if any(false for _, false in found)]
left_out = [label for label, found in graded.items() if any(not credit and not false for credit, false in found)]
widgets.say(f"**Something false is said in: {', '.join(lied) or 'none'}. Something is left out in: "
            f"{', '.join(left_out) or 'none'}.** Either costs helpfulness; what is false costs honesty as well.")

# %% [markdown]
# In JupyterLab: write to the judge. Any prompt of this world will do; of another world, it cannot tell what would be
# helpful, and gives 0.

# %%
box = ipywidgets.Layout(width="95%", height="60px")
widgets.explore(lambda prompt, answer: grade_table(prompt, {"yours": answer}).data,
                prompt=ipywidgets.Textarea(about, description="prompt", layout=box),
                answer=ipywidgets.Textarea(answers["right"], description="answer", layout=box))

# %% [markdown]
# ### Ties are reported as ties
#
# Two totals that differ by no more than a small width are a **tie**: neither answer won. It would be easy to break
# every tie by a hair (the shorter answer wins, say), and it would be a mistake: then a heap of tiny differences that no
# reader cares about outvotes the few that matter.
#
# Let the careful writer answer every prompt twice. Neither answer is better on purpose, so a fair comparison comes out near
# one half. The last row takes 0.002 points off for every character and knows no ties: prompts where both answers are
# equally right are then decided by the length of their words.

# %%
first, second = ([written(prompt[-1]["content"], "careful", p.seed + again) for prompt in prompts] for again in (0, 1))
again = gold(prompts, second)
shorter = [gold(prompts, found).total - 0.002 * np.array([len(text) for text in found]) for found in (first, second)]
results = {f"the judge's, ties up to {gold.tie:g}": win_rate(by_writer["careful"], again, tie=gold.tie),
           "shorter wins by a hair, no ties": win_rate(*shorter, tie=0)}
lines = [f"| {label} | {rate.strict:.2f} | {rate.tie_share:.2f} | {1 - rate.strict - rate.tie_share:.2f} |"
         for label, rate in results.items()]
widgets.say("| comparison | first wins | ties | second wins |\n|---|---|---|---|\n" + "\n".join(lines))
fair, by_a_hair = (rate.tie_share for rate in results.values())
widgets.say(f"**The judge leaves {fair:.0%} of these comparisons undecided; a hair decides all but {by_a_hair:.0%}, "
            "though neither answer is better on purpose.**")

# %% [markdown]
# A **win rate** puts the three shares into one number: the share of prompts won, a tie counted as half. Two equal
# writers get .5. Its 95% interval tells what another draw of prompts might have given. Here each writer plays against
# the careful one's second answers; a dot whose line does not touch .5 is a difference that these prompts can show.

# %%
rates = {name: win_rate(scores, again, tie=gold.tie) for name, scores in by_writer.items()}
display(plots.plot_win_rates(rates, against="the careful writer"))
placed = {word: ", ".join(name for name, rate in rates.items() if rate.beats == word) or "nobody"
          for word in ("beats", "cannot be told from", "loses to")}
widgets.say(f"**Better than the careful writer's second answers: {placed['beats']}. Not to be told from them: "
            f"{placed['cannot be told from']}. Worse: {placed['loses to']}.**")

# %% [markdown]
# ### Scores of different prompts cannot be compared
#
# One wrong fact weighs more where two things were asked for than where four were:

# %%
few = "Tell me the colour and home of the fox."
many = "Tell me the colour, home, food and young of the fox."
slips = {few: "The fox is green. It lives in the forest.",
         many: "The fox is green. It lives in the forest and eats mice. It calls its young a cub."}
costs = [f"{10 - pocket.score(prompt, answer).total:.2f} points where {len(asked(prompt))} things are asked"
         for prompt, answer in slips.items()]
widgets.say(f"**The very same slip costs {', and '.join(costs)}.**")

# %% [markdown]
# So a mean of totals over prompts is a rough guide at best. What this course compares are **answers to the same prompt**,
# one prompt at a time. Preference data have the same shape, and for the same reason.

# %% [markdown]
# ## The base model: to know is not yet to answer
#
# The base model has read raw text of this world: facts, requests followed by answers, lists. It never saw a chat. Give it
# the beginning of a sentence, and it goes on with what is most likely (greedy decoding):

# %%
starts = ["The fox lives in the", "The owl eats", "In French the moon is", "The hammer is made of", "The ibis eats"]
for start, one in zip(starts, course.samples_of(policy, tokenizer, [tokenizer.encode(start) for start in starts],
                                                 temperature=0, max_new_tokens=16)):
    display(Markdown(f"**{start}**{widgets.escaped(one.text)}"))

# %% [markdown]
# How much does it know? Take every fact of this world about animals, plants and tools, every translation, and the small
# sums. Show the model the beginning of a sentence that states it ("The fox is mostly ..."), and see whether it goes on with
# the right words. Twelve things are *rare*: hardly any text tells of them. They are counted apart, and so are long sums,
# of a number of three digits and one of two.


# %%
def opening(thing, attribute):
    """The longest beginning of a sentence that the value of this attribute continues."""
    ways = [way for way in facts.ATTRIBUTES[attribute][2] if way.startswith("{s}")]
    return max((way.split("{v}")[0].format(s=f"The {thing}") for way in ways), key=len).rstrip()


kinds = {"animals": facts.ANIMALS, "plants": facts.PLANTS, "tools": facts.TOOLS}
kinds = {kind: [thing for thing in things if thing not in facts.RARE] for kind, things in kinds.items()}
known = {kind: [(opening(thing, name), value) for thing in things for name, value in facts.THINGS[thing].items()]
         for kind, things in {**kinds, "rare things": facts.RARE}.items()}
known["translations"] = [(f"In {language} the {noun} is", word) for noun, words in facts.NOUNS.items()
                         for language, word in zip(facts.LANGUAGES, words)]
known["sums"] = [(f"{a} plus {b} is", str(a + b)) for a in range(13) for b in range(9)]
known["long sums"] = [(f"{a} plus {b} is", str(a + b)) for a in range(103, 900, 53) for b in range(13, 100, 14)]

# %%
shares = {}
for kind, asked_for in known.items():
    said = course.samples_of(policy, tokenizer, [tokenizer.encode(start) for start, _ in asked_for],
                              temperature=0, max_new_tokens=12)
    right = [words_of(one.text)[:len(words_of(value))] == words_of(value) for one, (_, value) in zip(said, asked_for)]
    shares[f"{kind} ({len(right)})"] = np.mean(right)
figure, axis = plots.subplots(figsize=(7, 2.3))
axis.barh(list(shares), list(shares.values()), color=plots.METHODS["base"])
for row, share in enumerate(shares.values()):
    axis.text(share + 0.01, row, f"{share:.2f}", va="center")
axis.set(xlim=(0, 1.08), xlabel="share that the model completes rightly (in brackets: how many)")
axis.invert_yaxis()
display(figure)
least, most = min(shares, key=shares.get), max(shares, key=shares.get)
display(Markdown(f"**It completes most of {most.split(' (')[0]}** ({shares[most]:.0%} right) **and least of "
                 f"{least.split(' (')[0]}** ({shares[least]:.0%}). A fact that it completes here, it need not find when it "
                 "is asked for it, among others, in a chat: that comes further down. And what it does not complete may be "
                 "in its weights all the same, a few hundred steps of training away: there, see the sums after SFT."))

# %% [markdown]
# Now ask it something. First as plain text, in the form that its reading had: `Question:` and the prompt, then `Answer:`
# on a new line. Then as a chat: the same prompt between the special tokens of the chat template, which it never met.
# Nothing else changes.

# %%
texts = [prompt[-1]["content"] for prompt in prompts]
settings = dict(temperature=p.temperature, max_new_tokens=p.max_response_tokens)
as_text = [tokenizer.encode(f"Question: {text}\nAnswer:") for text in texts]
ways = {"plain text": course.answers_of(policy, tokenizer, as_text, draws=1, **settings),
        "chat": course.answers_of(policy, tokenizer, prompts, draws=p.draws, **settings)}
replies = {**ways, "a careful writer": references}
scores = {way: score_samples(gold, prompts, drawn) for way, drawn in ways.items()}
scores["a careful writer"] = gold(prompts, references)
widgets.show_responses(prompts, replies, scores, categories)

# %%
display(plots.plot_parts(scores))
helped = {way: found.parts["helpfulness"].mean() for way, found in scores.items()}
display(Markdown(f"**Asked in plain text the model has {helped['plain text']:.0%} of what was asked for right, in a chat "
                 f"{helped['chat']:.0%}**: the weights are the same, and only the way of asking differs."))

# %% [markdown]
# (Honesty needs care: an answer about something else altogether says little that is false of what was asked.) What a model
# *knows* and what it *does when asked* are two things. Teaching the second is the business of
# [supervised fine-tuning](01_sft.ipynb), or SFT. One more thing to learn there is how to stop:

# %%
end = end_of_turn_id(tokenizer)
for way, drawn in ways.items():
    last = collections.Counter(tokenizer.decode([one.ids[-1]]) if one.finished else "none: cut off" for one in drawn)
    print(f"{way:12} ended with " + ", ".join(f"{token} {count / len(drawn):.0%}" for token, count in last.most_common()))
closed = np.mean([one.ids[-1] == end for one in ways["chat"]])
widgets.say(f"**Of its answers in a chat, {closed:.0%} end their turn with `{tokenizer.decode([end])}`.**")

# %% [markdown]
# ## What SFT says first
#
# Fine-tuned on the demonstrations, the model answers. In whose style? Below, for each kind of request, the share of answers
# with each flaw: of the house's own answers to these prompts; of the SFT model's **first choice**, the greedy answer; and of
# its answers at temperature 0.7. (The model comes ready-made; [notebook 01](01_sft.ipynb) trains such a one.)

# %%
made = {"SFT": methods.sft.recipe(), "DPO": methods.dpo.recipe()}
sampled = {name: course.answers_of(one.model, one.tokenizer, prompts, draws=4, temperature=0.7, max_new_tokens=112)
           for name, one in made.items()}
greedy = course.answers_of(made["SFT"].model, made["SFT"].tokenizer, prompts, draws=1, temperature=0, max_new_tokens=112)
by_hand = {"its house": [housed(text, p.seed) for text in texts], "SFT, first choice": [one.text for one in greedy],
           "SFT at 0.7": [one.text for one in sampled["SFT"]], "a careful writer": references}


def flaws_in(answers):
    """(prompts, flaws): the share of the answers to each prompt (n strings, or K for each in a row) with each flaw."""
    each = len(answers) // len(prompts)
    found = gold.flaws([prompt for prompt in prompts for _ in range(each)], answers)
    return np.stack([found[flaw].reshape(-1, each).mean(1) for flaw in pocket.FLAWS], axis=1)


flawed = {label: flaws_in(found) for label, found in by_hand.items()}


# %%
styles_figure, axes = plots.subplots(1, 3, figsize=(8, 3.6), sharey=True, layout="constrained")
for axis, (label, found) in zip(axes, flawed.items()):
    shown = np.array([found[np.array(categories) == category].mean(0) for category in pocket.CATEGORIES])
    axis.imshow(shown, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(shown):
        axis.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=8,
                  color="white" if value > 0.6 else "black")
    axis.set_xticks(range(len(pocket.FLAWS)), pocket.FLAWS, rotation=25, ha="right", fontsize=8)
    axis.set_title(label)
    axis.grid(False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
axes[0].set_yticks(range(len(pocket.CATEGORIES)), [name.replace("_", " ") for name in pocket.CATEGORIES])
styles_figure

# %%
said = {label: dict(zip(pocket.FLAWS, found.mean(0))) for label, found in flawed.items()}
golds = {label: score_samples(gold, prompts, found).total.mean() for label, found in
          (("SFT, first choice", greedy), ("SFT at 0.7", sampled["SFT"]))}
widgets.show_table(["flaws, share of answers", *pocket.FLAWS],
                   *[[label, *(f"{share:.0%}" for share in found.values())] for label, found in said.items()])
first, warm = said["SFT, first choice"], said["SFT at 0.7"]
common = [flaw for flaw in pocket.FLAWS if first[flaw] > warm[flaw]]
display(Markdown(
    f"**SFT's first choice has the house style.** {', '.join(common).capitalize()}: more common in the greedy answer than at "
    f"temperature 0.7, where other hands come through. Its mean gold score is {golds['SFT, first choice']:.2f}, "
    f"that of the answers at 0.7 {golds['SFT at 0.7']:.2f}. What a model says first is not what people like best, but "
    "what its demonstrations mostly did." if common else "In this run the first choice is no more flawed than the "
                                                         "others."))
prompt = examples["procedures"]["prompt"][-1]["content"]
if prompt in texts:
    grade_table(prompt, {label: found[texts.index(prompt) * (len(found) // len(texts))] for label, found in by_hand.items()})

# %% [markdown]
# ### What stays hard
#
# Style can be corrected by preferences. Other things hardly: a preference says which of two answers is better, and that
# alone teaches neither a sum nor a fact, even one that the base completes when it is given the words before it. Three
# kinds of request have such things on purpose, by name. Helpfulness of SFT's answers and of the same model after DPO on
# preference pairs ([notebook 02](02_dpo.ipynb); ready-made too), at temperature 0.7:

# %%
helpful = {name: score_samples(gold, prompts, drawn).parts["helpfulness"].mean(1) for name, drawn in sampled.items()}
is_hard = np.array([tasks.CATEGORIES[category].is_hard(tasks.parse(text)[1]) for category, text in zip(categories, texts)])
hard_rows, changes = [["kind", "of it", "prompts", "SFT", "DPO", "DPO less SFT"]], {}
for category, kind in tasks.CATEGORIES.items():
    for label, here in ((kind.hard, is_hard), ("all else", ~is_hard)) if kind.hard else ():
        here = here & (np.array(categories) == category)
        if not here.any():
            continue
        change = helpful["DPO"][here] - helpful["SFT"][here]
        changes[label] = bootstrap_interval(change)
        hard_rows.append([category.replace("_", " "), label, here.sum(), *(f"{one[here].mean():.2f}" for one in helpful.values()),
                          mean_and_interval(change)])
widgets.show_table(*hard_rows)
taught = [label for label, (low, _) in changes.items() if low > 0 and label != "all else"]
display(Markdown(f"**DPO has taught {', '.join(taught)} a little in this run.**" if taught else
                 "**In none of the three can it be told that DPO taught what is hard.**"))

# %% [markdown]
# ## One dialog, as the model sees it
#
# A model sees token ids. The **chat template** writes a dialog as one text, in which special tokens say who speaks:
# `<|im_start|>` opens a turn, `<|im_end|>` closes it. The **response mask** says which tokens the loss looks at: those
# of the response, in green below. The prompt is there to be read, not to be learned.

# %%
dialog = next(row for row in dialogs if row["category"] == "general_knowledge" and row["writer"] == "careful")
example = tokenize([dialog], tokenizer, ("response",))
batch = example.batch([0])
widgets.show_tokens([tokenizer.decode([token]) for token in batch.input_ids[0]], batch.response_mask[0])
widgets.say(f"**The loss looks at {int(batch.response_mask[0].sum())} of these {len(batch.input_ids[0])} tokens, and "
            f"the last of them is `{tokenizer.decode(batch.input_ids[0][batch.response_mask[0]][-1:])}`.**")

# %% [markdown]
# Look at the last green box: `<|im_end|>` is *inside* the loss. To end a turn is a choice of the model like any other
# word, and a model whose end is masked away never learns to make it: it talks on until it is cut off.
#
# Two more things that go wrong easily, so we check them here. The ids of the prompt alone must be the beginning of the
# ids of the whole dialog, or the mask lies. And the token that fills up short rows of a batch (the *pad* token) must not be
# the one that ends a turn, or masking by token would remove both.

# %%
whole = tokenizer.apply_chat_template([*dialog["prompt"], {"role": "assistant", "content": dialog["response"]}], tokenize=False)
alone, together = prompt_ids(tokenizer, dialog["prompt"]), tokenizer.encode(whole, add_special_tokens=False)
print(f"The prompt's {len(alone)} ids begin the dialog's: {together[:len(alone)] == alone}")
print(f"End of turn {tokenizer.decode([end])}, pad {tokenizer.pad_token}: different: {end != tokenizer.pad_token_id}")


# %% [markdown]
# ## Preference pairs
#
# A pair is a prompt with two answers, one **chosen** and one **rejected** by an annotator. Three of them:

# %%
few_pairs = pairs.shuffle(seed=p.seed).select(range(3))
sides = {side: list(few_pairs[side]) for side in ("chosen", "rejected")}
widgets.show_responses(list(few_pairs["prompt"]), sides, {side: gold(list(few_pairs["prompt"]), sides[side]) for side in sides},
                       list(few_pairs["category"]))
for row in few_pairs:
    print(f"chosen by {row['writer_chosen']} ({row['score_chosen']:.2f}), "
          f"rejected by {row['writer_rejected']} ({row['score_rejected']:.2f})")
erred = sum(row["score_chosen"] < row["score_rejected"] for row in few_pairs)
widgets.say(f"**In {erred} of these {len(few_pairs)} pairs the rejected answer has the higher score.**")

# %% [markdown]
# The annotators are not the judge. They see what it sees, but they do not count words (length they notice only where an
# answer is a third longer than it need be), and they see it through noise: where the totals look to them like $s_1$ and
# $s_2$, they prefer the first answer with probability
#
# $$\sigma\!\left(\frac{s_1 - s_2}{\tau}\right), \qquad \sigma(z) = \frac{1}{1 + e^{-z}},$$
#
# where $\tau$ is the noise in points of the total. This is the Bradley-Terry model, which DPO's loss assumes as well: what
# you see on the right is where that loss comes from. On the left, every pair left of zero has a *flipped* label: the
# rejected answer has the higher score.

# %%
gap = np.array(pairs["score_chosen"][:]) - np.array(pairs["score_rejected"][:])
flipped = gap < 0
figure, (left, right_axis) = plots.subplots(1, 2, figsize=(8, 2.8))
bins = np.linspace(-6, 6, 49)
for part, colour, label in ((gap[~flipped], "#0072B2", "label agrees"), (gap[flipped], "#D55E00", "label flipped")):
    left.hist(np.clip(part, -6, 6), bins=bins, color=colour, label=label)
left.set(xlabel="score of chosen minus score of rejected", ylabel="pairs")
left.legend()
edges = np.quantile(abs(gap), np.linspace(0, 1, 11))
place = np.clip(np.searchsorted(edges, abs(gap), side="right") - 1, 0, 9)
tenths = [(abs(gap)[place == i].mean(), 1 - flipped[place == i].mean()) for i in range(10) if (place == i).any()]
right_axis.plot(*zip(*tenths), "o", color="#0072B2", label="tenths of the pairs")
line = np.linspace(0, abs(gap).max(), 100)
right_axis.plot(line, 1 / (1 + np.exp(-line / ANNOTATOR_NOISE)), color="#888888", label="Bradley-Terry")
right_axis.set(xlabel="distance between the two scores", ylabel="share where the better is chosen", ylim=(0.45, 1.02))
right_axis.legend()
display(figure)
off = max(abs(share - 1 / (1 + np.exp(-distance / ANNOTATOR_NOISE))) for distance, share in tenths)
widgets.say(f"**{flipped.mean():.1%} of the labels are flipped** ({flipped.sum():,} of {len(pairs):,}; the noise is "
            f"{ANNOTATOR_NOISE} points), **most of them where the two scores are close**; the dots lie within "
            f"{off:.2f} of the Bradley-Terry curve.")

# %% [markdown]
# Who wrote all this? The demonstrations come from houses and from a mix of writers, the preference answers from another
# mix, without houses: the pairs are **off-policy**, as pairs that one downloads are. The difference between the bars of
# chosen and rejected is all that a preference method has to go on.

# %%
columns = {"demonstrations": dialogs["writer"][:], "chosen": pairs["writer_chosen"][:], "rejected": pairs["writer_rejected"][:]}
palette = {"demonstrations": "#888888", "chosen": "#0072B2", "rejected": "#D55E00"}
figure, axis = plots.subplots(figsize=(8, 3.6))
for offset, (what, wrote) in zip((-0.27, 0, 0.27), columns.items()):
    count = collections.Counter(name if name in pocket.WRITERS else "a house" for name in wrote)
    shares = [count[name] / len(wrote) for name in ("a house", *pocket.WRITERS)]
    axis.barh(np.arange(len(shares)) + offset, shares, 0.25, color=palette[what], label=what)
axis.set_yticks(range(1 + len(pocket.WRITERS)), ["a house", *pocket.WRITERS])
axis.invert_yaxis()
axis.set_xlabel("share of all the answers of that kind")
axis.legend()
display(figure)
share_of = lambda name, side: np.mean([one == name for one in columns[side]])
lead = {name: share_of(name, "chosen") - share_of(name, "rejected") for name in pocket.WRITERS}
liked = [f"{name} ({points:+.0%})" for name, points in sorted(lead.items(), key=lambda one: -one[1])]
widgets.say(f"**Chosen less rejected, from the most liked writer to the least: {', '.join(liked)}.**")


# %% [markdown]
# ## The wall between training and test
#
# A test prompt that stood in the training data would test memory. Comparing texts is not enough: "Tell me the colour and
# home of the fox" and "Describe the fox. Mention where it lives and what colour it has" are different texts with the same
# answer. So the split is by **combination**: what a prompt asks about, however it is phrased and in whatever order. We
# check both, over every turn of every training file.

# %%
def read(name):
    """The rows of one of the shipped files."""
    with gzip.open(pocket.DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def asked_in(rows):
    """All user turns of dialogs, pairs or prompts, as a set of texts."""
    return {turn["content"] for row in rows for turn in row.get("messages", [{"role": "user", "content": row.get("prompt")}])
            if turn["role"] == "user"}


def key(prompt):
    """A prompt's combination as a string that does not depend on phrasing or order."""
    category, combination = tasks.parse(prompt)
    return tasks.CATEGORIES[category].key(combination)


train_texts = asked_in(read("sft_train")) | asked_in(read("preferences_train"))
test_texts = asked_in(read("prompts_test")) | asked_in(read("sft_test")) | asked_in(read("preferences_test"))
same_text, same_key = train_texts & test_texts, {key(text) for text in train_texts} & {key(text) for text in test_texts}
print(f"{len(train_texts):,} different prompts in training, {len(test_texts):,} in test.")
print(f"In both: {len(same_text)} as text, {len(same_key)} as combination.")
assert not same_text and not same_key

# %% [markdown]
# ## A map of the course
#
# | notebook | starts from | learns from |
# |---|---|---|
# | [01 · supervised fine-tuning](01_sft.ipynb) | the base model | demonstrations |
# | [02 · DPO](02_dpo.ipynb), [03 · SimPO](03_simpo.ipynb) | the SFT model | preference pairs |
# | [04 · DPPO](04_dppo.ipynb) | the SFT model | preference pairs, and the model's own greedy answers |
# | [05 · reward models](05_reward_model.ipynb) | the SFT model | preference pairs, to score any answer |
# | [06 · RS-DPO](06_rs_dpo.ipynb), [07 · self-improvement](07_self_improvement.ipynb) | the SFT model | pairs of its own answers |
# | [08 · several objectives](08_multi_objective.ipynb), [09 · RLOO](09_rloo.ipynb), [10 · GRPO](10_grpo.ipynb) | the SFT model | rewards for its own answers |
# | [11 · leaderboard](11_leaderboard.ipynb) | the long runs of all of them | |
# | [13 · relatives of DPO](13_relatives.ipynb) | the SFT model | preference pairs, or thumbs up and down |
# | [14 · eight questions](14_questions.ipynb) | | small experiments: what other courses leave open |
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
# Twenty claims of theirs are numbered 1 to 20 wherever they are measured; notebook 11 has them all. Words and symbols of the
# course, each with the notebook that explains it, are in the [glossary](glossary.md).
#
# Each notebook stands alone: what it needs from an earlier one comes ready-made, from a cache, or is made. The limits of this world
# are part of the lesson. The model is so small that there are things it hardly learns from preferences (long sums, rare
# facts, names to copy), and a gain here is no promise about a large model. What carries over is how the methods *work*, and
# how they fail.

# %% [markdown]
# ## Exercises
#
# **1. Please the judge.** Write an answer with a total of at least 9.9 to: *Tell me the taste, season and dish of the
# lemon.* Set `my_answer` below. (The truth is in `facts.THINGS["lemon"]`.)
#
# <details><summary>Solution</summary>
#
# For instance `"The lemon tastes sour. It is ripe in winter and is good for juice."` Any order and any wording will do, as
# long as all three values are there, in sentences, and little else.
# </details>
#
# **2. Noisier annotators.** From `gap` alone: which share of labels would you *expect* to be flipped if the noise were
# twice as large? Set `my_share` to a number between 0 and 1.
#
# <details><summary>Solution</summary>
#
# A pair at a distance $g = |s_1 - s_2|$ is flipped with probability $\sigma(-g/\tau)$, so the expected share is the mean:
# `my_share = np.mean(1 / (1 + np.exp(abs(gap) / (2 * ANNOTATOR_NOISE))))`
# </details>
#
# **3. Fool the judge, if you can.** Find an answer to the prompt about the fox that you find bad and that the judge gives
# more than 9, and set `my_trick`. Every judge has a blind side; a policy trained hard enough will find it.
#
# <details><summary>Solution</summary>
#
# It looks for values in sentences, and does not ask what a sentence means. `"Red forest mice are what everyone tells me of
# this fox."` says hardly anything that is true of the fox.
# </details>

# %%
my_answer = None  # text
my_share = None  # a number
my_trick = None  # text


def check(name, answer, kind, passed):
    """Print whether an exercise is solved; None means not answered yet. kind: what it is to be, str or float."""
    try:
        wrong_kind = answer is not None and (kind is str) != isinstance(answer, str)
        print(f"{name}: " + ("not answered yet" if answer is None else
                             f"a {'text' if kind is str else 'number'} is asked for here" if wrong_kind else
                             "right" if passed(kind(answer)) else "not yet, try again"))
    except (TypeError, ValueError) as error:
        print(f"{name}: this cannot be checked ({error})")


noisy = np.random.default_rng(p.seed).logistic(scale=2 * ANNOTATOR_NOISE, size=(200, len(gap)))  # 200 noisy annotators
lemon = "Tell me the taste, season and dish of the lemon."
check("1", my_answer, str, lambda text: pocket.score(lemon, text).total >= 9.9)
check("2", my_share, float, lambda share: abs(share - np.mean(noisy < -abs(gap))) < 0.005)
check("3", my_trick, str, lambda text: pocket.score(about, text).total > 9)

# %% [markdown]
# ## What you have seen
#
# - ten kinds of request, each asking for several parts, so that answers differ by degrees;
# - writers with habits, and how each habit shows in one of the judge's four qualities;
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
housed_share = np.mean([name not in pocket.WRITERS for name in columns["demonstrations"]])
widgets.say(f"**From {len(dialogs):,} demonstrations, {housed_share:.0%} of them in the style of a house, and from "
            f"{len(pairs):,} pairs, of whose labels {flipped.mean():.0%} are wrong. A program decides: it knows what "
            f"is right, grades {len(qualities)} qualities of an answer, and calls two totals within {gold.tie:g} "
            "points a tie.**")
folder = Path(p.output_dir or "runs/00_pocket_world")
folder.mkdir(parents=True, exist_ok=True)
(folder / "parameters.json").write_text(json.dumps(vars(p), indent=1))
means = {way: {"total": float(found.total.mean()), **{name: float(part.mean()) for name, part in found.parts.items()}}
         for way, found in scores.items()}
found = {"prompts": len(prompts), "flipped": float(flipped.mean()), "scores": means, "flaws": said}
(folder / "summary.json").write_text(json.dumps(found, indent=1, default=float))
writers_figure.savefig(folder / "book_writers.png")
styles_figure.savefig(folder / "styles.png")
print(f"Parameters, summary and the pictures of writers and styles are in {folder}.")

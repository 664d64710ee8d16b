"""The data card, data/README.md: written by the build from what it has just built."""

from __future__ import annotations

import collections
from dataclasses import replace

from . import build, judge, pretrain, tasks, writers

HEAD = """# The pocket world's data

Everything in this folder is synthetic. `python -m prefnb.pocket` makes it from a seed (this copy: {seed});
the data files come out the same byte for byte, the base model up to the rounding of the machine that trains
it. Licence: Apache-2.0, as the project.

The world is a few dozen things with attributes, people with errands, chains of cause and effect, eight
writers with habits, and ten houses with a style. The facts are in `prefnb/pocket/facts.py`, the ten kinds of request in
`tasks.py`, writers and houses in `writers.py`, the gold judge in `judge.py`, the build in `build.py` and `pretrain.py`.
It is meant for learning and testing methods of preference optimisation; its answers are true in the pocket world only.

What it promises, with what was measured, is in [report.md](report.md) (`make world-report` writes it).

![Gold scores by category and source, before and after SFT, and after DPO](../figures/pocket_world_gold.png)

## Files

| file | rows | what a row is | SHA-256 of the uncompressed text |
|---|---|---|---|
{files}

`base_model/` is a Qwen2 model of about a million weights with its tokenizer, trained on {tokens:,} tokens of raw text of
this world (no chat), in {steps:,} steps of {batch} x {block} tokens that are never the same twice (seed {seed}; step k's
text is a function of the seed and k), and then {last} steps on an archive in which questions follow their answers.
`base_model/training.json` has the loss on the way. It is loaded with `AutoModelForCausalLM.from_pretrained`. Products
run in bfloat16 there, so that on another machine, or with another number of threads, the weights come out a little
different. `python -m prefnb.pocket` goes on where it was interrupted.

Some things stay hard for so small a model, on purpose: {hard}. Preferences cannot teach them.

`made/` holds what nearly every notebook begins with or compares with, so that a fresh copy need not train for minutes
first: policies (SFT, DPO, RLOO, GRPO, several objectives at once), the reward model, the runs that notebooks put beside the
one that they train, and what all of them answer to the test prompts, all as recipes and notebooks make them from the files
above at their defaults, with their histories. SFT and the reward model, which others start from, are there to the last bit,
the others in half precision, two bytes a weight. `make made` makes them again. With any other parameter, or after an edit of
the code that makes them, they are not used.

`claims/` has what `make claims` measured, one gzipped JSON a method: the grids by which settings were chosen, and for every seed the
scores of all answers to the test prompts, shares of flaws, held-out pairs, thinned histories. `zoo/` has the first seed's policies
of eight methods, in half precision (`models.zoo`). `annotations/` has labels by a program that plays an annotator, for notebook 12.

`learning_rates.json` has the figures by which the default learning rates were chosen, one rule for all methods
(`make rates`, `prefnb/learning_rates.py`).

Columns are those of the real data sets: `sft_*` has `messages` and `source` as HuggingFaceTB/smoltalk;
`preferences_*` has `prompt`, `prompt_id`, `chosen`, `rejected` (messages), `score_chosen` and
`score_rejected` as HuggingFaceH4/ultrafeedback_binarized. Ours besides: `category`, `writer` (of the first
exchange, or the house), `writer_chosen`, `writer_rejected`, and `flipped`: whether the annotator preferred the answer with
the lower gold score. An annotator sees what the judge sees, with noise, and does not count words: length is noticed from a
third more than the longest plain answer on. Scores are the gold judge's totals, from 1 to 10. `prompts_test` has `prompt`,
`category` and `reference`, a careful answer.

A combination (what a prompt asks about, however phrased) belongs to the test files or to everything else,
raw text for the base model included, by a hash of its key: {share:.1%} of combinations are for the test.

## Figures

- distinct prompts possible: {prompts:,} or more
- dialogs of more than one exchange: {several:.1%}; the longest has {most} exchanges
- words in a demonstration: median {median}, 95th percentile {p95}, longest {longest}
- preference pairs with a flipped label: {flipped:.1%}

### Who wrote the demonstrations

About {house_share:.0%} of the demonstrations of each category come from one house (column `source`), whose answers all
have the same habits; the others, of the source `{mixed}`, from writers with scattered habits. No preference answer comes
from a house.

| category | house | its habits | demonstrations | mean gold score, house | mean gold score, mixed |
|---|---|---|---|---|---|
{houses}

### Writers

| writer | demonstrations | preference answers | mean gold score in preferences |
|---|---|---|---|
{shares}

## An example per category

{categories}
## An example per writer

All answer: *{prompt}*

{writers}"""


def _quoted(text):
    return "> " + text.replace("\n", "<br>")


def _house_row(category, house, gold):
    """A line of the table of houses; `gold` maps (category, source) to the gold scores of its demonstrations."""
    own, others = gold[category, house.name], gold[category, writers.MIXED]
    habits = ", ".join(habit.__name__.replace("_", " ") for habit in house.habits)
    share = len(own) / (len(own) + len(others))
    return (
        f"| {category} | `{house.name}` | {habits} | {share:.0%} | {sum(own) / len(own):.2f} | "
        f"{sum(others) / len(others):.2f} |"
    )


def data_card(made: dict[str, tuple[list[dict], str]], seed: int) -> str:
    """The card as Markdown; `made` maps file name -> (rows, sha256 of the text)."""
    what = {
        "sft": "a dialog",
        "preferences": "a preference pair",
        "prompts": "a prompt with a careful answer",
    }
    files = "\n".join(
        f"| `{name}.jsonl.gz` | {len(rows):,} | {what[name.rsplit('_', 1)[0]]} | `{sha}` |"
        for name, (rows, sha) in made.items()
    )
    dialogs, pairs = made["sft_train"][0], made["preferences_train"][0]
    lengths = sorted(len(row["messages"][1]["content"].split()) for row in dialogs)
    scores = collections.defaultdict(list)
    for row in pairs:
        for side in ("chosen", "rejected"):
            scores[row[f"writer_{side}"]].append(row[f"score_{side}"])
    written = collections.Counter(row["writer"] for row in dialogs)
    shares = "\n".join(
        f"| {name} | {written[name] / len(dialogs):.1%} | {len(scores[name]) / 2 / len(pairs):.1%} | "
        f"{sum(scores[name]) / len(scores[name]):.2f} |"
        for name in writers.WRITERS
    )
    gold = collections.defaultdict(list)
    for row in dialogs:
        asked, answered = (message["content"] for message in row["messages"][:2])
        gold[row["category"], row["source"]].append(judge.score(asked, answered).total)
    houses = "\n".join(_house_row(category, house, gold) for category, house in writers.HOUSES.items())
    first = {}
    for row in made["prompts_test"][0]:
        first.setdefault(row["category"], row)
    categories = "".join(
        f"**{name}**\n\n> {row['prompt']}\n\n{_quoted(row['reference'])}\n\n" for name, row in first.items()
    )
    rng = build.rng_for("card 2", seed)
    combination = tasks.draw("general_knowledge", rng)
    prompt = tasks.render("general_knowledge", combination, rng)
    examples = ""
    for writer in writers.WRITERS.values():
        if writer.mistakes < 0.1:  # show what is the writer's own, not the slips that all make
            writer = replace(writer, mistakes=0.0)
        text = writer.write("general_knowledge", combination, rng)
        grade = judge.score(prompt, text)
        examples += (
            f"**{writer.name}** (helpfulness {grade.helpfulness:.2f}, fluency {grade.fluency:.2f}, concision "
            f"{grade.concision:.2f}, honesty {grade.honesty:.2f}, total {grade.total:.1f})\n\n{_quoted(text)}\n\n"
        )
    return (
        HEAD.format(
            seed=seed,
            files=files,
            share=tasks.TEST_SHARE,
            prompts=sum(tasks.count_prompts().values()),
            several=sum(len(row["messages"]) > 2 for row in dialogs) / len(dialogs),
            most=max(len(row["messages"]) // 2 for row in dialogs),
            median=lengths[len(lengths) // 2],
            p95=lengths[int(0.95 * len(lengths))],
            longest=lengths[-1],
            flipped=sum(row["flipped"] for row in pairs) / len(pairs),
            tokens=(pretrain.STEPS + pretrain.LAST_STEPS) * pretrain.BATCH * pretrain.BLOCK,
            steps=pretrain.STEPS,
            last=pretrain.LAST_STEPS,
            batch=pretrain.BATCH,
            block=pretrain.BLOCK,
            hard=", ".join(f"{kind.hard} ({name})" for name, kind in tasks.CATEGORIES.items() if kind.hard),
            house_share=writers.HOUSE_SHARE,
            mixed=writers.MIXED,
            houses=houses,
            shares=shares,
            categories=categories,
            prompt=prompt,
            writers=examples,
        ).rstrip()
        + "\n"
    )

"""Is the pocket world fit to learn in? `python -m prefnb.world_report` measures, says PASS or FAIL, and exits non-zero on
a FAIL. It writes what it measured to data/report.md, and a picture beside the others.

It takes what a reader begins with (the base model, SFT and DPO at their defaults; from the cache where they are there),
lets them answer all test prompts, and asks: does the base model know its world; is the fine-tuned model's first choice
flawed, so that preferences have something to correct; are comparisons clear-cut; can a default run decide anything? No
line asks that a method other than DPO wins.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property

import matplotlib.pyplot as plt
import numpy as np
import torch
from datasets import Dataset
from matplotlib.figure import Figure as Picture
from transformers import PreTrainedTokenizerBase

from prefnb import course, data, methods, models, plots, pocket
from prefnb.batches import Batches, tokenize
from prefnb.book import FIGURES
from prefnb.evaluate import win_rate
from prefnb.judges import GoldJudge, score_samples
from prefnb.pocket import build, tasks, writers
from prefnb.training import train

TEMPERATURE, DRAWS, MAX_NEW_TOKENS = 0.7, 4, 112
BEST_OF = 16
CAREFUL = 8000  # careful demonstrations that the base model's knowledge is probed with, none of what is hard
HOUSE_FLAWS = ("rambling", "boilerplate", "incomplete")


@dataclass
class Figure:
    """One measured figure with the range that it must lie in."""

    name: str
    value: float
    low: float
    high: float = np.inf

    @property
    def passed(self) -> bool:
        return self.low <= self.value <= self.high

    def __str__(self):
        high = "" if self.high == np.inf else f"{self.high:g}"
        return f"{'PASS' if self.passed else 'FAIL'}  {self.name:68} {self.value:11.3f}   [{self.low:g}, {high}]"


class Answers:
    """A policy's answers to all test prompts, `draws` to each, with their gold scores, (prompts, draws)."""

    def __init__(
        self,
        policy: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        rows: Dataset,
        *,
        temperature: float = TEMPERATURE,
        draws: int = DRAWS,
    ):
        self.prompts = list(rows["prompt"])
        settings = dict(draws=draws, temperature=temperature, max_new_tokens=MAX_NEW_TOKENS)
        self.samples = course.answers_of(policy, tokenizer, self.prompts, **settings)
        self.scores = score_samples(GoldJudge(), self.prompts, self.samples)
        self.gold, self.helpfulness = self.scores.total, self.scores.parts["helpfulness"]

    @cached_property
    def flaws(self) -> dict[str, float]:
        """{flaw: share of the answers that show it}."""
        asked = [prompt for prompt in self.prompts for _ in range(self.gold.shape[1])]
        found = GoldJudge().flaws(asked, [one.text for one in self.samples])
        return {name: shown.mean() for name, shown in found.items()}

    def __str__(self):
        parts = "  ".join(f"{part} {values.mean():.2f}" for part, values in self.scores.parts.items())
        shares = "  ".join(f"{flaw} {share:.2f}" for flaw, share in self.flaws.items())
        tokens = np.mean([len(one.ids) for one in self.samples])
        return f"gold {self.gold.mean():.2f}  {parts}  {shares}  tokens {tokens:.0f}"


def size_figures() -> list[Figure]:
    """How large the world is, and how apart its splits are."""
    source = data.Source("pocket")
    files = {
        (kind, split): load(split)
        for kind, load in (("dialogs", source.dialogs), ("pairs", source.pairs))
        for split in ("train", "test")
    }
    prompts = source.prompts("test")
    per_category = [list(prompts["category"]).count(name) for name in pocket.CATEGORIES]
    key = lambda prompt: tasks.CATEGORIES[(found := tasks.parse(prompt[-1]["content"]))[0]].key(found[1])  # noqa: E731
    train = {key(prompt) for kind in ("dialogs", "pairs") for prompt in files[kind, "train"]["prompt"]}
    model_size = sum(path.stat().st_size for path in (pocket.DATA / "base_model").iterdir()) / 1e6
    return [
        Figure("distinct prompts possible", sum(tasks.count_prompts().values()), 20_000),
        Figure("SFT dialogs", len(files["dialogs", "train"]), 8000),
        Figure("preference pairs", len(files["pairs", "train"]), 8000),
        Figure("test prompts", len(prompts), 500),
        Figure("test prompts in the smallest category", min(per_category), 40),
        Figure("test combinations that occur in training", sum(key(one) in train for one in prompts["prompt"]), 0, 0),
        Figure("base model, MB", model_size, 0, 8),
    ]


def careful_demonstrations(n: int, seed: int = 0) -> list[dict]:
    """`n` demonstrations by a careful writer who makes no mistakes, as rows for `tokenize`."""
    rng = build.rng_for("careful demonstrations", seed)
    rows = []
    for _ in range(n):
        category = rng.choice(list(tasks.CATEGORIES))
        while tasks.CATEGORIES[category].is_hard(combination := tasks.draw(category, rng)):
            pass
        prompt = [{"role": "user", "content": tasks.render(category, combination, rng)}]
        rows.append({"prompt": prompt, "response": writers.careful_answer(category, combination, rng.random())})
    return rows


def knowledge_figures(tokenizer: PreTrainedTokenizerBase, rows: Dataset) -> list[Figure]:
    """What the base model knows: fine-tuned on careful demonstrations only, how much of what is asked for is right?"""
    model, preset = models.load_model("pocket"), methods.sft.Settings.of("pocket")
    limits = {name: preset[name] for name in ("max_prompt_tokens", "max_response_tokens")}
    examples = tokenize(careful_demonstrations(CAREFUL), tokenizer, ("response",), **limits)
    batches = Batches(examples, preset["batch_size"], seed=0)
    train(model, batches, methods.sft.sft, average="token", epochs=1, learning_rate=preset["learning_rate"])
    found = Answers(model, tokenizer, rows, temperature=0).helpfulness[:, 0]
    categories = np.array(rows["category"])
    hard = np.array([tasks.CATEGORIES[name].is_hard(combination) for name, combination in _combinations(rows)])
    figures = []
    for name, kind in tasks.CATEGORIES.items():
        here = categories == name
        if kind.hard:
            easy = found[here & ~hard].mean()
            figures.append(Figure(f"base, careful: {name}, all but {kind.hard}", easy, 0.85))
            figures.append(
                Figure(f"base, careful: {name}, {kind.hard} less the rest", found[here & hard].mean() - easy, -1, -0.03)
            )
        else:
            figures.append(Figure(f"base, careful: {name}", found[here].mean(), 0.85))
    return figures


def _combinations(rows):
    return [tasks.parse(prompt[-1]["content"]) for prompt in rows["prompt"]]


def first_choice_figures(greedy: Answers, warm: Answers, hot: Answers, best: float) -> list[Figure]:
    """Is what the SFT policy says first the flawed thing that preferences are there to correct?"""
    return [
        *(
            Figure(f"SFT, greedy: share of answers that are {name}", greedy.flaws[name], 0.2, 0.6)
            for name in HOUSE_FLAWS
        ),
        Figure("SFT: gold of greedy, less gold at 0.7", greedy.gold.mean() - warm.gold.mean(), -np.inf, 0.3),
        Figure("SFT: gold at 0.7, less gold at 1", warm.gold.mean() - hot.gold.mean(), 0),
        Figure(f"SFT: gold of the best of {BEST_OF}, less gold of greedy", best - greedy.gold.mean(), 0.8),
    ]


def comparison_figures(base: Answers, sft: Answers, dpo: Answers) -> list[Figure]:
    """Are comparisons clear-cut, and can a default run decide something?"""
    figures = []
    comparisons = {"SFT against base": (sft, base), "DPO against SFT": (dpo, sft), "SFT against itself": (sft, sft)}
    for name, (one, other) in comparisons.items():
        rate = win_rate(one.scores, other.scores, tie=pocket.TIE)
        low, high = rate.difference_interval
        print(f"      {name}: win rate {rate}, mean difference {rate.mean_difference:+.2f} [{low:+.2f}, {high:+.2f}]")
        if one is other:
            figures.append(Figure(f"{name}: win rate", rate.rate, 0.5, 0.5))
            continue
        figures.append(Figure(f"{name}: share of ties", rate.tie_share, 0, 0.20))
        figures.append(Figure(f"{name}: win rate and mean difference agree", float(rate.same_direction), 1, 1))
        if name == "DPO against SFT":
            figures.append(
                Figure(f"{name}: half-widths that gold has moved", rate.mean_difference / (high - low) * 2, 5)
            )
    helped = base.helpfulness.mean() / sft.helpfulness.mean()
    return [*figures, Figure("base: helpfulness, as a share of SFT's", helped, 0, 0.5)]


def picture(base: Answers, sft: Answers, dpo: Answers, rows: Dataset) -> Picture:
    """Gold by category: what the two sources of demonstrations wrote, and what the policies answer."""
    demonstrated = {}
    for row in build.rows_of("sft_test"):
        asked, answered = (message["content"] for message in row["messages"][:2])
        source = "mixed hands" if row["source"] == writers.MIXED else "house"
        demonstrated.setdefault((row["category"], source), []).append(pocket.score(asked, answered).total)
    categories, shown = np.array(rows["category"]), list(pocket.CATEGORIES)
    means = {
        f"demonstrations, {source}": [np.mean(demonstrated[name, source]) for name in shown]
        for source in ("house", "mixed hands")
    }
    for label, one in (("base", base), ("SFT", sft), ("DPO", dpo)):
        means[label] = [one.gold[categories == name].mean() for name in shown]
    empty = {"markerfacecolor": "none", "markeredgewidth": 1.5}
    looks = {
        "demonstrations, house": {"marker": "s", "markeredgecolor": plots.COLOURS["ink"], **empty},
        "demonstrations, mixed hands": {"marker": "D", "markeredgecolor": plots.COLOURS["rejected"], **empty},
        "base": {"marker": "o", "color": plots.METHODS["base"]},
        "SFT": {"marker": "o", "color": plots.METHODS["sft"]},
        "DPO": {"marker": "o", "color": plots.METHODS["dpo"]},
    }
    figure, axis = plt.subplots(figsize=(8, 4.6))
    for label, values in means.items():
        axis.plot(values, range(len(shown)), linestyle="none", markersize=7, label=label, zorder=3, **looks[label])
    for i, (before, after) in enumerate(zip(means["SFT"], means["DPO"])):
        axis.plot([before, after], [i, i], color=plots.METHODS["dpo"], linewidth=2, zorder=2)
    axis.set(yticks=range(len(shown)), yticklabels=[name.replace("_", " ") for name in shown], xlim=(1, 10))
    axis.set_xlabel("mean gold score, 1 to 10")
    better = sum(after > before for before, after in zip(means["SFT"], means["DPO"]))
    axis.set_title(f"SFT writes as its demonstrations do; DPO is better in {better} of {len(shown)} categories")
    axis.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=5, fontsize=8)
    plt.close(figure)
    return figure


def main() -> int:
    plt.style.use("prefnb.book")
    rows = data.Source("pocket").prompts("test")
    sft, dpo = methods.sft.recipe(preset="pocket", seed=0), methods.dpo.recipe(preset="pocket", seed=0)
    answers = {
        "base": Answers(models.load_model("pocket"), sft.tokenizer, rows),
        "SFT, greedy": Answers(sft.model, sft.tokenizer, rows, temperature=0),
        "SFT": Answers(sft.model, sft.tokenizer, rows),
        "SFT, at 1": Answers(sft.model, sft.tokenizer, rows, temperature=1.0),
        "DPO": Answers(dpo.model, dpo.tokenizer, rows),
        "DPO, greedy": Answers(dpo.model, dpo.tokenizer, rows, temperature=0),
    }
    several = Answers(sft.model, sft.tokenizer, rows, draws=BEST_OF)
    lines = [f"{len(rows)} test prompts, temperature {TEMPERATURE} unless said; the gold judge's means:"]
    lines += [f"      {name:12} {one}" for name, one in answers.items()]
    lines.append(f"      SFT, best of {BEST_OF} by gold: {several.gold.max(1).mean():.2f}")
    print("\n".join(lines), flush=True)
    figures = [
        *size_figures(),
        *knowledge_figures(sft.tokenizer, rows),
        *first_choice_figures(answers["SFT, greedy"], answers["SFT"], answers["SFT, at 1"], several.gold.max(1).mean()),
        *comparison_figures(answers["base"], answers["SFT"], answers["DPO"]),
    ]
    lines += map(str, figures)
    failed = sum(not figure.passed for figure in figures)
    lines.append(f"{len(figures) - failed} of {len(figures)} figures are in their range.")
    print("\n".join(lines[len(answers) + 2 :]))
    (pocket.DATA / "report.md").write_text(
        "# What the pocket world promises, measured\n\nBy `make world-report`, on the machine that it ran on last.\n\n```\n"
        + "\n".join(lines)
        + "\n```\n",
        encoding="utf-8",
    )
    picture(answers["base"], answers["SFT"], answers["DPO"], rows).savefig(FIGURES / "pocket_world_gold.png")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

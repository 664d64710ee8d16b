"""Is the pocket world fit to learn in? `python -m prefnb.world_report` measures, says PASS or FAIL, and
exits non-zero on a FAIL.

It trains what a reader trains by default (SFT, then DPO; from the cache where they are there), samples
answers to all test prompts, and asks whether there is room to improve, whether flaws show, and whether
comparisons are clear-cut.
"""

import sys
from dataclasses import dataclass

import numpy as np

from prefnb import data, models, pocket, recipes
from prefnb.evaluate import win_rate
from prefnb.judges import GoldJudge
from prefnb.pocket import tasks
from prefnb.sampling import sample

TEMPERATURE, MAX_NEW_TOKENS = 0.7, 128


@dataclass
class Figure:
    """One measured figure with the range that it must lie in."""

    name: str
    value: float
    low: float
    high: float

    @property
    def passed(self):
        return self.low <= self.value <= self.high

    def __str__(self):
        return (
            f"{'PASS' if self.passed else 'FAIL'}  {self.name:58} {self.value:9.3f}   "
            f"[{self.low:g}, {'' if self.high == np.inf else f'{self.high:g}'}]"
        )


class Answers:
    """A policy's answers to all test prompts, with their scores and flaws."""

    def __init__(self, model, tokenizer, rows, seed=0):
        judge, prompts = GoldJudge(), list(rows["prompt"])
        drawn = sample(model, tokenizer, prompts, temperature=TEMPERATURE, max_new_tokens=MAX_NEW_TOKENS, seed=seed)
        self.texts = [one.text for one in drawn]
        self.lengths = np.array([len(one.ids) for one in drawn])
        self.scores, self.flaws = judge(prompts, self.texts), judge.flaws(prompts, self.texts)
        self.helpfulness = self.scores.parts["helpfulness"]

    def by_category(self, categories):
        return {name: self.helpfulness[categories == name].mean() for name in pocket.CATEGORIES}


def size_figures():
    """How large the world is, and how apart its splits are."""
    files = {
        (kind, split): load("pocket", split)
        for kind, load in (("dialogs", data.load_dialogs), ("pairs", data.load_pairs))
        for split in ("train", "test")
    }
    prompts = data.load_prompts("pocket", "test")
    per_category = [list(prompts["category"]).count(name) for name in pocket.CATEGORIES]
    key = lambda prompt: tasks.CATEGORIES[(found := tasks.parse(prompt[-1]["content"]))[0]].key(found[1])  # noqa: E731
    train = {key(prompt) for kind in ("dialogs", "pairs") for prompt in files[kind, "train"]["prompt"]}
    model_size = sum(path.stat().st_size for path in (pocket.DATA / "base_model").iterdir()) / 1e6
    return [
        Figure("distinct prompts possible", sum(tasks.count_prompts().values()), 20_000, np.inf),
        Figure("SFT dialogs", len(files["dialogs", "train"]), 8000, np.inf),
        Figure("preference pairs", len(files["pairs", "train"]), 8000, np.inf),
        Figure("test prompts", len(prompts), 500, np.inf),
        Figure("test prompts in the smallest category", min(per_category), 40, np.inf),
        Figure(
            "test combinations that occur in training",
            sum(key(prompt) in train for prompt in prompts["prompt"]),
            0,
            0,
        ),
        Figure("base model, MB", model_size, 0, 8),
    ]


def policy_figures(base, sft, again, dpo, categories):
    """What base, SFT (twice, with different sampling seeds) and DPO answers look like."""
    per_category = sft.by_category(categories)
    lowest, highest = min(per_category, key=per_category.get), max(per_category, key=per_category.get)
    figures = [
        Figure("SFT: gold helpfulness", sft.helpfulness.mean(), 0.40, 0.75),
        Figure(f"SFT: lowest category ({lowest})", per_category[lowest], 0.05, 0.95),
        Figure(f"SFT: highest category ({highest})", per_category[highest], 0.05, 0.95),
        *(
            Figure(f"SFT: share of responses that are {name}", found.mean(), 0.10, 0.50)
            for name, found in sft.flaws.items()
        ),
        Figure("SFT: tokens per response, mean", sft.lengths.mean(), 20, 60),
        Figure("base: gold helpfulness", base.helpfulness.mean(), 0, 0.5 * sft.helpfulness.mean()),
    ]
    comparisons = {
        "SFT against base": (sft, base),
        "DPO against SFT": (dpo, sft),
        "DPO against base": (dpo, base),
        "SFT, one seed against another": (sft, again),
    }
    for name, (one, other) in comparisons.items():
        rate = win_rate(one.scores, other.scores, tie=pocket.TIE)
        figures.append(Figure(f"{name}: share of ties", rate.tie_share, 0, 0.20))
        low, high = rate.interval
        if not low <= 0.5 <= high:  # where neither is better, chance alone sets both signs
            figures.append(Figure(f"{name}: win rate and mean difference agree", float(rate.same_direction), 1, 1))
        print(f"      {name}: win rate {rate}, mean difference {rate.mean_difference:+.2f}")
    return figures


def main():
    rows = data.load_prompts("pocket", "test")
    categories = np.array(rows["category"])
    sft, dpo = recipes.sft(preset="pocket", seed=0), recipes.dpo(preset="pocket", seed=0)
    answers = {
        "base": Answers(models.load_model("pocket"), sft.tokenizer, rows),
        "SFT": Answers(sft.model, sft.tokenizer, rows),
        "SFT again": Answers(sft.model, sft.tokenizer, rows, seed=1),
        "DPO": Answers(dpo.model, dpo.tokenizer, rows, seed=2),
    }
    print(f"{len(rows)} test prompts, temperature {TEMPERATURE}; the gold judge's means:")
    for name, one in answers.items():
        parts = "  ".join(f"{part} {values.mean():.2f}" for part, values in one.scores.parts.items())
        shares = "  ".join(f"{flaw} {found.mean():.2f}" for flaw, found in one.flaws.items())
        print(f"      {name:9} total {one.scores.total.mean():.2f}  {parts}  {shares}")
    print(
        "      SFT, helpfulness by category: "
        + "  ".join(f"{name} {value:.2f}" for name, value in answers["SFT"].by_category(categories).items())
    )
    figures = size_figures() + policy_figures(*answers.values(), categories)
    print("\n".join(map(str, figures)))
    failed = sum(not figure.passed for figure in figures)
    print(f"{len(figures) - failed} of {len(figures)} figures are in their range.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

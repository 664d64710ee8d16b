"""Which learning rate does a method get by default? `python -m prefnb.learning_rates [METHOD ...]` measures and says.

One rule for all methods, so that none is favoured: each is trained with its other defaults at every rate of `GRID`. The
policy answers `PROMPTS` prompts of the **training** split, `DRAWS` times each at temperature 0.7; the rate of the highest
mean gold score is the default, the lower one of equals. (A reward model answers nothing: its figure is the share of
training-split pairs, other ones than it learnt from, whose order it gets right.) Test prompts play no part.

The figures are kept in data/learning_rates.json, and a test holds the presets to them. Later methods start from earlier
ones: after a new rate for `sft` has been written into its preset, run the others again, `reward_model` first.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from prefnb import data, judges, pocket, recipes
from prefnb.files import write_json

GRID = (2e-4, 6e-4, 2e-3, 6e-3)
PROMPTS, DRAWS, PAIRS, SEED = 256, 2, 500, 4321
METHODS = (
    "sft",
    "reward_model",
    "dpo",
    "simpo",
    "dppo",
    "rs_dpo",
    "self_improvement",
    "rloo",
    "grpo",
    "multi_objective",
)
FILE = pocket.DATA / "learning_rates.json"


def figure(method: str, rate: float) -> float:
    """What the rule looks at: the mean gold score of the policy, 1 to 10, or a reward model's accuracy, 0 to 1."""
    made = getattr(recipes, method)(learning_rate=rate)
    if method == "reward_model":
        rows = data.load_pairs("pocket", "train")
        rows = rows.select(range(len(rows) - PAIRS, len(rows)))
        judge = judges.RewardModel(made.model, made.tokenizer)
        chosen, rejected = (judge(rows["prompt"], rows[side]).total for side in ("chosen", "rejected"))
        return float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected)))
    prompts = list(data.load_prompts("pocket", "train", limit=PROMPTS, seed=SEED)["prompt"])
    drawn = recipes.answers_of(made.model, made.tokenizer, prompts, draws=DRAWS, temperature=0.7, max_new_tokens=112)
    return float(judges.score_samples(judges.GoldJudge(), prompts, drawn).total.mean())


def best(figures: dict[float, float]) -> float:
    """The rate of the highest figure, the lower one of equals."""
    return min(figures, key=lambda rate: (-figures[rate], rate))


def main(methods: list[str]) -> int:
    unknown = set(methods) - set(METHODS)
    if unknown:
        print(f"There is no method {', '.join(sorted(unknown))}; the methods are {', '.join(METHODS)}.")
        return 2
    known = json.loads(FILE.read_text()) if FILE.exists() else {"methods": {}}
    os.environ["OMP_NUM_THREADS"] = "1"  # one process a core, one thread a process
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        asked = {(name, rate): pool.submit(figure, name, rate) for name in methods or METHODS for rate in GRID}
        for name in methods or METHODS:
            figures = {rate: asked[name, rate].result() for rate in GRID}
            known["methods"][name] = {
                "figures": {f"{rate:g}": round(value, 4) for rate, value in figures.items()},
                "chosen": best(figures),
                "preset": getattr(recipes, name.upper()).presets["pocket"]["learning_rate"],
            }
            print(name, known["methods"][name], flush=True)
            rule = {"grid": GRID, "prompts": PROMPTS, "draws": DRAWS, "pairs": PAIRS, "seed": SEED}
            write_json(FILE, {"rule": rule, **known})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

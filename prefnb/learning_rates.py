"""Which learning rate does a method get by default? `python -m prefnb.learning_rates [METHOD ...]` measures and says.

One rule for all methods, so that none is favoured: each is trained with its other defaults at every rate of `GRID`. The
policy answers `PROMPTS` prompts of the **training** split, `DRAWS` times each at temperature 0.7, and its figure is the
mean gold score. (A reward model answers nothing: its figure is the share of training-split pairs, other ones than it
learnt from, whose order it gets right.) The default is the lowest rate whose figure is within one standard error of the
best: what lies within may be luck, and of two rates as good, the lower does less harm. Where a method betters SFT at no
rate of the grid, it is the lowest of the grid, for the same reason. Test prompts play no part.

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

from prefnb import course, data, judges, methods, pocket
from prefnb.files import write_json

GRID = (2e-4, 6e-4, 2e-3, 6e-3)
PROMPTS, DRAWS, PAIRS, SEED = 256, 2, 500, 4321
FILE = pocket.DATA / "learning_rates.json"


def figure(method: str, rate: float) -> tuple[float, float]:
    """What the rule looks at, and its standard error: a policy's mean gold score, 1 to 10, or a reward model's accuracy."""
    made = getattr(methods, method).recipe(learning_rate=rate)
    if method == "reward_model":
        rows = data.Source("pocket").pairs("train")
        rows = rows.select(range(len(rows) - PAIRS, len(rows)))
        judge = judges.RewardModel(made.model, made.tokenizer)
        chosen, rejected = (judge(rows["prompt"], rows[side]).total for side in ("chosen", "rejected"))
        found = (chosen > rejected) + 0.5 * (chosen == rejected)
    else:
        prompts = list(data.Source("pocket").prompts("train", limit=PROMPTS, seed=SEED)["prompt"])
        settings = {"draws": DRAWS, "temperature": 0.7, "max_new_tokens": 112}
        drawn = course.answers_of(made.model, made.tokenizer, prompts, **settings)
        found = judges.score_samples(judges.GoldJudge(), prompts, drawn).total.mean(1)
    return float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found)))


def best(figures: dict[float, tuple[float, float]], start: float) -> float:
    """The lowest rate whose figure is within one standard error of the highest, or the lowest of all if none is above
    `start`: {rate: (figure, standard error)}."""
    top, error = max(figures.values())
    return min(rate for rate, (value, _) in figures.items() if value >= top - error or top <= start)


def start_of(method: str, known: dict) -> float:
    """The figure of what a method starts from: SFT's at its default, or for SFT and reward models nothing."""
    if method in ("sft", "reward_model"):
        return -np.inf
    return known["sft"]["figures"][f"{known['sft']['chosen']:g}"][0]


def main(names: list[str]) -> int:
    unknown = set(names) - set(methods.listed())
    if unknown:
        print(f"There is no method {', '.join(sorted(unknown))}; the methods are {', '.join(methods.listed())}.")
        return 2
    names = names or list(methods.listed())
    known = json.loads(FILE.read_text()) if FILE.exists() else {"methods": {}}
    os.environ["OMP_NUM_THREADS"] = "1"  # one process a core, one thread a process
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        asked = {(name, rate): pool.submit(figure, name, rate) for name in names for rate in GRID}
        for name in names:
            figures = {rate: asked[name, rate].result() for rate in GRID}
            known["methods"][name] = {
                "figures": {f"{rate:g}": [round(value, 4) for value in found] for rate, found in figures.items()},
                "chosen": best(figures, start_of(name, known["methods"])),
            }
            print(name, known["methods"][name], flush=True)
            rule = {"grid": GRID, "prompts": PROMPTS, "draws": DRAWS, "pairs": PAIRS, "seed": SEED}
            write_json(FILE, {"rule": rule, **known})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

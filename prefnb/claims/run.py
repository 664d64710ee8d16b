"""`make claims`: trains every arm with every seed, both cores busy, and writes what it measures to data/claims.

Interrupt it when you like: what is measured is in the files already, an interrupted training goes on from its last
checkpoint, and the next call makes only what is missing, or was made by other code or settings. Policies wait for later
arms in a cache of their own, runs/claims, which may be deleted at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Iterable

import numpy as np
from filelock import FileLock, Timeout

import prefnb
from prefnb import course, data, evaluate, files, judges, methods, models, pocket
from prefnb.cache import digest
from prefnb.claims import measure
from prefnb.claims.arms import ARMS, GRIDS, ZOO, Arm, Given, Grid, start_of
from prefnb.claims.results import LOWEST
from prefnb.source import code_of

FOLDER, SHELF = pocket.DATA / "claims", pocket.DATA / "zoo"
SEEDS, FEW_SEEDS = 5, 3
GRID_PROMPTS, GRID_DRAWS, GRID_SEED = 256, 2, 4321  # of the training split, as those of the learning rates


# --- one piece of work, in a process of its own -------------------------------------------------------------------


def choose_one(grid: Grid, settings: Given, prompts: int | None) -> dict:
    """The mean gold score, with its standard error, of one point of a grid on prompts of the training split."""
    given = {**grid.given, **settings, "seed": 0}
    rows = data.Source("pocket").prompts("train", limit=min(prompts or GRID_PROMPTS, GRID_PROMPTS), seed=GRID_SEED)
    asked = dict(draws=GRID_DRAWS, temperature=measure.TEMPERATURE, max_new_tokens=measure.TOKENS)
    try:
        made = grid.make(given, {}) if grid.make else getattr(methods, grid.method).recipe(**given)
        drawn = course.answers_of(made.model, made.tokenizer, list(rows["prompt"]), **asked)
    except FloatingPointError as error:
        return {"gold": LOWEST, "error": 0.0, "diverged": files.first_line(error)}
    found = judges.score_samples(judges.GoldJudge(), list(rows["prompt"]), drawn).total.mean(1)
    return {"gold": round(float(found.mean()), 4), "error": round(float(found.std(ddof=1) / np.sqrt(len(found))), 4)}


def measure_one(
    name: str, arm: Arm, seed: int, chosen: dict[str, Given], shelf: Path | None, prompts: int | None
) -> dict[str, dict]:
    """{arm: figures} of what one training gives. Weights that have diverged say nothing: the lowest score."""
    began = time.perf_counter()
    settings = {**(chosen[arm.grid] if arm.grid else {}), **arm.given, "seed": seed}
    try:
        made = arm.make(settings, chosen) if arm.make else getattr(methods, arm.method).recipe(**settings)
        made = made if arm.gives else {name: made}
    except FloatingPointError as error:
        return {one: {"diverged": files.first_line(error)} for one in arm.gives or (name,)}
    if arm.method == "reward_model" and not arm.make:
        return {name: judge_figures(made[name])}
    start, found = start_of({"seed": seed}), {}
    for one, policy in made.items():
        if shelf and seed == 0 and one in ZOO.values():
            policy = kept_in_zoo(policy, shelf / next(label for label, kept in ZOO.items() if kept == one))
        try:
            if arm.method == "reward_model":
                found[one] = measure.measure_best(policy, prompts=prompts)
            else:
                whole = arm.whole and one in (*made,)[:: max(1, len(made) - 1)]
                found[one] = measure.measure(policy, start, whole=whole, prompts=prompts)
        except FloatingPointError as error:
            found[one] = {"diverged": files.first_line(error)}
    return {one: {**figures, "wall": round(time.perf_counter() - began)} for one, figures in found.items()}


def judge_figures(made: course.Trained) -> dict:
    """A reward model's accuracy on all held-out pairs, with its interval."""
    rows, judge = data.Source("pocket").pairs("test"), judges.RewardModel(made.model, made.tokenizer)
    chosen, rejected = (judge(rows["prompt"], rows[side]).total for side in ("chosen", "rejected"))
    right = (chosen > rejected) + 0.5 * (chosen == rejected)
    return measure.rounded({"accuracy": float(right.mean()), "interval": list(evaluate.bootstrap_interval(right))})


def kept_in_zoo(made: course.Trained, folder: Path) -> course.Trained:
    """Keep a policy in half precision, and return it as it was kept: its figures are those of what can be loaded."""
    half = models.copy_model(made.model).half()
    with files.written_whole(folder, made_by=f"prefnb {prefnb.__version__}") as part:
        half.save_pretrained(part)
        made.tokenizer.save_pretrained(part)
    return replace(made, model=half.float())


def _begin(parent: int, log: Path) -> None:
    """What a worker does first: it writes to a log, and does not outlive its parent."""
    sys.stdout = sys.stderr = open(log, "a", buffering=1, encoding="utf-8")  # noqa: SIM115

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# --- all of it -----------------------------------------------------------------------------------------------------


class Results:
    """The files of a folder, one a method: what is in them, and what is missing. prompts: how many test prompts count,
    if not all. ValueError for a file that is damaged: hours of work may be in it, so it is never written over."""

    def __init__(self, folder: Path, prompts: int | None = None):
        self.folder, self.prompts = files.here(folder), prompts
        self.found = {path.name.split(".")[0]: _read(path) for path in sorted(self.folder.glob("*.json.gz"))}

    def of(self, method: str) -> dict:
        return self.found.setdefault(method, {"grids": {}, "arms": {}})

    def write(self, method: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        asked = len(measure.test_prompts(self.prompts)["prompt"])
        about = {"method": method, "prefnb": prefnb.__version__, "test_prompts": asked}
        found = {part: {name: dict(sorted(one.items())) for name, one in sorted(self.found[method][part].items())}
                 for part in ("grids", "arms")}  # fmt: skip
        files.write_json(self.folder / f"{method}.json.gz", {**about, **found}, indent=None)

    def has_point(self, name: str, grid: Grid, settings: Given) -> bool:
        kept = self.of(grid.method)["grids"].get(name, {}).get(digest(settings))
        return bool(kept) and kept.get("key") == self.key(_grid_key(grid, settings))

    def has(self, name: str, arm: Arm, seed: int, chosen: dict) -> bool:
        kept = [self.of(arm.method)["arms"].get(one, {}).get(str(seed)) for one in arm.gives or (name,)]
        first = kept[0] or {}
        # Rounds may end early: the first is always there.
        return first.get("key") == self.key(_arm_key(name, arm, seed, chosen))

    def key(self, made_by: str) -> str:
        """What a figure is kept under: a quick look at a few prompts is never taken for the figure on all of them."""
        return made_by if self.prompts is None else digest([made_by, self.prompts])

    def chosen(self, grids: dict[str, Grid]) -> dict[str, Given]:
        """{grid: its own given settings, and the best point's}, of grids that are complete."""
        best = {}
        for name, grid in grids.items():
            kept, points = self.of(grid.method)["grids"].get(name, {}), grid.points()
            if all(self.has_point(name, grid, point) for point in points):
                point = max(points, key=lambda one: kept[digest(one)]["gold"])  # of equals the grid's first
                best[name] = {k: v for k, v in {**grid.given, **point}.items() if k not in ("pairs", "steps")}
        return best


def _read(path: Path) -> dict:
    """What `Results.write` wrote. ValueError with one sentence if it is something else."""
    try:
        found = files.read_json(path)
        parts = [found["grids"], found["arms"]]
        parts += [one for part in parts for one in part.values()]
        if not all(isinstance(one, dict) for part in parts for one in part.values()):
            raise ValueError("its figures are not where they should be")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        told = files.reason(error) if isinstance(error, (OSError, ValueError)) else "parts of it are missing"
        raise ValueError(
            f"{path} is damaged, or no results of `make claims` ({told}); restore it, or remove it, and what was in it "
            "is made again."
        ) from None
    return found


def _grid_key(grid: Grid, settings: Given) -> str:
    made_by = f"{grid.make.__module__}.{grid.make.__name__}" if grid.make else f"prefnb.methods.{grid.method}.recipe"
    return digest([grid.method, grid.given, settings, code_of(made_by), code_of("prefnb.sampling.sample")])


def _arm_key(name: str, arm: Arm, seed: int, chosen: dict) -> str:
    make = getattr(arm.make, "func", arm.make)
    made_by = f"{make.__module__}.{make.__name__}" if make else f"prefnb.methods.{arm.method}.recipe"
    needs = chosen if make else chosen.get(arm.grid)
    more = getattr(arm.make, "keywords", None)
    made_by = [code_of(made_by), code_of("prefnb.sampling.sample")]
    return digest([name, arm.method, arm.given, needs, more, arm.whole, seed, *made_by])


def make(
    folder: Path = FOLDER,
    *,
    arms: dict[str, Arm] = ARMS,
    grids: dict[str, Grid] = GRIDS,
    seeds: Iterable[int] = range(SEEDS),
    chosen: dict[str, Given] | None = None,
    shelf: Path | None = None,
    desk: Path = Path("runs/claims"),
    workers: int | None = None,
    prompts: int | None = None,
) -> list[str]:
    """Train and measure what `folder` lacks, and write it there; returns what went wrong, a sentence each.

    chosen: what grids chose that are not among these. shelf: where the first seed's policies of `ZOO` are kept, if anywhere. desk: the cache and the logs of the workers.
    prompts: for a quick look, with a folder of its own: measure on so many prompts, and held-out pairs, only.
    ValueError, before any work, if a file of the folder is damaged, or if somebody else is at work at the same desk.
    """
    desk = files.check_writable(desk)
    desk.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(desk / "lock", timeout=0, mode=0o666):
            return _make(Results(folder, prompts), arms, grids, list(seeds), chosen or {}, shelf, desk, workers)
    except Timeout:
        raise ValueError(f"Another `make claims` is at work in {desk}: two would lose each other's results.") from None


def _make(
    results: Results,
    arms: dict[str, Arm],
    grids: dict[str, Grid],
    seeds: list[int],
    given: dict[str, Given],
    shelf: Path | None,
    desk: Path,
    workers: int | None,
) -> list[str]:
    from tqdm.auto import tqdm

    environment = {"OMP_NUM_THREADS": "1", "PREFNB_CACHE": str(desk / "cache"), "TQDM_DISABLE": "1"}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)  # one process a core, one thread a process
    wrong: list[str] = []
    points = [(name, point) for name, grid in grids.items() for point in grid.points()]
    points = [(name, point) for name, point in points if not results.has_point(name, grids[name], point)]
    todo = _in_order(arms, seeds)
    chosen = {**given, **results.chosen(grids)}
    whole = sum(grids[name].minutes for name, _ in points) + sum(
        arms[name].minutes for name, seed in todo if points or not results.has(name, arms[name], seed, chosen)
    )
    shown = "{n:.0f} of {total:.0f} min of one core, {elapsed} passed, about {remaining} left{postfix}"
    bar = tqdm(total=round(whole, 2), bar_format="{l_bar}{bar}| " + shown)
    pool = ProcessPoolExecutor(
        workers or os.cpu_count(), get_context("spawn"), _begin, (os.getpid(), desk / f"workers-{os.getpid()}.log")
    )
    try:
        with bar, pool, _ended_early(pool):
            waiting = {
                pool.submit(choose_one, grids[name], point, results.prompts): (name, point) for name, point in points
            }
            for (name, point), found in _as_done(waiting, bar, wrong, lambda job: grids[job[0]].minutes):
                grid = grids[name]
                kept = results.of(grid.method)["grids"].setdefault(name, {})
                kept[digest(point)] = {"settings": point, "key": results.key(_grid_key(grid, point)), **found}
                results.write(grid.method)
            chosen = {**given, **results.chosen(grids)}
            for grid in sorted({arms[name].grid for name in arms} - {*chosen, ""}):
                without = [name for name in arms if arms[name].grid == grid]
                wrong.append(f"Not made, since the grid {grid} has not chosen: {', '.join(without)}")
            todo = [(name, seed) for name, seed in todo if arms[name].grid in {*chosen, ""}]
            todo = [(name, seed) for name, seed in todo if not results.has(name, arms[name], seed, chosen)]
            waiting = {
                pool.submit(measure_one, name, arms[name], seed, chosen, shelf, results.prompts): (name, seed)
                for name, seed in todo
            }
            for (name, seed), found in _as_done(waiting, bar, wrong, lambda job: arms[job[0]].minutes):
                arm = arms[name]
                key = results.key(_arm_key(name, arm, seed, chosen))
                for one, figures in found.items():
                    kept = results.of(arm.method)["arms"].setdefault(one, {})
                    kept[str(seed)] = {"key": key, **figures}
                results.write(arm.method)
    except BrokenProcessPool:
        wrong.append("A worker was killed, perhaps for want of memory; call again, and it goes on from here")
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    return wrong


@contextlib.contextmanager
def _ended_early(pool: ProcessPoolExecutor):
    """Whatever ends the block before its end, as Ctrl-C does, ends the workers too: the pool would first work off all
    that waits, for hours."""
    others = set(active_children())
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in set(active_children()) - others:
            worker.kill()
        raise


def _in_order(arms: dict[str, Arm], seeds: list[int]) -> list[tuple[str, int]]:
    """(arm, seed): what others start from, then a seed after the other, so that whoever stops early has whole seeds; of
    arms that only explain, the first few seeds."""
    first = ("sft", "reward_model")
    todo = [(name, seed) for name in arms for seed in seeds if name in first]
    todo += [(name, seed) for seed in seeds for name in arms if name not in first]
    return [(name, seed) for name, seed in todo if seed in seeds[:FEW_SEEDS] or not arms[name].explains]


def _as_done(waiting: dict, bar, wrong: list[str], minutes):
    """(job, result) of every future as it ends, the bar moved on; what fails is one sentence in `wrong`."""
    while waiting:
        ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in sorted(ended, key=lambda one: one.exception() is not None):  # what is good is kept first
            job, error = waiting.pop(future), future.exception()
            if isinstance(error, BrokenProcessPool):
                raise error
            bar.set_postfix_str(f", {job[0]}")
            bar.update(minutes(job))
            if error:
                wrong.append(f"{job[0]} ({job[1]}): {type(error).__name__}: {files.first_line(error)}")
            else:
                yield job, future.result()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m prefnb.claims", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many seeds, from 0 on ({SEEDS})")
    parser.add_argument("arms", nargs="*", metavar="ARM", help="only these policies, e.g. dpo rloo")
    given = parser.parse_args(argv)
    unknown = sorted(set(given.arms) - set(ARMS))
    if unknown or given.seeds < 1:
        there = f"There is no arm {', '.join(unknown)}; the arms are {', '.join(ARMS)}."
        print(there if unknown else "Give at least one seed.")
        return 2
    arms = {name: arm for name, arm in ARMS.items() if not given.arms or name in given.arms}
    try:
        wrong = make(arms=arms, seeds=range(given.seeds), shelf=SHELF)
    except ValueError as error:
        print(error)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; what is measured is kept, and the next call goes on from there.")
        return 130
    print("\n".join(wrong) or f"All there: {FOLDER}")
    return 1 if wrong else 0

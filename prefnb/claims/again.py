"""Arms of the claims trained once more, with the settings that the grids chose: what notebook 11 does when it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from prefnb import parameters
from prefnb.claims import run
from prefnb.claims.arms import ARMS, GRIDS
from prefnb.claims.results import Results
from prefnb.parameters import setting


def names_in(value: str) -> list[str]:
    """The names in "dpo, rloo"."""
    return [name.strip() for name in value.split(",") if name.strip()]


def _arms(value: str) -> str:
    unknown = [name for name in names_in(value) if name not in ARMS]
    if unknown:
        raise ValueError(f"There is no policy '{unknown[0]}'; there are {', '.join(ARMS)}.")
    return value


class Settings(parameters.Settings):
    """What the leaderboard can be told."""

    methods: Annotated[str, AfterValidator(_arms)] | None = setting("policies to train again, as dpo,rloo", every=None)
    seeds: int = setting("with how many seeds they are trained again", low=1, high=100, every=1)


def retrained(names: list[str], seeds: int, folder: str | Path) -> Results:
    """Train and measure these arms with the first `seeds` seeds, and SFT, which they start from; their results. What the
    folder has already, made by the same code, is not made again. RuntimeError with a sentence for each that failed."""
    arms = {name: ARMS[name] for name in dict.fromkeys(["sft", *names])}
    chosen = run.Results(run.FOLDER).chosen(GRIDS)
    folder = Path(folder)
    wrong = run.make(folder, arms=arms, grids={}, chosen=chosen, seeds=range(seeds), desk=folder.parent / "desk")
    if wrong:
        raise RuntimeError(" ".join(wrong))
    return Results(folder)

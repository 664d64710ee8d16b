"""Notebook 11: what it says of twenty claims is what the long runs that come with the package say."""

import json
import re

import pytest
from notebook_source import NOTEBOOKS

from prefnb import models, pocket
from prefnb.claims import pictures, table
from prefnb.claims.arms import ARMS, GRIDS, ZOO
from prefnb.claims.results import FOLDER, Results


@pytest.fixture(scope="module")
def results():
    return Results()


@pytest.fixture(scope="module")
def saved():
    """All that the saved notebook shows, as one text."""
    cells = json.loads((NOTEBOOKS / "11_leaderboard.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", [])]
    return "\n".join("".join(one.get("text", "")) + "".join(one.get("data", {}).get("text/markdown", "")) for one in shown)


def test_the_saved_notebook_says_what_the_results_say(results, saved):
    """A notebook that was not made again after the long runs were: every verdict with its figures, and their counts."""
    rows = table.rows(results)
    for row in rows:
        assert f"{row} | **{row.verdict}**" in saved, row.claim.number
    counts = [sum(row.verdict == word for row in rows) for word in (table.HOLDS, table.FAILS, table.OPEN)]
    assert "{} hold here, {} do not, {} cannot be told".format(*counts) in saved


def test_every_claim_is_measured_and_nearly_every_one_decided(results):
    """Long runs too short to say what they were made to say. With fewer than five seeds they need not."""
    rows = table.rows(results)
    assert [row.claim.number for row in rows if row.missing] == []
    if min(len(results.seeds(name)) for name, arm in ARMS.items() if not arm.explains and not arm.gives) < 5:
        pytest.skip("the long runs have fewer than five seeds")
    assert sum(row.verdict != table.OPEN for row in rows) >= 16


def test_what_ships_is_whole_and_small():
    """An arm that is missing or has one seed alone, results above 5 MB, or policies above 30 MB."""
    found = Results()
    made = {one for name, arm in ARMS.items() for one in arm.gives or (name,)}
    rounds = re.compile(r"self_(improvement|judged)_[2-5]")  # rounds end where there is nothing left to learn from
    assert [name for name in made - set(found.arms) if not rounds.fullmatch(name)] == []
    assert [name for name in ARMS if name in found and len(found.seeds(name)) < 2] == []
    assert set(found.grids) == set(GRIDS)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 5e6
    assert sorted(models.zoo_names()) == sorted(ZOO)
    assert sum(path.stat().st_size for path in (pocket.DATA / "zoo").rglob("*") if path.is_file()) < 30e6


def test_the_board_names_what_the_notebook_counts(results, saved):
    """A policy on the board that the notebook leaves out."""
    assert all(pictures.BOARD[arm] in saved for arm in pictures.on_board(results))

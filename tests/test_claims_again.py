"""Notebook 11 trains policies again when it is asked to: which, with how many seeds, and what is said of a wrong name."""

import pytest

from prefnb import parameters
from prefnb.claims import again, run
from prefnb.claims.arms import ARMS
from prefnb.files import read_json, write_json


def test_names_are_read_as_they_are_written_in_a_command():
    """`-p methods "dpo, rloo"` with and without blanks, or with a comma too many."""
    assert again.names_in("dpo, rloo,") == ["dpo", "rloo"]
    p = parameters.check({"methods": "dpo,rloo", "seeds": 3}, again.Settings)
    assert (p.methods, p.seeds) == ("dpo,rloo", 3) and parameters.check({}, again.Settings).methods is None


def test_a_policy_that_there_is_not_is_named_at_once():
    """An hour of training before a misspelt name is met."""
    with pytest.raises(parameters.ParameterError, match="There is no policy 'dpoo'; there are base, sft"):
        parameters.check({"methods": "dpo,dpoo"}, again.Settings)


def test_what_is_asked_for_is_trained_with_what_the_grids_chose(tmp_path, monkeypatch):
    """Another choice of settings than that of the long runs, the wrong seeds, or the file of the long runs written over."""
    seen = {}

    def make(folder, **asked):
        seen.update(asked, folder=folder)
        folder.mkdir()
        kept = {name: {"0": {"scores": [70_000] * 8}} for name in asked["arms"]}
        write_json(folder / "dpo.json.gz", {"method": "dpo", "grids": {}, "arms": kept})
        return []

    monkeypatch.setattr(run, "make", make)
    found = again.retrained(["dpo"], 2, tmp_path / "claims")
    assert list(seen["arms"]) == ["sft", "dpo"] and list(seen["seeds"]) == [0, 1] and seen["grids"] == {}
    assert seen["folder"] == tmp_path / "claims" and run.FOLDER not in seen["desk"].parents
    kept = read_json(run.FOLDER / "dpo.json.gz")["grids"]["dpo"]
    best = max(kept.values(), key=lambda point: point["gold"])["settings"]
    assert {name: seen["chosen"]["dpo"][name] for name in best} == best
    assert found.rate("dpo").mean == 0.5 and "dpo" in ARMS


def test_what_fails_is_an_error_and_no_empty_table(tmp_path, monkeypatch):
    """Guards against a notebook that shows the old figures as the new ones."""
    monkeypatch.setattr(run, "make", lambda folder, **asked: ["dpo (0): the disk is full"])
    with pytest.raises(RuntimeError, match="the disk is full"):
        again.retrained(["dpo"], 1, tmp_path / "claims")

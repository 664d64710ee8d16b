"""A short form of `make edited`: the loss of 02 becomes a hinge, and the notebook runs on to its end, showing that loss."""

import pytest
from edited import EDITS, run
from notebook_source import NOTEBOOKS


def test_a_hinge_in_dpo_s_place_runs_to_the_end(tmp_path):
    """Checks that know the original loss and stop whoever edits it."""
    assert run("02_dpo", tmp_path) == ""


@pytest.mark.parametrize("name", EDITS)
def test_the_line_to_edit_is_where_it_was(name):
    """An edit that edits nothing any more."""
    assert (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8").count(EDITS[name][0]) == 1

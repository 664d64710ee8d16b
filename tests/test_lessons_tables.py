"""What would decide a row that cannot be told: by hand, for each kind of row."""

from types import SimpleNamespace

import numpy as np
import pytest

from prefnb.claims.results import Estimate
from prefnb.evaluate import WinRate
from prefnb.lessons import tables
from prefnb.lessons.tables import Measured


@pytest.fixture
def said(monkeypatch):
    shown = []
    monkeypatch.setattr(tables.widgets, "say", shown.append)
    monkeypatch.setattr(tables.widgets, "show_table", lambda *rows: shown.append(rows))
    return shown


def test_an_interval_shrinks_with_the_root_of_the_data():
    """A difference of a third of the half-width needs nine times the data; none at all needs more than there is."""
    assert tables.times_the_data(0.1, (-0.2, 0.4), 0.0) == pytest.approx(9)
    assert tables.times_the_data(0.55, (0.45, 0.65), 0.5) == pytest.approx(4)
    assert tables.times_the_data(0.0, (-1, 1), 0.0) == np.inf
    assert "about 9.0 times the data (here 520 prompts and one seed)" in tables.what_decides(9, 520)
    assert "about 2.0 times the seeds and prompts of the long runs" in tables.what_decides(2, None)
    assert "more than 100 times" in tables.what_decides(np.inf, 520)


def test_measured_knows_where_no_difference_lies():
    even = Measured.of(np.array([1.0, -1.0] * 50))
    assert (even.mean, even.null, even.prompts, even.verdict) == (0.0, 0.0, 100, "cannot be told")
    rate = WinRate(50, 0.7, (0.6, 0.8), 0.6, 0.1, 0.0, (0.0, 0.0))
    assert Measured.rate(rate).verdict == "holds here"


def test_every_row_that_cannot_be_told_gets_its_sentence_and_the_others_none(said, monkeypatch):
    """A row that the long runs leave open, one that they decide, and two of one seed, of which one is open."""
    found = {"open": [("a over b", Estimate(0.1, (-0.1, 0.3), 3), 1)], "decided": [("", Estimate(0.2, (0.1, 0.3), 3), 1)]}
    monkeypatch.setattr(tables.beside, "parts_of", lambda of, results: found[of[0]])
    rows = [["A", "", "", "", ("open", 0)], ["B", "", "", "", ("decided", 0)], ["C", "", "", "", None], ["D", "", "", "", None]]
    measured = {"C": Measured(0.1, (-0.1, 0.3), 40), "D": Measured(0.2, (0.1, 0.3), 40)}
    tables.say_what_decides(None, rows, measured, results="there are some")
    (told,) = said
    lines = [line for line in told.splitlines() if line.startswith("- ")]
    assert [line[:5] for line in lines] == ["- *A*", "- *C*"]
    assert "4.0 times the seeds" in lines[0] and "4.0 times the data (here 40 prompts" in lines[1]
    assert "**2 of the verdicts are of one seed alone**" in told


def test_where_all_is_decided_nothing_is_said(said, monkeypatch):
    monkeypatch.setattr(tables.beside, "parts_of", lambda of, results: [("", Estimate(0.2, (0.1, 0.3), 3), 1)])
    tables.say_what_decides(None, [["B", "", "", "", ("x", 0)]], {}, results="there are some")
    assert said == []


def test_flaws_are_counted_over_all_answers(said):
    flaws = {"SFT": {"rambling": np.array([[True], [False]])}, "DPO": {"rambling": np.array([[False], [False]])}}
    scores = {name: SimpleNamespace(total=np.array([[value]])) for name, value in (("SFT", 5.0), ("DPO", 6.5))}
    found = SimpleNamespace(gold="gold", answers=flaws, flaws=flaws.get, scores=scores, judge=SimpleNamespace(name="gold"))
    assert tables.show_flaws(found) == flaws
    assert said[0] == (["flaws, share of answers", "rambling", "gold score"], ["SFT", "50%", "5.00"], ["DPO", "0%", "6.50"])
    assert tables.show_flaws(SimpleNamespace(gold=None)) == {}

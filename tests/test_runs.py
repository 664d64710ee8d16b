"""Two runs side by side: what differs is shown, what is the same is not, and a folder that is no run is one sentence."""

import json

import pytest

from prefnb import runs, widgets
from prefnb.training import History


def run(folder, parameters, rate, loss):
    """A folder as a notebook leaves it."""
    folder.mkdir()
    (folder / "parameters.json").write_text(json.dumps({"seed": 0, "output_dir": str(folder), **parameters}))
    rates = {"DPO": {"rate": rate, "interval": [rate - 0.1, rate + 0.1]}}
    (folder / "summary.json").write_text(json.dumps({"win_rates": rates}))
    History([{"step": n + 1, "loss": loss, "margin": n} for n in range(3)]).save(folder / "history_DPO.json")
    return folder


@pytest.fixture
def both(tmp_path):
    return run(tmp_path / "a", {"beta": 0.1}, 0.6, 0.7), run(tmp_path / "b", {"beta": 0.5, "<b>": 1}, 0.7, 0.5)


def test_what_differs_is_shown_and_nothing_else(both, monkeypatch):
    """A parameter that is the same in both hides the one that is not; two curves of one name drawn in two pictures."""
    tables, figures = [], []
    monkeypatch.setattr(widgets, "show_table", lambda *rows: tables.append(rows))
    monkeypatch.setattr(runs, "display", figures.append)
    runs.compare(*both)
    assert [row[0] for row in tables[0][1:]] == [widgets.escaped("beta"), widgets.escaped("<b>")] and widgets.escaped(0.5) in tables[0][1]
    assert tables[1][1][1:] == ["0.600 [0.500, 0.700]", "0.700 [0.600, 0.800]"]
    (figure,) = figures
    assert {line.get_label() for line in figure.axes[0].lines} >= {"a", "b"}


@pytest.mark.parametrize("damage, says", [
    (lambda folder: (folder / "summary.json").unlink(), "is no run of a notebook: it has no summary.json"),
    (lambda folder: (folder / "parameters.json").write_text("{"), "parameters.json is damaged"),
    (lambda folder: (folder / "parameters.json").write_text("[]"), "parameters.json is damaged"),
])  # fmt: skip
def test_a_folder_that_is_no_run_is_one_sentence(both, damage, says):
    """A traceback through json for a mistyped folder."""
    damage(both[1])
    with pytest.raises(ValueError, match=says) as refused:
        runs.compare(*both)
    assert "\n" not in str(refused.value)


def test_one_run_cannot_be_compared(both):
    with pytest.raises(ValueError, match="two runs or more"):
        runs.compare(both[0])

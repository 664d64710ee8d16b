"""The loss explorer computes what the loss says, and has a picture without a kernel."""

import math
import re

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from prefnb import explorer
from prefnb.methods.dpo import dpo
from prefnb.methods.simpo import simpo

PAIR = {"d_chosen": -2.0, "d_rejected": -6.0, "tokens_chosen": 12, "tokens_rejected": 6}


def test_a_pair_by_hand():
    """DPO: a margin of .1 * 4, so -log sigma(.4); its gradient by S(chosen) is -beta sigma(-m), by the other +."""
    found = explorer.evaluated(dpo, PAIR, {"beta": 0.1})
    assert found.loss[0] == pytest.approx(-math.log(1 / (1 + math.exp(-0.4))))
    slope = 0.1 / (1 + math.exp(0.4))
    assert (found.slope_chosen[0], found.slope_rejected[0]) == pytest.approx((-slope, slope))


def test_lengths_count_where_the_loss_has_means():
    """SimPO's margin by hand: 2.5 * (-26/12 + 30/6) - 1; a loss takes the settings that it names and no other."""
    found = explorer.evaluated(simpo, PAIR, {"beta": 2.5, "gamma": 1.0, "tau": 3.0})
    margin = 2.5 * (-26 / 12 + 30 / 6) - 1
    assert found.loss[0] == pytest.approx(math.log(1 + math.exp(-margin)), rel=1e-5)


def test_curves_are_the_losses_at_every_gap_and_the_dot_is_the_pair():
    """A curve that is drawn at other gaps than it is computed at."""
    along = explorer.evaluated(dpo, {**PAIR, "d_chosen": -6.0 + explorer.GAPS}, {"beta": 0.1}).loss
    assert np.allclose(along, np.log1p(np.exp(-0.1 * explorer.GAPS)))
    shown = explorer.view({"DPO": dpo}, beta=0.1, **PAIR)
    assert shown.count("<circle") == shown.count("<polyline") == 1 and "a gap of +4 nats" in shown
    assert f"{along[np.searchsorted(explorer.GAPS, 4.0)]:+.3f}" in shown


def test_a_saved_notebook_has_the_picture_and_below_it_the_sliders():
    """An explorer of which GitHub shows nothing."""
    source = "from prefnb import explorer\nfrom prefnb.methods.dpo import dpo\nexplorer.show({'DPO': dpo}, beta=(0.01, 1.0, 0.1, 0.01))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    first, second = notebook.cells[0].outputs
    assert "<svg" in first.data["text/html"] and re.search("aria-label=.Loss against the gap", first.data["text/html"])
    assert "application/vnd.jupyter.widget-view+json" in second.data

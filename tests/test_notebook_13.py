"""Notebook 13: the losses that its readers see and edit are the library's, and its wrong labels are as many as it says."""

from functools import partial

import pytest
import torch
from notebook_source import load
from toy_policy import random_responses

from prefnb.batches import Examples
from prefnb.methods import ipo, kto, robust_dpo


@pytest.fixture(scope="module")
def notebook():
    return load("13_relatives", "ipo", "conservative_dpo", "robust_dpo", "kto", "exchange")


@pytest.mark.parametrize("name, library, settings", [
    ("ipo", ipo.ipo, {"tau": 0.3}),
    ("conservative_dpo", robust_dpo.conservative_dpo, {"beta": 0.3, "flipped": 0.2}),
    ("robust_dpo", robust_dpo.robust_dpo, {"beta": 0.3, "flipped": 0.2}),
    ("kto", kto.kto, {"beta": 0.3, "good": torch.tensor([1, 0, 0, 1])}),
])
def test_the_notebook_s_losses_are_the_library_s(notebook, name, library, settings):
    """In value and metrics, bit for bit: what readers see is what the recipes train with."""
    names = ("response", "other") if name == "kto" else ("chosen", "rejected")
    policy, reference = random_responses(names, seed=0), random_responses(names, seed=1)
    (ours, told), (theirs, known) = (partial(loss, **settings)(policy, reference) for loss in (getattr(notebook, name), library))
    assert torch.equal(ours, theirs) and told.keys() == known.keys()
    assert all(torch.equal(told[metric], known[metric]) for metric in known)


def test_exactly_the_share_is_exchanged_and_nothing_else(notebook):
    """Guards the experiment: of ten pairs three change sides, and no response is lost."""
    right, wrong = [[n] for n in range(1, 11)], [[-n] for n in range(1, 11)]
    pairs = Examples(right, {"chosen": right, "rejected": wrong}, list(range(10)))
    found = notebook.exchange(pairs, 0.3, seed=0)
    sides = list(zip(found.responses["chosen"], found.responses["rejected"]))
    assert sum(side == (bad, good) for side, good, bad in zip(sides, right, wrong)) == 3
    assert sum(side == (good, bad) for side, good, bad in zip(sides, right, wrong)) == 7
    assert pairs.responses == {"chosen": right, "rejected": wrong} and found.prompt_ids == pairs.prompt_ids

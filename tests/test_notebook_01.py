"""Notebook 01: the losses that its readers see and edit are those of the library, and its rules do what it says."""

import pytest
import torch
from notebook_source import load
from toy_policy import random_responses

from prefnb.methods import sft as library

NAMES = ("sft", "length_penalty_printed", "length_penalty")


@pytest.fixture(scope="module")
def notebook():
    return load("01_sft", *NAMES, "early_stop")


def run(objective, role, seed, **settings):
    """Loss, metrics and the gradient of the mean loss (None without one) on the same random log-probs."""
    policy = random_responses([role], seed)
    loss, metrics = objective(policy, None, **settings)
    token = getattr(policy, role).token
    return loss, metrics, torch.autograd.grad(loss.mean(), token)[0] if loss.requires_grad else None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_s_losses_are_the_library_s(notebook, name, seed):
    """Guards against a notebook that explains one loss and a library that trains another: numbers, metrics and
    gradients."""
    role, settings = ("response", {}) if name == "sft" else ("sample", {"factor": 0.3, "target_length": torch.tensor([1, 2, 1, 3])})
    ours, theirs = (run(getattr(place, name), role, seed, **settings) for place in (notebook, library))
    torch.testing.assert_close(ours[0], theirs[0], check_dtype=False)
    assert ours[1].keys() == theirs[1].keys()
    for metric in ours[1]:
        torch.testing.assert_close(ours[1][metric], theirs[1][metric], check_dtype=False)
    assert (ours[2] is None) == (theirs[2] is None) == (name == "length_penalty_printed")
    if ours[2] is not None:
        torch.testing.assert_close(ours[2], theirs[2])


@pytest.mark.parametrize("values, patience, expected", [
    ([0.5, 0.6, 0.7, 0.6, 0.65, 0.9], 2, (4, 2)),  # gives up before the late rise
    ([0.5, 0.6, 0.7, 0.6, 0.65, 0.9], 3, (5, 5)),  # waits for it
    ([0.5, 0.4, 0.3], 5, (2, 0)),  # never gives up
    ([0.5, 0.5, 0.5], 2, (2, 0)),  # a tie is no rise
])
def test_early_stopping_by_hand(notebook, values, patience, expected):
    """Guards the rule that the notebook explains, an equal value included: it is `train(stop_on=...)`'s."""
    assert notebook.early_stop(values, patience) == expected


def test_early_stopping_stops_where_the_training_loop_does(notebook):
    """Guards against a rule in the notebook that is not the loop's own."""
    from prefnb.training import History
    from prefnb.training.monitor import Monitor

    values = [0.5, 0.6, 0.58, 0.61, 0.6, 0.61, 0.6, 0.7]
    for patience in (1, 2, 3, 4):
        checks = iter(values)
        monitored = Monitor(lambda policy: {"win_rate": next(checks)}, "win_rate", patience, torch.nn.Linear(1, 1))
        history = History()
        stopped = next((check for check in range(len(values)) if monitored(history, check, 0.0)), len(values) - 1)
        assert notebook.early_stop(values, patience) == (stopped, monitored.best_step)

"""Notebook 03: the loss that its readers see and edit is the library's, and its words and solutions are right."""

import re
from functools import partial

import pytest
import torch
from notebook_source import NOTEBOOKS, load
from toy_policy import random_responses, tokens_of

from prefnb.lessons import simpo as lesson
from prefnb.logprobs import from_tokens
from prefnb.methods import simpo as library
from prefnb.methods.dpo import dpo


@pytest.fixture(scope="module")
def notebook():
    return load("03_simpo", "simpo", "swapped", "mistaken", "PAPER")


def run(objective, seed, **settings):
    """Loss, metrics and the gradients of the mean loss on the same random log-probs."""
    policy = random_responses(["chosen", "rejected"], seed)
    loss, metrics = objective(policy, **settings)
    return loss, metrics, torch.autograd.grad(loss.mean(), tokens_of(policy))


@pytest.mark.parametrize("gamma, beta", [(0.0, 2.0), (1.0, 2.5), (5.0, 10.0)])
@pytest.mark.parametrize("seed", range(3))
def test_the_notebook_s_loss_is_the_library_s(notebook, seed, gamma, beta):
    """Guards against a notebook that explains one loss and a library that trains another: numbers, metrics and
    gradients."""
    ours, theirs = (run(one, seed, gamma=gamma, beta=beta) for one in (notebook.simpo, library.simpo))
    torch.testing.assert_close(ours[0], theirs[0])
    assert ours[1].keys() == theirs[1].keys()
    for name in ours[1]:
        torch.testing.assert_close(ours[1][name], theirs[1][name])
    for our, their in zip(ours[2], theirs[2]):
        torch.testing.assert_close(our, their)


def test_the_mistakes_are_the_ones_that_are_named(notebook):
    """Guards the lesson on sum and mean: by hand, SimPO on the sum and DPO on the mean."""
    policy = from_tokens(chosen=[[-1.0, -2.0]], rejected=[[-1.0, -2.0, -3.0]])  # sums -3, -6; means -3/2, -2
    reference = from_tokens(chosen=[[-1.0, -1.0]], rejected=[[-1.0, -1.0, -1.0]])  # means -1, -1
    _, summed = notebook.mistaken(policy, reference, partial(notebook.simpo, beta=2.0, gamma=0.5))
    _, averaged = notebook.mistaken(policy, reference, partial(dpo, beta=2.0))
    assert summed["margin"].item() == pytest.approx(2 * (-3 + 6))
    assert averaged["margin"].item() == pytest.approx(2 * (-0.5 + 1.0))


def test_the_paper_s_table_is_the_paper_s(notebook):
    """Guards the printed win rates, each at its own setting of (gamma, beta)."""
    assert notebook.PAPER == {(1, 2.5): 0.688, (1, 2): 0.631, (3, 10): 0.542, (5, 10): 0.637}


@pytest.mark.parametrize("words, said", [(["holds here"] * 2, "holds here"), (["holds here", "cannot be told"], "cannot be told"),
                                         (["cannot be told", "does not hold here"], "does not hold here")])
def test_a_claim_about_every_setting_needs_every_setting(words, said):
    """Guards the verdict on the whole grid against being told from its best row."""
    assert lesson.overall(words) == said


def test_the_printed_solutions_pass_the_notebook_s_own_check(capsys):
    """Guards against a solution that the checking cell would refuse, and a check that passes anything."""
    text = (NOTEBOOKS / "03_simpo.py").read_text(encoding="utf-8")
    solution = re.search(r"```python\n(.*?)```", text, re.S)[1].replace("# ", "", 1).replace("\n# ", "\n")
    cells = load("03_simpo", "simpo", "answer_1", "check_exercises")
    names = cells.check_exercises.__globals__
    names["toy_policy"] = random_responses(["chosen", "rejected"], 0)
    exec(solution, names)
    names |= {"answer_1": 0.693, "answer_2": 0.4}
    cells.check_exercises()
    assert capsys.readouterr().out.split("\n")[:3] == ["1: right", "2: right", "3: right"]
    names |= {"answer_1": 0.313, "answer_2": 2.5,
              "simpo_sft": lambda policy, reference=None, *, beta, gamma, weight: cells.simpo(policy, beta=beta, gamma=gamma)}
    cells.check_exercises()
    assert capsys.readouterr().out.count("not yet") == 3
    names |= {"answer_1": "a third", "answer_2": [], "simpo_sft": lambda policy: policy}
    cells.check_exercises()
    assert capsys.readouterr().out.count("not yet, for it cannot be checked: ") == 3

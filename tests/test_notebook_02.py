"""Notebook 02: the loss that its readers see and edit is the library's, and its words and solutions are right."""

import re

import pytest
import torch
from notebook_source import NOTEBOOKS, load
from toy_policy import random_responses, tokens_of

from prefnb.methods import dpo as library


@pytest.fixture(scope="module")
def notebook():
    return load("02_dpo", "dpo")


def run(objective, seed, **settings):
    """Loss, metrics and the gradients of the mean loss on the same random log-probs."""
    policy, reference = random_responses(["chosen", "rejected"], seed), random_responses(["chosen", "rejected"], seed + 100)
    loss, metrics = objective(policy, reference, **settings)
    return loss, metrics, torch.autograd.grad(loss.mean(), tokens_of(policy))


@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_notebook_s_loss_is_the_library_s(notebook, seed, beta):
    """Guards against a notebook that explains one loss and a library that trains another: numbers, metrics and
    gradients."""
    ours, theirs = run(notebook.dpo, seed, beta=beta), run(library.dpo, seed, beta=beta)
    torch.testing.assert_close(ours[0], theirs[0])
    assert ours[1].keys() == theirs[1].keys()
    for name in ours[1]:
        torch.testing.assert_close(ours[1][name], theirs[1][name])
    for our, their in zip(ours[2], theirs[2]):
        torch.testing.assert_close(our, their)


def test_the_printed_solutions_pass_the_notebook_s_own_check(capsys):
    """Guards against a solution that the checking cell would refuse, and a check that passes anything."""
    text = (NOTEBOOKS / "02_dpo.py").read_text(encoding="utf-8")
    solution = re.search(r"```python\n(.*?)```", text, re.S)[1].replace("# ", "", 1).replace("\n# ", "\n")
    cells = load("02_dpo", "dpo", "toy_chosen", "toy_policy", "toy_reference", "answer_1", "check_exercises")
    names = cells.check_exercises.__globals__
    names["toy"] = cells.dpo(cells.toy_policy, cells.toy_reference, beta=0.1)[1]
    exec(solution, names)
    names |= {"answer_1": 0.313, "answer_2": 0.1}
    cells.check_exercises()
    assert capsys.readouterr().out.split("\n")[:3] == ["1: right", "2: right", "3: right"]
    names |= {"answer_1": 0.69, "answer_2": 0.2, "cdpo": lambda policy, reference, *, beta, epsilon: cells.dpo(policy, reference, beta=beta)}
    cells.check_exercises()
    assert capsys.readouterr().out.count("not yet") == 3
    names |= {"answer_1": "a third", "answer_2": [], "cdpo": lambda policy, beta: policy}
    cells.check_exercises()
    assert capsys.readouterr().out.count("not yet, for it cannot be checked: ") == 3


def test_the_printed_kl_cancels_the_push_on_the_rejected_at_beta():
    """Guards the second solution: at step 0 and weight beta, S(yl) has no gradient left."""
    reference = random_responses(["chosen", "rejected"], 0)
    policy = random_responses(["chosen", "rejected"], 0)
    loss, _ = library.dpo_kl_as_printed(policy, reference, beta=0.1, weight=0.1)
    chosen, rejected = torch.autograd.grad(loss.sum(), tokens_of(policy))
    assert rejected.abs().max() < 1e-9 and chosen.abs().max() > 0.05

"""Notebook 04: its own DPPO is the library's, and its parameters are those that the recipe takes."""

import ast
from itertools import product

import pytest
import torch
from notebook_source import NOTEBOOKS, load
from toy_policy import random_responses, tokens_of

from prefnb import course, methods, parameters
from prefnb.methods import dppo as library
from prefnb.methods.dpo import dpo

ROLES = ("chosen", "rejected", "generated")
PARTS = ("vote", "weight_of", "log_otherwise", "reward", "dppo")


@pytest.fixture(scope="module")
def notebook():
    return load("04_dppo", *PARTS)


def result(objective, policy, reference, **given):
    """An objective's loss, metrics, and gradients with respect to every token."""
    loss, metrics = objective(policy, reference, **given)
    return loss, metrics, torch.autograd.grad(loss.sum(), tokens_of(policy), allow_unused=True)


@pytest.mark.parametrize("penalty, weight, normalize", list(
    product(library.PENALTIES, library.WEIGHTS, library.NORMALIZATIONS)))
def test_the_notebooks_loss_is_the_librarys(notebook, penalty, weight, normalize):
    """A lesson that teaches another loss than the leaderboard runs: values, metrics and gradients."""
    for seed, level in product(range(3), library.LEVELS):
        policy, reference = random_responses(ROLES, seed), random_responses(ROLES, seed + 100)
        given = dict(alpha=3.0, beta=0.3, penalty=penalty, weight=weight, zeta=0.2, level=level, normalize=normalize)
        loss, metrics, gradients = result(notebook.dppo, policy, reference, **given)
        expected, expected_metrics, expected_gradients = result(library.dppo, policy, reference, **given)
        torch.testing.assert_close(loss, expected)
        assert set(metrics) == set(expected_metrics)
        for name, value in metrics.items():
            torch.testing.assert_close(value, expected_metrics[name])
            assert not value.requires_grad
        for ours, theirs in zip(gradients, expected_gradients):
            torch.testing.assert_close(ours, theirs)


def test_alpha_0_is_dpo_bit_for_bit_and_needs_no_generated_response(notebook):
    """A penalty of strength 0 that still moves the last digit, or asks for what is not there."""
    policy, reference = (random_responses(ROLES[:2], seed, dtype=torch.float32) for seed in (0, 1))
    for ours, theirs in zip(result(notebook.dppo, policy, reference, alpha=0, beta=0.1), result(dpo, policy, reference, beta=0.1)):
        if isinstance(ours, dict):
            assert all(torch.equal(ours[name], value) for name, value in theirs.items())
        else:
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs))


def test_certain_tokens_and_padding_leave_the_unlikelihood_finite(notebook):
    """log(1 - pi) at pi = 1: an infinite loss, or padding (log-prob 0) taken for certain tokens."""
    policy = random_responses(["generated"], 0, dtype=torch.float32).generated
    short = type(policy)(torch.tensor([[-0.5, 0.0, 0.0]]), torch.tensor([[True, True, False]]))
    expected = library.log_otherwise(short)
    assert torch.isfinite(expected).all() and torch.equal(notebook.log_otherwise(short), expected)


def test_parameters_are_the_recipes(notebook):
    """A parameter of the method that the notebook does not offer, or a default that the check refuses."""
    source = ast.parse((NOTEBOOKS / "04_dppo.py").read_text())
    declared = {line.target.id: ast.literal_eval(line.value) for line in source.body if isinstance(line, ast.AnnAssign)}
    asked = {"preset", "seed", "model", "dataset", "sft", "pairs", "epochs", "batch_size", "learning_rate", "alpha", "beta", "penalty",
             "weight", "zeta", "level", "normalize", "alphas", "test_prompts", "draws", "judge", "output_dir"}
    assert set(declared) == asked
    p = parameters.check(declared, methods.dppo.Settings, course.Judging, alphas=parameters.Numbers(0, 10_000))
    assert p.alpha == 10 and p.alphas

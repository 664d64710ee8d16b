"""Notebook 14: its small experiments say what they say for the reasons that it gives."""

import pytest
import torch
from notebook_source import load

from prefnb.estimators.kl import sampled_kl
from prefnb.logprobs import from_tokens


def test_repetition_by_hand():
    """Four words have three pairs of neighbours; said twice, seven, of which three are old."""
    notebook = load("14_questions", "repeated")
    assert notebook.repeated("one two three four") == 0
    assert notebook.repeated("one two three four one two three four") == pytest.approx(3 / 7)
    assert notebook.repeated("") == notebook.repeated("word") == 0


def test_a_group_s_loss_begins_at_zero_and_falls_along_its_gradient():
    """The answer to question 4: otherwise the picture shows something else."""
    notebook = load("14_questions", "logits", "answers", "advantage", "old", "group_loss")
    at_start = notebook.group_loss(notebook.logits)
    slope, = torch.autograd.grad(at_start, notebook.logits)
    assert abs(at_start.item()) < 1e-6 < slope.norm() and notebook.group_loss(notebook.logits - 0.1 * slope) < -0.001


def test_the_course_s_own_penalty_has_the_gradient_that_the_notebook_calls_right():
    """Over all four tokens, weighed by their probability: the score function's gradient is the KL's own. Each token's
    baseline is the mean of the three others, which lengthens the gradient by 4/3 where all four are there once."""
    notebook = load("14_questions", "tokens", "near")
    policy = notebook.tokens.softmax(0)
    exact, = torch.autograd.grad((policy * (policy / notebook.near).log()).sum(), notebook.tokens)
    policies, references = (from_tokens(sample=values.log()[:, None]) for values in (notebook.tokens.softmax(0), notebook.near))
    penalty, _ = sampled_kl(policies, references, weight=1.0)
    ours, = torch.autograd.grad((policy.detach() * penalty).sum(), notebook.tokens)
    assert torch.allclose(ours, exact * 4 / 3, atol=1e-6)

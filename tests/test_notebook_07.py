"""Notebook 07: the rule that its readers see and edit is the library's, and its verdicts are right."""

import numpy as np
import pytest
from notebook_source import load

from prefnb import pairs as library


@pytest.fixture(scope="module")
def notebook():
    return load("07_self_improvement", "best_and_worst", "TOY", "toy_pair")


@pytest.mark.parametrize("distinct", [2, 5, 1000])
def test_the_notebook_s_rule_is_the_library_s(notebook, distinct):
    """Guards against a notebook that shows one rule and a library that has another; few distinct samples included."""
    rng = np.random.default_rng(distinct)
    tokens = rng.integers(distinct, size=(60, 8))
    samples = [[[int(prompt), int(token)] for token in row] for prompt, row in enumerate(tokens)]
    scores = np.sin(1.0 + tokens) if distinct < 1000 else rng.normal(size=(60, 8)).round(1)
    prompts = [[7, i] for i in range(60)]
    for seed in (0, 5):
        rules = notebook.best_and_worst, library.best_and_worst
        ours, theirs = (rule(prompts, samples, scores, seed=seed) for rule in rules)
        assert (ours.prompt_ids, ours.responses, ours.kept) == (theirs.prompt_ids, theirs.responses, theirs.kept)
        assert len(ours) > 0


def test_the_notebook_s_rule_refuses_samples_that_are_all_alike(notebook):
    """Guards against pairs of nothing: the library's own error, so that rounds end in words."""
    with pytest.raises(library.NoPairs, match="No prompt gives a pair"):
        notebook.best_and_worst([[0]], [[[1], [1]]], [[2.0, 2.0]])


def test_the_toy_is_what_its_text_says(notebook):
    """B over D, A or C, each; A is left where B says it twice; four times B gives no pair."""
    assert {notebook.toy_pair("ABCD", seed) for seed in range(30)} == {"B over A", "B over C", "B over D"}
    assert notebook.toy_pair("ABBA") == "B over A"
    assert "No prompt gives a pair" in notebook.toy_pair("BBBB")

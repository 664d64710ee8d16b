"""Notebook 07: the rule that its readers see and edit is the library's, and its verdicts and solutions are right."""

import numpy as np
import pytest
from notebook_source import load

from prefnb import pairs as library


@pytest.fixture(scope="module")
def notebook():
    return load("07_self_improvement", "best_and_worst", "TOY", "toy_pair", "answer_1", "answer_2", "check_exercises")


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


def test_the_printed_solutions_pass_the_notebook_s_own_check(notebook, capsys):
    """Guards against solutions that the checking cell would refuse; both follow from the library's own rule."""
    scores = [5, 5, 4, 3, 3, 2, 1, 1]
    drawn = [library.best_and_worst([[0]], [[[k] for k in range(8)]], [scores], seed=seed).responses["rejected"][0][0]
             for seed in range(3000)]
    share = np.mean([scores[k] == 1 for k in drawn])
    samples = [[0]] * 6 + [[1], [2]]
    made = [library.best_and_worst([[0]], [samples], [[2] * 6 + [1, 3]], seed=seed) for seed in range(30)]
    found = {(one.responses["chosen"][0][0], one.responses["rejected"][0][0]) for one in made}
    assert share == pytest.approx(2 / 3, abs=0.03)
    notebook.check_exercises.__globals__.update(answer_1=2 / 3, answer_2=len(found))
    notebook.check_exercises()
    assert capsys.readouterr().out.count("right") == 2


def test_words_where_a_number_is_asked_for_are_answered_with_a_sentence(notebook, capsys):
    """Guards against a TypeError as the answer to an answer."""
    notebook.check_exercises.__globals__.update(answer_1="one half", answer_2=(1, 2))
    notebook.check_exercises()
    said = capsys.readouterr().out
    assert "1: give a number, and not 'one half'" in said and said.count("and not") == 2

"""Notebook 06: the mixture that its readers see and edit is the library's, and its verdicts and solutions are right."""

import pytest
from notebook_source import load

from prefnb import pairs as library
from prefnb.batches import Examples
from prefnb.logprobs import from_tokens
from prefnb.methods.dpo import dpo


@pytest.fixture(scope="module")
def notebook():
    return load("06_rs_dpo", "mixture", "answer_1", "answer_2", "check_exercises")


@pytest.mark.parametrize("share", [0.1, 0.2, 1.0])
def test_the_notebook_s_mixture_is_the_library_s(notebook, share):
    """Guards against a notebook that shows one mixture and a library that makes another."""
    rows = range(40)
    examples = Examples([[1, i] for i in rows], {"chosen": [[2, i] for i in rows], "rejected": [[3, i] for i in rows]}, list(rows))
    samples = [[2, i] if i % 7 == 0 else [4, i] for i in rows]
    ours, theirs = notebook.mixture(examples, samples, share, 5), library.mixture(examples, samples, share, 5)
    assert ours[1] == theirs[1] and len(ours[1]) == round(share * 34)
    assert (ours[0].prompt_ids, ours[0].responses, ours[0].kept) == (theirs[0].prompt_ids, theirs[0].responses, theirs[0].kept)


def test_the_printed_solutions_pass_the_notebook_s_own_check(notebook, capsys):
    """Guards against solutions that the checking cell would refuse; both follow from the library's own functions."""
    samples = [[2, i] if i < 20 else [4, i] for i in range(500)]
    rows = range(500)
    examples = Examples([[1]] * 500, {"chosen": [[2, i] for i in rows], "rejected": [[3, i] for i in rows]}, list(rows))
    one = len(library.mixture(examples, samples, 0.1)[1])
    before, after = (from_tokens(chosen=[[-2.0]], rejected=[[-2.0, own]]) for own in (-1.0, -6.0))
    two = float(dpo(after, before, beta=0.1)[1]["margin"])
    names = notebook.check_exercises.__globals__
    names |= {"answer_1": one, "answer_2": two}
    notebook.check_exercises()
    assert capsys.readouterr().out.count("right") == 2


def test_words_where_a_number_is_asked_for_are_answered_with_a_sentence(notebook, capsys):
    """Guards against a TypeError as the answer to an answer."""
    notebook.check_exercises.__globals__.update(answer_1="one half", answer_2=(1, 2))
    notebook.check_exercises()
    said = capsys.readouterr().out
    assert "1: give a number, and not 'one half'" in said and said.count("and not") == 2

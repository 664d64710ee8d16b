"""Notebook 06: the mixture that its readers see and edit is the library's, and its verdicts are right."""

import pytest
from notebook_source import load

from prefnb import pairs as library
from prefnb.batches import Examples


@pytest.fixture(scope="module")
def notebook():
    return load("06_rs_dpo", "mixture")


@pytest.mark.parametrize("share", [0.1, 0.2, 1.0])
def test_the_notebook_s_mixture_is_the_library_s(notebook, share):
    """Guards against a notebook that shows one mixture and a library that makes another."""
    rows = range(40)
    examples = Examples([[1, i] for i in rows], {"chosen": [[2, i] for i in rows], "rejected": [[3, i] for i in rows]}, list(rows))
    samples = [[2, i] if i % 7 == 0 else [4, i] for i in rows]
    ours, theirs = notebook.mixture(examples, samples, share, 5), library.mixture(examples, samples, share, 5)
    assert ours[1] == theirs[1] and len(ours[1]) == round(share * 34)
    assert (ours[0].prompt_ids, ours[0].responses, ours[0].kept) == (theirs[0].prompt_ids, theirs[0].responses, theirs[0].kept)

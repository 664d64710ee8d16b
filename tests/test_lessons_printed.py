"""A loss that a notebook prints: it is the library's word for word, and no longer after an edit of any kind."""

import linecache
import types

import pytest
from notebook_source import load

from prefnb import methods
from prefnb.lessons import printed
from prefnb.methods.dpo import dpo, pair_metrics


def typed(text, **names):
    """The function `dpo` of a cell that a reader has typed, with its source where `inspect` looks for it."""
    file = f"<cell {abs(hash(text))}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    from torch.nn.functional import logsigmoid

    module = types.ModuleType("__main__")
    vars(module).update({"logsigmoid": logsigmoid, "pair_metrics": pair_metrics} | names)
    exec(compile(text, file, "exec"), vars(module))
    return module.dpo


CELL = '''
def rewards(policy, reference, beta):
    return (beta * (policy.chosen.sum - reference.chosen.sum),  # a comment
            beta * (policy.rejected.sum - reference.rejected.sum))

def dpo(policy, reference, *, beta):
    """Other words."""
    reward_chosen, reward_rejected = rewards(policy, reference, beta)
    return -logsigmoid(reward_chosen - reward_rejected), pair_metrics(policy, reward_chosen, reward_rejected)
'''


@pytest.mark.parametrize("name", ["06_rs_dpo", "07_self_improvement"])
def test_the_loss_that_a_notebook_prints_is_the_library_s_word_for_word(name):
    """Guards what comes ready-made: it is found by the library's code, and would all be trained anew."""
    assert printed.same(load(name, "rewards", "dpo").dpo, dpo)


def test_layout_comments_docstrings_and_annotations_do_not_count(capsys):
    assert printed.in_use(typed(CELL), dpo) is dpo and not capsys.readouterr().out


@pytest.mark.parametrize("old, new", [
    ("-logsigmoid(", "logsigmoid("),
    ("*, beta", "*, beta=0.1"),
    ("policy.chosen.sum - reference.chosen.sum", "policy.chosen.mean - reference.chosen.mean"),  # in what it calls
])  # fmt: skip
def test_after_an_edit_the_reader_s_own_is_used_which_is_said(old, new, capsys):
    """An edited loss that would be served what was trained with another one."""
    mine = typed(CELL.replace(old, new))
    assert mine is not dpo and printed.in_use(mine, methods.dpo.dpo) is mine
    assert "trained with yours" in capsys.readouterr().out


def test_another_function_under_a_name_that_it_calls_is_an_edit():
    assert not printed.same(typed(CELL, pair_metrics=lambda *given: {}), dpo)

"""The code is part of every key: an edited loss is run, a changed comment is not."""

import ast
from pathlib import Path

import pytest

import prefnb
from prefnb import source

METHODS = {"sft", "dpo", "simpo", "dppo", "rs_dpo", "self_improvement"}  # those of the papers: relatives come and go
METHODS |= {"reward_model", "rloo", "grpo", "multi_objective"}
EDITS = {  # what is edited, and which recipes must notice
    "methods/dpo.py": {"dpo", "simpo", "dppo", "rs_dpo", "self_improvement"},  # they share their metrics
    "methods/dppo.py": {"dppo"},
    "methods/rloo.py": {"rloo", "grpo", "multi_objective"},
    "methods/reward_model.py": {"reward_model", "rloo", "grpo", "multi_objective", "self_improvement"},
    "training/loop.py": METHODS,
    "batches.py": METHODS,
    "pocket/judge.py": METHODS,  # a source of data knows its judge
    "plots.py": set(),
    "parameters.py": set(),
}


def codes():
    """Every recipe's digest, of the texts as they are now."""
    for remembered in (source.code_of, source._looked_at, source._tree, source._top_level):
        remembered.cache_clear()
    return {name: source.code_of(f"prefnb.methods.{name}.recipe") for name in METHODS}


def edited(text):
    """Every function of a module begins with another statement."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body.insert(0, ast.parse("raise SystemExit").body[0])
    return ast.unparse(tree)


def commented(text):
    """The same code in another layout: no comments, other docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and ast.get_docstring(node):
            node.body[0].value.value = "Says something else."
    return ast.unparse(tree)


def test_an_edited_loss_is_run_and_a_changed_comment_is_not(monkeypatch):
    """A `raise SystemExit` in methods/dpo.py returned the old policy, exit 0. What a recipe may call counts, what it
    may not does not, and nor do comments."""
    before = codes()
    for file, noticed in EDITS.items():
        text = source.TEXTS[Path(file)]
        monkeypatch.setitem(source.TEXTS, Path(file), commented(text))
        assert codes() == before, file
        monkeypatch.setitem(source.TEXTS, Path(file), edited(text))
        after = codes()
        assert {name for name in METHODS if after[name] != before[name]} == noticed, file
        monkeypatch.setitem(source.TEXTS, Path(file), text)
    assert codes() == before


def test_the_texts_are_those_of_the_files():
    """What is digested is what is imported."""
    for path, text in source.TEXTS.items():
        assert (Path(prefnb.__file__).parent / path).read_text(encoding="utf-8") == text


def test_every_import_inside_the_package_is_followed():
    """Guards against a way of importing that the search does not know: every module it gets to must be in the package,
    and every name that it imports from there must be found."""
    for path, text in source.TEXTS.items():
        module = ".".join(["prefnb", *path.with_suffix("").parts]).removesuffix(".__init__")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                target = source._imported_from(node, module)
                for alias in node.names if target.split(".")[0] == "prefnb" else ():
                    known = source._definition((target, alias.name)) or source._tree(f"{target}.{alias.name}")
                    assert known, f"{module}: from {target} import {alias.name}"


def test_an_unknown_name_is_refused():
    """A recipe that was renamed must not share one key with all others."""
    with pytest.raises(KeyError):
        source.code_of("prefnb.methods.dpo.nothing")


NOTEBOOK = """
from functools import partial
import math
import torch
from torch.nn.functional import logsigmoid
from prefnb.methods.dpo import dpo

HALF = 0.5
other = torch.zeros(3)  # mentioned nowhere

def helper(x):
    return HALF * x

def loss(policy, reference, *, beta):
    margin = helper(beta * policy.other)
    return -logsigmoid(margin) + math.log(2), {{}}

def wrapped(objective):
    return lambda policy, reference: objective(policy, reference)

policy = torch.ones(1)  # not the one of the function inside

def nested(policy, reference):
    def margin():
        return helper(policy.other)
    return -logsigmoid(margin()), {{}}

value = {value}
"""


def described(tmp_path, text, name, value="partial(loss, beta=0.1)"):
    """What is told of `value` in a notebook with this text."""
    path = tmp_path / f"{name}.py"
    path.write_text(text.format(value=value))
    cells = {"__name__": "__main__"}
    exec(compile(path.read_text(), str(path), "exec"), cells)
    return source.described(cells["value"])


def test_a_loss_of_a_notebook_is_known_by_all_that_it_mentions(tmp_path):
    """Nothing stale is served: the loss, what it calls, a constant, a setting, each is seen; a comment is not."""
    before = described(tmp_path, NOTEBOOK, "before")
    assert before is not None
    assert described(tmp_path, NOTEBOOK.replace("  # mentioned nowhere", ""), "same") == before
    changes = {
        "loss": NOTEBOOK.replace("-logsigmoid(margin)", "-logsigmoid(2 * margin)"),
        "helper": NOTEBOOK.replace("HALF * x", "HALF + x"),
        "constant": NOTEBOOK.replace("HALF = 0.5", "HALF = 0.25"),
        "function": NOTEBOOK.replace(
            "from torch.nn.functional import logsigmoid", "from torch import relu as logsigmoid"
        ),
    }
    for name, text in changes.items():
        assert described(tmp_path, text, name) not in (before, None), name
    assert described(tmp_path, NOTEBOOK, "setting", "partial(loss, beta=0.2)") not in (before, None)
    assert described(tmp_path, NOTEBOOK, "nested", "nested") is not None
    assert described(tmp_path, changes["helper"], "nested_helper", "nested") != described(
        tmp_path, NOTEBOOK, "nested", "nested"
    )
    wrapped = described(tmp_path, NOTEBOOK, "wrapped", "wrapped(partial(loss, beta=0.1))")
    assert wrapped not in (before, None) and wrapped != described(
        tmp_path, changes["helper"], "inner", "wrapped(partial(loss, beta=0.1))"
    )


def test_what_cannot_be_told_is_never_the_same(tmp_path):
    """A loss that holds a tensor, or one without a source, is trained anew rather than guessed."""
    assert described(tmp_path, NOTEBOOK, "tensor", "partial(loss, beta=torch.ones(1))") is None
    assert described(tmp_path, NOTEBOOK.replace("policy.other", "policy.other + other"), "global") is None
    cells = {"__name__": "__main__"}
    exec("def loss(policy, reference):\n    return 0, {}", cells)
    assert source.described(cells["loss"]) is None


def test_a_loss_of_the_library_is_known_by_its_code(monkeypatch):
    """`partial(dpo, beta=...)` is the same loss in every notebook, and another after an edit."""
    from functools import partial

    from prefnb.methods.dpo import dpo

    before = source.described(partial(dpo, beta=0.1))
    assert before == source.described(partial(dpo, beta=0.1)) != source.described(partial(dpo, beta=0.2))

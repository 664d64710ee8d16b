"""The methods, one file each: what lies in this folder is what there is.

A method's file has, from top to bottom, a first line that says what it is, its `LABEL` and `COLOUR` in pictures, its loss
(pure functions of log-probs), its `Settings`, and its `recipe(**given)`, which trains a policy. The command line, the
pictures and the README's table read this folder; no other list is kept. Files that begin with an underscore hold what
several methods share.

A loss is `f(policy, reference, **extras) -> (loss, metrics)`: `policy` and `reference` hold one
`prefnb.logprobs.ResponseLogprobs` under the name of each response (`policy.chosen.sum`, `reference.generated.token`);
`loss` is (batch,), and `metrics` maps names to detached (batch,) tensors. The training loop averages them.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Method:
    """What a method's file says of itself. label, colour: in pictures; about: the first line of its docstring."""

    name: str
    label: str
    colour: str
    about: str


@cache
def listed() -> dict[str, Method]:
    """{name: Method}, by name; read from the text of the files, so that nothing heavy is imported."""
    paths = sorted(Path(__file__).parent.glob("[!_]*.py"))
    return {path.stem: _read(path.stem, ast.parse(path.read_text(encoding="utf-8"))) for path in paths}


def _read(name: str, tree: ast.Module) -> Method:
    said = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    missing = {"LABEL", "COLOUR"} - set(said)
    if missing or not ast.get_docstring(tree):
        raise ValueError(f"prefnb/methods/{name}.py needs a docstring, a LABEL and a COLOUR: plain text at its top.")
    return Method(name, said["LABEL"], said["COLOUR"], ast.get_docstring(tree).split("\n")[0])


def __getattr__(name: str):
    """`methods.dpo` is the method's module, imported when it is first asked for."""
    if name not in listed():
        raise AttributeError(f"There is no method '{name}'; the methods are {', '.join(listed())}.")
    return importlib.import_module(f"{__name__}.{name}")

"""A loss that a notebook prints in full, and that the library has too.

What comes ready-made was trained with the library's function, and is found by its code. So a notebook that prints the same
code trains with the library's, and as soon as a reader has edited a word of it, with the reader's.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType
from typing import Callable


def in_use(printed: Callable, library: Callable) -> Callable:
    """What to train with: `library`, if `printed` is the same code word for word, else `printed`."""
    if same(printed, library):
        return library
    print(f"`{printed.__name__}` is not as it was printed: everything below is trained with yours.")
    return printed


def same(one: object, other: object) -> bool:
    """Whether two functions are the same code, with all that they mention. Layout, comments, docstrings and annotations do
    not count."""
    if one is other:
        return True
    if not (isinstance(one, FunctionType) and isinstance(other, FunctionType)):
        return False
    trees = [_tree(each) for each in (one, other)]
    given = [(each.__defaults__, each.__kwdefaults__) for each in (one, other)]
    if given[0] != given[1] or ast.dump(trees[0]) != ast.dump(trees[1]):
        return False
    names = {part.id for part in ast.walk(trees[0]) if isinstance(part, ast.Name)} & set(one.__code__.co_names)
    known = [each.__globals__ for each in (one, other)]
    return all(same(known[0].get(name), known[1].get(name)) for name in names - {one.__name__})


def _tree(function: FunctionType) -> ast.FunctionDef:
    """A function's syntax, without what is only told to readers."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef):
            part.returns = None
            first = part.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                part.body = part.body[1:] or [ast.Pass()]
        elif isinstance(part, ast.arg):
            part.annotation = None
    return tree

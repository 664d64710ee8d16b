"""Which code makes a thing: a digest of every function that it may call, so that an edited loss is never served from
the cache.

It begins at one function and follows the names that its source mentions, through the files of this package; for a
function of a notebook, `described` follows them through the notebook too.
Layout, comments and docstrings do not count, nor does the code that only checks parameters and keeps files. What counts
is the text as it was when this module was imported, which is the text that runs: after an edit, start the kernel again.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType, SimpleNamespace

ROOT = Path(__file__).parent
TEXTS = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
# What these do is in the key already (the checked values), or changes nothing in what is made; so it is with every
# class of settings.
LEFT_OUT = {
    "prefnb.parameters",
    "prefnb.course.settings",
    "prefnb.cache",
    "prefnb.files",
    "prefnb.source",
    "prefnb.training.interrupts",
}

Place = tuple[str, str]  # a module and a name at its top level


@cache
def code_of(dotted: str) -> str:
    """A short digest of `dotted`, e.g. "prefnb.sampling.sample", and of all in the package that it mentions, directly
    or through others. KeyError if there is no such name."""
    module, _, name = dotted.rpartition(".")
    digests = sorted((place, _looked_at(place)[0]) for place in _reached((module, name)))
    return hashlib.sha256(repr(digests).encode()).hexdigest()[:20]


def described(value: object) -> object | None:
    """What a loss depends on, as plain values for a key: its code, the values that it was given, and all that it mentions,
    be it of the package or of a notebook. None if that cannot be told: such a thing is never taken from a cache."""
    try:
        return _described(value, ())
    except (TypeError, OSError, SyntaxError):  # an object whose contents are unknown, or code without a source
        return None


def _described(value, above: tuple) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return [_described(one, above) for one in value]
    if isinstance(value, dict):
        return [[repr(name), _described(value[name], above)] for name in sorted(value, key=repr)]
    if isinstance(value, SimpleNamespace):
        return _described(vars(value), above)
    if isinstance(value, partial):
        return ["partial", *(_described(part, above) for part in (value.func, value.args, value.keywords))]
    package, _, rest = (getattr(value, "__module__", None) or "").partition(".")
    if isinstance(value, FunctionType) and package == "prefnb" and "<locals>" not in value.__qualname__:
        return code_of(f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, FunctionType) and package in ("__main__", "prefnb"):
        return _described_function(value, above)
    if callable(value) and package in ("torch", "math", "numpy", "builtins", "functools", "types"):
        return f"{package}.{rest}.{value.__name__}"
    raise TypeError(f"What a {type(value).__name__} holds cannot be told.")


def _described_function(function: FunctionType, above: tuple) -> object:
    """The source of a notebook's function with what every name in it stands for."""
    if function in above:
        return "itself, further up"
    above, tree = (*above, function), ast.parse(textwrap.dedent(inspect.getsource(function)))
    known = function.__globals__ | inspect.getclosurevars(function).nonlocals
    looked_up = _names(function.__code__)
    mentioned = []
    for part in ast.walk(tree):
        name = getattr(part, "id", getattr(getattr(part, "value", None), "id", None))
        value = known.get(name) if name in looked_up else None
        if isinstance(part, ast.Attribute) and isinstance(value, ModuleType):
            mentioned.append([value.__name__, part.attr, _of_module(value, part.attr)])
        elif isinstance(part, ast.Name) and name in looked_up and name in known and not isinstance(value, ModuleType):
            mentioned.append([name, _described(value, above)])
    given = _described([function.__defaults__, function.__kwdefaults__], above)
    return [_shape(tree), given, sorted(mentioned, key=repr)]


def _of_module(module: ModuleType, name: str) -> object:
    """The code of what a module of the package defines under a name, if it does."""
    ours = module.__name__.split(".")[0] == "prefnb" and _definition((module.__name__, name))
    return code_of(f"{module.__name__}.{name}") if ours else None


def _names(code: CodeType) -> set[str]:
    """The names that a function's code looks up outside of it, as do functions inside of it for what is not its own."""
    inner = (_names(one) for one in code.co_consts if isinstance(one, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*inner) - {*code.co_cellvars}


def _reached(start: Place) -> set[Place]:
    """Every definition that can be got to from `start` by names."""
    first = _definition(start)
    if first is None:
        raise KeyError(f"There is no {'.'.join(start)}.")
    found, waiting = set(), [first]
    while waiting:
        place = waiting.pop()
        if place not in found and place[0] not in LEFT_OUT and not place[1].endswith("Settings"):
            found.add(place)
            waiting += _looked_at(place)[1]
    return found


@cache
def _looked_at(place: Place) -> tuple[str, list[Place]]:
    """A definition's digest, and the definitions that it mentions."""
    node = _top_level(place[0])[place[1]]
    mentions = {_definition(mention) for mention in _mentions(node, place[0])} - {None}
    return hashlib.sha256(repr(_shape(node)).encode()).hexdigest(), sorted(mentions)


def _definition(place: Place) -> Place | None:
    """Where a name is really defined, behind all imports; None outside the package, and for a whole module."""
    module, name = place
    node = _top_level(module).get(name) if _tree(module) else None
    if isinstance(node, str):  # an import: "module" or "module:name"
        target, _, name = node.partition(":")
        return _definition((target, name)) if name and not _tree(f"{target}.{name}") else None
    return place if node is not None else None


def _mentions(node: ast.AST, module: str):
    """Every (module, name) that a definition may mean: its plain names, and what it takes of modules."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield module, part.id
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            target = _module_called(module, part.value.id)
            if target:
                yield target, part.attr
        elif isinstance(part, ast.ImportFrom):  # inside a function
            yield from ((_imported_from(part, module), alias.name) for alias in part.names)


def _module_called(module: str, name: str) -> str | None:
    """The package's module that `name` stands for in this one, if it does."""
    node = _top_level(module).get(name) if _tree(module) else None
    if not isinstance(node, str):
        return None
    target, _, taken = node.partition(":")
    inner = f"{target}.{taken}" if taken else target
    return inner if _tree(inner) else None


@cache
def _tree(module: str) -> ast.Module | None:
    """The syntax tree of a module of the package."""
    parts = module.split(".")[1:] if module.split(".")[0] == "prefnb" else [".."]
    for path in (Path(*parts, "__init__.py"), Path(*parts).with_suffix(".py") if parts else None):
        if path in TEXTS:
            return ast.parse(TEXTS[path])
    return None


@cache
def _top_level(module: str) -> dict[str, ast.AST | str]:
    """What a module defines or imports: name -> its definition, or for an import "module" or "module:name"."""
    names: dict[str, ast.AST | str] = {}
    for node in _tree(module).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            source = _imported_from(node, module)
            names |= {alias.asname or alias.name: f"{source}:{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {part.id: node for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return names


def _imported_from(node: ast.ImportFrom, module: str) -> str:
    """The full name of the module that an import takes from, be it "from ." """
    package = Path(*module.split(".")[1:], "__init__.py") in TEXTS
    above = module.split(".")[: len(module.split(".")) - node.level + package] if node.level else []
    return ".".join([*above, *filter(None, [node.module])])


def _shape(node) -> object:
    """A syntax tree as plain values: without docstrings, and without what is empty, so that it is the same under every
    version of Python."""
    if isinstance(node, list):
        return [_shape(one) for one in node if not _is_text(one)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return [type(node).__name__, *((name, _shape(value)) for name, value in fields)]


def _is_text(node) -> bool:
    """A docstring, or another line of text that does nothing."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

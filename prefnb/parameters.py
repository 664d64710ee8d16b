"""A notebook's parameters: what each may be, what a preset sets, and a clear sentence when one is wrong.

A notebook declares plain values in its first code cell and checks them in the second:

    preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' setting
    alpha: float = None  # strength of the penalty, 0 or more; None takes the preset's value
    alphas: str = "0.1,1,10"  # the strengths of the sweep

    p = parameters.check(globals(), recipes.DPPO, alphas=parameters.Numbers(0, 1e4))

`p.alpha` is then a number in its range, whether it came from the preset, the cell or `papermill -p alpha 10`.
A name that is no parameter is refused: papermill itself would only warn, and run the defaults.
"""

import ast
import difflib
import math
import numbers
import os
import re
import reprlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from prefnb.files import check_writable

FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".gz")


class ParameterError(ValueError):
    """Parameters that cannot be used; the message has one sentence for each thing that is wrong."""

    def _render_traceback_(self):
        """What a notebook shows: the sentences alone, without the calls that led to them."""
        return [f"{type(self).__name__}: {self}"]


# --- What a parameter may be --------------------------------------------------------------------------------
# Each kind has `allowed`, in words, and `read(value)`, which gives the value or raises ValueError (with a
# hint, or none). papermill gives numbers where it sees them and strings otherwise: `-y` makes a string of
# 1e-3, `-p` of true. So each kind also reads its value from a string.


@dataclass(frozen=True)
class Number:
    """A finite number: at least `low`, at most `high`, more than `above`."""

    low: float | None = None
    high: float | None = None
    above: float | None = None

    noun = "a number"

    @property
    def allowed(self) -> str:
        if self.low is not None and self.high is not None:
            return f"{self.noun} from {self.low:.10g} to {self.high:.10g}"
        bounds = (("of at least", self.low), ("above", self.above), ("of at most", self.high))
        said = [f"{words} {bound:.10g}" for words, bound in bounds if bound is not None]
        return " ".join([self.noun, " and ".join(said)]).strip()

    def read(self, value) -> float:
        return self.in_range(_number(value))

    def in_range(self, number):
        inside = (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
        )
        if not inside:
            raise ValueError
        return number


@dataclass(frozen=True)
class Whole(Number):
    """A whole number; 10.0 and "10" are the whole number 10. Nothing here is counted beyond 1e9."""

    high: float | None = 1e9

    noun = "a whole number"

    def read(self, value) -> int:
        number = _number(value)
        if not number.is_integer():
            raise ValueError
        return self.in_range(int(number))


@dataclass(frozen=True)
class Numbers(Number):
    """Several numbers in one range: a list, or text such as "0.1,1,10". Read as a list of floats."""

    noun = "numbers such as 0.1,1,10, each"

    @property
    def allowed(self) -> str:
        return super().allowed.removesuffix(", each")

    def read(self, value) -> list[float]:
        if isinstance(value, str):
            value = re.split(r"\s*,\s*|\s+", value.strip().strip("[]()").strip())
        elif isinstance(value, numbers.Real):
            value = [value]
        elif not isinstance(value, (list, tuple)):
            raise ValueError
        if not value:
            raise ValueError
        return [super(Numbers, self).read(one) for one in value]


def _number(value) -> int | float:
    """A finite number from a number or text. True is none, nor is "ten"."""
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise ValueError
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError
    return number


@dataclass(frozen=True, init=False)
class Choice:
    """One of several names."""

    names: tuple[str, ...]

    def __init__(self, *names: str):
        object.__setattr__(self, "names", names)

    @property
    def allowed(self) -> str:
        *most, last = (f"'{name}'" for name in self.names)
        return f"{', '.join(most)} or {last}" if most else last

    def read(self, value) -> str:
        if value not in self.names:
            raise ValueError(_did_you_mean(value, self.names))
        return value


@dataclass(frozen=True)
class Flag:
    """True or False, also written as text."""

    allowed = "True or False"

    def read(self, value) -> bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if not isinstance(value, (bool, int, str)) or str(value).strip().lower() not in words:
            raise ValueError
        return words[str(value).strip().lower()]


@dataclass(frozen=True)
class Text:
    """Any text but the empty one; a number that papermill made of a name such as 2024 is text again."""

    allowed = "text"

    def read(self, value) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not str(value).strip():
            raise ValueError
        return str(value)


@dataclass(frozen=True)
class Source:
    """Where data or a model come from: "pocket", a local file or folder, or a hub name like "owner/name".

    A path that is not absolute is looked for from the folder that the notebook runs in.
    """

    what: str = "file"

    @property
    def allowed(self) -> str:
        return f"'pocket', a {self.what} that exists or a hub name like 'owner/name'"

    def read(self, value) -> str:
        if not isinstance(value, str):
            raise ValueError
        is_there = os.path.isdir if self.what == "folder" else os.path.isfile
        if value == "pocket" or is_there(os.path.expanduser(value)):
            return value
        if value.endswith(FILE_SUFFIXES) or value.startswith((".", "/", "~")) or value.count("/") > 1:
            raise ValueError(f"There is no such {self.what} (looked from {os.getcwd()}). {_near_path(value)}")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", value):
            raise ValueError(_did_you_mean(value, ["pocket"]) or _near_path(value))
        return value


@dataclass(frozen=True)
class Folder(Text):
    """A folder that can be written, there or not; read with `~` as the home folder."""

    allowed = "a folder that can be written"

    def read(self, value) -> str:
        path = os.path.expanduser(super().read(value))
        check_writable(path)
        return path


# --- What a method's parameters are -------------------------------------------------------------------------

COMMON = {
    "seed": Whole(0, 2**32 - 1),
    "model": Source("folder"),
    "dataset": Source("file"),
    "pairs": Whole(1),
    "epochs": Number(0.001, 1000),
    "batch_size": Whole(1, 4096),
    "learning_rate": Number(above=0, high=1),
    "output_dir": Folder(),
}
DEFAULTS = {"seed": 0, "output_dir": None}  # the same in every preset, unless it says otherwise


@dataclass(frozen=True)
class Schema:
    """A method's parameters: its own `fields` (name to kind), and the `presets` (name to values).

    Of the common names of all notebooks, a method has those that its presets give a value. Raises ValueError
    if the presets do not all name the same parameters, or one of them is not declared.
    """

    fields: Mapping[str, Any]
    presets: Mapping[str, Mapping[str, Any]]

    def __post_init__(self):
        for preset, values in self.presets.items():
            missing = set(self.specs) - {"preset"} - set(values) - set(DEFAULTS)
            unknown = set(values) - set(self.fields) - set(COMMON)
            if missing or unknown:
                raise ValueError(f"Preset '{preset}' lacks {sorted(missing)}; undeclared: {sorted(unknown)}.")

    @property
    def specs(self) -> dict[str, Any]:
        """Every parameter's name and kind."""
        used = {*DEFAULTS, *(name for values in self.presets.values() for name in values)}
        common = {name: spec for name, spec in COMMON.items() if name in used}
        return {"preset": Choice(*self.presets), **common, **self.fields}

    def preset(self, name: str) -> dict[str, Any]:
        """All values of a preset."""
        return {**DEFAULTS, **self.presets[name]}


def check(names: Mapping[str, Any], schema: Schema, **extra_specs) -> SimpleNamespace:
    """The parameters of `schema`, and of the notebook's own `extra_specs`, each of its kind and in its range.

    `names` is a notebook's `globals()`, where other names may stand too, or a plain dict of parameters alone.
    What is None or absent takes the preset's value. Raises one `ParameterError` that tells of every problem:
    an unknown name (with the one it comes nearest to), a value of the wrong kind or out of range, a file that
    is not there.
    """
    specs = {**schema.specs, **extra_specs}
    given = {name: names[name] for name in specs if names.get(name) is not None}
    problems = [_unknown(name, specs) for name in dict.fromkeys(_declared(names)) if name not in specs]

    first = next(iter(schema.presets))
    chosen = given.get("preset", first)
    defaults = schema.preset(chosen if chosen in list(schema.presets) else first)
    values = {"preset": first, **defaults, **given}
    checked = SimpleNamespace()
    for name, spec in specs.items():
        value = values.get(name)
        if value is None and (name in extra_specs or name not in defaults):
            problems.append(f"'{name}' needs a value: it must be {spec.allowed}.")
        try:
            setattr(checked, name, None if value is None else spec.read(value))
        except ValueError as error:
            problems.append(f"'{name}' must be {spec.allowed}, not {_shown(value)}. {error}".strip())
    if problems:
        raise ParameterError("\n".join(problems))
    return checked


def _unknown(name: str, specs: Iterable[str]) -> str:
    near, listed = _did_you_mean(name, specs), ", ".join(specs)
    return f"There is no parameter '{name}'. {near}{near and ' '}The parameters are {listed}."


def _did_you_mean(value, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(value), list(names), n=1)
    return f"Did you mean '{near[0]}'?" if near else ""


def _near_path(value: str) -> str:
    folder = os.path.dirname(os.path.expanduser(value))
    here = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
    return _did_you_mean(value, [os.path.join(folder, name) for name in here])


_REPR = reprlib.Repr()
_REPR.maxstring = 120


def _shown(value) -> str:
    """A value for a message; a name that the notebook has since used for something else is said to be so."""
    if value is None or isinstance(value, (bool, int, float, str, list, tuple)):
        return _REPR.repr(value)
    return f"a {type(value).__name__} (if the name was used again, run the parameters' cell once more)"


# --- Which names a notebook declares ------------------------------------------------------------------------


def _declared(names: Mapping[str, Any]) -> list[str]:
    """The names that were meant as parameters.

    In a notebook, these are what the cell of parameters assigns, and what papermill added below it: not all
    the other names of a notebook that has run before. In a script, all public names of plain values. In a
    dict, all.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and names is shell.user_ns:
        return _names_in_cells(shell.user_ns.get("In", []))
    if "__name__" in names and "__builtins__" in names:
        plain = (type(None), bool, int, float, str, list, tuple)
        return [name for name, value in names.items() if isinstance(value, plain) and name[0] != "_"]
    return list(names)


def _names_in_cells(cells: list[str]) -> list[str]:
    """What the parameters' cell, known by its `preset`, and papermill's cell below it assign, as last run."""
    added: list[str] = []
    for cell in reversed(cells[:-1]):  # the last cell is the one that is running: the check
        assigned = _assigned(cell)
        if cell.lstrip().startswith("# Parameters"):  # papermill writes this line first
            added = added or assigned  # an earlier run of it no longer counts
        elif "preset" in assigned:
            return assigned + added
    return added


def _assigned(cell: str) -> list[str]:
    """The names a cell assigns, if it does nothing else; no names of any other cell."""
    try:
        statements = ast.parse(cell).body
    except (SyntaxError, ValueError):
        return []
    found = []
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a line of text
        else:
            return []
        if not all(isinstance(target, ast.Name) for target in targets):
            return []
        found += [target.id for target in targets]
    return found

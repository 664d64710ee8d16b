"""Settings: what each parameter may be, what a preset sets, and a clear sentence when one is wrong.

A method says what it can be told, once, and its help, its checks and a notebook's comments are made from that:

    class DPPO(Settings):
        alpha: float = setting("strength of the penalty", low=0, high=10_000, pocket=10, qwen=0.5)

A notebook declares plain values in its first code cell and checks them in the second:

    preset: str = "pocket"  # "pocket" runs anywhere; "qwen" is the papers' setting
    alpha: float = None  # strength of the penalty, 0 to 10000; None takes the preset's (pocket 10, qwen 0.5)
    alphas: str = "0.1,1,10"  # the strengths of the sweep

    p = parameters.check(globals(), DPPO, alphas=parameters.Numbers(0, 1e4))

`p` is then a `DPPO`, and `p.alpha` a number in its range, whether it came from the preset, the cell or
`papermill -p alpha 10`. A name that is no parameter is refused: papermill would only warn, and run the defaults.
"""

from __future__ import annotations

import ast
import difflib
import numbers
import os
import re
import reprlib
import sys
import textwrap
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator
from pydantic.fields import FieldInfo

from prefnb.files import check_writable

FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".gz")
MOST = 10**9  # nothing here is counted beyond


class ParameterError(ValueError):
    """Parameters that cannot be used; the message has one sentence for each thing that is wrong."""

    def _render_traceback_(self):
        """What a notebook shows: the sentences alone, without the calls that led to them."""
        return [f"{type(self).__name__}: {self}"]


# --- Where data and models come from ------------------------------------------------------------------------


def _local_or_hub(value: str, what: str, is_there, known: tuple[str, ...] = ("pocket",)) -> str:
    """A path that is not absolute is looked for from the folder that the notebook runs in."""
    if value in known or is_there(os.path.expanduser(value)):
        return value
    if value.endswith(FILE_SUFFIXES) or value.startswith((".", "/", "~")) or value.count("/") > 1:
        raise ValueError(f"There is no such {what} (looked from {os.getcwd()}). {_near_path(value)}")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", value):
        raise ValueError(_did_you_mean(value, known) or _near_path(value))
    return value


def _judge(value: str) -> str:
    remote = re.fullmatch(r"https?://\S+#\S+", value)
    return value if remote else _local_or_hub(value, "folder", os.path.isdir, ("gold", "proxy"))


def _writable(value: str) -> str:
    """Read with `~` as the home folder; there or not."""
    check_writable(os.path.expanduser(value))
    return os.path.expanduser(value)


_DATA = AfterValidator(lambda value: _local_or_hub(value, "file", os.path.isfile))
_MODEL = AfterValidator(lambda value: _local_or_hub(value, "folder", os.path.isdir))
_JUDGE = AfterValidator(_judge)
_FOLDER = AfterValidator(_writable)
_SOURCE = "'pocket', a {} that exists or a hub name like 'owner/name'"
_PLACES = {  # what each may be, and the same in few words
    _DATA: (_SOURCE.format("file"), "'pocket', a local file or a hub name"),
    _MODEL: (_SOURCE.format("folder"), "'pocket', a local folder or a hub name"),
    _JUDGE: (
        "'gold', 'proxy', a reward model's folder that exists, its hub name like 'owner/name', or an endpoint like "
        "'https://host/v1#model'",
        "'gold', 'proxy', or a reward model",
    ),
    _FOLDER: ("a folder that can be written", "a folder"),
}

DataName = Annotated[str, _DATA]
ModelName = Annotated[str, _MODEL]
JudgeName = Annotated[str, _JUDGE]
FolderName = Annotated[str, _FOLDER]


# --- Settings -----------------------------------------------------------------------------------------------


def setting(
    sentence: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    unit: str = "",
    **presets,
) -> Any:
    """A field of `Settings`: what it means, in which range it is (at least `low`, at most `high`, more than `above`;
    of a list, each number) and in what unit, and its value in every preset, or in all of them as `every`.
    """
    return Field(description=sentence, ge=low, le=high, gt=above, json_schema_extra={"unit": unit, "presets": presets})


class Settings(BaseModel):
    """What a method can be told. A method's own are a subclass, with a `setting` a line.

    A field without `setting` has no value in any preset, and must be given. Raises ValueError when a class is made
    of which a setting lacks a value in a preset.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_min_length=1)

    preset: str = Field(description="where all that is not given comes from")
    seed: int = setting("the same seed gives the same numbers", low=0, high=2**32 - 1, every=0)
    output_dir: FolderName | None = setting("where the results go", every=None)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs) -> None:
        fields, presets = cls.model_fields, cls.presets()
        for preset in presets:
            lacking = [name for name, values in cls._values().items() if not {preset, "every"} & set(values)]
            if lacking:
                raise ValueError(f"Preset '{preset}' lacks {lacking} of {cls.__name__}.")
        # What a field's line does not say: the presets' names, the end of counting, and that a list's limits are of
        # each number in it.
        fields["preset"].annotation = Literal[tuple(presets)]
        for field in fields.values():
            parts = _parts(field)
            if int in parts and "le" not in _bounds(parts):
                field.metadata = [*field.metadata, *Field(le=MOST).metadata]
            if list in parts and field.metadata:
                several = list[Annotated[(float, *field.metadata)]]
                field.annotation, field.metadata = several | None if NoneType in parts else several, []
        cls.model_rebuild(force=True)

    @classmethod
    def _values(cls) -> dict[str, dict[str, Any]]:
        """Every setting's values by preset."""
        fields = cls.model_fields.items()
        return {name: field.json_schema_extra["presets"] for name, field in fields if field.json_schema_extra}

    @classmethod
    def presets(cls) -> list[str]:
        """The presets' names; the first is the one that nobody has to ask for."""
        named = dict.fromkeys(preset for values in cls._values().values() for preset in values)
        return [preset for preset in named if preset != "every"] or ["pocket"]

    @classmethod
    def of(cls, preset: str) -> dict[str, Any]:
        """All values of a preset."""
        values = {name: by[preset if preset in by else "every"] for name, by in cls._values().items()}
        return {"preset": preset, **values}

    def shared_with(self, other: type[Settings]) -> dict[str, Any]:
        """The values of the fields that another method's settings have as well, but for the folder."""
        names = set(other.model_fields) & set(vars(self)) - {"output_dir"}
        return {name: getattr(self, name) for name in sorted(names)}

    def named_files(self) -> list[str]:
        """The data and models that are named: "pocket", local files and folders, and names on the hub."""
        parts = {name: _parts(field) for name, field in type(self).model_fields.items()}
        values = [getattr(self, name) for name, found in parts.items() if _DATA in found or _MODEL in found]
        return [value for value in values if value is not None]

    @field_validator("*", mode="before")
    @classmethod
    def _from_papermill(cls, value, info):
        """papermill gives numbers where it sees them, also of a name such as 2024, and strings otherwise: `-y` makes a
        string of 1e-3, `-p` of true. So numbers and flags are also read from a string, and names from a number."""
        parts = _parts(cls.model_fields[info.field_name])
        value = value.strip() if isinstance(value, str) else value
        if value is None:
            return None
        if list in parts:
            return [_number(one) for one in _several(value)]
        if int in parts or float in parts:
            return _number(value)
        if bool in parts and isinstance(value, float):
            raise ValueError
        return str(value) if str in parts and type(value) in (int, float) else value


def _several(value) -> list:
    """A list from a list, one number, or text such as "0.1,1,10"."""
    if isinstance(value, str):
        value = re.split(r"\s*,\s*|\s+", value.strip("[]()").strip())
    elif isinstance(value, numbers.Real):
        value = [value]
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError
    return list(value)


def _number(value) -> float:
    """A number from a number or text. True is none, nor is "ten"."""
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise ValueError
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError from None


T = TypeVar("T", bound=Settings)


def check(names: Mapping[str, Any], settings: type[T], *more: type[Settings], **own) -> T:
    """The parameters of `settings` (and `more`), and of the notebook's `own` kinds, each of its kind and in its range.

    `names` is a notebook's `globals()`, where other names may stand too, or a plain dict of parameters alone.
    What is None or absent takes the preset's value. Raises one `ParameterError` that tells of every problem:
    an unknown name (with the one it comes nearest to), a value of the wrong kind or out of range, a file that
    is not there.
    """
    if more or own:
        settings = create_model(settings.__name__, __base__=(settings, *more), **own)
    fields = settings.model_fields
    given = {name: names[name] for name in _declared(names) if name in fields and names[name] is not None}
    problems = [_unknown(name, fields) for name in dict.fromkeys(_declared(names)) if name not in fields]

    presets = settings.presets()
    preset = given.get("preset")
    values = {**settings.of(preset if preset in presets else presets[0]), **given}
    try:
        checked = settings(**values)
    except ValidationError as error:
        found = {one["loc"][:1]: one for one in reversed(error.errors())}  # of several numbers, the first that is wrong
        problems += [_problem(fields, values, one) for one in reversed(found.values())]
    if problems:
        raise ParameterError("\n".join(problems))
    return checked


def _problem(fields: Mapping[str, FieldInfo], values: Mapping[str, Any], error: Mapping[str, Any]) -> str:
    """What pydantic found, as a sentence."""
    said = str(error.get("ctx", {}).get("error", ""))
    if not error["loc"]:
        return said  # by a rule among several settings
    name = error["loc"][0]
    allowed, value = _allowed(fields[name]), values.get(name)
    if name not in values:
        return f"'{name}' needs a value: it must be {allowed}."
    hint = said or (_did_you_mean(value, _choices(fields[name])) if isinstance(value, str) else "")
    return f"'{name}' must be {allowed}, not {_shown(value)}. {hint}".strip()


def _unknown(name: str, fields: Iterable[str]) -> str:
    near, listed = _did_you_mean(name, fields), ", ".join(fields)
    return f"There is no parameter '{name}'. {near}{near and ' '}The parameters are {listed}."


# --- A notebook's further parameters, each a type and its range, as `check` takes them ----------------------


def Number(
    low: float | None = None, high: float | None = None, above: float | None = None, kind: type = float
) -> tuple[type, FieldInfo]:
    """A finite number: at least `low`, at most `high`, more than `above`."""
    return kind, Field(ge=low, le=high, gt=above)


Whole = partial(Number, kind=int)  # 10.0 and "10" are the whole number 10
Numbers = partial(Number, kind=list[float])  # a list, or text such as "0.1,1,10"


# --- What a parameter is, in words --------------------------------------------------------------------------


def described(settings: type[Settings]) -> str:
    """Every parameter with what it means, what it may be and what it is by default, on at most 100 columns."""
    wide = max(map(len, settings.model_fields)) + 6
    told = []
    for name in settings.model_fields:
        text = f"{_meaning(settings, name)} (default: {_by_preset(settings, name)})"
        lines = textwrap.wrap(text, 100 - wide, break_on_hyphens=False)
        told.append(f"  --{name}".ljust(wide) + ("\n" + " " * wide).join(lines))
    return "\n".join(told)


def comment_of(settings: type[Settings], name: str, value: Any = None) -> str:
    """The comment of a parameter that a notebook declares as `value`: what it means, what it may be, and what None
    takes. The presets' values are left out where the line would be longer than 120 columns."""
    meaning, by_preset = _meaning(settings, name), _by_preset(settings, name)
    if value is not None or by_preset == "None":
        return meaning
    takes = f"{meaning}; None takes the preset's"
    whole = f"{takes} ({by_preset})"
    return whole if len(f"{name}: float = None  # {whole}") <= 120 else takes


def _meaning(settings: type[Settings], name: str) -> str:
    """A parameter's sentence, and in few words what it may be."""
    field = settings.model_fields[name]
    unit = (field.json_schema_extra or {}).get("unit", "")
    mark = ", " if _bounds(_parts(field)) and list not in _parts(field) else ": "
    return mark.join(filter(None, [field.description, f"{_allowed(field, brief=True)} {unit}".strip()]))


def _by_preset(settings: type[Settings], name: str) -> str:
    """A setting's value, or its values by preset where they differ: "pocket 0.1, qwen 0.01"."""
    if name == "preset":
        return _plain(settings.presets()[0])
    values = {preset: _plain(settings.of(preset).get(name)) for preset in settings.presets()}
    first, *others = dict.fromkeys(values.values())
    return ", ".join(f"{preset} {value}" for preset, value in values.items()) if others else first


def _allowed(field: FieldInfo, brief: bool = False) -> str:
    """What a parameter may be; brief, where it is plain that a number is meant."""
    parts = _parts(field)
    for place, words in _PLACES.items():
        if place in parts:
            return words[brief]
    if Literal in parts:
        *most, last = map(_plain, _choices(field))
        return f"{', '.join(most)} or {last}" if most else last
    if bool in parts:
        return "True or False"
    if int not in parts and float not in parts:
        return "text"
    limits = _range(_bounds(parts), brief)
    if list in parts:
        return f"numbers such as 0.1,1,10{limits and f', each {limits}'}"
    return limits if brief and limits else f"{'a whole number' if int in parts else 'a number'} {limits}".strip()


_LIMITS = {  # pydantic's limits in words, and in few
    "ge": ("of at least {}", "{} or more"),
    "gt": ("above {}", "above {}"),
    "le": ("of at most {}", "at most {}"),
}


def _range(bounds: Mapping[str, float], brief: bool) -> str:
    bounds = {one: _plain(bounds[one]) for one in _LIMITS if one in bounds and not (brief and bounds[one] >= MOST)}
    if {"ge", "le"} <= set(bounds):
        return f"{'' if brief else 'from '}{bounds['ge']} to {bounds['le']}"
    return " and ".join(_LIMITS[one][brief].format(bound) for one, bound in bounds.items())


def _bounds(parts: list) -> dict[str, float]:
    """The limits of a number, or of each of several."""
    return {one: getattr(part, one) for part in parts for one in _LIMITS if hasattr(part, one)}


def _parts(field: FieldInfo) -> list:
    """All that a field's type is made of: `list[Annotated[float, Ge(0)]]` as [list, float, Ge(0)]."""

    def within(kind) -> list:
        inner = [part for one in get_args(kind) for part in within(one)]
        return inner if get_origin(kind) in (Annotated, Union, UnionType) else [get_origin(kind) or kind, *inner]

    return [*within(field.annotation), *field.metadata]


def _choices(field: FieldInfo) -> list[str]:
    return [part for part in _parts(field) if isinstance(part, str)]


def _plain(value) -> str:
    """A value as a reader would write it: 0.000005, 10, 'linear', 0.2,0.7."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(_plain, value))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{Decimal(f'{value:.10g}'):f}" if is_number else repr(value)


def _did_you_mean(value: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(value, list(names), n=1)
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
        try:
            return _REPR.repr(value)
        except ValueError:
            return "a number of thousands of digits"
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
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a line of text
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
            return []
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if not all(isinstance(target, ast.Name) for target in targets):
            return []
        found += [target.id for target in targets]
    return found

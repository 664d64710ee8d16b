"""What every reader gives: a `Table`. What is wrong with a source: a `DataError`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class DataError(ValueError):
    """A data set that cannot be used; the message says what is wrong, where, and what would do."""

    def _render_traceback_(self):
        """What a notebook shows: the sentence alone, without the calls that led to it."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Table:
    """One split of a source as it was found; `numbers[i]` says where `rows[i]` stands in its file."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Mapping]
    numbers: Sequence[int]
    unit: str = "row"
    check_all: bool = True  # a reader's file, yes; the hub's rows and ours only as far as they are used

    def where(self, index: int) -> str:
        return f"{self.unit} {self.numbers[index]}"


def kind_of(value: object) -> str:
    """A value in a reader's words, for messages."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", type(None): "nothing"}
    kinds |= {dict: "an object", list: "a list"}
    try:
        shown = json.dumps(value, default=str)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        shown = "too long to show"
    return f"{kinds.get(type(value), type(value).__name__)} ({shown[:40]})"

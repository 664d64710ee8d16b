"""Which rows of a source serve which purpose: its splits, a hold-out where it has no test split, seeded subsets.

Whatever any notebook may evaluate on, no notebook trains on: rows with one prompt stay on one side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable

import numpy as np

from prefnb.data.rows import NEEDED, columns_of, form_of, key_of, problem_of, read_row
from prefnb.data.tables import DataError, Table

Tables = dict[str, Callable[[], Table]]  # a source's splits by name, each to be read when called

HELD_OUT = 0.1  # the share of a source's prompts that is kept for evaluation, if it has no test split
# Which of a source's splits serves which purpose: the first of these that it has.
SPLITS = {
    ("pairs", "train"): ("train_prefs", "train"),
    ("pairs", "test"): ("test_prefs", "test", "validation"),
    ("dialogs", "train"): ("train_sft", "train", "train_prefs"),
    ("dialogs", "test"): ("test_sft", "test", "validation", "test_prefs"),
    ("prompts", "train"): ("train_prefs", "train", "train_sft"),
    ("prompts", "test"): ("test_prompts", "test_prefs", "test", "validation", "test_sft"),
}


def choose(tables: Tables, kind: str, split: str, source: str) -> tuple[Table, set[str], set[str]]:
    """The table for this purpose, and the keys of two kinds of rows that are not.

    The first are of the other side of a hold-out. The second are of a training split, with a prompt that the
    test split has too: they must not be trained on. Raises `DataError` if the source has no such split.
    """
    test = _first(tables, kind, "test")
    train = _first(tables, kind, "train") or (next(iter(tables)) if len(tables) == 1 and not test else None)
    if test and split == "test":
        return tables[test](), set(), set()
    if train is None:
        raise DataError(f"{source} has no split for {split} {kind}; its splits are {', '.join(tables)}.")
    table = tables[train]()
    if not test:
        keys = _keys(table)
        held_out = _hold_out(keys)
        return table, held_out if split == "train" else keys - held_out, set()
    tests = {_first(tables, other, "test") for other in NEEDED} - {None}
    return table, set(), set().union(*(_keys(tables[name]()) for name in tests))


def held_out_keys(tables: Tables, source: str) -> set[str]:
    """The keys of all prompts that the source keeps for evaluation, for whatever purpose."""
    chosen = (choose(tables, kind, "test", source) for kind in NEEDED)
    return set().union(*(_keys(table) - elsewhere for table, elsewhere, _ in chosen))


def walk(
    table: Table, kind: str, elsewhere: set[str], leaked: set[str], limit: int | None, seed: int
) -> tuple[list[dict], dict[str, list[int]]]:
    """The sound rows in their final shape, and {what is wrong: numbers} of the rows left out.

    elsewhere, leaked: keys, as from `choose`. With a limit, rows come in a random order that it does not change, so
    that a smaller subset is part of a larger one.
    """
    form, order = form_of(table, kind), range(len(table.rows))
    if limit is not None:
        order = np.random.default_rng(seed).permutation(len(table.rows)).tolist()
    kept, left_out, seen = [], {}, set()
    for i in order:
        if len(kept) == limit and not table.check_all:
            break
        where = f"{table.name}, {table.where(i)}"
        row = read_row(table.rows[i], form, where)
        key = key_of(row.prompt)
        if key in elsewhere:
            continue
        problem = "with a prompt of the test split" if key in leaked else problem_of(row, kind)
        if problem:
            left_out.setdefault(problem, []).append(i)
        elif kind != "prompts" or _once(row.prompt, seen):
            kept.append(columns_of(row, table.rows[i], kind, where))
    return kept, left_out


def _first(tables: Iterable[str], kind: str, split: str) -> str | None:
    return next((name for name in SPLITS[kind, split] if name in tables), None)


def _keys(table: Table) -> set[str]:
    """The keys of all prompts in a table."""
    form = form_of(table, "prompts")
    rows = (read_row(raw, form, f"{table.name}, {table.where(i)}") for i, raw in enumerate(table.rows))
    return {key_of(row.prompt) for row in rows} - {None}


def _hold_out(keys: set[str]) -> set[str]:
    """The tenth of the prompts with the smallest hashes. The bound is fixed: new rows move no prompt."""
    hashes = {key: int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) / 16**16 for key in keys}
    bound = max(HELD_OUT, min(hashes.values(), default=0))  # of a handful of prompts, at least one
    return {key for key, value in hashes.items() if value <= bound}


def _once(prompt, seen: set[str]) -> bool:
    """True the first time that a prompt comes by."""
    text = json.dumps(prompt)
    return not (text in seen or seen.add(text))

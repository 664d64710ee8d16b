"""Rows to learn from: preference pairs, dialogs and prompts, from the pocket world, a local file or the hub.

Whatever the source calls its columns, what comes out has one shape, with every text verbatim:

- pairs:   `prompt`, `chosen`, `rejected` (and, where known, `score_chosen`, `score_rejected`, `category`,
           `writer_chosen`, `writer_rejected`);
- dialogs: `prompt`, `response` (and `category`, `writer`), the first exchange of each dialog;
- prompts: `prompt` (and `category`, `reference`), each prompt once.

`prompt` is a list of messages `{"role", "content"}` that ends with a user's turn; responses are strings.

A file or row without the right *structure* (not JSON, no such column, a number where text belongs) raises a
`DataError` that names the line. A row whose *content* teaches nothing (an empty prompt or response, chosen
and rejected the same) is left out, and one printed line says how many there were and where; if nothing is
left, that is an error too.
"""

import csv
import difflib
import gzip
import hashlib
import itertools
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet

from prefnb import pocket

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet")
ROLES = ("system", "user", "assistant")
LINE = 2**24  # characters: no row of a data set is longer,
EMPTY = 1_000_000  # nor are there more empty lines one after another,
UNPACKED = 2**28, 100  # nor does text of over 256 MB pack to a hundredth: what does was made to fill the memory
HELD_OUT = 0.1  # the share of a source's prompts that is kept for evaluation, if it has no test split

# The pocket world's files, named like the splits of HuggingFaceH4/ultrafeedback_binarized.
POCKET = {
    "train_sft": "sft_train.jsonl.gz",
    "test_sft": "sft_test.jsonl.gz",
    "train_prefs": "preferences_train.jsonl.gz",
    "test_prefs": "preferences_test.jsonl.gz",
    "test_prompts": "prompts_test.jsonl.gz",
}
# Which of a source's splits serves which purpose: the first of these that it has.
SPLITS = {
    ("pairs", "train"): ("train_prefs", "train"),
    ("pairs", "test"): ("test_prefs", "test", "validation"),
    ("dialogs", "train"): ("train_sft", "train", "train_prefs"),
    ("dialogs", "test"): ("test_sft", "test", "validation", "test_prefs"),
    ("prompts", "train"): ("train_prefs", "train", "train_sft"),
    ("prompts", "test"): ("test_prompts", "test_prefs", "test", "validation", "test_sft"),
}
NEEDED = {
    "pairs": "'chosen' and 'rejected', with the prompt in 'prompt' or inside both",
    "dialogs": "'messages', or 'prompt' and 'response' (or 'completion'), or 'chosen' and 'rejected'",
    "prompts": "'prompt', or 'messages', or 'chosen' and 'rejected' with the prompt inside both",
}


class DataError(ValueError):
    """A data set that cannot be used; the message says what is wrong, where, and what would do."""

    def _render_traceback_(self):
        """What a notebook shows: the sentence alone, without the calls that led to it."""
        return [f"{type(self).__name__}: {self}"]


def is_pocket(dataset: str) -> bool:
    """True for the pocket world's data, whose answers the gold judge can grade."""
    return dataset == "pocket"


def local_path(name: str) -> Path | None:
    """The local file or folder that `name` stands for, there or not; None for "pocket" and hub names."""
    if is_pocket(name):
        return None
    like_a_path = name.endswith(SUFFIXES) or name.startswith((".", "/", "~")) or name.count("/") > 1
    path = os.path.expanduser(name)
    return Path(path) if like_a_path or os.path.exists(path) else None


def load_pairs(dataset="pocket", split="train", limit=None, seed=0) -> datasets.Dataset:
    """Preference pairs: `prompt` (messages), `chosen` and `rejected` (str), and what else is known.

    `dataset` is "pocket", a local .jsonl, .json, .csv (each also .gz) or .parquet, or the name of a data set
    on the hub, "owner/name" or "owner/name:part". `split` is "train" or "test"; a source without a test split
    has a tenth of its prompts held out for it. `limit` takes that many rows at random: with one `seed`, the
    first 64 of `limit=128` are those of `limit=64`. Raises `DataError`.
    """
    return _load("pairs", dataset, split, limit, seed)


def load_dialogs(dataset="pocket", split="train", limit=None, seed=0) -> datasets.Dataset:
    """Demonstrations: `prompt` (messages) and `response` (str), each dialog's first exchange.

    Of preference pairs, the chosen response is the demonstration, as in Hellman's report, section 3.1. The
    arguments are those of `load_pairs`.
    """
    return _load("dialogs", dataset, split, limit, seed)


def load_prompts(dataset="pocket", split="train", limit=None, seed=0) -> datasets.Dataset:
    """Prompts to answer, each once: `prompt` (messages); `category` and `reference` (a good answer) if known.

    The arguments are those of `load_pairs`; any file of pairs or dialogs holds prompts too.
    """
    return _load("prompts", dataset, split, limit, seed)


# --- From a source to rows ----------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Row:
    """What one row says: its prompt and answer (chosen, response or reference), None where nothing, and what is wrong
    with it if that shows only here."""

    prompt: list[dict] | None
    answer: str | None
    rejected: str | None = None
    problem: str | None = None

    @property
    def key(self) -> str | None:
        """The first user's turn, without regard to case and spacing: rows with one key share a prompt.

        Not the whole prompt, so that all turns of one conversation fall on the same side of a hold-out.
        """
        asked = (message["content"] for message in self.prompt or [] if message["role"] == "user")
        return " ".join(next(asked, "").split()).casefold() or None


def _load(kind, dataset, split, limit, seed) -> datasets.Dataset:
    """All three loaders: choose the table, walk through it, keep what is sound, and say what was left out."""
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', not {split!r}.")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit must be a whole number of at least 1, or None for all rows, not {limit!r}.")
    table, elsewhere, leaked = _choose(_open(dataset), kind, split, dataset)
    kept, left_out = _walk(table, kind, elsewhere, leaked, limit, seed)
    told = "; ".join(_tell(table, problem, rows) for problem, rows in left_out.items())
    if not kept:
        raise DataError(_nothing_left(table, kind, split, told))
    if told:
        count = sum(map(len, left_out.values()))
        print(f"{table.name}: left out {count} of {len(kept) + count} rows: {told}.")
    if limit is not None and len(kept) < limit:
        print(f"{table.name}: {limit} {kind} were asked for; all {len(kept)} for {split} are used.")
    return _dataset(kept[:limit], kind)


def _walk(table: Table, kind, elsewhere: set[str], leaked: set[str], limit, seed) -> tuple[list[dict], dict]:
    """The sound rows in their final shape, and the numbers of the others under what is wrong with them."""
    form = _form(table, kind)
    kept, left_out, seen = [], {}, set()
    for i in _order(table, limit, seed):
        if len(kept) == limit and not table.check_all:
            break
        where = f"{table.name}, {table.where(i)}"
        row = _read(table.rows[i], form, where)
        if row.key in elsewhere:
            continue
        problem = "with a prompt of the test split" if row.key in leaked else _problem(row, kind)
        if problem:
            left_out.setdefault(problem, []).append(i)
        elif kind != "prompts" or _once(row.prompt, seen):
            kept.append(_columns(row, table.rows[i], kind, where))
    return kept, left_out


def _choose(tables: dict[str, Callable[[], Table]], kind, split, dataset) -> tuple[Table, set[str], set[str]]:
    """The table for this purpose, and the keys of two kinds of rows that are not.

    The first are of the other side of a hold-out. The second are of a training split, with a prompt that the
    test split has too: they must not be trained on.
    """
    test = _first(tables, kind, "test")
    train = _first(tables, kind, "train") or (next(iter(tables)) if len(tables) == 1 and not test else None)
    if test and split == "test":
        return tables[test](), set(), set()
    if train is None:
        raise DataError(f"{dataset} has no split for {split} {kind}; its splits are {', '.join(tables)}.")
    table = tables[train]()
    if not test:
        keys = _keys(table)
        held_out = _hold_out(keys)
        return table, held_out if split == "train" else keys - held_out, set()
    # Whatever any notebook may evaluate on, no notebook trains on.
    tests = {_first(tables, other, "test") for other in NEEDED} - {None}
    return table, set(), set().union(*(_keys(tables[name]()) for name in tests))


def _first(tables, kind, split) -> str | None:
    return next((name for name in SPLITS[kind, split] if name in tables), None)


def _keys(table: Table) -> set[str]:
    """The keys of all prompts in a table."""
    form = _form(table, "prompts")
    keys = {_read(table.rows[i], form, f"{table.name}, {table.where(i)}").key for i in range(len(table.rows))}
    return keys - {None}


def _hold_out(keys: set[str]) -> set[str]:
    """The tenth of the prompts with the smallest hashes. The bound is fixed: new rows move no prompt."""
    hashes = {key: int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) / 16**16 for key in keys}
    bound = max(HELD_OUT, min(hashes.values(), default=0))  # of a handful of prompts, at least one
    return {key for key, value in hashes.items() if value <= bound}


def _order(table: Table, limit, seed):
    """The order to walk in: a permutation of all rows, so that a smaller subset is part of a larger one."""
    if limit is None:
        return range(len(table.rows))
    return np.random.default_rng(seed).permutation(len(table.rows)).tolist()


def _once(prompt, seen: set[str]) -> bool:
    """True the first time that a prompt comes by."""
    text = json.dumps(prompt)
    return not (text in seen or seen.add(text))


# --- What a row says ----------------------------------------------------------------------------------------


def _form(table: Table, kind) -> str:
    """How this table says what we need, told from its column names."""
    has = set(table.columns)
    forms = {
        "pair": {"chosen", "rejected"} <= has,
        "exchange": "prompt" in has and bool({"response", "completion"} & has),
        "messages": "messages" in has,
        "prompt": "prompt" in has,
    }
    usable = {
        "pairs": ("pair",),
        "dialogs": ("exchange", "messages", "pair"),
        "prompts": ("pair", "exchange", "messages", "prompt"),
    }
    for form in usable[kind]:
        if forms[form]:
            return form
    raise DataError(f"{table.name} has the columns {', '.join(table.columns)}; {kind} need {NEEDED[kind]}.")


def _read(raw: Mapping, form: str, where: str) -> Row:
    """The prompt and answers of one row. Raises `DataError` for a value of another type."""
    if form == "messages":
        return _first_exchange(_messages(raw.get("messages"), where, "messages"))
    prompt = _messages(raw.get("prompt"), where, "prompt")
    if form == "prompt":
        return Row(prompt, _answer(raw, "reference", where))
    if form == "exchange":
        problems = [_no_answer(raw.get(column)) for column in ("response", "completion")]
        answer = _answer(raw, "response", where) or _answer(raw, "completion", where)
        return Row(prompt, answer, problem=next(filter(None, problems), None))
    sides = [_side(raw.get(side), prompt, where, side) for side in ("chosen", "rejected")]
    if any(isinstance(side, list) for side in sides):
        return _same_prompt(_shared_prompt(*sides, where), prompt)
    return Row(prompt, *sides)


def _side(value, prompt: list[dict] | None, where: str, column: str) -> str | list[dict] | None:
    """Chosen or rejected: the text of the response, or the whole conversation that ends in it."""
    if isinstance(value, str) and prompt is None:
        if not value.strip():
            return None
        turns = _transcript(_text(value, where, column))
        if turns is None:
            raise DataError(f"{where}: '{column}' is text without a prompt; a column 'prompt' is needed.")
        return turns
    if value is None or isinstance(value, str):
        return _text(value, where, column)
    turns = _messages(value, where, column)
    alone = prompt is not None and turns and turns[0]["role"] == "assistant"
    return prompt + turns if alone else turns


def _shared_prompt(chosen, rejected, where: str) -> Row:
    """Two conversations. The prompt is the longest beginning they share up to an answer of the assistant."""
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise DataError(f"{where}: one of 'chosen' and 'rejected' is text and the other a list of messages.")
    a, b = chosen or rejected or [], rejected or chosen or []
    if not all(any(turn["role"] == "assistant" for turn in side) for side in (a, b) if side):
        return Row(None, None, problem=NO_ANSWER)
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b)))
    for end in range(min(shared, len(a) - 1, len(b) - 1), 0, -1):
        if a[end - 1]["role"] == "user" and a[end]["role"] == b[end]["role"] == "assistant":
            answers = (turns[end]["content"] if turns else None for turns in (chosen, rejected))
            return Row(a[:end], *answers)
    asked = all(any(turn["role"] == "user" for turn in side) for side in (a, b))
    return Row(None, None, problem="whose chosen and rejected answer different prompts" if asked else None)


def _same_prompt(row: Row, prompt: list[dict] | None) -> Row:
    """The row, if a prompt that stands in a column of its own is what its conversations begin with."""
    if row.prompt is None or not prompt:
        return row
    said = lambda turns: {turn["content"].strip() for turn in turns if turn["role"] == "user"}  # noqa: E731
    if said(prompt) <= said(row.prompt):
        return row
    return replace(row, problem="with a 'prompt' that is not in its conversations")


NO_ANSWER = "with a response that is no assistant's turn"


def _no_answer(value) -> str | None:
    """What is wrong with a response that is written as messages, if it is."""
    first = value[0] if isinstance(value, list) and value else None
    return NO_ANSWER if isinstance(first, Mapping) and first.get("role") != "assistant" else None


def _first_exchange(messages: list[dict] | None) -> Row:
    """The first answer of a dialog and what stands before it, a system turn included."""
    messages = messages or []
    for end in range(1, len(messages)):
        if messages[end - 1]["role"] == "user" and messages[end]["role"] == "assistant":
            return Row(messages[:end], messages[end]["content"])
    return Row(messages or None, None)


def _answer(raw: Mapping, column: str, where: str) -> str | None:
    """A response as text, or as the list of one assistant's message that some data sets write."""
    value = raw.get(column)
    if isinstance(value, list):
        messages = _messages(value, where, column)
        return messages[0]["content"] if messages else None
    return _text(value, where, column)


def _transcript(text: str) -> list[dict] | None:
    """The turns of "\\n\\nHuman: ...\\n\\nAssistant: ...", as in Anthropic/hh-rlhf, or None."""
    before, *rest = re.split(r"\n\n(Human|Assistant): ?", "\n\n" + text.lstrip("\n"))
    if before or not rest:
        return None
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said} for who, said in zip(rest[::2], rest[1::2])]


def _messages(value, where: str, column: str) -> list[dict] | None:
    """A list of messages with nothing but role and content; a plain string is one user's turn."""
    if value is None:
        return None
    if isinstance(value, str):
        return [{"role": "user", "content": _text(value, where, column)}]
    if not isinstance(value, list) or not all(isinstance(message, Mapping) for message in value):
        raise DataError(f"{where}: '{column}' must be text or a list of messages, not {_kind_of(value)}.")
    for message in value:
        for part in ("role", "content"):
            found = message.get(part)
            if not isinstance(found, str):
                told = f"a message of '{column}' must have a '{part}' that is text, not {_kind_of(found)}"
                raise DataError(f"{where}: {told}.")
    return [{part: _text(message[part], where, column) for part in ("role", "content")} for message in value]


def _text(value, where: str, column: str) -> str | None:
    """Text as it stands. Raises `DataError` for a number, a list, or half a surrogate pair."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise DataError(f"{where}: '{column}' must be text, not {_kind_of(value)}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: '{column}' holds half a character (a lone surrogate).") from None
    return value


def _kind_of(value) -> str:
    """A value in a reader's words, for messages."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", type(None): "nothing"}
    kinds |= {dict: "an object", list: "a list"}
    try:
        shown = json.dumps(value, default=str)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        shown = "too long to show"
    return f"{kinds.get(type(value), type(value).__name__)} ({shown[:40]})"


def _problem(row: Row, kind) -> str | None:
    """Why a row teaches nothing, or None."""
    if row.problem:
        return row.problem
    if any(turn["role"] not in ROLES for turn in row.prompt or []):
        return f"with a role other than {', '.join(ROLES)}"
    if row.prompt is None or not row.key or not row.prompt[-1]["content"].strip():
        return "without a prompt"
    if row.prompt[-1]["role"] != "user":
        return "whose prompt does not end with a user's turn"
    if kind == "prompts":
        return None
    if not (row.answer or "").strip():
        return "without a response" if kind == "dialogs" else "without a chosen response"
    if kind == "pairs":
        if not (row.rejected or "").strip():
            return "without a rejected response"
        if row.answer.strip() == row.rejected.strip():
            return "with equal chosen and rejected"
    return None


def _tell(table: Table, problem: str, rows: list[int]) -> str:
    """For instance "3 with equal chosen and rejected (the first in line 12)"."""
    first = table.where(min(rows))
    return f"{len(rows)} {problem} ({first if len(rows) == 1 else f'the first in {first}'})"


def _nothing_left(table: Table, kind, split, told: str) -> str:
    if told:
        return f"{table.name} has no {kind} left to use for {split}: {told}."
    return (
        f"{table.name} has too few different prompts: a tenth is held out for evaluation, and nothing is "
        f"left for {split}."
    )


# --- From rows to columns -----------------------------------------------------------------------------------


def _columns(row: Row, raw: Mapping, kind, where: str) -> dict[str, Any]:
    """One row in its final shape; what the source does not say is None."""
    values = {"prompt": row.prompt}
    if kind == "pairs":
        values |= {"chosen": row.answer, "rejected": row.rejected}
        values |= {column: _score(raw, where, column) for column in ("score_chosen", "score_rejected")}
    else:
        values["response" if kind == "dialogs" else "reference"] = row.answer
    labels = {"pairs": ("writer_chosen", "writer_rejected"), "dialogs": ("writer",), "prompts": ()}[kind]
    for column in ("category", *labels):
        value = raw.get(column)
        values[column] = None if value in (None, "") else _text(str(value), where, column)
    return values


def _score(raw: Mapping, where: str, column: str) -> float | None:
    """A score, from its own column or from `metadata`; NaN is how some programs write that there is none."""
    metadata = raw.get("metadata")
    value = raw.get(column, metadata.get(column) if isinstance(metadata, Mapping) else None)
    try:
        score = math.nan if value is None or value == "" else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.inf
    if math.isinf(score):
        raise DataError(f"{where}: '{column}' must be a number, not {_kind_of(value)}.")
    return None if math.isnan(score) else score


def _dataset(rows: list[dict], kind) -> datasets.Dataset:
    """Rows as a `datasets.Dataset`, without the optional columns that the source says nothing about."""
    text = datasets.Value("string")
    features = {}
    for column in rows[0]:
        if column == "prompt":
            features[column] = datasets.List({"role": text, "content": text})
        elif any(row[column] is not None for row in rows):
            features[column] = datasets.Value("float64") if column.startswith("score_") else text
    columns = {column: [row[column] for row in rows] for column in features}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


# --- Files and the hub --------------------------------------------------------------------------------------


def _open(dataset: str) -> dict[str, Callable[[], Table]]:
    """A source's splits by name, each to be read when called."""
    if not isinstance(dataset, str) or not dataset.strip():
        raise DataError(f"dataset must be 'pocket', a file or a hub name, not {dataset!r}.")
    if is_pocket(dataset):
        return {split: partial(_pocket_table, file) for split, file in POCKET.items()}
    path = local_path(dataset)
    if path is not None:
        return {"all": partial(_local_table, path)}
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", dataset):
        raise DataError(
            f"'{dataset}' is neither 'pocket', nor a file here, nor a hub name like 'owner/name'."
            + _did_you_mean(Path(dataset))
        )
    return _hub_tables(dataset)


def _pocket_table(file: str) -> Table:
    path = Path(pocket.DATA) / file
    if not path.exists():
        raise DataError(f"The pocket world's {file} is missing; `python -m prefnb.pocket` makes it again.")
    return replace(_local_table(path), check_all=False)


def _local_table(path: Path) -> Table:
    """A file as a table. Raises `DataError` if it is missing, empty, of another kind, or malformed."""
    if not path.exists():
        raise DataError(f"There is no file '{path}' (looked from {Path.cwd()}).{_did_you_mean(path)}")
    if path.is_dir() or not path.name.endswith(SUFFIXES):
        what = "a folder" if path.is_dir() else "a file of another kind"
        raise DataError(f"'{path}' is {what}; a data set is one file that ends in {', '.join(SUFFIXES)}.")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty.")
    reader = {"jsonl": _read_jsonl, "json": _read_json, "csv": _read_csv, "parquet": _read_parquet}
    try:
        unit, numbered = reader[path.name.removesuffix(".gz").rpartition(".")[2]](path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is damaged and cannot be read ({error}).") from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error}).") from None
    except MemoryError:
        raise DataError(f"{path.name} does not fit into the memory; take a part of it.") from None
    if not numbered:
        raise DataError(f"{path.name} holds no rows.")
    numbers, rows = zip(*numbered)
    columns = dict.fromkeys(column for row in rows for column in row)
    return Table(path.name, list(columns), list(rows), numbers, unit)


def _lines(path: Path):
    """The numbered lines of a text file, compressed or not. Only a newline ends a line, as in JSONL."""
    most = _most(path)
    longest = most if ".json" in path.suffixes else LINE  # a .json may be all on one line
    total = empty = 0
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(longest + 1), b""), start=1):
            total, empty = total + len(line), 0 if line.strip() else empty + 1
            if len(line) > longest:
                raise DataError(f"{path.name}, line {number} is longer than {longest:,} characters: no row is.")
            if empty > EMPTY:
                raise DataError(f"{path.name} has {EMPTY:,} empty lines one after another, to line {number}.")
            _check_unpacked(path, total, most)
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise DataError(f"{path.name}, line {number} is not UTF-8 text.") from None


def _most(path: Path) -> int:
    """As many bytes as a file may unpack to."""
    least, times = UNPACKED
    return max(least, times * path.stat().st_size)


def _check_unpacked(path: Path, size: int, most: int) -> None:
    if size > most:
        raise DataError(f"{path.name} unpacks to over {UNPACKED[1]} times its size: no text does.")


def _read_jsonl(path: Path):
    rows = []
    for number, line in _lines(path):
        if line.strip():
            rows.append((number, _json_object(line, f"{path.name}, line {number}")))
    return "line", rows


def _json_object(line: str, where: str) -> dict:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not valid JSON ({error.msg} at character {error.pos + 1}).") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not valid JSON ({error}).") from None
    if not isinstance(row, dict):
        raise DataError(f"{where} must be a JSON object with named columns, not {_kind_of(row)}.")
    return row


def _read_json(path: Path):
    text = "".join(line for _, line in _lines(path))
    if not text.strip():
        return "row", []
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and error.msg == "Extra data":
            return _read_jsonl(path)  # one object a line under the other name, as the hub's files often are
        raise DataError(f"{path.name}, line {error.lineno} is not valid JSON ({error.msg}).") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is not valid JSON ({error}).") from None
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise DataError(f"{path.name} must be a list of JSON objects, not {_kind_of(rows)}.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path.name}, row {number} must be a JSON object, not {_kind_of(row)}.")
    return "row", list(enumerate(rows, start=1))


def _read_csv(path: Path):
    """Every field as the text that it is: "NA", "null" and "007" stay what was written."""
    csv.field_size_limit(LINE)  # a long response is no error
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    rows, start = [], 1
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise DataError(f"{path.name}, line 1 names a column twice: {', '.join(header)}.")
        start = reader.line_num + 1
        for fields in reader:
            if fields and len(fields) != len(header):
                raise DataError(f"{path.name}, line {start} has {len(fields)} fields, not {len(header)}.")
            if fields:
                rows.append((start, dict(zip(header, fields))))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path.name}, line {start} is not valid CSV ({error}).") from None
    return "line", rows


def _read_parquet(path: Path):
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            groups, most = range(file.metadata.num_row_groups), _most(path)
            _check_unpacked(path, sum(file.metadata.row_group(group).total_byte_size for group in groups), most)
            rows, total = [], 0
            for part in file.iter_batches(batch_size=256):  # what is told once and meant often unpacks here
                total += part.nbytes
                _check_unpacked(path, total, most)
                rows += part.to_pylist()
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, PermissionError):
            raise
        told = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(f"{path.name} is damaged and cannot be read ({told}).") from None
    return "row", list(enumerate(rows, start=1))


def _hub_tables(dataset: str) -> dict[str, Callable[[], Table]]:
    """A data set of the Hugging Face hub, downloaded once and cached by `datasets`."""
    name, _, part = dataset.partition(":")
    try:
        splits = _download(name, part)
    except datasets.exceptions.DatasetNotFoundError:
        raise DataError(
            f"The hub has no data set '{name}' that can be read from here (a private or gated one needs "
            f"`hf auth login`).{_or_a_file(name)}"
        ) from None
    except ConnectionError:
        raise DataError(
            f"The hub could not be reached to load '{name}'; connect to the internet, or use 'pocket' or "
            f"a local file.{_or_a_file(name)}"
        ) from None
    except (datasets.exceptions.DatasetsError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"'{name}' could not be loaded from the hub ({reason}).") from error
    return {split: partial(_hub_table, f"{name} ({split})", rows) for split, rows in splits.items()}


def _download(name: str, part: str) -> datasets.DatasetDict:
    """All splits of a data set; of one that comes in parts, the part asked for, or the part "all"."""
    try:
        return datasets.load_dataset(name, part or None)
    except ValueError:
        parts = datasets.get_dataset_config_names(name)
        if not part and "all" in parts:
            return datasets.load_dataset(name, "all")
        if len(parts) > 1 and part not in parts:
            told = f"'{name}' comes in parts ({', '.join(parts)}); ask for one of them as '{name}:part'."
            raise DataError(told) from None
        raise


def _hub_table(name: str, rows: datasets.Dataset) -> Table:
    return Table(name, rows.column_names, rows, range(1, len(rows) + 1), check_all=False)


def _or_a_file(name: str) -> str:
    """A hub name looks like a path: say so if it begins with a folder that is here."""
    path = Path(name)
    return f" There is no such file here either.{_did_you_mean(path)}" if path.parent.is_dir() else ""


def _did_you_mean(path: Path) -> str:
    """The data file (or "pocket") that a mistyped name comes nearest to."""
    here = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    known = [name for name in here if name.endswith(SUFFIXES)] + ["pocket"] * (path.parent == Path("."))
    near = difflib.get_close_matches(path.name, known, n=1)
    return f" Did you mean '{path.parent / near[0]}'?" if near else ""

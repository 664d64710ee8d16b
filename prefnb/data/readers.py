"""A local file as a table: .jsonl, .json and .csv, plain or compressed, and .parquet.

A file that is missing, damaged, malformed, or made to fill the memory raises a `DataError` with one sentence.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet

from prefnb.data.tables import DataError, Table, kind_of

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet")
LINE = 2**24  # characters: no row of a data set is longer,
EMPTY = 1_000_000  # nor are there more empty lines one after another,
UNPACKED = 2**28, 100  # nor does text of over 256 MB pack to a hundredth: what does was made to fill the memory

Rows = tuple[str, list[tuple[int, dict]]]  # what `where` counts, "line" or "row", and the numbered rows


def local_path(name: str) -> Path | None:
    """The local file or folder that `name` stands for, there or not; None for "pocket" and hub names."""
    if name == "pocket":
        return None
    like_a_path = name.endswith(SUFFIXES) or name.startswith((".", "/", "~")) or name.count("/") > 1
    path = os.path.expanduser(name)
    return Path(path) if like_a_path or os.path.exists(path) else None


def local_table(path: Path) -> Table:
    """A file as a table. Raises `DataError` if it is missing, empty, of another kind, or malformed."""
    if not path.exists():
        raise DataError(f"There is no file '{path}' (looked from {Path.cwd()}).{did_you_mean(path)}")
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


def _lines(path: Path) -> Iterator[tuple[int, str]]:
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


def _read_jsonl(path: Path) -> Rows:
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
        raise DataError(f"{where} must be a JSON object with named columns, not {kind_of(row)}.")
    return row


def _read_json(path: Path) -> Rows:
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
        raise DataError(f"{path.name} must be a list of JSON objects, not {kind_of(rows)}.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path.name}, row {number} must be a JSON object, not {kind_of(row)}.")
    return "row", list(enumerate(rows, start=1))


def _read_csv(path: Path) -> Rows:
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


def _read_parquet(path: Path) -> Rows:
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


def did_you_mean(path: Path) -> str:
    """The data file (or "pocket") that a mistyped name comes nearest to."""
    here = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    known = [name for name in here if name.endswith(SUFFIXES)] + ["pocket"] * (path.parent == Path("."))
    near = difflib.get_close_matches(path.name, known, n=1)
    return f" Did you mean '{path.parent / near[0]}'?" if near else ""

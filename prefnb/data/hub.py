"""A data set of the Hugging Face hub as tables, downloaded once and kept by `datasets`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import datasets

from prefnb.data.readers import did_you_mean
from prefnb.data.tables import DataError, Table


def hub_tables(dataset: str) -> dict[str, Callable[[], Table]]:
    """The splits of "owner/name" or "owner/name:part", each to be read when called. Raises `DataError`."""
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
    except DataError:
        raise
    except (datasets.exceptions.DatasetsError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"'{name}' could not be loaded from the hub ({reason}).") from error
    return {split: partial(_table, f"{name} ({split})", rows) for split, rows in splits.items()}


def _download(name: str, part: str) -> datasets.DatasetDict:
    """All splits of a data set; of one that comes in parts, the part asked for, or the part "all"."""
    try:
        return datasets.load_dataset(name, part or None)
    except ValueError:
        parts = datasets.get_dataset_config_names(name)
        if not part and "all" in parts:
            return datasets.load_dataset(name, "all")
        if len(parts) > 1 and part not in parts:
            parts = ", ".join(parts)
            raise DataError(f"'{name}' comes in parts ({parts}); ask for one of them as '{name}:part'.") from None
        raise


def _table(name: str, rows: datasets.Dataset) -> Table:
    return Table(name, rows.column_names, rows, range(1, len(rows) + 1), check_all=False)


def _or_a_file(name: str) -> str:
    """A hub name looks like a path: say so if it begins with a folder that is here."""
    path = Path(name)
    return f" There is no such file here either.{did_you_mean(path)}" if path.parent.is_dir() else ""

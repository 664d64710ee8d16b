"""The one shape in which rows come out, whatever their source calls its columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import datasets

from prefnb.data.rows import Row, text_of
from prefnb.data.tables import DataError, kind_of

LABELS = {"pairs": ("writer_chosen", "writer_rejected"), "dialogs": ("writer",), "prompts": ()}


def columns_of(row: Row, raw: Mapping, kind: str, where: str) -> dict[str, Any]:
    """One row in its final shape; what the source does not say is None."""
    values = {"prompt": row.prompt}
    if kind == "pairs":
        values |= {"chosen": row.answer, "rejected": row.rejected}
        values |= {column: _score(raw, where, column) for column in ("score_chosen", "score_rejected")}
    else:
        values["response" if kind == "dialogs" else "reference"] = row.answer
    for column in ("category", *LABELS[kind]):
        value = raw.get(column)
        values[column] = None if value in (None, "") else text_of(str(value), where, column)
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
        raise DataError(f"{where}: '{column}' must be a number, not {kind_of(value)}.")
    return None if math.isnan(score) else score


def dataset_of(rows: list[dict]) -> datasets.Dataset:
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

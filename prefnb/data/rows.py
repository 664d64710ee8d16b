"""What one row says, whatever its columns are called (its prompt and its answers), and the one shape in which it comes
out.

A value without the right *structure* (a number where text belongs) raises a `DataError` that names its place. A row
whose *content* teaches nothing has a problem, in words (`problem_of`).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import datasets

from prefnb.data.tables import DataError, Table, kind_of

ROLES = ("system", "user", "assistant")
NO_ANSWER = "with a response that is no assistant's turn"
NEEDED = {
    "pairs": "'chosen' and 'rejected', with the prompt in 'prompt' or inside both",
    "dialogs": "'messages', or 'prompt' and 'response' (or 'completion'), or 'chosen' and 'rejected'",
    "prompts": "'prompt', or 'messages', or 'chosen' and 'rejected' with the prompt inside both",
}
# The ways to say it, the best first.
FORMS = {
    "pairs": ("pair",),
    "dialogs": ("exchange", "messages", "pair"),
    "prompts": ("pair", "exchange", "messages", "prompt"),
}
LABELS = {"pairs": ("writer_chosen", "writer_rejected"), "dialogs": ("writer",), "prompts": ()}


@dataclass(frozen=True)
class Row:
    """What one row says: its prompt and answer (chosen, response or reference), None where nothing, and what is wrong
    with it if that shows only here."""

    prompt: list[dict] | None
    answer: str | None
    rejected: str | None = None
    problem: str | None = None


def key_of(prompt: list[dict] | None) -> str | None:
    """A prompt's first user's turn, without regard to case and spacing: rows with one key share a prompt.

    Not the whole prompt, so that all turns of one conversation fall on the same side of a hold-out.
    """
    asked = (message["content"] for message in prompt or [] if message["role"] == "user")
    return " ".join(next(asked, "").split()).casefold() or None


def form_of(table: Table, kind: str) -> str:
    """How this table says what we need, told from its column names. Raises `DataError` if it does not."""
    has = set(table.columns)
    found = {
        "pair": {"chosen", "rejected"} <= has,
        "exchange": "prompt" in has and bool({"response", "completion"} & has),
        "messages": "messages" in has,
        "prompt": "prompt" in has,
    }
    for form in FORMS[kind]:
        if found[form]:
            return form
    raise DataError(f"{table.name} has the columns {', '.join(table.columns)}; {kind} need {NEEDED[kind]}.")


def read_row(raw: Mapping, form: str, where: str) -> Row:
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
        raise DataError(f"{where}: '{column}' must be text or a list of messages, not {kind_of(value)}.")
    for message in value:
        for part in ("role", "content"):
            found = message.get(part)
            if not isinstance(found, str):
                told = f"a message of '{column}' must have a '{part}' that is text, not {kind_of(found)}"
                raise DataError(f"{where}: {told}.")
    return [{part: _text(message[part], where, column) for part in ("role", "content")} for message in value]


def _text(value, where: str, column: str) -> str | None:
    """Text as it stands. Raises `DataError` for a number, a list, or half a surrogate pair."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise DataError(f"{where}: '{column}' must be text, not {kind_of(value)}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: '{column}' holds half a character (a lone surrogate).") from None
    return value


def problem_of(row: Row, kind: str) -> str | None:
    """Why a row teaches nothing, or None."""
    if row.problem:
        return row.problem
    if any(turn["role"] not in ROLES for turn in row.prompt or []):
        return f"with a role other than {', '.join(ROLES)}"
    if row.prompt is None or not key_of(row.prompt) or not row.prompt[-1]["content"].strip():
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

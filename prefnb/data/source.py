"""Where rows come from, and what is known of them: `Source`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import datasets

from prefnb import pocket
from prefnb.data.hub import hub_tables
from prefnb.data.readers import did_you_mean, local_path, local_table
from prefnb.data.rows import dataset_of, key_of
from prefnb.data.splits import Tables, choose, held_out_keys, walk
from prefnb.data.tables import DataError, Table
from prefnb.judges.gold import GoldJudge
from prefnb.pocket import tasks

# The pocket world's files, named like the splits of HuggingFaceH4/ultrafeedback_binarized.
POCKET = {
    "train_sft": "sft_train.jsonl.gz",
    "test_sft": "sft_test.jsonl.gz",
    "train_prefs": "preferences_train.jsonl.gz",
    "test_prefs": "preferences_test.jsonl.gz",
    "test_prompts": "prompts_test.jsonl.gz",
}


@dataclass(frozen=True)
class Source:
    """A data set by its name: "pocket", a local .jsonl, .json, .csv (each also .gz) or .parquet, or the name of one on
    the hub, "owner/name" or "owner/name:part".

    Nothing is read before rows are asked for. Whatever the source calls its columns, they come out in one shape, with
    every text verbatim: `prompt` is a list of messages {"role", "content"} that ends with a user's turn, responses are
    strings. `split` is "train" or "test"; a source without a test split has a tenth of its prompts held out for it.
    `limit` takes that many rows at random: with one `seed`, the first 64 of `limit=128` are those of `limit=64`.

    A file or row without the right *structure* (not JSON, no such column, a number where text belongs) raises a
    `DataError` that names the line. A row whose *content* teaches nothing (an empty prompt or response, chosen and
    rejected the same) is left out, and one printed line says how many there were and where; if nothing is left, that
    is an error too.
    """

    name: str

    def pairs(self, split: str = "train", limit: int | None = None, seed: int = 0) -> datasets.Dataset:
        """Preference pairs: `prompt`, `chosen` and `rejected`, and where known `score_chosen`, `score_rejected`,
        `category`, `writer_chosen` and `writer_rejected`."""
        return self._load("pairs", split, limit, seed)

    def dialogs(self, split: str = "train", limit: int | None = None, seed: int = 0) -> datasets.Dataset:
        """Demonstrations: `prompt` and `response`, each dialog's first exchange, and where known `category`, `writer`.

        Of preference pairs, the chosen response is the demonstration, as in Hellman's report, section 3.1.
        """
        return self._load("dialogs", split, limit, seed)

    def prompts(self, split: str = "train", limit: int | None = None, seed: int = 0) -> datasets.Dataset:
        """Prompts to answer, each once: `prompt`, and where known `category` and `reference` (a good answer).

        Any file of pairs or dialogs holds prompts too.
        """
        return self._load("prompts", split, limit, seed)

    @property
    def judge(self) -> GoldJudge | None:
        """The judge that knows the right answers to this source's prompts; None where nobody does."""
        return GoldJudge() if self._is_pocket else None

    @property
    def is_brief(self) -> bool:
        """Whether its texts are as short as the parameters of the small model expect; real text is longer."""
        return self._is_pocket

    @property
    def writes_prompts(self) -> bool:
        """Whether it can make up new prompts of its kind: `write_prompts`."""
        return self._is_pocket

    def write_prompts(self, category: str, n: int, seed: int = 0) -> list[str]:
        """`n` distinct new prompts of a category, none of which is held out. Raises ValueError if there are not as many
        to be had."""
        if not self.writes_prompts:
            raise DataError(f"Only the pocket world writes new prompts; '{self.name}' has those of its rows.")
        return pocket.generate_prompts(category, n, seed)

    def holds_out(self, prompt: list[dict]) -> bool:
        """Whether it keeps this prompt (messages) for evaluation, whatever file the prompt was found in."""
        if self._is_pocket:  # by combination: the same question in another phrasing is held out too
            return any(tasks.is_test(*found) for turn in prompt if (found := tasks.parse(turn["content"])))
        return key_of(prompt) in self._held_out

    @cached_property
    def _held_out(self) -> set[str]:
        return held_out_keys(self._tables(), self.name)

    @property
    def _is_pocket(self) -> bool:
        return self.name == "pocket"

    def _load(self, kind: str, split: str, limit: int | None, seed: int) -> datasets.Dataset:
        """All three kinds: choose the table, walk through it, keep what is sound, and say what was left out."""
        if split not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', not {split!r}.")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit must be a whole number of at least 1, or None for all rows, not {limit!r}.")
        table, elsewhere, leaked = choose(self._tables(), kind, split, self.name)
        kept, left_out = walk(table, kind, elsewhere, leaked, limit, seed)
        told = "; ".join(_tell(table, problem, rows) for problem, rows in left_out.items())
        if not kept:
            raise DataError(
                f"{table.name} has no {kind} left to use for {split}: {told}."
                if told
                else f"{table.name} has too few different prompts: a tenth is held out for evaluation, and nothing is "
                f"left for {split}."
            )
        if told:
            count = sum(map(len, left_out.values()))
            print(f"{table.name}: left out {count} of {len(kept) + count} rows: {told}.")
        if limit is not None and len(kept) < limit:
            print(f"{table.name}: {limit} {kind} were asked for; all {len(kept)} for {split} are used.")
        return dataset_of(kept[:limit])

    def _tables(self) -> Tables:
        """Its splits by name, each to be read when called. Raises `DataError` for a name that can be no source."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise DataError(f"dataset must be 'pocket', a file or a hub name, not {self.name!r}.")
        if self._is_pocket:
            return {split: partial(_pocket_table, file) for split, file in POCKET.items()}
        path = local_path(self.name)
        if path is not None:
            return {"all": partial(local_table, path)}
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", self.name):
            raise DataError(
                f"'{self.name}' is neither 'pocket', nor a file here, nor a hub name like 'owner/name'."
                + did_you_mean(Path(self.name))
            )
        return hub_tables(self.name)


def _pocket_table(file: str) -> Table:
    path = pocket.DATA / file
    if not path.exists():
        raise DataError(f"The pocket world's {file} is missing; `python -m prefnb.pocket` makes it again.")
    return replace(local_table(path), check_all=False)


def _tell(table: Table, problem: str, rows: list[int]) -> str:
    """For instance "3 with equal chosen and rejected (the first in line 12)"."""
    first = table.where(min(rows))
    return f"{len(rows)} {problem} ({first if len(rows) == 1 else f'the first in {first}'})"

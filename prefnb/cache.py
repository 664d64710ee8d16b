"""The disk cache: what is expensive is made once, under a key of all it depends on.

Two notebooks may share the cache at once: the second waits for the first's lock. An entry is written whole or not at
all, with the SHA-256 of its files; a damaged one is set aside and made again, saying so. What nearly every notebook
begins with comes with the package, in `MADE`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Callable

from filelock import FileLock
from platformdirs import user_cache_dir

import prefnb
from prefnb import models, pocket

MADE = pocket.DATA / "made"  # entries in the format of the cache, written by `make made`


def cache_folder() -> Path:
    """Where made things are kept: $PREFNB_CACHE, or the user's cache folder."""
    return Path(os.environ.get("PREFNB_CACHE") or user_cache_dir("prefnb"))


def cached(kind: str, key: dict, make: Callable, save: Callable, load: Callable):
    """`load(folder)` if the entry exists and is whole, else `make()`, kept with `save(value, folder)`.

    A damaged entry is set aside and made again, saying so. With several processes, all make it together; the main one
    holds the lock and writes. An entry under the same key in `MADE` comes before the user's own.
    """
    name = f"{kind}-{digest({**key, 'version': prefnb.__version__})}"
    if (MADE / name).is_dir():
        return load(MADE / name)
    folder = cache_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    state = models.processes()
    with FileLock(f"{folder}.lock") if state.is_main_process else contextlib.nullcontext():
        if state.is_main_process:
            _set_aside_if_damaged(folder, load)
        state.wait_for_everyone()
        if folder.exists():
            return load(folder)
        value = make()
        if state.is_main_process:
            with models.written_whole(folder) as part:
                save(value, part)
                models.write_json(
                    part / "entry.json",
                    {"key": key, "sha256": {file.name: file_digest(file) for file in sorted(part.iterdir())}},
                )
        state.wait_for_everyone()
        return value


def _set_aside_if_damaged(folder: Path, load: Callable) -> None:
    if not folder.exists():
        return
    try:
        _check_whole(folder)
        load(folder)
    except Exception as error:  # whatever is wrong with it, it can be made again
        aside = models.set_aside(folder)
        print(
            f"The cache entry {folder.name} is damaged ({models.first_line(error)}); "
            f"it was set aside as {aside.name} and is made again."
        )


def _check_whole(folder: Path) -> None:
    for name, expected in json.loads((folder / "entry.json").read_text())["sha256"].items():
        if file_digest(folder / name) != expected:
            raise ValueError(f"{name} has changed since it was written")


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value) -> str:
    """A short hash of anything that JSON can hold, for keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:20]

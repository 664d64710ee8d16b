"""The disk cache: what is expensive is made once, under a key of all it depends on, the code included.

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
from typing import Callable, TypeVar

from accelerate.utils import broadcast_object_list
from filelock import FileLock
from platformdirs import user_cache_dir
from safetensors import SafetensorError

import prefnb
from prefnb import files, pocket
from prefnb.processes import processes

MADE = pocket.DATA / "made"  # entries in the format of the cache, written by `make made`
_told: set[str] = set()  # the kinds of things that this process has said to be from the cache: once is enough
Value = TypeVar("Value")


def cache_folder() -> Path:
    """Where made things are kept: $PREFNB_CACHE, or the user's cache folder. ValueError if that is not a folder."""
    folder = files.here(os.environ.get("PREFNB_CACHE") or user_cache_dir("prefnb"))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"The cache '{folder}' is a file; let PREFNB_CACHE name a folder.")
    return folder


def entry(kind: str, key: dict) -> Path:
    """The user's own entry under this key, there or not."""
    return cache_folder() / f"{kind}-{digest({**key, 'version': prefnb.__version__})}"


def cached(kind: str, key: dict, make: Callable[[], Value], save: Callable, load: Callable[[Path], Value]) -> Value:
    """`load(folder)` if the entry exists and is whole, saying so, else `make()`, kept with `save(value, folder)`.

    key: all that the entry depends on, `source.code_of` what makes it included. A damaged entry is set aside and made
    again; where nothing can be written, it is made and not kept. Both are said. With several processes, all make it
    together; the main one holds the lock and writes. An entry under the same key in `MADE` comes before the user's own.
    """
    folder = entry(kind, key)
    shelf, name = folder.parent, folder.name
    state = processes()
    found = _found(name, (MADE, shelf), load)
    if found is None:  # damaged ones included: only who holds the lock may set them aside
        with _locked(folder) if state.is_main_process else contextlib.nullcontext():
            found = _found(name, (shelf,), load, mend=True)  # somebody may have made it while we waited for the lock
            if found is None:
                value = make()
                if state.is_main_process:
                    _keep(value, folder, key, save)
                state.wait_for_everyone()
                return value
    folder, value = found
    told = f"{kind}: {'as it comes with the package' if folder.parent == MADE else 'from the cache'}."
    if state.is_main_process and told not in _told:
        _told.add(told)
        print(told)
    return value


def _found(name: str, shelves: tuple[Path, ...], load: Callable, mend: bool = False) -> tuple[Path, object] | None:
    """(folder, value) of the first whole entry; the main process looks, and the others load what it found. A damaged
    one is none; with `mend` it is set aside, saying so."""
    state, folder, value = processes(), None, None
    for one in (shelf / name for shelf in shelves if state.is_main_process and os.path.lexists(shelf / name)):
        try:
            files.check_whole(one)
            folder, value = one, load(one)
            break
        except Exception as error:  # whatever is wrong with it, it can be made again
            if mend or one.parent == MADE:
                _tell_damage(one, error)
    (folder,) = broadcast_object_list([folder])
    if folder is None:
        return None
    return folder, value if state.is_main_process else load(folder)


def _tell_damage(folder: Path, error: Exception) -> None:
    """Say what is wrong with an entry, and set it aside if it is ours."""
    told = f"The cache entry {folder.name} is damaged ({files.reason(error)});"
    if isinstance(error, PermissionError):
        print(f"The cache entry {folder.name} belongs to somebody else and cannot be read; it is made again.")
    elif folder.parent == MADE:
        print(f"{told} it came with the package, and is made again.")
    else:
        try:
            print(f"{told} it was set aside as {files.set_aside(folder).name} and is made again.")
        except OSError:
            print(f"{told} it cannot be set aside, and is made again.")


@contextlib.contextmanager
def _locked(folder: Path):
    """Nobody else makes this entry in the meantime; where no lock can be had, everybody makes their own."""
    lock = FileLock(f"{folder}.lock", mode=0o666)  # whoever shares the folder may wait for it
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):  # a disk that is full, or only to be read, or without locks
        yield
        return
    try:
        files.remove_parts(folder, all_of_them=True)
        yield
    finally:
        lock.release()


def _keep(value, folder: Path, key: dict, save: Callable) -> None:
    try:
        with files.written_whole(folder, key=key) as part:
            save(value, part)
    except (OSError, ValueError, SafetensorError) as error:
        print(f"{folder.name} cannot be kept in the cache ({files.reason(error)}); it would be made again.")


def digest(value: object) -> str:
    """A short hash of anything that JSON can hold, for keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:20]

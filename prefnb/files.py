"""Files: written whole or not at all, with their checksums, and never at the expense of what somebody else wrote.

A folder that prefnb writes holds an `entry.json`, which names its files with the SHA-256 of each. Only a folder in
which nothing else stands, and nothing has changed since, is ever replaced.
"""

from __future__ import annotations

import contextlib
import glob
import gzip
import hashlib
import itertools
import json
import math
import os
import secrets
import shutil
import time
import zlib
from pathlib import Path
from typing import Iterator

ENTRY = "entry.json"
STALE = 24 * 3600  # seconds after which nobody is still writing a part


def here(path: str | Path) -> Path:
    """The file or folder that `path` means: `~` is the home folder, links lead where they lead.

    Raises ValueError with one sentence for a link to nothing, a circle of links, or a name that is too long.
    """
    try:
        found = Path(path).expanduser()
        dangling = next((one for one in (found, *found.parents) if one.is_symlink() and not one.exists()), None)
        resolved = found.resolve()
        resolved.exists()  # a name that is too long is refused here
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"'{_short(path)}' cannot be used as a path ({reason(error)}).") from None
    if dangling:
        raise ValueError(f"'{_short(dangling)}' is a link to something that is not there.")
    return resolved


def check_writable(folder: str | Path) -> Path:
    """The folder, there or not, after a trial: it can be made and written into. Nothing of the trial stays, and several
    processes may try at once.

    Raises ValueError with one sentence otherwise.
    """
    path = here(folder)
    nearest = next(one for one in (path, *path.parents) if one.exists())
    trial = nearest / f"trial.part-{secrets.token_hex(4)}"
    try:
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest.name} is a file")
        longest = os.pathconf(nearest, "PC_NAME_MAX")
        if any(len(os.fsencode(name)) > longest for name in path.relative_to(nearest).parts):
            raise OSError(f"a name in it is longer than {longest} characters")
        if len(os.fsencode(path / trial.name)) > os.pathconf(nearest, "PC_PATH_MAX") - longest:
            raise OSError("the path is too long for files in it")
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise ValueError(f"The folder '{_short(folder)}' cannot be written ({reason(error)}); name another.") from None
    return path


def check_replaceable(folder: str | Path) -> Path:
    """The folder, if it may become a new one: not there yet, empty, or what prefnb wrote and nobody touched since.

    Raises ValueError with one sentence otherwise, and before any harm.
    """
    path = here(folder)
    if path == Path.cwd() or path in Path.cwd().parents:
        raise ValueError(f"'{_short(folder)}' is the folder you are in, or above it; name a new one.")
    if path.exists() and not path.is_dir():
        raise ValueError(f"'{_short(folder)}' is a file; name a folder.")
    if os.path.ismount(path):
        raise ValueError(f"'{_short(folder)}' is a whole disk; name a folder on it.")
    check_writable(path.parent / f"{path.name}.part-{'0' * 8}")  # it is written beside, and then takes the place
    if path.is_dir() and any(path.iterdir()):
        try:
            check_whole(path)
        except (ValueError, OSError) as error:
            raise ValueError(
                f"'{_short(folder)}' holds what prefnb did not write ({reason(error)}), and would be replaced; name "
                "another folder."
            ) from None
    return path


@contextlib.contextmanager
def written_whole(folder: str | Path, **about) -> Iterator[Path]:
    """Gives an empty folder to write files into, which becomes `folder` at the end: an interrupted write leaves no half
    of one, and what was there before stays till then.

    about: what `entry.json` shall say of it besides the checksums. Raises ValueError if `folder` holds anything that
    prefnb did not write.
    """
    folder = check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(folder)
    part = folder.with_name(f"{folder.name}.part-{secrets.token_hex(4)}")
    part.mkdir()
    try:
        yield part
        for file in part.iterdir():  # safetensors makes files that nobody else may read
            file.chmod(part.stat().st_mode & 0o666)
        write_json(part / ENTRY, {**about, "sha256": {file.name: file_digest(file) for file in sorted(part.iterdir())}})
        _swap(part, check_replaceable(folder))
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)  # made by this very call
        raise


def _swap(part: Path, folder: Path) -> None:
    """Put `part` in the place of `folder`, and of what was there remove what prefnb wrote."""
    if not folder.exists() or not any(folder.iterdir()):
        os.replace(part, folder)
        return
    old = folder.with_name(f"{folder.name}.old-{secrets.token_hex(4)}")
    os.replace(folder, old)
    os.replace(part, folder)
    for name in [*json.loads((old / ENTRY).read_text(encoding="utf-8"))["sha256"], ENTRY]:
        (old / name).unlink()
    with contextlib.suppress(OSError):  # somebody has just put something there: it stays
        old.rmdir()


def remove_parts(folder: Path, all_of_them: bool = False) -> None:
    """Remove what interrupted writes of `folder` have left, once it is a day old; `all_of_them`: when nobody else can
    be writing."""
    for part in folder.parent.glob(f"{glob.escape(folder.name)}.part-{'[0-9a-f]' * 8}"):
        with contextlib.suppress(OSError):
            if all_of_them or time.time() - part.stat().st_mtime > STALE:
                shutil.rmtree(part)


def check_whole(folder: Path) -> dict:
    """What `entry.json` says, if every file is what was written and there is no other; ValueError or OSError if not."""
    if not (folder / ENTRY).is_file():
        raise ValueError(f"there is no {ENTRY}")
    try:
        entry = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        expected = dict(entry["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{ENTRY} has changed since it was written") from None
    more = {path.name for path in folder.iterdir()} - {*expected, ENTRY}
    if more:
        raise ValueError(f"{sorted(more)[0]} is not part of it")
    for name, digest in expected.items():
        if not (folder / name).is_file():
            raise ValueError(f"{name} is not there any more")
        if file_digest(folder / name) != digest:
            raise ValueError(f"{name} has changed since it was written")
    return entry


def save_file(tensors: dict, path: Path, metadata: dict[str, str] | None = None) -> None:
    """What safetensors calls so, without what a kill in its midst would leave for ever.

    safetensors first writes to a file with a name that it draws by lot, .tmpCZDuM7 say. That is as large as the weights,
    and after a kill nobody can tell whose it is. So it is written in a folder of our own, beside `path`: if that is
    left, the next write to the same path knows and removes it. One process at a time may write to a path.
    """
    import safetensors.torch  # here, since it brings torch, which takes seconds: the rest of this module needs none

    remove_parts(path, all_of_them=True)
    part = path.with_name(f"{path.name}.part-{secrets.token_hex(4)}")
    part.mkdir()
    try:
        safetensors.torch.save_file(tensors, part / path.name, metadata)
        os.replace(part / path.name, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)  # made by this very call


def write_json(path: Path, value: object, indent: int | None = 1) -> None:
    """Write `value` as JSON, whole or not at all; gzipped, and the same each time, if the name ends in .gz. A number that
    is not finite is null: JSON has no other word for it."""
    part = path.with_suffix(".part")
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False).encode("utf-8")
    part.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    os.replace(part, path)


def read_json(path: Path) -> object:
    """What `write_json` wrote. ValueError if it is damaged."""
    found = path.read_bytes()
    try:
        return json.loads((gzip.decompress(found) if path.suffix == ".gz" else found).decode("utf-8"))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(first_line(error)) from None


def _finite(value):
    """The value, with None for each number in it that is not finite."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def damaged_json(folder: Path) -> str | None:
    """Which of a folder's JSON files cannot be read as such, in words."""
    for path in sorted(folder.glob("*.json")):
        try:
            if not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
                return f"{path.name} is no JSON object"
        except (ValueError, RecursionError):
            return f"{path.name} is damaged, or no JSON"
        except OSError as error:
            return f"{path.name} cannot be read ({reason(error)})"
    return None


def set_aside(path: Path) -> Path:
    """Rename something damaged so that it is out of the way but not lost; returns its new path. Of several processes
    that try at once, one does it, each name is taken once, and the others get FileNotFoundError."""
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        with contextlib.suppress(FileExistsError):
            aside.mkdir() if path.is_dir() else aside.touch(exist_ok=False)  # the name is ours: nobody else's is lost
            break
    try:
        os.replace(path, aside)
    except OSError:
        aside.rmdir() if aside.is_dir() else aside.unlink()
        raise
    return aside


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """The first line of an error's message: the sentence, without the essay."""
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def reason(error: BaseException) -> str:
    """Why, in a few words: the system's own for a failure of the disk."""
    return getattr(error, "strerror", None) or first_line(error).rstrip(".")


def _short(path: str | Path) -> str:
    """A path for a message: of a very long one, the end."""
    text = str(path)
    return text if len(text) <= 120 else f"...{text[-100:]}"

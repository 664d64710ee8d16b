"""Files: what a user has stays, what prefnb writes is whole, and a folder that cannot be used is refused in words."""

import errno
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prefnb import __main__ as command_line
from prefnb import files, methods, models, parameters


def write(folder, text="new"):
    with files.written_whole(folder) as part:
        (part / "model.txt").write_text(text)


def untouched(path):
    """Everything below a folder, with what is in it."""
    return {file.relative_to(path): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture
def no_work(monkeypatch):
    """Refused means before training."""
    monkeypatch.setattr(methods.sft, "recipe", lambda **given: pytest.fail("training has begun"))


def test_output_dir_leaves_a_thesis_alone(tmp_path, no_work):
    """`sft --output_dir mine` removed mine/thesis.txt without a word."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("three years")
    with pytest.raises(ValueError, match="mine' holds what prefnb did not write .*name another"):
        command_line.main(["sft", "--output_dir", str(tmp_path / "mine")])
    with pytest.raises(ValueError, match="did not write"):
        write(tmp_path / "mine")
    assert untouched(tmp_path) == {Path("mine/thesis.txt"): b"three years"}


@pytest.mark.parametrize("folder", [".", "..", "/", "mine/.."])
def test_output_dir_is_neither_the_current_folder_nor_one_above(tmp_path, monkeypatch, no_work, folder):
    """`--output_dir .` emptied the current folder and lost the new model too."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(ValueError, match="the folder you are in, or above it"):
        command_line.main(["sft", "--output_dir", folder])
    assert untouched(tmp_path) == {Path("work/notes.txt"): b"mine"}


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: path.write_text("a file"), "is a file"),
        (lambda path: path.symlink_to("nowhere"), "link to something that is not there"),
        (lambda path: path.symlink_to(path), "(link|loop)"),
    ],
)
def test_a_file_or_a_broken_link_is_refused_before_training(tmp_path, no_work, make, said):
    make(tmp_path / "out")
    with pytest.raises(ValueError, match=said):
        command_line.main(["sft", f"--output_dir={tmp_path / 'out'}"])
    assert os.path.lexists(tmp_path / "out")


@pytest.mark.parametrize("name", ["n" * 300, "n" * 250, "/".join(["n" * 200] * 30), "null\0byte"])
def test_a_name_that_is_too_long_is_refused_before_training(tmp_path, no_work, name):
    """Also one that is too long only with the ending of the folder it is first written to."""
    with pytest.raises(ValueError) as refused:
        command_line.main(["sft", f"--output_dir={tmp_path / name}"])
    assert len(str(refused.value)) < 400 and list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path, monkeypatch, no_work):
    """Where no folder can be made, `output_dir` is refused, as a notebook's parameter too."""

    def refuse(path, *given, **more):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ValueError, match="cannot be written .Read-only file system"):
        command_line.main(["sft", f"--output_dir={tmp_path / 'out'}"])
    with pytest.raises(parameters.ParameterError, match="'output_dir' must be a folder.*Read-only file system"):
        parameters.check({"output_dir": str(tmp_path / "out")}, methods.dpo.Settings)


def test_a_trial_leaves_nothing(tmp_path):
    """Asking whether a folder can be written makes none."""
    files.check_replaceable(tmp_path / "a" / "b" / "c")
    files.check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    """`--output_dir=~/mine` made a folder called ~, and so did PREFNB_CACHE."""
    from prefnb.cache import cache_folder

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PREFNB_CACHE", "~/cache")
    assert cache_folder() == tmp_path / "cache"
    assert files.check_replaceable("~/mine") == tmp_path / "mine"
    assert parameters.check({"output_dir": "~/mine"}, methods.dpo.Settings).output_dir == str(tmp_path / "mine")


def test_a_second_run_replaces_what_the_first_wrote(small_world, tmp_path):  # noqa: F811
    """The model comes with its history, whole: a kill between the two left a model without."""
    for rate in ("0.001", "0.002"):
        words = [
            word for name, value in {**small_world, "learning_rate": rate}.items() for word in (f"--{name}", f"{value}")
        ]
        command_line.main(["dpo", *words, f"--output_dir={tmp_path / 'out'}"])
    files.check_whole(tmp_path / "out")
    assert {"model.safetensors", "history.json", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    same = methods.dpo.recipe(**{**small_world, "learning_rate": 0.002}).model
    assert models.fingerprint(models.load_model(str(tmp_path / "out"))) == models.fingerprint(same)
    assert not [path for path in tmp_path.iterdir() if re.search("part|old", path.name)]


def test_what_somebody_put_there_while_training_went_on_stays(tmp_path, model, tokenizer, capsys):
    """A folder that was free at the start and is not at the end: the model goes beside it."""
    from prefnb.course import Trained
    from prefnb.training import History

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("three years")
    place = command_line.save_beside_what_is_there(Trained(model, tokenizer, History()), tmp_path / "out")
    assert place == tmp_path / "out-1" and models.fingerprint(models.load_model(str(place))) == models.fingerprint(
        model
    )
    assert (tmp_path / "out" / "thesis.txt").read_text() == "three years"
    assert "did not write" in capsys.readouterr().out


# In a process of its own, since nothing that it writes may grow beyond 20 KB, as on a disk that is full.
FULL_DISK = """
import json, resource, sys
from prefnb import __main__ as command_line, methods, models
given, out = json.loads(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
print(models.fingerprint(methods.dpo.recipe(**given).model))
try:
    command_line.main(["dpo", *(f"--{name}={value}" for name, value in given.items()), f"--output_dir={out}"])
except ValueError as error:
    print(error)
"""


def test_a_disk_that_is_really_full_loses_no_policy_and_is_told(small_world, tmp_path, monkeypatch):  # noqa: F811
    """Neither the unfinished run nor the cache's entry can be written: the policy is there all the same. An output
    folder that cannot is a sentence, and leaves no half of one."""
    expected = models.fingerprint(methods.dpo.recipe(**small_world).model)
    monkeypatch.setenv("PREFNB_CACHE", str(tmp_path / "other"))
    words = [sys.executable, "-c", FULL_DISK, json.dumps(small_world), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    for said in ("unfinished run cannot be kept", "cannot be kept in the cache", "too large", expected):
        assert said in done.stdout
    assert re.search("The model cannot be written to .*out' .*too large", done.stdout)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("out")]
    left = [path for path in (tmp_path / "other").rglob("*") if path.suffix in (".part", ".safetensors")]
    assert {path.name for path in left} <= {"logprobs.safetensors"}


@pytest.mark.parametrize("touch", ["change", "add", "remove"])
def test_a_folder_that_was_changed_since_is_not_replaced(tmp_path, touch):
    """What a user made of a model is the user's."""
    write(tmp_path / "out", "old")
    if touch == "change":
        (tmp_path / "out" / "model.txt").write_text("my own")
    if touch == "add":
        (tmp_path / "out" / "notes.txt").write_text("my own")
    if touch == "remove":
        (tmp_path / "out" / "model.txt").unlink()
    before = untouched(tmp_path)
    with pytest.raises(ValueError, match="did not write"):
        write(tmp_path / "out")
    assert untouched(tmp_path) == before


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_crowd_sets_one_damaged_thing_aside_once(tmp_path, kind):
    """Nobody takes a name that is taken, and what somebody else has moved leaves no empty name behind."""
    (tmp_path / "run.damaged-1").write_text("older")

    def damaged():
        (tmp_path / "run").mkdir() if kind == "folder" else (tmp_path / "run").touch()

    def attempt(_):
        try:
            return files.set_aside(tmp_path / "run").name
        except FileNotFoundError:
            return None

    damaged()
    with ThreadPoolExecutor(8) as crowd:
        (moved,) = filter(None, crowd.map(attempt, range(8)))  # the lowest name, unless a loser held it for a moment
    assert {path.name for path in tmp_path.iterdir()} == {"run.damaged-1", moved}
    damaged()
    again = files.set_aside(tmp_path / "run").name
    assert {path.name for path in tmp_path.iterdir()} == {"run.damaged-1", moved, again}
    assert (tmp_path / "run.damaged-1").read_text() == "older"


def test_parts_of_killed_writes_do_not_stay_for_ever(tmp_path):
    """A kill in the midst of writing leaves a part: gone at the next write, unless somebody may still be at it."""
    old, young, foreign = (tmp_path / name for name in ("out.part-0a0a0a0a", "out.part-0b0b0b0b", "out.part-of-mine"))
    for folder in (old, young, foreign):
        folder.mkdir()
    os.utime(old, (0, 0))
    write(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out", young.name, foreign.name}
    files.remove_parts(tmp_path / "out", all_of_them=True)
    assert {path.name for path in tmp_path.iterdir()} == {"out", foreign.name}


def test_an_interrupted_swap_loses_neither_the_old_nor_the_new(tmp_path, monkeypatch):
    """Killed between the two renames, the old folder is beside, and is never taken for rubbish."""
    write(tmp_path / "out", "old")
    replace, calls = os.replace, []

    def killed(source, target):
        calls.append(source)
        if len(calls) == 3:  # entry.json, the old one aside, and now the new one
            raise SystemExit
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(SystemExit):
        write(tmp_path / "out")
    monkeypatch.undo()
    write(tmp_path / "out")
    assert sorted(file.read_text() for file in tmp_path.glob("*/model.txt")) == ["new", "old"]

"""`make claims`: nothing is made twice, a kill costs only what was under way, and what goes wrong is told."""

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import SimpleNamespace
from unittest import mock

import psutil
import pytest
from filelock import FileLock

from prefnb import course, models
from prefnb.claims import measure, run
from prefnb.claims.arms import Arm, Grid
from prefnb.files import read_json

TINY = {"pairs": 16}
GRIDS = {"dpo": Grid("dpo", {"learning_rate": (1e-4, 3e-4)}, TINY)}
ARMS = {"dpo": Arm("dpo", TINY, "dpo"), "simpo": Arm("simpo", TINY)}
WRONG_GRIDS = {"none": Grid("dpo", {"beta": (-1.0,)}, TINY)}
WRONG_ARMS = {"broken": Arm("dpo", {**TINY, "beta": -1}), "waits": Arm("dpo", TINY, "none")}
BETA = "ParameterError: 'beta' must be a number from 0 to 100, not -1."


def tiny(folder, arms=ARMS, grids=GRIDS):
    """A run of some seconds, most of which are a worker's imports."""
    given = dict(shelf=folder / "zoo", desk=folder / "desk", workers=1, prompts=20)
    return run.make(folder, arms=arms, grids=grids, seeds=[0], **given)


def figures(folder):
    """{method: its file}, without what a clock has measured."""
    without = lambda found: {k: v for k, v in found.items() if k not in ("seconds", "wall")}  # noqa: E731
    files = {path.name.split(".")[0]: json.dumps(read_json(path)) for path in sorted(folder.glob("*.json.gz"))}
    return {name: json.loads(text, object_hook=without) for name, text in files.items()}


def start(folder):
    """A process that makes the same, in a group of its own."""
    folders = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    code = "import pathlib, sys, test_claims_run as t; t.tiny(pathlib.Path(sys.argv[1]))"
    words = [sys.executable, "-c", code, str(folder)]
    nowhere = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": folders}, start_new_session=True, **nowhere)


def until(true, seconds=60):
    """Wait; is it true in the end?"""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def kill_in_the_midst(folder):
    """Start the same in a process, and kill that process alone, at one blow, once the first figure is there."""
    parent = start(folder)
    try:
        assert until(lambda: list(folder.glob("*.json.gz")) or parent.poll() is not None)
        workers = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
        code, left = parent.wait(), figures(folder)
        ended = until(lambda: not any(one.is_running() for one in workers), 10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
    return SimpleNamespace(folder=folder, code=code, left=left, workers=workers, ended=ended)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run undisturbed, with what goes wrong in it; and one beside it that is killed."""
    whole, killed = (tmp_path_factory.mktemp(name) for name in ("whole", "killed"))
    with ThreadPoolExecutor(1) as beside:
        found = beside.submit(kill_in_the_midst, killed)
        wrong = tiny(whole, {**WRONG_ARMS, **ARMS}, {**WRONG_GRIDS, **GRIDS})
        return SimpleNamespace(whole=whole, wrong=wrong, killed=found.result())


def test_there_is_a_file_for_every_method_and_what_fails_is_a_sentence(runs):
    """One arm that cannot be trained must not cost a night's work of the others, nor one be left out without a word."""
    assert list(figures(runs.whole)) == ["dpo", "simpo"]
    assert sorted(runs.wrong) == [
        "Not made, since the grid none has not chosen: waits",
        f"broken (0): {BETA}",
        f"none ({{'beta': -1.0}}): {BETA.replace('-1', '-1.0')}",
    ]
    dpo = figures(runs.whole)["dpo"]
    assert dpo["test_prompts"] == 20 and list(dpo["arms"]) == ["dpo"] and len(dpo["grids"]["dpo"]) == 2
    assert len(dpo["arms"]["dpo"]["0"]["scores"]) == 40


def test_the_figures_are_those_of_the_policy_that_is_kept(runs):
    """Weights kept in half precision answer a little otherwise: the board would show another policy than the zoo has."""
    policy, tokenizer = models.load_model(str(runs.whole / "zoo" / "dpo")), models.load_tokenizer("pocket")
    prompts = measure.test_prompts(20)["prompt"]
    drawn = course.answers_of(policy, tokenizer, prompts, draws=2, temperature=0.7, max_new_tokens=112)
    assert measure.scored(drawn, prompts)["scores"] == figures(runs.whole)["dpo"]["arms"]["dpo"]["0"]["scores"]
    assert sorted(path.name for path in (runs.whole / "zoo").iterdir()) == ["dpo", "simpo"]


def test_the_second_call_makes_nothing_again(runs):
    """Not a file is written, and no worker starts: that alone would take seconds."""
    before, began = {path: path.stat().st_mtime_ns for path in runs.whole.glob("*.json.gz")}, time.monotonic()
    assert tiny(runs.whole) == []
    assert {path: path.stat().st_mtime_ns for path in runs.whole.glob("*.json.gz")} == before
    assert time.monotonic() - began < 2


def test_workers_do_not_outlive_a_killed_parent(runs):
    """They would go on for hours, beside those of the next call, on the same cores."""
    assert runs.killed.code == -signal.SIGKILL and runs.killed.workers and runs.killed.ended


def test_killed_and_called_again_it_ends_with_the_same_files(runs):
    """What was there is kept as it was, and the rest comes out as if nothing had happened."""
    left, expected = runs.killed.left, figures(runs.whole)
    assert left and left != expected, "it was killed in the midst"
    assert tiny(runs.killed.folder) == []
    found = figures(runs.killed.folder)
    assert found == expected and json.dumps(found) == json.dumps(expected), "in the same order too"
    assert left["dpo"]["grids"]["dpo"].items() <= found["dpo"]["grids"]["dpo"].items()
    assert not list(runs.killed.folder.glob("*.part"))


def test_a_quick_look_is_never_taken_for_the_whole(runs):
    """Figures of a few prompts in the folder of all of them would end up in the table."""
    arm = lambda results: results.has("simpo", ARMS["simpo"], 0, {})  # noqa: E731
    point = lambda results: results.has_point("dpo", GRIDS["dpo"], {"learning_rate": 1e-4})  # noqa: E731
    for has in (arm, point):
        assert [has(run.Results(runs.whole, prompts)) for prompts in (20, 21, None)] == [True, False, False]


# --- Without a worker -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b'{"grids": {"dpo"',
        b"\xff",
        b"[]",
        b'{"grids": {}}',
        b'{"grids": {}, "arms": {"dpo": {"0": 3}}}',
        b"[" * 9999,
    ],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path, written):
    """Days of training may be in it, which an editor could save: one sentence, and never written over."""
    path = tmp_path / "dpo.json.gz"
    for found in (written, gzip.compress(written), gzip.compress(written)[:-3]):
        path.write_bytes(found)
        with pytest.raises(ValueError, match=r"dpo.json.gz is damaged, or no results .*; restore it, or remove it") as refused:
            tiny(tmp_path)
        assert "\n" not in str(refused.value) and path.read_bytes() == found


def test_two_at_one_desk_are_refused(tmp_path):
    """Each writes whole files from what it knows itself: the other's figures would be lost."""
    (tmp_path / "desk").mkdir()
    with FileLock(tmp_path / "desk" / "lock"), pytest.raises(ValueError, match="Another `make claims` is at work"):
        tiny(tmp_path)


@pytest.mark.parametrize(
    "words, said", [(["dpoo", "rlo", "dpo"], "no arm dpoo, rlo; the arms are"), (["--seeds", "0"], "at least one seed")]
)
def test_a_mistyped_command_is_one_sentence(monkeypatch, capsys, words, said):
    """Scripts must notice, and people must be able to read it; nothing is trained."""
    monkeypatch.setattr(run, "make", lambda **_: pytest.fail("training has begun"))
    assert run.main(words) == 2
    told = capsys.readouterr().out
    assert said in told and told.count("\n") == 1


@pytest.mark.parametrize("error, code", [(ValueError("dpo.json.gz is damaged."), 1), (KeyboardInterrupt(), 130)])
def test_the_command_ends_without_a_traceback(monkeypatch, capsys, error, code):
    """Refused, or interrupted by hand."""
    monkeypatch.setattr(run, "make", mock.Mock(side_effect=error))
    assert run.main([]) == code
    assert capsys.readouterr().out.count("\n") == 1


def test_ctrl_c_does_not_wait_for_all_that_was_planned():
    """A pool that is left works off what waits in it, which here is hours."""
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool, run._ended_early(pool):
            under_way = [pool.submit(time.sleep, 60) for _ in range(3)]
            assert until(under_way[0].running)
            raise KeyboardInterrupt
    assert time.monotonic() - began < 30


def test_what_was_good_is_kept_when_a_worker_is_killed(monkeypatch, tmp_path):
    """Memory runs out: one sentence, not one for every job that waited, and no result that has arrived is lost."""
    died = BrokenProcessPool("A process in the process pool was terminated abruptly")
    waiting, wrong, good = {Future(): ("dpo", n) for n in range(50)}, [], []
    for number, future in enumerate(waiting):
        future.set_result({}) if number == 40 else future.set_exception(died)
    with pytest.raises(BrokenProcessPool):
        for job, _ in run._as_done(waiting, mock.Mock(), wrong, lambda _: 1):
            good.append(job)
    assert good == [("dpo", 40)] and wrong == []
    monkeypatch.setattr(run, "_as_done", mock.Mock(side_effect=died))
    assert tiny(tmp_path) == ["A worker was killed, perhaps for want of memory; call again, and it goes on from here"]


def diverges(*_):
    raise FloatingPointError("The loss is not a number.\nMore.")


def test_weights_that_diverge_have_the_lowest_score(tmp_path):
    """In a grid as in an arm: a rate that is too high is a result, and the others of its grid still choose."""
    told = {"diverged": "The loss is not a number."}
    assert run.choose_one(Grid("dpo", {}, make=diverges), {}, None) == {"gold": 1.0, "error": 0.0, **told}
    found = run.measure_one("one", Arm("dpo", make=diverges, gives=("one", "two")), 0, {}, None, None)
    assert found == {"one": told, "two": told}


def test_the_best_point_is_chosen_whatever_came_first(tmp_path):
    """Of equals the grid's first, though points are kept in the order in which they happened to end; none from an older
    grid; and no choice before all are there."""
    results, grid = run.Results(tmp_path), Grid("dpo", {"beta": (0.1, 0.2, 0.3)}, {**TINY, "alpha": 1})
    kept = results.of("dpo")["grids"].setdefault("dpo", {"older": {"settings": {"beta": 9}, "key": "x", "gold": 10.0}})
    for beta, gold in ((0.3, 8.0), (0.2, 8.0), (0.1, 7.0)):
        assert results.chosen({"dpo": grid}) == {}
        key = run._grid_key(grid, {"beta": beta})
        kept[run.digest({"beta": beta})] = {"settings": {"beta": beta}, "key": key, "gold": gold, "error": 0.1}
    assert results.chosen({"dpo": grid}) == {"dpo": {"beta": 0.2, "alpha": 1}}
    kept[run.digest({"beta": 0.1})]["key"] = "of other code"
    assert results.chosen({"dpo": grid}) == {}


def test_arms_that_only_explain_take_the_first_seeds_and_others_all(monkeypatch):
    """Hours for what no claim stands on; or a claim with fewer seeds than it says. Whole seeds come one after another."""
    arms = {"sft": Arm("sft"), "dpo": Arm("dpo"), "why": Arm("dppo", explains=True)}
    monkeypatch.setattr(run, "FEW_SEEDS", 1)
    assert run._in_order(arms, [3, 5]) == [("sft", 3), ("sft", 5), ("dpo", 3), ("why", 3), ("dpo", 5)]

"""Recipes: made once, shared safely, made again when damaged, and never served for other inputs."""

import errno
import json
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import random_model
from safetensors.torch import save_file

from prefnb import cache, course, made, methods, models, parameters
from prefnb.batches import end_of_turn_id, tokenize
from prefnb.judges import Scores
from prefnb.course import answers, examples, policies
from prefnb.course.settings import Judging
from prefnb.sampling import Sample, sample
from prefnb.training import History, train


def save(value, folder):
    (folder / "value.json").write_text(json.dumps(value))


def load(folder):
    return json.loads((folder / "value.json").read_text())


def entry(kind="thing"):
    return next(path for path in cache.cache_folder().iterdir() if path.is_dir() and path.name.startswith(kind))


def test_made_once_and_loaded_after():
    """Nothing is computed twice; another key is another entry."""
    made = []
    make = lambda: made.append(1) or [1.5, 2]  # noqa: E731
    assert (
        cache.cached("thing", {"a": 1}, make, save, load)
        == cache.cached("thing", {"a": 1}, make, save, load)
        == [1.5, 2]
    )
    assert len(made) == 1
    cache.cached("thing", {"a": 2}, make, save, load)
    assert len(made) == 2


def test_a_damaged_entry_is_set_aside_and_made_again(capsys):
    """One flipped character must neither be served nor stop the run."""
    cache.cached("thing", {}, lambda: [1], save, load)
    (entry() / "value.json").write_text("[2]")
    assert cache.cached("thing", {}, lambda: [1], save, load) == [1]
    assert "is damaged (value.json has changed since it was written)" in capsys.readouterr().out
    assert entry("thing").exists() and any(".damaged-1" in path.name for path in cache.cache_folder().iterdir())


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "delete", "add"])
def test_what_ships_is_checked_as_well(tmp_path, monkeypatch, capsys, damage):
    """8 of 8 bit flips in data/made loaded silently. What came with the package stays where it is."""
    monkeypatch.setenv("PREFNB_CACHE", str(tmp_path / "made"))
    cache.cached("thing", {}, lambda: [1], save, load)
    monkeypatch.setenv("PREFNB_CACHE", str(tmp_path / "mine"))
    monkeypatch.setattr(cache, "MADE", tmp_path / "made")
    assert cache.cached("thing", {}, lambda: pytest.fail("made again"), save, load) == [1]
    file = next((tmp_path / "made").glob("thing-*/value.json"))
    if damage == "delete":
        file.unlink()
    else:
        ways = {"flip": "[3]", "cut": "[", "empty": "", "add": "[1]"}
        (file.with_name("more.json") if damage == "add" else file).write_text(ways[damage])
    assert cache.cached("thing", {}, lambda: [2], save, load) == [2]
    assert "is damaged" in capsys.readouterr().out
    assert file.parent.is_dir() and entry("thing")
    assert cache.cached("thing", {}, lambda: pytest.fail("made again"), save, load) == [2]


def test_an_entry_that_cannot_be_written_loses_nothing(monkeypatch, capsys):
    """A full disk: the policy is there, and is said not to be in the cache."""

    def full(value, folder):
        save(value, folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    assert cache.cached("thing", {}, lambda: [1], full, load) == [1]
    assert "cannot be kept in the cache (No space left on device)" in capsys.readouterr().out
    assert not [path for path in cache.cache_folder().iterdir() if path.is_dir()]


def test_a_cache_that_can_only_be_read_is_used(monkeypatch, capsys):
    """An entry that is there is taken without a lock; another is made, and not kept."""
    cache.cached("thing", {}, lambda: [1], save, load)

    def refuse(*given, **more):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(cache.FileLock, "acquire", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert cache.cached("thing", {}, lambda: pytest.fail("made again"), save, load) == [1]
    assert cache.cached("thing", {"a": 2}, lambda: [2], save, load) == [2]
    assert "cannot be kept" in capsys.readouterr().out


def test_entries_can_be_read_by_all_who_may_read_the_folder():
    """Entries were mode 0700, so that a second user of a shared cache found them "damaged"."""
    before = os.umask(0o022)
    try:
        cache.cached("thing", {}, lambda: [1], lambda value, folder: save_file({"a": torch.ones(1)}, folder / "a"), load)
    finally:
        os.umask(before)
    assert entry().stat().st_mode & 0o777 == 0o755
    assert {file.stat().st_mode & 0o777 for file in entry().iterdir()} == {0o644}
    (lock,) = cache.cache_folder().glob("*.lock")
    assert lock.stat().st_mode & 0o777 == 0o666


def test_somebody_elses_entry_is_not_called_damaged(monkeypatch, capsys):
    """An entry that this user may not read is made again for this run, and stays."""
    cache.cached("thing", {}, lambda: [1], save, load)

    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cache.files, "check_whole", refuse)
    assert cache.cached("thing", {}, lambda: [2], save, load) == [2]
    said = capsys.readouterr().out
    assert "belongs to somebody else" in said and "damaged" not in said
    assert load(entry()) == [1]


@pytest.mark.parametrize("place", ["cache", "entry", "lock"])
def test_links_to_nothing_are_no_traceback(monkeypatch, tmp_path, place, capsys):
    """A link whose target is gone, as the cache, as an entry and as a lock."""
    if place == "cache":
        (tmp_path / "cache").symlink_to(tmp_path / "gone")
        with pytest.raises(ValueError, match="link to something that is not there"):
            cache.cached("thing", {}, lambda: [1], save, load)
        return
    name = f"thing-{cache.digest({'version': cache.prefnb.__version__})}"
    cache.cache_folder().mkdir()
    (cache.cache_folder() / f"{name}{'.lock' * (place == 'lock')}").symlink_to(tmp_path / "gone")
    assert cache.cached("thing", {}, lambda: [1], save, load) == [1]
    assert load(cache.cache_folder() / name) == [1]


def test_a_cache_that_is_a_file_is_refused_in_a_sentence(tmp_path, monkeypatch):
    """PREFNB_CACHE naming a file was a traceback."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PREFNB_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="is a file; let PREFNB_CACHE name a folder"):
        methods.dpo.recipe()


def test_an_interrupted_make_leaves_no_entry():
    """Half of an entry must not be found later."""

    def fail(value, folder):
        save(value, folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.cached("thing", {}, lambda: [1], fail, load)
    assert not [path for path in cache.cache_folder().iterdir() if path.is_dir()]


def test_two_at_once_make_it_once():
    """Two notebooks that need the same policy: the second waits for the first and loads."""
    made, started = [], threading.Event()

    def make():
        made.append(1)
        started.set()
        threading.Event().wait(0.3)
        return [7]

    results = []
    threads = [
        threading.Thread(target=lambda: results.append(cache.cached("thing", {}, make, save, load))) for _ in range(2)
    ]
    threads[0].start()
    started.wait()
    threads[1].start()
    [thread.join() for thread in threads]
    assert results == [[7], [7]] and len(made) == 1


def test_the_reference_is_another_for_other_weights_or_examples(model, tokenizer, pairs):
    """Cached log-probs of another model or data set must never be served."""
    examples = tokenize(pairs, tokenizer)
    first = course.reference(model, examples).all().chosen.sum
    assert torch.equal(course.reference(model, examples).all().chosen.sum, first)
    other = random_model(tokenizer, seed=1)
    assert not torch.allclose(course.reference(other, examples).all().chosen.sum, first)
    fewer = tokenize(pairs[:5], tokenizer)
    assert len(course.reference(model, fewer).all().chosen.sum) == 5


@pytest.mark.parametrize("recipe, more", [(methods.dpo.recipe, {}), (methods.dppo.recipe, {"alpha": 0.5, "penalty": "unlikelihood"})])
def test_a_recipe_runs_on_a_local_model_and_file_and_comes_back_from_the_cache(small_world, recipe, more):
    """From the parameters to a trained policy, and the same from the cache, bit for bit."""
    first = recipe(**small_world, **more)
    assert first.history.rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-5) or more
    again = recipe(**small_world, **more)
    assert again.history.rows == first.history.rows
    assert models.fingerprint(again.model) == models.fingerprint(first.model)
    assert models.fingerprint(first.model) != models.fingerprint(models.load_model(small_world["model"]))


def test_a_model_that_sft_leaves_as_it_is_is_told(small_world, capsys):
    """`sft=True` was ignored without a word for any model but the preset's."""
    first = methods.dpo.recipe(**small_world)
    said = "is taken as it is: SFT comes first only for the preset's own model"
    assert f"'{small_world['model']}' {said}" in capsys.readouterr().out
    again = methods.dpo.recipe(**small_world, sft=False)
    assert said not in capsys.readouterr().out
    assert models.fingerprint(again.model) == models.fingerprint(first.model)


def test_a_changed_file_is_another_entry(small_world):
    """Editing the data set under the same name must train again."""
    before = methods.dpo.recipe(**small_world).history.rows
    text = open(small_world["dataset"]).read()
    open(small_world["dataset"], "w").write(text.replace("a number", "some number"))
    assert methods.dpo.recipe(**small_world).history.rows != before


def test_a_file_of_the_same_name_deeper_down_hides_no_change(small_world):
    """`original/model.safetensors` had the key's place of a changed `model.safetensors`: files go by their paths."""
    folder = Path(small_world["model"])
    (folder / "original").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "original")
    p = parameters.check({"model": str(folder)}, methods.dpo.Settings)
    before = policies._files(p)
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    after = policies._files(p)
    assert [name for name in after if after[name] != before[name]] == [f"{folder}:model.safetensors"]


def test_a_folder_that_is_no_model_is_not_read_first(tmp_path, monkeypatch):
    """4.5 GB of something else were hashed before the sentence."""
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "film.mp4").write_bytes(b"film")
    monkeypatch.setattr(policies, "file_digest", lambda path: pytest.fail(f"{path} is read"))
    with pytest.raises(ValueError, match="no config.json"):
        policies._files(parameters.check({"model": str(tmp_path / "big")}, methods.dpo.Settings))


def test_an_edited_loss_is_another_entry(small_world, monkeypatch, capsys):
    """The key has the code in it, for policies, reference log-probs and samples; and what is taken is told, once."""
    given = {**small_world, "alpha": 0.5, "max_response_tokens": 12}
    monkeypatch.setattr(cache, "_told", set())
    methods.dppo.recipe(**given)
    names = {path.name for path in cache.cache_folder().iterdir() if path.is_dir()}
    assert {name.partition("-")[0] for name in names} == {"dppo", "reference", "samples"}
    assert "from the cache" not in capsys.readouterr().out
    methods.dppo.recipe(**given), methods.dppo.recipe(**given)
    assert capsys.readouterr().out.count("dppo: from the cache.") == 1
    for module in (policies, answers, examples):
        monkeypatch.setattr(module, "code_of", lambda dotted: f"{dotted}, edited")
    methods.dppo.recipe(**given)
    more = {path.name for path in cache.cache_folder().iterdir() if path.is_dir()} - names
    assert {name.partition("-")[0] for name in more} == {"dppo", "reference", "samples"}


def test_parameters_are_refused_before_any_work(small_world):
    """A mistyped or impossible parameter is one sentence, before a model is loaded."""
    with pytest.raises(ValueError, match="'alhpa'.*'alpha'"):
        methods.dppo.recipe(**small_world, alhpa=10)
    with pytest.raises(ValueError, match="penalty"):
        methods.dppo.recipe(**small_world, penalty="none")


def comparison_of_two():
    """Two prompts, two answers of each policy to each."""
    prompts = [[{"role": "user", "content": "Hi"}], [{"role": "user", "content": "Grüß Gott"}]]
    answers = {
        label: [Sample([1] * (n + 1), f"{label}{n}", True) for n in range(4)] for label in ("SFT", "DPO", "SimPO")
    }
    scores = {
        "SFT": Scores(np.array([[1.0, 2.0], [2.0, 3.0]])),
        "DPO": Scores(np.array([[2.0, 3.0], [1.5, 2.05]])),
        "SimPO": Scores(np.array([[0.0, 0.0], [9.0, 9.0]])),
    }
    return course.Comparison(prompts, ["x", "y"], ["", ""], answers, scores, "SFT", SimpleNamespace(name="gold", tie=0.1))


def test_a_run_leaves_its_record_behind(tmp_path):
    """parameters, history, every response with its own score, and summary, as JSON that can be read back."""
    history = History([{"step": 1, "loss": 0.5}])
    folder = course.record(tmp_path / "run", SimpleNamespace(alpha=1.0), {"DPO": history}, comparison_of_two(), kl=0.3)
    assert json.loads((folder / "parameters.json").read_text()) == {"alpha": 1.0}
    assert History.load(folder / "history_DPO.json").rows == [{"step": 1, "loss": 0.5}]
    rows = json.loads((folder / "responses.json").read_text())
    assert len(rows) == 12 and rows[6] == {
        "prompt": "Grüß Gott",
        "category": "y",
        "method": "DPO",
        "draw": 0,
        "response": "DPO2",
        "finished": True,
        "score": 1.5,
    }
    found = json.loads((folder / "summary.json").read_text())
    assert (found["prompts"], found["draws"], found["kl"]) == (2, 2, 0.3)
    # First prompt: 2 beats 1 and ties with 2, 3 beats both. Second: 1.5 loses twice, 2.05 ties with 2 and loses to 3.
    assert found["win_rates"]["DPO"]["rate"] == (3.5 / 4 + 0.5 / 4) / 2
    assert found["win_rates"]["DPO"]["ties"] == 2 / 8 and found["win_rates"]["DPO"]["strict"] == 3 / 8
    assert found["win_rates"]["DPO"]["interval"] == [0.125, 0.875]


def test_an_earlier_run_is_kept_if_it_gave_something_else(tmp_path, capsys):
    """A night's run, overwritten without a word by a look with other parameters; or a heap of copies of one run."""
    run, history = tmp_path / "run", {"DPO": History([{"step": 1, "loss": 0.5}])}
    for alpha in (1.0, 1.0, 2.0, 3.0):
        course.record(run, SimpleNamespace(alpha=alpha), history, comparison_of_two())
    (run / "mine.txt").write_text("a note")
    course.record(run, SimpleNamespace(alpha=3.0), history, comparison_of_two())
    kept = {path.name: json.loads((path / "parameters.json").read_text())["alpha"] for path in tmp_path.iterdir()}
    assert kept == {"run-1": 1.0, "run-2": 2.0, "run": 3.0} and (run / "mine.txt").exists()
    assert capsys.readouterr().out.count("The earlier run") == 2


def test_a_comparison_keeps_draws_prompts_and_policies_apart():
    """First draws for reading, lengths by prompt and draw, outcomes by prompt against any other policy."""
    found = comparison_of_two()
    assert found.texts("DPO") == ["DPO0", "DPO2"] and found.draws("DPO") == 2
    assert found.lengths("DPO").tolist() == [[1, 2], [3, 4]]
    assert [prompt[0]["content"] for prompt in found.asked("DPO")] == ["Hi", "Hi", "Grüß Gott", "Grüß Gott"]
    assert found.outcomes("DPO").tolist() == [3.5 / 4, 0.5 / 4]
    assert found.outcomes("DPO", against="SimPO").tolist() == [1.0, 0.0]
    assert found.outcomes("SFT").tolist() == [0.5, 0.5] and "SFT" not in found.win_rates
    assert found.win_rate("DPO", "SimPO").rate == 0.5 and found.win_rate("DPO") == found.win_rates["DPO"]
    assert {name: rate.rate for name, rate in found.by_category("DPO").items()} == {"x": 3.5 / 4, "y": 0.5 / 4}
    assert found.flaws("DPO") == {}
    found.gold = SimpleNamespace(flaws=lambda prompts, texts: {"odd": np.array([text[-1] in "13" for text in texts])})
    assert found.flaws("DPO")["odd"].tolist() == [[False, True], [False, True]]
    read = lambda prompt, text: len(prompt[0]["content"]) + int(text[-1])  # noqa: E731
    judge = lambda prompts, texts: Scores(np.array(list(map(read, prompts, texts))))  # noqa: E731
    assert found.scores_by(judge, "DPO").total.tolist() == [[2, 3], [11, 12]]


@pytest.fixture
def asked(tokenizer):
    """What `compare` takes: a few test prompts, three draws."""
    return parameters.check({"test_prompts": 20, "draws": 3, "max_response_tokens": 8}, Judging)


def test_one_policy_has_one_win_rate(tokenizer, asked):
    """Guards against rates that depend on a label, a place in the dict or the other policies: DPO's was .48 in one
    notebook and .645 in the next."""
    start, one, other = (random_model(tokenizer, seed) for seed in range(3))
    first = course.compare({"SFT": start, "DPO": one, "SimPO": other}, tokenizer, asked)
    again = course.compare(
        {"x": other, "y": models.copy_model(one), "start": start}, tokenizer, asked, baseline="start"
    )
    assert first.win_rates["DPO"] == again.win_rates["y"] and first.win_rates["SimPO"] == again.win_rates["x"]
    assert first.answers["DPO"] == again.answers["y"] != first.answers["SFT"]
    backwards = course.answers_of(one, tokenizer, first.prompts[::-1], draws=3, temperature=0.7, max_new_tokens=8)
    assert backwards[-3:] == first.answers["DPO"][:3] and backwards[:3] == first.answers["DPO"][-3:]


def test_a_policy_against_itself_is_at_one_half(tokenizer, asked, model):
    """Exactly, with an interval that holds it."""
    found = course.compare({"SFT": model, "copy": models.copy_model(model)}, tokenizer, asked).win_rates["copy"]
    assert found.rate == 0.5 and found.interval[0] <= 0.5 <= found.interval[1]


def test_nearly_equal_policies_do_not_share_their_luck(tokenizer, asked, model):
    """With one seed for all, two policies a hair apart would give the same answers, and nothing but ties. A hair is what
    half precision still shows."""
    near = models.copy_model(model)
    with torch.no_grad():
        next(near.parameters())[0, 0] += 1e-3
    found = course.compare({"SFT": model, "near": near}, tokenizer, asked)
    assert found.answers["SFT"] != found.answers["near"]


def test_samples_are_drawn_once_and_come_back_as_they_were(tokenizer, asked, model, monkeypatch):
    """The second comparison, and the KL's second look, sample nothing; ids, texts and ends are those of the first."""
    with torch.no_grad():  # an end-of-turn token that some answers come to
        model.get_input_embeddings().weight[end_of_turn_id(tokenizer)] *= 4
    calls = []
    monkeypatch.setattr(answers, "sample", lambda *given, **more: calls.append(more) or sample(*given, **more))
    first = course.compare({"SFT": model}, tokenizer, asked)
    course.sampled_kl(model, model, tokenizer, first.prompts, max_new_tokens=8)
    assert [call["samples"] for call in calls] == [3, 1]
    assert {one.finished for one in first.answers["SFT"]} == {True, False}
    again = course.compare({"base": model}, tokenizer, asked, baseline="base")
    course.sampled_kl(model, model, tokenizer, first.prompts, max_new_tokens=8)
    assert len(calls) == 2 and again.answers["base"] == first.answers["SFT"]
    asked.draws = 2
    course.compare({"SFT": model}, tokenizer, asked)
    assert len(calls) == 3
    course.compare({"SFT": model}, tokenizer, asked, temperature=0)
    assert calls[-1]["samples"] == 1 and len(calls) == 4


@pytest.mark.parametrize("name", course.DECODINGS)
def test_policies_are_compared_under_the_decoding_that_is_named(tokenizer, asked, model, name):
    """The answers are those of `sample` with the settings of the table, and where nothing is drawn one a prompt."""
    found = course.compare({"SFT": model}, tokenizer, asked, decoding=name)
    draws = 3 if name in ("sampled", "nucleus") else 1
    seed = int(models.fingerprint(model, coarse=True)[:8], 16)
    drawn = sample(
        model, tokenizer, found.prompts, samples=draws, max_new_tokens=8, seed=seed, **course.DECODINGS[name]
    )
    assert found.draws("SFT") == draws and found.scores["SFT"].total.shape == (20, draws)
    assert found.answers["SFT"] == drawn


def test_decodings_do_not_share_their_answers(tokenizer, asked, model, monkeypatch):
    """Each is kept under a key of its own. That of temperature alone names nothing else: it is the key under which all
    answers so far are kept."""
    keys = []
    samples_of = lambda *given, **more: keys.append(more) or answers.sample(*given, **more)  # noqa: E731
    monkeypatch.setattr(answers, "samples_of", samples_of)
    for name in course.DECODINGS:
        course.compare({"SFT": model}, tokenizer, asked, decoding=name)
    course.compare({"SFT": model}, tokenizer, asked)
    course.compare({"SFT": model}, tokenizer, asked, temperature=0)
    course.compare({"SFT": model}, tokenizer, asked, decoding="nucleus", temperature=1)
    course.compare({"SFT": model}, tokenizer, asked, decoding="beam", temperature=1)
    sampled, nucleus, greedy, beam, default, cold, hot, warm_beam = keys
    assert list(sampled) == list(greedy) == ["samples", "temperature", "max_new_tokens", "seed"]
    assert default == sampled and cold == greedy
    assert nucleus == sampled | {"temperature": 0.6, "top_p": 0.95} and hot == nucleus | {"temperature": 1.0}
    assert beam == greedy | {"beams": 4, "length_penalty": 0.9} and warm_beam["samples"] == 1  # beams draw nothing
    with pytest.raises(ValueError, match="no decoding 'typical'; there are sampled, nucleus, greedy, beam"):
        course.compare({"SFT": model}, tokenizer, asked, decoding="typical")


def test_a_baseline_that_is_not_there_is_named(tokenizer, asked, model):
    """Before anything is sampled."""
    with pytest.raises(ValueError, match="no policy 'SFT' to compare with; there are DPO"):
        course.compare({"DPO": model}, tokenizer, asked)


def test_the_qwen_preset_runs_on_a_local_model_and_file(small_world):
    """The papers' hyper-parameters go the same way: only model and data are small and local here."""
    small_world.pop("batch_size")
    made = methods.dpo.recipe(preset="qwen", **small_world)
    assert made.history.rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-5)
    assert max(row["learning_rate"] for row in made.history.rows) <= 5e-6


@pytest.mark.parametrize(
    "method, wrong, words",
    [
        ("rloo", {"samples": 8, "temperatures": "0.5,1,1.5", "reward": "proxy"}, "shared evenly"),
        ("multi_objective", {"samples": 3, "temperatures": "0.5,1"}, "shared evenly"),
        ("grpo", {"reward": "gold"}, "needs the pocket world"),
    ],
)
def test_samples_that_cannot_be_drawn_or_judged_are_refused_before_any_work(
    small_world, monkeypatch, method, wrong, words
):
    """Guards against a sentence that comes after minutes of training an SFT policy or a reward model."""

    def work(*given, **more):
        raise AssertionError("work has begun")

    monkeypatch.setattr(methods._rewards, "starting_policy", work)
    for one in (methods.rloo, methods.multi_objective):
        monkeypatch.setattr(one, "proxy", work)
    given = {name: small_world[name] for name in ("model", "dataset")}
    with pytest.raises(ValueError, match=words):
        getattr(methods, method).recipe(**given, **wrong)


@pytest.mark.parametrize("name, given", made.POLICIES, ids=str)
def test_what_is_said_to_come_with_the_package_does(monkeypatch, tmp_path, name, given):
    """Under today's key, with the answers that notebooks compare: if not, run `make made`."""
    monkeypatch.setenv("PREFNB_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_locked", lambda folder: pytest.fail(f"{folder.name} does not: run `make made`"))
    policy = getattr(methods, name).recipe(**given)
    assert len(policy.history.rows) >= 60
    if name != "reward_model":
        monkeypatch.setattr(answers, "sample", lambda *given, **more: pytest.fail("it was asked again"))
        compared = course.compare({"SFT": policy.model}, policy.tokenizer, parameters.check({}, Judging))
        assert compared.scores["SFT"].total.shape == (520, 4)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["sft", "dpo", "reward_model"])
def test_what_comes_with_the_package_is_what_the_recipes_make_today(monkeypatch, tmp_path, name):
    """Under today's key, from today's weights and data (the first step's loss and tokens): if not, run `make made`."""
    recipe = getattr(methods, name).recipe
    module = methods._pairs if name == "dpo" else getattr(methods, name)
    monkeypatch.setattr(module, "train", lambda *given, **more: pytest.fail("it was trained again"))
    comes_with_it = recipe().history.rows
    others = [folder for folder in cache.MADE.iterdir() if not folder.name.startswith(f"{name}-")]
    for folder in others:
        (tmp_path / folder.name).symlink_to(folder)
    monkeypatch.setattr(cache, "MADE", tmp_path)
    monkeypatch.setattr(module, "train", lambda *given, **more: train(*given, **{**more, "epochs": 1e-9}))
    (first,) = recipe().history.rows
    assert first["tokens"] == comes_with_it[0]["tokens"]
    assert first["loss"] == pytest.approx(comes_with_it[0]["loss"], rel=1e-4)

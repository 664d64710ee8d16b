"""Recipes: made once, shared safely, made again when damaged, and never served for other inputs."""

import json
import threading
from types import SimpleNamespace

import pytest
import torch
from conftest import random_model

from prefnb import cache, models, recipes
from prefnb.batches import tokenize
from prefnb.recipes import preference, reward, supervised
from prefnb.train import History, train


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
    first = recipes.reference(model, examples).all().chosen.sum
    assert torch.equal(recipes.reference(model, examples).all().chosen.sum, first)
    other = random_model(tokenizer, seed=1)
    assert not torch.allclose(recipes.reference(other, examples).all().chosen.sum, first)
    fewer = tokenize(pairs[:5], tokenizer)
    assert len(recipes.reference(model, fewer).all().chosen.sum) == 5


@pytest.fixture
def small_world(model, tokenizer, tmp_path):
    """A model folder and a preference file: the path that real data takes."""
    models.save_checkpoint(model, tokenizer, tmp_path / "model")
    rows = [{"prompt": f"What is {n}?", "chosen": f"It is {n}, a number.", "rejected": f"No {n}."} for n in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return dict(model=str(tmp_path / "model"), dataset=str(tmp_path / "pairs.jsonl"), pairs=16, batch_size=8)


@pytest.mark.parametrize("recipe, more", [(recipes.dpo, {}), (recipes.dppo, {"alpha": 0.5, "penalty": "unlikelihood"})])
def test_a_recipe_runs_on_a_local_model_and_file_and_comes_back_from_the_cache(small_world, recipe, more):
    """From the parameters to a trained policy, and the same from the cache, bit for bit."""
    first = recipe(**small_world, **more)
    assert first.history.rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-5) or more
    again = recipe(**small_world, **more)
    assert again.history.rows == first.history.rows
    assert models.fingerprint(again.model) == models.fingerprint(first.model)
    assert models.fingerprint(first.model) != models.fingerprint(models.load_model(small_world["model"]))


def test_a_changed_file_is_another_entry(small_world):
    """Editing the data set under the same name must train again."""
    before = recipes.dpo(**small_world).history.rows
    text = open(small_world["dataset"]).read()
    open(small_world["dataset"], "w").write(text.replace("a number", "some number"))
    assert recipes.dpo(**small_world).history.rows != before


def test_parameters_are_refused_before_any_work(small_world):
    """A mistyped or impossible parameter is one sentence, before a model is loaded."""
    with pytest.raises(ValueError, match="'alhpa'.*'alpha'"):
        recipes.dppo(**small_world, alhpa=10)
    with pytest.raises(ValueError, match="penalty"):
        recipes.dppo(**small_world, penalty="none")


def test_a_run_leaves_its_record_behind(tmp_path):
    """parameters, history, responses with scores and summary, as JSON that can be read back."""
    from prefnb.evaluate import win_rate
    from prefnb.judges import Scores
    from prefnb.sampling import Sample
    import numpy as np

    prompts = [[{"role": "user", "content": "Hi"}], [{"role": "user", "content": "Grüß Gott"}]]
    answers = {"SFT": [Sample([1], "a", True)] * 2, "DPO": [Sample([1], "b", True)] * 2}
    scores = {"SFT": Scores(np.array([1.0, 2.0])), "DPO": Scores(np.array([2.0, 1.5]))}
    comparison = recipes.Comparison(
        prompts, ["x", "y"], ["", ""], answers, scores, {"DPO": win_rate(scores["DPO"], scores["SFT"])}, "SFT", 0.0
    )
    folder = recipes.record(
        tmp_path / "run", SimpleNamespace(alpha=1.0), {"DPO": History([{"step": 1, "loss": 0.5}])}, comparison, kl=0.3
    )
    assert json.loads((folder / "parameters.json").read_text()) == {"alpha": 1.0}
    assert History.load(folder / "history_DPO.json").rows == [{"step": 1, "loss": 0.5}]
    rows = json.loads((folder / "responses.json").read_text())
    assert rows[3] == {
        "prompt": "Grüß Gott",
        "category": "y",
        "method": "DPO",
        "response": "b",
        "finished": True,
        "score": 1.5,
    }
    assert json.loads((folder / "summary.json").read_text())["win_rates"]["DPO"]["half"] == 0.5


def test_the_qwen_preset_runs_on_a_local_model_and_file(small_world):
    """The papers' hyper-parameters go the same way: only model and data are small and local here."""
    small_world.pop("batch_size")
    made = recipes.dpo(preset="qwen", **small_world)
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

    for name in ("starting_policy", "reward_judge"):
        monkeypatch.setattr(recipes.policy_gradient, name, work)
    given = {name: small_world[name] for name in ("model", "dataset")}
    with pytest.raises(ValueError, match=words):
        getattr(recipes, method)(**given, **wrong)


@pytest.mark.parametrize("name", ["sft", "dpo", "reward_model"])
def test_what_comes_with_the_package_is_what_the_recipes_make_today(monkeypatch, tmp_path, name):
    """Under today's key, from today's weights and data (the first step's loss and tokens): if not, run `make made`."""
    recipe, module = getattr(recipes, name), {"sft": supervised, "dpo": preference, "reward_model": reward}[name]
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

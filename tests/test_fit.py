"""`course.fit`: trained once for the same loss, pairs and settings; anew for any other; kept in half precision."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from prefnb import cache, course, made, methods, models
from prefnb.course import fitting
from prefnb.batches import tokenize
from prefnb.judges import RewardModel
from prefnb.logprobs import RewardScorer
from prefnb.methods.dpo import dpo
from prefnb.methods.reward_model import bradley_terry, two_classes
from prefnb.methods.sft import sft
from prefnb.methods.simpo import simpo

P = SimpleNamespace(epochs=1, learning_rate=1e-3, schedule="linear", batch_size=4, accumulation=1, seed=0)
DPO = partial(dpo, beta=0.1)


@pytest.fixture
def trainings(monkeypatch):
    """How often the loop has run."""
    runs, train = [], fitting.train
    monkeypatch.setattr(
        fitting, "train", lambda *given, **more: runs.append(1) or train(*given, progress=False, **more)
    )
    return runs


def weights_of(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_the_same_run_is_made_once_and_comes_back_bit_for_bit(model, tokenizer, pairs, trainings):
    """The second time nothing is trained, and the start is left alone."""
    examples, before = tokenize(pairs, tokenizer), weights_of(model)
    first, history = course.fit(model, examples, DPO, P)
    again, seen = course.fit(model, examples, partial(dpo, beta=0.1), P)
    assert len(trainings) == 1 and seen.rows == history.rows and len(history.rows) == 3
    assert torch.equal(weights_of(first), weights_of(again)) and not torch.equal(weights_of(first), before)
    assert torch.equal(weights_of(model), before)
    assert history.rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-5)


def test_another_run_is_another_run(model, tokenizer, pairs, trainings):
    """A loss, a setting, a seed, a pair, a reference: whatever differs is trained anew, as is a run that one watches and
    a loss whose contents nobody can tell."""
    examples = tokenize(pairs, tokenizer)
    course.fit(model, examples, DPO, P)
    course.fit(model, examples, partial(dpo, beta=0.2), P)
    course.fit(model, examples, partial(simpo, beta=2.0, gamma=0.5), P)
    course.fit(model, examples, DPO, P, learning_rate=2e-3)
    course.fit(model, examples, DPO, SimpleNamespace(**{**vars(P), "seed": 1}))
    course.fit(model, tokenize(pairs[:8], tokenizer), DPO, P)
    course.fit(model, examples, DPO, P, reference_model=course.fit(model, examples, DPO, P)[0])
    assert len(trainings) == 7
    watched = SimpleNamespace(update=lambda history: None, finish=lambda history: None)
    told = lambda policy, reference, hidden=torch.ones(1): dpo(policy, reference, beta=0.1)  # noqa: E731
    for _ in range(2):
        course.fit(model, examples, DPO, P, live=watched)
        course.fit(model, examples, told, P)
    assert len(trainings) == 11
    with pytest.raises(TypeError, match="takes no rate"):
        course.fit(model, examples, DPO, P, rate=1)


def test_what_is_kept_at_two_bytes_a_weight_is_the_same_policy(model, tokenizer, pairs, trainings, tmp_path):
    """`make made` halves a policy: it is found again, whole, with its answers, and differs by rounding alone."""
    examples = tokenize(pairs, tokenizer)
    policy, _ = course.fit(model, examples, DPO, P)
    asked = dict(draws=2, temperature=0.7, max_new_tokens=8)
    answers = course.answers_of(policy, tokenizer, examples.prompt_ids, **asked)
    course.samples_of(policy, tokenizer, examples.prompt_ids[:1], temperature=0.7, max_new_tokens=4)
    made.keep(cache.cache_folder())
    kinds = sorted(entry.name.rpartition("-")[0] for entry in cache.cache_folder().iterdir())
    assert kinds == ["fit", "samples", "samples"]  # no reference, no lock
    (file,) = cache.cache_folder().glob("fit-*/model.safetensors")
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}
    kept, _ = course.fit(model, examples, DPO, P)
    assert len(trainings) == 1
    assert models.fingerprint(kept, coarse=True) == models.fingerprint(policy, coarse=True)
    assert torch.equal(weights_of(kept), weights_of(policy).half().float())
    assert [one.ids for one in course.answers_of(kept, tokenizer, examples.prompt_ids, **asked)] == [
        one.ids for one in answers
    ]


def test_supervised_runs_and_reward_models_need_no_reference(model, tokenizer, pairs, trainings):
    """They are made once too; another average, scorer or label is another run."""
    rows = [{"prompt": pair["prompt"], "response": pair["chosen"]} for pair in pairs]
    single, start = tokenize(rows, tokenizer, ("response",)), models.reward_model_from(model, tokenizer, 0)
    two = models.reward_model_from(model, tokenizer, 0, classes=("bad", "good"))
    label = [n % 2 for n in range(len(single))]
    for _ in range(2):
        _, history = course.fit(model, single, sft, P, average="token")
        scored, _ = course.fit(start, tokenize(pairs, tokenizer), bradley_terry, P, scorer=RewardScorer)
        course.fit(two, replace(single, labels={"label": label}), two_classes, P, scorer=RewardScorer)
    assert len(trainings) == 3 and history.rows[0]["logp"] < 0
    assert not list(cache.cache_folder().glob("reference-*"))
    course.fit(two, replace(single, labels={"label": label[::-1]}), two_classes, P, scorer=RewardScorer)
    assert len(trainings) == 4
    assert isinstance(scored, type(start)) and not torch.equal(weights_of(scored), weights_of(start))


def test_a_run_with_a_monitor_is_kept_only_if_what_it_depends_on_is_told(model, tokenizer, pairs, trainings):
    """What a monitor measures cannot be seen from outside; its values come back with the run."""
    examples = tokenize(pairs, tokenizer)
    monitored = dict(also=dict(monitor=lambda policy: {"seen": 1.0}, monitor_every=1))
    for _ in range(2):
        course.fit(model, examples, DPO, P, **monitored)
        course.fit(model, examples, DPO, P, **monitored, told=torch.ones(1))
    assert len(trainings) == 4
    for told in ("one", "one", "another"):
        _, history = course.fit(model, examples, DPO, P, **monitored, told=[told, sft])
    assert len(trainings) == 6 and [row["seen"] for row in history.evals] == [1.0] * 4


def test_scores_are_asked_for_once(model, tokenizer, pairs, monkeypatch):
    """A reward model's scores come back as they were, in any order, for the same answers to the same prompts."""
    judge = RewardModel(models.reward_model_from(model, tokenizer, 0), tokenizer)
    prompts, texts = [pair["prompt"] for pair in pairs], [pair["chosen"] for pair in pairs]
    found = course.scores_of(judge, prompts, texts)
    assert found == pytest.approx(judge(prompts, texts).total, abs=1e-5)
    monkeypatch.setattr(RewardModel, "__call__", None)
    again = course.scores_of(judge, prompts[::-1] + prompts[:2], texts[::-1] + texts[:2])
    assert again.tolist() == [*found[::-1], *found[:2]]


def test_an_interrupted_run_goes_on_where_it_was(model, tokenizer, pairs, monkeypatch):
    """Hours of a large model's run beside the main one are not lost, and the end is the same, bit for bit."""
    examples, steps = tokenize(pairs, tokenizer), []

    def interrupted(policy, reference):
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return dpo(policy, reference, beta=0.1)

    monkeypatch.setattr(fitting, "described", lambda value: "the same loss")
    monkeypatch.setattr("prefnb.training.unfinished.Unfinished.due", lambda self, step: True)
    settings = SimpleNamespace(**{**vars(P), "epochs": 3})
    with pytest.raises(KeyboardInterrupt):
        course.fit(model, examples, interrupted, settings)
    kept = list(cache.cache_folder().glob("*.unfinished"))
    policy, history = course.fit(model, examples, interrupted, settings)
    assert kept and not kept[0].exists() and len(steps) == 6 + 9 - 5
    monkeypatch.setenv("PREFNB_CACHE", str(cache.cache_folder().parent / "another"))
    steps += [1] * 6
    undisturbed, rows = course.fit(model, examples, interrupted, settings)
    assert torch.equal(weights_of(policy), weights_of(undisturbed)) and history.rows == rows.rows

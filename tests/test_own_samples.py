"""RS-DPO and self-improvement: right references, right prompts, and nothing learnt from what is kept for evaluation."""

import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import random_model

from prefnb import batches, data, decoding, methods, models, pairs, parameters, pocket, sampling
from prefnb.batches import prompt_ids
from prefnb.course import fitting
from prefnb.evaluate import win_rate
from prefnb.pocket import tasks
from prefnb.training import unfinished

SMALL = dict(
    max_response_tokens=12, rounds=2, prompts=4, scout_prompts=6, epochs=1, steps=2, reward="proxy"
)


def asked(n, ask="What is {}?"):
    return [[{"role": "user", "content": ask.format(i)}] for i in range(n)]


@pytest.fixture
def curriculum(small_world, tmp_path):  # noqa: F811
    """The small world's parameters with a file of new prompts."""
    rows = [{"prompt": f"How much is {n}?", "category": "odd" if n % 2 else "even"} for n in range(40)]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    small = {name: value for name, value in SMALL.items() if name in methods.self_improvement.RoundSettings.model_fields}
    return {**small_world, **small, "new_prompts": str(tmp_path / "new.jsonl")}


def test_rs_dpo_without_a_share_is_dpo_and_with_one_is_not(small_world):  # noqa: F811
    """Guards against a mixture that changes pairs it should leave alone: a share of 0 is DPO bit for bit."""
    given = {**small_world, "max_response_tokens": 12, "learning_rate": 2e-4}
    plain, none, half = methods.dpo.recipe(**given), methods.rs_dpo.recipe(**given, share=0), methods.rs_dpo.recipe(**given, share=0.5)
    assert none.history.rows == plain.history.rows
    assert models.fingerprint(none.model) == models.fingerprint(plain.model)
    assert half.history.rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert half.history.rows[-1] != plain.history.rows[-1]
    assert methods.rs_dpo.recipe(**given, share=0.5).history.rows == half.history.rows


@pytest.mark.parametrize("judge", ["reward_model", "likelihood"])
def test_self_improvement_runs_by_either_judge_and_comes_back_from_the_cache(curriculum, judge):
    """From parameters to the last round's policy; every round begins at ln 2, so its reference is its own start."""
    made = methods.self_improvement.recipe(**curriculum, judge=judge)
    first = {row["round"]: row["loss"] for row in reversed(made.history.rows)}
    assert first == {1: pytest.approx(math.log(2), abs=1e-5), 2: pytest.approx(math.log(2), abs=1e-5)}
    assert [row["step"] for row in made.history.rows] == list(range(1, len(made.history.rows) + 1))
    assert methods.self_improvement.recipe(**curriculum, judge=judge).history.rows == made.history.rows


def test_a_killed_round_goes_on_and_no_finished_one_is_repeated(curriculum, monkeypatch, tmp_path):
    """A kill repeated all rounds, 390 steps at the defaults."""
    whole = methods.self_improvement.recipe(**curriculum)
    monkeypatch.setenv("PREFNB_CACHE", str(tmp_path / "other"))
    methods.rs_dpo.recipe(**{name: curriculum[name] for name in set(curriculum) & set(methods.rs_dpo.Settings.model_fields)} | {"epochs": 1})
    keep, rounds = unfinished.Unfinished.keep, []

    def killed(self, *given):
        keep(self, *given)
        if self.path.parent.name.startswith("round"):
            rounds.append(self.path.parent.name)
            if len(rounds) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(unfinished.Unfinished, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        methods.self_improvement.recipe(**curriculum)
    again = methods.self_improvement.recipe(**curriculum)
    assert rounds == ["round-1", "round-2"]
    assert again.history.rows == whole.history.rows
    assert models.fingerprint(again.model) == models.fingerprint(whole.model)
    assert not list((tmp_path / "other").glob("unfinished-*"))


def test_other_new_prompts_are_another_entry(curriculum):
    """Guards against a cached policy of an edited file of prompts."""
    before = methods.self_improvement.recipe(**curriculum, judge="likelihood").history.rows
    text = open(curriculum["new_prompts"]).read()
    open(curriculum["new_prompts"], "w").write(text.replace("How much", "How many and how much"))
    assert methods.self_improvement.recipe(**curriculum, judge="likelihood").history.rows != before


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"new_prompts": None}, "must be a file of prompts"),
        ({"new_prompts": "pocket"}, "Only for its own data"),
        ({"new_prompts": "nowhere.jsonl"}, "no such file"),
        ({"temperatures": "0.7"}, "at least two"),
        ({"judge": "me"}, "'reward_model' or 'likelihood'"),
    ],
)
def test_rounds_that_cannot_be_made_are_refused_before_any_work(curriculum, monkeypatch, wrong, words):
    """Guards against an hour of training that ends in "there are no prompts"."""
    monkeypatch.setattr(models, "load_model", lambda *_: pytest.fail("work began"))
    with pytest.raises(ValueError, match=words):
        methods.self_improvement.recipe(**{**curriculum, **wrong})


# --- Rounds -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rounds(model, tokenizer):
    """`improve` on a random model, a few prompts and a given score."""
    p = parameters.check({"max_response_tokens": 10, "epochs": 1, "batch_size": 4}, methods.self_improvement.RoundSettings)
    return lambda score, prompts, **more: methods.self_improvement.improve(model, tokenizer, prompts, score, p, **more)


@pytest.fixture
def trainings(monkeypatch):
    """The figure of every run that `fit` trains."""
    runs, train = [], fitting.train
    monkeypatch.setattr(fitting, "train", lambda *given, **more: runs.append(more["live"]) or train(*given, **more))
    return runs


def by_length(policy, tokenizer, prompts, groups):
    """Shorter is better; a fraction of the ids' sum keeps samples of one length apart."""
    return np.array([[-len(one.ids) - 1e-6 * sum(one.ids) for one in group] for group in groups])


def test_a_round_pairs_each_prompt_s_top_with_one_of_its_bottom_three(rounds):
    """The rule of 002 §3.3, on what really was drawn, in every round."""
    done = rounds(by_length, [asked(5), asked(5, "And {}?")])
    assert len(done) == 2
    for one in done:
        assert [len(group) for group in one.groups] == [8] * 5 and one.scores.shape == (5, 8)
        for place, number in enumerate(one.pairs.kept):
            ranked = sorted(zip(one.scores[number], (sample.ids for sample in one.groups[number])), key=lambda s: s[0])
            assert one.pairs.responses["chosen"][place] == ranked[-1][1]
            assert one.pairs.responses["rejected"][place] in [ids for _, ids in ranked[:3]]
        assert one.history.rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_a_round_samples_from_the_policy_that_the_last_one_made(rounds):
    """Guards against three rounds that all ask the first policy."""
    seen = []
    score = lambda policy, *rest: seen.append(models.fingerprint(policy)) or by_length(policy, *rest)  # noqa: E731
    done = rounds(score, [asked(4), asked(4)])
    assert seen[1] == models.fingerprint(done[0].model) != seen[0]


def test_the_last_round_is_watched_and_the_others_are_made_once(rounds, trainings):
    """Guards against rounds trained anew at every look, and against one that nobody sees though its figure is given."""
    figure = SimpleNamespace(update=lambda history: None, finish=lambda history: None)
    first, again = (rounds(by_length, [asked(5), asked(5, "And {}?")], live=figure) for _ in range(2))
    assert trainings == [None, figure, figure]
    assert [one.history.rows for one in first] == [one.history.rows for one in again]
    assert [models.fingerprint(one.model) for one in first] == [models.fingerprint(one.model) for one in again]
    rounds(lambda *given: -by_length(*given), [asked(5)])  # another score, other pairs
    assert trainings == [None, figure, figure, None]


def test_a_policy_kept_in_half_precision_gives_the_samples_the_same_likelihood(model, tokenizer):
    """Guards against other pairs, so another round, in a fresh clone; another policy or other samples are scored anew."""
    groups = [[sampling.Sample(ids, "", True) for ids in ([5, 9, 4], [7])] for _ in range(3)]
    before = methods.self_improvement.by_likelihood(model, tokenizer, asked(3), groups)
    half = models.copy_model(model)
    half.load_state_dict({name: value.half().float() for name, value in half.state_dict().items()})
    assert np.array_equal(methods.self_improvement.by_likelihood(half, tokenizer, asked(3), groups), before)
    assert not np.array_equal(methods.self_improvement.by_likelihood(random_model(tokenizer, seed=9), tokenizer, asked(3), groups), before)
    assert methods.self_improvement.by_likelihood(half, tokenizer, asked(3), [group[::-1] for group in groups]) == pytest.approx(
        before[:, ::-1], abs=1e-2
    )


def test_a_sample_per_temperature_the_coolest_first(tokenizer):
    """Guards against samples that get lost or mixed between prompts; cool ones are likelier than hot ones."""
    model, ids = random_model(tokenizer, seed=2), [prompt_ids(tokenizer, prompt) for prompt in asked(12)]
    p = SimpleNamespace(seed=0, temperatures=[2.0, 0.05, 2.0, 0.05, 0.05], max_response_tokens=10)
    groups = methods.self_improvement.draw_groups(model, tokenizer, ids, p, 1)
    scores = methods.self_improvement.by_likelihood(model, tokenizer, asked(12), groups)
    assert scores.shape == (12, 5) and scores[:, :3].min() > scores[:, 3:].max()
    assert groups == methods.self_improvement.draw_groups(model, tokenizer, ids, p, 1)


def test_rounds_end_when_the_samples_give_no_pair(rounds, capsys):
    """All level: the first time an error, later an end that is said, with the rounds so far."""
    with pytest.raises(pairs.NoPairs, match="No prompt gives a pair"):
        rounds(lambda *given: np.zeros((4, 8)), [asked(4)])
    answers = iter([by_length, lambda *given: np.zeros((4, 8))])
    done = rounds(lambda *given: next(answers)(*given), [asked(4)] * 3)
    assert len(done) == 1 and "No round 2: No prompt gives a pair" in capsys.readouterr().out


def test_the_likelihood_of_a_sample_is_its_mean_log_prob_per_token(model, tokenizer):
    """Against log-softmax of the whole model's logits: sum or mean, prompt or response, one place off."""
    prompts = asked(3)
    groups = [[sampling.Sample(ids, "", True) for ids in ([5, 9, 4], [7])] for _ in prompts]
    found = methods.self_improvement.by_likelihood(model, tokenizer, prompts, groups)
    for row, prompt in enumerate(prompts):
        for column, ids in enumerate(([5, 9, 4], [7])):
            before = prompt_ids(tokenizer, prompt)
            logits = model(torch.tensor([before + ids])).logits[0].log_softmax(-1)
            each = [logits[len(before) + t - 1, token].item() for t, token in enumerate(ids)]
            assert found[row, column] == pytest.approx(sum(each) / len(each), abs=1e-5)


# --- Which prompts ----------------------------------------------------------------------------------------------


def test_the_weakest_categories_have_the_lowest_win_rates():
    """Guards against the strongest two; one category only is all there is."""
    rate = lambda *scores: win_rate(np.array(scores), np.zeros(len(scores)))  # noqa: E731
    rates = {"a": rate(1, 1), "b": rate(-1, 1), "c": rate(-1, -1), "d": rate(1, -1)}
    assert methods.self_improvement.weakest(rates) == ["c", "b"]
    assert methods.self_improvement.weakest({"a": rates["a"]}) == ["a"]


@pytest.mark.parametrize("prompts", [8, 7])
def test_the_world_writes_new_prompts_in_the_categories_asked_for(prompts):
    """The right number a round, both categories alike, none twice, the same again."""
    p = parameters.check({"prompts": prompts, "rounds": 3}, methods.self_improvement.RoundSettings)
    made = methods.self_improvement.new_prompts(p, ["math", "creative"])
    assert [len(one) for one in made] == [prompts] * 3
    texts = [prompt[0]["content"] for one in made for prompt in one]
    assert len(set(texts)) == len(texts)
    for one in made:
        kinds = [tasks.parse(prompt[0]["content"])[0] for prompt in one]
        assert set(kinds) == {"math", "creative"} and abs(kinds.count("math") - kinds.count("creative")) <= 1
    assert made == methods.self_improvement.new_prompts(p, ["math", "creative"])


def test_new_prompts_of_a_file_are_those_of_the_categories_if_it_has_them(curriculum, capsys):
    """Guards against prompts of any category, and against an empty list where the file's names are others."""
    p = parameters.check({**curriculum, "rounds": 2, "prompts": 5}, methods.self_improvement.RoundSettings)
    for one in methods.self_improvement.new_prompts(p, ["even", "prime"]):
        assert len(one) == 5 and all(int(prompt[0]["content"].split()[-1][:-1]) % 2 == 0 for prompt in one)
    assert sum(map(len, methods.self_improvement.new_prompts(p, ["prime"]))) == 10
    assert "of any category" in capsys.readouterr().out
    p.rounds = 100
    with pytest.raises(ValueError, match="100 rounds need more"):
        methods.self_improvement.new_prompts(p, ["even"])


# --- Evaluation prompts stay out --------------------------------------------------------------------------------


def texts_of(rows):
    return {turn["content"] for prompt in rows["prompt"] for turn in prompt if turn["role"] == "user"}


def test_no_pocket_prompt_of_a_test_split_is_ever_trained_on_or_sampled_for_training():
    """By text, and by combination: the same question in other words is held out too."""
    world = data.Source("pocket")
    loaders = (world.pairs, world.dialogs, world.prompts)
    held_out = set().union(*(texts_of(load("test")) for load in loaders))
    used = set().union(*(texts_of(load("train")) for load in loaders))
    p = parameters.check({"prompts": 100, "rounds": 2}, methods.self_improvement.RoundSettings)
    for category in pocket.CATEGORIES:
        used |= {prompt[0]["content"] for one in methods.self_improvement.new_prompts(p, [category]) for prompt in one}
    assert len(held_out) > 1000 and len(used) > 10_000
    assert not held_out & used
    found = [tasks.parse(text) for text in used]
    assert None not in found and not any(tasks.is_test(*one) for one in found)


def test_new_prompts_from_a_file_leave_out_what_the_data_set_holds_out(curriculum, tmp_path):
    """Guards against a reader's file that holds the evaluation prompts, of a local data set or of the pocket world."""
    held_out = texts_of(data.Source(curriculum["dataset"]).prompts("test"))
    rows = [{"prompt": f"what  is {n}?"} for n in range(40)]  # other spacing and case, same prompts
    (tmp_path / "new.csv").write_text("prompt\n" + "\n".join(row["prompt"] for row in rows))
    p = parameters.check({**curriculum, "new_prompts": str(tmp_path / "new.csv"), "prompts": 40}, methods.self_improvement.RoundSettings)
    made = {" ".join(prompt[0]["content"].split()).casefold() for one in methods.self_improvement.new_prompts(p, []) for prompt in one}
    assert held_out and made and not made & {text.casefold() for text in held_out}
    rng, combination = random.Random(1), tasks.draw("math", random.Random(0), test=True)
    reworded = [tasks.render("math", combination, rng) for _ in range(5)]
    assert all(data.Source("pocket").holds_out([{"role": "user", "content": text}]) for text in reworded)


@pytest.mark.parametrize("method", list(methods.listed()))
def test_no_recipe_sees_a_prompt_that_its_data_hold_out(curriculum, tokenizer, monkeypatch, method):
    """Every prompt that is sampled from, scored or trained on, in any recipe, is written down and looked through."""
    seen = set()
    batch, padded = batches.Examples.batch, decoding.left_padded

    def watched_batch(examples, index):
        seen.update(tuple(examples.prompt_ids[i]) for i in index)
        return batch(examples, index)

    def watched_padding(rows, pad):
        seen.update(map(tuple, rows))
        return padded(rows, pad)

    monkeypatch.setattr(batches.Examples, "batch", watched_batch)
    for way in (decoding, sampling):
        monkeypatch.setattr(way, "left_padded", watched_padding)
    specs = getattr(methods, method).Settings.model_fields
    getattr(methods, method).recipe(**{name: value for name, value in {**SMALL, **curriculum}.items() if name in specs})
    held_out = data.Source(curriculum["dataset"]).prompts("test")["prompt"]
    assert len(seen) > 4 and not seen & {tuple(prompt_ids(tokenizer, prompt)) for prompt in held_out}

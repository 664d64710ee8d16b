"""Samples as a source of batches: drawn by the policy as it is, judged, and never decoded and encoded again."""

import contextlib
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prefnb.batches import from_samples, prompt_ids
from prefnb.judges import Scores
from prefnb.logprobs import Scorer
from prefnb.models import copy_model, fingerprint
from prefnb.methods.grpo import group_relative, grpo
from prefnb.methods.rloo import leave_one_out, reinforce
from prefnb.rollouts import Rollouts
from prefnb.training import train

pytestmark = pytest.mark.filterwarnings("ignore:None of the")  # random models hardly ever stop

PROMPTS = [[{"role": "user", "content": f"Tell me about the {name}."}] for name in ("heron", "old grey fox", "tin", "sea")]


def short_is_good(prompts, texts):
    """A judge: a point for every letter under forty, and the share of e as a second part."""
    short = np.array([40.0 - len(text) for text in texts])
    return Scores(short, {"short": short, "e": np.array([text.count("e") for text in texts], dtype=float)})


@pytest.fixture
def rollouts(model, tokenizer):
    def make(policy=model, **settings):
        settings = {"prompts_per_step": 2, "samples": 4, "max_new_tokens": 8, **settings}
        return Rollouts(
            policy,
            tokenizer,
            settings.pop("prompts", PROMPTS),
            settings.pop("judge", short_is_good),
            settings.pop("advantages", leave_one_out),
            **settings,
        )

    return make


def examples(batch):
    """(prompt ids, response ids) of every sample, in the order of the advantages."""
    return [
        (tuple(ids[segment == 0].tolist()), tuple(ids[segment == place].tolist()))
        for place in range(1, len(batch.names) + 1)
        for ids, segment in zip(batch.input_ids, batch.segment)
    ]


def test_batches_hold_the_very_ids_that_were_drawn(rollouts, tokenizer):
    """Guards against text decoded and encoded again, and against advantages that end up beside another sample."""
    source = rollouts(accumulation=3)
    drawn = source.draw([2, 0], seed=5)
    batches = source.batches(drawn, 3)
    assert sum(len(batch) for batch in batches) == 8
    where = {}
    for number, one in enumerate(drawn.samples):
        prompt = prompt_ids(tokenizer, drawn.prompts[number // 4])
        where.setdefault((tuple(prompt), tuple(one.ids)), []).append(number)
    for batch in batches:
        for row, example in enumerate(examples(batch)):
            numbers = where[example]
            assert batch.extras["advantage"][row] in drawn.advantages.flatten()[numbers]
            assert batch.metrics["reward"][row] in drawn.rewards.flatten()[numbers]


@pytest.mark.parametrize("samples, in_a_row", [(8, 4), (6, 3), (5, 1)])
def test_samples_in_one_row_are_as_if_each_stood_alone(rollouts, model, samples, in_a_row):
    """Guards the sharing of a prompt: nothing seen of another sample, own place, own temperature, own advantage."""
    temperatures = [0.5, 2.0] if samples % 2 == 0 else [0.5]
    source = rollouts(samples=samples, temperatures=temperatures)
    drawn = source.draw([0, 1], seed=3)
    (batch,) = source.batches(drawn)
    assert len(batch.names) == in_a_row and len(batch) == 2 * samples
    together = Scorer(model)(batch).sample
    for number, (prompt, ids) in enumerate(examples(batch)):
        alone = from_samples([list(prompt)], [list(ids)], temperature=batch.temperature[number].item())
        expected = Scorer(model)(alone).sample.token[0]
        assert torch.allclose(together.token[number, : len(ids)], expected, atol=1e-5)
        assert together.length[number] == len(ids)


def test_the_same_seed_draws_the_same_samples(rollouts):
    """Same command, same numbers; another seed, others."""
    first = lambda **settings: examples(next(rollouts(**settings).epoch(0))[0])  # noqa: E731
    assert first() == first() and first() != first(seed=1)


def test_every_prompt_is_asked_once_an_epoch(rollouts):
    """Guards the order: no prompt twice, none left out, another order in the next epoch."""
    source, asked = rollouts(prompts_per_step=1, prompts=PROMPTS), []
    source.draw = lambda index, seed: asked.append(index) or Rollouts.draw(source, index, seed)
    list(source.epoch(0))
    list(source.epoch(1))
    first, second = asked[:4], asked[4:]
    assert sorted(first) == sorted(second) == [[0], [1], [2], [3]] and first != second


def test_samples_come_from_the_policy_as_it_is(rollouts, model):
    """Drawn lazily: the second step's samples are those of the weights after the first step."""
    policy = copy_model(model)
    source, seen = rollouts(policy), []
    draw = source.draw
    source.draw = lambda index, seed: seen.append(policy.model.norm.weight.detach().clone()) or draw(index, seed)
    train(policy, source, reinforce, epochs=1, learning_rate=1e-2, warmup=0, progress=False)
    assert len(seen) == 2 and not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize(
    "objective, advantages, settings",
    [(reinforce, leave_one_out, {}), (grpo, group_relative, {"updates": 2}), (grpo, group_relative, {"accumulation": 3})],
)
def test_training_on_rewards_raises_them(rollouts, model, objective, advantages, settings):
    """The whole way round: what a reward asks for, here short answers, the policy learns."""
    policy = copy_model(model)
    history = train(
        policy,
        rollouts(policy, advantages=advantages, samples=16, **settings),
        objective,
        epochs=12,
        learning_rate=1e-2,
        schedule="constant",
        progress=False,
    )
    assert history.last("reward", 4) > history["reward"][1][:4].mean() + 2
    assert {"reward_e", "spread_short", "dead_groups", "unfinished", "entropy", "length"} <= set(history.names)


def test_metrics_are_those_of_the_samples(rollouts):
    """The history's means by hand: rewards (1, 3) and (5, 5) have spreads 1 and 0, and one group of two is dead."""
    judge = lambda prompts, texts: Scores(np.array([1.0, 3.0, 5.0, 5.0]))  # noqa: E731
    drawn = rollouts(judge=judge, samples=2).draw([0, 1], seed=0)
    found = {name: values.mean().item() for name, values in drawn.metrics().items()}
    assert (found["reward"], found["spread"], found["dead_groups"]) == (3.5, 0.5, 0.5)


def test_log_probs_are_at_each_sample_s_own_temperature(rollouts, model):
    """With a temperature forgotten, policy and old log-probs disagree before any step: here they must not."""
    source = rollouts(temperatures=[0.5, 2.0], updates=2)
    drawn = source.draw([0], seed=0)
    assert drawn.temperatures == [0.5, 0.5, 2.0, 2.0]
    (batch,) = source.batches(drawn)
    token = Scorer(model)(batch).sample.token
    assert torch.allclose(token, batch.extras["old"], atol=1e-6)
    untempered = Scorer(model)(SimpleNamespace(**{**vars(batch), "temperature": None, "attention_mask": batch.attention_mask}))
    assert not torch.allclose(token, untempered.sample.token, atol=1e-2)


def test_the_first_of_several_updates_is_the_only_update(rollouts, model):
    """updates=2 starts from ratio 1: its first step's loss and gradient are those of updates=1; its second's are not."""
    histories = []
    for updates in (1, 2):
        policy = copy_model(model)
        source = rollouts(policy, advantages=group_relative, updates=updates)
        settings = dict(learning_rate=1e-3, warmup=0, progress=False)
        histories.append(train(policy, source, grpo, epochs=1 / updates, **settings).rows)
    one, two = histories
    assert one[0]["grad_norm"] == pytest.approx(two[0]["grad_norm"], rel=1e-4)
    assert two[1]["reward"] == two[0]["reward"] and two[1]["loss"] < two[0]["loss"]


def test_the_reference_is_asked_only_where_there_is_one(rollouts, model):
    """Nothing is computed for a KL that nobody weighs; with a reference the KL at step 0 is 0."""
    source = rollouts()
    assert source.batches(source.draw([0], seed=0))[0].reference is None
    policy = copy_model(model)
    history = train(
        policy,
        rollouts(policy, reference_model=model),
        partial(reinforce, kl_weight=0.1),
        epochs=1,
        learning_rate=1e-2,
        warmup=0,
        progress=False,
    )
    kl = history["kl_k3"][1]
    assert kl[0] == pytest.approx(0, abs=1e-5) and kl[1] > 1e-4


def test_cutting_a_step_into_pieces_changes_nothing(rollouts, model):
    """Accumulation saves memory and padding; the steps stay the same."""
    found = []
    for accumulation in (1, 3):
        policy = copy_model(model)
        source = rollouts(policy, accumulation=accumulation)
        found.append(train(policy, source, reinforce, epochs=1, learning_rate=1e-3, progress=False).rows)
    for a, b in zip(*found):
        # the loss is a small difference of log-probs of 10 nats and more, each summed in another order
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-4) and a["reward"] == pytest.approx(b["reward"])


def test_more_pieces_than_rows_are_as_many_as_rows(rollouts):
    """Guards against pieces without a row, and against samples that no piece holds."""
    source = rollouts(samples=2)
    batches = source.batches(source.draw([0, 1, 3], seed=0), 7)
    assert [len(batch) for batch in batches] == [2, 2, 2]


def test_with_a_kl_no_sample_s_own_length_chooses_its_company(rollouts, model):
    """The KL's baseline is the mean of a piece's other samples: it must not depend on the sample, or it biases."""
    source = rollouts(samples=3, reference_model=model)
    drawn = source.draw([0, 1, 2], seed=0)
    company = []
    for lengths in (range(1, 10), range(9, 0, -1)):  # the very samples, cut in two ways
        samples = [one._replace(ids=[5 + number] * n) for number, (one, n) in enumerate(zip(drawn.samples, lengths))]
        batches = source.batches(replace(drawn, samples=samples), 4)
        company.append([sorted(ids[0] for _, ids in examples(batch)) for batch in batches])
    assert company[0] == company[1]


def test_processes_draw_together_what_one_draws_alone(rollouts, model, monkeypatch):
    """Shared prompts must not change the samples, and a prompt that stands twice in a step must not get its answers
    twice because another process asks it."""
    model.double()  # other company, other rounding
    monkeypatch.setattr("prefnb.rollouts.gather_object", lambda found: found)
    source, index = rollouts(temperatures=[0.5, 1.0], prompts=[*PROMPTS, PROMPTS[0]], samples=2), [0, 1, 4, 2]
    alone = source._answers(index, seed=5)
    assert alone[0:2] != alone[4:6]
    together = []
    for number in range(2):
        state = SimpleNamespace(process_index=number, num_processes=2)
        monkeypatch.setattr("prefnb.rollouts.processes", lambda: state)
        together.append(source._answers(index, seed=5))
    assert [len(part) for part in together] == [6, 2]  # prompts 0, 4 (the same) and 2; prompt 1
    assert sorted(one.ids for part in together for one in part) == sorted(one.ids for one in alone)



def test_an_interrupted_run_goes_on_with_the_same_numbers(rollouts, model, tmp_path):
    """A run cut off after its third step ends as one that was not."""
    settings = dict(learning_rate=1e-2, schedule="constant", progress=False, checkpoint_every=3)
    whole = train(p := copy_model(model), rollouts(p), reinforce, epochs=3, checkpoint=tmp_path / "a", **settings)

    class Cut(Exception):
        pass

    def stop(history):
        if len(history.rows) == 4:
            raise Cut

    live = SimpleNamespace(update=stop, finish=lambda history: None)
    with pytest.raises(Cut):
        train(p := copy_model(model), rollouts(p), reinforce, epochs=3, checkpoint=tmp_path / "b", live=live, **settings)
    again = train(p := copy_model(model), rollouts(p), reinforce, epochs=3, checkpoint=tmp_path / "b", **settings)
    assert [row["reward"] for row in again.rows] == pytest.approx([row["reward"] for row in whole.rows])


def test_grpo_with_several_updates_goes_on_to_the_same_end(rollouts, model, tmp_path):
    """`grpo --updates 3` killed in the midst of its updates ended with other weights: it drew new samples for the rest."""
    ends = []
    for folder, cut in (("a", None), ("b", 5)):
        settings = dict(learning_rate=1e-2, progress=False, checkpoint=tmp_path / folder, checkpoint_every=2)
        objective = partial(grpo, clip=0.2, kl_weight=0.1)
        for attempt in range(2 if cut else 1):
            policy = copy_model(model)
            source = rollouts(policy, updates=3, reference_model=model, advantages=group_relative)
            live = SimpleNamespace(update=cut_off_at(None if attempt else cut), finish=lambda history: None)
            with contextlib.suppress(KeyboardInterrupt):
                history = train(policy, source, objective, epochs=1.5, live=live, **settings)
        ends.append((fingerprint(policy), history.rows))
    assert ends[0] == ends[1]


def cut_off_at(step):
    def update(history):
        if len(history.rows) == step:
            raise KeyboardInterrupt

    return update


def test_samples_that_never_end_are_said(rollouts):
    """All unfinished: a warning with what to do, and a step all the same."""
    source = rollouts(max_new_tokens=1)
    with pytest.warns(UserWarning, match="raise max_new_tokens"):
        drawn = source.draw([0, 1], seed=0)
    assert drawn.advantages.isfinite().all()


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"prompts": []}, "no prompt"),
        ({"temperatures": [0.5, 1.0, 1.5]}, "shared evenly"),
        ({"temperatures": [0.0, 1.0]}, "greater than 0"),
    ],
)
def test_what_cannot_be_sampled_is_refused_at_once(rollouts, settings, words):
    """One clear sentence before any sampling."""
    with pytest.raises(ValueError, match=words):
        rollouts(**settings)


def test_a_judge_without_an_answer_is_refused(rollouts):
    """NaN among the rewards would become NaN weights."""
    judge = lambda prompts, texts: Scores(np.full(len(texts), np.nan))  # noqa: E731
    with pytest.raises(ValueError, match="not finite"):
        rollouts(judge=judge).draw([0], seed=0)

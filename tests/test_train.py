"""The training loop: same numbers from the same command, whatever the split, and after an interruption."""

import errno
import json
import math
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import save

from prefnb.batches import Batches, from_samples, tokenize
from prefnb.logprobs import DatasetLogprobs
from prefnb.models import copy_model
from prefnb.methods.dpo import dpo
from prefnb.methods.dppo import dppo
from prefnb.methods.sft import sft
from prefnb.course.policies import with_checkpointing
from prefnb.rollouts import Rollouts
from prefnb.training import History, OnPolicyTerm, schedule_factor, step, train, unfinished
from prefnb.training.interrupts import Interrupted

DPO = partial(dpo, beta=0.5)


@pytest.fixture
def setting(model, tokenizer, pairs):
    examples = tokenize(pairs, tokenizer)
    reference = DatasetLogprobs.compute(model, examples)

    def run(objective=DPO, accumulation=1, **settings):
        policy = copy_model(model)
        batches = Batches(
            settings.pop("examples", examples),
            4,
            accumulation=accumulation,
            reference=settings.pop("reference", reference),
        )
        return policy, train(
            policy,
            batches,
            objective,
            progress=False,
            **{"epochs": 2, "learning_rate": 1e-3, "warmup": 0.0, **settings},
        )

    run.model, run.examples, run.reference = model, examples, reference
    return run


def test_dpo_starts_at_ln_2_with_no_margin(setting):
    """Policy equals reference at step 0: loss ln 2, margin 0. Guards dropout, dtype and a reference of other data."""
    _, history = setting()
    assert history.rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-5)
    assert history.rows[0]["margin"] == pytest.approx(0.0, abs=1e-4)


def test_training_separates_the_pairs(setting):
    """The loop does learn: the loss falls and the margin rises."""
    _, history = setting(epochs=10, learning_rate=5e-3)
    assert history.last("loss", 3) < 0.3
    assert history.last("margin", 3) > 1


def test_same_command_same_numbers(setting):
    """Everything is seeded: two runs agree bit for bit."""
    assert setting()[1].rows == setting()[1].rows


def test_alpha_zero_is_dpo_bit_for_bit(setting):
    """DPPO without its penalty has DPO's training history exactly."""
    names = ("step", "loss", "grad_norm", "margin", "logp_chosen", "logp_rejected")
    dpo_rows, dppo_rows = (setting(objective)[1].rows for objective in (DPO, partial(dppo, alpha=0.0, beta=0.5)))
    assert [[row[n] for n in names] for row in dpo_rows] == [[row[n] for n in names] for row in dppo_rows]


@pytest.mark.parametrize(
    "average, objective, roles", [("example", DPO, ("chosen", "rejected")), ("token", sft, ("response",))]
)
def test_accumulation_changes_nothing(setting, tokenizer, pairs, average, objective, roles):
    """1x8 equals 8x1: the mean is over the whole effective batch, not a mean of means."""
    rows = [{**row, "response": row["chosen"]} for row in pairs]
    examples = tokenize(rows, tokenizer, roles)
    reference = DatasetLogprobs.compute(setting.model, examples)
    whole, cut = (
        setting(objective, accumulation=n, average=average, examples=examples, reference=reference) for n in (1, 4)
    )
    for a, b in zip(whole[1].rows, cut[1].rows, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
    for a, b in zip(whole[0].parameters(), cut[0].parameters()):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_an_interrupted_run_goes_on_to_the_same_end(setting, tmp_path, capsys):
    """Stop after four of six steps, start again: weights and history as if nothing had happened."""
    whole_policy, whole = setting()

    class Interrupt:
        def update(self, history):
            if len(history.rows) == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setting(checkpoint=tmp_path / "run", checkpoint_every=2, live=Interrupt())
    policy, history = setting(checkpoint=tmp_path / "run", checkpoint_every=2)
    assert "Going on after step 4" in capsys.readouterr().out
    assert history.rows == whole.rows
    for a, b in zip(policy.parameters(), whole_policy.parameters()):
        assert torch.equal(a, b)


def test_a_live_run_that_is_stopped_ends_with_what_there_is(setting, capsys):
    """Interrupting a training cell was 1,700 pixels of traceback, and the policy and its curves were lost."""
    finished = []

    class Stop:
        finish = finished.append

        def update(self, history):
            if len(history.rows) == 3:
                raise KeyboardInterrupt

    policy, history = setting(live=Stop())
    assert len(history.rows) == 3 and history.stopped == "stopped by hand after 3 of 6 steps"
    assert finished == [history] and not policy.training
    assert "stopped by hand after 3 of 6 steps" in capsys.readouterr().out
    assert history.rows == setting()[1].rows[:3]


def test_a_run_that_nobody_watches_is_not_taken_for_a_whole_one_when_it_is_stopped(setting, monkeypatch):
    """A shortened run in the cache, or compared with whole ones; and a notebook shows one sentence, no traceback."""
    take, taken = step.Stepper.take, []

    def interrupted(self, number, *rest):
        taken.append(number)
        if number == 4:
            raise KeyboardInterrupt
        return take(self, number, *rest)

    monkeypatch.setattr(step.Stepper, "take", interrupted)
    with pytest.raises(Interrupted, match="interrupted after 4 of 6 steps") as stopped:
        setting()
    assert stopped.value._render_traceback_() == [str(stopped.value)]


def test_a_damaged_checkpoint_is_set_aside_and_training_starts_afresh(setting, tmp_path, capsys):
    """A half-written state must neither stop the run nor be used."""
    (tmp_path / "unfinished.safetensors").write_bytes(b"not a checkpoint")
    assert setting(checkpoint=tmp_path)[1].rows == setting()[1].rows
    assert "damaged" in capsys.readouterr().out
    assert (tmp_path / "unfinished.safetensors.damaged-1").read_bytes() == b"not a checkpoint"


def test_two_who_find_the_same_damaged_checkpoint_both_train(setting, tmp_path, monkeypatch, capsys):
    """Two losers of one race set the same damaged checkpoint aside: the second died of it."""
    (tmp_path / "unfinished.safetensors").write_bytes(b"not a checkpoint")
    aside = unfinished.set_aside
    monkeypatch.setattr(unfinished, "set_aside", lambda path: aside(path) and aside(path))  # the other one was sooner
    assert setting(checkpoint=tmp_path)[1].rows == setting()[1].rows
    assert "it has been set aside, and training starts afresh" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("*damaged*")] == ["unfinished.safetensors.damaged-1"]


def interrupted(setting, folder, at=5, **settings):
    """The run is cut off in its step `at`, after what it kept."""

    class Interrupt:
        def update(self, history):
            if len(history.rows) == at:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setting(checkpoint=folder, live=Interrupt(), **settings)
    return folder / "unfinished.safetensors"


def test_a_run_of_few_steps_that_takes_long_is_kept_by_time(setting, tmp_path, capsys):
    """Everything was lost in runs under 100 steps: 90 steps at Qwen's size are hours."""
    policy, whole = setting()
    interrupted(setting, tmp_path, checkpoint_seconds=0)
    again, history = setting(checkpoint=tmp_path)
    assert "Going on after step" in capsys.readouterr().out and history.rows == whole.rows
    for a, b in zip(again.parameters(), policy.parameters()):
        assert torch.equal(a, b)


def test_time_says_when_a_run_is_kept_and_writing_takes_little_of_it(monkeypatch):
    """After 30 seconds, or later if a write takes so long that it would be more than a twentieth of the time."""
    clock = [0.0]
    monkeypatch.setattr("prefnb.training.unfinished.time.monotonic", lambda: clock[0])
    run = unfinished.Unfinished("nowhere", SimpleNamespace(num_processes=1), every=100, seconds=30.0)
    assert not run.due(1)
    clock[0] = 31.0
    assert run.due(1)
    run.took = 10.0
    assert not run.due(1) and run.due(100)
    clock[0] = 201.0
    assert run.due(1)


def test_the_end_is_kept_too(setting, tmp_path):
    """Killed after the last step and before the policy is in the cache: nothing is trained again."""
    policy, whole = setting(checkpoint=tmp_path)
    again, history = setting(lambda policy, reference: pytest.fail("a step is taken"), checkpoint=tmp_path)
    assert history.rows == whole.rows
    for a, b in zip(again.parameters(), policy.parameters()):
        assert torch.equal(a, b)


@pytest.mark.parametrize("damage", ["flip a weight", "flip the history", "cut", "empty", "other model"])
def test_a_changed_checkpoint_is_never_gone_on_from(setting, tmp_path, capsys, damage):
    """7 of 10 damaged checkpoints went on silently."""
    path = interrupted(setting, tmp_path, checkpoint_every=2)
    written = bytearray(path.read_bytes())
    if damage == "flip a weight":
        written[-5] ^= 1
    if damage == "flip the history":
        at = written.index(b"loss")
        written[at : at + 4] = b"boss"
    if damage == "cut":
        del written[len(written) // 2 :]
    if damage == "empty":
        written.clear()
    if damage == "other model":
        written = bytearray(save({"weight.x": torch.zeros(2)}, metadata={"history": "{}"}))
    path.write_bytes(written)
    capsys.readouterr()
    _, history = setting(checkpoint=tmp_path)
    assert "is damaged" in capsys.readouterr().out and history.rows == setting()[1].rows
    assert path.with_name(path.name + ".damaged-1").read_bytes() == written


def test_what_was_set_aside_stays_when_the_run_is_done(setting, tmp_path):
    """A damaged checkpoint was "set aside", then deleted at the end."""
    (tmp_path / "run" / "round-1").mkdir(parents=True)
    (tmp_path / "run" / "unfinished.safetensors").write_bytes(b"not a checkpoint")
    setting(checkpoint=tmp_path / "run")
    setting(checkpoint=tmp_path / "run" / "round-1")
    unfinished.forget(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["unfinished.safetensors.damaged-1"]


def test_a_kill_in_the_midst_of_writing_leaves_nothing_for_ever(setting, tmp_path, monkeypatch):
    """After 1 of 50 kills the folder stayed, with a file .tmpCZDuM7 in it: safetensors calls what it writes so until it
    is whole, and nobody else knew. What a user calls so is not removed either."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".tmp-of-mine").write_text("notes")

    def killed(tensors, path, metadata):
        Path(path).with_name(".tmpCZDuM7").write_bytes(b"half of it")
        os._exit(9)

    if not (child := os.fork()):
        try:
            monkeypatch.setattr("safetensors.torch.save_file", killed)
            unfinished._write(tmp_path / "run" / unfinished.FILE, {}, "")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9 and list(tmp_path.rglob(".tmpCZDuM7"))
    setting(checkpoint=tmp_path / "run")
    unfinished.forget(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".tmp-of-mine"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left")])
def test_a_full_disk_does_not_end_the_training(setting, tmp_path, monkeypatch, capsys, error):
    """A checkpoint that cannot be written is said once; the run goes on."""

    def full(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise error

    monkeypatch.setattr(unfinished, "save_file", full)
    assert setting(checkpoint=tmp_path, checkpoint_every=2)[1].rows == setting()[1].rows
    assert capsys.readouterr().out.count("cannot be kept") == 1
    assert list(tmp_path.iterdir()) == []


def test_early_stopping_puts_the_best_weights_back(setting):
    """Training stops when the watched value no longer rises, and the best policy is what remains."""
    values = iter([0.1, 0.5, 0.4, 0.3, 0.2])
    seen = []

    def monitor(policy):
        seen.append([p.detach().clone() for p in policy.parameters()])
        return {"win_rate": next(values)}

    policy, history = setting(epochs=5, monitor=monitor, monitor_every=1, stop_on="win_rate", patience=2)
    assert [row["step"] for row in history.evals] == [0, 1, 2, 3]
    assert "weights of step 1 are back" in history.stopped
    for now, best in zip(policy.parameters(), seen[1]):
        assert torch.equal(now, best)


def test_history_finds_metrics_and_evals_and_survives_the_disk(setting, tmp_path):
    """history[name] gives steps and values; a wrong name says what there is."""
    _, history = setting(monitor=lambda policy: {"gold": 1.5}, monitor_every=2)
    assert history["gold"][0].tolist() == [0, 2, 4, 6]
    assert history["margin"][0].tolist() == [1, 2, 3, 4, 5, 6]
    history.save(tmp_path / "history.json")
    assert History.load(tmp_path / "history.json").rows == history.rows
    with pytest.raises(KeyError, match="no 'marign'; it has step"):
        history["marign"]


def test_a_value_that_is_no_number_leaves_the_history_json(tmp_path):
    """NaN and Infinity are no JSON: no other program could read a history with one in it."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    History([{"step": 1, "kl": math.nan, "grad_norm": math.inf}], [{"step": 0, "gold": math.nan}]).save(
        tmp_path / "h.json"
    )
    written = json.loads((tmp_path / "h.json").read_text(), parse_constant=refuse)
    assert written["rows"] == [{"step": 1, "kl": None, "grad_norm": None}]
    again = History.load(tmp_path / "h.json")
    assert math.isnan(again.rows[0]["kl"]) and math.isnan(again["gold"][1][0])


def own_term(setting, objective) -> OnPolicyTerm:
    """A term on "samples" of two prompts."""
    prompts, said = setting.examples.prompt_ids[:2], setting.examples.responses["chosen"][:2]
    return OnPolicyTerm(lambda model, step: from_samples(prompts, said), objective)


def test_two_terms_that_measure_the_same_stay_apart(setting):
    """Equal names of the loss's metrics and the term's were added up."""
    same = lambda policy, reference: (policy.sample.sum, {"margin": torch.full((2,), 7.0)})  # noqa: E731
    _, alone = setting()
    _, history = setting(on_policy=own_term(setting, same))
    assert history.rows[0]["margin"] == alone.rows[0]["margin"]
    assert [row["on_policy_margin"] for row in history.rows] == [7.0] * len(history.rows)


@pytest.mark.parametrize("gradient", [True, False])
def test_gradients_meet_in_the_last_turn_whatever_the_term(setting, monkeypatch, gradient):
    """With an on-policy term every turn was under no_sync: where the term has no gradient of its own, as the printed
    length penalty, the processes never met."""
    turns, no_sync = [], Accelerator.no_sync
    monkeypatch.setattr(Accelerator, "no_sync", lambda self, model: turns.append("alone") or no_sync(self, model))
    monkeypatch.setattr(Accelerator, "backward", lambda self, loss: turns.append("backward") or loss.backward())
    term = own_term(setting, lambda policy, reference: (policy.sample.sum if gradient else torch.ones(2), {}))
    setting(accumulation=2, epochs=1, on_policy=term)
    assert turns[: 4 if gradient else 3] == ["alone", "backward", "backward", "backward"][: 4 if gradient else 3]
    assert turns.count("alone") == 3  # of two turns a step, the first


@pytest.mark.parametrize("source", ["pairs", "samples"])
def test_a_model_is_not_trained_past_its_window(setting, model, tokenizer, pairs, source):
    """A 128-token Llama was trained on longer dialogs without a word."""
    model.config.max_position_embeddings = longest = 8 + Batches(setting.examples, 4).longest
    if source == "samples":
        batches = Rollouts(model, tokenizer, [row["prompt"] for row in pairs], None, None, max_new_tokens=1)
        batches.max_new_tokens = 1 + longest - max(map(len, batches.prompt_ids))
    else:
        setting()
        setting.examples.responses["rejected"][3].extend([5] * longest)
        batches = Batches(setting.examples, 4, reference=setting.reference)
    with pytest.raises(ValueError, match=f"the model's window is {longest} tokens .*lower max_prompt_tokens"):
        train(model, batches, DPO, epochs=1, learning_rate=1e-3)


def test_the_optimiser_itself_takes_back_its_state(setting, tmp_path, monkeypatch):
    """On a GPU, Adam's step stayed on the CPU after an interruption: the fused Adam puts it where it belongs."""
    policy, whole = setting()
    interrupted(setting, tmp_path, checkpoint_every=2)
    taken, load = {}, torch.optim.Adam.load_state_dict
    note = lambda adam, state: taken.update({len(state["state"]): adam}) or load(adam, state)  # noqa: E731
    monkeypatch.setattr(torch.optim.Adam, "load_state_dict", note)
    again, history = setting(checkpoint=tmp_path)
    adam = taken[len(list(again.parameters()))]
    states = [adam.state[parameter] for parameter in again.parameters()]
    assert {(state["step"].item(), state["step"].device) for state in states} == {(6.0, again.device)}
    for a, b in zip(again.parameters(), policy.parameters()):
        assert torch.equal(a, b)


def test_a_loss_that_explodes_is_told(setting, capsys):
    """learning_rate=1: the loss rose from 0.69 to 124, exit 0, without a word."""
    losses = iter([0.69, 3.0, 17.0, 60.0, 0.0, 124.0])
    setting(lambda policy, reference: (0 * policy.chosen.sum + next(losses), {}))
    assert "training has diverged. Try a smaller learning rate" in capsys.readouterr().out
    setting()
    assert "diverged" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[]", '{"row": []}', "\xff"])
def test_a_damaged_history_is_told_by_its_file(tmp_path, text):
    """ "Expecting value: line 1 column 1" without the file's name helps nobody."""
    (tmp_path / "history.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="history.json is damaged, or no history"):
        History.load(tmp_path / "history.json")


def test_divergence_stops_with_a_sentence(setting):
    """A loss that is not a number must not train on."""
    with pytest.raises(FloatingPointError, match="diverged"):
        setting(lambda policy, reference: (policy.chosen.sum * float("nan"), {}))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "exponential", "constant"])
def test_schedules_rise_then_fall(schedule):
    """Warm-up in equal steps to 1, then never up again; constant stays at 1."""
    values = [schedule_factor(step, 100, schedule, 0.1) for step in range(100)]
    assert values[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)]) and values[10] == pytest.approx(1.0)
    assert all(b <= a for a, b in zip(values[10:], values[11:]))
    assert values[-1] == pytest.approx(
        {"linear": 0.011, "cosine": 0.0003, "exponential": 0.0105, "constant": 1.0}[schedule], abs=1e-3
    )


def test_an_unknown_schedule_is_refused():
    """A mistyped schedule must not become a constant one."""
    with pytest.raises(ValueError, match="no schedule 'liner'"):
        schedule_factor(5, 10, "liner", 0.0)


def test_no_step_of_a_short_run_is_wasted():
    """A warm-up whose first step has a hundredth of the rate wastes one of five steps."""
    assert [schedule_factor(step, 5, "constant", 0.4) for step in range(5)] == [0.5, 1, 1, 1, 1]
    assert [schedule_factor(step, 5, "constant", 0.1) for step in range(5)] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("objective, roles", [(DPO, ("chosen", "rejected")), (sft, ("response",))])
def test_gradient_checkpointing_changes_no_number(setting, tokenizer, pairs, objective, roles, monkeypatch):
    """Layers are computed again in the backward pass, and losses and gradient norms stay what they were."""
    examples = tokenize([{**row, "response": row["chosen"]} for row in pairs], tokenizer, roles)
    mlp, calls = type(setting.model.base_model.layers[0].mlp), []
    forward = mlp.forward
    monkeypatch.setattr(mlp, "forward", lambda self, x: calls.append(1) or forward(self, x))
    _, expected = setting(objective, examples=examples)
    usual = len(calls)
    with_checkpointing(setting.model, SimpleNamespace(gradient_checkpointing=True))
    _, history = setting(objective, examples=examples)
    assert len(calls) == 3 * usual  # once as usual, twice with checkpointing
    for name in ("loss", "grad_norm"):
        torch.testing.assert_close(*(torch.tensor(run[name][1]) for run in (history, expected)), rtol=1e-4, atol=0)

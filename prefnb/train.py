"""The one training loop, for every method.

A method is an objective (`prefnb.objectives`) and a source of batches; nothing here knows which. Accelerate places the
model and synchronises gradients; the loop does the rest in plain sight:

    batch -> log-probs (policy; reference from the cache) -> objective -> loss -> step -> history
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import numpy as np
import torch
from accelerate import Accelerator
from torch.distributed.tensor import DTensor
from tqdm.auto import tqdm

from prefnb.files import first_line, write_json
from prefnb.logprobs import Scorer
from prefnb.models import default_device
from prefnb.unfinished import Unfinished, whole


@dataclass
class History:
    """What a training run saw. rows: one dict per optimiser step; evals: one per call of the monitor.

    `history["margin"]` gives (steps, values) as arrays, for any name in rows or evals. seconds: time spent, apart
    from the rows so that two runs of the same command have equal rows.
    """

    rows: list[dict] = field(default_factory=list)
    evals: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""  # why training ended early, in words

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        found = [row for row in [*self.rows, *self.evals] if name in row]
        if not found:
            raise KeyError(f"The history has no '{name}'; it has {', '.join(self.names)}.")
        return np.array([row["step"] for row in found]), np.array([row[name] for row in found], dtype=float)

    @property
    def names(self) -> list[str]:
        """Everything that was recorded."""
        return list(dict.fromkeys(name for row in [*self.rows, *self.evals] for name in row))

    def last(self, name: str, over: int = 10) -> float:
        """The mean of the last `over` values of `name`: one step's value is noise."""
        return float(self[name][1][-over:].mean())

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(Path(path), vars(self), indent=None)

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read back what `save` wrote. ValueError with the file's name if it is something else."""
        try:
            found = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
            for row in [*found.rows, *found.evals]:
                row.update({name: math.nan for name, value in row.items() if value is None})
            return found
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is damaged, or no history ({first_line(error)}).") from None


@dataclass(frozen=True)
class OnPolicyTerm:
    """A second loss on the policy's own samples, added every `every` steps (a length penalty, a sampled KL).

    make_batch(model, step) draws the samples and returns a Batch with role "sample"; objective is like any other. A
    metric that the loss has too is called on_policy_... in the history.
    """

    make_batch: Callable
    objective: Callable
    every: int = 1


def train(
    policy,
    batches,
    objective: Callable,
    *,
    epochs: float,
    learning_rate: float,
    schedule: str = "linear",
    warmup: float = 0.1,
    max_grad_norm: float = 1.0,
    average: str = "example",
    scorer: Callable = Scorer,
    on_policy: OnPolicyTerm | None = None,
    monitor: Callable | None = None,
    monitor_every: int | None = None,
    stop_on: str | None = None,
    patience: int = 3,
    checkpoint: Path | None = None,
    checkpoint_every: int = 100,
    checkpoint_seconds: float = 30.0,
    live=None,
    progress: bool = True,
) -> History:
    """Train `policy` in place and return the history.

    batches: e.g. `Batches(examples, batch_size)`, or `Rollouts` for the policy's own samples.
    `objective(policy, reference, **extras) -> (loss, metrics)`, both (batch,).
    epochs: may be a fraction. schedule: linear, cosine, exponential or constant, after a linear warm-up over the share
    `warmup` of the steps. average: "example" (a mean over examples) or "token" (over response tokens, for SFT); both
    over the whole effective batch, so that 1x8 and 8x1 accumulation have the same gradient.
    scorer(policy) makes the module that turns a batch into what the objective reads: log-probs, or with `RewardScorer`
    scores.
    monitor(policy) -> dict is called every `monitor_every` steps, and before the first and after the last; with
    `stop_on` naming one of its values, training ends when that has not risen for `patience` calls, and the best
    weights are put back.
    checkpoint: a folder from which an interrupted run goes on: it is kept there every `checkpoint_every` steps, every
    `checkpoint_seconds`, and at the end; never between the `batches.updates` steps on the same samples.
    live: has update(history) and finish(history).
    """
    if average not in ("example", "token"):
        raise ValueError(f"average must be 'example' or 'token', not '{average}'.")
    if checkpoint and stop_on:
        raise ValueError(
            "checkpoint and stop_on cannot go together: the best weights would be lost in an interruption."
        )
    schedule_factor(0, 1, schedule, warmup)  # a wrong name is refused before any work
    _check_window(policy, batches)
    accelerator = Accelerator(cpu=default_device().type == "cpu")
    scorer = scorer(policy)
    optimizer = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], lr=learning_rate, fused=True)
    scorer, optimizer = accelerator.prepare(scorer, optimizer)
    total = max(1, round(epochs * len(batches)))
    history, monitored = History(), _Monitor(monitor, stop_on, patience, policy)
    unfinished = Unfinished(checkpoint, accelerator, checkpoint_every, checkpoint_seconds) if checkpoint else None
    done = unfinished.resume(policy, optimizer, history) if unfinished else 0
    started = time.perf_counter() - history.seconds
    bar = tqdm(
        total=total, initial=done, desc="training", leave=False, disable=not (progress and accelerator.is_main_process)
    )
    policy.train()
    if not done:
        monitored(history, 0, 0.0)
    for step, pieces in _steps(batches, total, done, accelerator.num_processes):
        rate = learning_rate * schedule_factor(step, total, schedule, warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        row = _step(
            accelerator,
            scorer,
            optimizer,
            objective,
            pieces,
            average,
            max_grad_norm,
            on_policy if on_policy and step % on_policy.every == 0 else None,
            policy,
            step,
        )
        epoch = (step + 1) / len(batches)
        history.rows.append({"step": step + 1, "epoch": epoch, "learning_rate": rate, **row})
        history.seconds = time.perf_counter() - started
        bar.update()
        if monitor and ((monitor_every and (step + 1) % monitor_every == 0) or step + 1 == total):
            if monitored(history, step + 1, epoch):
                break
        whole_batch = (step + 1) % getattr(batches, "updates", 1) == 0
        if unfinished and (step + 1 == total or (whole_batch and unfinished.due(step + 1))):
            unfinished.keep(policy, optimizer, history)
        if live:
            live.update(history)
    bar.close()
    if accelerator.is_main_process:
        _tell_explosion(history)
    _join_parts(policy)
    policy.eval()
    monitored.put_back_best()
    history.seconds = time.perf_counter() - started
    if live:
        live.finish(history)
    return history


def _check_window(policy, batches) -> None:
    """ValueError if a dialog is longer than the model's window: it has not learnt any place beyond."""
    window = getattr(policy.config.get_text_config(), "max_position_embeddings", None)
    longest = getattr(batches, "longest", 0)
    if window and longest > window:
        raise ValueError(
            f"A prompt with its response can be {longest} tokens long, but the model's window is {window} tokens "
            "(max_position_embeddings): lower max_prompt_tokens and max_response_tokens, or choose another model."
        )


def _tell_explosion(history: History) -> None:
    """Say so in words if a loss that cannot be negative ended at ten times its first value, or above 10.

    The score function's losses have either sign, and their size says nothing.
    """
    losses = [row["loss"] for row in history.rows]
    last = losses[-max(1, len(losses) // 4) :]
    reached = sum(last) / len(last)
    if min(losses) >= 0 and reached > 10 * max(1.0, losses[0]):
        print(
            f"The loss rose from {losses[0]:.3g} to {reached:.3g} (mean of the last {len(last)} steps): training has "
            "diverged. Try a smaller learning rate."
        )


# What is left of the learning rate at `left` of the way, from 1 (after the warm-up) to 0 (the end).
SCHEDULES = {
    "linear": lambda left: left,
    "cosine": lambda left: 0.5 * (1 - math.cos(math.pi * left)),
    "exponential": lambda left: 0.01 ** (1 - left),
    "constant": lambda left: 1.0,
}


def schedule_factor(step: int, total: int, schedule: str, warmup: float) -> float:
    """The share of the learning rate that step `step` (from 0) of `total` takes: up linearly over the share `warmup` of
    the steps, so that the last of these takes all of it, then down as `schedule` says. No step takes none."""
    if schedule not in SCHEDULES:
        raise ValueError(f"There is no schedule '{schedule}'; choose one of {', '.join(SCHEDULES)}.")
    warmup_steps = round(warmup * total)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return SCHEDULES[schedule]((total - step) / (total - warmup_steps))


def _steps(batches, total: int, done: int, processes: int):
    """(step, pieces) from the first step not yet done, over as many epochs as it takes."""
    step, epoch = done, done // len(batches)
    while step < total:
        for pieces in itertools.islice(batches.epoch(epoch, processes, step % len(batches)), total - step):
            yield step, pieces
            step += 1
        epoch += 1


def _step(accelerator, scorer, optimizer, objective, pieces, average, max_grad_norm, on_policy, policy, step) -> dict:
    """One optimiser step over the pieces of an effective batch; returns the step's metrics as plain numbers."""
    total_weight = sum(_weight(piece, average) for piece in pieces)
    total_size = sum(len(piece) for piece in pieces)
    sums: dict[str, torch.Tensor] = {}
    # Every process takes as many turns as the others, with weight 0 where no piece is left: gradients meet in
    # every turn.
    processes, turns = accelerator.num_processes, -(-len(pieces) // accelerator.num_processes)
    for turn in range(turns):
        number = turn * processes + accelerator.process_index
        share = float(number < len(pieces))
        piece = pieces[number if share else 0].to(accelerator.device)
        with contextlib.nullcontext() if turn == turns - 1 else accelerator.no_sync(scorer):
            loss, metrics = objective(scorer(piece), piece.reference, **piece.extras)
            # Gradients are averaged over the processes: multiplied first, so that their sum is what remains.
            accelerator.backward(loss.sum() * (share * processes / total_weight))
        _add(
            sums,
            {
                "loss": loss.detach().sum() * share / total_weight,
                **{name: value.sum() * share / total_size for name, value in {**piece.metrics, **metrics}.items()},
            },
        )
    if on_policy is not None:
        batch = on_policy.make_batch(policy, step).to(accelerator.device)
        loss, metrics = on_policy.objective(scorer(batch), batch.reference, **batch.extras)
        if loss.requires_grad:  # the length penalty as printed has no gradient
            accelerator.backward(loss.mean())
        named = {f"on_policy_{name}" if name in sums else name: value for name, value in metrics.items()}
        _add(sums, {name: value.mean() / processes for name, value in named.items()})
    norm = accelerator.clip_grad_norm_(scorer.parameters(), max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    names = sorted(sums)
    values = accelerator.reduce(torch.stack([sums[name] for name in names]), "sum").tolist()
    found = dict(zip(names, values))
    if not math.isfinite(found["loss"]):
        raise FloatingPointError(
            f"The loss is {found['loss']} at step {step + 1}: training has diverged. "
            "Try a smaller learning rate, or less of the term that is unbounded below."
        )
    return {"loss": found.pop("loss"), "grad_norm": float(norm), "tokens": sum(p.tokens for p in pieces), **found}


def _weight(piece, average: str) -> float:
    """How much a piece counts in the mean over the effective batch."""
    return float(piece.response_mask.sum()) if average == "token" else float(len(piece))


def _add(sums: dict, more: dict) -> None:
    for name, value in more.items():
        sums[name] = sums.get(name, 0) + value.float()


class _Monitor:
    """Calls the monitor, keeps the best weights, and says when to stop."""

    def __init__(self, monitor, stop_on, patience, policy):
        self.monitor, self.stop_on, self.patience, self.policy = monitor, stop_on, patience, policy
        self.best, self.best_step, self.weights, self.waited = -math.inf, 0, None, 0

    def __call__(self, history: History, step: int, epoch: float) -> bool:
        if self.monitor is None:
            return False
        self.policy.eval()
        with torch.no_grad():
            seen = self.monitor(self.policy)
        self.policy.train()
        history.evals.append({"step": step, "epoch": epoch, **seen})
        if self.stop_on is None:
            return False
        if self.stop_on not in seen:
            raise ValueError(f"stop_on names '{self.stop_on}', but the monitor returns {', '.join(seen)}.")
        if seen[self.stop_on] > self.best:
            self.best, self.best_step, self.waited = seen[self.stop_on], step, 0
            self.weights = {name: whole(value).cpu().clone() for name, value in self.policy.state_dict().items()}
            return False
        self.waited += 1
        if self.waited >= self.patience:
            history.stopped = (
                f"stopped at step {step}: {self.stop_on} has not risen for {self.patience} checks; "
                f"the weights of step {self.best_step} are back"
            )
        return self.waited >= self.patience

    def put_back_best(self) -> None:
        if self.weights is not None:
            self.policy.load_state_dict(self.weights)


def _join_parts(policy) -> None:
    """After FSDP, give every process the whole policy again, as a plain model."""
    if not any(isinstance(parameter, DTensor) for parameter in policy.parameters()):
        return
    plain = type(policy)(policy.config)
    plain.load_state_dict({name: whole(value) for name, value in policy.state_dict().items()})
    vars(policy).update(vars(plain.to(policy.device)))

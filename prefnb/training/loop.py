"""The one training loop, for every method.

A method is a loss (`prefnb.methods`) and a source of batches; nothing here knows which. Accelerate places the
model and synchronises gradients; the loop does the rest in plain sight:

    batch -> log-probs (policy; reference from the cache) -> objective -> loss -> step -> history
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import torch
from accelerate import Accelerator
from torch.distributed.tensor import DTensor
from tqdm.auto import tqdm

from prefnb.batches import Batch
from prefnb.logprobs import Scorer
from prefnb.processes import default_device
from prefnb.training.history import History
from prefnb.training.interrupts import stoppable
from prefnb.training.monitor import Monitor
from prefnb.training.schedule import schedule_factor
from prefnb.training.step import OnPolicyTerm, Stepper
from prefnb.training.unfinished import Unfinished, whole


def train(
    policy: torch.nn.Module,
    batches: Any,
    objective: Callable,
    *,
    epochs: float,
    learning_rate: float,
    schedule: str = "linear",
    warmup: float = 0.1,
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
    live: Any = None,
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
    live: has update(history) and finish(history). A run with one may be interrupted: it then ends with the policy and
    history so far (`history.stopped` says so); without one, in `Interrupted`.
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
    stepper = Stepper(accelerator, policy, scorer, optimizer, objective, average, on_policy)
    total = max(1, round(epochs * len(batches)))
    history, monitored = History(), Monitor(monitor, stop_on, patience, policy)
    unfinished = Unfinished(checkpoint, accelerator, checkpoint_every, checkpoint_seconds) if checkpoint else None
    done = unfinished.resume(policy, optimizer, history) if unfinished else 0
    started = time.perf_counter() - history.seconds
    bar = tqdm(
        total=total, initial=done, desc="training", leave=False, disable=not (progress and accelerator.is_main_process)
    )
    policy.train()
    if not done:
        monitored(history, 0, 0.0)
    with stoppable(history, total, live, kept=checkpoint is not None):
        for step, micro_batches in _steps(batches, total, done, accelerator.num_processes):
            rate = learning_rate * schedule_factor(step, total, schedule, warmup)
            row = stepper.take(step, micro_batches, rate)
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


def _steps(batches, total: int, done: int, processes: int) -> Iterator[tuple[int, list[Batch]]]:
    """(step, micro-batches) from the first step not yet done, over as many epochs as it takes."""
    step, epoch = done, done // len(batches)
    while step < total:
        for micro_batches in itertools.islice(batches.epoch(epoch, processes, step % len(batches)), total - step):
            yield step, micro_batches
            step += 1
        epoch += 1


def _join_parts(policy) -> None:
    """After FSDP, give every process the whole policy again, as a plain model."""
    if not any(isinstance(parameter, DTensor) for parameter in policy.parameters()):
        return
    plain = type(policy)(policy.config)
    plain.load_state_dict({name: whole(value) for name, value in policy.state_dict().items()})
    vars(policy).update(vars(plain.to(policy.device)))

"""One optimiser step: micro-batches -> log-probs -> objective -> gradients, which meet, and the step is taken."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Callable

import torch
from accelerate import Accelerator

from prefnb.batches import Batch

MAX_GRAD_NORM = 1.0


@dataclass(frozen=True)
class OnPolicyTerm:
    """A second loss on the policy's own samples, added every `every` steps (a length penalty, a sampled KL).

    make_batch(model, step) draws the samples and returns a Batch of the response "sample"; objective is like any other. A
    metric that the loss has too is called on_policy_... in the history.
    """

    make_batch: Callable
    objective: Callable
    every: int = 1


@dataclass
class Stepper:
    """What a step needs besides its micro-batches. `scorer` and `optimizer` are as Accelerate has prepared them; the
    rest as in `train`."""

    accelerator: Accelerator
    policy: torch.nn.Module
    scorer: torch.nn.Module
    optimizer: torch.optim.Optimizer
    objective: Callable
    average: str
    on_policy: OnPolicyTerm | None

    def take(self, step: int, micro_batches: list[Batch], rate: float) -> dict[str, float]:
        """Take step `step` (from 0) at this learning rate; returns its metrics, means over the effective batch.

        FloatingPointError if the loss is not a number any more.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sums = defaultdict(float)  # by this process; they meet below
        self._learn(micro_batches, sums)
        if self.on_policy and step % self.on_policy.every == 0:
            self._learn_from_own(step, sums)
        norm = self.accelerator.clip_grad_norm_(self.scorer.parameters(), MAX_GRAD_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        names = sorted(sums)
        values = self.accelerator.reduce(torch.stack([sums[name] for name in names]), "sum").tolist()
        found = dict(zip(names, values))
        if not math.isfinite(found["loss"]):
            raise FloatingPointError(
                f"The loss is {found['loss']} at step {step + 1}: training has diverged. "
                "Try a smaller learning rate, or less of the term that is unbounded below."
            )
        tokens = sum(batch.tokens for batch in micro_batches)
        return {"loss": found.pop("loss"), "grad_norm": float(norm), "tokens": tokens, **found}

    def _learn(self, micro_batches: list[Batch], sums: dict[str, torch.Tensor]) -> None:
        """Gradients and metrics of the objective, each process from its share of the micro-batches."""
        total_size = sum(map(len, micro_batches))
        by_token = self.average == "token"
        total_weight = float(sum(batch.response_mask.sum() for batch in micro_batches)) if by_token else total_size
        # Every process takes as many turns as the others, with weight 0 where no micro-batch is left: gradients meet in
        # the last turn.
        processes = self.accelerator.num_processes
        turns = -(-len(micro_batches) // processes)
        for turn in range(turns):
            number = turn * processes + self.accelerator.process_index
            share = float(number < len(micro_batches))
            batch = micro_batches[number if share else 0].to(self.accelerator.device)
            with contextlib.nullcontext() if turn == turns - 1 else self.accelerator.no_sync(self.scorer):
                loss, metrics = self.objective(self.scorer(batch), batch.reference, **batch.extras)
                # Gradients are averaged over the processes: multiplied first, so that their sum is what remains.
                self.accelerator.backward(loss.sum() * (share * processes / total_weight))
            sums["loss"] += (loss.detach().sum() * share / total_weight).float()
            for name, value in {**batch.metrics, **metrics}.items():
                sums[name] += (value.sum() * share / total_size).float()

    def _learn_from_own(self, step: int, sums: dict[str, torch.Tensor]) -> None:
        """Gradients and metrics of the on-policy term, each process from samples of its own."""
        batch = self.on_policy.make_batch(self.policy, step).to(self.accelerator.device)
        loss, metrics = self.on_policy.objective(self.scorer(batch), batch.reference, **batch.extras)
        if loss.requires_grad:  # the length penalty as printed has no gradient
            self.accelerator.backward(loss.mean())
        for name, value in metrics.items():
            name = f"on_policy_{name}" if name in sums else name
            sums[name] += (value.mean() / self.accelerator.num_processes).float()

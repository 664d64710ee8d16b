"""The watch on a training run: measure now and then, keep the best weights, say when to stop."""

from __future__ import annotations

import math
from typing import Callable

import torch

from prefnb.training.history import History
from prefnb.training.unfinished import whole


class Monitor:
    """Calls `monitor(policy) -> dict`; with `stop_on`, a name in it, keeps the weights with which that was highest."""

    def __init__(self, monitor: Callable | None, stop_on: str | None, patience: int, policy: torch.nn.Module):
        self.monitor, self.stop_on, self.patience, self.policy = monitor, stop_on, patience, policy
        self.best, self.best_step, self.weights, self.waited = -math.inf, 0, None, 0

    def __call__(self, history: History, step: int, epoch: float) -> bool:
        """Add to the history's evals what is seen after step `step`; True if it is time to stop."""
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
        """Give the policy the best weights, if any were kept."""
        if self.weights is not None:
            self.policy.load_state_dict(self.weights)

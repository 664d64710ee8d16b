"""How the learning rate rises and falls."""

from __future__ import annotations

import math

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

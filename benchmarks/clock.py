"""The time of training steps, whoever trains."""

from __future__ import annotations

import time


class Clock:
    """Seconds between the ends of steps; the first step, which warms caches up, is left out."""

    def __init__(self):
        self.ends = []

    def tick(self) -> None:
        """A step has ended: on a GPU, once all that was asked of it is done."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        return [end - begin for begin, end in zip(self.ends, self.ends[1:])]

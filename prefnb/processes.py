"""Where this process computes, and which of how many it is."""

from __future__ import annotations

import torch
from accelerate import PartialState


def default_device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def processes() -> PartialState:
    """Which process this is, of how many: one, unless `accelerate launch` started more."""
    return PartialState(cpu=default_device().type == "cpu")

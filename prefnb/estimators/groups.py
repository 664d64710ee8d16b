"""Rewards in groups: (prompts, K), a row being the rewards of the K samples of one prompt."""

from __future__ import annotations

import torch


def dead_groups(rewards: torch.Tensor) -> torch.Tensor:
    """(prompts,) bool: groups whose K rewards are all equal. They have no better sample to learn from."""
    return (rewards == rewards[:, :1]).all(1)


def group_size(rewards: torch.Tensor) -> int:
    """K of rewards (prompts, K); ValueError if there is nothing to compare a sample with."""
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"Rewards of shape {tuple(rewards.shape)} hold no groups: samples of one prompt are compared with one "
            "another, so give (prompts, K) with K of at least 2."
        )
    return rewards.shape[1]

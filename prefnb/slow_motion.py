"""One pair in slow motion: some steps of training on it alone, every token's log-probability and the push on it, forwards and back.

First a static picture of the last step, then the same with a slider over the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np
import torch
from IPython.display import HTML, display
from transformers import PreTrainedTokenizerBase

from prefnb import course, models, widgets
from prefnb.batches import Examples
from prefnb.logprobs import Scorer

STEPS = 8


@dataclass
class Film:
    """What was seen before each step and after the last: {response: tokens as text}, and for every moment the loss, the log-prob of
    every token and the loss's gradient by it."""

    tokens: dict[str, list[str]]
    losses: list[float]
    logps: list[dict[str, np.ndarray]]
    pushes: list[dict[str, np.ndarray]]

    def view(self, step: int) -> str:
        """A moment, as HTML: tokens coloured by how far they have come since the start, the push on each in its tooltip."""
        strips, told = [], []
        for side, tokens in self.tokens.items():
            strips.append((side, tokens, (self.logps[step][side] - self.logps[0][side]).tolist()))
            push = -self.pushes[step][side].sum()
            told.append(
                f"{side}: S(y) = {self.logps[step][side].sum():.1f} nats, {'up' if push > 0 else 'down'} by {abs(push):.3f}"
            )
        head = (
            f"<b>After {step} of {len(self.losses) - 1} steps</b>: loss {self.losses[step]:.4f}. The next step pushes "
        )
        return f"<div {widgets.NO_MATH}>{head}{'; '.join(told)}.</div>{widgets.strips_html(strips)}"


def film(
    start: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Examples,
    loss: Callable,
    *,
    rate: float,
    which: int = 0,
    steps: int = STEPS,
) -> Film:
    """Train a copy of `start` on one pair, `pairs[which]`, by Adam at this rate, and record every moment. loss(policy, reference) as in
    training."""
    policy, batch = models.copy_model(start), pairs.batch([which])
    scorer, optimiser = Scorer(policy.train()), torch.optim.Adam(policy.parameters(), lr=rate)
    batch = batch.to(policy.device)
    reference = course.reference(start, pairs).batch([which], policy.device)
    tokens = {side: [tokenizer.decode([one]) for one in pairs.responses[side][which]] for side in pairs.names}
    made = Film(tokens, [], [], [])
    for step in range(steps + 1):
        now = scorer(batch)
        found = loss(now, reference)
        value = (found[0] if isinstance(found, tuple) else found).sum()
        sides = [getattr(now, side).token for side in pairs.names]
        pushes = torch.autograd.grad(value, sides, retain_graph=True, allow_unused=True)
        made.losses.append(value.item())
        made.logps.append({side: one[0].detach().cpu().numpy() for side, one in zip(pairs.names, sides)})
        made.pushes.append(
            {
                side: np.zeros(one.shape[1]) if push is None else push[0].cpu().numpy()
                for side, one, push in zip(pairs.names, sides, pushes)
            }
        )
        if step < steps:
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
    return made


def show(made: Film) -> None:
    """The last moment as a picture of its own, and below it a slider over all of them."""
    import ipywidgets

    last = len(made.losses) - 1
    display(HTML(made.view(last)))
    widgets.explore(made.view, step=ipywidgets.IntSlider(0, min=0, max=last, description="step"))

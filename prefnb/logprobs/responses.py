"""What is known of a response: the log-probs of its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch

Loss = tuple[torch.Tensor, dict[str, torch.Tensor]]  # what a loss returns: itself, and its metrics, (batch,) each


@dataclass(frozen=True)
class ResponseLogprobs:
    """The log-probs of one response per example.

    token: (batch, time) float32, log pi(y_t | x, y_<t), 0 where mask is False.
    mask:  (batch, time) bool, True on response tokens, the closing end-of-turn token included.
    """

    token: torch.Tensor
    mask: torch.Tensor

    @property
    def sum(self) -> torch.Tensor:
        """S(y), in nats, (batch,)."""
        return self.token.sum(-1)

    @property
    def length(self) -> torch.Tensor:
        """|y| in tokens, (batch,), float."""
        return self.mask.sum(-1).to(self.token.dtype)

    @property
    def mean(self) -> torch.Tensor:
        """S(y) / |y|, in nats per token, (batch,); 0 for an empty response."""
        return self.sum / self.length.clamp(min=1)


def from_tokens(**names: list) -> SimpleNamespace:
    """Toy log-probs written by hand: `from_tokens(chosen=[[-1.0, -2.0], [-0.5]])` has `.chosen.sum == [-3.0, -0.5]`.

    Under each name is a list of responses, each response the list of its token log-probs (or a 1-D tensor).
    """
    return SimpleNamespace(
        **{
            name: pad_responses([torch.as_tensor(r, dtype=torch.get_default_dtype()) for r in responses])
            for name, responses in names.items()
        }
    )


def pad_responses(responses: list[torch.Tensor]) -> ResponseLogprobs:
    token = torch.nn.utils.rnn.pad_sequence(responses, batch_first=True)
    lengths = torch.tensor([len(response) for response in responses])
    return ResponseLogprobs(token, torch.arange(token.shape[1]) < lengths[:, None])

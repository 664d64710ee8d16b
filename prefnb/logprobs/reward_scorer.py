"""From a batch to the scores of its responses, by a sequence-classification model."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from prefnb.batches import Batch
from prefnb.logprobs.scorer import hidden_states


class RewardScorer(torch.nn.Module):
    """A sequence-classification model as a function from a batch to the scores of its responses.

    `RewardScorer(model)(batch)` returns a namespace with one (batch,) float32 tensor per name in the batch: the `score`
    head on the hidden state of the response's last token, where a causal model has seen all of it. Of a classifier's
    two outputs, the score is the log-odds of class `positive`.
    """

    def __init__(self, model: torch.nn.Module, positive: int = 1):
        super().__init__()
        if not isinstance(getattr(model, "score", None), torch.nn.Linear):
            raise ValueError(
                f"{type(model).__name__} has no linear `score` head on a causal model; make a reward model with "
                "models.reward_model_from, or load one with models.load_reward_model."
            )
        self.model, self.positive = model, positive

    def forward(self, batch: Batch) -> SimpleNamespace:
        hidden = hidden_states(self.model, batch)
        rows, columns = (torch.arange(size, device=hidden.device) for size in batch.input_ids.shape)
        scores = {}
        for number, name in enumerate(batch.names, 1):
            seen = (batch.segment == 0) | (batch.segment == number)  # an empty response is scored at the prompt's end
            last = torch.where(seen, columns, 0).amax(-1)
            outputs = self.model.score(hidden[rows, last].to(self.model.score.weight.dtype))
            scores[name] = score_of(outputs, self.positive)
        return SimpleNamespace(**scores)


def score_of(outputs: torch.Tensor, positive: int = 1) -> torch.Tensor:
    """One score, (batch,) float32, from a sequence classifier's outputs (batch, 1 or 2): the output itself, or of two
    classes the log-odds log P(positive) / P(the other), which is the difference of the two."""
    outputs = outputs.float()
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, positive] - outputs[:, 1 - positive]

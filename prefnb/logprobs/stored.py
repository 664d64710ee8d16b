"""A model's log-probs of a whole data set, computed once and kept: the reference."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Iterable

import torch
from accelerate.utils import gather_object
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from prefnb.batches import Examples
from prefnb.logprobs.responses import ResponseLogprobs, pad_responses
from prefnb.logprobs.scorer import Scorer
from prefnb.processes import processes


class DatasetLogprobs:
    """A model's token log-probs for every example of a data set, on the CPU: the reference, once its model can be
    put away.

    tokens: name -> one 1-D float32 tensor per example.
    """

    def __init__(self, tokens: dict[str, list[torch.Tensor]]):
        self.tokens = tokens

    def batch(self, index: Iterable[int], device: str | torch.device = "cpu") -> SimpleNamespace:
        """The responses of the examples `index`, one `ResponseLogprobs` per name, as `Scorer` would give them."""
        padded = {name: pad_responses([tokens[i] for i in index]) for name, tokens in self.tokens.items()}
        moved = {name: ResponseLogprobs(r.token.to(device), r.mask.to(device)) for name, r in padded.items()}
        return SimpleNamespace(**moved)

    def all(self) -> SimpleNamespace:
        """The responses of every example."""
        return self.batch(range(len(next(iter(self.tokens.values())))))

    @classmethod
    @torch.no_grad()
    def compute(cls, model: torch.nn.Module, examples: Examples, batch_size: int = 64) -> "DatasetLogprobs":
        """One pass of `model` over `examples` (a `batches.Examples`), like lengths together, shared among the
        processes."""
        state = processes()
        scorer = Scorer(model.eval())
        device = next(model.parameters()).device
        found = []
        for number, batch in enumerate(examples.in_order_of_length(batch_size)):
            if number % state.num_processes != state.process_index:
                continue
            scored = scorer(batch.to(device))
            for name in examples.names:
                response = getattr(scored, name)
                for i, token, length in zip(batch.index, response.token.cpu(), response.mask.sum(-1).tolist()):
                    found.append((name, i, token[:length].clone()))
        tokens = {name: [None] * len(examples) for name in examples.names}
        for name, i, token in gather_object(found):
            tokens[name][i] = token
        return cls(tokens)

    def save(self, folder: Path) -> None:
        """Write `logprobs.safetensors` into `folder`."""
        flat = {name: torch.cat(tokens) for name, tokens in self.tokens.items()}
        lengths = {name: json.dumps([len(t) for t in tokens]) for name, tokens in self.tokens.items()}
        save_file(flat, Path(folder) / "logprobs.safetensors", metadata=lengths)

    @classmethod
    def load(cls, folder: Path) -> "DatasetLogprobs":
        """Read back what `save` wrote."""
        path = Path(folder) / "logprobs.safetensors"
        with safe_open(path, "pt") as file:
            lengths = file.metadata()
        return cls({name: list(flat.split(json.loads(lengths[name]))) for name, flat in load_file(path).items()})

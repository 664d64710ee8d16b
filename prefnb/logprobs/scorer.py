"""From a batch to the log-probs of its responses, by a causal language model."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import torch

from prefnb.batches import Batch
from prefnb.logprobs.head import HeadLogprobs
from prefnb.logprobs.responses import ResponseLogprobs
from prefnb.processes import processes

PADDING = 128  # positions of padding that cost a small model about as much as one more pass through its Python


class Scorer(torch.nn.Module):
    """A causal language model as a function from a batch to the log-probs of its responses.

    `Scorer(model)(batch)` returns a namespace with one `ResponseLogprobs` per name in the batch, e.g. `.chosen` and
    `.rejected`. It is a module of its own so that Accelerate can wrap it and gradients are synchronised whatever
    the objective.
    """

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        config = model.config.get_text_config()
        for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
            if getattr(config, name, None) not in (None, 1, 1.0):
                raise ValueError(
                    f"This model changes its logits after the output head ({name}); prefnb computes log-probs "
                    "from the head itself, so choose a model without it, such as Qwen2.5."
                )
        self.model = model

    def tie_weights(self) -> None:
        """Make one of embedding and head again where they were one: FSDP asks for it after it has moved the weights."""
        self.model.tie_weights()

    def forward(self, batch: Batch) -> SimpleNamespace:
        head = self.model.get_output_embeddings()
        hidden = hidden_states(self.model, batch, head)
        # Response by response, the place of every response token, and of the token before it, which predicts it.
        places = [(batch.segment == number).nonzero(as_tuple=True) for number in range(1, len(batch.names) + 1)]
        row, column = (torch.cat(axis) for axis in zip(*places))
        first = batch.segment[row, column - 1] != batch.segment[row, column]
        prompt_end = (batch.segment == 0).sum(-1) - 1
        before = torch.where(first, prompt_end[row], column - 1)
        example = (batch.segment[row, column] - 1) * len(prompt_end) + row  # where all are samples: which of them
        # The first tokens of a row's responses share the prompt's end. As `hidden[row, before]`, several threads would
        # add their gradients in any order; as an embedding they are added in one, and sooner.
        states = torch.nn.functional.embedding(row * hidden.shape[1] + before, hidden.flatten(0, 1))
        logprobs = HeadLogprobs.apply(
            states,
            head.weight,
            head.bias,
            batch.input_ids[row, column],
            batch.temperature[example] if batch.temperature is not None else None,
        )
        scored, parts = {}, logprobs.split([len(rows) for rows, _ in places])
        for name in dict.fromkeys(batch.names):
            numbers = [number for number, one in enumerate(batch.names) if one == name]
            part = torch.cat([parts[number] for number in numbers])
            lengths = torch.cat([(batch.segment == number + 1).sum(-1) for number in numbers])
            mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
            scored[name] = ResponseLogprobs(part.new_zeros(mask.shape).masked_scatter(mask, part), mask)
        return SimpleNamespace(**scored)


def hidden_states(model: torch.nn.Module, batch: Batch, head: torch.nn.Module | None = None) -> torch.Tensor:
    """The last layer's output at every token of the batch's rows, (batch, time, hidden size). head: the output head
    that the loss goes through, if it does."""
    groups = rows_of_like_length((batch.segment >= 0).sum(-1).tolist())
    if len(groups) == 1 or batch.input_ids.is_cuda or processes().num_processes > 1:
        # On a GPU a pass costs about the same however few its rows; processes must all make as many passes.
        return _one_pass(model, batch, head)
    time, found = batch.input_ids.shape[1], []
    for rows in groups:
        width = int((batch.segment[rows] >= 0).sum(-1).max())
        cut = {name: getattr(batch, name)[rows, :width] for name in ("input_ids", "segment", "position")}
        hidden = _one_pass(model, replace(batch, **cut), head)
        found.append(torch.nn.functional.pad(hidden, (0, 0, 0, time - width)))
    back = torch.tensor([row for rows in groups for row in rows]).argsort()
    return torch.cat(found)[back]


def rows_of_like_length(lengths: list[int]) -> list[list[int]]:
    """Row numbers in groups, each with no more than `PADDING` positions of padding; one group, if that is enough."""
    groups, padding = [[]], 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        padding += lengths[groups[-1][0]] - lengths[row] if groups[-1] else 0
        if padding > PADDING:
            groups.append([])
            padding = 0
        groups[-1].append(row)
    return groups


def _one_pass(model, batch, head) -> torch.Tensor:
    words = {"input_ids": batch.input_ids}
    embedding, saving = model.get_input_embeddings(), getattr(model.base_model, "gradient_checkpointing", False)
    if saving and model.training and head and head.weight is embedding.weight and processes().num_processes == 1:
        words = {"inputs_embeds": _embedded_beside_head(embedding.weight, batch.input_ids)}
    # On a GPU matrix products run in bfloat16; policy and reference take this same path, so step 0 stays ln 2.
    with torch.autocast(batch.input_ids.device.type, torch.bfloat16, enabled=batch.input_ids.is_cuda):
        return model.base_model(
            **words,
            position_ids=batch.position,
            attention_mask=batch.attention_mask(),
            use_cache=False,
        ).last_hidden_state


def _embedded_beside_head(weight: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """weight[ids] where `weight` is the output head's too, for `loss.backward()` through both.

    Autograd would make two more gradients as large as the vocabulary, the embedding's own and the sum. Here the head's
    gradient is already in `weight.grad` when the backward pass gets to the embedding, and takes in a few rows more.
    """

    def add(grad: torch.Tensor) -> None:
        weight.grad.index_add_(0, ids.flatten(), grad.flatten(0, 1))

    words = weight.detach()[ids].requires_grad_(weight.requires_grad)
    if words.requires_grad:
        words.register_hook(add)
    return words

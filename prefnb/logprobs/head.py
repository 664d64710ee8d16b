"""The output head's log-probs, a chunk of positions at a time, so that no (tokens x vocabulary) tensor is kept."""

from __future__ import annotations

import torch

CHUNK = 1024  # response positions whose logits exist at one time,
LOGITS = 2**25  # or fewer, so that a chunk of them stays under 128 MB in float32


class HeadLogprobs(torch.autograd.Function):
    """log softmax(hidden @ weight.T + bias)[target], chunk by chunk, in float32, the logits computed twice and
    never kept.

    hidden (n, h), weight (vocabulary, h), bias (vocabulary,) or None, target (n,), temperature (n,) or None -> (n,).
    """

    @staticmethod
    def _logits(hidden, weight, bias, temperature):
        logits = torch.nn.functional.linear(hidden, weight.to(hidden.dtype)).float()
        if bias is not None:
            logits += bias.float()
        return logits if temperature is None else logits / temperature[:, None]

    @staticmethod
    def _chunks(hidden, weight):
        """Slices of the positions, as many at a time as CHUNK and LOGITS allow."""
        size = max(1, min(CHUNK, LOGITS // len(weight)))
        return [slice(start, start + size) for start in range(0, len(hidden), size)]

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        target: torch.Tensor,
        temperature: torch.Tensor | None,
    ) -> torch.Tensor:
        chosen = hidden.new_empty(len(hidden)).float()
        total = torch.empty_like(chosen)  # log-sum-exp of the logits
        for part in HeadLogprobs._chunks(hidden, weight):
            logits = HeadLogprobs._logits(
                hidden[part], weight, bias, None if temperature is None else temperature[part]
            )
            chosen[part] = logits.gather(1, target[part, None])[:, 0]
            total[part] = logits.logsumexp(1)
        ctx.save_for_backward(hidden, weight, bias, target, temperature, total)
        return chosen - total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, target, temperature, total = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        for part in HeadLogprobs._chunks(hidden, weight):
            scale = grad[part, None] if temperature is None else grad[part, None] / temperature[part, None]
            logits = HeadLogprobs._logits(
                hidden[part], weight, bias, None if temperature is None else temperature[part]
            )
            # d log softmax_target / d logits = onehot(target) - softmax, in the place of the logits
            grad_logits = logits.sub_(total[part, None]).exp_().mul_(-scale)
            grad_logits.scatter_add_(1, target[part, None], scale)
            if grad_bias is not None:
                grad_bias += grad_logits.sum(0).to(bias.dtype)
            grad_logits = grad_logits.to(hidden.dtype)
            grad_hidden[part] = grad_logits @ weight.to(hidden.dtype)
            if grad_weight is not None and weight.dtype == hidden.dtype:
                grad_weight.addmm_(grad_logits.T, hidden[part])  # in place: the product would be as large as the head
            elif grad_weight is not None:
                grad_weight += grad_logits.T @ hidden[part]
            del logits, grad_logits  # before the next chunk, not after
        return grad_hidden, grad_weight, grad_bias, None, None

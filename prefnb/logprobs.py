"""Response log-probs: how likely a model finds a response, token by token.

`S(y) = sum_t log pi(y_t | x, y_<t)` is the one quantity that every objective of this course is made of. `Scorer`
computes it from a model. The output head (hidden size x vocabulary) runs on response positions only, a chunk at a
time, and its log-sum-exp is computed again in the backward pass, so that no (tokens x vocabulary) tensor outlives
its chunk: at Qwen2.5's vocabulary of 151,936 that tensor would be larger than the model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Iterable

import torch
from accelerate.utils import gather_object
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from prefnb.processes import processes

CHUNK = 1024  # response positions whose logits exist at one time,
LOGITS = 2**25  # or fewer, so that a chunk of them stays under 128 MB in float32
PADDING = 128  # positions of padding that cost a small model about as much as one more pass through its Python


@dataclass(frozen=True)
class Response:
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


def from_tokens(**roles) -> SimpleNamespace:
    """Toy log-probs written by hand: `from_tokens(chosen=[[-1.0, -2.0], [-0.5]])` has `.chosen.sum == [-3.0, -0.5]`.

    Each role is a list of responses, each response the list of its token log-probs (or a 1-D tensor).
    """
    return SimpleNamespace(
        **{
            role: _pad([torch.as_tensor(r, dtype=torch.get_default_dtype()) for r in responses])
            for role, responses in roles.items()
        }
    )


def _pad(responses: list[torch.Tensor]) -> Response:
    token = torch.nn.utils.rnn.pad_sequence(responses, batch_first=True)
    lengths = torch.tensor([len(response) for response in responses])
    return Response(token, torch.arange(token.shape[1]) < lengths[:, None])


class Scorer(torch.nn.Module):
    """A causal language model as a function from a batch to the log-probs of its responses.

    `Scorer(model)(batch)` returns a namespace with one `Response` per role of the batch, e.g. `.chosen` and
    `.rejected`. It is a module of its own so that Accelerate can wrap it and gradients are synchronised whatever
    the objective.
    """

    def __init__(self, model):
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

    def forward(self, batch) -> SimpleNamespace:
        head = self.model.get_output_embeddings()
        hidden = hidden_states(self.model, batch, head)
        # Role by role, the place of every response token, and of the token before it, which predicts it.
        places = [(batch.segment == number).nonzero(as_tuple=True) for number in range(1, len(batch.roles) + 1)]
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
        for role in dict.fromkeys(batch.roles):
            numbers = [number for number, name in enumerate(batch.roles) if name == role]
            part = torch.cat([parts[number] for number in numbers])
            lengths = torch.cat([(batch.segment == number + 1).sum(-1) for number in numbers])
            mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
            scored[role] = Response(part.new_zeros(mask.shape).masked_scatter(mask, part), mask)
        return SimpleNamespace(**scored)


def hidden_states(model, batch, head=None) -> torch.Tensor:
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


class RewardScorer(torch.nn.Module):
    """A sequence-classification model as a function from a batch to the scores of its responses.

    `RewardScorer(model)(batch)` returns a namespace with one (batch,) float32 tensor per role of the batch: the `score`
    head on the hidden state of the response's last token, where a causal model has seen all of it. Of a classifier's
    two outputs, the score is the log-odds of class `positive`.
    """

    def __init__(self, model, positive: int = 1):
        super().__init__()
        if not isinstance(getattr(model, "score", None), torch.nn.Linear):
            raise ValueError(
                f"{type(model).__name__} has no linear `score` head on a causal model; make a reward model with "
                "models.reward_model_from, or load one with models.load_reward_model."
            )
        self.model, self.positive = model, positive

    def forward(self, batch) -> SimpleNamespace:
        hidden = hidden_states(self.model, batch)
        rows, columns = (torch.arange(size, device=hidden.device) for size in batch.input_ids.shape)
        scores = {}
        for number, role in enumerate(batch.roles, 1):
            seen = (batch.segment == 0) | (batch.segment == number)  # an empty response is scored at the prompt's end
            last = torch.where(seen, columns, 0).amax(-1)
            outputs = self.model.score(hidden[rows, last].to(self.model.score.weight.dtype))
            scores[role] = score_of(outputs, self.positive)
        return SimpleNamespace(**scores)


def score_of(outputs: torch.Tensor, positive: int = 1) -> torch.Tensor:
    """One score, (batch,) float32, from a sequence classifier's outputs (batch, 1 or 2): the output itself, or of two
    classes the log-odds log P(positive) / P(the other), which is the difference of the two."""
    outputs = outputs.float()
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, positive] - outputs[:, 1 - positive]


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
    def forward(ctx, hidden, weight, bias, target, temperature):
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
    def backward(ctx, grad):
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


class DatasetLogprobs:
    """A model's token log-probs for every example of a data set, on the CPU: the reference, once its model can be
    put away.

    tokens: role -> one 1-D float32 tensor per example.
    """

    def __init__(self, tokens: dict[str, list[torch.Tensor]]):
        self.tokens = tokens

    def batch(self, index: Iterable[int], device="cpu") -> SimpleNamespace:
        """The responses of the examples `index`, one `Response` per role, as `Scorer` would give them."""
        padded = {role: _pad([tokens[i] for i in index]) for role, tokens in self.tokens.items()}
        return SimpleNamespace(**{role: Response(r.token.to(device), r.mask.to(device)) for role, r in padded.items()})

    def all(self) -> SimpleNamespace:
        """The responses of every example."""
        return self.batch(range(len(next(iter(self.tokens.values())))))

    @classmethod
    @torch.no_grad()
    def compute(cls, model, examples, batch_size: int = 64) -> "DatasetLogprobs":
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
            for role in examples.roles:
                response = getattr(scored, role)
                for i, token, length in zip(batch.index, response.token.cpu(), response.mask.sum(-1).tolist()):
                    found.append((role, i, token[:length].clone()))
        tokens = {role: [None] * len(examples) for role in examples.roles}
        for role, i, token in gather_object(found):
            tokens[role][i] = token
        return cls(tokens)

    def save(self, folder: Path) -> None:
        """Write `logprobs.safetensors` into `folder`."""
        flat = {role: torch.cat(tokens) for role, tokens in self.tokens.items()}
        lengths = {role: json.dumps([len(t) for t in tokens]) for role, tokens in self.tokens.items()}
        save_file(flat, Path(folder) / "logprobs.safetensors", metadata=lengths)

    @classmethod
    def load(cls, folder: Path) -> "DatasetLogprobs":
        """Read back what `save` wrote."""
        path = Path(folder) / "logprobs.safetensors"
        with safe_open(path, "pt") as file:
            lengths = file.metadata()
        return cls({role: list(flat.split(json.loads(lengths[role]))) for role, flat in load_file(path).items()})

"""Decoding, written out: how a model of the shape of Llama or Qwen2 says one token after another.

`generate` of transformers does the same for every model there is. Here it is for one shape of model, so that all of it
can be read, and with little Python between the products, which for a small model is most of the time:

    prompts -> one forward pass -> keys and values of every layer, and the first logits
    logits -> a token a row -> through the layers, beside what is remembered -> logits -> ...

The layers in between: RMSNorm, attention with rotary positions in which several query heads share a key head, RMSNorm,
SwiGLU. What was tried on two CPU cores and did not pay is said where it would have stood.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import torch
from torch.nn.functional import linear, silu

KINDS = ("ForCausalLM", "Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding")
ROTATIONS = ("default", "linear", "llama3")  # frequencies that do not change with the length of the text
ENDED = 1 / 16  # the share of the rows that have ended at which they leave the batch


def can_decode(model) -> bool:
    """Whether `Decoder` knows every part of `model`: Qwen2 or Llama as published, whole, on one device, of one type.

    Not: sliding windows, rotary frequencies that grow with the text, adapters, quantised weights, hooks.
    """
    config = model.config
    name = {"qwen2": "Qwen2", "llama": "Llama"}.get(config.model_type)
    known = {f"{name}{kind}" for kind in KINDS} | {"Linear", "Embedding", "ModuleList", "SiLU", "SiLUActivation"}
    return (
        name is not None
        and {type(module).__name__ for module in model.modules()} <= known
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and (getattr(config, "rope_parameters", None) or {}).get("rope_type") in ROTATIONS
        and len({(parameter.device, parameter.dtype) for parameter in model.parameters()}) == 1
        and not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    )


def next_tokens(logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """One token a row, (rows,), from logits (rows, vocabulary) and one number in [0, 1) a row, (rows,) float64.

    The token is where the summed probabilities pass the number, so that equal numbers give equal tokens. temperature 0
    takes the likeliest. top_p: draw from the fewest likeliest tokens that hold this much probability. Raises
    FloatingPointError if the logits are not numbers.
    """
    logits = logits.float()
    if temperature == 0:
        best, tokens = logits.max(-1)
        _check_finite(best)
        return tokens
    chance, order = (logits / temperature).softmax(-1), None
    if top_p < 1:
        chance, order = chance.sort(-1, descending=True)
        chance = chance.masked_fill(chance.cumsum(-1) - chance >= top_p, 0)
    # Summed in float64: in float32 the sum of a large vocabulary is wrong by more than its rare words' probabilities;
    # nor was float32 faster.
    passed = chance.cumsum(-1, dtype=torch.float64)
    _check_finite(passed[:, -1])
    place = torch.searchsorted(passed, uniform[:, None] * passed[:, -1:], right=True)  # never one of probability 0
    return (place if order is None else order.gather(1, place))[:, 0]


def _check_finite(values: torch.Tensor) -> None:
    if not values.isfinite().all():
        raise FloatingPointError(
            "The model's next-token probabilities are not numbers: its weights have diverged, so nothing can be "
            "sampled. Train again with a smaller learning rate."
        )


class Layer(NamedTuple):
    """One layer's weights; a pair is (weight, bias or None), and products of the same input are joined to one."""

    before_attention: torch.Tensor
    query_key_value: tuple
    attention_out: tuple
    before_mlp: torch.Tensor
    gate_up: tuple
    down: tuple


class Decoder:
    """`Decoder(model)(prompts, samples, uniform, ...)`: responses of a model for which `can_decode` is true.

    The joined products are copies of the weights (two thirds of a layer's or so), so make a new one after a training
    step. They take 6% off the time of a small model. The model itself is not changed. Under autocast, weights and
    memory are of autocast's type, which spares a conversion at every token.
    """

    def __init__(self, model):
        device = model.device.type
        autocast = torch.is_autocast_enabled(device)
        self.model, config = model, model.config
        self.dtype = torch.get_autocast_dtype(device) if autocast else model.dtype
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = model.base_model.layers[0].self_attn.head_dim
        self.eps = config.rms_norm_eps
        with torch.no_grad():
            self.layers = [self._layer(layer) for layer in model.base_model.layers]
            self.embedding, self.last_norm = model.get_input_embeddings().weight, model.base_model.norm.weight
            self.head = self._joined(model.get_output_embeddings())

    def _layer(self, layer) -> Layer:
        attention, mlp = layer.self_attn, layer.mlp
        return Layer(
            layer.input_layernorm.weight,
            self._joined(attention.q_proj, attention.k_proj, attention.v_proj),
            self._joined(attention.o_proj),
            layer.post_attention_layernorm.weight,
            self._joined(mlp.gate_proj, mlp.up_proj),
            self._joined(mlp.down_proj),
        )

    def _joined(self, *products) -> tuple:
        """(weight, bias) of one product in the place of several; of a single one, the weights themselves."""
        join = lambda parts: (parts[0] if len(parts) == 1 else torch.cat(parts)).to(self.dtype)  # noqa: E731
        bias = None if products[0].bias is None else join([product.bias for product in products])
        return join([product.weight for product in products]), bias

    @torch.inference_mode()  # a few percent faster than no_grad
    def __call__(
        self,
        prompts: Sequence[list[int]],
        samples: int,
        uniform: torch.Tensor,
        *,
        temperature: float,
        top_p: float,
        ends: list[int],
        pad: int,
    ) -> list[list[int]]:
        """The new ids of every row, the `samples` rows of a prompt beside one another.

        uniform: (rows, most new tokens) float64 in [0, 1), each row's own random numbers. What stands in a row after
        the first of `ends` means nothing.
        """
        rows, steps = uniform.shape
        logits, memory = self._read(prompts, samples, steps, pad)
        said = torch.full((rows, steps), pad, device=uniform.device)
        row = torch.arange(rows, device=uniform.device)  # which of the rows are still in the batch, in its order
        ended = torch.zeros_like(row, dtype=torch.bool)
        ends = torch.tensor(ends, device=uniform.device)
        for step in range(steps):
            tokens = next_tokens(logits, uniform[row, step], temperature, top_p)
            said[row, step] = tokens
            ended |= torch.isin(tokens, ends)
            gone = int(ended.sum())
            if gone == len(row) or step + 1 == steps:
                break
            if gone >= ENDED * len(row):
                kept, hole, mover = fill_holes(ended)
                memory.move(mover, hole, kept)
                for values in (row, tokens):
                    values[hole] = values[mover]
                row, tokens, ended = row[:kept], tokens[:kept], ended.new_zeros(kept)
            logits = self._step(tokens, memory)
        return said.tolist()

    def _read(self, prompts: Sequence[list[int]], samples: int, steps: int, pad: int) -> tuple:
        """The first logits, and the memory of the prompts with room for what will be said.

        A prompt is read once however often it is answered, by the model's own forward pass: one call for all tokens, of
        which nothing is to be gained.
        """
        ids, mask = left_padded(prompts, pad)
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        position = (mask.cumsum(-1) - 1).clamp(min=0)
        read = self.model.base_model(input_ids=ids, attention_mask=mask, position_ids=position, use_cache=True)
        memory = Memory.of(read.past_key_values, mask, samples, steps, self.dtype)
        # The turns of all positions at once. x' = x * cos + (-second half of x, first half of x) * sin: with the minus
        # put into sin, a roll does it.
        positions = torch.arange(memory.keys.shape[-2], device=mask.device)[None]
        cos, sin = (wave[0][:, None] for wave in self.model.base_model.rotary_emb(self.embedding, positions))
        first, second = sin.chunk(2, -1)
        memory.cos, memory.sin = cos, torch.cat([-first, second], -1)
        return linear(read.last_hidden_state[:, -1], *self.head).repeat_interleave(samples, 0), memory

    def _step(self, tokens: torch.Tensor, memory: Memory) -> torch.Tensor:
        """Logits (rows, vocabulary) of what follows `tokens` (rows,), which are added to the memory."""
        cos, sin = memory.cos[memory.position], memory.sin[memory.position]
        x = self.embedding[tokens]
        for number, layer in enumerate(self.layers):
            x = x + self._attention(number, layer, self._norm(x, layer.before_attention), cos, sin, memory)
            gate, up = linear(self._norm(x, layer.before_mlp), *layer.gate_up).chunk(2, -1)
            x = x + linear(silu(gate) * up, *layer.down)
        memory.position += 1
        memory.time += 1
        return linear(self._norm(x, self.last_norm), *self.head)

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """RMSNorm, in float32 as the model's own."""
        wide = x.float()
        return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)

    def _attention(self, number: int, layer: Layer, x, cos, sin, memory: Memory) -> torch.Tensor:
        """What the new token, x (rows, hidden size), finds in the positions so far, its own included."""
        rows, now = len(x), memory.time
        heads = linear(x, *layer.query_key_value).view(rows, -1, self.size)
        turning = heads[:, : self.heads + self.key_heads]  # queries and keys
        turned = turning * cos + turning.roll(self.size // 2, -1) * sin
        memory.keys[number, :rows, :, now] = turned[:, self.heads :]
        memory.values[number, :rows, :, now] = heads[:, self.heads + self.key_heads :]
        keys, values = (kept[number, :rows, :, : now + 1] for kept in (memory.keys, memory.values))
        # The query heads of one key head stand where a text's time stands elsewhere: nothing is repeated.
        # scaled_dot_product_attention took 1.4 to 1.8 times as long at 128 rows: it is made for many queries a row.
        queries = turned[:, : self.heads].reshape(rows, self.key_heads, -1, self.size)
        scores = queries @ keys.transpose(2, 3) * self.size**-0.5 + memory.blocked[:rows, ..., : now + 1]
        found = scores.softmax(-1).to(values.dtype) @ values
        return linear(found.reshape(rows, -1), *layer.attention_out)


class Memory:
    """What every row remembers, allotted at once for all that will be said; the rows still in the batch come first.

    keys, values: (layers, rows, key heads, time, head size). blocked: (rows, 1, 1, time), 0, or -inf on the padding to
    the left of a prompt. time: the next one, the same for all rows. position: (rows in the batch,), the same without
    the padding. cos, sin: (positions, 1, head size), how far keys and queries of each position are turned.
    """

    @classmethod
    def of(cls, past, mask: torch.Tensor, samples: int, steps: int, dtype: torch.dtype) -> Memory:
        """From the cache of the model's own forward pass over left-padded prompts, each repeated `samples` times."""
        self, again = cls(), lambda values: values.repeat_interleave(samples, 0)  # noqa: E731
        prompts, heads, self.time, size = past.layers[0].keys.shape
        shape = (len(past.layers), prompts * samples, heads, self.time + steps, size)
        self.keys, self.values = (torch.empty(shape, dtype=dtype, device=mask.device) for _ in range(2))
        for number, layer in enumerate(past.layers):
            self.keys[number, ..., : self.time, :] = again(layer.keys)
            self.values[number, ..., : self.time, :] = again(layer.values)
        self.blocked = torch.zeros(shape[1], 1, 1, shape[3], device=mask.device)
        self.blocked[..., : self.time].masked_fill_(again(mask == 0)[:, None, None], -torch.inf)
        self.position = again(mask.sum(1))
        return self

    def move(self, mover: torch.Tensor, hole: torch.Tensor, kept: int) -> None:
        """Put rows `mover` in the place of rows `hole`, and forget all from row `kept` on."""
        for values in (self.keys, self.values):
            values[:, hole, :, : self.time] = values[:, mover, :, : self.time]
        for values in (self.blocked, self.position):
            values[hole] = values[mover]
        self.position = self.position[:kept]


def fill_holes(ended: torch.Tensor) -> tuple[int, torch.Tensor, torch.Tensor]:
    """How many rows go on; the ended ones among the first so many; and the rows from behind to put there.

    Only as many rows are copied as have ended. Copying those that go on, in their order, took 6 to 10% more time in
    all.
    """
    kept = int((~ended).sum())
    return kept, ended[:kept].nonzero()[:, 0], (~ended[kept:]).nonzero()[:, 0] + kept


def left_padded(rows: Sequence[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, (rows, longest): the last prompt token must stand next to the first new one."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row)
        mask[i, width - len(row) :] = 1
    return ids, mask

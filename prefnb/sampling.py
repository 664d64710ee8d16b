"""Sampling: what a model answers. Greedy, temperature, nucleus, beam search, K samples a prompt.

Models of the shape of Qwen2 and Llama speak through `decoding.Decoder`; all others, and beam search, through
`generate`. Token ids are kept end to end: decoding a response and encoding it again may give other tokens.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import partial
from typing import Callable, NamedTuple

import numpy as np
import torch
from torch.distributed.tensor import DTensor
from tqdm.auto import tqdm
from transformers import LogitsProcessor

from prefnb.batches import end_of_turn_id, prompt_ids
from prefnb.decoding import Decoder, can_decode, left_padded, next_tokens


STAGE = 16  # new tokens of one call of `generate`, after which responses that have ended leave the batch


class Sample(NamedTuple):
    """One response: its token ids (the end-of-turn token included if it came), its text, and whether it ended by
    itself."""

    ids: list[int]
    text: str
    finished: bool


@torch.no_grad()
def sample(
    model,
    tokenizer,
    prompts: list,
    *,
    max_new_tokens: int = 96,
    temperature: float = 0.7,
    top_p: float = 1.0,
    samples: int = 1,
    beams: int = 1,
    length_penalty: float = 1.0,
    seed: int = 0,
    batch_size: int = 256,
    progress: bool = False,
) -> list[Sample]:
    """Draw `samples` responses to every prompt (messages, or ids already); the K samples of a prompt in a row.

    temperature 0 is greedy; beams > 1 is beam search (`length_penalty` as in `generate`: above 1 favours long answers).
    The random numbers of a sample are a function of the seed, its prompt and its number among that prompt's samples, so
    that a prompt gets the same answers in any company and order, up to rounding; a prompt that comes twice gets others
    the second time. Two models with one seed draw with the same numbers. The global random state is not touched.
    Raises FloatingPointError for weights that have diverged.
    """
    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        raise ValueError(
            "FSDP has split this model's weights over processes, and sampling needs them whole: start with "
            "distributed_type MULTI_GPU, or leave out what samples while training."
        )
    if samples > 1 and temperature == 0:
        raise ValueError(
            "Greedy decoding (temperature 0) gives every sample alike; use samples=1 or a temperature above 0."
        )
    ids = [prompt if isinstance(prompt[0], int) else prompt_ids(tokenizer, prompt) for prompt in prompts]
    times = _times_before(ids)
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))  # like lengths together: less padding
    end = end_of_turn_id(tokenizer)
    ends = [end] if tokenizer.eos_token_id in (None, end) else [end, tokenizer.eos_token_id]
    choice = dict(temperature=temperature, top_p=top_p, ends=ends, pad=tokenizer.pad_token_id)
    result: list[Sample | None] = [None] * (len(prompts) * samples)
    was_training = model.training
    model.eval()
    per_batch = max(1, batch_size // samples)
    try:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda"):
            respond = _way(model, beams, length_penalty)
            for start in tqdm(range(0, len(order), per_batch), desc="sampling", disable=not progress, leave=False):
                part = order[start : start + per_batch]
                rows = [(i, k) for i in part for k in range(samples)]
                drawn = [uniform_numbers(seed, ids[i], times[i] * samples + k, max_new_tokens) for i, k in rows]
                uniform = torch.from_numpy(np.stack(drawn)).to(model.device)
                for (i, k), said in zip(rows, respond([ids[i] for i in part], samples, uniform, **choice)):
                    result[i * samples + k] = _cut(said, ends, tokenizer)
    finally:
        model.train(was_training)
    return result


def _way(model, beams: int, length_penalty: float) -> Callable:
    """What turns prompts into the ids of responses: beam search, decoding as written out, or `generate`."""
    if beams > 1:
        return partial(beam_search, model, beams, length_penalty)
    return Decoder(model) if can_decode(model) else partial(generate, model)


def uniform_numbers(seed: int, prompt: list[int], number: int, count: int) -> np.ndarray:
    """(count,) float64 in [0, 1), the random numbers of a prompt's sample `number`, one for every token of it.

    They are the bits of a hash, which is a random generator that starts anew for every row at no cost.
    """
    key = np.array([seed, number, *prompt], dtype="<i8").tobytes()
    bits = np.frombuffer(hashlib.shake_256(key).digest(8 * count), dtype="<u8")
    return (bits >> np.uint64(11)) * 2.0**-53


def _times_before(ids: list[list[int]]) -> list[int]:
    """How often each prompt has stood in the list before."""
    seen, times = Counter(), []
    for prompt in map(tuple, ids):
        times.append(seen[prompt])
        seen[prompt] += 1
    return times


class OneDraw(LogitsProcessor):
    """Chooses the next token of every row by `next_tokens`, and leaves nothing else for `generate` to choose.

    uniform: (rows, tokens) random numbers, one for every row and token; the first call takes the first column.
    """

    def __init__(self, uniform: torch.Tensor, temperature: float, top_p: float):
        self.columns, self.temperature, self.top_p = iter(uniform.unbind(1)), temperature, top_p

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        tokens = next_tokens(scores, next(self.columns), self.temperature, self.top_p)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


def generate(
    model, prompts: list[list[int]], samples: int, uniform: torch.Tensor, *, temperature, top_p, ends, pad
) -> list[list[int]]:
    """What `Decoder` does, for any model: the new ids of every row, in stages of `generate`, so that one long response
    does not keep all others in the batch."""
    given = _repeated(model, prompts, samples, pad)
    going, rows = torch.arange(len(uniform), device=uniform.device), [[] for _ in uniform]
    for now in uniform.split(STAGE, 1):
        draw = OneDraw(now[going], temperature, top_p)
        settings = dict(do_sample=False, eos_token_id=ends, pad_token_id=pad, use_cache=True)
        out = model.generate(
            **given,
            **settings,
            max_new_tokens=now.shape[1],
            logits_processor=[draw],
            return_dict_in_generate=True,
        )
        new = out.sequences[:, given["input_ids"].shape[1] :]
        for number, ids in zip(going.tolist(), new.tolist()):
            rows[number] += ids
        keep = (~torch.isin(new, torch.tensor(ends, device=new.device)).any(1)).nonzero()[:, 0]
        if len(keep) == 0:
            break
        going = going[keep]
        out.past_key_values.batch_select_indices(keep)
        given = {
            "input_ids": out.sequences[keep],
            "attention_mask": torch.cat([given["attention_mask"], torch.ones_like(new)], 1)[keep],
            "past_key_values": out.past_key_values,
        }
    return rows


def beam_search(
    model,
    beams: int,
    length_penalty: float,
    prompts: list[list[int]],
    samples: int,
    uniform: torch.Tensor,
    *,
    ends,
    pad,
    **_,
) -> list[list[int]]:
    """The likeliest responses that `beams` beams find; nothing is drawn, so that `uniform` says the length alone."""
    given = _repeated(model, prompts, samples, pad)
    found = model.generate(
        **given,
        num_beams=beams,
        length_penalty=length_penalty,
        early_stopping=True,
        do_sample=False,
        max_new_tokens=uniform.shape[1],
        eos_token_id=ends,
        pad_token_id=pad,
    )
    return found[:, given["input_ids"].shape[1] :].tolist()


def _repeated(model, prompts: list[list[int]], samples: int, pad: int) -> dict:
    """What `generate` takes to draw `samples` from each prompt: the prompts as often, and what the model remembers of
    them, computed once. All but the last token, whose output `generate` needs."""
    input_ids, mask = left_padded(prompts, pad)
    given = {"input_ids": input_ids.to(model.device), "attention_mask": mask.to(model.device)}
    if samples == 1:
        return given
    past = None
    if input_ids.shape[1] > 1:
        position = (given["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        before = {name: value[:, :-1] for name, value in {**given, "position_ids": position}.items()}
        past = model.base_model(**before, use_cache=True).past_key_values
        past.batch_repeat_interleave(samples)
    return {name: value.repeat_interleave(samples, 0) for name, value in given.items()} | {"past_key_values": past}


def _cut(row: list[int], ends: list[int], tokenizer) -> Sample:
    """Keep what comes before and with the first end token; what follows is padding."""
    for position, token in enumerate(row):
        if token in ends:
            return Sample(row[: position + 1], tokenizer.decode(row[:position], skip_special_tokens=True), True)
    return Sample(row, tokenizer.decode(row, skip_special_tokens=True), False)

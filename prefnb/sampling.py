"""Sampling: what a model answers. Greedy, temperature, nucleus, beam search, K samples a prompt, all by `generate`.

Token ids are kept end to end: decoding a response and encoding it again may give other tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.distributed.tensor import DTensor
from tqdm.auto import tqdm
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper

from prefnb.batches import end_of_turn_id, prompt_ids


STAGE = 16  # new tokens after which responses that have ended leave the batch


class Sample(NamedTuple):
    """One response: its token ids (the end-of-turn token included if it came), its text, and whether it ended by
    itself."""

    ids: list[int]
    text: str
    finished: bool


class OneDraw(LogitsProcessor):
    """Draws the next token of every row, (batch, vocabulary) logits, and leaves nothing else for `generate` to choose.

    It takes one random number a row: the token is where the summed probabilities pass it. `generate` itself takes
    one for every word of the vocabulary, which on a CPU was a sixth of the time.
    """

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        passed = scores.softmax(-1).cumsum(-1, dtype=torch.float64)
        if not passed[:, -1].isfinite().all():
            raise FloatingPointError(
                "The model's next-token probabilities are not numbers: its weights have diverged, so nothing can be "
                "sampled. Train again with a smaller learning rate."
            )
        at = torch.rand(len(scores), 1, dtype=torch.float64, device=scores.device) * passed[:, -1:]
        drawn = torch.searchsorted(passed, at, right=True)  # the first above: never a token of probability 0
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


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
    The same seed gives the same samples on the same machine; the global random state is left as it was.
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
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))  # like lengths together: less padding
    end = end_of_turn_id(tokenizer)
    ends = [end] if tokenizer.eos_token_id in (None, end) else [end, tokenizer.eos_token_id]
    settings = dict(
        num_beams=beams,
        do_sample=False,  # `OneDraw` does
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
        return_dict_in_generate=True,
    )
    if beams > 1:
        settings |= dict(length_penalty=length_penalty, early_stopping=True)
    elif temperature > 0:
        nucleus = [TopPLogitsWarper(top_p)] if top_p < 1 else []
        settings |= dict(logits_processor=[TemperatureLogitsWarper(float(temperature)), *nucleus, OneDraw()])
    result: list[Sample | None] = [None] * (len(prompts) * samples)
    was_training = model.training
    model.eval()
    per_batch = max(1, batch_size // samples)
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        for start in tqdm(range(0, len(order), per_batch), desc="sampling", disable=not progress, leave=False):
            part = order[start : start + per_batch]
            input_ids, mask = _left_padded([ids[i] for i in part], tokenizer.pad_token_id)
            with torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda"):
                rows = _responses(model, _repeated(model, input_ids, mask, samples), max_new_tokens, settings)
            for k, row in enumerate(rows):
                result[part[k // samples] * samples + k % samples] = _cut(row, ends, tokenizer)
    model.train(was_training)
    return result


def _responses(model, given: dict, max_new_tokens: int, settings: dict) -> list[list[int]]:
    """The new ids of every row by `generate`, in stages: one long response must not keep all others in the batch.

    given: input_ids and attention_mask, and past_key_values if there are any. Beam search has one stage only.
    """
    stage = STAGE if settings["num_beams"] == 1 else max_new_tokens
    rows = [[] for _ in given["input_ids"]]
    going, left = list(range(len(rows))), max_new_tokens
    while going and left > 0:
        out = model.generate(**given, max_new_tokens=min(stage, left), **settings)
        new = out.sequences[:, given["input_ids"].shape[1] :]
        for number, ids in zip(going, new.tolist()):
            rows[number] += ids
        left -= stage
        keep = (~torch.isin(new, torch.tensor(settings["eos_token_id"], device=new.device)).any(1)).nonzero()[:, 0]
        going = [going[k] for k in keep.tolist()]
        if going and left > 0:
            out.past_key_values.batch_select_indices(keep)
            seen = torch.cat([given["attention_mask"], torch.ones_like(new)], 1)
            given = {
                "input_ids": out.sequences[keep],
                "attention_mask": seen[keep],
                "past_key_values": out.past_key_values,
            }
    return rows


def _repeated(model, input_ids: torch.Tensor, mask: torch.Tensor, samples: int) -> dict:
    """What `generate` takes to draw `samples` from each prompt: the prompts as often, and what the model remembers of
    them, computed once. All but the last token, whose output `generate` needs."""
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


def _left_padded(rows: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Left for generating: the last prompt token must stand next to the first new one."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row)
        mask[i, width - len(row) :] = 1
    return ids, mask


def _cut(row: list[int], ends: list[int], tokenizer) -> Sample:
    """Keep what comes before and with the first end token; what follows is padding."""
    for position, token in enumerate(row):
        if token in ends:
            return Sample(row[: position + 1], tokenizer.decode(row[:position], skip_special_tokens=True), True)
    return Sample(row, tokenizer.decode(row, skip_special_tokens=True), False)

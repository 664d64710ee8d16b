"""From rows of text to batches of token ids, with a mask that says which tokens are the response.

The prompt is rendered with the tokenizer's own chat template; the response's ids are joined to it and closed with the
template's end-of-turn token, which is inside the loss: a model that is never taught to stop never stops.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Iterable, Iterator, Mapping, Sequence

import torch
from jinja2 import TemplateError

TURNS = ({"role": "user", "content": "a question"}, {"role": "assistant", "content": "the answer"})  # to try a template
WINDOW = 32  # batches that are shuffled together before they are sorted by length


@dataclass(frozen=True)
class Batch:
    """Token ids of `len(index)` examples, one row each: the prompt once, then each of its responses. Right-padded.

    A name may stand several times in `names`. Then a row has several responses in it, each an example of its own: all
    rows' first, then all rows' second, and so on.

    input_ids: (batch, time). segment: the same shape, 0 on the prompt, 1, 2, ... on the responses of `names`, -1
    on padding.
    position: the same shape, a token's place in its own dialog: every response goes on where the prompt ends.
    index: which examples; reference: the reference model's responses, if the source of batches has them.
    extras: further tensors, (batch,) or (batch, response time), that the objective takes by name; metrics: (batch,)
    tensors for the history alone; temperature: (batch,) or None, what samples were drawn at.
    """

    input_ids: torch.Tensor
    segment: torch.Tensor
    position: torch.Tensor
    names: tuple[str, ...]
    index: list[int]
    reference: object = None
    extras: dict[str, torch.Tensor] = field(default_factory=dict)
    metrics: dict[str, torch.Tensor] = field(default_factory=dict)
    temperature: torch.Tensor | None = None

    @property
    def response_mask(self) -> torch.Tensor:
        """(batch, time) bool, True on response tokens: what the loss sees."""
        return self.segment > 0

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.segment >= 0).sum())

    def attention_mask(self) -> torch.Tensor | None:
        """(batch, 1, time, time) bool: who may look at whom. None where plain causal attention says the same.

        A response sees the prompt and its own beginning, never another response. With a single response nothing needs
        saying: padding stands on the right, where causal attention never looks back at it from a real token.
        """
        if len(self.names) == 1:
            return None
        seen, looking = self.segment[:, None, :], self.segment[:, :, None]
        return (((seen == 0) | (seen == looking)).tril())[:, None]

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: str | torch.device) -> "Batch":
        """The same batch on another device."""
        if self.input_ids.device == torch.device(device):
            return self
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        if self.reference is not None:
            moved["reference"] = SimpleNamespace(
                **{
                    name: replace(r, token=r.token.to(device), mask=r.mask.to(device))
                    for name, r in vars(self.reference).items()
                }
            )
        for name in ("extras", "metrics"):
            moved[name] = {key: value.to(device) for key, value in getattr(self, name).items()}
        return replace(self, **moved)


@dataclass
class Examples:
    """Tokenised rows: one prompt and, under every name, one response each.

    report: what was left out or cut, in words; kept: the numbers of the rows that are here; labels: one number for each
    example, under every name that the objective takes besides log-probs.
    """

    prompt_ids: list[list[int]]
    responses: dict[str, list[list[int]]]
    kept: list[int]
    report: list[str] = field(default_factory=list)
    labels: dict[str, list] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.prompt_ids)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.responses)

    def plus(self, name: str, ids: list[list[int]]) -> "Examples":
        """The same examples with one more response each, e.g. the reference model's own greedy one."""
        if len(ids) != len(self):
            raise ValueError(f"{len(ids)} responses were given for {len(self)} examples; there must be one each.")
        return replace(self, responses={**self.responses, name: ids})

    def length(self, i: int) -> int:
        """Tokens of example i's row."""
        return len(self.prompt_ids[i]) + sum(len(ids[i]) for ids in self.responses.values())

    def batch(self, index: Sequence[int]) -> Batch:
        """Stack the examples `index`. Masks go by length, never by looking for a pad id."""
        input_ids, segment, position = [], [], []
        for i in index:
            prompt, responses = self.prompt_ids[i], [ids[i] for ids in self.responses.values()]
            start = len(prompt)
            input_ids.append(torch.tensor(sum(responses, prompt)))
            segment.append(torch.tensor(sum(([n] * len(ids) for n, ids in enumerate(responses, 1)), [0] * start)))
            position.append(
                torch.tensor(sum((list(range(start, start + len(ids))) for ids in responses), list(range(start))))
            )
        padded = [
            torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
            for rows, value in ((input_ids, 0), (segment, -1), (position, 0))
        ]
        return Batch(*padded, self.names, list(index))

    def in_order_of_length(self, batch_size: int) -> Iterator[Batch]:
        """Every example once, like lengths together: for passes without training, where the order does not matter."""
        order = sorted(range(len(self)), key=self.length, reverse=True)
        for start in range(0, len(order), batch_size):
            yield self.batch(order[start : start + batch_size])


class Batches:
    """The training loop's source of batches: `epoch(n)` yields, per optimiser step, its micro-batches.

    Examples are shuffled, then sorted by length inside windows of `WINDOW` batches, and the batches are shuffled
    again: every example is seen once an epoch, in random company of its own length. The order is a function of
    (seed, epoch) alone.
    batch_size: examples per optimiser step; accumulation: micro-batches in each, to save memory.
    reference: a `DatasetLogprobs` of the same examples, or None.
    """

    def __init__(self, examples: Examples, batch_size: int, *, accumulation: int = 1, seed: int = 0, reference=None):
        if len(examples) == 0:
            raise ValueError("There is no example to train on; choose other data or a larger limit.")
        self.examples, self.batch_size, self.accumulation = examples, batch_size, accumulation
        self.seed, self.reference = seed, reference
        self.labels = {name: torch.tensor(values) for name, values in examples.labels.items()}

    def __len__(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with one response."""
        answers = zip(*self.examples.responses.values())
        return max(len(ids) + max(map(len, said)) for ids, said in zip(self.examples.prompt_ids, answers))

    def plan(self, epoch: int) -> list[list[int]]:
        """Which examples make up each batch of this epoch."""
        shuffle = random.Random(f"{self.seed}-{epoch}").shuffle
        order = list(range(len(self.examples)))
        shuffle(order)
        batches = []
        for start in range(0, len(order), WINDOW * self.batch_size):
            window = sorted(order[start : start + WINDOW * self.batch_size], key=self.examples.length)
            batches += [window[i : i + self.batch_size] for i in range(0, len(window), self.batch_size)]
        shuffle(batches)
        return batches

    def epoch(self, n: int, shares: int = 1, start: int = 0) -> Iterator[list[Batch]]:
        """Batches of epoch n from its step `start`, each as `accumulation` x `shares` micro-batches (fewer if it has
        fewer examples); shares: one a process."""
        for index in self.plan(n)[start:]:
            parts = min(len(index), self.accumulation * shares)
            yield [
                self._with_what_belongs(
                    self.examples.batch(index[k * len(index) // parts : (k + 1) * len(index) // parts])
                )
                for k in range(parts)
            ]

    def _with_what_belongs(self, batch: Batch) -> Batch:
        """The batch with its part of the reference and of the labels."""
        return replace(
            batch,
            reference=self.reference.batch(batch.index) if self.reference else None,
            extras={name: values[batch.index] for name, values in self.labels.items()},
        )


def from_samples(
    prompts: list[list[int]], samples: list[list[int]], *, temperature: float | Sequence[float] = 1.0, **extras
) -> Batch:
    """A batch of the policy's own samples ("sample"): prompt ids and response ids as they were drawn, never
    re-encoded.

    Several samples of a prompt share its computation: give the first sample of every prompt, then the second of every
    prompt, and so on. temperature: one for all, or each sample's own.
    """
    places, rest = divmod(len(samples), len(prompts))
    if rest or not places:
        raise ValueError(f"{len(samples)} samples cannot be shared evenly among {len(prompts)} prompts.")
    rows = range(len(prompts))
    responses = {place: samples[place * len(rows) : (place + 1) * len(rows)] for place in range(places)}
    return replace(
        Examples(prompts, responses, list(rows)).batch(rows),
        names=("sample",) * places,
        index=list(range(len(samples))),
        extras=extras,
        temperature=torch.tensor(temperature, dtype=torch.float32).expand(len(samples)),
    )


def tokenize(
    rows: Iterable[Mapping],
    tokenizer,
    names: Sequence[str] = ("chosen", "rejected"),
    *,
    max_prompt_tokens: int = 512,
    max_response_tokens: int = 512,
    quiet: bool = False,
) -> Examples:
    """Turn rows (`prompt` as messages, one text column per response) into token ids.

    Rows whose prompt is longer than `max_prompt_tokens` are left out; longer responses are cut (and then have no
    end-of-turn token). Rows whose responses have become equal are left out. What was done is printed and kept in
    `.report`. Raises ValueError if nothing is left.
    """
    end = end_of_turn_id(tokenizer)
    examples = Examples([], {name: [] for name in names}, [])
    long_prompts = cut = equal = 0
    for number, row in enumerate(rows):
        prompt = prompt_ids(tokenizer, row["prompt"])
        if len(prompt) > max_prompt_tokens:
            long_prompts += 1
            continue
        full = [tokenizer.encode(row[name], add_special_tokens=False) + [end] for name in names]
        responses = [ids[:max_response_tokens] for ids in full]
        if any(responses[0] == other for other in responses[1:]):
            equal += 1
            continue
        cut += any(len(ids) > max_response_tokens for ids in full)
        examples.prompt_ids.append(prompt)
        for name, ids in zip(names, responses):
            examples.responses[name].append(ids)
        examples.kept.append(number)
    total = len(examples) + long_prompts + equal
    report = [
        (long_prompts, f"left out: the prompt is longer than {max_prompt_tokens} tokens"),
        (equal, f"left out: {' and '.join(names)} are equal in their first {max_response_tokens} tokens"),
        (cut, f"cut: a response is longer than {max_response_tokens} tokens"),
    ]
    examples.report = [f"{count} of {total} rows {what}." for count, what in report if count]
    if len(examples) == 0:
        raise ValueError("No row is left to work with. " + (" ".join(examples.report) or "The data set is empty."))
    if examples.report and not quiet:
        print(" ".join(examples.report))
    return examples


def prompt_ids(tokenizer, messages: list[dict]) -> list[int]:
    """The ids of a prompt up to and including the opening of the assistant's turn. ValueError if the chat template
    refuses it, e.g. for a role that it does not know."""
    text = _rendered(tokenizer, messages, add_generation_prompt=True)
    # The template writes every special token itself, a leading one included: nothing may be added to it.
    return tokenizer.encode(text, add_special_tokens=False)


def _rendered(tokenizer, messages: list[dict], **settings) -> str:
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, **settings)
    except (TemplateError, TypeError, KeyError, AttributeError, ValueError, IndexError) as error:
        roles = ", ".join(dict.fromkeys(message["role"] for message in messages))
        why = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise ValueError(f"The chat template refuses turns of the roles {roles}: {why}.") from None


def check_template(tokenizer) -> None:
    """Raises ValueError with one sentence unless the chat template writes what user and assistant say."""
    for turns in TURNS[:1], TURNS:
        text = _rendered(tokenizer, list(turns), add_generation_prompt=len(turns) == 1)
        if any(turn["content"] not in text for turn in turns):
            raise ValueError(f"it does not write what the {turns[-1]['role']} says.")


def end_of_turn_id(tokenizer) -> int:
    """The id that closes an assistant's turn in the chat template: `<|im_end|>` for Qwen2.5, whose `eos_token` is
    another."""
    text, answer = _rendered(tokenizer, list(TURNS)), TURNS[-1]["content"]
    after = tokenizer.encode(text[text.rindex(answer) + len(answer) :], add_special_tokens=False)
    closing = [i for i in after if i in tokenizer.all_special_ids or i in tokenizer.added_tokens_decoder]
    if closing:
        return closing[0]
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "The tokenizer has no token that ends a turn: neither its chat template nor eos_token names one."
        )
    return tokenizer.eos_token_id

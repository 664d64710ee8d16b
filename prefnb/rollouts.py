"""The policy's own samples as the training loop's source of batches: for REINFORCE, RLOO, GRPO.

Pairs are there before training; samples are not. Each time the loop asks for a batch, the policy as it is then answers
some prompts K times each, a judge scores the answers, and rewards become advantages:

    prompts -> samples (K a prompt) -> judge -> rewards (prompts, K) -> advantages -> batch -> the loop's next step
"""

from __future__ import annotations

import random
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Callable, Iterator, Sequence

import numpy as np
import torch
from accelerate.utils import gather_object

from prefnb.batches import Batch, from_samples, prompt_ids
from prefnb.logprobs import Scorer
from prefnb.processes import processes
from prefnb.estimators.groups import dead_groups
from prefnb.sampling import Sample, sample

PLACES = 4  # samples in a row: with more, attention over the longer row costs what the prompt saves


@dataclass(frozen=True)
class Drawn:
    """Answers to some prompts with what they are worth; the K samples of a prompt in a row.

    prompts: message lists, (prompts,); samples, temperatures: (prompts * K,); parts: the judge's, (prompts * K,) each;
    rewards, advantages: (prompts, K).
    """

    prompts: list[list[dict]]
    samples: list[Sample]
    temperatures: list[float]
    parts: dict[str, np.ndarray]
    rewards: torch.Tensor
    advantages: torch.Tensor

    def metrics(self) -> dict[str, torch.Tensor]:
        """What the history keeps of every sample, (prompts * K,): its reward and the parts of it, how much these
        differ within its group (a spread of 0 teaches nothing), whether its group is dead, whether it never ended."""
        k = self.rewards.shape[1]
        columns = {"": self.rewards.flatten()} | {f"_{name}": torch.tensor(v).float() for name, v in self.parts.items()}
        spread = lambda v: v.reshape(-1, k).std(1, correction=0).repeat_interleave(k)  # noqa: E731
        return {
            **{f"reward{name}": values for name, values in columns.items()},
            **{f"spread{name}": spread(values) for name, values in columns.items()},
            "dead_groups": dead_groups(self.rewards).float().repeat_interleave(k),
            "unfinished": torch.tensor([float(not one.finished) for one in self.samples]),
        }


def check_groups(samples: int, temperatures: Sequence[float]) -> None:
    """ValueError if K samples a prompt cannot be drawn at these temperatures, as many at each."""
    if samples % len(temperatures) or min(temperatures) <= 0:
        raise ValueError(
            f"{samples} samples a prompt cannot be shared evenly among the temperatures {list(temperatures)}; make "
            "samples a multiple of their number, and every temperature greater than 0."
        )


class Rollouts:
    """`epoch(n)` yields, per optimiser step, the micro-batches of fresh samples, drawn when it is asked for.

    prompts: message lists. judge(prompts, texts) -> `judges.Scores`, whose total is the reward.
    advantages: (prompts, K) rewards -> (prompts, K), e.g. `rloo.leave_one_out`; objectives get them, flat,
    as `advantage`.
    samples: K, shared evenly among `temperatures`; log-probs are those at each sample's own temperature.
    reference_model: needed by a KL, else None, and nothing is computed.
    updates: steps taken on each batch of samples. Above 1, objectives also get `old`, the log-probs before the first.
    An epoch asks every prompt once. The same seed gives the same samples for the same weights.
    """

    def __init__(
        self,
        policy,
        tokenizer,
        prompts: Sequence[list[dict]],
        judge: Callable,
        advantages: Callable,
        *,
        prompts_per_step: int = 16,
        samples: int = 8,
        temperatures: Sequence[float] = (1.0,),
        max_new_tokens: int = 96,
        reference_model=None,
        updates: int = 1,
        accumulation: int = 1,
        seed: int = 0,
    ):
        if len(prompts) == 0:
            raise ValueError("There is no prompt to answer; choose other data or a larger limit.")
        check_groups(samples, temperatures)
        self.policy, self.tokenizer, self.prompts = policy, tokenizer, list(prompts)
        self.judge, self.advantages = judge, advantages
        self.prompts_per_step, self.samples, self.temperatures = prompts_per_step, samples, list(temperatures)
        self.max_new_tokens, self.reference_model = max_new_tokens, reference_model
        self.updates, self.accumulation, self.seed = updates, accumulation, seed

    def __len__(self) -> int:
        return -(-len(self.prompts) // self.prompts_per_step) * self.updates

    @cached_property
    def prompt_ids(self) -> list[list[int]]:
        """Every prompt as token ids."""
        return [prompt_ids(self.tokenizer, prompt) for prompt in self.prompts]

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with a response as long as it may be."""
        return max(map(len, self.prompt_ids)) + self.max_new_tokens

    def epoch(self, n: int, shares: int = 1, start: int = 0) -> Iterator[list[Batch]]:
        """The batches of epoch n from step `start` of it, each as `accumulation` x `shares` micro-batches.

        In the midst of several updates it would draw new samples for the rest: the loop never keeps a run there.
        """
        order = list(range(len(self.prompts)))
        random.Random(f"{self.seed}-{n}").shuffle(order)
        for number in range(start // self.updates, len(self) // self.updates):
            index = order[number * self.prompts_per_step : (number + 1) * self.prompts_per_step]
            seed = random.Random(f"{self.seed}-{n}-{number}").randrange(2**31)
            parts = self.batches(self.draw(index, seed), self.accumulation * shares)
            for _ in range(max(start, number * self.updates), (number + 1) * self.updates):
                yield parts

    def draw(self, index: Sequence[int], seed: int) -> Drawn:
        """K answers by the policy to each of the prompts `index`, judged."""
        drawn, temperatures = self._answers(index, seed), []
        for temperature in self.temperatures:
            temperatures += [temperature] * (self.samples // len(self.temperatures))
        prompts = [self.prompts[i] for i in index]
        scores = self.judge([prompt for prompt in prompts for _ in range(self.samples)], [one.text for one in drawn])
        rewards = torch.tensor(scores.total, dtype=torch.float32).reshape(len(index), self.samples)
        if not rewards.isfinite().all():
            raise ValueError("The judge gave rewards that are not finite numbers; nothing can be learnt from them.")
        if not any(one.finished for one in drawn):
            warnings.warn(
                f"None of the {len(drawn)} samples of a step ended within {self.max_new_tokens} tokens; raise "
                "max_new_tokens, or start from a policy that has learnt to stop.",
                stacklevel=2,
            )
        return Drawn(prompts, drawn, temperatures * len(index), scores.parts, rewards, self.advantages(rewards))

    def _answers(self, index: Sequence[int], seed: int) -> list[Sample]:
        """The samples, prompt by prompt, the same however many processes share the prompts among them."""
        state, found = processes(), []
        first = {}  # equal prompts are asked by one process, so that `sample` counts them and their answers differ
        owner = [first.setdefault(tuple(self.prompt_ids[i]), len(first)) % state.num_processes for i in index]
        mine = [place for place, process in enumerate(owner) if process == state.process_index]
        k = self.samples // len(self.temperatures)
        for number, temperature in enumerate(self.temperatures if mine else []):
            drawn = sample(
                self.policy,
                self.tokenizer,
                [self.prompt_ids[index[place]] for place in mine],
                samples=k,
                temperature=temperature,
                max_new_tokens=self.max_new_tokens,
                seed=seed + number,  # no two temperatures draw with the same random numbers
            )
            found += [(place, number, drawn[i * k : (i + 1) * k]) for i, place in enumerate(mine)]
        in_order = sorted(gather_object(found), key=lambda one: one[:2])
        return [Sample(*one) for _, _, samples in in_order for one in samples]

    def batches(self, drawn: Drawn, parts: int = 1) -> list[Batch]:
        """The samples as `parts` batches (fewer if there are fewer rows), like lengths together, with all that the
        objective needs. Up to `PLACES` samples of a prompt are in one row and share its computation.

        Where there is a reference, only prompts of like lengths are together. The baseline of a KL (`kl.sampled_kl`)
        is the mean of a batch's other samples; if a sample's own length chose them, its gradient would be biased.
        """
        places = max(number for number in range(1, PLACES + 1) if self.samples % number == 0)
        rows = [range(start, start + places) for start in range(0, len(drawn.samples), places)]
        asked = [prompt_ids(self.tokenizer, prompt) for prompt in drawn.prompts]
        prompts = {row: asked[row.start // self.samples] for row in rows}
        answers = {row: sum(len(drawn.samples[i].ids) for i in row) for row in rows}
        rows.sort(key=lambda row: len(prompts[row]) + (answers[row] if self.reference_model is None else 0))
        advantage, metrics, parts = drawn.advantages.flatten(), drawn.metrics(), min(parts, len(rows))
        cut = []
        for part in range(parts):
            here = rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]
            numbers = [row[place] for place in range(places) for row in here]  # in the order of `from_samples`
            batch = from_samples(
                [prompts[row] for row in here],
                [drawn.samples[i].ids for i in numbers],
                temperature=[drawn.temperatures[i] for i in numbers],
                advantage=advantage[numbers],
            )
            batch = replace(batch, metrics={name: values[numbers] for name, values in metrics.items()})
            cut.append(self._with_logprobs(batch.to(self.policy.device)))
        return cut

    @torch.no_grad()
    def _with_logprobs(self, batch: Batch) -> Batch:
        if self.updates > 1:
            batch = replace(batch, extras={**batch.extras, "old": Scorer(self.policy)(batch).sample.token})
        if self.reference_model is not None:
            batch = replace(batch, reference=Scorer(self.reference_model)(batch))
        return batch

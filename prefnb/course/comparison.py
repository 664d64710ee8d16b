"""How did it go: policies compared on the same test prompts, by any judge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from prefnb import data, evaluate
from prefnb.batches import Examples, prompt_ids
from prefnb.course.answers import DECODINGS, answers_of
from prefnb.course.settings import Judging
from prefnb.evaluate import Collapse, WinRate
from prefnb.judges import GoldJudge, Judge, Scores, score_samples
from prefnb.logprobs import DatasetLogprobs
from prefnb.sampling import Sample


@dataclass
class Comparison:
    """What several policies answered to the same n prompts, and what the judge says of it.

    prompts, categories, references: n each. answers: {label: n * K samples}, the K of a prompt in a row; scores:
    {label: (n, K)}, empty without a judge. gold: who knows what is wrong with an answer, if the data have such a judge.
    """

    prompts: list[list[dict]]
    categories: list[str]
    references: list[str]
    answers: dict[str, list[Sample]]
    scores: dict[str, Scores]
    baseline: str
    judge: Judge | None
    gold: GoldJudge | None = None

    @property
    def tie(self) -> float:
        """Up to which difference in score two answers count as equally good."""
        return self.judge.tie if self.judge else 0.0

    @cached_property
    def win_rates(self) -> dict[str, WinRate]:
        """{label: win rate over the baseline}, every draw against every draw; empty without a judge."""
        return {label: self.win_rate(label) for label in self.scores if label != self.baseline}

    def win_rate(self, label: str, against: str | None = None) -> WinRate:
        """A policy's win rate over the baseline, or over the policy `against`."""
        return evaluate.win_rate(self.scores[label], self.scores[against or self.baseline], self.tie)

    def by_category(self, label: str, against: str | None = None) -> dict[str, WinRate]:
        """{category: win rate}; empty without a judge or categories."""
        if not self.judge or not any(self.categories):
            return {}
        other = self.scores[against or self.baseline]
        return evaluate.by_category(self.scores[label], other, self.categories, tie=self.tie)

    def flaws(self, label: str) -> dict[str, np.ndarray]:
        """{flaw: which of a policy's answers have it, bool (n, K)}; empty where no gold judge knows."""
        texts = [one.text for one in self.answers[label]]
        found = self.gold.flaws(self.asked(label), texts) if self.gold else {}
        return {name: hits.reshape(len(self.prompts), -1) for name, hits in found.items()}

    def collapse(self, label: str) -> Collapse:
        """Whether a policy still says anything, by its answers beside the baseline's."""
        return evaluate.collapse_check(self.answers[label], self.answers[self.baseline])

    def outcomes(self, label: str, against: str | None = None) -> np.ndarray:
        """What each prompt says of a policy and the baseline, or the policy `against`: (n,), the mean over all
        comparisons of 1 for a win, .5 for a tie, 0 for a loss. Their mean is the win rate."""
        return evaluate.outcomes(self.scores[label], self.scores[against or self.baseline], self.tie)

    def draws(self, label: str) -> int:
        """K: how many answers to each prompt a policy gave."""
        return len(self.answers[label]) // len(self.prompts)

    def texts(self, label: str) -> list[str]:
        """One answer of a policy to each prompt, its first, as n strings: for reading."""
        return [one.text for one in self.answers[label][:: self.draws(label)]]

    def lengths(self, label: str) -> np.ndarray:
        """The tokens of a policy's answers, (n, K)."""
        return np.array([len(one.ids) for one in self.answers[label]]).reshape(len(self.prompts), -1)

    def asked(self, label: str) -> list[list[dict]]:
        """Every prompt as often as a policy answered it: what `answers[label]` answer, one by one."""
        return [prompt for prompt in self.prompts for _ in range(self.draws(label))]

    def scores_by(self, judge: Judge, label: str) -> Scores:
        """What another judge says of a policy's answers, (n, K)."""
        return score_samples(judge, self.prompts, self.answers[label])


def compare(
    policies: dict,
    tokenizer: PreTrainedTokenizerBase,
    p: Judging,
    *,
    judge: Judge | None = None,
    baseline: str = "SFT",
    decoding: str = "sampled",
    temperature: float | None = None,
) -> Comparison:
    """Let every policy of {label: model} answer the test prompts of `p.dataset`, and the judge score the answers.

    `p.draws` answers to each of `p.test_prompts` prompts, by `answers_of`: a policy's win rate over `baseline` is the
    same whatever else is compared, under whatever labels. They are decoded as `DECODINGS` says under the name
    `decoding`, at another `temperature` if one is given. The judge is the data's own unless another is given; with none
    there are answers and no scores, which is said. ValueError if there is no policy `baseline` or no such decoding.
    """
    if baseline not in policies:
        raise ValueError(f"There is no policy '{baseline}' to compare with; there are {', '.join(policies)}.")
    if decoding not in DECODINGS:
        raise ValueError(f"There is no decoding '{decoding}'; there are {', '.join(DECODINGS)}.")
    source = data.Source(p.dataset)
    judge = judge or source.judge
    rows = source.prompts("test", limit=p.test_prompts, seed=p.seed)
    prompts = list(rows["prompt"])
    settings = dict(draws=p.draws, max_new_tokens=p.max_response_tokens) | DECODINGS[decoding]
    if temperature is not None:
        settings["temperature"] = temperature
    answers = {label: answers_of(model, tokenizer, prompts, **settings) for label, model in policies.items()}
    column = lambda name: list(rows[name]) if name in rows.column_names else [""] * len(rows)  # noqa: E731
    scores = {}
    if judge:
        scores = {label: score_samples(judge, prompts, drawn) for label, drawn in answers.items()}
    else:
        print(
            "No program knows the right answers here, so there are no win rates: look at margins and held-out accuracy, "
            "or let a reward model judge (judge='proxy', or its folder or hub name)."
        )
    return Comparison(prompts, column("category"), column("reference"), answers, scores, baseline, judge, source.judge)


def sampled_kl(
    policy: torch.nn.Module,
    reference_model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list,
    *,
    max_new_tokens: int,
) -> dict:
    """KL(policy || reference) in nats per response, estimated on one answer of the policy to each prompt at
    temperature 1 (k1 and k3); the answers are `answers_of`'s."""
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    drawn = answers_of(policy, tokenizer, ids, draws=1, temperature=1.0, max_new_tokens=max_new_tokens)
    samples = Examples(ids, {"sample": [one.ids for one in drawn]}, list(range(len(ids))))
    return evaluate.kl(
        DatasetLogprobs.compute(policy, samples).all().sample,
        DatasetLogprobs.compute(reference_model, samples).all().sample,
    )

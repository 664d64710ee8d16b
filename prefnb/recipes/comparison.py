"""How did it go: policies compared on the same test prompts, and what a run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from prefnb import data, evaluate
from prefnb.batches import Examples, prompt_ids
from prefnb.evaluate import WinRate, win_rate
from prefnb.files import write_json
from prefnb.judges import GoldJudge, Scores, score_samples
from prefnb.logprobs import DatasetLogprobs
from prefnb.recipes.common import answers_of
from prefnb.sampling import Sample
from prefnb.training import History


@dataclass
class Comparison:
    """What several policies answered to the same n prompts, and what the judge says of it.

    prompts, categories, references: n each. answers: {label: n * K samples}, the K of a prompt in a row; scores:
    {label: (n, K)}, empty without a judge that knows the answers. tie: the judge's.
    """

    prompts: list[list[dict]]
    categories: list[str]
    references: list[str]
    answers: dict[str, list[Sample]]
    scores: dict[str, Scores]
    baseline: str
    tie: float

    @property
    def judged(self) -> bool:
        """Is there a judge that knows the answers?"""
        return bool(self.scores)

    @cached_property
    def win_rates(self) -> dict[str, WinRate]:
        """{label: win rate over the baseline}, every draw against every draw; empty without a judge."""
        return {
            label: win_rate(found, self.scores[self.baseline], self.tie)
            for label, found in self.scores.items()
            if label != self.baseline
        }

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

    def scores_by(self, judge, label: str) -> Scores:
        """What another judge says of a policy's answers, (n, K)."""
        return score_samples(judge, self.prompts, self.answers[label])


def compare(
    policies: dict, tokenizer, p: SimpleNamespace, *, baseline: str = "SFT", temperature: float = 0.7
) -> Comparison:
    """Let every policy of {label: model} answer the test prompts of `p.dataset`, judge the answers, and compare.

    `p.draws` answers to each of `p.test_prompts` prompts, by `answers_of`: a policy's win rate over `baseline` is the
    same whatever else is compared, under whatever labels. ValueError if there is no policy `baseline`.
    """
    if baseline not in policies:
        raise ValueError(f"There is no policy '{baseline}' to compare with; there are {', '.join(policies)}.")
    rows = data.load_prompts(p.dataset, "test", limit=p.test_prompts, seed=p.seed)
    prompts = list(rows["prompt"])
    settings = dict(draws=p.draws, temperature=temperature, max_new_tokens=p.max_response_tokens)
    answers = {label: answers_of(model, tokenizer, prompts, **settings) for label, model in policies.items()}
    column = lambda name: list(rows[name]) if name in rows.column_names else [""] * len(rows)  # noqa: E731
    judge, scores = GoldJudge(), {}
    if data.is_pocket(p.dataset):
        scores = {label: score_samples(judge, prompts, drawn) for label, drawn in answers.items()}
    else:
        print(
            "No gold judge can know the right answers here: look at the margins and the accuracy on held-out pairs instead."
        )
    return Comparison(prompts, column("category"), column("reference"), answers, scores, baseline, judge.tie)


def sampled_kl(policy, reference_model, tokenizer, prompts: list, *, max_new_tokens: int) -> dict:
    """KL(policy || reference) in nats per response, estimated on one answer of the policy to each prompt at
    temperature 1 (k1 and k3); the answers are `answers_of`'s."""
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    drawn = answers_of(policy, tokenizer, ids, draws=1, temperature=1.0, max_new_tokens=max_new_tokens)
    samples = Examples(ids, {"sample": [one.ids for one in drawn]}, list(range(len(ids))))
    return evaluate.kl(
        DatasetLogprobs.compute(policy, samples).all().sample,
        DatasetLogprobs.compute(reference_model, samples).all().sample,
    )


def record(folder: Path, p: SimpleNamespace, histories: dict[str, History], comparison: Comparison, **summary) -> Path:
    """Write a run's parameters, histories, responses with scores, and summary as JSON into `folder`; returns it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "parameters.json", vars(p))
    for label, history in histories.items():
        history.save(folder / f"history_{label.replace(' ', '_')}.json")
    write_json(folder / "responses.json", _responses(comparison))
    write_json(
        folder / "summary.json",
        {
            "baseline": comparison.baseline,
            "prompts": len(comparison.prompts),
            "draws": comparison.draws(comparison.baseline),
            "win_rates": {label: _figures(rate) for label, rate in comparison.win_rates.items()},
            **summary,
        },
    )
    return folder


def _responses(comparison: Comparison) -> list[dict]:
    """One row for every answer of every policy; `draw` counts the answers of a policy to a prompt from 0."""
    rows = []
    for label, drawn in comparison.answers.items():
        scores = comparison.scores[label].total.ravel() if comparison.judged else None
        for i, one in enumerate(drawn):
            number, draw = divmod(i, comparison.draws(label))
            rows.append(
                {
                    "prompt": comparison.prompts[number][-1]["content"],
                    "category": comparison.categories[number],
                    "method": label,
                    "draw": draw,
                    "response": one.text,
                    "finished": one.finished,
                    **({} if scores is None else {"score": float(scores[i])}),
                }
            )
    return rows


def _figures(rate: WinRate) -> dict:
    """A win rate as `summary.json` has it."""
    return {
        "rate": rate.rate,
        "interval": rate.interval,
        "strict": rate.strict,
        "ties": rate.tie_share,
        "mean_difference": rate.mean_difference,
        "difference_interval": rate.difference_interval,
    }

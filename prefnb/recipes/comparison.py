"""How did it go: policies compared on the same test prompts, and what a run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from prefnb import data, evaluate
from prefnb.batches import Examples, prompt_ids
from prefnb.evaluate import WinRate, win_rate
from prefnb.files import write_json
from prefnb.judges import GoldJudge, Scores
from prefnb.logprobs import DatasetLogprobs
from prefnb.sampling import Sample, sample
from prefnb.train import History


@dataclass
class Comparison:
    """What several policies answered to the same test prompts. Without a judge that knows, scores and win_rates
    are empty."""

    prompts: list[list[dict]]
    categories: list[str]
    references: list[str]
    answers: dict[str, list[Sample]]
    scores: dict[str, Scores]
    win_rates: dict[str, WinRate]
    baseline: str
    tie: float

    @property
    def judged(self) -> bool:
        """Is there a judge that knows the answers?"""
        return bool(self.scores)

    def texts(self, label: str) -> list[str]:
        """The answers of one policy as strings."""
        return [one.text for one in self.answers[label]]


def compare(
    policies: dict, tokenizer, p: SimpleNamespace, *, baseline: str = "SFT", temperature: float = 0.7
) -> Comparison:
    """Let every policy answer the test prompts of `p.dataset`, judge the answers, and compare with `baseline`.

    Every policy samples with a seed of its own: with one for all, policies that are nearly the same give many of the
    same answers, and the comparison is mostly ties.
    """
    rows = data.load_prompts(p.dataset, "test", limit=p.test_prompts, seed=p.seed)
    prompts = list(rows["prompt"])
    answers = {
        label: sample(
            model,
            tokenizer,
            prompts,
            temperature=temperature,
            seed=p.seed + number,
            max_new_tokens=p.max_response_tokens,
        )
        for number, (label, model) in enumerate(policies.items())
    }
    column = lambda name: list(rows[name]) if name in rows.column_names else [""] * len(rows)  # noqa: E731
    judge, scores, rates = GoldJudge(), {}, {}
    if data.is_pocket(p.dataset):
        scores = {label: judge(prompts, [one.text for one in drawn]) for label, drawn in answers.items()}
        rates = {
            label: win_rate(found, scores[baseline], tie=judge.tie)
            for label, found in scores.items()
            if label != baseline
        }
    else:
        print(
            "No gold judge can know the right answers here: look at the margins and the accuracy on held-out pairs instead."
        )
    return Comparison(prompts, column("category"), column("reference"), answers, scores, rates, baseline, judge.tie)


def sampled_kl(policy, reference_model, tokenizer, prompts: list, *, max_new_tokens: int, seed: int = 0) -> dict:
    """KL(policy || reference) in nats per response, estimated on the policy's own samples at temperature 1 (k1 and
    k3)."""
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    drawn = sample(policy, tokenizer, ids, temperature=1.0, max_new_tokens=max_new_tokens, seed=seed)
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
    write_json(
        folder / "responses.json",
        [
            {
                "prompt": prompt[-1]["content"],
                "category": category,
                "method": label,
                "response": one.text,
                "finished": one.finished,
                **({"score": float(comparison.scores[label].total[i])} if comparison.judged else {}),
            }
            for label, drawn in comparison.answers.items()
            for i, (prompt, category, one) in enumerate(zip(comparison.prompts, comparison.categories, drawn))
        ],
    )
    rates = {
        label: {"half": rate.half, "strict": rate.strict, "ties": rate.tie_share, "interval": rate.half_interval}
        for label, rate in comparison.win_rates.items()
    }
    write_json(
        folder / "summary.json",
        {"baseline": comparison.baseline, "prompts": len(comparison.prompts), "win_rates": rates, **summary},
    )
    return folder

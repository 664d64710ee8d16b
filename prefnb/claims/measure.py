"""What is kept of a policy: plain numbers that fit into JSON.

Scores are ten-thousandths of the gold judge's points, in whole numbers, the draws of a prompt in a row; the prompts are all
of the test split in the order of its file. Answers are drawn at temperature 0.7 by `course.answers_of`, so that a policy
has the win rate here that it has in a notebook.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from prefnb import course, data, evaluate, judges, pairs, parameters
from prefnb.batches import Examples, tokenize
from prefnb.course import Trained
from prefnb.logprobs import DatasetLogprobs
from prefnb.methods import reward_model
from prefnb.methods.dpo import Settings as PairSettings
from prefnb.pocket import FLAWS

DRAWS, TOKENS, TEMPERATURE = 4, 112, 0.7
HELD_OUT, KL_PROMPTS, POINTS = 256, 128, 64
POINT = 10_000  # the parts of a gold point in which scores are kept: with thousandths some pairs tie that did not
SHOWN = (
    "loss",
    "margin",
    "accuracy",
    "logp_chosen",
    "logp_rejected",
    "reward",
    "entropy",
    "length",
    "kl_k3",
    "penalty",
)


@cache
def test_prompts(limit: int | None = None) -> dict[str, list]:
    """The test prompts with their categories and reference answers; `limit` of them for a quick look."""
    rows = data.Source("pocket").prompts("test", limit=limit, seed=0)
    return {name: list(rows[name]) for name in ("prompt", "category", "reference")}


@cache
def proxy() -> judges.RewardModel:
    """The reward model of the proxy's column: the one that comes ready-made, whatever the seed."""
    return reward_model.proxy(parameters.check({}, course.Judging))


def measure(made: Trained, reference: Trained, *, whole: bool, prompts: int | None = None) -> dict:
    """A policy's figures, beside the SFT policy that it started from. whole: all there are, else what a sweep needs.
    prompts: on so many test prompts, and held-out pairs, only."""
    asked, judge = test_prompts(prompts), judges.GoldJudge()
    settings = dict(temperature=TEMPERATURE, max_new_tokens=TOKENS)
    drawn = course.answers_of(made.model, made.tokenizer, asked["prompt"], draws=DRAWS if whole else 2, **settings)
    found = scored(drawn, asked["prompt"]) | {
        "parts": {name: float(part.mean()) for name, part in judges.score_samples(judge, asked["prompt"], drawn).parts.items()},
        "flaws": flaws(drawn, asked["prompt"]),
        "finished": evaluate.finished_share(drawn),
        "mean_length": evaluate.mean_length(drawn),
        "distinct_2": evaluate.distinct_n(drawn[:: len(drawn) // len(asked["prompt"])]),
        "held_out": held_out(made, reference, whole, min(prompts or HELD_OUT, HELD_OUT)),
        "seconds": round(made.history.seconds, 1),
        "roughness": {name: roughness(made.history[name][1]) for name in ("loss", "reward") if name in made.history.names},
        "history": thinned(made.history, POINTS if whole else POINTS // 4),
    }  # fmt: skip
    if not whole:
        return rounded(found)
    first = [one.text for one in drawn[::DRAWS]]
    everything = [prompt for prompt in asked["prompt"] for _ in range(2)]
    two = [one.text for i, one in enumerate(drawn) if i % DRAWS < 2]
    greedy = course.answers_of(made.model, made.tokenizer, asked["prompt"], draws=1, **settings | {"temperature": 0.0})
    kl = course.sampled_kl(
        made.model, reference.model, made.tokenizer, asked["prompt"][:KL_PROMPTS], max_new_tokens=TOKENS
    )
    found |= {
        "lengths": [len(one.ids) for one in drawn],
        "proxy": [round(100 * float(one)) for one in course.scores_of(proxy(), everything, two)],
        "greedy": {"gold": float(judge(asked["prompt"], [one.text for one in greedy]).total.mean()), "flaws": flaws(greedy, asked["prompt"])},
        "kl": {name: kl[name] for name in ("k1", "k3", "per_token")} | {"interval": list(kl["interval"])},
        "bleu": evaluate.bleu(first, asked["reference"]),
        "self_bleu": evaluate.self_bleu(first),
        "perplexity": perplexity(made, asked),
    }  # fmt: skip
    return rounded(found)


def measure_best(made, *, prompts: int | None = None) -> dict:
    """Best-of-n's figures: two answers a prompt, each the one of n samples that the reward model likes best."""
    asked, n = test_prompts(prompts), made.n
    policy = made.policy
    settings = dict(draws=2 * n, temperature=TEMPERATURE, max_new_tokens=TOKENS)
    drawn = course.answers_of(policy.model, policy.tokenizer, asked["prompt"], **settings)
    each = [prompt for prompt in asked["prompt"] for _ in range(2 * n)]
    scores = made.judge(each, [one.text for one in drawn]).total.reshape(-1, n)
    groups = [drawn[i : i + n] for i in range(0, len(drawn), n)]
    best = pairs.best_of(groups, scores)
    figures = {"flaws": flaws(best, asked["prompt"]), "mean_length": evaluate.mean_length(best)}
    return rounded(scored(best, asked["prompt"]) | figures)


def scored(drawn: list, prompts: list) -> dict:
    """The gold scores of answers to the prompts."""
    found = judges.score_samples(judges.GoldJudge(), prompts, drawn)
    return {"gold": float(found.total.mean()), "scores": [round(POINT * float(one)) for one in found.total.ravel()]}


def flaws(drawn: list, prompts: list) -> dict[str, float]:
    """{flaw: share of answers that show it}."""
    draws = len(drawn) // len(prompts)
    found = judges.GoldJudge().flaws([prompt for prompt in prompts for _ in range(draws)], [one.text for one in drawn])
    return {name: float(found[name].mean()) for name in FLAWS}


def held_out(made: Trained, reference: Trained, whole: bool, limit: int) -> dict:
    """How far the policy has moved the sums of log-probs of held-out pairs, in nats: means of d(yw) and d(yl), the shares
    of pairs moved the right way and the wrong way, and all of them if `whole`."""
    p = parameters.check({}, PairSettings)
    examples = course.pair_examples(p, made.tokenizer, "test", limit)
    before, after = (
        course.reference(reference.model, examples).all(),
        DatasetLogprobs.compute(made.model, examples).all(),
    )
    chosen, rejected = (
        (getattr(after, side).sum - getattr(before, side).sum).numpy() for side in ("chosen", "rejected")
    )
    found = {"chosen": float(chosen.mean()), "rejected": float(rejected.mean()),
             "right": float((chosen > rejected).mean()), "wrong": float((chosen < rejected).mean())}  # fmt: skip
    return found | (
        {"d_chosen": [round(float(one), 2) for one in chosen], "d_rejected": [round(float(one), 2) for one in rejected]}
        if whole
        else {}
    )


def perplexity(made: Trained, asked: dict[str, list]) -> float:
    """Of the prompts' reference answers."""
    rows = [{"prompt": prompt, "response": said} for prompt, said in zip(asked["prompt"], asked["reference"])]
    examples: Examples = tokenize(rows, made.tokenizer, ("response",), max_response_tokens=TOKENS, quiet=True)
    found = DatasetLogprobs.compute(made.model, examples).all().response
    return evaluate.perplexity(found.sum, found.length)


def roughness(values: np.ndarray) -> float:
    """Von Neumann's ratio: the mean squared step from one value to the next, over the variance. 2 for noise without a
    trend, near 0 for a smooth curve."""
    values = np.asarray(values, dtype=float)
    return float(np.mean(np.diff(values) ** 2) / max(values.var(), 1e-12)) if len(values) > 2 else float("nan")


def thinned(history, points: int) -> dict[str, list]:
    """{"step": [...], name: [...]}: means over equal stretches of steps, at most `points` of them."""
    kept = {}
    for name in [name for name in SHOWN if name in history.names]:
        steps, values = history[name]
        parts = [part for part in np.array_split(np.arange(len(values)), min(points, len(values))) if len(part)]
        kept[name] = [
            [float(steps[part].mean()) for part in parts],
            [float(np.nanmean(values[part])) for part in parts],
        ]
    return kept


def rounded(value):
    """The same with four significant digits to every fraction; what is not finite is None."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value

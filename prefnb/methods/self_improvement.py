"""Self-improvement: rounds of DPO on the policy's own best and worst samples, in its weakest categories (002 §3.3)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Literal

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from prefnb import data, evaluate, models, pairs, parameters, pocket
from prefnb.batches import Batches, Examples, prompt_ids
from prefnb.cache import cached, digest
from prefnb.course.answers import samples_of
from prefnb.course.examples import reference
from prefnb.course.fitting import fit
from prefnb.course.policies import Trained, loop, trained, unfinished
from prefnb.evaluate import WinRate
from prefnb.judges import Judge
from prefnb.logprobs import DatasetLogprobs
from prefnb.methods import rs_dpo
from prefnb.methods.dpo import dpo
from prefnb.methods.reward_model import proxy
from prefnb.methods.sft import starting_policy
from prefnb.parameters import DataName, setting
from prefnb.sampling import Sample
from prefnb.source import code_of
from prefnb.training import History, train

LABEL = "self-improvement"
COLOUR = "#999933"
NEW_PROMPTS = 5000  # in one category of the pocket world: it has more, but looks for the last of them for minutes


class RoundSettings(rs_dpo.Settings):
    """What the rounds need whoever judges. 002 §3.3: eight samples a prompt at three temperatures, three epochs; the
    paper ran one round of 600 + 400 prompts."""

    epochs: float = setting("passes over the pairs of a round", low=0.001, high=1000, every=3.0)
    rounds: int = setting("rounds of samples, pairs and training", low=1, high=100, every=3)
    weakest: int = setting("categories that new prompts are from", low=1, high=1000, every=2)
    prompts: int = setting("new prompts in a round", low=1, pocket=128, qwen=1000)
    temperatures: list[float] = setting(
        "one for each sample of a prompt", low=0.01, high=2, every=[0.2] * 2 + [0.7] * 3 + [1.2] * 3
    )
    scout_prompts: int = setting("prompts that show which categories are weak", low=1, pocket=200, qwen=1000)
    new_prompts: DataName | None = setting("a file of prompts (None: the pocket world writes them)", every=None)


class Settings(RoundSettings):
    judge: Literal["reward_model", "likelihood"] = setting("who grades the samples", every="reward_model")


def recipe(**given) -> Trained:
    """Self-improvement from the RS-DPO policy, with `Settings`.

    `epochs` and `learning_rate` are those of a round. The weakest categories are the reward model's choice, whoever
    judges the samples. The history's rows tell their `round`. Raises ValueError before any work if there is no source
    of new prompts.
    """
    p = parameters.check(given, Settings)
    check_rounds(p)

    def make() -> Trained:
        sft, tokenizer = starting_policy(p)
        start, judge = round_start(p).model, proxy(p)
        asked = new_prompts(p, weakest(scout(p, sft, start, tokenizer).rates(judge), p.weakest))
        score = by_likelihood if p.judge == "likelihood" else by_reward(judge)
        done = improve(start, tokenizer, asked, score, p, checkpoint=unfinished("self_improvement", p))
        return Trained(done[-1].model, tokenizer, _joined([one.history for one in done]))

    return trained("self_improvement", p, make)


def check_rounds(p: RoundSettings) -> None:
    """Refuse, before any work, parameters that cannot make rounds: ParameterError (a ValueError) with one sentence."""
    if len(p.temperatures) < 2:
        raise parameters.ParameterError(
            "'temperatures' must name at least two, one per sample: a pair needs two samples to compare."
        )
    writes_its_own = p.new_prompts is None and data.Source(p.dataset).writes_prompts
    most = NEW_PROMPTS * min(p.weakest, len(pocket.CATEGORIES)) // p.rounds
    if writes_its_own and p.prompts > most:
        raise parameters.ParameterError(
            f"'prompts' must be at most {most}, not {p.prompts}: in {p.rounds} rounds the pocket world does not write "
            f"more than {NEW_PROMPTS} new ones in each of the weakest categories."
        )
    if not writes_its_own and p.new_prompts in (None, "pocket"):
        raise parameters.ParameterError(
            "'new_prompts' must be a file of prompts (a column 'prompt', perhaps 'category'). Only for its own data, "
            "with None, does the pocket world write them."
        )


# --- Where to improve: the weakest categories, and new prompts in them ------------------------------------------


@dataclass
class Scouting:
    """What a policy and its baseline answered to prompts that nothing is evaluated on."""

    prompts: list[list[dict]]
    categories: list[str]
    baseline: list[Sample]
    policy: list[Sample]

    def rates(self, judge: Judge, tie: float = 0.0) -> dict[str, WinRate]:
        """{category: win rate of the policy against its baseline} by this judge."""
        scores = [judge(self.prompts, [one.text for one in drawn]) for drawn in (self.policy, self.baseline)]
        return evaluate.by_category(*scores, self.categories, tie=tie)


def round_start(p: RoundSettings) -> Trained:
    """The policy that round 1 starts from: RS-DPO's, with its preset's epochs and learning rate."""
    of_the_rounds = {"epochs", "learning_rate"}
    shared = p.shared_with(rs_dpo.Settings)
    return rs_dpo.recipe(**{name: value for name, value in shared.items() if name not in of_the_rounds})


def scout(
    p: RoundSettings, baseline: torch.nn.Module, policy: torch.nn.Module, tokenizer: PreTrainedTokenizerBase
) -> Scouting:
    """One answer of either model, at temperature 1, to `p.scout_prompts` prompts of the training split.

    They are drawn with another seed than the training pairs: where `p.pairs` are a small part of the source, few are in
    both; where they are all of it, all are. Choosing categories on test prompts would choose what happened to be low
    there, and show it rising after.
    """
    rows = data.Source(p.dataset).prompts("train", limit=p.scout_prompts, seed=p.seed + 1)
    asked = list(rows["prompt"])
    ids = [prompt_ids(tokenizer, prompt) for prompt in asked]
    answers = [
        samples_of(model, tokenizer, ids, temperature=1.0, max_new_tokens=p.max_response_tokens, seed=p.seed + number)
        for number, model in enumerate((baseline, policy))
    ]
    return Scouting(asked, categories_of(rows), *answers)


def categories_of(rows: Dataset) -> list[str]:
    """The category of every row of prompts, "uncategorised" where the source names none."""
    names = rows["category"] if "category" in rows.column_names else [None] * len(rows)
    return [name or "uncategorised" for name in names]


def weakest(rates: dict[str, WinRate], n: int = 2) -> list[str]:
    """The `n` categories with the lowest win rate (fewer, if there are fewer), the lowest first."""
    return sorted(rates, key=lambda category: (rates[category].rate, category))[:n]


def new_prompts(p: RoundSettings, categories: list[str]) -> list[list[list[dict]]]:
    """`p.rounds` lists of `p.prompts` new prompts (messages) in these categories, none of them twice.

    The pocket world writes them; for other data they are those of the file `p.new_prompts`. No prompt that is held
    out for evaluation is among them. Raises ValueError if there is not one for every round.
    """
    source = data.Source(p.dataset)
    if p.new_prompts is None:
        share = -(-p.prompts // len(categories))
        written = [source.write_prompts(name, share * p.rounds, p.seed) for name in categories]
        turns = [text for texts in zip(*written) for text in texts]  # one of each category in turn
        found = [[{"role": "user", "content": text}] for text in turns]
        return [found[n * share * len(categories) :][: p.prompts] for n in range(p.rounds)]
    rows = data.Source(p.new_prompts).prompts("train")
    named = set(categories) & set(categories_of(rows))
    wanted = [prompt for prompt, name in zip(rows["prompt"], categories_of(rows)) if not named or name in named]
    found = [prompt for prompt in wanted if not source.holds_out(prompt)]
    random.Random(p.seed).shuffle(found)
    each = min(p.prompts, len(found) // p.rounds)
    if each == 0:
        raise ValueError(f"{p.new_prompts} has {len(found)} prompts that can be used; {p.rounds} rounds need more.")
    left_out = f", {len(wanted) - len(found)} that are held out for evaluation left out" * (len(found) < len(wanted))
    of = f"in {' and '.join(sorted(named))}" if named else "of any category (the file names none of the weakest)"
    print(f"New prompts {of}: {each} a round{left_out}.")
    return [found[n * each : (n + 1) * each] for n in range(p.rounds)]


# --- Rounds ------------------------------------------------------------------------------------------------------------


@dataclass
class Round:
    """One round: the policy it made, the prompts it asked, each prompt's K samples with scores (prompts, K), and the
    pairs of them that DPO was trained on."""

    model: torch.nn.Module
    prompts: list[list[dict]]
    groups: list[list[Sample]]
    scores: np.ndarray
    pairs: Examples
    history: History


def improve(
    policy: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[list[dict]]],
    score: Callable,
    p: RoundSettings,
    *,
    make_pairs: Callable = pairs.best_and_worst,
    live: Any = None,
    checkpoint: Path | None = None,
) -> list[Round]:
    """One round of self-improvement per list of prompts (002 §3.3), each from the policy that the last one made.

    A round draws K samples a prompt, lets `score(policy, tokenizer, prompts, groups)` grade them as (prompts, K), makes
    pairs, and trains DPO on them. Its reference is the policy that the *round* started from, which also drew the
    samples. When a round's samples give no pair any more, the rounds end, saying so; ValueError if that is the first.
    live: a figure in which the last round is trained. The others are `fit`'s, so that a round made before is not made
    again; it is the last that one watches because nothing is drawn from its policy for a further round.
    checkpoint: a folder from which interrupted rounds go on; with one, none comes from the cache.
    """
    done = []
    for number, asked in enumerate(prompts, 1):
        asked = [prompt for prompt in asked if len(prompt_ids(tokenizer, prompt)) <= p.max_prompt_tokens]
        if not asked:
            raise ValueError(f"Every new prompt of round {number} is longer than {p.max_prompt_tokens} tokens.")
        ids = [prompt_ids(tokenizer, prompt) for prompt in asked]
        groups = draw_groups(policy, tokenizer, ids, p, number)
        scores = score(policy, tokenizer, asked, groups)
        try:
            made = make_pairs(ids, [[one.ids for one in group] for group in groups], scores, seed=p.seed + number)
        except pairs.NoPairs as nothing:
            if not done:
                raise
            print(f"No round {number}: {nothing}")
            break
        if checkpoint:
            learner = models.copy_model(policy)
            history = _dpo(learner, made, p, checkpoint / f"round-{number}")
        else:
            watched = live if number == len(prompts) else None
            learner, history = fit(policy, made, partial(dpo, beta=p.beta), p, live=watched)
        done.append(Round(learner, asked, groups, scores, made, history))
        policy = learner
    return done


def by_reward(judge: Judge) -> Callable:
    """A score for `improve`: what the judge says of each sample."""

    def score(policy, tokenizer, prompts, groups) -> np.ndarray:
        asked = [prompt for prompt, group in zip(prompts, groups) for _ in group]
        return judge(asked, [one.text for group in groups for one in group]).total.reshape(len(groups), -1)

    return score


def by_likelihood(
    policy: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, prompts: list[list[dict]], groups: list[list[Sample]]
) -> np.ndarray:
    """A score for `improve` without a judge: the policy's own log-prob per token of each sample, S(y)/|y| in nats
    (002's open question of self-judgement).

    From the cache if this policy has scored these before: weights kept in half precision would rank a few near-level
    samples otherwise, and so make other pairs.
    """
    ids = [prompt_ids(tokenizer, prompt) for prompt, group in zip(prompts, groups) for _ in group]
    samples = [one.ids for group in groups for one in group]
    key = {
        "model": models.fingerprint(policy, coarse=True),
        "samples": digest([ids, samples]),
        "code": code_of("prefnb.logprobs.DatasetLogprobs"),
    }

    def make() -> np.ndarray:
        found = DatasetLogprobs.compute(policy, Examples(ids, {"sample": samples}, list(range(len(ids)))))
        return found.all().sample.mean.numpy().astype(float).reshape(len(groups), -1)

    save = lambda scores, folder: np.save(folder / "scores.npy", scores)  # noqa: E731
    return cached("likelihood", key, make, save, lambda folder: np.load(folder / "scores.npy"))


def draw_groups(
    policy: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]], p: RoundSettings, number: int
) -> list[list[Sample]]:
    """What round `number` draws: every prompt's samples, one for each of `p.temperatures`, the coolest first. prompts:
    ids. Each round and temperature has its own seed; from the cache if this policy was asked this before."""
    groups = [[] for _ in prompts]
    for place, (temperature, count) in enumerate(sorted(Counter(p.temperatures).items())):
        drawn = samples_of(
            policy,
            tokenizer,
            prompts,
            temperature=temperature,
            samples=count,
            max_new_tokens=p.max_response_tokens,
            seed=p.seed + 100 * number + place,
        )
        for i, group in enumerate(groups):
            group += drawn[i * count : (i + 1) * count]
    return groups


def _dpo(policy, examples: Examples, p: RoundSettings, checkpoint: Path) -> History:
    """DPO on these pairs, of the policy itself; an interrupted run goes on. The reference is the policy as it comes in."""
    frozen = reference(policy, examples)
    batches = Batches(examples, p.batch_size, accumulation=p.accumulation, seed=p.seed, reference=frozen)
    return train(policy, batches, partial(dpo, beta=p.beta), checkpoint=checkpoint, **loop(p))


def _joined(histories: list[History]) -> History:
    """The histories of several rounds as one, with a `round` in every row."""
    whole = History()
    for number, history in enumerate(histories, 1):
        before = len(whole.rows)
        whole.rows += [{**row, "step": before + row["step"], "round": number} for row in history.rows]
        whole.seconds += history.seconds
    return whole

"""What is trained for the claims: policies by name, and how the settings of each method are chosen.

Every method has the same budget for its settings: a grid of two learning rates and three values of its own strength,
each trained once on `FEW` pairs (30 steps where it learns from rewards) and judged by the mean gold score of its answers
to prompts of the **training** split. The best of the six is then trained with all seeds. An arm whose settings are a
paper's own has them in `given`.

A seed is everything that chance decides: the order of the data, the subset of pairs, what is sampled, and the SFT
policy that training starts from, which is trained anew for each.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Callable

import numpy as np
import torch

from prefnb import course, data, judges, methods, models, parameters
from prefnb.batches import Batches, Examples
from prefnb.course import Trained
from prefnb.methods import dpo, dppo, reward_model, self_improvement, sft
from prefnb.training import History

PAIRS, FEW, FEWER, STEPS = 4096, 1024, 512, 200
ALPHAS = {  # strengths of each penalty, from too weak to be seen to too strong; the papers' best are 10, 0.1 and 0.1
    "minimum_likelihood": (0.01, 0.1, 1.0, 10.0),
    "unlikelihood": (0.001, 0.01, 0.1, 1.0),
    "contrastive": (0.1, 1.0, 10.0),
}
Given = dict[str, object]


@dataclass(frozen=True)
class Arm:
    """One policy of the claims, or several that one training gives.

    method: whose recipe makes it, and whose file the results are in. given: settings that are not the method's defaults.
    grid: the name of the grid whose choice completes them. make(settings, chosen): instead of the recipe, returns a
    `Trained`, or one for each of `gives`. whole: every metric is taken of it (of the first and the last, if it gives
    several), else what a sweep needs: scores, flaws, margins. explains: it is there to explain, no claim stands on it, and
    three seeds are enough. minutes: what it takes one core, roughly, for the time left.
    """

    method: str
    given: Given = field(default_factory=dict)
    grid: str = ""
    make: Callable | None = None
    gives: tuple[str, ...] = ()
    whole: bool = False
    minutes: float = 0.6
    explains: bool = False


@dataclass(frozen=True)
class Grid:
    """The settings that a method may choose from: every combination of `of`, with `given`."""

    method: str
    of: dict[str, tuple]
    given: Given = field(default_factory=lambda: {"pairs": FEW})
    make: Callable | None = None
    minutes: float = 0.6

    def points(self) -> list[Given]:
        return [dict(zip(self.of, values)) for values in itertools.product(*self.of.values())]


# --- policies that no recipe makes --------------------------------------------------------------------------------


def settings_of(name: str, seed: int, chosen: dict[str, Given]) -> Given:
    """An arm's settings, complete: what its grid chose, then its own, then the seed."""
    arm = ARMS[name]
    return {**(chosen[arm.grid] if arm.grid else {}), **arm.given, "seed": seed}


def trained(name: str, seed: int, chosen: dict[str, Given]) -> dict[str, Trained]:
    """{name of an arm: the policy with its history}, made now or from the cache."""
    arm, settings = ARMS[name], settings_of(name, seed, chosen)
    made = arm.make(settings, chosen) if arm.make else getattr(methods, arm.method).recipe(**settings)
    return made if arm.gives else {name: made}


def start_of(settings: Given) -> Trained:
    """The SFT policy of a seed."""
    return methods.sft.recipe(seed=settings["seed"])


def base(settings: Given, chosen: dict) -> Trained:
    """The base model, before any training."""
    return Trained(models.load_model("pocket"), models.load_tokenizer("pocket"), History())


def longer_sft(settings: Given, chosen: dict, *, factor: float) -> Trained:
    """SFT that goes on for 60 steps, with the length penalty (003 eq. 3, with the gradient it should have) or without."""
    start, p = start_of(settings), parameters.check({"seed": settings["seed"]}, sft.Settings)
    examples = sft.examples_of(p, start.tokenizer)
    lengths = torch.tensor([float(len(ids)) for ids in examples.responses["response"]])
    given = dict(average="token", epochs=60 / len(Batches(examples, p.batch_size)), learning_rate=p.learning_rate / 4)
    if factor:
        penalty = partial(sft.length_penalty, factor=factor)
        drawn = dict(every=3, prompts=2 * p.batch_size, max_new_tokens=p.max_response_tokens, seed=p.seed)
        target = lambda index: {"target_length": lengths[index]}  # noqa: E731
        given["also"] = {"on_policy": course.on_policy(start.tokenizer, examples, penalty, extras=target, **drawn)}
        given["told"] = [penalty, course.on_policy, sorted(drawn.items())]
    model, history = course.fit(start.model, examples, sft.sft, p, **given)
    return Trained(model, start.tokenizer, history)


def then_dpo(settings: Given, chosen: dict) -> Trained:
    """Unlikelihood first, then plain DPO on the same pairs; the reference is the SFT policy in both (004, claim 3)."""
    start, first = start_of(settings), trained("unlikelihood", settings["seed"], chosen)["unlikelihood"]
    p = parameters.check(settings, dpo.Settings)
    examples = course.pair_examples(p, start.tokenizer)
    loss = partial(dpo.dpo, beta=p.beta)
    model, history = course.fit(first.model, examples, loss, p, reference_model=start.model)
    return Trained(model, start.tokenizer, history)


def penalised(
    policy: SimpleNamespace, reference: SimpleNamespace, *, keep: torch.Tensor, alpha: float, beta: float,
    normalize: str, exchanged: bool = False,
) -> tuple[torch.Tensor, dict]:  # fmt: skip
    """Minimum likelihood whose weight f(r) counts `keep` times, (batch,); exchanged: each pair has its neighbour's f."""
    f = dppo.weight_of(dppo.vote(policy, normalize)) * keep
    f = f.roll(1) if exchanged else f
    loss = dppo.minimum_likelihood(policy, reference, f, alpha=alpha, beta=beta, level="token")
    return loss, dpo.pair_metrics(policy, *dpo.rewards(policy, reference, beta))


def why(settings: Given, chosen: dict, *, change: str) -> Trained:
    """DPPO with one thing changed, to see what it is that harms: "as is"; "worse" penalises only a ygen that is worse
    than the rejected response by the gold judge; "sample" puts a sample at temperature 1 in ygen's place; "exchanged"
    gives every pair another one's weight."""
    start, p = start_of(settings), parameters.check(settings, dppo.Settings)
    examples = dppo.examples_with_generated(p, start.model, start.tokenizer)
    if change == "sample":
        asked = dict(temperature=1.0, max_new_tokens=p.max_response_tokens, seed=p.seed)
        drawn = course.samples_of(start.model, start.tokenizer, examples.prompt_ids, **asked)
        examples = examples.plus("generated", [one.ids for one in drawn])
    keep = worse_than_rejected(p, examples, start.tokenizer) if change == "worse" else np.ones(len(examples))
    examples.labels["keep"] = [float(one) for one in keep]
    loss = partial(penalised, alpha=p.alpha, beta=p.beta, normalize=p.normalize, exchanged=change == "exchanged")
    model, history = course.fit(start.model, examples, loss, p)
    return Trained(model, start.tokenizer, history)


def worse_than_rejected(p: dppo.Settings, examples: Examples, tokenizer) -> np.ndarray:
    """Of which pairs ygen is worse than the rejected response, by the gold judge: bool (n,)."""
    rows = data.Source(p.dataset).pairs("train", limit=p.pairs, seed=p.seed).select(examples.kept)
    said = tokenizer.batch_decode(examples.responses["generated"], skip_special_tokens=True)
    judge, asked = judges.GoldJudge(), list(rows["prompt"])
    return judge(asked, said).total < judge(asked, list(rows["rejected"])).total


def falling(settings: Given, chosen: dict) -> Trained:
    """DPPO whose alpha falls in a straight line to 0 over the one epoch of training (004's open question)."""
    start, p = start_of(settings), parameters.check(settings, dppo.Settings)
    examples = dppo.examples_with_generated(p, start.model, start.tokenizer)
    plan = Batches(examples, p.batch_size, seed=p.seed).plan(0)
    part = np.zeros(len(examples))
    for step, index in enumerate(plan):
        part[index] = 1 - step / len(plan)
    examples.labels["part"] = part.tolist()
    loss = partial(faded, alpha=p.alpha, beta=p.beta, penalty=p.penalty)
    model, history = course.fit(start.model, examples, loss, p)
    return Trained(model, start.tokenizer, history)


def faded(policy: SimpleNamespace, reference: SimpleNamespace, *, part: torch.Tensor, alpha, beta, penalty):
    """DPPO's loss with a share `part` of its penalty, (batch,)."""
    with_penalty, metrics = dppo.dppo(policy, reference, alpha=alpha, beta=beta, penalty=penalty)
    without, _ = dpo.dpo(policy, reference, beta=beta)
    return without + part * (with_penalty - without), metrics


def rounds(settings: Given, chosen: dict, *, judge: str, start: str = "rs_dpo_10") -> dict[str, Trained]:
    """Self-improvement (002 §3.3), the policy after every round, from RS-DPO's; judged by the seed's reward model or by
    the policy's own likelihood."""
    p = parameters.check(settings, self_improvement.RoundSettings)
    first = trained(start, p.seed, chosen)[start]
    by, before = reward_model.proxy(p), start_of(settings)
    rates = self_improvement.scout(p, before.model, first.model, first.tokenizer).rates(by)
    asked = self_improvement.new_prompts(p, self_improvement.weakest(rates, p.weakest))
    score = self_improvement.by_likelihood if judge == "likelihood" else self_improvement.by_reward(by)
    done = self_improvement.improve(first.model, first.tokenizer, asked, score, p)
    name = "self_judged" if judge == "likelihood" else "self_improvement"
    return {f"{name}_{n}": Trained(one.model, first.tokenizer, one.history) for n, one in enumerate(done, 1)}


def one_round(settings: Given, chosen: dict) -> Trained:
    """One round from plain RS-DPO on few pairs, for the grid of self-improvement."""
    seed = settings["seed"]
    p = parameters.check({**settings, "rounds": 1}, self_improvement.RoundSettings)
    first, by = methods.rs_dpo.recipe(pairs=FEW, seed=seed), reward_model.proxy(p)
    rates = self_improvement.scout(p, start_of(settings).model, first.model, first.tokenizer).rates(by)
    asked = self_improvement.new_prompts(p, self_improvement.weakest(rates, p.weakest))
    done = self_improvement.improve(first.model, first.tokenizer, asked, self_improvement.by_reward(by), p)
    return Trained(done[0].model, first.tokenizer, done[0].history)


@dataclass
class BestOf:
    """The same policy, of whose `n` samples the reward model chooses the one that counts."""

    policy: Trained
    judge: judges.RewardModel
    n: int


def best_of(settings: Given, chosen: dict, *, of: str, n: int = 5) -> BestOf:
    """Best of n samples by the seed's reward model (002)."""
    seed = settings["seed"]
    made = methods.reward_model.recipe(seed=seed)
    return BestOf(trained(of, seed, chosen)[of], judges.RewardModel(made.model, made.tokenizer), n)


# --- what there is -------------------------------------------------------------------------------------------------

RATES = {"learning_rate": (1e-4, 3e-4)}
FAST = {"learning_rate": (2e-4, 6e-4)}
BETAS = {"beta": (0.03, 0.1, 0.3)}
SHORT = {"steps": 30}

GRIDS = {
    "dpo": Grid("dpo", {**RATES, **BETAS}),
    "simpo": Grid("simpo", {**RATES, "beta": (1.0, 2.5, 10.0)}),
    "minimum_likelihood": Grid("dppo", {**RATES, "alpha": ALPHAS["minimum_likelihood"][:3]}),
    "unlikelihood": Grid(
        "dppo", {**RATES, "alpha": ALPHAS["unlikelihood"][:3]}, {"pairs": FEW, "penalty": "unlikelihood"}
    ),
    "contrastive": Grid("dppo", {**RATES, "alpha": ALPHAS["contrastive"]}, {"pairs": FEW, "penalty": "contrastive"}),
    "rs_dpo": Grid("rs_dpo", {**RATES, **BETAS}),
    "ipo": Grid("ipo", {**RATES, "tau": (0.1, 0.3, 1.0)}),
    "robust_dpo": Grid("robust_dpo", {**RATES, "flipped": (0.05, 0.1, 0.2)}),
    "kto": Grid("kto", {**RATES, **BETAS}),
    "self_improvement": Grid("self_improvement", {**RATES, **BETAS}, {}, one_round),
    "rloo": Grid("rloo", {**FAST, "kl_weight": (0.0, 0.02, 0.1)}, SHORT),
    "grpo": Grid("grpo", {**FAST, "kl_weight": (0.0, 0.02, 0.1)}, SHORT),
    "multi_objective": Grid("multi_objective", {**FAST, "kl_weight": (0.0, 0.02, 0.1)}, SHORT),
}

PENALTIES = tuple(ALPHAS)
FALLING = {"minimum_likelihood": 0.1, "unlikelihood": 0.01, "contrastive": 1.0}
SUBSETS = (512, 1024, 2048)
ZETAS = (0.1, 0.3, 0.5)
PAPER_SIMPO = ((1.0, 2.5), (1.0, 2.0), (3.0, 10.0), (5.0, 10.0))  # (gamma, beta), 004 table 1


def _arms() -> dict[str, Arm]:
    whole = {"pairs": PAIRS}
    arms = {
        "base": Arm("sft", make=base, whole=True),
        "sft": Arm("sft", whole=True, minutes=2.2),
        "reward_model": Arm("reward_model", minutes=0.6),
        "dpo": Arm("dpo", whole, "dpo", whole=True, minutes=2),
        "rs_dpo_10": Arm("rs_dpo", {**whole, "share": 0.1}, "rs_dpo", whole=True, minutes=2.2),
        **{name: Arm("dppo", {**whole, "penalty": name}, name, whole=True, minutes=3) for name in PENALTIES},
        "rloo": Arm("rloo", {"steps": STEPS}, "rloo", whole=True, minutes=4),
        "grpo": Arm("grpo", {"steps": STEPS}, "grpo", whole=True, minutes=4),
        "self_improvement": Arm(
            "self_improvement", {"rounds": 5, **whole}, "self_improvement", partial(rounds, judge="reward_model"),
            tuple(f"self_improvement_{n}" for n in range(1, 6)), True, 4,
        ),
        "self_judged": Arm(
            "self_improvement", {"rounds": 5, **whole}, "self_improvement", partial(rounds, judge="likelihood"),
            tuple(f"self_judged_{n}" for n in range(1, 6)), True, 4,
        ),
        "rs_dpo_20": Arm("rs_dpo", {**whole, "share": 0.2}, "rs_dpo", whole=True, minutes=2.2),
        "rs_dpo_100": Arm("rs_dpo", {**whole, "share": 1.0}, "rs_dpo", whole=True, minutes=2.2),
        "simpo": Arm("simpo", whole, "simpo", whole=True, minutes=1.8),
        "unlikelihood_then_dpo": Arm("dppo", whole, "dpo", then_dpo, whole=True, minutes=2),
        "multi_objective": Arm("multi_objective", {"steps": STEPS // 2}, "multi_objective", whole=True, minutes=2.3),
        "ipo": Arm("ipo", whole, "ipo", whole=True, minutes=2),
        "robust_dpo": Arm("robust_dpo", whole, "robust_dpo", whole=True, minutes=2),
        "kto": Arm("kto", whole, "kto", whole=True, minutes=3.5),
        "sft_longer": Arm("sft", make=partial(longer_sft, factor=0.0), minutes=0.8, whole=True),
        "sft_length": Arm("sft", make=partial(longer_sft, factor=0.01), minutes=1.2, whole=True),
        "sft_best_of_5": Arm("reward_model", make=partial(best_of, of="sft"), minutes=1.2),
        "dpo_best_of_5": Arm("reward_model", make=partial(best_of, of="dpo"), minutes=1.2),
        "rloo_proxy": Arm("rloo", {"steps": STEPS, "reward": "proxy"}, "rloo", whole=True, minutes=5, explains=True),
    }  # fmt: skip
    for n in SUBSETS:
        arms[f"dpo_{n}"] = Arm("dpo", {"pairs": n}, "dpo", minutes=0.3 + n / 2500)
        arms[f"unlikelihood_{n}"] = Arm(
            "dppo", {"pairs": n, "penalty": "unlikelihood"}, "unlikelihood", minutes=0.4 + n / 1700
        )
    arms[f"rs_dpo_20_{FEW}"] = Arm("rs_dpo", {"pairs": FEW, "share": 0.2}, "rs_dpo", minutes=0.8)
    for name in PENALTIES:  # win rate against alpha, at the default rate and beta; alpha = 0 is DPO
        for alpha in ALPHAS[name]:
            arms[f"{name}_alpha_{alpha:g}"] = Arm("dppo", {"pairs": FEW, "penalty": name, "alpha": alpha}, minutes=0.8)
        given = {"pairs": FEW, "penalty": name, "alpha": FALLING[name]}
        arms[f"{name}_falling"] = Arm("dppo", given, make=falling, minutes=0.8)
    arms["dppo_alpha_0"] = Arm("dppo", {"pairs": FEW, "alpha": 0.0}, minutes=0.7)
    for alpha, zeta in itertools.product((1.0, 10.0), ZETAS):
        given = {"pairs": FEW, "weight": "expectile", "zeta": zeta, "alpha": alpha}
        arms[f"expectile_{zeta:g}_alpha_{alpha:g}"] = Arm("dppo", given, minutes=0.8)
    for gamma, beta in PAPER_SIMPO:
        arms[f"simpo_paper_{gamma:g}_{beta:g}"] = Arm("simpo", {"pairs": FEW, "gamma": gamma, "beta": beta})
    for epochs in (2, 8, 32):
        arms[f"dpo_128_epochs_{epochs}"] = Arm("dpo", {"pairs": 128, "epochs": epochs}, minutes=0.3 + epochs / 20)
    for first in (0.2, 0.5, 0.8):
        given = {"steps": 40, "weights": [first, 0.0, 1 - first], "combine": "linear"}
        arms[f"linear_{first:g}"] = Arm("multi_objective", given, "multi_objective", minutes=1.4)
    changes = {"tanh_mean": {}, "tanh": {"normalize": "tanh"}, "small": {"alpha": 0.1}, "paper": {"beta": 0.01}}
    for label, given in changes.items():
        for change in ("as is", "worse", "sample", "exchanged"):
            settings = {"pairs": FEWER, "alpha": 10.0, **given}
            make = partial(why, change=change)
            arms[f"why_{label}_{change.replace(' ', '_')}"] = Arm(
                "dppo", settings, make=make, minutes=0.5, explains=True
            )
    return arms


ARMS = _arms()
ZOO = {  # the first seed's policies that are kept, by the name to load them under
    "dpo": "dpo", "simpo": "simpo", "dppo": "unlikelihood", "rs_dpo": "rs_dpo_10", "kto": "kto",
    "self_improvement": "self_improvement_5", "rloo": "rloo", "grpo": "grpo",
}  # fmt: skip

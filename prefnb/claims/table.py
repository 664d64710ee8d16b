"""The twenty claims of the four papers, one function each: the paper's figure, ours with its interval, the verdict.

A claim that says several things holds if all of them do, and does not hold here as soon as one of them fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

from prefnb import evaluate
from prefnb.claims.arms import ALPHAS, FALLING, FEW, PAPER_SIMPO, PENALTIES
from prefnb.claims.results import Estimate, Results

HOLDS, FAILS, OPEN = "holds here", "does not hold here", "cannot be told"
Part = tuple[str, Estimate, int]  # what is compared, the estimate, the sign that the claim wants
CLAIMS: dict[int, "Claim"] = {}


@dataclass(frozen=True)
class Claim:
    """A claim: paper and sentence, the paper's figure, and what measures it: parts(results) -> a list of `Part`."""

    number: int
    paper: str
    text: str
    figure: str
    parts: Callable[[Results], list[Part]]

    def row(self, results: Results) -> "Row":
        """What the results say; without the arms that it needs, a verdict of its own."""
        try:
            parts = self.parts(results)
        except KeyError as missing:
            return Row(self, [], OPEN, str(missing.args[0]))
        return Row(self, parts, verdict(parts))


@dataclass(frozen=True)
class Row:
    """A claim with what was measured: [(what, estimate, wanted sign)], and the verdict."""

    claim: Claim
    parts: list[Part]
    verdict: str
    missing: str = ""

    def __str__(self) -> str:
        return "; ".join(f"{what}: {found}" for what, found, _ in self.parts) or self.missing

    @property
    def undecided(self) -> list[str]:
        """The parts that cannot be told."""
        return [what for what, found, wanted in self.parts if wanted and not found.sign]


def verdict(parts: list[Part]) -> str:
    """From the signs wanted and found; a part whose wanted sign is 0 is told beside, and decides nothing."""
    signs = [(found.sign, wanted) for _, found, wanted in parts if wanted]
    if any(sign == -wanted for sign, wanted in signs):
        return FAILS
    return HOLDS if all(sign == wanted for sign, wanted in signs) else OPEN


def claim(number: int, paper: str, text: str, figure: str):
    """Puts a function parts(results) among the claims."""

    def put(parts: Callable) -> Callable:
        CLAIMS[number] = Claim(number, paper, text, figure, parts)
        return parts

    return put


def rows(results: Results) -> list[Row]:
    """All twenty, in order."""
    return [CLAIMS[number].row(results) for number in sorted(CLAIMS)]


def _name(arm: str) -> str:
    return arm.replace("_", " ")


@claim(1, "004", "Every penalised method beats DPO, against SFT.", "DPO .759; .893, .898, .890")
def _(r):
    return [(f"{_name(one)} over DPO", r.lead(one, "dpo"), 1) for one in PENALTIES]


@claim(2, "004", "Unlikelihood on few pairs beats DPO on all.", ".879 with 8k pairs; .749 with 60k")
def _(r):
    return [("unlikelihood on 512 pairs over DPO on 4,096", r.lead("unlikelihood_512", "dpo"), 1)]


@claim(3, "004", "Unlikelihood, then DPO, is best of all.", ".977")
def _(r):
    return [(f"over {_name(one)}", r.lead("unlikelihood_then_dpo", one), 1) for one in ("dpo", *PENALTIES)]


@claim(4, "004", "The strength alpha has a sweet spot; too large declines or diverges.", "best 10; 0.1; 0.1")
def _(r):
    parts = []
    for name, alphas in ALPHAS.items():
        arm = lambda a: f"{name}_alpha_{a:g}"  # noqa: B023, E731
        odd = np.arange(r.prompts) % 2 == 1  # chosen on the even prompts, measured on the odd ones
        best = max(alphas[:-1], key=lambda a: r.lead(arm(a), "dppo_alpha_0", prompts=~odd).mean)
        parts.append((f"{_name(name)}, {best:g} over none", r.lead(arm(best), "dppo_alpha_0", prompts=odd), 1))
        parts.append((f"{best:g} over {alphas[-1]:g}", r.lead(arm(best), arm(alphas[-1]), prompts=odd), 1))
    return parts


@claim(5, "004", "Expectile: zeta .5 is better at alpha 10, zeta .1 at alpha 1.", "fig. 2B")
def _(r):
    return [
        ("alpha 10, zeta .5 over .1", r.lead("expectile_0.5_alpha_10", "expectile_0.1_alpha_10"), 1),
        ("alpha 1, zeta .1 over .5", r.lead("expectile_0.1_alpha_1", "expectile_0.5_alpha_1"), 1),
    ]


@claim(6, "004", "SimPO without careful tuning is below DPO.", ".542 to .688; DPO .759")
def _(r):
    untuned = [(gamma, beta, f"simpo_paper_{gamma:g}_{beta:g}") for gamma, beta in PAPER_SIMPO]
    parts = [
        (f"gamma {g:g}, beta {b:g} less DPO ({FEW} pairs)", r.lead(arm, "dppo_alpha_0"), -1) for g, b, arm in untuned
    ]
    return [*parts, ("tuned less DPO", r.lead("simpo", "dpo"), 0)]


@claim(7, "004", "Penalised methods leave fewer negative DPO rewards on held-out pairs.", "fig. 3B")
def _(r):
    parts = []
    for name in PENALTIES:
        both = [r.moved_wrongly(one) for one in ("dpo", name)]
        fewer = both[0][: len(both[1])] - both[1][: len(both[0])]
        parts.append(
            (f"{_name(name)}: fewer by", Estimate(float(fewer.mean()), evaluate.crossed_interval(fewer), len(fewer)), 1)
        )
    return parts


@claim(
    8,
    "002",
    "Full RS-DPO collapses, while its loss is lower and its margin much larger than DPO's.",
    ".10 to .15 against DPO",
)
def _(r):
    last = lambda arm, name: r.curve(arm, name)[1][:, -1]  # noqa: E731
    n = len(r.seeds("rs_dpo_100", "dpo"))
    gap = lambda name: r.over_seeds(last("rs_dpo_100", name)[:n] - last("dpo", name)[:n])  # noqa: E731
    return [
        ("win rate over DPO", r.rate("rs_dpo_100", "dpo"), -1),
        ("final loss, less DPO's", gap("loss"), 0),
        ("final margin, less DPO's", gap("margin"), 0),
    ]


@claim(9, "002", "A 10% mixture beats DPO; 20% peaks early, then falls.", ".67; .62 then .48")
def _(r):
    return [
        ("10% over DPO", r.rate("rs_dpo_10", "dpo"), 1),
        (f"20%: {FEW} pairs over 4,096", r.lead(f"rs_dpo_20_{FEW}", "rs_dpo_20"), 1),
    ]


@claim(10, "002", "Best-of-5 by the reward model lifts the win rate over SFT.", ".72 to .83")
def _(r):
    return [
        ("DPO: best of 5 over one", r.lead("dpo_best_of_5", "dpo"), 1),
        ("SFT: best of 5 over SFT", r.rate("sft_best_of_5"), 0),
    ]


@claim(11, "002", "One round of curriculum self-improvement helps.", ".6275 against DPO; .520 against RS-DPO")
def _(r):
    return [(f"over {_name(one)}", r.rate("self_improvement_1", one), 1) for one in ("dpo", "rs_dpo_10")]


@claim(12, "002", "On a small subset the loss keeps falling while the win rate collapses.", "figs. 1-2")
def _(r):
    few, many = "dpo_128_epochs_2", "dpo_128_epochs_32"
    last = lambda arm: r.curve(arm, "loss")[1][:, -1]  # noqa: E731
    n = len(r.seeds(few, many))
    return [
        ("win rate: 32 epochs less 2", r.lead(many, few), -1),
        ("loss: 32 epochs less 2", r.over_seeds(last(many)[:n] - last(few)[:n]), 0),
    ]


@claim(13, "003", "SFT without a length penalty is below the base; with it, above.", ".438, .549 (against Instruct)")
def _(r):
    return [
        ("without, over base", r.rate("sft_longer", "base"), -1),
        ("with, over base", r.rate("sft_length", "base"), 1),
        ("with over without", r.rate("sft_length", "sft_longer"), 0),
    ]


@claim(
    14, "003", "base < SFT with length penalty < DPO < GRPO, in win rate, BLEU-4 and perplexity.", ".500 .549 .593 .611"
)
def _(r):
    ladder = ("base", "sft_length", "dpo", "grpo")
    parts = [(f"{_name(b)} over {_name(a)}", r.rate(b, a), 1) for a, b in zip(ladder, ladder[1:])]
    for name, wanted in (("bleu.bleu4", 1), ("perplexity", -1)):
        for a, b in zip(ladder, ladder[1:]):
            n = len(r.seeds(a, b))
            gap = r.over_seeds(r.figure(b, name)[:n] - r.figure(a, name)[:n])
            parts.append((f"{name.split('.')[-1]}: {_name(b)} less {_name(a)}", gap, wanted))
    return parts


@claim(15, "003", "GRPO trains less smoothly than DPO.", "fig. 5")
def _(r):
    n = len(r.seeds("grpo", "dpo"))
    gap = r.figure("grpo", "roughness.reward")[:n] - r.figure("dpo", "roughness.loss")[:n]
    return [("roughness of GRPO's reward less that of DPO's loss", r.over_seeds(gap), 1)]


@claim(
    16,
    "001",
    "SFT is about the base; DPO is best; reward-weighted multi-objective lies between.",
    ".485, .605, .520 against the base",
)
def _(r):
    apart = r.rate("sft", "base")
    near = Estimate(apart.mean, apart.interval, apart.seeds, 0.55)  # "about": no more than .05 apart
    return [
        ("SFT over base (about: up to .55)", near, -1),
        ("multi-objective over SFT", r.rate("multi_objective"), 1),
        ("DPO over multi-objective", r.rate("dpo", "multi_objective"), 1),
    ]


@claim(17, "001", "An objective per quality gives finer control than one scalar.", "discussion")
def _(r):
    n = len(r.seeds("linear_0.2", "linear_0.8"))
    gap = lambda part, more, less: r.over_seeds(r.figure(more, part)[:n] - r.figure(less, part)[:n])  # noqa: E731
    return [
        ("weight on helpfulness buys helpfulness", gap("parts.helpfulness", "linear_0.8", "linear_0.2"), 1),
        ("weight on concision buys concision", gap("parts.concision", "linear_0.2", "linear_0.8"), 1),
    ]


@claim(18, "002", "Open question: do further rounds of self-improvement go on rising?", "not run there")
def _(r):
    return [("round 5 over round 1", r.rate("self_improvement_5", "self_improvement_1"), 1)]


@claim(19, "002", "Open question: does self-judgement go as far as a reward model?", "not run there")
def _(r):
    return [
        ("self-judged over reward model, round 5", r.rate("self_judged_5", "self_improvement_5"), 1),
        ("self-judged, round 5 over its start", r.rate("self_judged_5", "rs_dpo_10"), 0),
    ]


@claim(20, "004", "Open question: does a falling alpha beat a constant one?", "not run there")
def _(r):
    return [
        (f"{_name(one)}, alpha {a:g}", r.lead(f"{one}_falling", f"{one}_alpha_{a:g}"), 1) for one, a in FALLING.items()
    ]

"""What the last line of every notebook's exercises calls: each answer held against the library, a sentence for each.

One function a notebook, named as its file is. It takes the answers in the order of the exercises; None is no answer yet.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Callable

import numpy as np
import torch

from prefnb import mistakes, pairs, pocket
from prefnb.exercises import of_choice, of_function, of_numbers, told
from prefnb.logprobs import from_tokens
from prefnb.methods.dpo import dpo, dpo_kl_as_printed
from prefnb.methods.dppo import log_otherwise
from prefnb.methods.grpo import grpo
from prefnb.methods.ipo import ipo
from prefnb.methods.multi_objective import gaps, soft_chebyshev, weighted_gaps
from prefnb.methods.reward_model import bradley_terry
from prefnb.methods.rloo import leave_one_out
from prefnb.methods.robust_dpo import conservative_dpo
from prefnb.methods.simpo import simpo
from prefnb.methods.sft import sft


def _tell(*sentences: str) -> None:
    for number, sentence in enumerate(sentences, 1):
        print(f"{number}: {sentence}")


def _one(chosen: float, rejected: float):
    """One pair of responses of one token each."""
    return from_tokens(chosen=[[chosen]], rejected=[[rejected]])


def pocket_world_00(answer: str | None, share: Callable | None, trick: str | None) -> None:
    lemon = "Tell me the taste, season and dish of the lemon."
    fox = "Describe the fox. Mention what colour it has, where it lives and what it eats."
    good = lambda prompt, points: lambda text: pocket.score(prompt, text).total >= points  # noqa: E731
    _tell(
        told(answer, good(lemon, 9.9), "which of the three values is missing, or what is said besides?"),
        of_function(share, mistakes.FLIPS),
        told(trick, good(fox, 9.0), "the judge gives it less than 9 points"),
    )


def sft_01(heavier: str | None, averages: tuple | None, loss: Callable | None) -> None:
    three = from_tokens(response=[[-1.0] * 4, [-2.0], [-3.0]])
    losses, lengths = sft(three)[0], three.response.length
    right = [float(losses.sum() / lengths.sum()), float((losses / lengths).mean())]
    share = lambda weights: weights[0] / weights.sum()  # noqa: E731: how much of the average is the first response's
    more = "tokens" if share(lengths) > share(torch.ones(3)) else "responses"
    _tell(
        of_choice(
            heavier, more, ("tokens", "responses"), "count how many of the terms averaged are the long response's"
        ),
        of_numbers(averages, right, within=1e-3),
        of_function(loss, mistakes.SFT),
    )


def dpo_02(compared: str | None, weight: float | None, loss: Callable | None) -> None:
    both_fell = dpo(_one(-4, -9), _one(0, 0), beta=0.2)[0].item()
    found = "below" if both_fell < np.log(2) else "above"
    policy, start = _one(-12, -12), _one(-12, -12)
    rejected = policy.rejected.token.requires_grad_()
    push = [
        torch.autograd.grad(dpo_kl_as_printed(policy, start, beta=0.1, weight=one)[0].sum(), rejected)[0].item()
        for one in (0.0, 1.0)
    ]
    _tell(
        of_choice(
            compared, found, ("above", "below", "at"), f"the loss there is {both_fell:.3f}; find the margin first"
        ),
        of_numbers(weight, push[0] / (push[0] - push[1]), within=5e-3),
        of_function(loss, mistakes.DPO_LOSS),
    )


def simpo_03(on_target: str | None, ratio: float | None, loss: Callable | None) -> None:
    there = simpo(from_tokens(chosen=[[-1.5] * 4], rejected=[[-2.0] * 5]), beta=2.0, gamma=1.0)[0].item()
    right = "ln 2" if abs(there - np.log(2)) < 1e-5 else "0"
    _tell(
        of_choice(on_target, right, ("0", "ln 2", "1"), f"the loss there is {there:.3f}"),
        of_numbers(ratio, 1 / 2.5, within=5e-3),
        of_function(loss, mistakes.SIMPO_LOSS),
    )


def dppo_04(votes: tuple | None, crossing: float | None, loss: Callable | None) -> None:
    pair = from_tokens(chosen=[[-0.5] * 10], rejected=[[-1.0] * 4])
    right = [float(getattr(pair.chosen, of) - getattr(pair.rejected, of)) for of in ("sum", "mean")]
    places = torch.linspace(0.01, 0.99, 99)
    policy = from_tokens(generated=places.log()[:, None])
    policy.generated.token.requires_grad_()
    pushes = torch.autograd.grad(-log_otherwise(policy.generated).sum(), policy.generated.token)[0][:, 0]
    level = places[(pushes - 1).abs().argmin()].item()  # minimum likelihood pushes with 1
    _tell(
        of_numbers(votes, right, within=1e-3),
        of_numbers(crossing, level, within=1e-2),
        of_function(loss, mistakes.DPPO),
    )


def reward_model_05(shifted: str | None, probability: float | None, loss: Callable | None) -> None:
    score = lambda moved: bradley_terry(from_scores(2.0 + moved, 0.5 + moved))[0].item()  # noqa: E731
    found = "same" if abs(score(7.0) - score(0.0)) < 1e-6 else "higher" if score(7.0) > score(0.0) else "lower"
    right = torch.tensor(3.0).log().sigmoid().item()
    _tell(
        of_choice(
            shifted, found, ("higher", "lower", "same"), "which scores does the loss see: both, or their difference?"
        ),
        of_numbers(probability, right, within=5e-3),
        of_function(loss, mistakes.BRADLEY_TERRY),
    )


def from_scores(chosen: float, rejected: float):
    """One pair of scores, as a reward model gives them."""
    return SimpleNamespace(chosen=torch.tensor([chosen]), rejected=torch.tensor([rejected]))


def rs_dpo_06(changed: float | None, margin: float | None, loss: Callable | None) -> None:
    fell = dpo(_one(-2, -7), _one(-2, -2), beta=0.1)[1]["margin"].item()
    _tell(
        of_numbers(changed, round(0.1 * (500 - 20)), within=0.5),
        of_numbers(margin, fell, within=0.01),
        of_function(loss, mistakes.RS_DPO),
    )


def self_improvement_07(lowest: float | None, made: float | None, loss: Callable | None) -> None:
    rule = lambda samples, scores, seed: pairs.best_and_worst([[0]], [samples], [scores], seed=seed)  # noqa: E731
    drawn = [rule([[k] for k in range(8)], [5, 5, 4, 3, 3, 2, 1, 1], seed) for seed in range(999)]
    share = sum(one.responses["rejected"][0][0] > 5 for one in drawn) / len(drawn)  # the last two score 1
    few = [rule([[0]] * 6 + [[1], [2]], [2] * 6 + [1, 3], seed) for seed in range(99)]
    _tell(
        of_numbers(lowest, share, within=0.04),
        of_numbers(made, len({str(one.responses) for one in few}), within=0.5),
        of_function(loss, mistakes.ROUND),
    )


def multi_objective_08(rewards: tuple | None, advantages: tuple | None, reward: Callable | None) -> None:
    missing = gaps(torch.tensor([[0.6, 0.9]], dtype=torch.float64))
    one = [weighted_gaps(missing, [2, 1]).item(), soft_chebyshev(missing, [2, 1], 1e6).item()]
    two = leave_one_out(torch.tensor([[-0.9, -0.3, -0.6]], dtype=torch.float64))[0].tolist()
    _tell(
        of_numbers(rewards, one, within=1e-3),
        of_numbers(advantages, two, within=1e-3),
        of_function(reward, mistakes.WEIGHTED_GAPS),
    )


def rloo_09(variance: str | None, advantages: tuple | None, loss: Callable | None) -> None:
    rewards = torch.tensor([[4.0, 4.0, 4.0, 8.0]])
    same = torch.allclose(leave_one_out(rewards), leave_one_out(rewards + 100), atol=1e-4)
    hint = "compute the advantages of one group, with the 100 and without"
    _tell(
        of_choice(variance, "same" if same else "larger", ("larger", "same", "smaller"), hint),
        of_numbers(advantages, leave_one_out(rewards)[0, [0, 3]].tolist(), within=0.01),
        of_function(loss, mistakes.RLOO),
    )


def grpo_10(gradients: tuple | None, dead: float | None, loss: Callable | None) -> None:
    policy = from_tokens(sample=torch.tensor([[0.7], [1.3]]).log())
    policy.sample.token.requires_grad_()
    found = grpo(policy, advantage=-torch.ones(2), old=torch.zeros(2, 1))[0]
    right = (-torch.autograd.grad(found.sum(), policy.sample.token)[0][:, 0]).tolist()
    _tell(
        of_numbers(gradients, right, within=5e-3),
        of_numbers(dead, 0.9**8 + 0.1**8, within=5e-3),
        of_function(loss, mistakes.GRPO),
    )


def leaderboard_11(half_width: float | None, beyond_doubt: str | None, paired: Callable | None) -> None:
    hint = "both are measured on the same prompts: what is hard for one is hard for the other"
    _tell(
        of_numbers(half_width, 1.96 * np.sqrt(0.25 / 100), within=0.01),
        of_choice(beyond_doubt, "yes", ("yes", "no"), hint),
        of_function(paired, mistakes.PAIRED),
    )


def be_the_annotator_12(agreement: float | None, repeated: float | None, kappa: Callable | None) -> None:
    _tell(
        of_numbers(agreement, float(mistakes.KAPPA.right(torch.tensor([[40.0, 10.0], [20.0, 30.0]]))), within=5e-3),
        of_numbers(repeated, 0.9**2 + 0.1**2, within=5e-3),
        of_function(kappa, mistakes.KAPPA),
    )


def relatives_13(lowest: float | None, at_once: float | None, my_ipo: Callable | None, my_kto: Callable | None) -> None:
    places = torch.linspace(0, 4, 4001)
    toy = lambda m: from_tokens(chosen=m[:, None], rejected=torch.zeros(len(m), 1))  # noqa: E731
    cost = conservative_dpo(toy(places), toy(0 * places), beta=1.0, flipped=0.1)[0]
    _tell(
        of_numbers(lowest, places[cost.argmin()].item(), within=0.01),
        of_numbers(at_once, ipo(toy(places[:1]), toy(places[:1]), tau=0.25)[0].item(), within=0.01),
        of_function(my_ipo, mistakes.IPO),
        of_function(my_kto, mistakes.KTO),
    )

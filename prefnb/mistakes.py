"""The usual wrong answers to "write the loss", a table for each: what is wrong, and the loss with that mistake.

The right ones are the library's own losses. DPO, SimPO and advantages have their tables in `exercises`.
"""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import torch
from torch.nn.functional import logsigmoid

from prefnb.exercises import BETA, DPO, GAMMA, SIMPO, Asked, four_pairs
from prefnb.logprobs import ResponseLogprobs, from_tokens
from prefnb.methods.dpo import dpo
from prefnb.methods.dppo import dppo
from prefnb.methods.grpo import grpo
from prefnb.methods.ipo import ipo
from prefnb.methods.kto import kto
from prefnb.methods.multi_objective import gaps, weighted_gaps
from prefnb.methods.reward_model import bradley_terry
from prefnb.methods.rloo import leave_one_out, reinforce
from prefnb.methods.sft import sft
from prefnb.methods.simpo import simpo

ALPHA, TAU, CLIP = 2.0, 0.4, 0.2  # of the exercises


def _policy(**responses: list) -> SimpleNamespace:
    """Log-probs by hand that want a gradient."""
    made = from_tokens(**responses)
    for response in vars(made).values():
        response.token.requires_grad_()
    return made


# --- SFT: (token, mask) -> one number -----------------------------------------------------------------------


def _dialogs():
    """Log-probs of three dialogs' tokens, and which of them are the response's: first the prompt, at the end padding."""
    token = [
        [-2.0, -3.0, -0.5, -0.25, -1.0, -0.75],
        [-1.5, -0.5, -2.5, -2.0, 0.0, 0.0],
        [-1.0, -3.0, 0.0, 0.0, 0.0, 0.0],
    ]
    mask = [[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0]]
    return torch.tensor(token, requires_grad=True), torch.tensor(mask, dtype=torch.bool)


def _sft(token, mask):
    response = ResponseLogprobs(token * mask, mask)
    return sft(SimpleNamespace(response=response))[0].sum() / response.length.sum()


SFT = Asked(
    _sft,
    {
        "the sign turned": lambda t, m: (t * m).sum() / m.sum(),
        "the sum over tokens in place of their mean": lambda t, m: -(t * m).sum(),
        "the prompt's tokens unmasked": lambda t, m: -t.sum() / m.sum(),
        "the mask left out": lambda t, m: -t.mean(),
        "prompt and padding counted in the denominator": lambda t, m: -(t * m).mean(),
        "the mean of the responses' own means": lambda t, m: -((t * m).sum(1) / m.sum(1)).mean(),
        "a division by the number of responses": lambda t, m: -(t * m).sum(1).mean(),
        "the mask turned round": lambda t, m: -(t * ~m).sum() / (~m).sum(),
        "probabilities in place of log-probs": lambda t, m: -(t.exp() * m).sum() / m.sum(),
    },
    _dialogs,
    "loss(token, mask)",
    "three dialogs",
    pulled="the log-probs",
)

# --- the reward model: (chosen, rejected) scores -> (pairs,) ------------------------------------------------


def _scores():
    made = [2.0, -1.0, 0.5, 0.25], [1.0, 0.5, -2.0, 1.5]
    return tuple(torch.tensor(one, requires_grad=True) for one in made)


BRADLEY_TERRY = Asked(
    lambda chosen, rejected: bradley_terry(SimpleNamespace(chosen=chosen, rejected=rejected)),
    {
        "chosen and rejected exchanged": lambda c, r: -logsigmoid(r - c),
        "the minus before the logarithm left out": lambda c, r: logsigmoid(c - r),
        "the logarithm left out": lambda c, r: -torch.sigmoid(c - r),
        "the probability of a wrong order in place of minus the logarithm of a right one": lambda c, r: torch.sigmoid(
            r - c
        ),
        "a plus between the two scores": lambda c, r: -logsigmoid(c + r),
        "each answer judged by itself": lambda c, r: -logsigmoid(c) - logsigmoid(-r),
        "the rejected score left out": lambda c, r: -logsigmoid(c),
        "the chosen score left out": lambda c, r: -logsigmoid(-r),
        "the sigmoid left out": lambda c, r: r - c,
        "the rejected score detached": lambda c, r: -logsigmoid(c - r.detach()),
    },
    _scores,
    "loss(chosen, rejected)",
    pulled="the scores",
)

# --- DPPO and RS-DPO: a third response, which the model itself says -----------------------------------------


def _three_sides():
    """Policy and reference with the model's own answer. The vote by means and the vote by sums differ in two pairs."""
    policy = _policy(
        chosen=[[-0.5] * 6, [-2.0, -1.0], [-1.5, -0.7, -0.2], [-3.0]],
        rejected=[[-1.0, -1.2], [-0.5, -0.3, -0.4, -0.9], [-2.0, -0.1], [-0.4, -0.6, -0.8]],
        generated=[[-0.2, -0.3], [-0.1, -0.4, -0.2], [-0.6], [-0.5, -0.9]],
    )
    reference = from_tokens(
        chosen=[[-0.9] * 6, [-1.0, -0.5], [-2.5, -0.1, -0.9], [-2.0]],
        rejected=[[-0.3, -1.1], [-0.7, -0.6, -0.2, -1.4], [-1.0, -1.6], [-0.8, -0.2, -0.5]],
        generated=[[-0.4, -0.8], [-0.7, -0.1, -0.3], [-1.6], [-0.1, -0.3]],
    )
    return policy, reference


def _dpo(policy, reference):
    return dpo(policy, reference, beta=BETA)[0]


def _r(policy, of: str = "mean"):
    return torch.tanh(getattr(policy.chosen, of) - getattr(policy.rejected, of))


def _penalised(policy, reference, f, strength: float = ALPHA):
    return _dpo(policy, reference) + strength * f * policy.generated.sum


def _f(policy, of: str = "mean"):
    return torch.relu(-_r(policy, of)).detach()


DPPO = Asked(
    partial(dppo, alpha=ALPHA, beta=BETA),
    {
        "the vote's weight not detached": lambda p, r: _penalised(p, r, torch.relu(-_r(p))),
        "the penalty's sign turned, so that it raises the own answer": lambda p, r: _penalised(p, r, -_f(p)),
        "the weight left out, so that every pair is penalised": lambda p, r: _penalised(p, r, 1.0),
        "a penalty where the policy votes right": lambda p, r: _penalised(p, r, torch.relu(_r(p)).detach()),
        "a weight of 1 for every wrong vote": lambda p, r: _penalised(p, r, (_r(p) < 0).float()),
        "the vote on sums in place of means per token": lambda p, r: _penalised(p, r, _f(p, "sum")),
        "right votes rewarded": lambda p, r: _penalised(p, r, -_r(p).detach()),
        "the tanh left out": lambda p, r: _penalised(p, r, torch.relu(p.rejected.mean - p.chosen.mean).detach()),
        "the own answer's mean in place of its sum": lambda p, r: _dpo(p, r) + ALPHA * _f(p) * p.generated.mean,
        "alpha left out": lambda p, r: _penalised(p, r, _f(p), 1.0),
        "beta on the penalty, too": lambda p, r: _penalised(p, r, _f(p), ALPHA * BETA),
        "the rejected response penalised in place of the own answer": lambda p, r: (
            _dpo(p, r) + ALPHA * _f(p) * p.rejected.sum
        ),
        "the reference left out": lambda p, r: (
            -logsigmoid(BETA * (p.chosen.sum - p.rejected.sum)) + ALPHA * _f(p) * p.generated.sum
        ),
        "DPO's part left out": lambda p, r: ALPHA * _f(p) * p.generated.sum,
        "the penalty left out": _dpo,
    },
    _three_sides,
)


def _mixed(side, own):
    """`side` with the own answer for the rejected response of the pairs `own`."""
    rejected = torch.where(own, side.generated.sum, side.rejected.sum)
    return SimpleNamespace(chosen=side.chosen, rejected=SimpleNamespace(sum=rejected))


def _upside_down(side, own):
    chosen = torch.where(own, side.generated.sum, side.chosen.sum)
    return SimpleNamespace(chosen=SimpleNamespace(sum=chosen), rejected=side.rejected)


def _gap(side, own):
    return side.chosen.sum - _mixed(side, own).rejected.sum


RS_DPO = Asked(
    lambda policy, reference, own: dpo(_mixed(policy, own), _mixed(reference, own), beta=BETA),
    {
        "the reference's log-prob still that of the data's rejected response": lambda p, r, o: _dpo(_mixed(p, o), r),
        "the policy's log-prob still that of the data's rejected response": lambda p, r, o: _dpo(p, _mixed(r, o)),
        "the own answer in every pair": lambda p, r, o: _dpo(_mixed(p, o | True), _mixed(r, o | True)),
        "the own answer in no pair": lambda p, r, o: _dpo(p, r),
        "the own answer in the other pairs": lambda p, r, o: _dpo(_mixed(p, ~o), _mixed(r, ~o)),
        "the own answer as the chosen response": lambda p, r, o: _dpo(_upside_down(p, o), _upside_down(r, o)),
        "chosen and rejected exchanged": lambda p, r, o: -logsigmoid(BETA * (_gap(r, o) - _gap(p, o))),
        "the minus before the logarithm left out": lambda p, r, o: logsigmoid(BETA * (_gap(p, o) - _gap(r, o))),
        "the reference left out": lambda p, r, o: -logsigmoid(BETA * _gap(p, o)),
        "beta left out": lambda p, r, o: -logsigmoid(_gap(p, o) - _gap(r, o)),
        "beta outside the logarithm": lambda p, r, o: -BETA * logsigmoid(_gap(p, o) - _gap(r, o)),
    },
    lambda: (*_three_sides(), torch.tensor([True, False, True, False])),
    "loss(policy, reference, own)",
)

# --- a round of self-improvement: (policy, start, first) -----------------------------------------------------


def _a_round():
    policy, start = four_pairs()
    return policy, start, four_pairs(1)[1]


ROUND = Asked(
    lambda policy, start, first: dpo(policy, start, beta=BETA),
    {
        "the reference of the first round": lambda policy, start, first: _dpo(policy, first),
        **{name: lambda p, start, first, wrong=wrong: wrong(p, start) for name, wrong in DPO.items()},
    },
    _a_round,
    "loss(policy, start, first)",
)

# --- several scores made one: (scores, weights) -> (responses,) ---------------------------------------------


def _several():
    return torch.tensor([[0.6, 0.9], [1.2, 0.5], [0.3, 0.8]]), torch.tensor([2.0, 1.0])


WEIGHTED_GAPS = Asked(
    lambda scores, weights: weighted_gaps(gaps(scores), weights),
    {
        "the sign turned": lambda s, w: (w * (s - 1).abs()).sum(1),
        "the weights left out": lambda s, w: -(s - 1).abs().sum(1),
        "the weights exchanged": lambda s, w: -(w.flip(0) * (s - 1).abs()).sum(1),
        "a mean in place of the sum": lambda s, w: -(w * (s - 1).abs()).mean(1),
        "the weights divided by their sum": lambda s, w: -(w * (s - 1).abs()).sum(1) / w.sum(),
        "the squares of the gaps": lambda s, w: -(w * (s - 1) ** 2).sum(1),
        "a gap below 0 where a score is past its ideal": lambda s, w: -(w * (1 - s)).sum(1),
        "the worst weighted gap alone": lambda s, w: -(w * (s - 1).abs()).max(1).values,
        "the scores in place of the gaps": lambda s, w: (w * s).sum(1),
    },
    _several,
    "reward(scores, weights)",
    "three responses",
    "reward",
    "response",
)

# --- RLOO: (policy, rewards) -> (samples,) ------------------------------------------------------------------


def _groups():
    """Two groups of three samples; the rewards carry a gradient, as those of a reward model may."""
    tokens = [[-1.0, -0.5], [-0.2], [-0.7, -0.9, -0.1], [-1.5], [-0.3, -0.4], [-0.6, -0.6, -0.8]]
    return _policy(sample=tokens), torch.tensor([[4.0, 1.0, 8.0], [2.0, 0.5, 6.0]], requires_grad=True)


def _reinforced(policy, advantage, of: str = "sum"):
    return -advantage.flatten() * getattr(policy.sample, of)


def _others(rewards):
    return rewards.sum(1, keepdim=True) - rewards


def _centred(rewards):
    return rewards - rewards.mean(1, keepdim=True)


RLOO = Asked(
    lambda policy, rewards: reinforce(policy, advantage=leave_one_out(rewards).flatten().detach()),
    {
        "the advantage not detached": lambda p, r: _reinforced(p, leave_one_out(r)),
        "the sample's own reward in its baseline": lambda p, r: _reinforced(p, _centred(r.detach())),
        "the sign turned": lambda p, r: _reinforced(p, -leave_one_out(r.detach())),
        "no baseline": lambda p, r: _reinforced(p, r.detach()),
        "the mean over all prompts for a baseline": lambda p, r: _reinforced(p, (r - r.mean()).detach()),
        "the others' sum in place of their mean": lambda p, r: _reinforced(p, (r - _others(r)).detach()),
        "the others' sum divided by K": lambda p, r: _reinforced(p, (r - _others(r) / r.shape[1]).detach()),
        "a division by the group's deviation": lambda p, r: _reinforced(
            p, (_centred(r) / r.std(1, keepdim=True)).detach()
        ),
        "means per token in place of sums": lambda p, r: _reinforced(p, leave_one_out(r.detach()), "mean"),
        "the probability in place of its logarithm": lambda p, r: (
            -leave_one_out(r.detach()).flatten() * p.sample.sum.exp()
        ),
    },
    _groups,
    "loss(policy, rewards)",
    "two groups of three samples",
    each="sample",
)

# --- GRPO: (policy, advantage, old) -> (samples,) -----------------------------------------------------------

RATIOS = [
    [0.5, 1.1, 1.6],
    [0.6, 1.5],
    [0.9, 1.3, 0.7, 1.05],
    [1.4],
]  # on both sides of the clip, for advantages of both signs


def _moved():
    token = [[-1.0, -0.5, -0.7], [-0.2, -1.2], [-0.7, -0.9, -0.1, -0.4], [-1.5]]
    before = [[one - math.log(ratio) for one, ratio in zip(*row)] for row in zip(token, RATIOS)]
    advantage = torch.tensor([1.5, -1.0, 0.5, -2.0], requires_grad=True)
    return _policy(sample=token), advantage, from_tokens(sample=before).sample.token


def _averaged(policy, gain):
    return -(gain * policy.sample.mask).sum(1) / policy.sample.length


def _both(policy, advantage, old, low: float = 1 - CLIP, high: float = 1 + CLIP):
    """The gain, and the gain with the ratio clipped."""
    ratio, a = torch.exp(policy.sample.token - old), advantage.detach()[:, None]
    return ratio * a, ratio.clamp(low, high) * a


def _least(policy, advantage, old, **clip):
    return torch.minimum(*_both(policy, advantage, old, **clip))


def _least_of(ratio, advantage):
    a = advantage.detach()[:, None]
    return torch.minimum(ratio * a, ratio.clamp(1 - CLIP, 1 + CLIP) * a)


def _ratio(policy, old):
    return torch.exp(policy.sample.token - old)


GRPO = Asked(
    lambda policy, advantage, old: grpo(policy, advantage=advantage.detach(), old=old, clip=CLIP),
    {
        "the advantage not detached": lambda p, a, o: _averaged(
            p,
            torch.minimum(_ratio(p, o) * a[:, None], _ratio(p, o).clamp(1 - CLIP, 1 + CLIP) * a[:, None]),
        ),
        "the sign turned": lambda p, a, o: -_averaged(p, _least(p, a, o)),
        "the larger of the two gains in place of the smaller": lambda p, a, o: _averaged(
            p, torch.maximum(*_both(p, a, o))
        ),
        "the clip alone, without the minimum": lambda p, a, o: _averaged(p, _both(p, a, o)[1]),
        "no clip": lambda p, a, o: _averaged(p, _both(p, a, o)[0]),
        "the lower end of the clip left out": lambda p, a, o: _averaged(p, _least(p, a, o, low=0.0)),
        "the upper end of the clip left out": lambda p, a, o: _averaged(p, _least(p, a, o, high=9.0)),
        "the minimum taken before the advantage": lambda p, a, o: _averaged(
            p, torch.minimum(_ratio(p, o), _ratio(p, o).clamp(1 - CLIP, 1 + CLIP)) * a.detach()[:, None]
        ),
        "the ratio upside down": lambda p, a, o: _averaged(p, _least_of(torch.exp(o - p.sample.token), a)),
        "the logarithm of the ratio in its place": lambda p, a, o: _averaged(p, _least_of(p.sample.token - o, a)),
        "the advantage left out": lambda p, a, o: _averaged(p, _least(p, torch.ones_like(a), o)),
        "the sum over tokens in place of their mean": lambda p, a, o: -(_least(p, a, o) * p.sample.mask).sum(1),
        "all samples' tokens for a denominator": lambda p, a, o: (
            -(_least(p, a, o) * p.sample.mask).sum(1) / p.sample.mask.sum()
        ),
        "padding among the tokens": lambda p, a, o: -_least(p, a, o).mean(1),
    },
    _moved,
    "loss(policy, advantage, old)",
    "four samples",
    each="sample",
)

# --- IPO: (policy, reference) -> (pairs,) -------------------------------------------------------------------


def _h(policy, reference, of: str = "mean"):
    side = lambda one: getattr(one.chosen, of) - getattr(one.rejected, of)  # noqa: E731
    return side(policy) - side(reference)


TARGET = 1 / (2 * TAU)
IPO = Asked(
    partial(ipo, tau=TAU),
    {
        "chosen and rejected exchanged": lambda p, r: (-_h(p, r) - TARGET) ** 2,
        "sums in place of means per token": lambda p, r: (_h(p, r, "sum") - TARGET) ** 2,
        "the reference left out": lambda p, r: (p.chosen.mean - p.rejected.mean - TARGET) ** 2,
        "the target left out": lambda p, r: _h(p, r) ** 2,
        "a target of 1 / tau": lambda p, r: (_h(p, r) - 1 / TAU) ** 2,
        "tau itself for a target": lambda p, r: (_h(p, r) - TAU) ** 2,
        "tau / 2 for a target": lambda p, r: (_h(p, r) - TAU / 2) ** 2,
        "the target outside the square": lambda p, r: _h(p, r) ** 2 - TARGET,
        "the square left out": lambda p, r: _h(p, r) - TARGET,
        "the distance in place of its square": lambda p, r: (_h(p, r) - TARGET).abs(),
        "DPO's logarithm in place of the square": lambda p, r: -logsigmoid(_h(p, r) - TARGET),
        "the sign turned": lambda p, r: -((_h(p, r) - TARGET) ** 2),
    },
)

# --- KTO: (policy, reference, good) -> (responses,) ---------------------------------------------------------


def _thumbs():
    """Two good answers and two bad ones; the policy has moved away from the reference, so that z is above 0."""
    policy = _policy(
        response=[[-0.5, -0.2], [-1.0, -0.3, -0.6], [-0.4], [-1.1, -0.9]],
        other=[[-0.2, -0.1], [-0.5], [-0.6, -0.3, -0.3], [-0.4]],
    )
    reference = from_tokens(
        response=[[-1.5, -0.9], [-0.8, -0.1, -0.4], [-1.9], [-0.6, -0.2]],
        other=[[-1.2, -0.8], [-0.9], [-1.6, -0.8, -0.3], [-1.4]],
    )
    return policy, reference, torch.tensor([True, True, False, False])


def _d(policy, reference, name: str = "response", of: str = "sum"):
    return getattr(getattr(policy, name), of) - getattr(getattr(reference, name), of)


def _z(policy, reference):
    return _d(policy, reference, "other").mean().clamp(min=0).detach()


def _sign(good):
    return torch.where(good, 1.0, -1.0)


KTO = Asked(
    lambda policy, reference, good: kto(policy, reference, good=good, beta=BETA),
    {
        "z not detached": lambda p, r, g: (
            1 - torch.sigmoid(_sign(g) * BETA * (_d(p, r) - _d(p, r, "other").mean().clamp(min=0)))
        ),
        "z left out": lambda p, r, g: 1 - torch.sigmoid(_sign(g) * BETA * _d(p, r)),
        "z from the responses themselves": lambda p, r, g: (
            1 - torch.sigmoid(_sign(g) * BETA * (_d(p, r) - _d(p, r).mean().clamp(min=0).detach()))
        ),
        "good and bad exchanged, or the 1 minus left out": lambda p, r, g: (
            1 - torch.sigmoid(-_sign(g) * BETA * (_d(p, r) - _z(p, r)))
        ),
        "bad answers treated as good ones": lambda p, r, g: 1 - torch.sigmoid(BETA * (_d(p, r) - _z(p, r))),
        "a logarithm that KTO has not": lambda p, r, g: -logsigmoid(_sign(g) * BETA * (_d(p, r) - _z(p, r))),
        "the reference left out": lambda p, r, g: (
            1 - torch.sigmoid(_sign(g) * BETA * (p.response.sum - p.other.sum.mean().clamp(min=0).detach()))
        ),
        "the reference in z alone": lambda p, r, g: 1 - torch.sigmoid(_sign(g) * BETA * (p.response.sum - _z(p, r))),
        "means per token in place of sums": lambda p, r, g: (
            1 - torch.sigmoid(_sign(g) * BETA * (_d(p, r, of="mean") - _z(p, r)))
        ),
        "beta left out": lambda p, r, g: 1 - torch.sigmoid(_sign(g) * (_d(p, r) - _z(p, r))),
        "beta on d alone, and not on z": lambda p, r, g: 1 - torch.sigmoid(_sign(g) * (BETA * _d(p, r) - _z(p, r))),
    },
    _thumbs,
    "loss(policy, reference, good)",
    "four responses",
    each="response",
)

# --- two policies on the same prompts: (a, b) -> half the width of the difference's interval -----------------


def _outcomes():
    first = torch.tensor([1.0, 0.0, 0.5, 1.0, 1.0, 0.0, 1.0, 0.5])
    return first, torch.tensor([1.0, 0.0, 0.0, 1.0, 0.5, 0.0, 1.0, 0.0])


PAIRED = Asked(
    lambda a, b: 1.96 * (a - b).std() / len(a) ** 0.5,
    {
        "the two policies taken as independent": lambda a, b: 1.96 * ((a.var() + b.var()) / len(a)) ** 0.5,
        "the two half-widths added": lambda a, b: 1.96 * (a.std() + b.std()) / len(a) ** 0.5,
        "the first policy's own interval": lambda a, b: 1.96 * a.std() / len(a) ** 0.5,
        "the number of prompts in place of its root": lambda a, b: 1.96 * (a - b).std() / len(a),
        "the division by the root of n left out": lambda a, b: 1.96 * (a - b).std(),
        "the 1.96 left out": lambda a, b: (a - b).std() / len(a) ** 0.5,
        "the whole width in place of its half": lambda a, b: 3.92 * (a - b).std() / len(a) ** 0.5,
        "the variance in place of the deviation": lambda a, b: 1.96 * (a - b).var() / len(a) ** 0.5,
        "the mean difference in place of its deviation": lambda a, b: 1.96 * (a - b).mean() / len(a) ** 0.5,
    },
    _outcomes,
    "half_width(a, b)",
    "eight prompts",
    "half-width",
)

# --- annotators: (gap, noise) -> the share of labels that their noise exchanges ------------------------------


def _gaps():
    return torch.tensor([0.3, -1.0, 2.5, -0.1]), 2.0


FLIPS = Asked(
    lambda gap, noise: torch.sigmoid(-gap.abs() / noise).mean(),
    {
        "the sign turned, so that it is the share of right labels": lambda g, n: torch.sigmoid(g.abs() / n).mean(),
        "the gap's sign left in it": lambda g, n: torch.sigmoid(-g / n).mean(),
        "the noise left out": lambda g, n: torch.sigmoid(-g.abs()).mean(),
        "a multiplication by the noise": lambda g, n: torch.sigmoid(-g.abs() * n).mean(),
        "the mean gap in place of each one's own": lambda g, n: torch.sigmoid(-g.abs().mean() / n),
        "a normal noise in place of a logistic one": lambda g, n: torch.special.ndtr(-g.abs() / n).mean(),
        "the share of gaps below 0, which are the labels as they are": lambda g, n: (g < 0).float().mean(),
        "the sum over pairs in place of their mean": lambda g, n: torch.sigmoid(-g.abs() / n).sum(),
    },
    _gaps,
    "share(gap, noise)",
    "four pairs",
    "share",
)

# --- two annotators: counts -> kappa ------------------------------------------------------------------------


def _table():
    return (torch.tensor([[50.0, 5.0], [15.0, 30.0]]),)


def _agreed(counts):
    """The share of equal verdicts, and what each annotator's shares are: rows the one's, columns the other's."""
    shares = counts / counts.sum()
    return shares.trace(), shares.sum(1), shares.sum(0)


def _kappa(counts):
    observed, rows, columns = _agreed(counts)
    return (observed - rows @ columns) / (1 - rows @ columns)


KAPPA = Asked(
    _kappa,
    {
        "the agreement itself, chance not taken off": lambda c: _agreed(c)[0],
        "chance taken off, and no division by what is left": lambda c: _agreed(c)[0] - _agreed(c)[1] @ _agreed(c)[2],
        "one annotator's shares twice, the rows'": lambda c: (
            (_agreed(c)[0] - _agreed(c)[1] @ _agreed(c)[1]) / (1 - _agreed(c)[1] @ _agreed(c)[1])
        ),
        "one annotator's shares twice, the columns'": lambda c: (
            (_agreed(c)[0] - _agreed(c)[2] @ _agreed(c)[2]) / (1 - _agreed(c)[2] @ _agreed(c)[2])
        ),
        "a division by the agreement in place of 1": lambda c: (
            (_agreed(c)[0] - _agreed(c)[1] @ _agreed(c)[2]) / _agreed(c)[0]
        ),
        "the disagreements in place of the agreements": lambda c: _kappa(c.flip(0)),
        "counts in place of shares": lambda c: (c.trace() - c.sum(1) @ c.sum(0)) / (1 - c.sum(1) @ c.sum(0)),
    },
    _table,
    "kappa(counts)",
    "a table of 100 pairs",
    "kappa",
)

DPO_LOSS = Asked(partial(dpo, beta=BETA), DPO)
SIMPO_LOSS = Asked(partial(simpo, beta=BETA, gamma=GAMMA), SIMPO)
TABLES = {
    "SFT": SFT, "DPO": DPO_LOSS, "SimPO": SIMPO_LOSS, "DPPO": DPPO, "Bradley-Terry": BRADLEY_TERRY, "RS-DPO": RS_DPO,
    "a round": ROUND, "weighted gaps": WEIGHTED_GAPS, "RLOO": RLOO, "GRPO": GRPO, "IPO": IPO, "KTO": KTO, "paired": PAIRED, "flips": FLIPS, "kappa": KAPPA,
}  # fmt: skip

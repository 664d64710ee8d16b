"""DPPO: Direct Preference and Penalization Optimization (the DPPO report by Sun: paper 004, section 3).

Where the policy votes for the losing response of a pair, DPPO also pushes down `ygen`, what the model itself
is most likely to say: the reference model's greedy response ("generated"). The loss is DPO's plus a
penalty of strength alpha * f(r), with r in [-1, 1] the policy's vote and f a weight function.

Elsewhere "DPPO" also names Divergence PPO; and "DPOP" is another name of DPO-Positive, which is in `dpo`.
"""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Literal

import torch
from torch.nn.functional import logsigmoid
from transformers import PreTrainedTokenizerBase

from prefnb import parameters
from prefnb.batches import Examples
from prefnb.course.examples import greedy_ids, pair_examples
from prefnb.course.policies import Trained
from prefnb.logprobs import Loss, ResponseLogprobs
from prefnb.methods._pairs import learn_from_pairs
from prefnb.methods.dpo import Settings as DpoSettings
from prefnb.methods.dpo import dpo, rewards
from prefnb.parameters import setting

LABEL = "DPPO"
COLOUR = "#E69F00"


def _choose(table: dict, name: str, parameter: str):
    if name not in table:
        raise ValueError(f"{parameter}={name!r} is not known: choose one of {', '.join(map(repr, table))}.")
    return table[name]


# --- the vote r, eq. 6: "normalized to be in the range of [-1, 1]", and the report does not say how ------


def _over_batch_max(r):
    return r / r.abs().max().clamp(min=torch.finfo(r.dtype).tiny)  # where all are 0, so is the result


NORMALIZATIONS = {
    "tanh_mean": lambda chosen, rejected: torch.tanh(chosen.mean - rejected.mean),
    "tanh": lambda chosen, rejected: torch.tanh(chosen.sum - rejected.sum),
    "batch_max": lambda chosen, rejected: _over_batch_max(chosen.sum - rejected.sum),
}


@torch.no_grad()
def vote(policy: SimpleNamespace, normalize: str = "tanh_mean") -> torch.Tensor:
    """r in [-1, 1], (batch,), without gradient; negative where the policy prefers the rejected response.

    "tanh_mean" (default): tanh of the difference in log-prob per token. It does not depend on the rest of the
        batch, comes in degrees, and is no vote for the shorter response. Where the two lengths differ its
        sign can differ from that of eq. 6.
    "tanh": tanh of eq. 6's log-ratio. That is often dozens of nats, which leaves only -1 and 1: all of the
        weight functions are then the same indicator, and it mostly says which response is shorter.
    "batch_max": eq. 6 over its largest absolute value in the batch. It keeps proportions, but the weight of a
        pair then depends on the pairs it happens to be batched with.
    ValueError for another name.
    """
    return _choose(NORMALIZATIONS, normalize, "normalize")(policy.chosen, policy.rejected)


# --- the weight f(r), eq. 7. relu(-r) is -1{r<0} r, and never hands the square root a negative number -----

WEIGHTS = {
    "linear": lambda r, zeta: torch.relu(-r),
    "quadratic": lambda r, zeta: torch.relu(-r) ** 2,
    "square_root": lambda r, zeta: torch.relu(-r).sqrt(),
    "expectile": lambda r, zeta: ((r < 0).to(r.dtype) - zeta) * r**2,
}


def weight_of(r: torch.Tensor, form: str = "linear", zeta: float = 0.5) -> torch.Tensor:
    """f(r), (batch,): how strongly a vote is penalised. 0 where r >= 0, except for "expectile".

    "expectile" is (1 - zeta) r^2 where r < 0 and -zeta r^2 where r > 0: a right vote *rewards* `ygen`.
    The other forms ignore zeta. ValueError for another name.
    """
    return _choose(WEIGHTS, form, "weight")(r, zeta)


# --- log(1 - pi(ygen)), for the unlikelihood penalty ------------------------------------------------------


def log1mexp(x: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(x)) for a log-prob x <= 0, precise at both ends (Maechler 2012).

    A float32 log-prob is exact to about 1e-6, so x is clamped there: a token that is all but certain gives
    -13.8 and no gradient, instead of -inf and an infinite one.
    """
    x = x.clamp(max=-1e-6)
    return torch.where(x > -math.log(2), torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


def _token_level(response):
    # padding holds log-prob 0, a probability of 1: left in, it would look like certain tokens
    return log1mexp(response.token).masked_fill(~response.mask, 0).sum(-1)


LEVELS = {"token": _token_level, "sequence": lambda response: log1mexp(response.sum)}


def log_otherwise(response: ResponseLogprobs, level: str = "token") -> torch.Tensor:
    """log(1 - pi) of a response that should not be said, in nats, (batch,): what unlikelihood training raises.

    "token": sum_t log(1 - pi(y_t | x, y_<t)), as in Welleck et al. 2019 (the report's eq. 3).
    "sequence": log(1 - pi(y | x)) as the report prints it. Its gradient is -pi / (1 - pi) times that of S(y):
        nothing at all, for a response of some length.
    ValueError for another level.
    """
    return _choose(LEVELS, level, "level")(response)


# --- the three penalised losses: one equation each; f is f(r), (batch,), and so is the result -------------


def minimum_likelihood(
    policy: SimpleNamespace, reference: SimpleNamespace, f: torch.Tensor, *, alpha: float, beta: float, level: str
) -> torch.Tensor:
    """L_DPO + alpha f log pi(ygen), eq. 5. Unbounded below: log pi(ygen) can fall for ever."""
    return dpo(policy, reference, beta=beta)[0] + alpha * f * policy.generated.sum


def unlikelihood(
    policy: SimpleNamespace, reference: SimpleNamespace, f: torch.Tensor, *, alpha: float, beta: float, level: str
) -> torch.Tensor:
    """L_DPO - alpha f log(1 - pi(ygen)), eq. 8. For f >= 0 it is never negative."""
    return dpo(policy, reference, beta=beta)[0] - alpha * f * log_otherwise(policy.generated, level)


def contrastive(
    policy: SimpleNamespace, reference: SimpleNamespace, f: torch.Tensor, *, alpha: float, beta: float, level: str
) -> torch.Tensor:
    """-log sigma(beta (d(yw) - d(yl)) - alpha beta f d(ygen)), eq. 9."""
    reward_chosen, reward_rejected = rewards(policy, reference, beta)
    reward_generated = beta * (policy.generated.sum - reference.generated.sum)
    return -logsigmoid(reward_chosen - reward_rejected - alpha * f * reward_generated)


PENALTIES = {
    "minimum_likelihood": minimum_likelihood,
    "unlikelihood": unlikelihood,
    "contrastive": contrastive,
}


def dppo(
    policy: SimpleNamespace,
    reference: SimpleNamespace,
    *,
    alpha: float,
    beta: float,
    penalty: str = "minimum_likelihood",
    weight: str = "linear",
    zeta: float = 0.5,
    level: str = "token",
    normalize: str = "tanh_mean",
) -> Loss:
    """DPO, plus a penalty on the model's own greedy response where it votes for the losing one; (batch,).

    alpha: strength. The report's best is 10 for minimum likelihood, 0.1 otherwise. 0 is DPO, bit for bit.
    penalty: "minimum_likelihood" (eq. 5), "unlikelihood" (eq. 8) or "contrastive" (eq. 9).
    weight, zeta: f(r), see `weight_of`. normalize: r, see `vote`. level: for unlikelihood; `log_otherwise`.
    Metrics: dpo's; vote (1 where r < 0), weight (f(r)), penalty (what it adds to DPO's loss), logp_generated
    (S(ygen)). With alpha=0 the response "generated" may be missing, and then so is its metric.
    ValueError for an unknown name.
    """
    penalised_loss = _choose(PENALTIES, penalty, "penalty")
    _choose(LEVELS, level, "level")
    dpo_loss, metrics = dpo(policy, reference, beta=beta)
    r = vote(policy, normalize)
    f = weight_of(r, weight, zeta)
    if alpha == 0:
        loss = dpo_loss  # not "+ 0 * penalty", which is NaN where the penalty is infinite
    else:
        loss = penalised_loss(policy, reference, f, alpha=alpha, beta=beta, level=level)
    metrics |= {"vote": (r < 0).to(r.dtype), "weight": f, "penalty": (loss - dpo_loss).detach()}
    if hasattr(policy, "generated"):
        metrics["logp_generated"] = policy.generated.sum.detach()
    return loss, metrics


class Settings(DpoSettings):
    alpha: float = setting("strength of the penalty (0 is DPO)", low=0, high=10_000, every=10.0)
    zeta: float = setting("the expectile weight's share of right votes", low=0, high=1, every=0.5)
    penalty: Literal[tuple(PENALTIES)] = setting("what is added to DPO's loss", every="minimum_likelihood")
    weight: Literal[tuple(WEIGHTS)] = setting("how a vote becomes a weight", every="linear")
    normalize: Literal[tuple(NORMALIZATIONS)] = setting("how a log-ratio becomes a vote", every="tanh_mean")
    level: Literal[tuple(LEVELS)] = setting("what unlikelihood counts", every="token")


def recipe(**given) -> Trained:
    """DPPO (004 §3) from the SFT policy, with `Settings`."""
    p = parameters.check(given, Settings)
    objective = partial(
        dppo,
        alpha=p.alpha,
        beta=p.beta,
        penalty=p.penalty,
        weight=p.weight,
        zeta=p.zeta,
        level=p.level,
        normalize=p.normalize,
    )
    return learn_from_pairs("dppo", p, objective, make_examples=examples_with_generated)


def examples_with_generated(p: Settings, policy: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> Examples:
    """The preference pairs with ygen, the policy's greedy answer (004 eq. 4), as a third response unless alpha is 0."""
    examples = pair_examples(p, tokenizer)
    if p.alpha == 0:
        return examples
    return examples.plus("generated", greedy_ids(policy, tokenizer, examples, p.max_response_tokens))

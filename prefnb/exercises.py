"""Exercises that know the usual wrong answers: what a reader wrote is held against the right loss and against each mistake, and
told which one it is.

    print(exercises.of_loss(my_dpo, partial(dpo, beta=0.1), exercises.DPO))
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Callable, Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from prefnb import files
from prefnb.logprobs import from_tokens

BETA, GAMMA = 0.1, 0.5  # of the exercises
LENGTHS = {"chosen": (3, 5, 2, 7), "rejected": (4, 2, 6, 5)}


class NotALoss(ValueError):
    """What is wrong with what was given as a loss, in a sentence."""


def values_of(loss: Callable, policy: SimpleNamespace, reference: SimpleNamespace | None, **more) -> torch.Tensor:
    """A loss's values, (batch,). NotALoss unless it gives one finite number an example, with a gradient for the policy, whose
    tokens (or scores) must want one. more: what the loss gets by name."""
    kind = "pair" if hasattr(policy, "rejected") else "response"
    try:
        found = loss(policy, reference, **more)
    except Exception as error:  # noqa: BLE001: a reader's code may raise anything, and gets one sentence for it
        told = f"{type(error).__name__}: {files.first_line(error)}"
        called = ", ".join(["policy", "reference", *(f"{name}={name}" for name in more)])
        raise NotALoss(f"The loss fails on four {kind}s, called as loss({called}): {told}") from None
    values, wanted = found[0] if isinstance(found, tuple) and found else found, len(_tokens_or_scores(policy)[0])
    if not isinstance(values, torch.Tensor):
        raise NotALoss(f"The loss must return a tensor, or (tensor, metrics), and not {type(values).__name__}.")
    if values.shape != (wanted,):
        told = f"and gave {tuple(values.shape)}: mean or sum nothing over {kind}s."
        raise NotALoss(f"The loss must give one number a {kind}, of shape ({wanted},), {told}")
    if not torch.isfinite(values).all():
        raise NotALoss(
            f"The loss is not finite on four {kind}s: is there a log of something below 0, or a division by 0?"
        )
    if all(slope is None or not slope.any() for slope in slopes(values, policy)):
        raise NotALoss(
            "The loss has no gradient for the policy's log-probs: is there a detach(), a .item() or a comparison too many?"
        )
    return values


def slopes(values: torch.Tensor, policy: SimpleNamespace) -> list[torch.Tensor | None]:
    """The gradient of the sum of values by the token log-probs of each response, or by its score."""
    tokens = _tokens_or_scores(policy)
    if not values.requires_grad:
        return [None] * len(tokens)
    return list(torch.autograd.grad(values.sum(), tokens, allow_unused=True, retain_graph=True))


def _tokens_or_scores(policy: SimpleNamespace) -> list[torch.Tensor]:
    """Of each response the token log-probs, (batch, time), or its score, (batch,)."""
    return [getattr(response, "token", response) for response in vars(policy).values()]


def four_pairs(seed: int = 0) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Random log-probs of four pairs of very different lengths, under a policy, which wants gradients, and a reference."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda n: -torch.rand(n, generator=generator, dtype=torch.float64) * 3 - 0.05  # noqa: E731
    made = [{side: [draw(n) for n in lengths] for side, lengths in LENGTHS.items()} for _ in range(2)]
    policy, reference = (from_tokens(**one) for one in made)
    for response in vars(policy).values():
        response.token.requires_grad_()
    return policy, reference


def _gaps(policy, reference, of: str = "sum"):
    """d(yw) and d(yl), of sums or means."""
    return [getattr(getattr(policy, side), of) - getattr(getattr(reference, side), of) for side in LENGTHS]


def _margin(policy, reference):
    chosen, rejected = _gaps(policy, reference)
    return BETA * (chosen - rejected)


DPO: dict[str, Callable] = {  # what is wrong with it: DPO with that mistake
    "chosen and rejected exchanged": lambda p, r: -logsigmoid(-_margin(p, r)),
    "the minus before the logarithm left out": lambda p, r: logsigmoid(_margin(p, r)),
    "the reference left out": lambda p, r: -logsigmoid(BETA * (p.chosen.sum - p.rejected.sum)),
    "means per token in place of sums": lambda p, r: -logsigmoid(BETA * torch.sub(*_gaps(p, r, "mean"))),
    "beta left out": lambda p, r: -logsigmoid(_margin(p, r) / BETA),
    "beta outside the logarithm": lambda p, r: -BETA * logsigmoid(_margin(p, r) / BETA),
    "beta on the chosen side alone": lambda p, r: -logsigmoid(BETA * _gaps(p, r)[0] - _gaps(p, r)[1]),
    "the logarithm left out": lambda p, r: -torch.sigmoid(_margin(p, r)),
    "a plus between the two sides": lambda p, r: -logsigmoid(BETA * sum(_gaps(p, r))),
    "the reference's two log-probs exchanged": lambda p, r: (
        -logsigmoid(BETA * (p.chosen.sum - r.rejected.sum - p.rejected.sum + r.chosen.sum))
    ),
}


def _means(policy):
    return BETA * (policy.chosen.mean - policy.rejected.mean)


SIMPO: dict[str, Callable] = {
    "chosen and rejected exchanged": lambda p, r: -logsigmoid(-_means(p) - GAMMA),
    "sums in place of means per token": lambda p, r: -logsigmoid(BETA * (p.chosen.sum - p.rejected.sum) - GAMMA),
    "gamma left out": lambda p, r: -logsigmoid(_means(p)),
    "gamma added, so that less is asked for": lambda p, r: -logsigmoid(_means(p) + GAMMA),
    "gamma inside the bracket that beta multiplies": lambda p, r: -logsigmoid(_means(p) - BETA * GAMMA),
    "gamma outside the logarithm": lambda p, r: -logsigmoid(_means(p)) - GAMMA,
    "a reference in it": lambda p, r: -logsigmoid(BETA * torch.sub(*_gaps(p, r, "mean")) - GAMMA),
    "beta left out": lambda p, r: -logsigmoid(_means(p) / BETA - GAMMA),
    "the minus before the logarithm left out": lambda p, r: logsigmoid(_means(p) - GAMMA),
}

ADVANTAGES: dict[
    str, Callable
] = {  # of rewards (prompts, K); the right one leaves a sample's own reward out of its baseline
    "the sample's own reward in its baseline": lambda r: r - r.mean(1, keepdim=True),
    "the sign turned": lambda r: (r.sum(1, keepdim=True) - r) / (r.shape[1] - 1) - r,
    "the mean over all prompts for a baseline": lambda r: r - r.mean(),
    "no baseline": lambda r: r,
    "the others' sum in place of their mean": lambda r: r - (r.sum(1, keepdim=True) - r),
    "the others' sum divided by K": lambda r: r - (r.sum(1, keepdim=True) - r) / r.shape[1],
    "a division by the group's deviation": lambda r: (r - r.mean(1, keepdim=True)) / r.std(1, keepdim=True),
    "the group taken along the wrong axis": lambda r: r - (r.sum(0, keepdim=True) - r) / max(1, r.shape[0] - 1),
}


def told(given: object, passed: Callable[[object], bool], hint: str) -> str:
    """What to say of an answer that `passed` judges: None is no answer yet, and one that cannot be checked gets a sentence too."""
    try:
        return "not answered yet" if given is None else "right" if passed(given) else f"not yet: {hint}"
    except (TypeError, ValueError, AttributeError) as error:
        return f"not yet, for it cannot be checked: {error}"


def of_numbers(given: object, right: float | list[float], *, within: float) -> str:
    """The same of a number, or of several, which must each be nearer to the right one than `within`."""
    if given is None:
        return "not answered yet"
    try:
        off = np.abs(np.asarray(given, dtype=float).reshape(np.shape(right)) - right).max()
    except (TypeError, ValueError):  # words, or another number of numbers
        return f"give {'a number' if np.ndim(right) == 0 else f'{len(right)} numbers'}, and not {given!r}"
    return "right" if off < within else "not yet"


@dataclass(frozen=True)
class Asked:
    """A function that readers are asked to write: the right one, and the usual wrong ones, each under the words for what is wrong.

    given makes its arguments anew; those that want a gradient say what the function must pull at, and at what it must not.
    """

    right: Callable
    mistakes: Mapping[str, Callable]
    given: Callable[[], tuple] = four_pairs
    called: str = "loss(policy, reference)"
    on: str = "four pairs"
    what: str = "loss"
    each: str = "pair"
    pulled: str = "the policy's log-probs"


def of_loss(answer: Callable | None, right: Callable, mistakes: Mapping[str, Callable]) -> str:
    """What to say of a reader's loss f(policy, reference): "right", which mistake it is, or what it gives and should."""
    return of_function(answer, Asked(right, mistakes))


def of_function(answer: Callable | None, asked: Asked) -> str:
    """The same of any function that readers are asked to write. A mistake is known by its values and its gradient together, so
    that one which is in the gradient alone, such as a missing detach, has a name too."""
    if _unanswered(answer, *asked.given()):
        return "not answered yet"
    wanted, wanted_slopes = _outcome(asked.right, asked)
    try:
        values, slopes_ = _outcome(answer, asked, wanted, any(slope is not None for slope in wanted_slopes))
    except NotALoss as wrong:
        return str(wrong)
    alike = torch.allclose(values, wanted, atol=1e-6, equal_nan=True)
    if alike and _alike(slopes_, wanted_slopes):
        return "right"
    for by_slopes in (True, False):  # those of the same values are told apart by their gradients
        for name, mistake in asked.mistakes.items():
            theirs, their_slopes = _outcome(mistake, asked)
            if torch.allclose(values, theirs, atol=1e-6) and (
                _alike(slopes_, their_slopes) if by_slopes else not alike
            ):
                return f"not yet: yours is the right one with {name}"
    if alike:
        return "its values are right and its gradient is not: a detach() hides a part of it"
    first, right = values.flatten()[0].item(), wanted.flatten()[0].item()
    return f"not yet: where yours gives {first:.4f}, {right:.4f} is right"


def _outcome(
    function: Callable, asked: Asked, wanted: torch.Tensor | None = None, pulls: bool = False
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """A function's values and its gradients by whatever of its arguments wants one. With `wanted`, NotALoss for what has not its
    shape, is not finite, or does not pull at all, if it should."""
    given = asked.given()
    try:
        found = function(*given)
    except Exception as error:  # noqa: BLE001: a reader's code may raise anything, and gets one sentence for it
        told = f"{type(error).__name__}: {files.first_line(error)}"
        raise NotALoss(f"The {asked.what} fails on {asked.on}, called as {asked.called}: {told}") from None
    values = found[0] if isinstance(found, tuple) and found else found
    if wanted is not None:
        if not isinstance(values, torch.Tensor):
            also = ", or (tensor, metrics)," if asked.what == "loss" else ""
            raise NotALoss(f"The {asked.what} must return a tensor{also} and not {type(values).__name__}.")
        if values.shape != wanted.shape:
            raise NotALoss(f"The {asked.what} must give {_shape(wanted, asked.each)} and gave {tuple(values.shape)}.")
        if not torch.isfinite(values).all():
            why = "is there a log of something below 0, or a division by 0?"
            raise NotALoss(f"The {asked.what} is not finite on {asked.on}: {why}")
    leaves = [one for argument in given for one in _leaves(argument)]
    pulled = [None] * len(leaves)
    if values.requires_grad:
        pulled = torch.autograd.grad(values.sum(), [leaf for leaf, _ in leaves], allow_unused=True)
    if pulls and all(slope is None or not slope.any() for slope in pulled):
        raise NotALoss(
            f"The {asked.what} has no gradient for {asked.pulled}: "
            "is there a detach(), a .item() or a comparison too many?"
        )
    own = [None if slope is None else slope * mask for slope, (_, mask) in zip(pulled, leaves)]
    return values.detach().double(), own


def _shape(wanted: torch.Tensor, each: str) -> str:
    if wanted.ndim == 0:
        return "one number for the whole batch, of shape (),"
    return f"one number a {each}, of shape {tuple(wanted.shape)}: mean or sum nothing over {each}s,"


def _leaves(argument: object) -> list[tuple[torch.Tensor, torch.Tensor | float]]:
    """The tensors of an argument that want a gradient, with a mask: what stands beyond a response's end does not count."""
    if isinstance(argument, SimpleNamespace):
        responses = [one for one in vars(argument).values() if hasattr(one, "token")]
        return [(one.token, one.mask) for one in responses if one.token.requires_grad]
    return [(argument, 1.0)] if isinstance(argument, torch.Tensor) and argument.requires_grad else []


def _alike(some: list[torch.Tensor | None], others: list[torch.Tensor | None]) -> bool:
    """Whether two functions pull alike; no gradient is one of 0."""
    zero = lambda one, other: torch.zeros_like(other) if one is None else one  # noqa: E731
    both = [(a, b) for a, b in zip(some, others) if a is not None or b is not None]
    return all(torch.allclose(zero(a, b), zero(b, a), atol=1e-6) for a, b in both)


def of_choice(given: object, right: str, choices: Sequence[str], hint: str) -> str:
    """The same of a prediction, which is one of a few words."""
    if given is None:
        return "not answered yet"
    if not isinstance(given, str) or given.strip().lower() not in choices:
        return f"choose one of {', '.join(map(repr, choices))}, and not {given!r}"
    return "right" if given.strip().lower() == right else f"not yet: {hint}"


def of_advantages(answer: Callable | None, right: Callable, mistakes: Mapping[str, Callable] = ADVANTAGES) -> str:
    """The same of a reader's advantages f(rewards), (prompts, K) to the same shape."""
    rewards = torch.tensor([[4.0, 4.0, 1.0, 8.0], [2.0, 0.0, 7.0, 3.0], [5.0, 6.0, 1.0, 1.0]])
    if _unanswered(answer, rewards):
        return "not answered yet"
    try:
        values = answer(rewards.clone())
        if not isinstance(values, torch.Tensor) or values.shape != rewards.shape:
            return f"it must give a tensor of the shape of the rewards, {tuple(rewards.shape)}"
    except Exception as error:  # noqa: BLE001: as above
        return f"it fails on three groups of four rewards: {type(error).__name__}: {files.first_line(error)}"
    wanted = right(rewards)
    return "right" if torch.allclose(values, wanted, atol=1e-5) else _which(values, wanted, mistakes, rewards)


def _unanswered(answer: Callable | None, *given) -> bool:
    """Is it None, or a stub that returns None? What fails is an answer, and gets its sentence further on."""
    try:
        return answer is None or answer(*given) is None
    except Exception:  # noqa: BLE001: as above
        return False


def _which(values: torch.Tensor, wanted: torch.Tensor, mistakes: Mapping[str, Callable], *given) -> str:
    for name, mistake in mistakes.items():
        if torch.allclose(values, mistake(*given), atol=1e-6):
            return f"not yet: yours is the right one with {name}"
    first, right = values.flatten()[0].item(), wanted.flatten()[0].item()
    return f"not yet: where yours gives {first:.4f}, {right:.4f} is right"

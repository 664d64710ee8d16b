"""The kinds of attempts, by what a loss reads: pairs, demonstrations, scores of pairs, or the policy's own samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, wraps
from types import SimpleNamespace
from typing import Any, Callable

import torch

from prefnb import course, models, own_data, page
from prefnb.batches import Examples
from prefnb.judges import Judge
from prefnb.logprobs import DatasetLogprobs, ResponseLogprobs, RewardScorer, from_tokens
from prefnb.methods.rloo import sample_metrics
from prefnb.training import History, train
from prefnb.your_turn import attempts
from prefnb.your_turn.attempts import Attempts, valued

STEPS = 12  # of training on one's own samples: some ten seconds


@dataclass
class OnPairs(Attempts):
    """Losses f(policy, reference) of a chosen and a rejected response."""

    examples: Examples

    CURVES = ["loss", "margin", "accuracy"]
    COLUMNS = {"accuracy": "held-out accuracy", "d_chosen": "d(chosen), nats", "d_rejected": "d(rejected), nats"}

    @cached_property
    def before(self) -> DatasetLogprobs:
        """The reference's log-probs of the pairs."""
        return course.reference(self.start, self.examples)

    def few(self) -> tuple[tuple, dict]:
        reference = self.before.batch(range(min(4, len(self.examples))))
        return (replace_tokens(reference, lambda token: (token * 1.1).clone().requires_grad_()), reference), {}

    def trained(self, loss: Callable, live: Any = None) -> tuple[torch.nn.Module, History]:
        loss = loss if loss is self.loss else with_metrics(loss)
        return course.fit(self.start, self.examples, loss, self.p, epochs=1, live=live)

    def measured(self, model: torch.nn.Module, history: History) -> dict:
        pairs = course.pair_examples(self.p, self.tokenizer, "test", limit=attempts.HELD_OUT)
        moved = page.of_responses(page.changes(model, self.start, pairs))
        found = {"accuracy": float(own_data.right_way(moved["chosen"] - moved["rejected"]).mean())}
        return found | {f"d_{side}": float(change.mean()) for side, change in moved.items()} | self.won(model)


@dataclass
class OnDemonstrations(Attempts):
    """Losses f(policy, reference) of one response, a demonstration; there is no reference: it is None."""

    examples: Examples
    held_out: Examples

    CURVES = ["loss", "logp"]
    COLUMNS = {"nats": "held-out loss, nats a token"}
    BASELINE = "base"

    def few(self) -> tuple[tuple, dict]:
        lengths = (3, 5, 2, 7)
        policy = from_tokens(response=[torch.full((n,), -1.5, dtype=torch.float64) for n in lengths])
        policy.response.token.requires_grad_()
        return (policy, None), {}

    def trained(self, loss: Callable, live: Any = None) -> tuple[torch.nn.Module, History]:
        watched = loss if loss is self.loss else with_logp(loss)
        return course.fit(self.start, self.examples, watched, self.p, epochs=1, average="token", live=live)

    def measured(self, model: torch.nn.Module, history: History) -> dict:
        seen = DatasetLogprobs.compute(model, self.held_out).all().response
        return {"nats": -float(seen.sum.sum() / seen.length.sum()), **self.won(model)}


@dataclass
class OnScores(Attempts):
    """Losses f(policy, reference) of a reward model's scores of a pair, policy.chosen and policy.rejected; the reference is
    None."""

    examples: Examples
    held_out: Examples

    CURVES = ["loss", "margin", "accuracy"]
    COLUMNS = {"accuracy": "held-out accuracy", "margin": "held-out margin"}

    def few(self) -> tuple[tuple, dict]:
        scores = torch.tensor([[1.0, -0.5, 0.2, 2.0], [0.5, 0.5, -1.0, 0.0]], dtype=torch.float64)
        policy = SimpleNamespace(chosen=scores[0].requires_grad_(), rejected=scores[1].requires_grad_())
        return (policy, None), {}

    def trained(self, loss: Callable, live: Any = None) -> tuple[torch.nn.Module, History]:
        watched = loss if loss is self.loss else with_margin(loss)
        return course.fit(self.start, self.examples, watched, self.p, epochs=1, scorer=RewardScorer, live=live)

    def measured(self, model: torch.nn.Module, history: History) -> dict:
        with torch.no_grad():
            scorer = RewardScorer(model)
            found = [scorer(batch) for batch in self.held_out.in_order_of_length(64)]
        margin = torch.cat([one.chosen - one.rejected for one in found]).float().numpy()
        return {"accuracy": float(own_data.right_way(margin).mean()), "margin": float(margin.mean())}


@dataclass
class OnSamples(Attempts):
    """Losses f(policy, reference, *, advantage) of the policy's own samples, policy.sample, and of what each is worth,
    (batch,)."""

    judge: Judge
    advantages: Callable

    CURVES = ["reward", "entropy", "length"]
    COLUMNS = {"reward": "reward in the last quarter", "length": "tokens a sample"}

    def few(self) -> tuple[tuple, dict]:
        tokens = [torch.full((n,), -1.5, dtype=torch.float64) for n in (3, 5, 2, 7)]
        policy, reference = from_tokens(sample=tokens), from_tokens(sample=[token * 1.1 for token in tokens])
        policy.sample.token.requires_grad_()
        return (policy, reference), {"advantage": torch.tensor([1.0, -1.0, 0.5, -0.5], dtype=torch.float64)}

    def trained(self, loss: Callable, live: Any = None) -> tuple[torch.nn.Module, History]:
        policy = models.copy_model(self.start)
        source = course.rollouts(
            policy, self.tokenizer, self.p, self.judge, self.advantages, reference_model=self.start
        )
        watched = loss if loss is self.loss else with_samples(loss)
        settings = dict(learning_rate=self.p.learning_rate, schedule="constant", warmup=2 / STEPS, live=live)
        history = train(policy, source, watched, epochs=STEPS / len(source), **settings)
        return policy, history

    def measured(self, model: torch.nn.Module, history: History) -> dict:
        last = STEPS // 4
        return {"reward": history.last("reward", last), "length": history.last("length", last), **self.won(model)}


def replace_tokens(responses, change: Callable):
    """The same responses with other token log-probs."""
    return type(responses)(
        **{name: ResponseLogprobs(change(one.token), one.mask) for name, one in vars(responses).items()}
    )


# A reader's loss may return its values alone; it is watched all the same, by what every loss of its kind is watched by.


def with_metrics(loss: Callable) -> Callable:
    @wraps(loss)
    def objective(policy, reference):
        values, metrics = valued(loss, policy, reference)
        gap = policy.chosen.sum - reference.chosen.sum - policy.rejected.sum + reference.rejected.sum
        own = {"margin": gap, "accuracy": (gap > 0).to(gap.dtype)}
        return values, {name: value.detach() for name, value in {**own, **metrics}.items()}

    return objective


def with_logp(loss: Callable) -> Callable:
    @wraps(loss)
    def objective(policy, reference=None):
        values, metrics = valued(loss, policy, reference)
        return values, {name: value.detach() for name, value in {"logp": policy.response.sum, **metrics}.items()}

    return objective


def with_margin(loss: Callable) -> Callable:
    @wraps(loss)
    def objective(policy, reference=None):
        values, metrics = valued(loss, policy, reference)
        margin = policy.chosen - policy.rejected
        own = {"margin": margin, "accuracy": (margin > 0).to(margin.dtype)}
        return values, {name: value.detach() for name, value in {**own, **metrics}.items()}

    return objective


def with_samples(loss: Callable) -> Callable:
    @wraps(loss)
    def objective(policy, reference=None, *, advantage):
        values, metrics = valued(loss, policy, reference, advantage=advantage)
        return values, {name: value.detach() for name, value in {**sample_metrics(policy), **metrics}.items()}

    return objective

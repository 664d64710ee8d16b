"""Judges: (prompts, responses) -> Scores.

A judge is any callable `judge(prompts, responses) -> Scores`, where `prompts` is a list of message lists and
`responses` a list of strings. Scores of different prompts are not comparable: compare responses to the same
prompt (`prefnb.evaluate.win_rate`).
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from prefnb import models, pocket
from prefnb.batches import Examples, end_of_turn_id, prompt_ids
from prefnb.logprobs import RewardScorer, score_of


@dataclass
class Scores:
    """A judge on responses: `total` and named `parts`, all of one shape; higher is better in all of them.

    (n,) for one response to each of n prompts, (n, K) for K of them (`score_samples`).
    """

    total: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self):
        return len(self.total)

    def __getitem__(self, rows):
        """The scores of some prompts only: a slice, a list of row numbers or a boolean mask."""
        return Scores(self.total[rows], {name: part[rows] for name, part in self.parts.items()})


def last_user_turn(messages):
    """The text a judge reads as the question: the last user message of a prompt."""
    for message in reversed(messages):
        if message["role"] == "user":
            return message["content"]
    raise ValueError("A prompt without a user turn cannot be judged: give it a message with role 'user'.")


def check_pairs(prompts, responses):
    """Refuse, before any scoring, prompts and responses that cannot be matched one to one."""
    if isinstance(responses, str) or len(prompts) != len(responses):
        raise ValueError(
            f"A judge needs one response per prompt, as two lists: got {len(prompts)} prompts and "
            + ("one string." if isinstance(responses, str) else f"{len(responses)} responses.")
        )
    for i, response in enumerate(responses):
        if not isinstance(response, str):
            kind = type(response).__name__
            raise ValueError(f"Response {i} is a {kind}, not a string: pass the samples' `.text`.")


def score_samples(judge, prompts, samples):
    """What a judge says of samples, K of each of n prompts in a row: `Scores` of shape (n, K)."""
    draws, left_over = divmod(len(samples), max(1, len(prompts)))
    if left_over or not draws:
        raise ValueError(f"There are {len(samples)} samples of {len(prompts)} prompts; give as many of every prompt.")
    found = judge([prompt for prompt in prompts for _ in range(draws)], [one.text for one in samples])
    shape = len(prompts), draws
    return Scores(found.total.reshape(shape), {name: part.reshape(shape) for name, part in found.parts.items()})


class GoldJudge:
    """The pocket world's truth: a program that knows the answer to every pocket prompt.

    Total in 1..10; parts helpfulness, fluency, concision and honesty in 0..1. `tie` is the difference in
    total up to which two responses count as equally good: `win_rate(scores, baseline, tie=judge.tie)`.
    """

    name = "gold"

    def __init__(self):
        self.tie = pocket.TIE

    def __call__(self, prompts, responses):
        check_pairs(prompts, responses)
        judgements = [pocket.score(last_user_turn(p), r) for p, r in zip(prompts, responses)]
        columns = {
            name: np.array([getattr(j, name) for j in judgements], dtype=float)
            for name in ("total", "helpfulness", "fluency", "concision", "honesty")
        }
        return Scores(columns.pop("total"), columns)

    def flaws(self, prompts, responses):
        """{name of a flaw: which responses show it, bool (n,)}, for each of `pocket.FLAWS`."""
        check_pairs(prompts, responses)
        found = [pocket.flaws(last_user_turn(p), r) for p, r in zip(prompts, responses)]
        return {name: np.array([name in flaws for flaws in found]) for name in pocket.FLAWS}


class RewardModel:
    """The proxy: a sequence-classification model (`models.load_reward_model`) as a judge.

    Its score is the model's one output, or of two classes the log-odds of the class `positive`, 0 or 1.
    reads: "dialog" (prompt, response and end-of-turn token through the chat template, as in training), "pair" (the
    last user turn and the response as a pair of texts, as deberta reads them) or "response" (that alone, as the papers'
    fluency classifier does); None is the first where the tokenizer has a chat template, else the second. Pairs and
    responses are cut to what the model can take, dialogs are read whole.
    """

    name = "proxy"

    def __init__(self, model, tokenizer, *, positive=1, reads=None, batch_size=64):
        reads = reads or ("dialog" if tokenizer.chat_template else "pair")
        if reads not in ("dialog", "pair", "response"):
            raise ValueError(f"reads must be 'dialog', 'pair' or 'response', not {reads!r}.")
        if positive not in (0, 1):
            raise ValueError(f"positive must be the number of the good class, 0 or 1, not {positive!r}.")
        self.model, self.tokenizer, self.batch_size = model.eval(), tokenizer, batch_size
        self.positive, self.reads, self.tie = positive, reads, 0.0

    @classmethod
    def load(cls, name, **settings):
        """The judge that the model `name` (a local folder or a hub name) makes, with its own tokenizer."""
        return cls(models.load_reward_model(name), models.load_tokenizer(name, chat=False), **settings)

    @torch.no_grad()
    def __call__(self, prompts, responses):
        check_pairs(prompts, responses)
        score = self._dialogs if self.reads == "dialog" else self._texts
        return Scores(score(prompts, responses))

    def _dialogs(self, prompts, responses):
        end, scorer = end_of_turn_id(self.tokenizer), RewardScorer(self.model, self.positive)
        total = np.zeros(len(prompts))
        ids = [self.tokenizer.encode(response, add_special_tokens=False) + [end] for response in responses]
        prompts = [prompt_ids(self.tokenizer, prompt) for prompt in prompts]
        examples = Examples(prompts, {"response": ids}, list(range(len(prompts))))
        for batch in examples.in_order_of_length(self.batch_size):
            total[batch.index] = scorer(batch.to(self.model.device)).response.cpu()
        return total

    def _texts(self, prompts, responses):
        questions, total = [last_user_turn(prompt) for prompt in prompts], np.zeros(len(prompts))
        limit = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        order = sorted(range(len(prompts)), key=lambda i: len(questions[i]) + len(responses[i]), reverse=True)
        for start in range(0, len(order), self.batch_size):
            index = order[start : start + self.batch_size]
            texts = [[responses[i] for i in index]]
            if self.reads == "pair":
                texts.insert(0, [questions[i] for i in index])
            inputs = self.tokenizer(*texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
            total[index] = score_of(self.model(**inputs.to(self.model.device)).logits, self.positive).cpu()
        return total


class Several:
    """Several judges as the parts of one: {name: judge}, each part being that judge's total; the total is their mean.

    Only parts on one scale make a mean that means something: see `Probability`.
    """

    name, tie = "several", 0.0

    def __init__(self, judges):
        if not judges:
            raise ValueError("There is no judge; give at least one, as {name: judge}.")
        self.judges = dict(judges)

    def __call__(self, prompts, responses):
        parts = {name: judge(prompts, responses).total for name, judge in self.judges.items()}
        return Scores(np.mean(list(parts.values()), axis=0), parts)


class Probability:
    """A reward model's score, which may be any number, as 1 / (1 + exp(-score)), in 0..1 with an ideal of 1.

    Of a two-class model this is the probability of its good class.
    """

    def __init__(self, judge):
        self.judge, self.name, self.tie = judge, judge.name, 0.0

    def __call__(self, prompts, responses):
        return Scores(0.5 * (1 + np.tanh(self.judge(prompts, responses).total / 2)))  # never overflows


class Brevity:
    """exp(-words / scale), in 0..1: a second objective that needs no model."""

    name, tie = "brevity", 0.0

    def __init__(self, scale=100.0):
        self.scale = scale

    def __call__(self, prompts, responses):
        check_pairs(prompts, responses)
        return Scores(np.exp([-len(response.split()) / self.scale for response in responses]))


class Combined:
    """A judge whose total is `reward(parts)`, (n,): how several objectives become the one number that RLOO learns from.

    The parts, {name: (n,)}, stay as the judge gave them, so that the history of a training shows each objective.
    """

    name, tie = "combined", 0.0

    def __init__(self, judge, reward):
        self.judge, self.reward = judge, reward

    def __call__(self, prompts, responses):
        parts = self.judge(prompts, responses).parts
        if not parts:
            raise ValueError("This judge gives one score without parts; make one of several with judges.Several.")
        return Scores(np.asarray(self.reward(parts), dtype=float), parts)

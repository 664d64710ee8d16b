"""Reward models as judges: the proxy, which learnt from pairs, and models from a folder or the hub."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch

from prefnb import models
from prefnb.batches import Examples, end_of_turn_id, prompt_ids
from prefnb.judges.scores import Prompts, Scores, check_pairs, last_user_turn
from prefnb.logprobs import RewardScorer, score_of


class RewardModel:
    """A sequence-classification model (`models.load_reward_model`) as a judge.

    Its score is the model's one output, or of two classes the log-odds of the class `positive`, 0 or 1.
    reads: "dialog" (prompt, response and end-of-turn token through the chat template, as in training), "pair" (the
    last user turn and the response as a pair of texts, as deberta reads them) or "response" (that alone, as the papers'
    fluency classifier does); None is the first where the tokenizer has a chat template, else the second. Pairs and
    responses are cut to what the model can take, dialogs are read whole.
    """

    name, tie = "proxy", 0.0

    def __init__(self, model, tokenizer, *, positive: int = 1, reads: str | None = None, batch_size: int = 64):
        reads = reads or ("dialog" if tokenizer.chat_template else "pair")
        if reads not in ("dialog", "pair", "response"):
            raise ValueError(f"reads must be 'dialog', 'pair' or 'response', not {reads!r}.")
        if positive not in (0, 1):
            raise ValueError(f"positive must be the number of the good class, 0 or 1, not {positive!r}.")
        self.model, self.tokenizer, self.batch_size = model.eval(), tokenizer, batch_size
        self.positive, self.reads = positive, reads

    @classmethod
    def load(cls, name: str, **settings) -> RewardModel:
        """The judge that the model `name` (a local folder or a hub name) makes, with its own tokenizer."""
        judge = cls(models.load_reward_model(name), models.load_tokenizer(name, chat=False), **settings)
        path = os.path.expanduser(name)
        judge.name = os.path.basename(os.path.abspath(path)) if os.path.isdir(path) else name
        return judge

    @torch.no_grad()
    def __call__(self, prompts: Prompts, responses: Sequence[str]) -> Scores:
        check_pairs(prompts, responses)
        score = self._dialogs if self.reads == "dialog" else self._texts
        return Scores(score(prompts, responses))

    def _dialogs(self, prompts: Prompts, responses: Sequence[str]) -> np.ndarray:
        end, scorer = end_of_turn_id(self.tokenizer), RewardScorer(self.model, self.positive)
        total = np.zeros(len(prompts))
        ids = [self.tokenizer.encode(response, add_special_tokens=False) + [end] for response in responses]
        prompts = [prompt_ids(self.tokenizer, prompt) for prompt in prompts]
        examples = Examples(prompts, {"response": ids}, list(range(len(prompts))))
        for batch in examples.in_order_of_length(self.batch_size):
            total[batch.index] = scorer(batch.to(self.model.device)).response.cpu()
        return total

    def _texts(self, prompts: Prompts, responses: Sequence[str]) -> np.ndarray:
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

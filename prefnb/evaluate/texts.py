"""What can be said of texts without a judge: BLEU, perplexity, diversity, length."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from prefnb.evaluate._numbers import Numbers, by_prompt


def _texts(samples: Sequence) -> list[str]:
    """Texts of `Sample`s, or strings as they are."""
    texts = [getattr(s, "text", s) for s in samples]
    if not texts:
        raise ValueError("There are no responses to measure: give at least one.")
    return texts


def bleu(responses: Sequence, references: Sequence) -> dict[str, float]:
    """{"bleu1", "bleu2", "bleu4"}, each in 0..100: corpus BLEU up to that n-gram order, one reference each.

    Computed by sacrebleu (Post 2018) with its default 13a tokenisation, case kept.
    """
    from sacrebleu.metrics import BLEU

    responses, references = _texts(responses), _texts(references)
    if len(responses) != len(references):
        raise ValueError(f"BLEU needs a reference per response: got {len(references)} for {len(responses)}.")
    return {
        f"bleu{order}": BLEU(max_ngram_order=order, force=True).corpus_score(responses, [references]).score
        for order in (1, 2, 4)
    }


def perplexity(log_probs: Numbers, tokens: Numbers) -> float:
    """exp of minus the log-prob per token, over all responses: sums (n,) in nats and token counts (n,).

    Tokens are pooled, so a long response weighs more than a short one. Comparable only between models that
    share a tokenizer.
    """
    total, count = by_prompt(log_probs, "log-probs").ravel(), by_prompt(tokens, "counts").ravel()
    if len(total) != len(count) or count.sum() <= 0:
        raise ValueError("Perplexity needs a sum of log-probs and a token count per response, not all 0.")
    return float(np.exp(-total.sum() / count.sum()))


def distinct_n(samples: Sequence, n: int = 2) -> float:
    """Distinct n-grams over all n-grams of all responses (Li et al. 2016), lower-cased words; 0 if none.

    It falls as a corpus grows, whatever wrote it: compare equally many responses only.
    """
    grams = []
    for text in _texts(samples):
        words = text.lower().split()
        grams += zip(*(words[i:] for i in range(n)))
    return len(set(grams)) / max(len(grams), 1)


def self_bleu(samples: Sequence, limit: int = 50, seed: int = 0) -> float:
    """Mean BLEU-4 (0..100) of each response against all the others (Zhu et al. 2018): high means all alike.

    The cost is quadratic, so at most `limit` responses, drawn by `seed`, are compared.
    """
    from sacrebleu.metrics import BLEU

    texts = _texts(samples)
    if len(texts) < 2:
        raise ValueError("Self-BLEU compares responses with one another: give at least two.")
    if len(texts) > limit:
        texts = [texts[i] for i in np.random.default_rng(seed).choice(len(texts), limit, replace=False)]
    metric = BLEU(effective_order=True, force=True)
    others = [texts[:i] + texts[i + 1 :] for i in range(len(texts))]
    return float(np.mean([metric.sentence_score(*pair).score for pair in zip(texts, others)]))


def mean_length(samples: Sequence) -> float:
    """Mean number of tokens per sample."""
    _texts(samples)
    return float(np.mean([len(s.ids) for s in samples]))


def finished_share(samples: Sequence) -> float:
    """Share of samples that ended by themselves, within the token limit."""
    _texts(samples)
    return float(np.mean([s.finished for s in samples]))

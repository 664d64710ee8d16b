"""How good is a policy? Win rates with intervals, length control, text measures, sampled KL, collapse.

Everything here reads scores, texts or log-probs that exist already; nothing samples or trains. Rates are in
0..1, KLs in nats per response, intervals are 95% as `(low, high)`. What is random (the bootstrap, the subset
that self-BLEU compares) has its own `seed`.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

Z95 = 1.959964  # the normal distribution's 97.5% point


# ---------------------------------------------------------------- checks and intervals


def _by_prompt(scores, name):
    """The totals of a `Scores`, or an array of numbers, as floats (n, K); (n,) is one draw a prompt. Refuses what
    cannot be compared."""
    totals = np.asarray(getattr(scores, "total", scores), dtype=float)
    if totals.ndim not in (1, 2) or totals.size == 0:
        raise ValueError(
            f"The {name} must be numbers, one per prompt (n,) or K per prompt (n, K), and not none at all."
        )
    if not np.isfinite(totals).all():
        bad = int((~np.isfinite(totals)).sum())
        raise ValueError(f"The {name} hold {bad} values that are not finite numbers; mend those first.")
    return totals.reshape(len(totals), -1)


def _paired(scores, baseline):
    """Both scores as (n, K) and (n, L); they must be scores of the same prompts in the same order."""
    a, b = _by_prompt(scores, "scores"), _by_prompt(baseline, "baseline scores")
    if len(a) != len(b):
        raise ValueError(f"There are {len(a)} scores and {len(b)} baseline scores; score the same prompts.")
    return a, b


def _check_lengths(expected, of, **lists):
    """Each named list must have `expected` entries, one for each `of` these."""
    for name, values in lists.items():
        if len(values) != expected:
            name = name.replace("_", " ")
            raise ValueError(f"There are {expected} {of} but {len(values)} {name}; give one for each.")


def wilson_interval(wins, n):
    """Wilson's 95% interval of a proportion `wins / n`: honest for few trials and at 0 or n wins."""
    p, z2 = wins / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half_width = Z95 / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, float(centre - half_width)), min(1.0, float(centre + half_width))


def bootstrap_interval(values, seed=0, resamples=1000):
    """95% percentile interval of the mean of `values`: resample rows with replacement, many times.

    values: (n,), or (n, K) for K draws a prompt; the rows, i.e. prompts, are what is resampled. Their order does not
    matter.
    """
    values = np.asarray(values, dtype=float)
    values = np.sort(values.reshape(len(values), -1).mean(1))
    rows = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.percentile(values[rows].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def mean_and_interval(values, seed=0):
    """The mean of `values`, (n,) or (n, K), with its 95% interval, as text: "+0.31 [+0.12, +0.50]"."""
    values = np.asarray(values, dtype=float)
    low, high = bootstrap_interval(values, seed)
    return f"{values.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def change(values, seed=0):
    """What became of a quantity, in words, from the interval of its changes, (n,) or (n, K)."""
    low, high = bootstrap_interval(values, seed)
    return "fell" if high < 0 else "rose" if low > 0 else "did not move by more than chance"


def verdict(interval, null=0.5):
    """What a 95% interval (low, high) says about the claim that the measured thing lies above `null`."""
    low, high = interval
    return "holds here" if low > null else "does not hold here" if high < null else "cannot be told"


# ---------------------------------------------------------------- win rates


@dataclass(frozen=True)
class WinRate:
    """How often a policy's answers beat a baseline's to the same n prompts: shares of all comparisons, the mean over
    prompts of each prompt's share.

    `rate` counts a tie as half a win: two equal policies get 0.5, so it is what we print and plot. `strict`
    counts a tie as a loss: the share of comparisons in which the policy is preferred.
    """

    n: int  # prompts
    rate: float
    interval: tuple[float, float]  # bootstrap over prompts
    strict: float
    tie_share: float
    mean_difference: float  # mean of score - baseline score, in the judge's points
    difference_interval: tuple[float, float]  # bootstrap over prompts

    @property
    def strict_interval(self):
        """Wilson's interval, each prompt as one comparison: with several draws too wide rather than too narrow."""
        return wilson_interval(self.strict * self.n, self.n)

    @property
    def same_direction(self):
        """Do win rate and mean difference agree on which policy is better? If not, look at the tie width."""
        return (self.rate - 0.5) * self.mean_difference >= 0

    def __str__(self):
        low, high = self.interval
        return f"{self.rate:.2f} [{low:.2f}, {high:.2f}] (ties {self.tie_share:.2f})"


def _comparisons(a, b, tie):
    """Every draw against every draw: 1 for a win, 0.5 for a tie (difference at most `tie`), 0 for a loss, (n, K, L)."""
    if not tie >= 0:
        raise ValueError(f"The tie width must be 0 or more, in the judge's points; got {tie}.")
    difference = a[:, :, None] - b[:, None, :]
    # The hair beyond `tie` is rounding: 0.3 - 0.2 must tie at 0.1.
    return np.where(np.abs(difference) <= tie + 1e-9, 0.5, difference > 0)


def outcomes(scores, baseline, tie=0.0):
    """What each prompt says, (n,): the mean over all comparisons of its draws of 1 for a win, 0.5 for a tie, 0 for a
    loss. Arguments: `win_rate`'s."""
    return _comparisons(*_paired(scores, baseline), tie).mean((1, 2))


def win_rate(scores, baseline, tie=0.0, seed=0):
    """Win rate of `scores` over `baseline`: on each prompt every draw against every draw, then the mean over prompts.

    scores, baseline: `judges.Scores`, or arrays of numbers (one part of the scores, say): (n,), or (n, K) and
    (n, L) for several draws a prompt. The intervals resample prompts: draws for one prompt are no news of others.
    tie: differences of at most this many points are ties; the gold judge's is `GoldJudge().tie`.
    """
    a, b = _paired(scores, baseline)
    outcome = _comparisons(a, b, tie)
    difference = a.mean(1) - b.mean(1)
    return WinRate(
        n=len(a),
        rate=float(outcome.mean()),
        interval=bootstrap_interval(outcome.mean((1, 2)), seed),
        strict=float((outcome == 1).mean()),
        tie_share=float((outcome == 0.5).mean()),
        mean_difference=float(difference.mean()),
        difference_interval=bootstrap_interval(difference, seed),
    )


def by_category(scores, baseline, categories, tie=0.0, seed=0):
    """{category: WinRate}, in alphabetical order; `categories` (n,) names each prompt's. The rest: see `win_rate`."""
    a, b = _paired(scores, baseline)
    _check_lengths(len(a), "prompts", categories=categories)
    categories = np.asarray(categories)
    rows = {str(category): categories == category for category in np.unique(categories)}
    return {category: win_rate(a[here], b[here], tie, seed) for category, here in rows.items()}


@dataclass(frozen=True)
class LengthControlled:
    """A win rate as it would be if both policies answered at the same length."""

    rate: float
    interval: tuple[float, float]
    raw: float  # the uncontrolled win rate, ties as half
    length_effect: float  # log-odds for being much longer than the baseline; above 0, length wins

    def __str__(self):
        low, high = self.interval
        return f"{self.rate:.2f} [{low:.2f}, {high:.2f}] (uncontrolled {self.raw:.2f})"


def length_controlled_win_rate(scores, baseline, lengths, baseline_lengths, tie=0.0, ridge=0.01):
    """The win rate at equal lengths: fit logit P(win) = a + b tanh(difference / its s.d.), read sigma(a).

    scores, baseline, tie: `win_rate`'s; the lengths have the shapes of the scores, (n,) or (n, K). The idea of Dubois
    et al. 2024 (length-controlled AlpacaEval), without their per-prompt difficulty term. A tie counts as half a win,
    and a prompt's comparisons together count as one. The small ridge keeps a and b finite where the data are separable
    (all wins, or wins exactly where longer). Where the difference in length never varies there is nothing to control
    for, and the rate is the raw one. The interval is the normal one of `a`, carried through sigma; with several draws,
    whose mean varies less than one comparison, it is too wide rather than too narrow.
    """
    a, b = _paired(scores, baseline)
    a_lengths, b_lengths = _by_prompt(lengths, "lengths"), _by_prompt(baseline_lengths, "baseline lengths")
    if a_lengths.shape != a.shape or b_lengths.shape != b.shape:
        raise ValueError(
            f"Give one length for each score: the shapes (prompts, draws) are {a.shape} for scores and "
            f"{a_lengths.shape} for lengths, {b.shape} and {b_lengths.shape} for the baseline's."
        )
    outcome = _comparisons(a, b, tie)
    difference = (a_lengths[:, :, None] - b_lengths[:, None, :]).ravel()
    spread = difference.std()
    # Divided by the spread but not centred: 0 has to stay "the same length".
    longer = np.tanh(difference / spread) if spread > 0 else np.zeros_like(difference)
    features = np.stack([np.ones_like(longer), longer], axis=1)
    weights, covariance = _fit_logistic(features, outcome.ravel(), ridge, len(a) / outcome.size)
    intercept, error = weights[0], np.sqrt(covariance[0, 0])
    low, high = _sigmoid(intercept - Z95 * error), _sigmoid(intercept + Z95 * error)
    return LengthControlled(
        float(_sigmoid(intercept)), (float(low), float(high)), float(outcome.mean()), float(weights[1])
    )


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(np.asarray(x) / 2))  # never overflows


def _fit_logistic(features, target, ridge, weight=1.0, steps=50):
    """Ridge logistic regression by Newton's method, each row counting `weight`: weights (k,), covariance (k, k)."""

    def loss(w):
        x = features @ w
        return weight * (np.logaddexp(0, x) - target * x).sum() + ridge / 2 * (w @ w)

    weights = np.zeros(features.shape[1])
    for _ in range(steps):
        p = _sigmoid(features @ weights)
        gradient = weight * features.T @ (p - target) + ridge * weights
        hessian = weight * (features.T * (p * (1 - p))) @ features + ridge * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        while loss(weights - step) > loss(weights) + 1e-9:  # overshot, as Newton may on separable data
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights, np.linalg.inv(hessian)


# ---------------------------------------------------------------- text measures


def _texts(samples):
    """Texts of `Sample`s, or strings as they are."""
    texts = [getattr(s, "text", s) for s in samples]
    if not texts:
        raise ValueError("There are no responses to measure: give at least one.")
    return texts


def bleu(responses, references):
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


def perplexity(log_probs, tokens):
    """exp of minus the log-prob per token, over all responses: sums (n,) in nats and token counts (n,).

    Tokens are pooled, so a long response weighs more than a short one. Comparable only between models that
    share a tokenizer.
    """
    total, count = (np.ravel(_by_prompt(_numpy(x), name)) for x, name in ((log_probs, "log-probs"), (tokens, "counts")))
    if len(total) != len(count) or count.sum() <= 0:
        raise ValueError("Perplexity needs a sum of log-probs and a token count per response, not all 0.")
    return float(np.exp(-total.sum() / count.sum()))


def distinct_n(samples, n=2):
    """Distinct n-grams over all n-grams of all responses (Li et al. 2016), lower-cased words; 0 if none.

    It falls as a corpus grows, whatever wrote it: compare equally many responses only.
    """
    grams = []
    for text in _texts(samples):
        words = text.lower().split()
        grams += zip(*(words[i:] for i in range(n)))
    return len(set(grams)) / max(len(grams), 1)


def self_bleu(samples, limit=50, seed=0):
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


def mean_length(samples):
    """Mean number of tokens per sample."""
    _texts(samples)
    return float(np.mean([len(s.ids) for s in samples]))


def finished_share(samples):
    """Share of samples that ended by themselves, within the token limit."""
    _texts(samples)
    return float(np.mean([s.finished for s in samples]))


def describe(samples, scores=None, flaws=None):
    """One row of a table: length, share finished, diversity, and what a judge found if given.

    samples: n, or K for each of n prompts. scores: a judge's `Scores` of them, (n,) or (n, K), of which the means are
    shown. flaws: {name: bool}, one for each sample, as from `GoldJudge().flaws`, shown as shares.
    """
    row = {
        "mean_length": mean_length(samples),
        "finished": finished_share(samples),
        "distinct_2": distinct_n(samples, 2),
        "self_bleu": self_bleu(samples),
    }
    columns = {} if scores is None else {"score": scores.total, **scores.parts}
    for name, values in (columns | (flaws or {})).items():
        _check_lengths(len(samples), "responses", **{name: np.ravel(values)})
        row[name] = float(np.mean(values))
    return row


# ---------------------------------------------------------------- KL and collapse


def _numpy(x):
    """A torch tensor, on any device, or anything array-like, as numpy."""
    return x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)


def kl(policy, reference, seed=0):
    """Sampled KL(policy || reference), nats per response: {"k1", "k3", "interval" (of k3), "per_token" (k3)}.

    policy, reference: `logprobs.Response` of the **policy's own samples** under either model. The samples
    must come from the distribution that `policy` holds the log-probs of: temperature 1 and top_p 1, unless
    the log-probs were taken at the sampling temperature too. On a dataset's responses the same sum is not a
    KL. The estimators are those of `objectives.kl`: both unbiased, and k3 is never negative and less noisy.
    """
    from prefnb.objectives.kl import kl_k1, kl_k3

    mask = _numpy(policy.mask)
    if mask.shape != _numpy(reference.mask).shape or (mask != _numpy(reference.mask)).any() or not mask.any():
        raise ValueError("A sampled KL needs log-probs of the same non-empty samples under both models.")
    models = SimpleNamespace(sample=policy), SimpleNamespace(sample=reference)
    k1, k3 = (_by_prompt(_numpy(estimate(*models)), "sampled KLs")[:, 0] for estimate in (kl_k1, kl_k3))
    return {
        "k1": float(k1.mean()),
        "k3": float(k3.mean()),
        "interval": bootstrap_interval(k3, seed),
        "per_token": float(k3.sum() / mask.sum()),
    }


# What counts as collapse. They are wide on purpose: a policy that is merely worse does not trip them.
LENGTH_RATIO = (0.4, 2.5)  # mean tokens, against the baseline's
DISTINCT_RATIO = (0.5, 2.0)  # distinct-2 against the baseline's: below, it repeats itself; above, word salad
UNFINISHED = 0.5  # share of samples that never end ...
UNFINISHED_RISE = 0.25  # ... and so much above the baseline's
KL_PER_TOKEN = 1.0  # nats: on average, each token e times as likely as under the reference


@dataclass(frozen=True)
class Collapse:
    """The verdict on a policy's samples, with its reasons as phrases and what was measured."""

    collapsed: bool
    reasons: list[str]
    measures: dict[str, float]

    def __str__(self):
        if self.collapsed:
            return "This policy has collapsed: " + "; ".join(self.reasons) + "."
        m = self.measures
        return (
            f"No sign of collapse: mean length {m['length_ratio']:.2f} and "
            f"distinct-2 {m['distinct_ratio']:.2f} times the baseline's, "
            f"{m['unfinished']:.0%} of samples never end"
            + (f", KL {m['kl_per_token']:.2f} nats per token." if "kl_per_token" in m else ".")
        )


def collapse_check(samples, baseline_samples, kl=None):
    """Has a policy stopped answering? Compares its samples with a baseline's on the same prompts.

    samples, baseline_samples: lists of `sampling.Sample`, equally many, one or K for each prompt. kl: what `kl()`
    returned for the policy against the baseline, or a number in nats per response. Thresholds: the constants above.
    """
    if len(samples) != len(baseline_samples):
        raise ValueError(
            f"There are {len(samples)} samples and {len(baseline_samples)} of the baseline; compare as many."
        )
    length, unfinished = mean_length(samples), 1 - finished_share(samples)
    measures = {
        "length_ratio": length / max(mean_length(baseline_samples), 1e-9),
        "distinct_ratio": distinct_n(samples) / max(distinct_n(baseline_samples), 1e-9),
        "unfinished": unfinished,
        "baseline_unfinished": 1 - finished_share(baseline_samples),
    }
    if kl is not None:
        measures["kl_per_token"] = kl["per_token"] if isinstance(kl, dict) else kl / max(length, 1.0)

    reasons = []
    if not LENGTH_RATIO[0] <= measures["length_ratio"] <= LENGTH_RATIO[1]:
        reasons.append(f"its responses are {measures['length_ratio']:.2f} times as long as the baseline's")
    times = f"(distinct-2 {measures['distinct_ratio']:.2f} times the baseline's)"
    if measures["distinct_ratio"] < DISTINCT_RATIO[0]:
        reasons.append(f"it repeats itself {times}")
    if measures["distinct_ratio"] > DISTINCT_RATIO[1]:
        reasons.append(f"it writes word salad {times}")
    if unfinished > UNFINISHED and unfinished > measures["baseline_unfinished"] + UNFINISHED_RISE:
        before = measures["baseline_unfinished"]
        reasons.append(f"{unfinished:.0%} of its responses never end (baseline {before:.0%})")
    if measures.get("kl_per_token", 0.0) > KL_PER_TOKEN:
        reasons.append(f"its KL from the reference is {measures['kl_per_token']:.2f} nats per token")
    return Collapse(bool(reasons), reasons, measures)

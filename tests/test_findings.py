"""Titles of figures: what they say is what is drawn, and where an interval holds the null they say that it cannot be told."""

from types import SimpleNamespace

import numpy as np
import pytest

from prefnb import findings
from prefnb.evaluate import WinRate

RNG = np.random.default_rng(0)


def won(rate, half=0.02):
    return WinRate(100, rate, (rate - half, rate + half), rate, 0.0, rate - 0.5, (rate - 0.5 - half, rate - 0.5 + half))


@pytest.mark.parametrize("results, said", [
    ({"DPO": won(0.61)}, "DPO wins .61 of comparisons with SFT"),
    ({"DPPO": won(0.1)}, "DPPO wins only .10 of comparisons with SFT"),
    ({"DPO": won(0.51)}, "DPO cannot be told from SFT: it wins .51"),
    ({"DPO": won(0.61), "DPPO": won(0.0)}, "DPO wins .61 of comparisons with SFT, DPPO .00"),
    ({"DPO": won(0.51), "DPPO": won(0.6)}, "win rate over SFT: DPO .51 (cannot be told), DPPO .60"),
    ({"a": won(0.6), "b": won(0.51), "c": won(0.7), "d": won(0.2)}, "2 of 4 beat SFT; highest c .70, lowest d .20"),
])  # fmt: skip
def test_who_wins(results, said):
    """A win that the interval does not allow."""
    assert findings.of_rates(results, "SFT") == said


def test_rows_of_categories():
    """By hand: one won, one lost, one that cannot be told."""
    rows = {"math": won(0.6), "creative": won(0.4), "imitation": won(0.51)}
    assert findings.of_categories({"": rows}) == "wins 1 of 3 rows, loses 1; 1 cannot be told"
    assert findings.of_categories({"A": rows, "B": rows}) == "rows won, of 3: A 1, B 1"
    assert findings.of_categories({"A": rows}, strict=True) == findings.STRICT


def test_a_sweep_whose_intervals_overlap_has_no_best():
    """The highest of some dots, where chance alone orders them."""
    assert (
        findings.of_sweep([0, 1], {"": [won(0.6), won(0.1)]}, "α") == "win rate highest at α 0 (.60), lowest at 1 (.10)"
    )
    assert "no value of α can be told to be best" in findings.of_sweep([0, 1], {"": [won(0.6), won(0.59)]}, "α")


def test_lengths():
    """A difference of lengths that is chance; medians and not means."""
    chosen = np.r_[np.full(99, 31), 1000]
    assert (
        findings.of_lengths({"chosen": chosen, "rejected": chosen - 4})
        == "chosen responses are longer: 31 against 27 tokens"
    )
    same = {"chosen": RNG.poisson(30, 200), "rejected": RNG.poisson(30, 200)}
    assert findings.of_lengths(same).startswith("length does not tell chosen from rejected")
    assert findings.of_lengths({"a": [4, 4], "b": [9, 9]}) == "shortest: a (median 4 tokens), longest: b (9)"
    assert findings.of_lengths({"a": [4, 4, 4, 9]}, cut=9) == "half of them have 4 tokens or fewer; 25% reach the cut"


def test_scores_and_parts_that_cannot_be_told_apart():
    """A highest score that is chance; one that is not."""
    a, b = RNG.normal(5, 1, 300), RNG.normal(5, 1, 300)
    assert "cannot be told apart" in findings.of_scores({"SFT": a, "DPO": b}, "gold score")
    assert findings.of_scores({"SFT": a, "DPO": a + 1}, "gold score").startswith("highest mean gold score: DPO 5.94")
    parts = {
        name: SimpleNamespace(parts={"honesty": values / 10})
        for name, values in (("SFT", a), ("DPO", b), ("up", a + 1))
    }
    assert findings.of_parts({name: parts[name] for name in ("SFT", "DPO")}).startswith("no part tells DPO from SFT")
    assert findings.of_parts({name: parts[name] for name in ("SFT", "up")}).startswith("they differ most in honesty")


def test_rewards_and_votes():
    """Pairs that have not moved are half right, and are no votes."""
    zero, one = np.zeros(40), np.ones(40)
    assert "in 50% of pairs" in findings.of_rewards(zero, zero) and "cannot be told" in findings.of_rewards(zero, zero)
    assert findings.of_rewards(one, zero).startswith("afterwards chosen is above rejected in 100%")
    assert (
        findings.of_votes({"SFT": zero, "DPO": np.r_[one, -one]}) == "DPO prefers the rejected response in 50% of pairs"
    )
    assert findings.of_votes({"SFT": zero}) == "nothing has moved: no response is preferred yet"


def test_curves():
    """Noise told as a trend; a trend that is not told; the ends of few steps."""
    noise, rise = RNG.normal(0, 1, 100), RNG.normal(0, 0.1, 100) + np.linspace(0, 1.3, 100)
    assert findings.ends_of(noise)[2] == 0 and findings.ends_of(rise)[2] == 1 and findings.ends_of([1, 9])[2] == 0
    ends = {"loss": (0.69, 0.52, -1), "margin": (0.0, 1.31, 1), "accuracy": (0.5, 0.74, 1), "entropy": (1.0, 1.1, 0)}
    told = findings.of_run(ends, "held-out pairs")
    assert told == "held-out pairs: loss 0.69 to 0.52, margin 0 to 1.31, pairs right 50% to 74%"
    assert findings.of_run({"entropy": ends["entropy"]}) == "entropy: no trend that is clear of the noise"


def test_several_runs_are_compared_by_what_tells_them_apart():
    """A highest run where all are alike; margins of losses that mean other things by them, before the share that is right."""
    alike = {"A": (0.74, (0.7, 0.8)), "B": (0.75, (0.7, 0.8))}
    apart = {"A": (0.4, (0.3, 0.5)), "B": (0.6, (0.55, 0.65))}
    assert findings.of_runs({"loss": apart, "accuracy": alike}) == (
        "pairs right at the end: cannot be told apart (74% to 75%); loss at the end: B 0.60, A 0.40"
    )
    assert (
        findings.of_runs({"margin": apart | {"C": (0.5, (0.4, 0.6))}})
        == "margin at the end: highest B (0.60), lowest A (0.40)"
    )
    assert findings.of_runs({"margin": alike, "accuracy": apart}) == "pairs right at the end: B 60%, A 40%"


def test_changes_of_log_probs():
    """A fall that the interval does not allow."""
    assert (
        findings.of_changes({"chosen": (-1.2, -1), "rejected": (-6.3, -1)})
        == "both fall: chosen -1.2, rejected -6.3 nats"
    )
    assert (
        findings.of_changes({"chosen": (-0.4, 0), "rejected": (-4.5, -1)})
        == "rejected falls 4.5 nats, chosen -0.4 (cannot be told)"
    )


def test_lines_break_between_words():
    """A title that is clipped, or an empty one that has no line."""
    assert (
        max(map(len, findings.wrapped("one two three " * 20, 40).split("\n"))) <= 40 and findings.wrapped("", 9) == ""
    )

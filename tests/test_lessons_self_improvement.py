"""What 07 says of its results, for each way that they may come out, and its tables by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from prefnb.evaluate import WinRate
from prefnb.lessons import self_improvement as lesson
from prefnb.pairs import NoPairs


@pytest.fixture
def said(monkeypatch):
    shown = []
    monkeypatch.setattr(lesson.widgets, "say", shown.append)
    monkeypatch.setattr(lesson.widgets, "show_table", lambda *rows: shown.append(rows))
    return shown


def rate(low, high):
    return WinRate(10, (low + high) / 2, (low, high), 0.0, 0.0, 0.0, (0.0, 0.0))


@pytest.mark.parametrize("added, words", [(np.full(9, 0.2), "still rise"), (np.full(9, -0.2), "decay"),
                                          (np.array([-1.0, 1.0] * 9), "no change"), (None, "only one round")])  # fmt: skip
def test_later_rounds_are_put_in_words_by_their_interval(added, words):
    """Guards against "they decay" where the interval holds no change."""
    assert words in lesson.in_words(added)


def test_what_later_rounds_added_is_the_last_less_the_first():
    marks = {name: SimpleNamespace(total=np.full(3, value)) for name, value in (("DPO", 1.0), ("m, 1", 2.0), ("m, 3", 5.0))}
    assert lesson.later_rounds(marks, {0: "DPO", 1: "m, 1", 3: "m, 3"}).tolist() == [3.0] * 3
    assert lesson.later_rounds(marks, {0: "DPO", 1: "m, 1"}) is None and lesson.later_rounds(marks, {0: "DPO", 3: "m, 3"}) is None


def test_agreement_is_the_rank_correlation_of_every_prompt():
    """By hand: one prompt ranked alike, one reversed, one without spread (left out); level samples share a rank."""
    one = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    other = np.array([[10.0, 20.0, 90.0], [3.0, 2.0, 1.0], [5.0, 5.0, 5.0]])
    assert lesson.agreement(one, other) == pytest.approx([1.0, -1.0])
    assert len(lesson.agreement(one[2:], other[2:])) == 0
    level = np.array([[1.0, 1.0, 2.0, 3.0]]), np.array([[5.0, 5.0, 7.0, 7.0]])  # ranks 1.5 1.5 3 4 and 1.5 1.5 3.5 3.5
    assert lesson.agreement(*level) == pytest.approx([np.corrcoef([1.5, 1.5, 3, 4], [1.5, 1.5, 3.5, 3.5])[0, 1]])


@pytest.mark.parametrize("hot, told", [([[1.0, 2.0]], "not what"), ([[2.0, 1.0]], "most of what")])
def test_whether_temperature_explains_the_agreement_is_told_from_the_hottest(said, hot, told):
    """Two cool samples that both like, and two hot ones that they rank alike, or not."""
    judge = np.array([[8.0, 7.0, 1.0, 2.0]])
    own = np.concatenate([[[-0.1, -0.2]], np.array(hot) - 5.0], 1)
    scored = {"reward model": judge, "own likelihood": own}
    lesson.show_agreement(scored, judge, np.array([[3.0, 4.0, 5.0, 6.0]]), [0.2, 0.2, 1.2, 1.2], "gold")
    assert "50% of all, in 100% of the prompts" in said[1] and f"temperature is {told} makes it agree" in said[2]


@pytest.mark.parametrize("proxy, other, told", [(True, False, "over-optimisation."), (True, True, "do not part"),
                                                (False, False, "do not part")])  # fmt: skip
def test_only_a_proxy_that_rises_alone_is_over_optimisation(proxy, other, told):
    assert told in lesson.parting(proxy, other)


def test_samples_of_a_temperature_are_counted_against_chance(said):
    """Four samples, two of them hot; the proxy's top is hot in one prompt of two."""
    lesson.show_temperatures([1.2, 0.2, 1.2, 0.2], {"proxy": np.array([[3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0]])})
    assert said[0][1:] == (["0.2", 2, "50% (by chance 50%)", "1.00"], ["1.2", 2, "50% (by chance 50%)", "1.00"])
    assert "in 50% of the prompts" in said[1] and "+0.00 by proxy" in said[1]


def test_rounds_end_in_words_and_the_first_one_in_an_error(capsys):
    def nothing(*given, seed):
        raise NoPairs("all alike")

    assert lesson.pairs_or_none(nothing, [], [], np.zeros(0), 1, first=False) is None
    assert "No further round: all alike" in capsys.readouterr().out
    with pytest.raises(NoPairs):
        lesson.pairs_or_none(nothing, [], [], np.zeros(0), 1, first=True)


def test_the_other_judge_s_choice_is_compared_where_there_is_one():
    rates = {"a": rate(0.1, 0.2), "b_c": rate(0.3, 0.4), "d": rate(0.5, 0.6)}
    other = {"a": rate(0.1, 0.2), "b_c": rate(0.7, 0.8), "d": rate(0.5, 0.6)}
    told = lesson.other_choice({"gold": other, "proxy": rates}, 2, "gold")
    assert "the two lists share 1 of 2" in told and "b_c" not in told
    assert lesson.other_choice({"proxy": rates}, 2, "proxy") == ""
    assert "only one category" in lesson.other_choice({"gold": {"a": other["a"]}, "proxy": {"a": rates["a"]}}, 2, "gold")


def test_orders_agree_tie_or_turn():
    told = lesson.order_in_words(np.array([1.0, 0.05, -1.0, 2.0]), 0.1, "gold")
    assert "**50%** of the pairs" in told and "no difference in 25%" in told and "turn 25% round" in told


def test_categories_are_named_by_what_their_interval_allows():
    assert "beats DPO in" in lesson.won_in({"a": rate(0.6, 0.7)}) and "loses to" not in lesson.won_in({"a": rate(0.6, 0.7)})
    assert lesson.won_in({"a": rate(0.4, 0.6)}) == "can be told from DPO in no category"


def test_a_lower_temperature_is_what_rounds_have_to_beat(said):
    lesson.show_cooler({"DPO": np.full(9, 5.0), "cool": np.full(9, 6.0), "up": np.full(9, 7.0), "level": np.full(9, 6.0)}, "cool", "gold")
    assert "to *up*" in said[1] and "more than a lower" in said[1] and "no more than a lower" in said[2] and len(said) == 3


def test_claims_of_the_paper_leave_out_what_one_round_cannot_say():
    rows = lesson.verdict_rows(rate(0.55, 0.6), np.full(9, 0.2), rate(0.45, 0.55), ("a", "b"))
    assert [row[3] for row in rows] == ["holds here", "holds here", "cannot be told"] and rows[-1][-1] == ("a", "b")
    assert len(lesson.verdict_rows(rate(0.55, 0.6), None, rate(0.45, 0.55), ("a", "b"))) == 2


def test_who_answers_and_in_which_chain():
    done = {"reward model": [SimpleNamespace(model=n) for n in (1, 2, 3)], "own likelihood": [SimpleNamespace(model=n) for n in (4, 5)]}
    policies, chains = lesson.looked_at(done, "sft", "dpo")
    assert policies == {"SFT": "sft", "DPO": "dpo", "reward model, 1": 1, "reward model, 3": 3, "own likelihood, 2": 5}
    assert chains["reward model"] == {0: "DPO", 1: "reward model, 1", 3: "reward model, 3"}
    assert chains["own likelihood"] == {0: "DPO", 2: "own likelihood, 2"}

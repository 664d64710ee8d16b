"""What notebook 05 says of its results: every sentence in each of its cases, and the tables by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from notebook_source import load

from prefnb.lessons import reward_model as lesson


@pytest.fixture
def told(monkeypatch):
    """What a function says and shows, in its order."""
    said = []
    monkeypatch.setattr(lesson.widgets, "say", said.append)
    monkeypatch.setattr(lesson.widgets, "show_table", lambda *rows: said.append(rows))
    return said


@pytest.mark.parametrize(
    "gold, label, words", [(0.9, 0.5, "more often than"), (0.5, 0.9, "less often than"), (0.7, 0.7, "as often")]
)
def test_gold_or_label_is_decided_by_an_interval(gold, label, words):
    """A model that learnt the noise, praised for what it did not learn."""
    hits = lambda share: np.arange(200) < 200 * share
    assert f"{words} " in lesson.gold_or_label(hits(gold), hits(label))


@pytest.mark.parametrize(
    "sure, words", [(0.9, "surer than it should be"), (0.5, "less sure"), (0.75, "it knows how sure")]
)
def test_sureness_is_held_against_what_was_right(sure, words):
    """Every model called calibrated."""
    assert words in lesson.sureness(sure, np.arange(400) % 4 > 0)


@pytest.mark.parametrize(
    "steps, words",
    [
        ({2: "rises", 4: "rises"}, ["pays up to N = 4", "nothing was tried"]),
        ({2: "rises", 4: "falls"}, ["pays up to N = 2", "gold falls"]),
        ({2: "rises", 4: "cannot be told"}, ["pays up to N = 2", "no gain can be told"]),
        ({2: "falls", 4: "falls"}, ["cannot be told to pay", "gold falls"]),
    ],
)
def test_up_to_where_following_pays(steps, words):
    """A gain promised beyond the last step that rose."""
    assert all(word in lesson.pays(steps, "gold") for word in words)


def test_accuracy_stands_beside_golds_and_the_difference_is_taken_pair_by_pair(told):
    """A ceiling of another column, or pairs that gold cannot tell apart counted."""
    margins = {"in view": np.array([1.0, -1.0, 1.0, -1.0] * 20), "full": np.array([1.0, 1.0, 1.0, -1.0] * 20)}
    lesson.show_accuracy(margins, np.array([2.0, 2.0, -2.0, 0.01] * 20), 0.1)
    rows = told[0]
    assert [row[0] for row in rows[1:]] == ["in view", "full", "gold itself: the ceiling", "full less in view"]
    assert rows[1][1].startswith("0.50") and rows[2][1].startswith("0.75") and rows[2][2].startswith("0.67")
    assert rows[3][2].startswith("1.00") and rows[4][1].startswith("+0.25") and "more pairs helped" in told[1]
    told.clear()
    lesson.show_accuracy(margins, None, 0)
    assert told[0][1][2] == "no gold judge here" and len(told) == 2


def test_the_proxys_leniency_is_a_difference_of_steps(told):
    """The harshest judge called lenient."""
    has = np.array([[True, False], [True, False]])
    table = {"proxy": np.array([[1.0, 1.1], [2.0, 2.1]]), "gold": np.array([[0.0, 5.0], [1.0, 6.0]])}
    lesson.show_leniency(table, {"rambling": has, "never": ~has & has})
    assert [row[0] for row in told[0][1:]] == ["rambling"] and "*rambling*" in told[1]


def test_best_of_n_gains_over_one_answer_and_the_table_says_what_share_of_the_best(told):
    """Gains over the first answer in place of a random one; a share of another judge's gain."""
    best_of_n = load("05_reward_model", "best_of_n").best_of_n
    table = {"proxy": np.array([[1.0, 2.0]] * 3), "gold": np.array([[6.0, 8.0]] * 3), "gold fluency": np.zeros((3, 2))}
    picks = lesson.Picks(table, "gold", [1, 2], best_of_n)
    assert list(picks.pickers) == ["gold", "proxy"] and list(picks.panels) == ["gold", "gold fluency", "proxy"]
    assert picks.gain("proxy", "gold", 2) == pytest.approx([1.0] * 3)
    picks.show_steps({2: "rises"}, lambda n: 0.25)
    assert told[0][1] == [2, 0.25, "+1.00 [+1.00, +1.00]", "100%", "rises"]
    assert picks.summary()["gold picked by proxy"] == {1: 7.0, 2: 8.0}
    assert list(lesson.Picks({"proxy": table["proxy"]}, None, [1, 2], best_of_n).panels) == ["proxy"]


def test_the_pick_is_the_answer_that_the_proxy_likes_best_of_the_first_n():
    """A pick from more answers than n, or the worst one."""
    many = {"SFT": [["a", "b", "c"]], "DPO": [["d", "e", "f"]]}
    by = {"SFT": {"proxy": np.array([[1.0, 2.0, 9.0]])}, "DPO": {"proxy": np.array([[3.0, 2.0, 9.0]])}}
    found = lesson.picks({"SFT": [["x", "y"]], "DPO": [["z", "y"]]}, many, by, 2)
    assert found == {"SFT": ["x"], "SFT, best of 2": ["b"], "DPO": ["z"], "DPO, best of 2": ["d"]}


def test_claim_10_is_about_the_lift_and_says_who_judges():
    """Two win rates compared without their pairing; a picker's word for itself taken for a judge's."""
    one, best = np.tile([0.0, 1.0], 50), np.tile([0.1, 1.0], 50)
    won = {"gold": {f"{policy}, {what}": found for policy in ("DPO", "SFT")
                    for what, found in (("one answer", one), ("best of 5 by proxy", best))}}  # fmt: skip
    rows, verdicts = lesson.claim_10(won, 5, "gold")
    assert verdicts == {"DPO": "holds here", "SFT": "holds here"} and "0.50 to 0.55, a lift of +0.05" in rows[0][2]
    assert "judges itself" in lesson.claim_10({"proxy": won["gold"]}, 5, "proxy")[0][0][2]
    rows, verdicts = lesson.claim_10(won, 5, None)
    assert verdicts == {} and rows[1][3] == "cannot be told"


def test_the_answer_follows_the_verdict(told, capsys):
    """Advice to follow a proxy whose picks were worse, or a verdict with nobody to give it."""
    half = np.full(20, 0.5)
    labels = ("SFT, one answer", "SFT, best of 5 by proxy", "SFT, best of 5 by gold")
    won = {name: dict.fromkeys(labels, half) for name in ("gold", "proxy")}
    for verdict, words in (("holds here", "Follow it this far"), ("does not hold here", "not to be followed"),
                           ("cannot be told", "cannot be told here")):  # fmt: skip
        lesson.show_answer(won, 5, "gold", verdict)
        assert words in told.pop()
    lesson.show_answer(won, 5, None, None)
    assert not told and "cannot be told" in capsys.readouterr().out


def test_answers_are_scored_in_their_places():
    """Scores of one prompt's answers put to another's."""
    answers = [
        [SimpleNamespace(text="a"), SimpleNamespace(text="bb")],
        [SimpleNamespace(text="ccc"), SimpleNamespace(text="d")],
    ]
    judge = lambda prompts, texts: {
        "total": np.array([len(text) + 10 * prompt for prompt, text in zip(prompts, texts)])
    }
    assert lesson.score(judge, answers, [0, 1])["total"].tolist() == [[1, 2], [13, 11]]


def test_the_long_runs_are_told_with_their_signs(monkeypatch):
    """A lift announced that the interval does not bear out, or a traceback where there are no long runs."""

    class Found(SimpleNamespace):
        __str__ = lambda self: self.text

    class Some(SimpleNamespace):
        seeds = lambda self, arm: [0, 1]
        __contains__ = lambda self, arm: arm in self.arms

    parts = [("", Found(sign=0, text="+0.01"), 1), ("", Found(sign=-1, text="0.40"), 0)]
    row = SimpleNamespace(parts=parts, missing="")
    monkeypatch.setitem(lesson.of_claims.CLAIMS, 10, SimpleNamespace(row=lambda results: row))
    told = lesson.long_run(Some(arms={"reward_model": [{"accuracy": 0.7}, {"accuracy": 0.8}]}))
    assert "70% to 80%" in told and "does not change by more than chance" in told and "loses to SFT (0.40)" in told
    assert "no long runs" in lesson.long_run(None)

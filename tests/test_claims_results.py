"""What the long runs gave is read as it was written, and every verdict follows from its intervals."""

from types import SimpleNamespace

import numpy as np
import pytest

from prefnb import evaluate, pocket
from prefnb.claims import beside, pictures, results, table
from prefnb.claims.arms import ARMS, GRIDS, ZOO
from prefnb.claims.results import Estimate, Results
from prefnb.files import read_json, write_json

PROMPTS, SEEDS = 40, 3


def figures(rng, better, whole):
    """One policy's figures as `measure` writes them, at random round a mean of 7 + better."""
    draws = 4 if whole else 2
    scores = np.clip(7 + better + rng.normal(0, 1, (PROMPTS, draws)), 1, 10)
    found = {
        "scores": [round(10_000 * one) for one in scores.ravel()],
        "gold": float(scores.mean()),
        "mean_length": 40.0,
        "seconds": 60.0,
        "parts": {"helpfulness": 0.8, "fluency": 0.9, "concision": 0.7, "honesty": 0.9},
        "roughness": {"loss": 1.0, "reward": 2.0},
        "held_out": {"wrong": 0.3, "d_chosen": rng.normal(1, 2, 30).tolist(), "d_rejected": rng.normal(0, 2, 30).tolist()},
        "history": {name: [[1, 2], [0.7, 0.5]] for name in ("loss", "margin", "reward")},
    }
    if whole:
        found |= {
            "lengths": rng.integers(20, 60, PROMPTS * 4).tolist(),
            "proxy": rng.integers(-100, 100, PROMPTS * 2).tolist(),
            "kl": {"k3": 2.0},
            "bleu": {"bleu4": 10.0},
            "perplexity": 3.0,
        }
    return found


@pytest.fixture
def folder(tmp_path):
    """Results of every arm, from nowhere: "dpo" is better than all others."""
    rng, files = np.random.default_rng(0), {}
    for name, arm in ARMS.items():
        kept = files.setdefault(arm.method, {"method": arm.method, "grids": {}, "arms": {}})
        for one in arm.gives or (name,):
            better = {"dpo": 1.0, "base": -3.0}.get(one, 0.0)
            kept["arms"][one] = {str(seed): figures(rng, better, arm.whole) for seed in range(SEEDS)}
    for method, kept in files.items():
        write_json(tmp_path / f"{method}.json.gz", kept)
    return tmp_path


def test_scores_come_back_as_they_were_and_a_rate_is_the_win_rate_of_each_seed(folder):
    """Draws or seeds taken for one another on the way through the files."""
    found = Results(folder)
    kept = read_json(folder / "dpo.json.gz")["arms"]["dpo"]["1"]["scores"]
    assert found.scores("dpo", 1).shape == (PROMPTS, 4)
    assert found.scores("dpo", 1).ravel().tolist() == [one / 10_000 for one in kept]
    rates = [evaluate.win_rate(found.scores("dpo", s), found.scores("sft", s), pocket.TIE).rate for s in range(SEEDS)]
    assert found.rate("dpo").mean == pytest.approx(np.mean(rates))
    assert found.rate("dpo").sign == 1 and found.rate("base").sign == -1
    low, high = found.rate("dpo").interval
    assert found.rate("dpo").turned.interval == (1 - high, 1 - low)


def test_a_lead_is_taken_seed_by_seed_where_both_have_results(folder):
    """Seeds of one policy set against other seeds of another."""
    kept = read_json(folder / "kto.json.gz")
    del kept["arms"]["kto"]["0"]
    write_json(folder / "kto.json.gz", kept)
    found = Results(folder)
    by_hand = [found.outcomes("dpo")[s] - evaluate.outcomes(found.scores("kto", s), found.scores("sft", s), pocket.TIE)
               for s in (1, 2)]  # fmt: skip
    lead = found.lead("dpo", "kto")
    assert lead.seeds == 2 and lead.mean == pytest.approx(np.mean(by_hand)) and lead.sign == 1


def test_weights_that_diverged_score_the_lowest_everywhere(folder):
    """A policy that is gone from the board because it broke."""
    kept = read_json(folder / "dpo.json.gz")
    kept["arms"]["dpo"]["0"] = {"diverged": "The weights are not finite."}
    write_json(folder / "dpo.json.gz", kept)
    assert (Results(folder).scores("dpo", 0) == results.LOWEST).all()
    assert Results(folder).outcomes("dpo")[0].mean() == 0


def test_a_damaged_file_and_a_policy_that_is_not_there_are_one_sentence(folder):
    """A traceback in a reader's notebook."""
    with pytest.raises(KeyError, match="No results of 'nobody'"):
        Results(folder).rate("nobody")
    (folder / "dpo.json.gz").write_bytes(b"half a file")
    with pytest.raises(ValueError, match="dpo.json.gz is damaged"):
        Results(folder)


def test_every_claim_is_measured_by_policies_that_are_trained(folder):
    """A claim whose arms nobody makes would say "cannot be told" for ever."""
    rows = table.rows(Results(folder))
    assert [row.claim.number for row in rows] == list(range(1, 21))
    assert [row.missing for row in rows if row.missing] == []
    assert set(ZOO.values()) <= {one for name, arm in ARMS.items() for one in arm.gives or (name,)}
    assert {arm.grid for arm in ARMS.values()} <= {*GRIDS, ""}


def test_without_results_a_claim_says_so(tmp_path):
    """An error where a run is not complete yet."""
    row = table.CLAIMS[6].row(Results(tmp_path))
    assert row.verdict == table.OPEN and "make claims" in str(row)


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ([(1, 1), (1, 1)], table.HOLDS),
        ([(1, 1), (0, 1)], table.OPEN),
        ([(-1, 1), (0, 1)], table.FAILS),
        ([(-1, -1), (1, 0)], table.HOLDS),  # what is only told beside decides nothing
        ([(0, 1), (-1, 0)], table.OPEN),
    ],
)
def test_a_verdict_needs_every_part(signs, expected):
    """A claim of several things that counts as holding when one of them does not."""
    between = {1: (0.1, 0.3), 0: (-0.1, 0.3), -1: (-0.3, -0.1)}
    parts = [("part", Estimate(0.2 * sign, between[sign], 5), wanted) for sign, wanted in signs]
    assert table.verdict(parts) == expected


def test_one_number_a_seed_gets_students_interval(folder):
    """By hand: 1, 2 and 3 have mean 2 and standard error 1/sqrt(3); Student's point for two is 4.303. One knows nothing."""
    found = Results(folder)
    low, high = found.over_seeds([1.0, 2.0, 3.0]).interval
    assert (low, high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5))
    assert found.over_seeds([5.0]).sign == 0


def test_the_board_and_what_stands_beside_a_notebook_are_drawn(folder, monkeypatch):
    """A picture that fails on what `make claims` writes."""
    found = Results(folder)
    monkeypatch.setattr(pictures, "test_prompts", lambda: {"category": ["math", "creative"] * (PROMPTS // 2)})
    assert pictures.on_board(found)[-1] == "dpo" and pictures.on_board(found)[0] == "base"
    duels = pictures.duels(found, pictures.on_board(found)[:4])
    assert len(duels) == 12
    drawn = [pictures.plot_board(found), pictures.plot_matrix(duels), pictures.plot_heat(found), pictures.plot_efficiency(found)]
    drawn += [pictures.plot_strengths(found), pictures.plot_against(found, "kl.k3", "KL")]
    assert all(figure.axes for figure in drawn)
    assert len(pictures.board_rows(found)) == 1 + len(pictures.on_board(found)) and len(pictures.why_rows(found)) == 5
    live = evaluate.win_rate(np.full((20, 2), 9.0), np.full((20, 2), 7.0), 0.02)
    assert "beats SFT" in beside.verdict(found, "dpo", "DPO", live) and "says the same" in beside.verdict(found, "dpo", "DPO", live)


def test_a_verdict_is_the_long_run_s_where_there_is_one_and_says_whether_this_run_agrees(folder, monkeypatch):
    """A verdict of one seed that passes for one of all, or of other data than the long runs are of."""
    seen = []
    monkeypatch.setattr(beside, "Results", lambda: Results(folder))
    monkeypatch.setattr(beside.widgets, "show_table", lambda *rows: seen.append([row[-1] for row in rows[1:]]))
    monkeypatch.setattr(beside.widgets, "say", seen.append)
    rows = [("DPO wins", "", "", word, ("dpo", "sft")) for word in (table.HOLDS, table.OPEN, table.FAILS)]
    rows += [("part of a claim", "", "", table.HOLDS, (1, 0)), ("nobody else measured it", "", "", table.HOLDS)]
    beside.show_verdicts(SimpleNamespace(dataset="pocket"), rows, also=[2])
    assert seen[0] == [
        "**holds here**; this run agrees",
        "**holds here**; this run alone cannot tell",
        "**holds here**; this run alone: does not hold here",
        "**does not hold here**; this run alone: holds here",
        "**holds here** (one seed)",
        "**does not hold here**",
    ]
    assert seen[1] == "**Of 6 rows 4 hold here, 2 do not, and 0 cannot be told.**"
    beside.show_verdicts(SimpleNamespace(dataset="mine.jsonl"), rows, also=[2])
    assert [word.removesuffix(" (one seed)") for word in seen[2]] == [f"**{row[3]}**" for row in rows]


def test_what_harms_is_said_by_the_signs_of_what_was_changed(folder):
    """An explanation that reads the same whatever the experiment gave."""
    found = Results(folder)
    arms, rng = found.arms, np.random.default_rng(1)
    for change, better in (("as_is", -1.0), ("worse", 1.0), ("sample", 1.0), ("exchanged", -1.0)):
        arms[f"why_tanh_mean_{change}"] = {seed: figures(rng, better, False) for seed in range(SEEDS)}
    said = beside.favourite_in_words(found)
    assert "no penalty beats DPO" in said and "the *favourite* that must not be touched" in said and "it does as much" in said
    arms["why_tanh_mean_sample"] = {seed: figures(rng, -3.0, False) for seed in range(SEEDS)}
    again = Results(folder)
    again.arms.update(arms)
    assert "does more harm still" in beside.why_in_words(again)
    arms["why_tanh_mean_as_is"] = {seed: figures(rng, 1.0, False) for seed in range(SEEDS)}
    better = Results(folder)
    better.arms.update(arms)
    assert "does no harm" in beside.why_in_words(better)
    assert beside.favourite_in_words(None) == "The long runs have nothing to say of it here."

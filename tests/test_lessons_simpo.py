"""What notebook 03 says of its results: each branch of its sentences, and its tables, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prefnb import parameters
from prefnb.evaluate import WinRate
from prefnb.lessons import simpo as lesson
from prefnb.logprobs import from_tokens


def moved(low, high, d=1.0):
    """A policy's measures: its KL's interval, and both d(y) of twenty pairs that moved alike."""
    far = torch.full((20,), d)
    return {"d_chosen": far, "d_rejected": -far, "by_mean": 0.75, "by_change": 1.0, "kl": {"k3": low, "interval": (low, high)}}


def rate(low, high):
    return WinRate(10, (low + high) / 2, (low, high), 0.0, 0.0, 0.0, (0.0, 0.0))


def test_a_response_said_twice_doubles_its_sum_alone():
    found = from_tokens(toy=[[-1.0] * 4, [-0.5] * 12, [-0.5] * 24]).toy
    told = lesson.toy_in_words(["A", "B", "B twice"], found.sum, found.mean)
    assert told == ("**Of the first two, A, is the likelier by the sum and B, by the mean.** Said twice, the sum goes from -6 to "
                    "-12 and the mean from -0.5 to -0.5.")  # fmt: skip
    told = lesson.pushes_in_words(torch.tensor([0.5, 1.0, 0.5]), [-0.1, -0.3, -0.05], [-1.2, -1.2, -1.2])
    assert told == "**Said twice, B costs 0.000 more and is pushed 1.00 times as hard in all, each of its tokens 0.50 times.**"
    assert "where once it is not pushed" in lesson.pushes_in_words(torch.ones(3), [0.0] * 3, [0.0] * 3)


def test_the_slope_of_a_sum_with_length_is_seen():
    """Chosen responses of 2 to 5 tokens at -1 each against one of 3: the sum falls with length."""
    start = from_tokens(chosen=[[-1.0] * n for n in (2, 3, 4, 5)], rejected=[[-1.1] * 3, [-1.2] * 3] * 2)
    (gap, above, slope), (_, all_above, _) = lesson.by_length(start).values()
    assert gap == pytest.approx([1.3, 0.6, -0.7, -1.4]) and above == 0.5 and slope < -0.9 and all_above == 1
    assert "in 50% of 4 pairs, by the mean in 100%. The sum's difference falls with" in lesson.by_length_in_words(start)
    assert lesson.plot_by_length(start).axes[0].get_title().startswith("the sum falls with length (-0.9")
    assert [lesson._leans(slope) for slope in (0.5, 0.0)] == ["rises with", "hardly depends on"]


@pytest.mark.parametrize("simpo, said", [((3.0, 4.0), "further than"), ((0.1, 0.2), "less far than"),
                                         ((1.0, 3.0), "not clearly further or less far than")])  # fmt: skip
def test_how_far_is_told_from_the_intervals(simpo, said):
    measured = {"DPO": moved(0.5, 2.0), "SimPO": moved(*simpo)}
    before = from_tokens(chosen=[[-1.0]] * 2, rejected=[[-2.0], [-0.5]])
    told = lesson.moved_in_words(measured, before)
    assert f"SimPO went {said} DPO from SFT**" in told and "accuracy by the mean was 0.500" in told
    assert lesson.moved_table(measured, ["SimPO"])[1][0] == "SimPO" and len(lesson.moved_table(measured)) == 3
    assert f"SimPO went {said} DPO" in lesson.answer({}, None, None, measured)


def test_what_moved_is_one_clause():
    still = torch.tensor([1.0, -1.0] * 10)
    assert lesson._both({"d_chosen": still, "d_rejected": still}) == "neither response moved by more than chance"
    assert lesson._both(moved(0.5, 1.0)) == "the chosen response rose, the rejected one fell"


def test_a_weight_is_how_wrong_a_pair_is():
    margin = torch.tensor([0.0, 5.0, -5.0])
    assert lesson.weights(-torch.nn.functional.logsigmoid(margin)) == pytest.approx(torch.sigmoid(-margin).numpy(), rel=1e-4)
    assert lesson.loud(np.array([0.01, 0.5, 0.99, 0.6])) == 0.5
    spread = {label: (np.full(9, 0.5), np.linspace(0.5, 0.52, 9)) for label in ("SimPO", "SimPO on the sum", "DPO", "DPO on the mean")}
    spread["SimPO on the sum"] = np.full(9, 0.5), np.full(9, 0.99)
    assert "100% of SimPO's pairs shout or are silent, and DPO's weights all lie within 0.02" in lesson.weights_in_words(spread)
    assert lesson.plot_weights(spread).axes[0].get_title() == "SimPO on the sum: 100% of the pairs shout or are silent"


@pytest.mark.parametrize("outcome, said", [(0.2, "worse than"), (0.8, "better than"), (0.5, "not to be told from")])
def test_a_mistake_is_judged_beside_its_own_method(outcome, said):
    given = {"SimPO": 0.5, "DPO": 0.5, "SimPO on the sum": outcome, "DPO on the mean": 0.1}
    found = SimpleNamespace(judge="gold", outcomes=lambda label: np.full(9, given[label]),
                            win_rates={label: rate(0.6, 0.7) for label in given})  # fmt: skip
    told = lesson.mistakes_in_words(found)
    assert f"SimPO on the sum is {said} the method itself" in told and "DPO on the mean is worse" in told
    assert ("look for it in the weights" in told) == (outcome >= 0.5) and "win all the same" in told
    assert "Without a judge" in lesson.mistakes_in_words(SimpleNamespace(judge=None))


def test_the_grid_is_counted_against_its_own_dpo():
    ours = {(1.0, 2.5): (0.7, ""), (3.0, 10.0): (0.5, ""), "DPO": (0.6, "")}
    told = lesson.grid_in_words(ours, {(1, 2.5): 0.8, (1, 2): 0.7}, 0.75)
    assert told == ("**Above their own DPO: 1 of 2 settings of ours, 1 of 2 of the paper's.** Best of ours: gamma 1, beta 2.5, at "
                    "0.70; best of the paper's: gamma 1, beta 2.5, at 0.80.")  # fmt: skip
    figure = lesson.plot_grid(ours, {(1, 2.5): 0.8, (1, 2): 0.7}, 0.75, "held-out accuracy")
    assert [axis.get_title() for axis in figure.axes] == ["ours: 1 of 2 above DPO (0.60)", "paper 004: 1 of 2 above DPO (0.75)"]
    p = SimpleNamespace(gamma=1.0, beta=2.5, grid_gammas=(1.0, 3.0), grid_betas=(2.5, 10.0))
    assert lesson.grid_of(p) == {(1.0, 2.5): "SimPO", (3.0, 10.0): "SimPO, gamma 3, beta 10"}
    lesson.check_grid(p)
    p.grid_betas = (2.5,)
    with pytest.raises(parameters.ParameterError, match="has 2 numbers and 'grid_betas' has 1"):
        lesson.check_grid(p)


def test_the_claim_and_the_answer_have_their_words():
    assert "is below DPO does not hold here**" in lesson.claim_in_words(["holds here", "does not hold here"])
    assert "no judge here" in lesson.claim_in_words([])
    measured = {"DPO": moved(0.5, 2.0), "SimPO": moved(3.0, 4.0)}
    rates = {"SimPO": rate(0.55, 0.65)}
    told = lesson.answer(rates, np.full(9, 0.1), SimpleNamespace(name="gold"), measured)
    assert "SimPO, which has none, beats SFT** (0.60" in told and "the reference helps" in told
    told = lesson.answer({"SimPO": rate(0.3, 0.4)}, np.full(9, -0.1), SimpleNamespace(name="gold"), measured)
    assert "loses against SFT**" in told and "it does better without" in told
    compared = SimpleNamespace(judge="gold", outcomes=lambda label: np.full(9, {"DPO": 0.7}.get(label, 0.5)),
                               win_rates={label: rate(0.6, 0.7) for label in ("SimPO", "DPO", "SimPO, x")})  # fmt: skip
    rows = lesson.claims({(1.0, 2.5): "SimPO", (9.0, 9.0): "SimPO, x"}, compared, {(1, 2.5): 0.688}, 0.759)
    assert [row[3] for row in rows] == ["holds here"] * 2 and rows[0][1] == "SimPO 0.688, DPO 0.759" and rows[1][1] == "not tried"
    assert rows[0][4][0] == 6 and rows[1][4] is None

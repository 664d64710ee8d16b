"""What notebook 02 says of its results: each branch of its sentences, and its tables, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prefnb.evaluate import WinRate
from prefnb.lessons import dpo as lesson
from prefnb.methods.dpo import dpo
from prefnb.training import History


def kl(value, width=0.1):
    return {"k3": value, "interval": (value - width, value + width)}


def seen(chosen, rejected, n=20):
    """Held-out pairs that all moved alike."""
    d = {"d_chosen": torch.full((n,), chosen), "d_rejected": torch.full((n,), rejected)}
    margin = 0.1 * (d["d_chosen"] - d["d_rejected"])
    return {"loss": torch.full((n,), 0.5), "margin": margin, "accuracy": (margin > 0).float(), **d}


def history(**last):
    return History([{"step": step, **last} for step in range(1, 21)])


def test_the_gradient_that_is_told_is_autograd_s():
    gap = torch.tensor(20.0, requires_grad=True)
    (-torch.nn.functional.logsigmoid(0.1 * gap)).backward()
    assert lesson.push_left(0.1) == pytest.approx(-gap.grad.item())
    assert "weakest at beta 0.5**" in lesson.push_in_words([0.02, 0.1, 0.5]) and "lets go first" in lesson.push_in_words([0.1, 0.5])
    assert "has not let go yet" in lesson.push_in_words([0.001, 0.01])


@pytest.mark.parametrize("kls, said", [
    ({0.1: kl(2.0), 0.5: kl(1.0)}, ("falling at every step", "lie apart")),
    ({0.1: kl(1.0), 0.2: kl(2.0), 0.5: kl(0.9)}, ("not falling at every step", "overlap"))])  # fmt: skip
def test_the_order_of_the_kls_is_told_as_it_is(kls, said):
    assert all(word in lesson.order_of_kls(kls) for word in said)
    if said[0] == "falling at every step":
        assert "not falling" not in lesson.order_of_kls(kls)


def test_beta_has_a_row_with_its_gap_in_nats():
    row = lesson.beta_table({0.1: seen(-1.0, -4.0)}, {0.1: kl(1.0)})[1]
    assert row == ["0.1", 1.0, pytest.approx(0.3), 3.0, 1.0, "0.90 to 1.10"]
    assert lesson.without_judge({0.1: seen(-1.0, -4.0)})[1] == ["beta 0.1", 1.0, "+0.30 [+0.30, +0.30]"]


def test_step_0_fails_where_a_response_has_moved():
    assert lesson.step_0_in_words({**seen(0.0, 0.0), "loss": torch.full((3,), np.log(2))}).startswith("**Step 0: the loss is 0.693147")
    with pytest.raises(AssertionError):
        lesson.step_0_in_words(seen(0.5, 0.0))


@pytest.mark.parametrize("score, said", [(1.0, "it went too far"), (3.0, "going further has paid")])
def test_the_further_run_is_judged_by_its_answers(score, said):
    runs = {"SFT": seen(0.0, 0.0), "DPO": seen(1.0, 0.0), "DPO, further": seen(-9.0, -20.0)}
    quality = {"SFT": np.full(9, 2.0), "DPO": np.full(9, 2.0), "DPO, further": np.full(9, score)}
    histories = {label: history(loss=0.1) for label in ("DPO", "DPO, further")}
    assert lesson.overdone_in_words("DPO", runs, histories, quality, "score").endswith(f": {said}.**")
    titles = [axis.get_title() for axis in lesson.plot_overdone("DPO", runs, histories, quality, "score").axes]
    assert titles == ["further: a loss of 0.10 on its pairs, 0.50 on others", f"score: 2.00, further {score:.2f}"]


def test_the_remedies_have_their_rows_and_words():
    found = {"DPO": seen(-2.0, -5.0), "DPO-Positive": seen(1.0, -1.0), '"KL" as printed': seen(4.0, 3.0)}
    rows = lesson.variant_table(found, {label: kl(1.0) for label in found}, {"DPO-Positive": 0.25})
    assert rows[1][4] == "" and rows[2][4] == 0.25 and rows[1][2] == "-2.00 [-2.00, -2.00]"
    told = lesson.variants_in_words(found, -0.5)
    assert "ended below the reference, under DPO-Positive above the reference" in told and "where no KL can be" in told
    assert "happens to be no less than 0" in lesson.variants_in_words(found, 0.5)
    assert lesson.plot_shifts(found).axes[0].get_title() == "the chosen response: DPO -2.0, DPO-Positive +1.0 nats"


def test_claims_are_fewer_without_a_judge():
    found = {"DPO": seen(-2.0, -5.0), "DPO-Positive": seen(1.0, -1.0)}
    kls = {0.1: kl(2.0), 0.5: kl(1.0)}
    rate = WinRate(10, 0.6, (0.55, 0.65), 0.0, 0.0, 0.0, (0.0, 0.0))
    assert [row[3] for row in lesson.claims(None, found, kls)] == ["holds here"] * 3
    assert [row[3] for row in lesson.claims(rate, found, kls)] == ["holds here", "another opponent", *["holds here"] * 3]
    assert "DPO wins against SFT (0.60" in lesson.answer(found["DPO"], rate, SimpleNamespace(name="gold"))
    assert "gained on the rejected one" in lesson.answer(found["DPO"], None, None)
    assert "lost ground" in lesson.answer(seen(-5.0, -2.0), None, None)


def test_another_loss_is_told_from_the_printed_one():
    assert lesson.is_printed(dpo)
    assert not lesson.is_printed(lambda policy, reference, beta: dpo(policy, reference, beta=2 * beta))

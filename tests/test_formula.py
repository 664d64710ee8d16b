"""A formula's numbers and the sliders below it are one: what moves one moves the other."""

import math

import ipywidgets
import pytest

from prefnb import explorer
from prefnb.formula import Formula, as_mathml
from prefnb.methods.dpo import dpo
from prefnb.methods.simpo import simpo


@pytest.fixture
def controls():
    return {
        "beta": ipywidgets.FloatSlider(0.1, min=0.01, max=1.0, step=0.01),
        "d": ipywidgets.FloatSlider(-2.0, min=-12.0, max=12.0, step=0.5),
    }


def test_a_dragged_number_moves_its_slider_and_back(controls):
    """A formula that says other numbers than the picture below it."""
    formula = Formula.of("−log σ( {beta} · {d} )", controls)
    assert formula.values == {"beta": 0.1, "d": -2.0} and formula.ranges["d"] == [-12.0, 12.0, 0.5]
    formula.values = {"beta": 0.5, "d": 3.0}  # what the page sends
    assert (controls["beta"].value, controls["d"].value) == (0.5, 3.0)
    controls["d"].value = -4.0
    assert formula.values == {"beta": 0.5, "d": -4.0}


def test_a_name_without_a_slider_is_refused(controls):
    """A number that nobody can drag, found in front of the class."""
    with pytest.raises(ValueError, match="names gamma, but the sliders are beta, d"):
        Formula.of("{beta} {gamma}", controls)


def test_it_is_set_as_mathematics():
    """Text where a browser expects MathML, or a sign that is read as markup."""
    made = as_mathml("S_w < 24 · {beta}")
    assert "<msub><mi>S</mi><mi>w</mi></msub><mo>&lt;</mo><mn>24</mn><mo>·</mo>" in made
    assert '<mn data-name="beta"></mn>' in made


READ = [  # a formula with numbers in it, and its margin worked out by hand
    (explorer.DPO, dpo, "−log σ( 2 · ( -2 − -6 ) )", 2 * (-2 + 6)),
    (explorer.SIMPO, simpo, "−log σ( 2 · ( (−24 + -2) / 12 − (−24 + -6) / 6 ) − 0.5 )", 2 * (-26 / 12 + 30 / 6) - 0.5),
]


@pytest.mark.parametrize("template, loss, read, margin", READ)
def test_what_the_formulas_of_the_losses_say_is_what_the_losses_are(template, loss, read, margin):
    """A formula to drag that is not the loss drawn below it."""
    pair = {"d_chosen": -2, "d_rejected": -6, "tokens_chosen": 12, "tokens_rejected": 6}
    given = {"beta": 2, "gamma": 0.5}
    assert template.format(**pair, **given) == read
    assert explorer.evaluated(loss, pair, given).loss[0] == pytest.approx(math.log(1 + math.exp(-margin)), rel=1e-5)

"""Default learning rates: chosen by one rule for all methods, from figures that are on record."""

import json

import pytest

from prefnb import learning_rates, methods


@pytest.fixture(scope="module")
def record():
    return json.loads(learning_rates.FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", list(methods.listed()))
def test_each_preset_has_the_rate_that_the_rule_chose(record, method):
    """Guards against a rate that was picked by hand, for one method and not for another."""
    found = record["methods"][method]
    figures = {float(rate): tuple(figure) for rate, figure in found["figures"].items()}
    assert set(figures) == set(learning_rates.GRID) == set(record["rule"]["grid"])
    assert found["chosen"] == learning_rates.best(figures, learning_rates.start_of(method, record["methods"]))
    assert getattr(methods, method).Settings.of("pocket")["learning_rate"] == found["chosen"]


def test_the_best_rate_is_the_lowest_within_one_standard_error_of_the_highest():
    """Guards against luck that decides between rates, and against a rate that is merely low."""
    near = {1e-4: (7.0, 0.1), 3e-4: (7.45, 0.1), 1e-3: (7.5, 0.1), 3e-3: (6.0, 0.1)}
    assert learning_rates.best(near, start=6.5) == 3e-4
    apart = {1e-4: (7.0, 0.1), 3e-4: (7.3, 0.3), 1e-3: (7.5, 0.1), 3e-3: (6.0, 0.9)}
    assert learning_rates.best(apart, start=6.5) == 1e-3


def test_where_no_rate_is_better_than_the_start_the_lowest_does_least_harm():
    """Guards against a choice among broken policies, one of which always says the same, with a standard error of 0."""
    broken = {2e-4: (1.4, 0.05), 6e-4: (2.79, 0.02), 2e-3: (2.8, 0.0), 6e-3: (1.0, 0.0)}
    assert learning_rates.best(broken, start=8.3) == 2e-4

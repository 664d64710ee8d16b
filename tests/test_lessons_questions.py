"""Notebook 14's pictures draw what they are given, and say it."""

import numpy as np
import torch

from prefnb.lessons import questions as lesson


def test_titles_say_what_is_drawn():
    """A finding that is another run's."""
    paths = torch.tensor([[0.35, 0.35, 0.1], [0.2, 0.1, 0.7]])
    assert lesson.plot_shares(paths, "abc").axes[0].get_title() == "the chosen one falls from 0.35 to 0.20"
    assert "rises from 0.10 to 0.70" in lesson.of_shares(paths)
    pushes = {"sequence": torch.tensor([0.1, 0.01]), "token": torch.tensor([0.02, 0.02])}
    titles = [axis.get_title() for axis in lesson.plot_pushes(pushes, torch.tensor([5.0, 50.0])).axes]
    assert titles == ["sequence: 10 to 1", "token: 1 to 1"]
    assert "weights, 2.0 GB" in lesson.plot_memory({"weights": 2e9, "rest": 1e9}).axes[0].get_title()


def test_what_rose_is_named_and_nothing_else():
    """"none of the four" beside something that rose."""
    fell, rose = np.linspace(-3, -1, 50), np.linspace(1, 3, 50)
    assert "what rose: its own." in lesson.of_falling({"chosen": fell, "rejected": fell, "its own": rose}, 12)
    assert "what rose: none of the four." in lesson.of_falling({"chosen": fell, "rejected": fell}, 12)


def test_k3_differentiated_has_the_gradient_of_the_other_divergence():
    """The sentence rests on it: exact on three words."""
    slopes = {name: torch.tensor([value, 0.0]) for name, value in
              {"KL(policy || ref), exact": 0.3, "k1, differentiated": 0.0, "k2, differentiated": 0.3,
               "k3, differentiated": 0.1, "KL(ref || policy), exact": 0.1}.items()}  # fmt: skip
    assert "differ by 0e+00), and is 0.200 from the KL's own" in lesson.of_slopes(slopes)

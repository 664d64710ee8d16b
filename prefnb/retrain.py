"""Retrain on release: move a slider, let it go, and a policy is trained anew in some seconds; the last five stay in the picture.

Like the loss explorer it is a static picture first, of the value that the notebook has, and below it the same with a slider.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

import torch
from IPython.display import display
from matplotlib.figure import Figure
from transformers import PreTrainedTokenizerBase

from prefnb import course, findings, plots, widgets
from prefnb.batches import Examples
from prefnb.course.settings import PairTraining
from prefnb.course.watching import first
from prefnb.evaluate import WinRate
from prefnb.training import History

PAIRS, PROMPTS, DRAWS, KEPT = 128, 100, 2, 5


@dataclass
class Attempt:
    """A value of the setting, and what became of the policy."""

    value: float
    history: History
    rate: WinRate | None


@dataclass
class Retrainer:
    """One setting of a loss, tried value by value on the same few pairs.

    name: the setting, as the notebook's parameter is called. loss_of(value): the loss with it. notebook: for the command that
    runs the whole with it.
    """

    p: PairTraining
    start: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    examples: Examples
    name: str
    loss_of: Callable[[float], Callable]
    notebook: str
    attempts: list[Attempt] = field(default_factory=list)
    range: tuple[float, float] | None = None  # of the slider

    def attempt(self, value: float) -> Attempt:
        """Train with this value (from the cache if it was tried before), measure, and keep the last `KEPT`."""
        few = first(self.examples, PAIRS)
        policy, history = course.fit(self.start, few, self.loss_of(value), self.p, epochs=1)
        asked = self.p.model_copy(update={"test_prompts": PROMPTS, "draws": DRAWS})
        comparison = course.compare({"SFT": self.start, "now": policy}, self.tokenizer, asked)
        made = Attempt(value, history, comparison.win_rates.get("now"))
        self.attempts = [*(one for one in self.attempts if one.value != value), made][-KEPT:]
        return made

    def plot(self) -> Figure:
        """The margins of the attempts while they were trained, and their win rates; the last is strong, earlier ones pale."""
        figure, (left, right) = plots.subplots(1, 2, figsize=(8, 2.9), width_ratios=(3, 2))
        for i, one in enumerate(self.attempts):
            last = i == len(self.attempts) - 1
            look = dict(color=plots.COLOURS["policy" if last else "line"], alpha=1.0 if last else 0.35 + 0.12 * i)
            steps, margins = one.history["margin"]
            left.plot(steps, margins, label=f"{self.name} {one.value:g}", **look)
            if one.rate is not None:
                right.vlines(one.value, *one.rate.interval, linewidth=2, **look)
                right.plot(one.value, one.rate.rate, "o", **look)
        left.set(title="margin while training", xlabel="step")
        left.legend()
        plots.calm(left, "margin")
        right.axhline(0.5, color=plots.COLOURS["line"], linestyle=":")
        right.set(title="win rate over SFT", xlabel=self.name, ylim=(-0.02, 1.02))
        if self.range:
            right.set_xlim(*self.range)
        return plots.say_title(figure, self.finding())

    def finding(self) -> str:
        """What the last attempt shows."""
        one = self.attempts[-1]
        if one.rate is None:
            return f"{self.name} {one.value:g}: margin {findings.number(one.history.last('margin'))} at the end"
        return findings.of_rate(f"{self.name} {one.value:g}", one.rate, "SFT")

    def told(self) -> str:
        """The last attempt in words, with the command that runs the whole notebook so."""
        one = self.attempts[-1]
        rate = f"win rate over SFT {one.rate}" if one.rate else "no judge here"
        return (
            f"{self.name} {one.value:g}: {rate}, margin {one.history.last('margin'):.2f} after {len(one.history.rows)} steps. "
            f"The whole notebook: <code>papermill {self.notebook}.ipynb out.ipynb -p {self.name} {one.value:g}</code>"
        )

    def show(self, low: float, high: float, value: float, step: float) -> None:
        """Train once at `value` and show it; then the slider."""
        import ipywidgets

        self.range = low - 0.05 * (high - low), high + 0.05 * (high - low)
        self.attempt(value)
        figure = self.plot()
        display(figure)
        widgets.say(f"**{self.told()}**")
        settings = dict(min=low, max=high, step=step, description=self.name, continuous_update=False)
        slider = ipywidgets.FloatSlider(value, readout_format=".3g", **settings)
        image, words = (
            ipywidgets.Image(value=plots.picture(figure)[0], format="png", width=780),
            ipywidgets.HTML(self.told()),
        )

        def moved(change: dict) -> None:
            words.value = f"Training with {self.name} {change['new']:g} ..."
            self.attempt(change["new"])
            image.value, words.value = plots.picture(self.plot())[0], self.told()

        slider.observe(moved, "value")
        widgets.show_widget(
            ipywidgets.VBox([slider, words, image]), "Run this notebook, move the slider, and let it go."
        )
        self.slider, self.words, self.image = slider, words, image

"""The long run beside the live one: what every notebook shows of `make claims` next to what it has just trained."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from prefnb import models, parameters, widgets
from prefnb.claims import table
from prefnb.claims.arms import ZOO
from prefnb.claims.results import Results
from prefnb.course import Comparison, answers_of
from prefnb.evaluate import WinRate
from prefnb.judges import GoldJudge
from prefnb.plots import TITLES, colours, subplots
from prefnb.training import History

SHOWN = 3  # prompts whose answers are shown


def show(
    arm: str,
    label: str,
    p: parameters.Settings,
    *,
    history: History | None = None,
    metrics: Sequence[str] = ("loss", "margin"),
    live: WinRate | None = None,
    claims: Sequence[int] = (),
    comparison: Comparison | None = None,
) -> None:
    """What the long runs of one policy say: its curves behind the live ones, its win rate and whether the live run agrees,
    the claims that its notebook is about, and its answers from the zoo beside those in `comparison`. label: the policy's
    name in this notebook. Of other data than the pocket world's there are none, which is said."""
    if p.dataset != "pocket":
        print("The long runs are of the pocket world: of other data they say nothing.")
        return
    results = Results()
    if arm not in results:
        print(f"There is no long run of {label} yet: `make claims` makes it.")
        return
    if history is not None:
        display(plot_beside(results, arm, history, metrics, label))
    if "scores" in results.arms[arm][results.seeds(arm)[0]]:
        widgets.say(verdict(results, arm, label, live))
    if claims:
        rows = [table.CLAIMS[number].row(results) for number in claims]
        widgets.show_table(*claim_rows(rows))
    names = [name for name, kept in ZOO.items() if kept == arm and name in models.zoo_names()]
    if comparison is not None and names:
        show_zoo(names[0], label, comparison, p)


def seeds_of(results: Results, arm: str) -> str:
    """ "5 seeds" """
    number = len(results.seeds(arm))
    return f"{number} seed{'s' * (number > 1)}"


def plot_beside(results: Results, arm: str, history: History, metrics: Sequence[str], label: str) -> Figure:
    """A panel a metric: the live run as a line, and the long runs as a grey band from the lowest to the highest seed."""
    metrics = [name for name in metrics if name in history.names]
    figure, axes = subplots(1, len(metrics), figsize=(8, 2.6), squeeze=False)
    for axis, name in zip(axes.flat, metrics):
        steps, values = results.curve(arm, name)
        axis.fill_between(steps, values.min(0), values.max(0), color="#BBBBBB", alpha=0.6, linewidth=0)
        axis.plot(steps, values.mean(0), color="#777777", linewidth=1, label=f"long run, {seeds_of(results, arm)}")
        where, seen = history[name]
        parts = np.array_split(np.arange(len(seen)), min(32, len(seen)))
        shown = [(where[part].mean(), np.nanmean(seen[part])) for part in parts]
        axis.plot(*zip(*shown), color=colours([label])[label], label=f"{label}, this run")
        axis.set(title=TITLES.get(name, name), xlabel="step")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def verdict(results: Results, arm: str, label: str, live: WinRate | None) -> str:
    """The long run's win rate in a sentence, and whether the live run says the same."""
    rate = results.rate(arm)
    word = {1: "beats", -1: "loses to", 0: "cannot be told from"}
    told = f"**At length ({seeds_of(results, arm)}) {label} {word[rate.sign]} SFT: {rate}.**"
    if live is None:
        return told
    low, high = live.interval
    mine = (low > 0.5) - (high < 0.5)
    agrees = "says the same" if mine == rate.sign else f"alone would say that it {word[mine]} SFT"
    return f"{told} This run {agrees} ({live.rate:.3f} [{low:.3f}, {high:.3f}]); it is one seed, and far shorter."


def claim_rows(rows: Sequence[table.Row]) -> list[list[str]]:
    """Claims as a table."""
    head = ["claim", "the paper", "long runs, with seeds and prompts resampled", "verdict"]
    return [head, *([f"{one.claim.number}: {one.claim.text}", one.claim.figure, str(one), f"**{one.verdict}**"] for one in rows)]


def show_zoo(name: str, label: str, comparison: Comparison, p: parameters.Settings) -> None:
    """The first answers of the policy that comes with the package, beside those of this run."""
    policy, tokenizer = models.zoo(name), models.load_tokenizer("pocket")
    settings = dict(draws=4, temperature=0.7, max_new_tokens=p.max_response_tokens)
    drawn = answers_of(policy, tokenizer, comparison.prompts, **settings)
    labels = [one for one in (comparison.baseline, label) if one in comparison.answers]
    answers = {one: comparison.texts(one)[:SHOWN] for one in labels} | {f"{label}, long run": [one.text for one in drawn[::4]][:SHOWN]}
    prompts = comparison.prompts[:SHOWN]
    judge = GoldJudge()
    scores = {one: judge(prompts, said) for one, said in answers.items()}
    display(widgets.HTML(widgets.responses_html(prompts, answers, scores, comparison.categories[:SHOWN])))

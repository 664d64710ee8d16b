"""The long run beside the live one: what every notebook shows of `make claims` next to what it has just trained."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from prefnb import findings, models, parameters, plots, widgets
from prefnb.claims import pictures, table
from prefnb.claims.arms import ZOO
from prefnb.claims.results import Results
from prefnb.course import Comparison, answers_of
from prefnb.evaluate import WinRate
from prefnb.judges import GoldJudge
from prefnb.plots import COLOURS, TITLES, colours, subplots
from prefnb.training import History

SHOWN = 3  # prompts whose answers are shown
PARTS = 16  # stretches of training whose means a curve is made of: single batches are noise
NONE = "The long runs are of the pocket world: of other data they say nothing."


def results_of(p: parameters.Settings) -> Results | None:
    """The long runs that this run may be compared with: None of other data than the pocket world's."""
    return Results() if p.dataset == "pocket" else None


def show(
    arm: str,
    label: str,
    p: parameters.Settings,
    *,
    history: History | None = None,
    metrics: Sequence[str] = ("loss", "margin"),
    live: WinRate | None = None,
    comparison: Comparison | None = None,
) -> None:
    """What the long runs of one policy say: its curves behind the live ones, its win rate and whether the live run agrees,
    and its answers from the zoo beside those in `comparison`. label: the policy's name in this notebook. Of other data
    than the pocket world's there are none, which is said."""
    results = results_of(p)
    if results is None or arm not in results:
        print(NONE if results is None else f"There is no long run of {label} yet: `make claims` makes it.")
        return
    if history is not None:
        display(plot_beside(results, arm, history, metrics, label))
    if "scores" in results.arms[arm][results.seeds(arm)[0]]:
        widgets.say(verdict(results, arm, label, live))
    names = [name for name, kept in ZOO.items() if kept == arm and name in models.zoo_names()]
    if comparison is not None and names:
        show_zoo(names[0], label, comparison, p)


def seeds_of(results: Results, arm: str) -> str:
    """ "5 seeds" """
    number = len(results.seeds(arm)) if arm in results else 0
    return f"{number} seed{'s' * (number != 1)}"


def plot_beside(
    results: Results, arm: str, history: History, metrics: Sequence[str], label: str, title: str | None = None
) -> Figure:
    """A panel a metric: the live run as a line, and the long runs as a grey band from the lowest to the highest seed."""
    metrics = [name for name in metrics if name in history.names]
    figure, axes = subplots(1, len(metrics), figsize=(8, 2.9), squeeze=False)
    told = []
    for axis, name in zip(axes.flat, metrics):
        steps, values = results.curve(arm, name)
        groups = np.array_split(np.arange(len(steps)), min(PARTS, len(steps)))
        steps = np.array([steps[group].mean() for group in groups])
        values = np.stack([values[:, group].mean(1) for group in groups], 1)
        axis.fill_between(steps, values.min(0), values.max(0), color=COLOURS["pale"], alpha=0.6, linewidth=0)
        axis.plot(
            steps, values.mean(0), color=COLOURS["line"], linewidth=1, label=f"long run, {seeds_of(results, arm)}"
        )
        where, seen = history[name]
        parts = np.array_split(np.arange(len(seen)), min(PARTS, len(seen)))
        shown = [(where[part].mean(), np.nanmean(seen[part])) for part in parts]
        axis.plot(*zip(*shown), color=colours([label])[label], label=f"{label}, this run")
        axis.set_title(TITLES.get(name, name), fontsize=8.5)
        axis.set_xlabel("step")
        plots.calm(axis, name)
        end, low, high = shown[-1][1], values[:, -1].min(), values[:, -1].max()
        told.append(f"{findings.name_of(name)} {findings.value_of(name, end)}, long runs {span(name, low, high)}")
    for group in plots.ALIKE:
        plots.alike([axis for axis, name in zip(axes.flat, metrics) if name in group])
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return plots.say_title(figure, title if title is not None else f"at the end: {'; '.join(told[:2])}")


def span(name: str, low: float, high: float) -> str:
    """ "0.48 to 0.53", of the seeds of the long runs; one number if they agree in it."""
    ends = [findings.value_of(name, value) for value in (low, high)]
    return " to ".join(dict.fromkeys(ends))


def verdict(results: Results, arm: str, label: str, live: WinRate | None) -> str:
    """The long run's win rate in a sentence, and whether the live run says the same."""
    rate = results.rate(arm)
    word = {1: "beats", -1: "loses to", 0: "cannot be told from"}
    name = pictures.BOARD.get(arm, label)
    told = f"**At length ({seeds_of(results, arm)}) {name} {word[rate.sign]} SFT: {rate}.**"
    if live is None:
        return told
    low, high = live.interval
    mine = (low > 0.5) - (high < 0.5)
    agrees = "says the same" if mine == rate.sign else f"alone would say that it {word[mine]} SFT"
    return f"{told} This run {agrees} ({live.rate:.3f} [{low:.3f}, {high:.3f}]); it is one seed, and far shorter."


def show_verdicts(
    p: parameters.Settings, rows: Sequence[Sequence], *, ours: str = "this run (one seed)", also: Sequence[int] = ()
) -> None:
    """Claims as a table: the paper's figure, this run's, the long runs', and the verdict, which is the long runs' where
    there are any. A row is (claim, the paper's figure, what this run measured, this run's verdict), and, where the long
    runs have measured the same, what: (number, part) of `table.CLAIMS`, the part counted from 0, or None for the whole
    claim; or two arms, if the claim is that the first beats the second. also: numbers of claims that this run does not
    measure."""
    results = results_of(p)
    if not rows and results is None:
        return print(NONE)
    rows = [with_long_run(*row, results=results) for row in rows]
    for number in also if results else ():
        one = table.CLAIMS[number]
        rows.append(
            with_long_run(f"{number}: {one.text}", one.figure, "not measured", "", (number, None), results=results)
        )
    seeds = f"long runs ({seeds_of(results, 'dpo')})" if results else "long runs"
    widgets.show_table(["claim", "the paper", ours, seeds, "verdict"], *rows)
    count = {
        word: sum(row[-1].startswith(f"**{word}") for row in rows) for word in (table.HOLDS, table.FAILS, table.OPEN)
    }
    widgets.say(f"**Of {len(rows)} rows {count[table.HOLDS]} hold here, {count[table.FAILS]} do not, and "
                f"{count[table.OPEN]} cannot be told.**" + ("" if results else f" {NONE}"))  # fmt: skip


def show_why(results: Results | None) -> None:
    """What it is in DPPO's penalty that harms, or helps: the long runs with one thing changed at a time, and what follows."""
    needed = [f"why_{label}_{change}" for label in pictures.WHY for change in pictures.CHANGES]
    if results is None or not all(arm in results for arm in needed):
        print(NONE if results is None else "There are no long runs of this yet: `make claims` makes them.")
        return
    widgets.show_table(*pictures.why_rows(results))
    words = {1: "better", -1: "worse", 0: "neither better nor worse"}
    for label, name in pictures.WHY.items():
        as_is = results.rate(f"why_{label}_as_is")
        leads = {told: results.lead(f"why_{label}_{change}", f"why_{label}_as_is")
                 for change, told in pictures.CHANGES.items() if change != "as_is"}  # fmt: skip
        widgets.say(f"- **{name}: {as_is} over SFT.** Compared with that: "
                    + "; ".join(f"{told}: {words[lead.sign]} ({lead})" for told, lead in leads.items()) + ".")  # fmt: skip
    widgets.say(why_in_words(results))


def favourite_in_words(results: Results | None) -> str:
    """Whether unlearning one's own favourite answer helps, by the long runs: claim 1's figures, and what does the harm."""
    row = table.CLAIMS[1].row(results) if results else None
    if row is None or row.missing or "why_tanh_mean_as_is" not in results:
        return "The long runs have nothing to say of it here."
    better = [what for what, found, _ in row.parts if found.sign > 0]
    said = f"{' and '.join(better)}" if better else "no penalty beats DPO"
    return f"At length ({seeds_of(results, 'unlikelihood')}): **{said}** ({row}). {why_in_words(results)}"


def why_in_words(results: Results) -> str:
    """What the changes at alpha 10 say together."""
    as_is = results.rate("why_tanh_mean_as_is")
    sign = {change: results.lead(f"why_tanh_mean_{change}", "why_tanh_mean_as_is").sign for change in pictures.CHANGES}
    if as_is.sign >= 0:
        return f"**Here the strong penalty does no harm ({as_is} over SFT), so there is none to explain.**"
    favourite = {
        1: "It is the *favourite* that must not be touched: on a sample in its place the same penalty does less harm",
        0: "It makes no difference whether the favourite or a sample is pushed down",
        -1: "On a sample in the favourite's place the penalty does more harm still",
    }[sign["sample"]]
    deserved = {
        1: "so it does where only those favourites are pushed down that are worse than the rejected answer",
        0: "whether the answer deserved it makes no difference",
        -1: "where the answer deserved it the harm is greater",
    }[sign["worse"]]
    vote = {
        1: "With the weights of other pairs it does less harm, so the vote picks the wrong ones",
        0: "With the weights of other pairs it does as much, so the vote has nothing to do with it",
        -1: "With the weights of other pairs it does more, so the vote does know something, and not enough",
    }[sign["exchanged"]]
    return f"**{favourite}; {deserved}. {vote}.**"


def with_long_run(
    claim: str, figure: str, ours: object, word: str, of: tuple | None = None, *, results: Results | None
) -> list[str]:
    """One row of `show_verdicts`: verdicts that are this run's alone say so."""
    parts = parts_of(of, results) if of and results else []
    told = "; ".join(str(found) if len(parts) == 1 else f"{what}: {found}" for what, found, _ in parts)
    if not any(wanted for _, _, wanted in parts):
        return [claim, figure, str(ours), told, f"**{word}** (one seed)" if word else "not made yet"]
    decided = table.verdict(parts)
    agrees = {decided: "; this run agrees", "": "", table.OPEN: "; this run alone cannot tell"}
    return [claim, figure, str(ours), told, f"**{decided}**{agrees.get(word, f'; this run alone: {word}')}"]


def parts_of(of: tuple, results: Results) -> list[table.Part]:
    """What the long runs say of a row of `show_verdicts`; nothing, if they have not been made."""
    first, second = of
    if isinstance(first, str):
        return [("", results.rate(first, second), 1)] if first in results and second in results else []
    row = table.CLAIMS[first].row(results)
    return row.parts if second is None or row.missing else [row.parts[second]]


def show_zoo(name: str, label: str, comparison: Comparison, p: parameters.Settings) -> None:
    """Answers of the policy that comes with the package to the first prompts, beside those of this run."""
    policy, tokenizer = models.zoo(name), models.load_tokenizer("pocket")
    prompts = comparison.prompts[:SHOWN]
    drawn = answers_of(policy, tokenizer, prompts, draws=1, temperature=0.7, max_new_tokens=p.max_response_tokens)
    labels = [one for one in (comparison.baseline, label) if one in comparison.answers]
    name = pictures.BOARD.get(ZOO[name], label)
    answers = {one: comparison.texts(one)[:SHOWN] for one in labels} | {
        f"{name}, long run": [one.text for one in drawn]
    }
    judge = GoldJudge()
    scores = {one: judge(prompts, said) for one, said in answers.items()}
    display(widgets.HTML(widgets.responses_html(prompts, answers, scores, comparison.categories[:SHOWN])))

"""What notebook 05 shows and does not teach: tables, pictures and sentences on a learnt judge beside the labels and beside the
gold judge. The losses and the estimators are the notebook's, and are handed in.

Functions that begin with `show_` put on the page what they say; the others return it. Scores of a policy's answers are arrays
(prompts, K); a *table* is {judge: such scores} of the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure

from prefnb import course, evaluate, judges, parameters, plots, widgets
from prefnb.batches import prompt_ids
from prefnb.claims import table as of_claims
from prefnb.claims.results import Results
from prefnb.lessons import words
from prefnb.pairs import best_of as pick_best
from prefnb.sampling import Sample
from prefnb.training import History

TITLES = {"loss": "loss", "margin": "difference  $s(y_w) - s(y_l)$", "accuracy": "share right"}
SINGLE, PICKED = "{}, one answer", "{}, best of {} by {}"  # what `outcomes` of the notebook is called by
Table = Mapping[str, np.ndarray]
Won = Mapping[str, Mapping[str, np.ndarray]]  # {judge: {answers: outcomes over SFT by prompt}}


# ---------------------------------------------------------------- data and training


def fitting(rows: Any, tokenizer: Any, p: parameters.Settings) -> Any:
    """The rows of a data set whose prompt is no longer than `max_prompt_tokens`."""
    short = [i for i, one in enumerate(rows["prompt"]) if len(prompt_ids(tokenizer, one)) <= p.max_prompt_tokens]
    if not short:
        raise parameters.ParameterError(f"No prompt has at most 'max_prompt_tokens', {p.max_prompt_tokens}: raise it.")
    return rows.select(short)


def show_toy(toy: SimpleNamespace, losses: torch.Tensor, metrics: Mapping[str, torch.Tensor]) -> None:
    """Three toy pairs by the loss, with its gradient, and both curves; whether only the difference counts."""
    gap = metrics["margin"]
    columns = [gap.tolist(), gap.sigmoid().tolist(), losses.tolist(), toy.chosen.grad.tolist()]
    names = [
        f"{chosen:g} preferred to {rejected:g}" for chosen, rejected in zip(toy.chosen.tolist(), toy.rejected.tolist())
    ]
    widgets.show_table(
        ["pair", "difference", "P(chosen wins)", "loss", "gradient on the chosen score"], *zip(names, *columns)
    )
    figure, axes = plots.subplots(1, 2, figsize=(8, 2.4))
    line = torch.linspace(-4, 4, 200)
    wins = (line.sigmoid(), columns[1], "the chosen one wins: {:.2f} and {:.2f}")
    loss = (torch.nn.functional.softplus(-line), columns[2], "loss {:.2f} if right, {:.2f} if wrong")
    for axis, (curve, dots, title) in zip(axes, (wins, loss)):
        axis.plot(line, curve, color=plots.COLOURS["ink"])
        axis.plot(columns[0][:2], dots[:2], "o", color=plots.MEANINGS["chosen"], markersize=6)
        axis.set(xlabel="difference  $s(y_w) - s(y_l)$", title=title.format(*dots[:2]))
    display(figure)
    same = "the same" if all(abs(column[0] - column[2]) < 1e-4 for column in columns) else "no longer the same"
    widgets.say(f"**2 against 1 and 12 against 11 have {same} probability and loss: only the difference counts.**")


def watch(history: History) -> Figure:
    """The picture that grows while a model trains."""
    names = [name for name in TITLES if name in history.names]
    figure = plots.plot_training(history, names)
    for axis, name in zip(figure.axes, names):
        axis.set_title(TITLES[name])
    return figure


def show_watched(history: History) -> None:
    """The same picture of a training that is over, with how often the model was right at its end."""
    display(watch(history))
    first, last = history["accuracy"][1][:8].mean(), history["accuracy"][1][-8:].mean()
    widgets.say(f"**In the first eight steps it has {first:.0%} of the answers right, in the last eight {last:.0%}.**")


def show_training(history: History) -> None:
    """The loss at both ends of training."""
    losses = history["loss"][1]
    widgets.say(f"**The loss goes from {losses[:8].mean():.2f} over the first eight steps to {losses[-8:].mean():.2f} "
                "over the last eight.** Single batches jump, since each has other pairs.")  # fmt: skip


# ---------------------------------------------------------------- held-out pairs


def share(hits: np.ndarray) -> str:
    """A share with its 95% interval, as text."""
    low, high = evaluate.wilson_interval(hits.sum(), len(hits))
    return f"{hits.mean():.2f} [{low:.2f}, {high:.2f}]"


def show_accuracy(margins: Mapping[str, np.ndarray], gold_margin: np.ndarray | None, tie: float) -> None:
    """{"in view", "full": differences of scores on held-out pairs}: how often each agrees with the labels and with gold, whose
    own differences are the ceiling; whether more pairs helped; and which of the two the full model learnt."""
    told = None if gold_margin is None else np.abs(gold_margin) > tie  # pairs that gold can tell apart
    rows = [["reward model", "agrees with the label", "agrees with gold"]]
    for label, margin in {**margins, **({} if told is None else {"gold itself: the ceiling": gold_margin})}.items():
        agrees = "no gold judge here" if told is None else share((margin * gold_margin > 0)[told])
        rows.append([label, share(margin > 0), agrees])
    more = (margins["full"] > 0).astype(float) - (margins["in view"] > 0)
    widgets.show_table(*rows, ["full less in view", evaluate.mean_and_interval(more), ""])
    helped = words.by_sign(evaluate.bootstrap_interval(more), "more pairs helped", "more pairs hurt",
                           "that more pairs helped cannot be told")  # fmt: skip
    ceiling = "" if told is None else f", where gold itself has {(gold_margin > 0).mean():.0%}"
    widgets.say(f"**The full model agrees with {(margins['full'] > 0).mean():.0%} of the labels{ceiling}; {helped}** "
                f"(full less in view: {evaluate.mean_and_interval(more)}).")  # fmt: skip
    if told is not None:
        widgets.say(gold_or_label((margins["full"] * gold_margin > 0)[told], (margins["full"] > 0)[told]))


def gold_or_label(with_gold: np.ndarray, with_label: np.ndarray) -> str:
    """Whether a model agrees with gold more often than with the labels, from its agreements pair by pair."""
    learnt = words.by_sign(evaluate.bootstrap_interval(with_gold.astype(float) - with_label), "more often than",
                           "less often than", "as often (as far as can be told) as")  # fmt: skip
    return (f"**Where gold sees a difference the full model agrees with gold ({with_gold.mean():.0%}) {learnt} "
            f"with the labels ({with_label.mean():.0%}).**")  # fmt: skip


def confidence(margin: np.ndarray) -> np.ndarray:
    """How sure a model is of the answer that it favours, one half to one."""
    return 1 / (1 + np.exp(-np.abs(margin)))


def by_chance(margin: np.ndarray, error: Callable, seed: int, times: int = 200) -> float:
    """The calibration error of a model whose every probability is true, on average over `times` draws."""
    draw, sure = np.random.default_rng(seed), confidence(margin)
    return float(np.mean([error(margin, draw.random(len(margin)) < sure) for _ in range(times)]))


def show_calibration(margins: Mapping[str, np.ndarray], reliability: Callable, error: Callable, seed: int) -> Figure:
    """Confidence beside the share right, for each reward model, with the calibration error; returns the picture."""
    figure, axes = plots.subplots(1, 2, figsize=(8, 3.2), sharey=True)
    rows = [["reward model", "mean confidence", "share right", "calibration error", "if it were calibrated"]]
    for axis, (label, margin), colour in zip(axes, margins.items(), (plots.CYCLE[1], plots.CYCLE[0])):
        sure, right, low, high, _ = reliability(margin, margin > 0).T
        axis.plot([0.5, 1], [0.5, 1], ":", color=plots.COLOURS["line"], label="calibrated")
        axis.errorbar(sure, right, [right - low, high - right], fmt="o", color=colour, capsize=3, label="this model")
        title = f"{label}: {confidence(margin).mean():.0%} sure, {(margin > 0).mean():.0%} right"
        axis.set(xlabel="confidence in the favoured answer", title=title, xlim=(0.48, 1.02), ylim=(0, 1.03))
        rows.append([label, float(confidence(margin).mean()), float((margin > 0).mean()), error(margin, margin > 0),
                     by_chance(margin, error, seed)])  # fmt: skip
    axes[0].set_ylabel("share right (labels)")
    axes[0].legend(loc="lower right")
    display(figure)
    widgets.show_table(*rows)
    widgets.say(sureness(float(confidence(margins["full"]).mean()), margins["full"] > 0))
    return figure


def sureness(sure: float, hits: np.ndarray) -> str:
    """Whether the full model is surer than it should be, from its mean confidence and what it has right."""
    low, high = evaluate.wilson_interval(hits.sum(), len(hits))
    verdict = ("surer than it should be (dots below the line)" if sure > high else
               "less sure than it might be (dots above the line)" if sure < low else
               "as far as these pairs can tell, it knows how sure it may be")  # fmt: skip
    return f"**The full model is {sure:.0%} sure on average and right on {hits.mean():.0%} [{low:.0%}, {high:.0%}]: {verdict}.**"


# ---------------------------------------------------------------- the model's own answers


def draw(
    policy: torch.nn.Module, count: int, tokenizer: Any, prompts: list, p: parameters.Settings
) -> list[list[Sample]]:
    """`count` answers of a policy to every prompt: (prompts, count) as nested lists."""
    drawn = course.answers_of(policy, tokenizer, prompts, draws=count, temperature=p.temperature,
                              max_new_tokens=p.max_response_tokens)  # fmt: skip
    return [drawn[i : i + count] for i in range(0, len(drawn), count)]


def score(judge: Callable, answers: list[list[Sample]], prompts: list) -> dict[str, np.ndarray]:
    """What a judge says of nested answers: (prompts, count) for its total and for each of its parts."""
    asked = [one for one, group in zip(prompts, answers) for _ in group]
    texts = [one.text for group in answers for one in group]
    if isinstance(judge, judges.RewardModel):
        return {"total": course.scores_of(judge, asked, texts).reshape(len(prompts), -1)}
    found = judge(asked, texts)
    named = found if isinstance(found, dict) else {"total": found.total, **found.parts}
    return {name: values.reshape(len(prompts), -1) for name, values in named.items()}


def show_repeats(answers: list[list[Sample]]) -> None:
    """How many answers there are, and how many of them are another once more."""
    repeats = 1 - np.mean([len({tuple(one.ids) for one in group}) / len(group) for group in answers])
    widgets.say(f"{len(answers)} prompts x {len(answers[0])} answers; **{repeats:.0%} of them repeat another answer to their "
                "prompt, word for word.**")  # fmt: skip


def centred(table: Table) -> dict[str, np.ndarray]:
    """Every score less the mean of its prompt's."""
    return {name: scores - scores.mean(1, keepdims=True) for name, scores in table.items()}


def show_order(
    table: Table, right: np.ndarray | None, categories: Sequence[str]
) -> tuple[Figure | None, dict[str, np.ndarray]]:
    """Proxy against gold, a cloud a category, and the share of order right; the picture and {category: shares by prompt}, the
    best first. right: (prompts,), nan where gold tells no answers apart; None without a gold judge."""
    if right is None:
        print("No gold judge knows the answers here; a proxy can then only be held against labels, as above.")
        return None, {}
    of, known = np.array(categories), ~np.isnan(right)
    found = {name: right[(of == name) & known] for name in sorted(set(of[known]))}
    found = dict(sorted(found.items(), key=lambda item: -item[1].mean()))
    intervals = {name: evaluate.bootstrap_interval(shares) for name, shares in found.items()}
    figure = plot_clouds(table, found, intervals, of)
    display(figure)
    unclear = [name.replace("_", " ") for name, (low, _) in intervals.items() if low <= 0.5]
    best, *_, worst = (name.replace("_", " ") for name in [*found, *found])
    widgets.say(f"**On the model's own answers the proxy has {np.nanmean(right):.2f} of the order right, most on *{best}*, "
                f"least on *{worst}*.** " + (f"That it beats a coin cannot be told on {words.listed(unclear)}." if unclear else
                                             "On every category it beats a coin."))  # fmt: skip
    return figure, found


def plot_clouds(table: Table, found: Mapping[str, np.ndarray], intervals: Mapping, of: np.ndarray) -> Figure:
    """Every answer as a dot, proxy score against gold score, both within prompts; a panel a category."""
    within = centred(table)
    figure, axes = plots.subplots(-(-len(found) // 5), 5, figsize=(8, 4.6), sharex=True, sharey=True, squeeze=False,
                                  layout="constrained")  # fmt: skip
    for axis, (name, shares) in zip(axes.flat, found.items()):
        axis.plot(
            within["proxy"][of == name],
            within["gold"][of == name],
            ".",
            color=plots.COLOURS["ink"],
            markersize=3,
            alpha=0.4,
        )
        low, high = intervals[name]
        axis.set_title(f"{name.replace('_', ' ')}\n{shares.mean():.2f} [{low:.2f}, {high:.2f}]", fontsize=8.5)
    least, most = (f"{shares.mean():.2f}" for shares in (list(found.values())[-1], next(iter(found.values()))))
    figure.suptitle(f"the proxy has {least} to {most} of the order right", fontsize=10, x=0.01, ha="left")
    figure.supxlabel("proxy score, less its prompt's mean", fontsize=9)
    figure.supylabel("gold score, less its prompt's mean", fontsize=9)
    return figure


def show_leniency(table: Table, flaws: Table) -> None:
    """What every flaw costs an answer by the proxy and by gold, and towards which of them the proxy is most lenient."""
    within = {name: values for name, values in centred(table).items() if name in ("proxy", "gold")}
    step = lambda scores, has: float((scores[has].mean() - scores[~has].mean()) / scores.std())
    minded = {name: {judge: step(scores, has) for judge, scores in within.items()}
              for name, has in flaws.items() if has.any() and not has.all()}  # fmt: skip
    widgets.show_table(["answers that are", "share of all", "proxy's step", "gold's step"],
                       *[[name, f"{flaws[name].mean():.0%}", *steps.values()] for name, steps in minded.items()])  # fmt: skip
    if minded:
        blind = max(minded, key=lambda name: minded[name]["proxy"] - minded[name]["gold"])
        widgets.say(f"**The proxy is most lenient, compared with gold, towards answers that are *{blind}*** "
                    f"({minded[blind]['proxy']:+.2f}, gold {minded[blind]['gold']:+.2f}).")  # fmt: skip


# ---------------------------------------------------------------- fluency


def one_by_one(pairs: Any, gold: judges.GoldJudge) -> tuple[list[dict], np.ndarray]:
    """The answers of pairs one by one, with 1 where the gold judge finds no disfluency in one."""
    rows = [{"prompt": row["prompt"], "response": row[side]} for row in pairs for side in ("chosen", "rejected")]
    flaws = gold.flaws([row["prompt"] for row in rows], [row["response"] for row in rows])
    return rows, (~flaws["disfluent"]).astype(int)


def by_prompt(measure: Callable, says: np.ndarray, truth: np.ndarray, seed: int) -> str:
    """A measure of (prompts, answers) with its 95% interval, as text: whole prompts are drawn again and again."""
    rows = np.random.default_rng(seed).integers(len(truth), size=(1000, len(truth)))
    low, high = np.percentile([measure(says[some], truth[some]) for some in rows], [2.5, 97.5])
    return f"{measure(says, truth):.2f} [{low:.2f}, {high:.2f}]"


def show_fluency(says: Mapping[str, tuple[np.ndarray, np.ndarray]], balanced: Callable, seed: int) -> None:
    """{answers: what the classifier says of them and what is true, (prompts, K) each}: accuracy and balanced accuracy; the last
    are the model's own answers, of which the sentence speaks."""
    plain = lambda said, truth: (said == truth).mean()
    rows = [[name, by_prompt(plain, *both, seed), float(both[1].mean()), by_prompt(balanced, *both, seed)]
            for name, both in says.items()]  # fmt: skip
    widgets.show_table(["answers", "accuracy", 'always "fluent"', "balanced accuracy"], *rows)
    found = balanced(*list(says.values())[-1])
    widgets.say(f"**On the model's own answers its balanced accuracy is {found:.2f}" + (
        ": it recognises disfluency that nobody showed it.**" if found > 0.6 else
        ", hardly more than the one half of always saying the same: a weak judge.**"))  # fmt: skip


# ---------------------------------------------------------------- best of n


class Picks:
    """Best-of-n of the model's own answers for n of `sizes`: `curves[picker, panel][n]` is what the answers picked by `picker`
    are worth by `panel`, (prompts,). second: the name of the judge besides the proxy, or None."""

    def __init__(self, table: Table, second: str | None, sizes: Sequence[int], best_of_n: Callable):
        pickers = {second: plots.CYCLE[1], "proxy": plots.CYCLE[0], "fluency": plots.CYCLE[2]}
        panels = {second: f"{second} score", "gold fluency": "gold's fluency", "proxy": "proxy score"}
        self.pickers, self.panels = (
            {name: one for name, one in names.items() if name in table} for names in (pickers, panels)
        )
        self.second, self.sizes = second, list(sizes)
        self.curves = {(picker, panel): {n: best_of_n(table[picker], table[panel], n) for n in sizes}
                       for picker in self.pickers for panel in self.panels}  # fmt: skip

    def gain(self, picker: str, panel: str, n: int) -> np.ndarray:
        """(prompts,): what picking among n gains over one answer picked by chance."""
        return self.curves[picker, panel][n] - self.curves[picker, panel][1]

    def summary(self) -> dict[str, dict[int, float]]:
        """{panel and picker: {n: the mean}}, for the record of a run."""
        return {f"{panel} picked by {picker}": {n: float(found.mean()) for n, found in of.items()}
                for (picker, panel), of in self.curves.items()}  # fmt: skip

    def plot(self, kl_bound: Callable) -> Figure:
        """The gains against N, a panel a judge; its title is what the proxy's picks gain at the largest N."""
        figure, axes = plots.subplots(1, len(self.panels), figsize=(8, 3), squeeze=False, layout="constrained")
        x = np.sqrt([kl_bound(n) for n in self.sizes])
        for axis, (panel, title) in zip(axes.flat, self.panels.items()):
            for picker, colour in self.pickers.items():
                gains = [self.gain(picker, panel, n) for n in self.sizes]
                axis.plot(x, [gain.mean() for gain in gains], "o-", color=colour, label=f"picked by {picker}")
                low, high = np.transpose([evaluate.bootstrap_interval(gain) for gain in gains])
                axis.fill_between(x, low, high, color=colour, alpha=0.15)
            axis.axhline(0, color=plots.COLOURS["line"], linestyle=":", label="picked at random")
            most = self.gain("proxy", panel, self.sizes[-1]).mean()
            axis.set_title(f"{title}: {most:+.2f} by the proxy", fontsize=9)
            axis.set(xlabel="N")
            axis.set_xticks(x, self.sizes)
        axes[0, 0].set_ylabel("gain over one answer")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
        return figure

    def show(self, kl_bound: Callable, steps_up: Callable) -> Figure:
        """The picture, the table of steps, and up to which N following the proxy pays; returns the picture."""
        figure = self.plot(kl_bound)
        display(figure)
        if self.second:
            steps = steps_up(self.curves["proxy", self.second])
            self.show_steps(steps, kl_bound)
            widgets.say(pays(steps, self.second))
        many = self.sizes[-1]
        if self.second and "fluency" in self.pickers:
            told = [
                evaluate.mean_and_interval(self.gain("fluency", panel, many)) for panel in ("gold fluency", self.second)
            ]
            widgets.say(f"**Picking among {many} by the fluency classifier gains {told[0]} in gold's fluency, and {told[1]} in "
                        f"{self.second}'s score**: what a judge does not look at, picking by it need not improve.")  # fmt: skip
        return figure

    def show_steps(self, steps: Mapping[int, str], kl_bound: Callable) -> None:
        """For every N the proxy's gain in the other judge's score, beside what that judge's own picks gain."""
        second, rows = self.second, []
        for n, step in steps.items():
            gain = self.gain("proxy", second, n)
            of_best = gain.mean() / self.gain(second, second, n).mean()
            rows.append([n, kl_bound(n), evaluate.mean_and_interval(gain), f"{of_best:.0%}", step])
        widgets.show_table(["N", "KL bound (nats)", f"gain in {second}, by the proxy",
                            f"of what picks by {second} gain", f"{second}, at this step"], *rows)  # fmt: skip


def pays(steps: Mapping[int, str], second: str) -> str:
    """Up to which N following the proxy pays, from {N: whether the other judge's score rises at this step}."""
    last = max([1, *(n for n, step in steps.items() if step == "rises")])
    falls = "falls" in [step for n, step in steps.items() if n > last]
    paying = (
        f"**Following the proxy pays up to N = {last}**; after that"
        if last > 1
        else "**Following the proxy cannot be told to pay**:"
    )
    if last == max(steps, default=1):
        return f"{paying} nothing was tried: over-optimisation, if it comes, comes later."
    after = f"{second} falls" if falls else "no gain can be told"
    return f"{paying} {after}, while the proxy's own score goes on rising."


# ---------------------------------------------------------------- does it win?


def show_wins(won: Won) -> Figure:
    """Win rates over SFT, judged by each judge; returns the picture."""
    as_rate = lambda values: SimpleNamespace(rate=values.mean(), interval=evaluate.bootstrap_interval(values))
    rates = {
        f"judged by {name}": {label: as_rate(values) for label, values in found.items()} for name, found in won.items()
    }
    figure = plots.plot_categories(rates, against="SFT")
    display(figure)
    return figure


def lifts(won: Won, policy: str, n: int) -> dict[str, str]:
    """{judge: by how much picking among n answers of a policy by the proxy lifts the win rate, with its interval}."""
    single, best = SINGLE.format(policy), PICKED.format(policy, n, "proxy")
    return {name: evaluate.mean_and_interval(found[best] - found[single]) for name, found in won.items()}


def show_lifts(won: Won, n: int) -> None:
    """`lifts` of both policies, in words."""
    for policy in ("DPO", "SFT"):
        found = lifts(won, policy, n)
        told = [f"{lift} as {name} judges" for name, lift in found.items() if name != "proxy"]
        told.append(f"{found['proxy']} as the proxy judges its own picks")
        widgets.say(
            f"**Picking among {n} answers of {policy} by the proxy lifts the win rate by {', and by '.join(told)}.**"
        )


def picks(
    alone: Mapping[str, list], many: Mapping[str, list], by: Mapping[str, Table], n: int
) -> dict[str, list[Sample]]:
    """One answer of each policy to every prompt, and what the proxy picks among n: {label: (prompts,) answers}. many, by:
    {policy: the answers that are picked from, and the table of their scores}."""
    picked = {}
    for policy, answers in alone.items():
        picked[policy] = [group[0] for group in answers]
        picked[f"{policy}, best of {n}"] = pick_best([group[:n] for group in many[policy]], by[policy]["proxy"][:, :n])
    return picked


def show_picks(comparison: course.Comparison, n: int, second: str | None) -> None:
    """Answers of SFT beside picks by the proxy to read, and how often a pick is worse by a judge that did not pick: `second`,
    or None if there is none."""
    best = f"SFT, best of {n}"
    if second:
        gap = comparison.scores[best].total - comparison.scores["SFT"].total
        better, worse = (gap > comparison.tie).mean(), (gap < -comparison.tie).mean()
        widgets.say("Below, one answer of SFT beside picks by the proxy. **Picking is no guarantee**: "
                    f"{second} finds SFT's pick better than the single answer on {better:.0%} of the prompts, worse on "
                    f"{worse:.0%}, and level on the rest. So any one example may show a pick that loses.")  # fmt: skip
    widgets.show_answers(comparison, ("SFT", best, f"DPO, best of {n}"))


# ---------------------------------------------------------------- claims, and the answer


def long_run(results: Results | None) -> str:
    """What the long runs say of the reward models and of their picks among five answers, in words."""
    row = of_claims.CLAIMS[10].row(results) if results else None
    if row is None or row.missing or "reward_model" not in results:
        return "Of these data there are no long runs." if results is None else "`make claims` makes the long runs."
    right = [results.arms["reward_model"][seed]["accuracy"] for seed in results.seeds("reward_model")]
    lift, rate = (found for _, found, _ in row.parts)
    word = {1: "lifts", -1: "lowers", 0: "does not change by more than chance"}
    over = {1: "beats", -1: "loses to", 0: "cannot be told from"}
    return (f"**At length the reward models ({len(right)} seeds) have {min(right):.0%} to {max(right):.0%} of held-out labels "
            f"right. Picking among five answers of a DPO policy by one of them {word[lift.sign]} its win rate over SFT ({lift}); "
            f"the pick among five of SFT's {over[rate.sign]} SFT ({rate}).**")  # fmt: skip


def claim_10(won: Won, n: int, told_by: str | None) -> tuple[list[list], dict[str, str]]:
    """Rows of `beside.show_verdicts` for claim 10, and {policy: this run's verdict}. told_by: the judge that counts, "proxy" if
    it judges its own picks; None if there is none."""
    rows, verdicts = [], {}
    for policy, printed, long_run in (("DPO", ".72 to .83, N = 5", (10, 0)),
                                      ("SFT", "not tried", ("sft_best_of_5", "sft"))):  # fmt: skip
        single, label = SINGLE.format(policy), PICKED.format(policy, n, "proxy")
        if told_by is None:
            rows.append([f"10: {label}", printed, "no judge but the picker here", "cannot be told"])
            continue
        found = won[told_by]
        lift = found[label] - found[single]
        verdicts[policy] = evaluate.verdict(evaluate.bootstrap_interval(lift), null=0.0)
        ours = f"{found[single].mean():.2f} to {found[label].mean():.2f}, a lift of {evaluate.mean_and_interval(lift)}"
        ours += "; the picker judges itself" * (told_by == "proxy")
        rows.append([f"10: {label}, has a higher win rate over SFT", printed, ours, verdicts[policy], long_run])
    return rows, verdicts


def rates(won: Mapping[str, np.ndarray], strict: Mapping[str, np.ndarray]) -> dict[str, dict]:
    """{answers: win rate over SFT, and with ties as losses}, for the summary. won, strict: {answers: outcomes by prompt}."""
    return {label: {"rate": float(won[label].mean()), "strict": float(one.mean()),
                    "ties": 2 * float((won[label] - one).mean()), "interval": evaluate.bootstrap_interval(won[label])}
            for label, one in strict.items()}  # fmt: skip


def show_answer(won: Won, n: int, second: str | None, verdict: str | None) -> None:
    """How far the proxy can be trusted: what its picks among n answers of SFT gain, by a judge that did not pick. verdict: of
    claim 10 for SFT by that judge; None where none but the proxy judges."""
    if second is None or verdict is None:
        return print(
            "No judge but the proxy says how good its picks are: how far it can be trusted cannot be told here."
        )
    follow = {
        words.HOLDS: "Follow it this far, but do not let it mark its own picks.",
        words.OPEN: "Whether to follow it cannot be told here.",
        words.FAILS: "Here it is not to be followed.",
    }
    most = (won[second][PICKED.format("SFT", n, second)] - won[second][SINGLE.format("SFT")]).mean()
    found = lifts(won, "SFT", n)
    widgets.say(f"**Among {n} answers of SFT its picks lift the win rate by {found[second]} as {second} judges, whose own picks "
                f"would lift it by {most:+.2f}; of its picks the proxy itself says {found['proxy']}. {follow[verdict]}**")  # fmt: skip

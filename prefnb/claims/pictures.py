"""The pictures and tables of the leaderboard, from `results.Results`. A win rate is over the SFT policy of the same seed
unless it says otherwise; its interval knows prompts and seeds."""

from __future__ import annotations

from itertools import combinations
from typing import Sequence

import numpy as np
from matplotlib.figure import Figure

from prefnb import evaluate, findings
from prefnb.claims.arms import ALPHAS, PAIRS, SUBSETS
from prefnb.claims.measure import test_prompts
from prefnb.claims.results import TIE, Estimate, Results
from prefnb.plots import COLOURS, CYCLE, WINS, colours, rate_limits, say_title, subplots
from prefnb.pocket import FLAWS

BOARD = {  # arm: what it is called on the board
    "base": "base",
    "sft_longer": "SFT, longer",
    "sft_length": "SFT, length penalty",
    "dpo": "DPO",
    "simpo": "SimPO",
    "minimum_likelihood": "DPPO minimum likelihood",
    "unlikelihood": "DPPO unlikelihood",
    "contrastive": "DPPO contrastive",
    "unlikelihood_then_dpo": "unlikelihood, then DPO",
    "rs_dpo_10": "RS-DPO, 10%",
    "rs_dpo_20": "RS-DPO, 20%",
    "rs_dpo_100": "RS-DPO, all",
    "self_improvement_5": "self-improvement, 5 rounds",
    "self_judged_5": "self-judged, 5 rounds",
    "ipo": "IPO",
    "robust_dpo": "robust DPO",
    "kto": "KTO",
    "multi_objective": "multi-objective",
    "rloo": "RLOO",
    "rloo_proxy": "RLOO on the proxy",
    "grpo": "GRPO",
}
CHANGES = {  # of DPPO's penalty, one at a time
    "as_is": "as it is",
    "worse": "only where the model's own answer is worse than the rejected one",
    "sample": "a sample in its own answer's place",
    "exchanged": "weights of other pairs",
}
WHY = {  # settings under which they are made
    "tanh_mean": "alpha 10",
    "tanh": "alpha 10, normalize=tanh",
    "small": "alpha 0.1",
    "paper": "alpha 10, beta 0.01",
}


def on_board(results: Results) -> list[str]:
    """The arms of the board that there are results of, the highest win rate by gold last."""
    found = [arm for arm in BOARD if arm in results and "lengths" in results.arms[arm][results.seeds(arm)[0]]]
    return sorted(found, key=lambda arm: results.outcomes(arm).mean())


def label_colours(arms: Sequence[str]) -> dict[str, str]:
    """{arm: its method's colour}."""
    return dict(zip(arms, map(colours([BOARD[arm] for arm in arms]).get, map(BOARD.get, arms))))


def length_controlled(results: Results, arm: str) -> evaluate.LengthControlled:
    """The win rate over SFT at equal lengths, the seeds one after another."""
    seeds = results.seeds(arm, "sft")
    side = lambda one, of: np.concatenate([of(one, seed) for seed in seeds])  # noqa: E731
    scores, lengths = results.scores, results.lengths
    return evaluate.length_controlled_win_rate(
        side(arm, scores), side("sft", scores), side(arm, lengths), side("sft", lengths), TIE
    )


def _dots(axis, estimates: Sequence[Estimate], places: Sequence[float], shades: Sequence[str]) -> None:
    for place, found, shade in zip(places, estimates, shades):
        axis.plot(found.interval, [place, place], color=shade, linewidth=2.2, solid_capstyle="round")
        axis.plot(found.mean, place, "o", color=shade)


def plot_board(results: Results, title: str | None = None) -> Figure:
    """Gold's board beside the proxy's, in gold's order: win rates over SFT with intervals; open circles are at equal length."""
    arms = on_board(results)
    figure, axes = subplots(1, 2, figsize=(8, 0.27 * len(arms) + 1.1), sharey=True, width_ratios=[3, 2])
    places, shades = range(len(arms)), list(label_colours(arms).values())
    best = {}
    for axis, name, judge in zip(axes, ("scores", "proxy"), ("the gold judge", "the proxy")):
        rates = {arm: results.rate(arm, name=name) for arm in arms}
        best[name] = max(rates, key=lambda arm: rates[arm].mean)
        _dots(axis, list(rates.values()), places, shades)
        axis.axvline(0.5, color=COLOURS["line"], linewidth=0.8, linestyle="--")
        above = sum(one.sign > 0 for one in rates.values())
        axis.set(title=f"by {judge}: {above} of {len(arms)} beat SFT", xlabel="win rate over SFT", xlim=(-0.02, 1.02))
        axis.grid(axis="x")
        axis.grid(visible=False, axis="y")
    controlled = [length_controlled(results, arm).rate for arm in arms]
    axes[0].scatter(controlled, places, s=38, facecolors="none", edgecolors=COLOURS["ink"], linewidths=0.9, zorder=3)
    axes[0].set_yticks(places, [BOARD[arm] for arm in arms])
    second = arms[-2] if len(arms) > 1 else arms[-1]
    level = f" and {BOARD[second]} (not to be told apart)" if not results.lead(arms[-1], second).sign else ""
    told = f"highest: {BOARD[best['scores']]}{level} by the gold judge, {BOARD[best['proxy']]} by the proxy"
    return say_title(figure, title if title is not None else told)


def board_rows(results: Results) -> list[list]:
    """The board as a table, the best first: rate, at equal length, by the proxy, tokens, KL, seconds, seeds."""
    rows = [
        ["policy", "win rate over SFT", "at equal length", "by the proxy", "tokens", "KL (nats)", "seconds", "seeds"]
    ]
    for arm in reversed(on_board(results)):
        rate, proxy = results.rate(arm), results.rate(arm, name="proxy")
        mean = lambda name: float(np.nanmean(results.figure(arm, name)))  # noqa: B023, E731
        controlled = length_controlled(results, arm)
        rows.append(
            [BOARD[arm], str(rate), f"{controlled.rate:.3f}", f"{proxy.mean:.3f}", f"{mean('mean_length'):.0f}",
             f"{mean('kl.k3'):.1f}", f"{mean('seconds'):.0f}", rate.seeds]
        )  # fmt: skip
    return rows


def duels(results: Results, arms: Sequence[str]) -> dict[tuple[str, str], Estimate]:
    """{(a, b): win rate of a over b} of every two of these arms."""
    found = {(a, b): results.rate(a, b) for a, b in combinations(arms, 2)}
    return found | {(b, a): one.turned for (a, b), one in found.items()}


def plot_matrix(found: dict[tuple[str, str], Estimate], title: str | None = None) -> Figure:
    """Every policy against every other: the row's win rate over the column; grey where it cannot be told."""
    arms = list(reversed(dict.fromkeys(one for pair in found for one in pair)))
    size = len(arms)
    figure, axis = subplots(figsize=(8, 0.3 * size + 1.9))
    rates = np.full((size, size), np.nan)
    for i, a in enumerate(arms):
        for j, b in enumerate(arms):
            if a != b and found[a, b].sign:
                rates[i, j] = found[a, b].mean
    axis.imshow(np.ma.masked_invalid(rates), cmap=WINS, vmin=0, vmax=1, aspect="auto")
    for i, a in enumerate(arms):
        for j, b in enumerate(arms):
            if a != b:
                dark = found[a, b].sign and abs(found[a, b].mean - 0.5) > 0.3
                shade = COLOURS["paper" if dark else "ink"]
                axis.text(j, i, findings.rate(found[a, b].mean), ha="center", va="center", fontsize=7, color=shade)
    axis.set_xticks(range(size), [BOARD[arm] for arm in arms], rotation=60, ha="right", fontsize=7.5)
    axis.set_yticks(range(size), [BOARD[arm] for arm in arms], fontsize=8)
    axis.grid(visible=False)
    axis.set_title("win rate of the row over the column; grey: cannot be told")
    decided = sum(found[a, b].sign != 0 for a, b in combinations(arms, 2))
    beaten = {a: sum(found[a, b].sign > 0 for b in arms if b != a) for a in arms}
    best = max(arms, key=beaten.get)
    told = (
        f"{decided} of {size * (size - 1) // 2} duels are decided; {BOARD[best]} wins {beaten[best]} of its {size - 1}"
    )
    return say_title(figure, title if title is not None else told)


def plot_ranks(ranks: dict[str, tuple], title: str | None = None) -> Figure:
    """{label: (strength, rank, lowest, highest)}: every rank with its range."""
    labels = sorted(ranks, key=lambda label: -ranks[label][1])
    figure, axis = subplots(figsize=(8, 0.25 * len(labels) + 1))
    shades = colours(labels)
    for place, label in enumerate(labels):
        _, rank, first, last = ranks[label]
        axis.plot([first, last], [place, place], color=shades[label], linewidth=4, alpha=0.5, solid_capstyle="round")
        axis.plot(rank, place, "o", color=shades[label])
    axis.set_yticks(range(len(labels)), labels)
    axis.set(xlabel="rank, 1 is best", xlim=(0.5, len(labels) + 0.5), xticks=range(1, len(labels) + 1))
    axis.grid(visible=False, axis="y")
    axis.grid(axis="x")
    first = [label for label in labels if ranks[label][2] == 1][::-1]
    told = (
        f"{first[0]} is first"
        if len(first) == 1
        else f"the first place cannot be told between {' and '.join(first[:3])}"
    )
    widest = max(labels, key=lambda label: ranks[label][3] - ranks[label][2])
    told += f"; least sure: {widest}, {ranks[widest][2]} to {ranks[widest][3]}"
    return say_title(figure, title if title is not None else told)


def plot_heat(results: Results, title: str | None = None) -> Figure:
    """Win rate over SFT by category of prompt, a row a policy, in the board's order."""
    arms, kinds = list(reversed(on_board(results))), np.array(test_prompts()["category"])
    names = sorted(set(kinds))
    rates = np.array([[results.outcomes(arm)[:, kinds == name].mean() for name in names] for arm in arms])
    figure, axis = subplots(figsize=(8, 0.27 * len(arms) + 1.3))
    axis.imshow(rates, cmap=WINS, vmin=0, vmax=1, aspect="auto")
    for (i, j), rate in np.ndenumerate(rates):
        colour = COLOURS["paper" if abs(rate - 0.5) > 0.3 else "ink"]
        axis.text(j, i, findings.rate(rate), ha="center", va="center", fontsize=7.5, color=colour)
    axis.set_xticks(range(len(names)), [name.replace("_", " ") for name in names], rotation=25, ha="right")
    axis.set_yticks(range(len(arms)), [BOARD[arm] for arm in arms], fontsize=8)
    axis.grid(visible=False)
    axis.set_title("win rate over SFT, by kind of prompt")
    middle = np.median(rates, 0)
    easy, hard = (names[pick(middle)].replace("_", " ") for pick in (np.argmax, np.argmin))
    told = f"most gain is in {easy} (median {findings.rate(middle.max())}), least in {hard} ({findings.rate(middle.min())})"
    return say_title(figure, title if title is not None else told)


def plot_against(
    results: Results, name: str, label: str, logarithmic: bool = False, title: str | None = None
) -> Figure:
    """Mean gold score against another figure of every policy that was fine-tuned, e.g. "mean_length", "kl.k3" or
    "seconds"; a dot a seed. Policies far below SFT are named above the picture: they would squeeze the others."""
    arms = [arm for arm in on_board(results) if arm != "base"]
    floor = results.gold("sft").mean - 0.5
    shown = sorted((arm for arm in arms if results.gold(arm).mean >= floor), key=lambda arm: results.gold(arm).mean)
    below = [f"{BOARD[arm]} ({results.gold(arm).mean:.1f})" for arm in arms if arm not in shown]
    shades = label_colours(arms)
    figure, axis = subplots(figsize=(8, 3.8))
    places = np.linspace(0.02, 0.98, len(shown))
    for arm, place in zip(shown, places):
        x, y = results.figure(arm, name), results.figure(arm, "gold")
        axis.plot(x, y, "o", color=shades[arm], alpha=0.7, markersize=4)
        axis.annotate(
            BOARD[arm], (np.nanmean(x), y.mean()), (1.03, place), textcoords="axes fraction", fontsize=7.5, va="center",
            color=shades[arm], arrowprops={"arrowstyle": "-", "color": shades[arm], "linewidth": 0.4, "alpha": 0.6},
        )  # fmt: skip
    if below:
        axis.set_title(f"far below, and not shown: {', '.join(below)}", fontsize=8)
    axis.set(xlabel=label, ylabel="gold score", xscale="log" if logarithmic else "linear")
    points = np.array([(np.nanmean(results.figure(arm, name)), results.gold(arm).mean) for arm in shown])
    return say_title(figure, title if title is not None else going_along(*points.T, label))


def going_along(x: np.ndarray, y: np.ndarray, label: str) -> str:
    """Whether the gold score rises or falls with another figure, by the rank correlation of policies and its interval over
    them, (k,) each."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 4:
        return f"gold score against {label}"
    ranked = lambda values: np.argsort(np.argsort(values)).astype(float)  # noqa: E731
    rho = float(np.corrcoef(ranked(x), ranked(y))[0, 1])
    half = 1.96 / np.sqrt(len(x) - 3)  # Fisher's interval
    low, high = np.tanh(np.arctanh(np.clip(rho, -0.999, 0.999)) + np.array([-half, half]))
    told = f"(rank correlation {rho:.2f} [{low:.2f}, {high:.2f}])"
    word = {1: "rises", -1: "falls", 0: ""}[findings.sign((low, high))]
    return f"gold score {word} with {label} {told}" if word else f"no trend of gold score with {label} {told}"


def plot_efficiency(results: Results, title: str | None = None) -> Figure:
    """Win rate over SFT against the number of pairs: DPO, and DPPO with unlikelihood."""
    figure, axis = subplots(figsize=(8, 3.3))
    told = []
    for arm, label in (("dpo", "DPO"), ("unlikelihood", "DPPO unlikelihood")):
        sizes = [n for n in SUBSETS if f"{arm}_{n}" in results]
        found = [results.rate(f"{arm}_{n}") for n in sizes] + [results.rate(arm)]
        _band(axis, [*sizes, PAIRS], found, colours([label])[label], label)
        grown = results.lead(arm, f"{arm}_{sizes[0]}").sign if sizes else 0
        unsure = "" if grown else " (cannot be told)"
        told.append(f"{label} {findings.rate(found[0].mean)} to {findings.rate(found[-1].mean)}{unsure}")
    axis.set_xscale("log", base=2)
    axis.set_xticks([*SUBSETS, PAIRS], [f"{n:,}" for n in (*SUBSETS, PAIRS)])
    axis.minorticks_off()
    told = f"with more pairs: {', '.join(told)}"
    return _finish_rates(figure, axis, "preference pairs, one pass over each", title if title is not None else told)


def plot_flaws(results: Results, title: str | None = None) -> Figure:
    """Shares of answers that show each flaw against the strength of the penalty, a panel a penalty; dashed: DPO's."""
    figure, axes = subplots(1, len(ALPHAS), figsize=(8, 3.1), sharey=True)
    worst = {}
    for axis, (name, alphas) in zip(axes, ALPHAS.items()):
        for flaw, shade in zip(FLAWS, CYCLE):
            values = [results.figure(f"{name}_alpha_{a:g}", f"flaws.{flaw}").mean() for a in alphas]
            usual = results.figure("dppo_alpha_0", f"flaws.{flaw}").mean()
            worst[name, flaw] = usual, values[-1]
            axis.plot(alphas, values, "o-", label=flaw, color=shade)
            axis.axhline(usual, color=shade, linestyle="--", linewidth=0.8)
        axis.set(xscale="log", title=name.replace("_", " "), xlabel="alpha (dashed: DPO)", ylim=(-0.02, 1.02))
    axes[0].set_ylabel("share of answers")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    (name, flaw), (usual, value) = max(worst.items(), key=lambda one: one[1][1] - one[1][0])
    told = f"at its strongest {name.replace('_', ' ')} makes {value:.0%} of answers {flaw}, DPO {usual:.0%}"
    return say_title(figure, title if title is not None else told)


def plot_strengths(results: Results, title: str | None = None) -> Figure:
    """Win rate over SFT against the penalty's strength, for every penalty; the dashed line is DPO on the same pairs."""
    figure, axis = subplots(figsize=(8, 3.3))
    arms = {}
    for name, alphas in ALPHAS.items():
        found = [results.rate(f"{name}_alpha_{a:g}") for a in alphas]
        arms |= {
            f"{name}_alpha_{a:g}": (one.mean, f"{name.replace('_', ' ')} at {a:g}") for a, one in zip(alphas, found)
        }
        label = f"DPPO {name.replace('_', ' ')}"
        _band(axis, alphas, found, colours([label])[label], label)
    axis.axhline(results.rate("dppo_alpha_0").mean, color=colours(["DPO"])["DPO"], linestyle="--", label="DPO")
    axis.set_xscale("log")
    best = max(arms, key=lambda arm: arms[arm][0])
    word = {1: "beats DPO", -1: "loses to DPO", 0: "cannot be told from DPO"}[results.lead(best, "dppo_alpha_0").sign]
    told = f"highest: {arms[best][1]} ({findings.rate(arms[best][0])}), which {word} ({findings.rate(results.rate('dppo_alpha_0').mean)})"
    return _finish_rates(figure, axis, "strength of the penalty, alpha", title if title is not None else told)


def _band(axis, x, found: Sequence[Estimate], shade: str, label: str) -> None:
    axis.plot(x, [one.mean for one in found], "o-", color=shade, label=label)
    low, high = zip(*(one.interval for one in found))
    axis.fill_between(x, low, high, color=shade, alpha=0.18, linewidth=0)


def _finish_rates(figure: Figure, axis, label: str, title: str) -> Figure:
    bands = [path.get_extents() for band in axis.collections for path in band.get_paths()]
    axis.set_ylim(*rate_limits([one.ymin for one in bands], [one.ymax for one in bands]))
    axis.axhline(0.5, color=COLOURS["line"], linewidth=1.2, linestyle=":")
    axis.set(xlabel=label, ylabel="win rate over SFT")
    figure.legend(loc="outside lower left", ncols=4)
    return say_title(figure, title)


def why_rows(results: Results) -> list[list]:
    """Win rates over SFT of DPPO with one thing changed at a time: a row a setting, a column a change."""
    rows = [["DPPO, minimum likelihood", *CHANGES.values()]]
    for label, told in WHY.items():
        rows.append([told, *(str(results.rate(f"why_{label}_{change}")) for change in CHANGES)])
    return rows

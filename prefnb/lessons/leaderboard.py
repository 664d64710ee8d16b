"""What notebook 11 shows of the long runs: its pictures, tables and sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from prefnb import evaluate, models, plots
from prefnb.claims import pictures, table
from prefnb.claims.arms import ARMS
from prefnb.claims.results import TIE, Results
from prefnb.course import answers_of
from prefnb.evaluate import Crossed
from prefnb.files import write_json
from prefnb.lessons.words import listed

BOARD = pictures.BOARD
LEARN_FROM_THE_JUDGE = ("rloo", "grpo", "multi_objective")


# ---------------------------------------------------------------- two kinds of luck


def who_is_there(runs: Results, board: Sequence[str]) -> str:
    """How many policies there are, with how many seeds and answers."""
    seeds = sorted({len(runs.seeds(arm)) for arm in board})
    return (
        f"The long runs hold {len(runs.arms)} policies or stages of policies. On the board are {len(board)}, each with "
        f"{' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds and four answers to each of {runs.prompts} "
        "test prompts."
    )


def plot_luck(luck: Mapping[str, Crossed]) -> Figure:
    """Of every policy three intervals, less their mean: what prompts alone, seeds alone, and both together allow."""
    figure, axis = plots.subplots(figsize=(8, 0.26 * len(luck) + 1.2))
    kinds = {"prompts_only": ("prompts alone", "chosen"), "seeds_only": ("seeds alone", "minimum_likelihood"),
             "interval": ("both", "ink")}  # fmt: skip
    for shift, (kind, (label, colour)) in zip((0.2, 0, -0.2), kinds.items()):
        there = [(place + shift, getattr(found, kind), found.mean) for place, found in enumerate(luck.values())]
        there = [(place, low - mean, high - mean) for place, (low, high), mean in (one for one in there if one[1])]
        if there:
            axis.hlines(*zip(*there), color=plots.COLOURS[colour], linewidth=2.5, label=label)
    axis.set_yticks(range(len(luck)), luck)
    several = [one for one in luck.values() if one.seeds_only]
    wider = [width(one.interval) > max(width(one.prompts_only), width(one.seeds_only)) for one in several]
    axis.set(
        xlabel="95% interval, less the mean", title=f"both together are the widest for {sum(wider)} of {len(luck)}"
    )
    axis.legend()
    return figure


def width(interval: tuple[float, float]) -> float:
    """From its lower end to its upper."""
    return interval[1] - interval[0]


def of_luck(luck: Mapping[str, Crossed]) -> str:
    """Which kind of luck is the larger, and how much too narrow an interval is that knows one of them."""
    several = [one for one in luck.values() if one.seeds_only]
    if not several:
        return (
            "With one seed nothing is known of others: until there are more, every interval below is of prompts alone."
        )
    wide = [[width(part) for part in (one.interval, one.prompts_only, one.seeds_only)] for one in several]
    both, prompts, seeds = np.mean(wide, 0) / 2
    larger = (
        "Here seeds are the larger part: an interval over the prompts of one seed promises far too much."
        if seeds > prompts
        else "Here prompts are the larger part: the spread of seeds on one set of prompts promises too much."
    )
    return (
        f"**An interval that knows prompts alone is on average {prompts / both:.0%} as wide as the one that knows both "
        f"({prompts:.3f} to each side, against {both:.3f}); one that knows seeds alone, {seeds / both:.0%}.** {larger}"
    )


# ---------------------------------------------------------------- boards, ranks, duels


def of_board(runs: Results, board: Sequence[str]) -> str:
    """Who is first, whether the proxy's order is the truth's, and whom the proxy flatters most."""
    best, second = board[-1], board[-2]
    lead = runs.lead(best, second)
    gold, proxy = ([runs.outcomes(arm, name=name).mean() for arm in board] for name in ("scores", "proxy"))
    agreement = np.corrcoef(*(np.argsort(np.argsort(values)) for values in (gold, proxy)))[0, 1]
    most = int(np.argmax(np.subtract(proxy, gold)))
    told = "ahead of" if lead.sign > 0 else "not to be told from"
    return (
        f"**{BOARD[best]} is first, {told} {BOARD[second]}** ({lead} in win rate over SFT). The proxy's order agrees "
        f"with the truth's to a rank correlation of {agreement:.2f}. It flatters {BOARD[board[most]]} most: "
        f"{proxy[most]:.2f} by the proxy, {gold[most]:.2f} in truth."
    )


def ranks_of(runs: Results, board: Sequence[str], seed: int) -> dict[str, tuple]:
    """`evaluate.rank_ranges` of the policies that have all the seeds which their kind should have."""
    shared = runs.seeds(*(arm for arm in board if not ARMS[arm.removesuffix("_5")].explains))
    there = [arm for arm in board if set(shared) <= set(runs.seeds(arm))]
    scores = {BOARD[arm]: np.stack([runs.scores(arm, one) for one in shared]) for arm in there}
    return evaluate.rank_ranges(scores, tie=TIE, seed=seed)


def could_be_first(ranks: Mapping[str, tuple]) -> list[str]:
    """Whose range of places begins with the first."""
    return [label for label, (_, _, low, _) in ranks.items() if low == 1]


def of_ranks(ranks: Mapping[str, tuple]) -> str:
    """How many places are certain, and who could be first."""
    firm = sum(low == high for _, _, low, high in ranks.values())
    first = could_be_first(ranks)
    return (
        f"**{firm} of {len(ranks)} policies have a place of their own; {len(first)} could be first: {listed(first)}.**"
    )


def undecided(duels: Mapping[tuple[str, str], object]) -> int:
    """How many comparisons cannot be told; each stands there twice."""
    return sum(not found.sign for found in duels.values()) // 2


def of_duels(runs: Results, duels: Mapping[tuple[str, str], object]) -> str:
    """How many comparisons are decided, and how often two policies are level."""
    pairs, grey = len(duels) // 2, undecided(duels)
    ties = np.mean([(runs.outcomes(a, b) == 0.5).mean() for a, b in list(duels)[:pairs]])
    return (
        f"**{pairs - grey} of {pairs} comparisons are decided**, {grey} are not. Each is over {runs.prompts} prompts and "
        f"sixteen pairs of answers a prompt; on {ties:.0%} of prompts two policies were level."
    )


def furthest_apart(runs: Results, one: str, other: str, many: int = 2) -> list[int]:
    """The prompts on which the first seed's `one` gained most over `other`, and those on which it lost most."""
    gap = runs.scores(one, 0).mean(1) - runs.scores(other, 0).mean(1)
    return [int(i) for i in (*np.argsort(-gap)[:many], *np.argsort(gap)[:many])]


def zoo_answers(arms: Sequence[str], tokenizer, prompts: list) -> dict[str, list]:
    """{name on the board: four answers to each prompt} of policies that come with the package."""
    asked = dict(draws=4, temperature=0.7, max_new_tokens=112)
    return {BOARD[arm]: answers_of(models.zoo(arm), tokenizer, prompts, **asked) for arm in arms}


# ---------------------------------------------------------------- kinds, costs, sizes


def of_kinds(runs: Results, board: Sequence[str], kinds: Sequence[str]) -> str:
    """With which kind of prompt preferences help most, and with which least."""
    kinds = np.array(kinds)
    rate = {
        kind: np.mean([runs.outcomes(arm)[:, kinds == kind].mean() for arm in board]) for kind in sorted(set(kinds))
    }
    most, least = max(rate, key=rate.get), min(rate, key=rate.get)
    return (
        f"**Preferences help most with {most.replace('_', ' ')} ({rate[most]:.2f} on average over the board), least with "
        f"{least.replace('_', ' ')} ({rate[least]:.2f}).** Habits of style can be unlearnt anywhere; what a model does not "
        "know it cannot be taught by being told which answer is better."
    )


def of_length(runs: Results, board: Sequence[str]) -> str:
    """How much of a win is length: how far the rates move at equal length, and who still wins."""
    level = [pictures.length_controlled(runs, arm).rate for arm in board]
    moved = np.abs([runs.rate(arm).mean - rate for arm, rate in zip(board, level)])
    won = [rate for arm, rate in zip(board, level) if runs.rate(arm).sign > 0]
    return (
        f"**Part of a win is length**: at equal length the rates move by {moved.mean():.3f} on average, and by "
        f"{moved.max():.3f} at most ({BOARD[board[int(moved.argmax())]]}). **Of {len(won)} policies that beat SFT "
        f"{sum(rate > 0.5 for rate in won)} still do.**"
    )


def of_sizes(runs: Results) -> str:
    """What eight times the pairs bring, what the strongest penalty does, and where a grid promised too much."""
    points = {
        name: max(grid.values(), key=lambda point: point["gold"]) for name, grid in runs.grids.items() if name in runs
    }
    worst = min(points, key=lambda name: runs.gold(name).mean - points[name]["gold"])
    settings = listed(f"{name} {value:g}" for name, value in points[worst]["settings"].items() if name != "pairs")
    return (
        f"**Eight times the pairs bring DPO {runs.lead('dpo', 'dpo_512')}** in win rate over SFT. **Minimum likelihood at "
        f"the paper's alpha of 10 wins {runs.rate('minimum_likelihood_alpha_10')}** against SFT.\n\n**A grid can promise too "
        f"much.** For {BOARD.get(worst, worst)} it chose {settings} on few pairs, where the mean gold score was "
        f"{points[worst]['gold']:.2f}; at length the same settings end at {runs.gold(worst).mean:.2f}. A penalty without a "
        "bound does its good early, and goes on."
    )


HELD = ("dpo", "unlikelihood", "minimum_likelihood", "rs_dpo_100", "simpo")  # whose held-out pairs are looked at


def plot_moved(runs: Results, beta: float = 0.1) -> Figure:
    """The first seed's implicit rewards on held-out pairs."""
    held = {BOARD[arm]: runs.arms[arm][0]["held_out"] for arm in HELD if arm in runs}
    rewards = {name: beta * (np.array(one["d_chosen"]) - np.array(one["d_rejected"])) for name, one in held.items()}
    figure = plots.plot_votes(rewards)
    figure.axes[-1].set_xlabel(f"implicit reward at beta {beta:g}, first seed")
    return figure


def of_moved(runs: Results) -> str:
    """The share of held-out pairs that each policy moved the wrong way."""
    wrong = {BOARD[arm]: runs.figure(arm, "held_out.wrong").mean() for arm in HELD if arm in runs}
    return (
        f"Moved the wrong way, over all seeds: {listed(f'{name} {share:.0%}' for name, share in wrong.items())}. **A policy "
        "may order pairs better and still not answer better**: compare with the board."
    )


# ---------------------------------------------------------------- twenty claims


def claims_table(verdicts: Sequence[table.Row]) -> list[list[str]]:
    """A head and a line a claim, for `widgets.show_table`."""
    lines = [["claim", "paper", "the paper's figure", "the long runs", "verdict"]]
    for row in verdicts:
        one = row.claim
        lines.append([f"{one.number}: {one.text}", one.paper, one.figure, str(row), f"**{row.verdict}**"])
    return lines


def of_claims(verdicts: Sequence[table.Row]) -> str:
    """How many hold, how many do not, how many cannot be told."""
    holds, fails, still = (
        sum(row.verdict == word for row in verdicts) for word in (table.HOLDS, table.FAILS, table.OPEN)
    )
    return f"**{holds} hold here, {fails} do not, {still} cannot be told.**"


def what_would_decide(verdicts: Sequence[table.Row]) -> list[list]:
    """A head and a line for every part that cannot be told, with the times of the data that would shrink its interval
    enough, if the difference stays what it is: an interval shrinks with the root of what is resampled."""
    lines = [["claim", "what cannot be told", "found", "times the data to decide it"]]
    for row in verdicts:
        for what, found, wanted in row.parts:
            if wanted and not found.sign:
                half, far = (found.interval[1] - found.interval[0]) / 2, abs(found.mean - found.null)
                times = f"{max(1.1, (half / far) ** 2):.2g}" if half < 30 * far else "over 900"
                lines.append([row.claim.number, what, str(found), times])
    return lines


def answer(runs: Results, board: Sequence[str], ranks: Mapping[str, tuple], duels: Mapping) -> str:
    """The title's answer."""
    judged = [runs.rate(arm).mean for arm in board if arm in LEARN_FROM_THE_JUDGE]
    by_pairs = max(
        (arm for arm in board if arm not in (*LEARN_FROM_THE_JUDGE, "base")), key=lambda a: runs.rate(a).mean
    )
    gold, proxy = runs.rate("rloo_proxy"), runs.rate("rloo_proxy", name="proxy")
    return (
        f"**{' or '.join(could_be_first(ranks))} could be first.** What learns from the gold judge itself wins "
        f"{min(judged):.2f} to {max(judged):.2f} over SFT; no real data have such a judge. Of what learns from pairs "
        f"{BOARD[by_pairs]} goes furthest: {runs.rate(by_pairs)}. **The same RLOO on the proxy is worth {gold.mean:.2f} in "
        f"truth and {proxy.mean:.2f} to the proxy itself**: whom one learns from matters more than how. And "
        f"{undecided(duels)} of {len(duels) // 2} comparisons cannot be told with all of this; a single short run would "
        "have told fewer."
    )


def save(folder: Path, verdicts: Sequence[table.Row], figures: Mapping[str, Figure]) -> None:
    """Verdicts as JSON, figures as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png")
    found = [{"claim": one.claim.number, "verdict": one.verdict, "measured": str(one)} for one in verdicts]
    write_json(folder / "claims.json", found)

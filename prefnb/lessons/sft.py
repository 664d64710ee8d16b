"""What notebook 01 shows of supervised fine-tuning: lengths, curves, styles, and what its claims' win rates say."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset
from IPython.display import display
from matplotlib.figure import Figure
from torch.nn import Module

from prefnb import data, evaluate, plots, pocket, widgets
from prefnb.batches import Examples
from prefnb.course import Comparison
from prefnb.judges import GoldJudge, Judge, Scores, score_samples
from prefnb.lessons.words import listed
from prefnb.logprobs import DatasetLogprobs
from prefnb.methods.sft import Settings
from prefnb.training import History, schedule_factor

SMOLTALK = {50: (57, 225), 90: (179, 375), 95: (254, 419), 99: (1339, 576)}  # prompt, response: Hao's report, Table 1
HAO_CHARS = 75  # shorter responses are left out in Hao's report
SCHEDULES = ("linear", "cosine", "exponential", "constant")


def base_in_words(answers: Sequence, scores: Scores | None) -> str:
    """How many of the base's answers never end, and how much of what was asked for is right, if the judge can tell."""
    told = f"**Of the base's answers {1 - evaluate.finished_share(answers):.0%} never end"
    right = f", and of what was asked for {scores.parts['helpfulness'].mean():.0%} is right" if _helpful(scores) else ""
    return f"{told}{right}.** It is text of the right kind, but no reply."


def _helpful(scores: Scores | None) -> bool:
    return scores is not None and "helpfulness" in scores.parts


# ---------------------------------------------------------------- demonstrations


def show_exchanges() -> None:
    """A sentence: how many dialogs of the shipped file go on after the first exchange, and one of them."""
    with gzip.open(pocket.DATA / "sft_train.jsonl.gz", "rt", encoding="utf-8") as file:
        whole = [json.loads(line)["messages"] for line in file]
    longer = [messages for messages in whole if len(messages) > 2]
    first, then = (longer[0][i]["content"] for i in (0, 2))
    widgets.say(
        f"**{len(longer) / len(whole):.0%} of the {len(whole):,} dialogs in the file go on after the first exchange, "
        f"which alone is kept.** In one of them {widgets.escaped(first)} is kept, with its answer, and "
        f"{widgets.escaped(then)} is dropped."
    )


def lengths_of(examples: Examples) -> dict[str, list[int]]:
    """{"prompt", "response": the lengths of all examples, in tokens}"""
    return {
        "prompt": [len(ids) for ids in examples.prompt_ids],
        "response": [len(ids) for ids in examples.responses["response"]],
    }


def cuts(lengths: Mapping[str, Sequence[int]], p: Settings) -> dict[str, int]:
    """{"prompt", "response": the given percentile of the lengths, and no more than the model is given}"""
    most = {"prompt": p.max_prompt_tokens, "response": p.max_response_tokens}
    return {side: min(int(np.percentile(lengths[side], p.percentile)), most[side]) for side in lengths}


def lengths_table(lengths: Mapping[str, Sequence[int]]) -> list[list]:
    """The rows of a table: percentiles of the lengths here and in SmolTalk."""
    head = ["percentile", "prompt, here", "response, here", "prompt, SmolTalk (Hao)", "response, SmolTalk (Hao)"]
    here = {q: [f"{np.percentile(lengths[side], q):.0f}" for side in ("prompt", "response")] for q in SMOLTALK}
    return [head, *[[f"{q}th", *here[q], *SMOLTALK[q]] for q in SMOLTALK]]


def show_lengths(
    lengths: Mapping[str, Sequence[int]],
    cut: Mapping[str, int],
    examples: Examples,
    characters: Sequence[int],
    shortest: int,
) -> None:
    """Percentiles as a table, responses as a picture, and what is lost: below the shortest number of characters, beyond the
    cuts. characters: of all responses, the short ones too; lengths: in tokens, without those."""
    widgets.show_table(*lengths_table(lengths))
    widgets.say(
        f"**Half of our responses are longer than {np.median(lengths['response']):.0f} tokens, half of SmolTalk's longer "
        f"than {SMOLTALK[50][1]}**: a cut belongs to the data at hand, so here it is given as a percentile."
    )
    display(plots.plot_lengths({"response": lengths["response"]}, cut=cut["response"]))
    few, theirs = (np.mean(np.array(characters) < line) for line in (shortest, HAO_CHARS))
    ended = np.mean(np.array(lengths["response"]) > cut["response"])
    widgets.say(
        f"**{len(examples)} demonstrations remain, none with more than {cut['prompt']} prompt and {cut['response']} response "
        f"tokens; {ended:.1%} of the responses lose their end.** The line for short ones, {shortest} characters, costs "
        f"{few:.1%} of the demonstrations; the report's {HAO_CHARS} would cost {theirs:.1%}."
    )


# ---------------------------------------------------------------- training


def schedules_figure(name: str, steps: int = 300) -> Figure:
    """The rate of every schedule over a run, `name`'s drawn thick."""
    figure, axis = plots.subplots(figsize=(8, 2.6))
    for one in SCHEDULES:
        rates = [schedule_factor(step, steps, one, 0.1) for step in range(steps)]
        axis.plot(np.arange(steps) / steps, rates, label=one, linewidth=3 if one == name else 1.3)
    axis.set(xlabel="share of the training done", ylabel="share of the peak rate")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    share = at_high_rate(name)
    return plots.say_title(figure, f"{name}, this run's: above half of the peak for {share:.0%} of the steps")


def at_high_rate(name: str, steps: int = 300) -> float:
    """The share of the steps that a schedule spends above half of the peak rate."""
    return float(np.mean([schedule_factor(step, steps, name, 0.1) > 0.5 for step in range(steps)]))


def watched_prompts(p: Settings, rows: Dataset, judged: bool) -> list:
    """Prompts for training whose demonstrations are not among these rows, as many as are watched; if there are none, some
    that are, which is said."""
    learnt_from = {json.dumps(prompt) for prompt in rows["prompt"]}
    limit = p.dialogs + p.monitor_prompts
    others = list(data.Source(p.dataset).prompts("train", limit=limit, seed=p.seed)["prompt"])
    watched = [prompt for prompt in others if json.dumps(prompt) not in learnt_from][: p.monitor_prompts]
    if judged and not watched:
        print("There is a demonstration of every prompt for training, so the checks watch prompts that it learns from.")
        watched = others[: p.monitor_prompts]
    return watched


def _rates(run: History) -> dict[str, np.ndarray]:
    """{opponent: the policy's win rates against it at the checks}"""
    names = [name for name in run.names if name.startswith("win_rate_")]
    return {name.removeprefix("win_rate_"): run[name][1] for name in names}


def plot_run(run: History) -> Figure:
    """Left: training and held-out loss. Right, where there is a judge: what the answers are worth."""
    rates = _rates(run)
    figure, axes = plots.subplots(1, 2 if rates else 1, figsize=(8, 3.0), squeeze=False)
    left = axes[0, 0]
    if "loss" in run.names:
        steps, values = run["loss"]
        left.plot(steps, values, color=plots.MEANINGS["chosen"], alpha=0.25, linewidth=0.8)
        left.plot(steps, plots.smooth(values), color=plots.MEANINGS["chosen"], label="training")
    checks, held_out = run["heldout_loss"]
    left.plot(checks, held_out, "o-", color=plots.MEANINGS["rejected"], label="held out")
    left.set(xlabel="step", title="loss, nats a token")
    told = f"held-out loss from {held_out[0]:.2f} to {held_out[-1]:.2f}"
    for name, colour in (("base", plots.METHODS["base"]), ("SFT", plots.MEANINGS["policy"])):
        if name in rates:
            axes[0, 1].plot(checks, rates[name], "o-", color=colour, label=f"against {name}")
    if rates:
        axes[0, 1].axhline(0.5, color=plots.INK["line"], linestyle=":", linewidth=1)
        axes[0, 1].set(xlabel="step", ylim=(-0.02, 1.02), title="win rate of its answers")
        told += "; win rate " + ", ".join(f"{found[-1]:.2f} against {name}" for name, found in rates.items())
    for axis in axes[0]:
        axis.legend()
    return plots.say_title(figure, told)


def training_in_words(history: History, steps: int, judge: Judge | None, epochs: float) -> str:
    """What became of the held-out loss and of the win rate over the base."""
    before, after = history.evals[0], history.evals[-1]
    told = (
        f"**Over {steps} steps the held-out loss went from {before['heldout_loss']:.2f} to {after['heldout_loss']:.2f} "
        "nats a token"
    )
    if judge:
        told += (
            f", and the win rate against the base (judge: {judge.name}) from {before['win_rate_base']:.2f}** (a tie of the "
            f"base with itself) **to {after['win_rate_base']:.2f}"
        )
    return (
        told
        + ".**"
        + (" Each demonstration was seen about once, so there is little to memorise." if epochs <= 1 else "")
    )


def early_stop_in_words(steps: np.ndarray, values: np.ndarray, stop: int, keep: int, patience: int) -> str:
    """Where early stopping stops among checks at these steps, whose weights it keeps, and whether that was worth it."""
    told = (
        f"**Early stopping with patience {patience} would stop at step {steps[stop]:.0f} and keep the weights of step "
        f"{steps[keep]:.0f}**; the best of all checks is step {steps[np.argmax(values)]:.0f}, the last {steps[-1]:.0f}."
    )
    nothing = " Step 0 is the base model itself: no check before the stop was better than not training at all."
    return told + (nothing if keep == 0 and stop > 0 else "")


def small_in_words(run: History, on_pocket: bool) -> str:
    """What the run on the small subset did: to its loss, to the held-out one, and to its answers."""
    final, lowest = run.evals[-1], min(row["heldout_loss"] for row in run.evals)
    found = [
        f"training loss {run.rows[0]['loss']:.2f} → {run.last('loss'):.2f}",
        f"held-out loss {run.evals[0]['heldout_loss']:.2f} → {final['heldout_loss']:.2f}, at its lowest {lowest:.2f}",
    ]
    for name, rates in _rates(run).items():
        found.append(f"win rate against {name} {rates[0]:.2f} → {rates[-1]:.2f}, at its best {max(rates):.2f}")
    turned = final["heldout_loss"] > lowest + 0.05
    told = "**In this run:** " + "; ".join(found) + ". The held-out loss "
    told += ("**turned and rose**" if turned else "did **not** turn") + " while the training loss fell."
    if "win_rate_base" not in final:
        return told
    if final["win_rate_base"] < 0.5:
        return told + " **The answers ended worse than the base's, as in the report: the training loss did not tell.**"
    spared = ": this base cannot answer, so there was little to spoil" if on_pocket else ""
    return told + f" **The collapse of the answers that the report saw is not seen here**{spared}."


# ---------------------------------------------------------------- styles


def right_in_words(base: Scores | None, sft: Scores | None) -> str:
    """How much of what was asked for is right, before and after."""
    if not (_helpful(base) and _helpful(sft)):
        return "Read *how* SFT answers."
    before, after = (scores.parts["helpfulness"].mean() for scores in (base, sft))
    return f"**Of what was asked for SFT has {after:.0%} right, the base {before:.0%}.** Now read *how* it answers."


def flaw_shares(gold: GoldJudge, prompts: Sequence, texts: Sequence[str]) -> dict[str, float]:
    """{flaw: share of these answers that show it}; each of the n prompts has as many of them, in a row."""
    each = len(texts) // len(prompts)
    found = gold.flaws([one for one in prompts for _ in range(each)], texts)
    return {name: float(seen.mean()) for name, seen in found.items()}


def styles_figure(styles: Mapping[str, Mapping[str, float]]) -> Figure:
    """A group of bars for each flaw; styles: {whose answers: {flaw: share}}."""
    first, warm = styles["SFT, first choice"], styles["SFT at 0.7"]
    most = max(first, key=lambda flaw: first[flaw] - warm[flaw])
    figure, axis = plots.subplots(figsize=(8, 3.0))
    shades = (plots.MEANINGS["chosen"], plots.METHODS["base"], plots.CYCLE[3], plots.CYCLE[5])
    for i, ((name, shares), colour) in enumerate(zip(styles.items(), shades)):
        axis.bar(np.arange(len(shares)) + 0.2 * (i - 1.5), list(shares.values()), 0.19, color=colour, label=name)
    axis.set_xticks(range(len(first)), list(first))
    axis.set(ylabel="share of answers", ylim=(0, 1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return plots.say_title(figure, f"{most}: {first[most]:.0%} of the first choices, {warm[most]:.0%} at 0.7")


def style_in_words(styles: Mapping[str, Mapping[str, float]], greedy: float, warm: float) -> str:
    """Which flaws are commoner in the first choices; greedy, warm: the mean gold scores."""
    first, sampled = styles["SFT, first choice"], styles["SFT at 0.7"]
    more = [name for name in first if first[name] > sampled[name]]
    told = f"Mean gold score: {greedy:.2f} greedy, {warm:.2f} at 0.7. "
    if more:
        told = (
            f"**More of the first choices are {listed(more)} than of the answers at temperature 0.7.** {told}In these flaws "
            "the style of the demonstrations is what the model says first. "
        )
    return told + (
        "Demonstrations cannot say which of their habits are bad; comparisons can, and the rest of this course is about them."
    )


def show_styles(
    gold: GoldJudge | None, p: Settings, prompts: Sequence, drawn: Mapping[str, Sequence]
) -> tuple[Figure | None, dict]:
    """The flaws of held-out demonstrations and of some answers, as a figure, a table and a sentence; returns the figure and the
    shares. drawn: {whose answers: samples}. Without a judge who knows flaws nothing is shown."""
    if gold is None:
        return None, {}
    shown = data.Source(p.dataset).dialogs("test", seed=p.seed)
    styles = {"demonstrations": flaw_shares(gold, shown["prompt"], list(shown["response"]))}
    styles |= {name: flaw_shares(gold, prompts, [one.text for one in found]) for name, found in drawn.items()}
    figure = styles_figure(styles)
    display(figure)
    rows = [[name, *(f"{share:.0%}" for share in shares.values())] for name, shares in styles.items()]
    widgets.show_table(["share of answers", *styles["base"]], *rows)
    means = [score_samples(gold, prompts, drawn[name]).total.mean() for name in ("SFT, first choice", "SFT at 0.7")]
    widgets.say(style_in_words(styles, *means))
    return figure, styles


# ---------------------------------------------------------------- the length penalty


def penalty_in_words(costs: np.ndarray, each: int, every: int) -> str:
    """What became of the penalty over a run; each point is the mean of `each` samples, drawn every so many steps."""
    half = len(costs) // 2
    if half < 2:
        return "The run is too short to tell what became of the penalty."
    before, after = costs[:half].mean(), costs[half:].mean()
    return (
        f"**From the first half of the run to the second the penalty {'fell' if after < before else 'did not fall'} "
        f"({before:.2f} to {after:.2f}).** Each point is the mean of only {each} samples, drawn every {every} steps; what it "
        "did to the answers is measured on the test prompts, below."
    )


def measures(comparison: Comparison, policies: Mapping[str, Module], held_out: Examples) -> dict[str, dict[str, float]]:
    """{policy: its length, habits that a reader dislikes, similarity to a good answer, held-out perplexity}"""

    def of(name: str) -> dict[str, float]:
        parts = comparison.scores[name].parts if comparison.judge else {}  # a reward model has none
        found = {"tokens": evaluate.mean_length(comparison.answers[name])}
        found |= {flaw: float(seen.mean()) for flaw, seen in comparison.flaws(name).items()}
        if "fluency" in parts:
            found["fluency"] = float(parts["fluency"].mean())
        good = comparison.references
        found["BLEU-4"] = evaluate.bleu(comparison.texts(name), good)["bleu4"] if any(good) else float("nan")
        response = DatasetLogprobs.compute(policies[name], held_out).all().response
        return found | {"perplexity": evaluate.perplexity(response.sum, response.length)}

    return {name: of(name) for name in policies}


def show_measures(measured: Mapping[str, Mapping[str, float]]) -> None:
    """`measures` as a table, and who is nearest to what."""
    rows = [[name, *(f"{value:.2f}" for value in row.values())] for name, row in measured.items()]
    widgets.show_table(["policy", *next(iter(measured.values()))], *rows)
    bleu = {name: row["BLEU-4"] for name, row in measured.items() if not np.isnan(row["BLEU-4"])}
    told = f"Nearest to the good answers: {max(bleu, key=bleu.get)} (BLEU-4). " if bleu else ""
    least = min(measured, key=lambda name: measured[name]["perplexity"])
    widgets.say(
        f"**{told}Least surprised by held-out demonstrations: {least}.** Flaws are shares of answers. The demonstrations "
        "have flaws too, which a better policy need not find likely."
    )


def effect_in_words(
    comparison: Comparison, measured: Mapping[str, Mapping[str, float]], penalised: str, plain: str
) -> str:
    """What the length penalty did to lengths, to the win rate against as many steps without it, and to flaws."""
    shorter = comparison.lengths(penalised).mean(1) - comparison.lengths(plain).mean(1)
    told = (
        f"**With the penalty the length of an answer {evaluate.change(shorter)}** "
        f"({evaluate.mean_and_interval(shorter)} tokens)"
    )
    if comparison.judge:
        rate = comparison.win_rate(penalised, plain)
        told += (
            f", **and by its answers it {rate.beats} SFT with as many steps and no penalty** ({rate}, judge: "
            f"{comparison.judge.name})"
        )
    if comparison.gold:
        share = lambda flaw: " → ".join(f"{measured[name][flaw]:.0%}" for name in (plain, penalised))
        told += f". Without it → with it: {share('rambling')} of the answers ramble, {share('incomplete')} leave something out"
    return told + "."


def verdict(interval: tuple[float, float], claim: str) -> str:
    """What a win rate's 95% interval says about a claim that it is "above", "below" or "near" one half."""
    low, high = interval
    place = "near" if low <= 0.5 <= high else "above" if low > 0.5 else "below"
    if place == claim:
        return "no difference seen here" if claim == "near" else "holds here"
    return "cannot be told" if place == "near" else "does not hold here"


# (claim, the report's figures, the policy, its opponent, where the win rate should lie, the long run that measured the same)
CLAIMS = (
    ("SFT without a length penalty is worse than the base (Hellman)", ".438", "SFT, more steps", "base", "below", (13, 0)),
    ("SFT with a length penalty is better than the base (Hellman)", ".549", "SFT, length penalty", "base", "above", (13, 1)),
    ("The penalty helps (Hellman)", ".549 against .438", "SFT, length penalty", "SFT, more steps", "above", (13, 2)),
    ("SFT is about as good as the base (Belanger and others)", ".485", "SFT", "base", "near", (16, 0)),
    ("Many passes over a small subset end below the base (Hao)", "fig. 2", "small subset", "base", "below", None),
    ("They end below a model that saw more (Hao: the Instruct model)", "fig. 2", "small subset", "SFT", "below", None),
)  # fmt: skip


def claims_of(comparison: Comparison) -> list[list]:
    """The rows for `beside.show_verdicts`: every claim, the report's figure, this run's win rate and what it says."""
    rows = []
    for claim, paper, name, other, where, long_run in CLAIMS:
        rate = comparison.win_rate(name, other)
        rows.append([claim, paper, str(rate), verdict(rate.interval, where), long_run])
    return rows


def answer_in_words(history: History, steps: int, demonstrations: int, comparison: Comparison) -> str:
    """How a model that only continues text has learnt to answer: the answer to the notebook's title."""
    first, last = (history.evals[i]["heldout_loss"] for i in (0, -1))
    told = (
        f"**By being shown answers, and by raising their probability token by token: {steps} steps over {demonstrations} "
        f"demonstrations took the held-out loss from {first:.2f} to {last:.2f} nats a token"
    )
    if comparison.judge:
        rate = comparison.win_rates["SFT in view"]
        told += f", and by its answers the policy {rate.beats} the base ({rate}, judge: {comparison.judge.name})"
    return told + ".** What it is shown it learns whole, with the habits of who wrote it."

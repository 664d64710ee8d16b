"""What notebook 02 shows and does not teach: its tables, pictures and sentences. d(y) is a response's change of log-prob from the
reference in nats, (n,) over held-out pairs; `seen` is what `on_held_out` returns."""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import logsigmoid

from prefnb import evaluate, methods, models, parameters, plots
from prefnb.batches import Examples
from prefnb.course import Comparison
from prefnb.evaluate import WinRate
from prefnb.judges import Judge
from prefnb.lessons import words
from prefnb.logprobs import DatasetLogprobs, from_tokens
from prefnb.slow_motion import Film
from prefnb.training import History

Seen = Mapping[str, torch.Tensor]
FURTHER = "DPO, further"
AT = 20  # nats: a gap at which the push that is left is told

# ---------------------------------------------------------------- by hand


def toy_in_words(metrics: Mapping[str, torch.Tensor], loss: torch.Tensor) -> str:
    """The four pairs: two with one margin and opposite fates of the chosen response, and the one of step 0."""
    first, second = (f"{float(one):g}" for one in metrics["margin"][:2].double().numpy().round(6))
    same = f"both have the margin {first}" if first == second else f"their margins are {first} and {second}"
    return (f"**In the first pair the chosen response gained and in the second it lost; {same}.** The margin is a difference "
            f"and knows no more. The last pair, at step 0, has the margin {float(metrics['margin'][3]):g} and the loss "
            f"{float(loss[3].detach()):.3f} (ln 2 is {np.log(2):.3f}).")  # fmt: skip


def plot_loss(betas: Sequence[float]) -> Figure:
    """DPO's loss and the size of its gradient against the margin; the push that is left against the gap, a curve a beta."""
    figure, (left, right) = plots.subplots(1, 2)
    margins, gaps = torch.linspace(-5, 5, 200), torch.linspace(0, 40, 200)
    left.plot(margins, -logsigmoid(margins), color=plots.COLOURS["loss"], label="loss")
    left.plot(margins, torch.sigmoid(-margins), "--", color=plots.COLOURS["gradient"], label="size of its gradient")
    left.plot(0, np.log(2), "o", color=plots.COLOURS["ink"], label="step 0: ln 2")
    left.set(xlabel="margin $m$", title="the more wrong a pair, the harder its push")
    left.legend()
    for value, shade in zip(betas, np.linspace(0.35, 1, len(betas))):
        right.plot(
            gaps, value * torch.sigmoid(-value * gaps), color=plots.COLOURS["dpo"], alpha=shade, label=f"$\\beta$ = {value:g}"
        )
    weakest = min(betas, key=push_left)
    right.axvline(AT, color=plots.COLOURS["line"], linestyle=":", linewidth=1)
    right.set(xlabel="gap $d(y_w) - d(y_l)$ (nats)", ylabel="push, $\\beta\\,\\sigma(-m)$",
              title=f"at {AT} nats $\\beta$ = {weakest:g} pushes least")  # fmt: skip
    right.legend()
    return figure


def push_left(beta: float, gap: float = AT) -> float:
    """The size of the loss's gradient by S(yw) at a gap of so many nats."""
    return float(beta / (1 + np.exp(beta * gap)))


def push_in_words(betas: Sequence[float]) -> str:
    """Which beta has let go at a gap of `AT` nats, with the push of each."""
    left = {value: push_left(value) for value in betas}
    weakest, highest = min(left, key=left.get), max(betas)
    follows = (
        "The highest beta lets go first" if weakest == highest else "So near the start the highest has not let go yet"
    )
    return (f"**At a gap of {AT} nats the push is weakest at beta {weakest:g}** ("
            + ", ".join(f"beta {value:g}: {push:.4f}" for value, push in left.items()) + f"). {follows}.")  # fmt: skip


# ---------------------------------------------------------------- data, step 0, training


def lengths(examples: Examples) -> dict[str, list[int]]:
    """{part of a pair: tokens of each}"""
    sides = {side: [len(ids) for ids in rows] for side, rows in examples.responses.items()}
    return {"prompt": [len(ids) for ids in examples.prompt_ids], **sides}


def pairs_in_words(examples: Examples, held_out: Examples) -> str:
    """How many pairs there are and how long their responses."""
    warning = "" if len(examples) >= 128 else " So few show that everything runs, and little else."
    found = {name: np.median(some) for name, some in lengths(examples).items()}
    return (f"**{len(examples)} pairs to train on, {len(held_out)} held out; the median chosen response has "
            f"{found['chosen']:.0f} tokens, the rejected one {found['rejected']:.0f}.**{warning} Whatever differs between the "
            "two, length included, is something DPO can learn.")  # fmt: skip


def on_held_out(policy: torch.nn.Module, pairs: Examples, reference, objective: Callable) -> dict[str, torch.Tensor]:
    """The objective's loss and metrics on every pair, and both d(y), (n,) each. reference: the pairs' log-probs under it."""
    now = DatasetLogprobs.compute(policy, pairs).all()
    with torch.no_grad():
        loss, metrics = objective(now, reference)
    d = {f"d_{side}": getattr(now, side).sum - getattr(reference, side).sum for side in ("chosen", "rejected")}
    return {"loss": loss, **metrics, **d}


def step_0_in_words(seen: Seen) -> str:
    """The loss and the largest margin before any training. AssertionError if a response has moved all the same."""
    assert max(seen[d].abs().max() for d in ("d_chosen", "d_rejected")) < 1e-2, "The policy is not the reference."
    return (f"**Step 0: the loss is {seen['loss'].mean():.6f} (ln 2 = {np.log(2):.6f}), and the largest margin "
            f"{seen['margin'].abs().max():.1e}.**")  # fmt: skip


def trained_in_words(history: History, size: int) -> str:
    """Where the training curves end. size: pairs in a batch."""
    ended = {name: history.last(name) for name in ("loss", "margin", "accuracy")}
    return (f"**After {len(history.rows)} steps of {size} pairs the loss has gone from {np.log(2):.2f} to {ended['loss']:.2f}, "
            f"the margin from 0 to {ended['margin']:.2f}, and {ended['accuracy']:.0%} of the pairs are the right way round** "
            "(means of the last ten steps, on pairs that the policy is trained on).")  # fmt: skip


def one_dpo(policy: torch.nn.Module, history: History, p: parameters.Settings, loss: Callable) -> torch.nn.Module:
    """The policy that goes on from here: at the defaults and with the printed loss the ready-made one, so that DPO is one
    policy in all notebooks. Prints in what the two agree."""
    defaults = vars(parameters.check({}, methods.dpo.Settings))
    if any(getattr(p, name) != value for name, value in defaults.items() if name != "output_dir"):
        return policy
    ready = methods.dpo.recipe()
    ours, theirs = (models.fingerprint(one, coarse=True) for one in (policy, ready.model))
    agree = {"all weights, rounded to half precision": ours == theirs,
             "all rows of the history": history.rows == ready.history.rows}  # fmt: skip
    for what, same in agree.items():
        print(f"This run and the ready-made DPO, {what}: {'equal' if same else 'not equal'}.")
    if all(agree.values()):
        return policy
    printed = is_printed(loss)
    print("That comes of " + ("a machine that rounds differently. So that DPO is one policy in all notebooks, the "
                              "ready-made one goes on from here." if printed else "another loss: yours goes on from here."))  # fmt: skip
    return ready.model if printed else policy


def is_printed(loss: Callable) -> bool:
    """Does a loss give the library's numbers on four pairs?"""
    policy = from_tokens(chosen=[[-10.0], [-13.0], [-15.0], [-12.0]], rejected=[[-15.0], [-18.0], [-13.0], [-12.0]])
    reference = from_tokens(chosen=[[-12.0]] * 4, rejected=[[-12.0]] * 4)
    return torch.equal(loss(policy, reference, beta=0.1)[0], methods.dpo.dpo(policy, reference, beta=0.1)[0])


def moved_in_words(seen: Seen) -> str:
    """What became of both responses of the held-out pairs, of margin and accuracy."""
    return (f"**On {len(seen['loss'])} held-out pairs the chosen response {evaluate.change(seen['d_chosen'])}, and the rejected "
            f"one {evaluate.change(seen['d_rejected'])}**: $d(y_w)$ = {evaluate.mean_and_interval(seen['d_chosen'])} nats and "
            f"$d(y_l)$ = {evaluate.mean_and_interval(seen['d_rejected'])}. The margin went from 0 to "
            f"{evaluate.mean_and_interval(seen['margin'])} and accuracy to {seen['accuracy'].mean():.2f}. What a response loses "
            "goes to other responses to the same prompt, of this pair or of none: the loss says nothing about which.")  # fmt: skip


# ---------------------------------------------------------------- beta


def beta_table(seen: Mapping[float, Seen], kls: Mapping[float, dict]) -> list[list]:
    """A row a beta: held-out accuracy, margin and gap, and the sampled KL."""
    rows = [["beta", "held-out accuracy", "held-out margin", "gap d(chosen) - d(rejected)", "sampled KL, k3 (nats)",
             "95% interval"]]  # fmt: skip
    for beta, one in seen.items():
        gap = float((one["d_chosen"] - one["d_rejected"]).mean())
        rows.append([f"{beta:g}", float(one["accuracy"].mean()), float(one["margin"].mean()), gap, kls[beta]["k3"],
                     words.interval(kls[beta]["interval"])])  # fmt: skip
    return rows


def order_of_kls(kls: Mapping[float, dict]) -> str:
    """Do the KLs fall as beta rises, and is the difference between the ends more than chance? kls: lowest beta first."""
    betas = list(kls)
    low, high = kls[betas[0]], kls[betas[-1]]
    falling = all(kls[a]["k3"] >= kls[b]["k3"] for a, b in zip(betas, betas[1:]))
    apart = low["interval"][0] > high["interval"][1]
    return (f"From beta {betas[0]:g} to {betas[-1]:g} the sampled KL goes from {low['k3']:.2f} to {high['k3']:.2f} nats"
            + (", falling at every step" if falling else ", not falling at every step")
            + ("; the intervals of the two ends lie apart." if apart else "; the intervals of the two ends overlap."))  # fmt: skip


def without_judge(seen: Mapping[float, Seen]) -> list[list]:
    """What can be told of each beta where nobody judges answers."""
    rows = [[f"beta {beta:g}", float(one["accuracy"].mean()), evaluate.mean_and_interval(one["margin"])]
            for beta, one in seen.items()]  # fmt: skip
    return [["policy", "held-out accuracy", "held-out margin"], *rows]


# ---------------------------------------------------------------- closer looks


def film_in_words(film: Film) -> str:
    """Both responses from the first moment of a film to its last, and how unevenly their tokens moved."""
    moved = {side: film.logps[-1][side] - film.logps[0][side] for side in film.tokens}
    some = np.abs(np.concatenate(list(moved.values())))
    most = max(moved, key=lambda side: np.abs(moved[side]).max())
    token = film.tokens[most][int(np.abs(moved[most]).argmax())].strip() or "a blank"
    told = " and ".join(f"the {side} response moved by {change.sum():+.1f} nats" for side, change in moved.items())
    return (f"**In {len(film.losses) - 1} steps {told}. The tokens do not share it evenly: the median one moved by "
            f"{np.median(some):.2f} nats, and the one that moved most, of the {most} response, by {some.max():.1f}** "
            f"(`{token.replace('`', '')}`).")  # fmt: skip


def rewards_in_words(seen: Seen, annotated: bool) -> str:
    """How far the two heaps of implicit rewards lie apart. annotated: by a pocket annotator, who errs."""
    note = " (The annotator errs now and then, so 100% would not be right either.)" if annotated else ""
    return (f"**In {seen['accuracy'].mean():.0%} of the held-out pairs the chosen response ends above the rejected one.** The "
            f"means are {evaluate.mean_and_interval(seen['reward_chosen'])} and "
            f"{evaluate.mean_and_interval(seen['reward_rejected'])}.{note}")  # fmt: skip


# ---------------------------------------------------------------- the run that goes further


def quality_of(runs: Mapping[str, Seen], comparison: Comparison) -> dict[str, np.ndarray]:
    """{policy: the judge's score of its answers by prompt, or, without a judge, which held-out pairs it has right}"""
    if comparison.judge:
        return {label: comparison.scores[label].total.mean(1) for label in runs}
    return {label: seen["accuracy"].numpy() for label, seen in runs.items()}


def plot_overdone(main: str, runs: Mapping[str, Seen], histories: Mapping[str, History], quality: Mapping[str, np.ndarray],
                  what: str) -> Figure:  # fmt: skip
    """Left the loss on training pairs as curves and on held-out ones as dots; right the quality with its interval. runs: of
    SFT, the main run and the further one; histories: of the latter two; what: is the quality."""
    figure, (left, right) = plots.subplots(1, 2, figsize=(8, 2.8), width_ratios=(3, 2))
    shades = {"SFT": plots.COLOURS["sft"], main: plots.COLOURS["dpo"], FURTHER: plots.mixed(plots.COLOURS["dpo"], plots.COLOURS["ink"], 0.6)}
    for label, history in histories.items():
        steps, values = history["loss"]
        left.plot(steps, plots.smooth(values), color=shades[label], label=f"{label}: training pairs")
        ends = [runs[one]["loss"].mean() for one in ("SFT", label)]
        left.plot([0, steps[-1]], ends, "o", color=shades[label], label="held-out pairs")
    trained, held = histories[FURTHER].last("loss"), runs[FURTHER]["loss"].mean()
    left.set(xlabel="step", ylabel="loss", title=f"further: a loss of {trained:.2f} on its pairs, {held:.2f} on others")
    left.legend()
    for position, (label, found) in enumerate(quality.items()):
        right.vlines(position, *evaluate.bootstrap_interval(found), color=shades[label], linewidth=2)
        right.plot(position, found.mean(), "o", color=shades[label])
    right.set(xlim=(-0.5, len(quality) - 0.5))
    right.set_title(f"{what}: {quality[main].mean():.2f}, further {quality[FURTHER].mean():.2f}", fontsize=9)
    right.set_xticks(range(len(quality)), [label.replace(", ", ",\n") for label in quality])
    return figure


def overdone_in_words(main: str, runs: Mapping[str, Seen], histories: Mapping[str, History], quality: Mapping[str, np.ndarray],
                      what: str) -> str:  # fmt: skip
    """Both runs' losses on training and held-out pairs, and whether going further has paid. Arguments: `plot_overdone`'s."""
    ends = {label: history.last("loss") for label, history in histories.items()}
    held = {label: f"{seen['loss'].mean():.3f}" for label, seen in runs.items()}
    told = (f"The further run takes {len(histories[FURTHER].rows)} steps, the main one {len(histories[main].rows)}. Over its "
            f"last steps the training loss is {ends[FURTHER]:.3f} (main run: {ends[main]:.3f}). On held-out pairs the loss is "
            f"{held[FURTHER]} afterwards (main run: {held[main]}; before any training: {held['SFT']}).")  # fmt: skip
    lead = quality[FURTHER] - quality[main]
    word = words.by_sign(evaluate.bootstrap_interval(lead), "going further has paid", "it went too far",
                         "the difference cannot be told from chance")  # fmt: skip
    each = ", ".join(f"{found.mean():.2f} for {label}" for label, found in quality.items())
    return (f"{told} The {what} is {each}. **The further run's lead over the main one is "
            f"{evaluate.mean_and_interval(lead)}: {word}.**")  # fmt: skip


# ---------------------------------------------------------------- the remedies of paper 002


def variant_table(seen: Mapping[str, Seen], kls: Mapping[str, dict], penalties: Mapping[str, float]) -> list[list]:
    """A row a variant: which pairs are right, both d(y), its extra term where it has one, and the sampled KL."""
    rows = [
        ["variant", "accuracy", "d(chosen)", "d(rejected)", "penalty, last steps", "sampled KL, k3", "95% interval"]
    ]
    for label, one in seen.items():
        right = float((one["d_chosen"] > one["d_rejected"]).float().mean())
        d = [evaluate.mean_and_interval(one[f"d_{side}"]) for side in ("chosen", "rejected")]
        rows.append(
            [label, right, *d, penalties.get(label, ""), kls[label]["k3"], words.interval(kls[label]["interval"])]
        )
    return rows


def plot_shifts(seen: Mapping[str, Seen]) -> Figure:
    """A row a variant: where chosen and rejected responses ended, right or left of the reference."""
    figure, axis = plots.subplots(figsize=(8, 2.5))
    for position, (label, one) in enumerate(reversed(seen.items())):
        shifts = {side: one[f"d_{side}"].numpy() for side in ("chosen", "rejected")}
        axis.plot([d.mean() for d in shifts.values()], [position] * 2, color=plots.COLOURS["pale"], zorder=0)
        for side, d in shifts.items():
            axis.hlines(position, *evaluate.bootstrap_interval(d), color=plots.MEANINGS[side], linewidth=2)
            axis.plot(d.mean(), position, "o", color=plots.MEANINGS[side], label=side if position == 0 else None)
    axis.axvline(0, color=plots.COLOURS["ink"], linewidth=1)
    axis.set_yticks(range(len(seen)), list(reversed(seen)))
    axis.set_xlabel("change of log-prob from the reference, $d(y)$ (nats, mean and 95% interval)")
    told = ", ".join(f"{label} {float(seen[label]['d_chosen'].mean()):+.1f}" for label in ("DPO", "DPO-Positive"))
    axis.set_title(f"the chosen response: {told} nats")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def variants_in_words(seen: Mapping[str, Seen], printed_value: float) -> str:
    """Where the chosen responses ended under each variant, and what the printed "KL" ended at."""
    place = {label: words.place(one["d_chosen"]) for label, one in seen.items()}
    spread = {label: evaluate.mean_and_interval(one["d_chosen"] - one["d_rejected"]) for label, one in seen.items()}
    sign = "below 0, where no KL can be" if printed_value < 0 else "which happens to be no less than 0"
    printed = seen['"KL" as printed']
    return (f"**Under plain DPO the chosen responses ended {place['DPO']}, under DPO-Positive {place['DPO-Positive']}.** The "
            f"printed \"KL\" ended at {printed_value:+.3f}, {sign}; under it the rejected response "
            f"{evaluate.change(printed['d_rejected'])}. The gap that is left between chosen and rejected: "
            f"{'; '.join(f'{label} {found} nats' for label, found in spread.items())}.")  # fmt: skip


# ---------------------------------------------------------------- what follows


def claims(rate: WinRate | None, variants: Mapping[str, Seen], kls: Mapping[float, dict]) -> list[list]:
    """The rows of `beside.show_verdicts`. rate: DPO's over SFT, if there is a judge; kls: lowest beta first."""
    rows = []
    if rate:
        rows.append(
            ["004: DPO beats SFT", ".759 against SFT", str(rate), evaluate.verdict(rate.interval), ("dpo", "sft")]
        )
        rows.append(["001, 003: DPO beats what they compare with", ".605 against the base model, .593 against Instruct",
                     f"{rate} against SFT", "another opponent"])  # fmt: skip
    d = variants["DPO"]["d_chosen"]
    rows.append(["002: DPO can lose on the chosen response too", "no figure", f"d(chosen) {evaluate.mean_and_interval(d)}",
                 evaluate.verdict(evaluate.bootstrap_interval(-d.numpy()), 0)])  # fmt: skip
    gain = variants["DPO-Positive"]["d_chosen"] - d
    rows.append(["002: DPO-Positive holds the chosen one up", "no figure", f"{evaluate.mean_and_interval(gain)} nats over DPO",
                 evaluate.verdict(evaluate.bootstrap_interval(gain), 0)])  # fmt: skip
    low, high = (kls[beta]["interval"] for beta in (min(kls), max(kls)))
    between = low[0] - high[1], low[1] - high[0]  # wide on purpose: the ends of both intervals
    rows.append(
        ["Rafailov et al.: a higher beta stays closer", "theory", order_of_kls(kls), evaluate.verdict(between, 0)]
    )
    return rows


def answer(seen: Seen, rate: WinRate | None, judge: Judge | None) -> str:
    """The answer to the notebook's question, by this run's held-out pairs and its win rate."""
    gap = seen["d_chosen"] - seen["d_rejected"]
    learnt = words.by_sign(evaluate.bootstrap_interval(gap), "the chosen response gained on the rejected one",
                           "the chosen response lost ground", "it cannot be told whether the chosen response gained")  # fmt: skip
    enough = f" By its answers DPO {words.against(rate)} ({rate}, judge: {judge.name})." if judge and rate else ""
    return ("**By asking, pair by pair, that the chosen response gain on the rejected one, both measured from the reference.** "
            f"On {len(gap)} pairs that it has not seen, {learnt} ({evaluate.mean_and_interval(gap)} nats); by itself the chosen "
            f"one {evaluate.change(seen['d_chosen'])} and the rejected one {evaluate.change(seen['d_rejected'])}. The policy now "
            f"has {seen['accuracy'].mean():.0%} of these pairs the right way round.{enough} One seed of training, `-p seed 1` is "
            "another; where the long runs above say otherwise, they have the greater weight.")  # fmt: skip

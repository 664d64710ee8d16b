"""What 09 shows: the noise of a gradient estimated from samples, and what came of training on a reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from transformers import PreTrainedTokenizerBase

from prefnb import evaluate, plots, widgets
from prefnb.batches import from_samples, prompt_ids
from prefnb.course import Comparison
from prefnb.evaluate import Collapse
from prefnb.lessons import words
from prefnb.logprobs import Scorer
from prefnb.methods import rloo
from prefnb.sampling import Sample
from prefnb.training import History

Advantages = Callable[[torch.Tensor], torch.Tensor]  # rewards (prompts, K) to the same shape
SHADES = {"plain": plots.COLOURS["line"], "batch mean": plots.CYCLE[1], "leave-one-out": plots.COLOURS["rloo"]}

# ---------------------------------------------------------------- by hand


def show_four(rewards: torch.Tensor, advantages: torch.Tensor) -> None:
    """Four rewards of one prompt, (1, 4), with two baselines, and how the two advantages are related."""
    of_all = rewards - rewards.mean(1, keepdim=True)
    widgets.show_table(["", *(f"R = {r:g}" for r in rewards[0])],
                       ["mean of the others", *map(float, (rewards - advantages)[0])],
                       ["advantage, leave-one-out", *map(float, advantages[0])],
                       ["with the mean of all", *map(float, of_all[0])])  # fmt: skip
    ratio = float(of_all.norm() / advantages.norm())
    level = torch.allclose(of_all, ratio * advantages, atol=1e-4)
    widgets.say(f"**With the mean of all, every advantage is {ratio:.2f} times the leave-one-out one: the same direction, "
                "a shorter step.**" if level else
                "**The two baselines point in different directions: this is not leave-one-out.**")  # fmt: skip


def ten_samples(
    estimators: Mapping[str, Advantages], rewards: torch.Tensor, pi: torch.Tensor, grad_log: torch.Tensor, seed: int
) -> tuple[Figure, str]:
    """The gradient of the two words, estimated from ten samples, many times: a picture, and how near the truth they are."""
    exact = float((pi * rewards * grad_log).sum())
    chance = torch.Generator().manual_seed(seed)
    tens = torch.multinomial(pi, 10 * 20_000, replacement=True, generator=chance).view(-1, 10)
    found = {name: (how(rewards[tens]) * grad_log[tens]).mean(1) for name, how in estimators.items()}
    plain, ours = found.values()
    figure, axis = plots.subplots(figsize=(7, 2.6))
    for name, values in found.items():
        places, counts = np.unique(values.numpy().round(3), return_counts=True)
        axis.bar(places, counts / counts.sum(), 0.07, color=SHADES[name],
                 label=f"{name}: mean {values.mean():.2f}, variance {values.var():.2f}")  # fmt: skip
    axis.axvline(exact, color=plots.COLOURS["ink"], linewidth=1)
    axis.set(xlabel="gradient estimated from ten samples (line: exact)", ylabel="share of estimates",
             title=f"the baseline: {plain.var() / ours.var():.1f} times less variance")  # fmt: skip
    axis.legend(loc="upper left")
    near = [f"{float((values - exact).abs().lt(0.4).float().mean()):.0%}" for values in (ours, plain)]
    word = "closer to" if ours.var() < plain.var() else "no closer to"
    return figure, (f"**The leave-one-out estimates lie {word} the truth**: {near[0]} of them within 0.4 of it, against "
                    f"{near[1]} of the plain ones. The plain variance is {plain.var() / ours.var():.1f} times "
                    "theirs.")  # fmt: skip


# ---------------------------------------------------------------- the noise of a real gradient


def say_spreads(rewards: np.ndarray) -> None:
    """Where the rewards (prompts, answers) lie: on average, within a prompt, and the prompts' means."""
    prompts, k = rewards.shape
    widgets.say(f"{prompts} prompts were answered {k} times each. Rewards average **{rewards.mean():.2f}**; within a prompt "
                f"they lie **{rewards.std(1, ddof=1).mean():.2f}** around their mean, and the prompts' means "
                f"**{rewards.mean(1).std():.2f}** around theirs.")  # fmt: skip


def inner_products(
    policy: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, asked: Sequence, drawn: Sequence[Sample]
) -> np.ndarray:
    """<grad S(y_i), grad S(y_j)> of all samples, (n, n), over all weights; of a large model only over its vectors."""
    small = sum(weight.numel() for weight in policy.parameters()) < 5e6
    weights = [weight for weight in policy.parameters() if small or weight.ndim == 1]
    scorer, k, gradients = Scorer(policy.eval()), len(drawn) // len(asked), []
    for i, one in enumerate(drawn):
        batch = from_samples([prompt_ids(tokenizer, asked[i // k])], [one.ids]).to(policy.device)
        parts = torch.autograd.grad(scorer(batch).sample.sum.sum(), weights)
        gradients.append(torch.cat([part.flatten() for part in parts]).half())  # half the memory is precise enough
    columns = torch.stack(gradients).split(50_000, dim=1)
    return sum(part.float() @ part.float().T for part in columns).double().cpu().numpy()


def noise(
    products: np.ndarray, rewards: np.ndarray, advantages: Advantages, k: int, repeats: int = 200, seed: int = 0
) -> np.ndarray:
    """(variance, cosine) of gradients from k samples a prompt; rewards: (prompts, all samples)."""
    prompts, total = rewards.shape
    random, found = np.random.default_rng(seed), []
    for _ in range(repeats):
        order = np.stack([random.permutation(total) for _ in range(prompts)])
        weights = np.zeros((3, prompts, total))  # of the two estimates, and of what the first has not seen
        parts = (advantages, order[:, :k]), (advantages, order[:, k : 2 * k]), (rloo.leave_one_out, order[:, k:])
        for row, (how, part) in zip(weights, parts):
            chosen = how(torch.tensor(np.take_along_axis(rewards, part, 1))).numpy()
            np.put_along_axis(row, part, chosen / chosen.size, 1)
        one, two, unseen = weights.reshape(3, -1)
        inner = lambda a, b: a @ products @ b
        found.append([inner(one - two, one - two) / 2,
                      inner(one, unseen) / max(np.sqrt(inner(one, one) * inner(unseen, unseen)), 1e-30)])  # fmt: skip
    return np.mean(found, 0)


def variance_figure(ks: Sequence[int], measured: Mapping[str, np.ndarray]) -> Figure:
    """{estimator: (variance, cosine) for each K, (len(ks), 2)} as two panels."""
    figure, axes = plots.subplots(1, 2, figsize=(8, 3))
    for name, values in measured.items():
        axes[0].loglog(ks, values[:, 0], "o-", color=SHADES[name], label=name)
        axes[1].semilogx(ks, values[:, 1], "o-", color=SHADES[name])
    for axis in axes:
        axis.set_xticks(ks, [str(k) for k in ks])
        axis.minorticks_off()
        axis.set_xlabel("K, samples of each prompt")
    axes[0].set(ylabel="variance (log scale)",
                title=f"plain: {ratios(measured, 'plain')[-1]:.1f} times the variance at K = {ks[-1]}")  # fmt: skip
    highest = max(values[:, 1].max() for values in measured.values())
    axes[1].set(ylabel="cosine with unseen samples", title=f"the cosine is {highest:.2f} at most")
    axes[0].legend()
    return figure


def ratios(measured: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """An estimator's variance over the leave-one-out one's, for each K."""
    return measured[name][:, 0] / measured["leave-one-out"][:, 0]


def show_variance(ks: Sequence[int], measured: Mapping[str, np.ndarray], weights: int) -> None:
    """The variances as a table, and what they and the cosines say. weights: how many the policy has."""
    widgets.show_table(["variance", *(f"K = {k}" for k in ks)],
                       *[[name, *map(float, values[:, 0])] for name, values in measured.items()])  # fmt: skip
    widgets.say(how_noisy(ks, ratios(measured, "plain")))
    widgets.say("**The batch's mean as a baseline has "
                + words.listed(f"{ratio:.2f} times the leave-one-out variance at K = {k}"
                               for ratio, k in zip(ratios(measured, "batch mean"), ks)) + ".**")  # fmt: skip
    pointing = ", ".join(f"{values[-1, 1]:.3f} ({name})" for name, values in measured.items())
    mostly = max(values[-1, 1] for values in measured.values()) < 0.5
    widgets.say(f"**{'Every one of these gradients is mostly noise' if mostly else 'These gradients are not all noise'}**: "
                f"the cosine with that of the other samples, at K = {ks[-1]}, is {pointing}, where 1 is the same direction "
                f"and 0 a right angle. Two random directions among so many weights would have {weights**-0.5:.3f} or so "
                "either way. A step goes a little in the right direction, and many steps add up.")  # fmt: skip


def how_noisy(ks: Sequence[int], ratio: Sequence[float]) -> str:
    """The plain estimate's variance over the leave-one-out one's, for each K, in words."""
    last = ratio[-1]
    said = "as noisy as" if 0.95 < last < 1.05 else f"**{max(last, 1 / last):.1f} times** " + (
        "noisier than" if last > 1 else "less noisy than")  # fmt: skip
    return (f"With K = {ks[-1]} the plain estimate is {said} the leave-one-out one, on the same samples "
            f"({', '.join(f'{r:.1f} at K = {k}' for r, k in zip(ratio, ks))}). Variance falls as the number of samples "
            "grows: that ratio is how many times as many the noisier one would need.")  # fmt: skip


# ---------------------------------------------------------------- training


def show_live(histories: Mapping[str, History], names: Sequence[str]) -> None:
    """A few live steps without a baseline and with it, {label: history}: means, and how long the gradients are."""
    steps = len(next(iter(histories.values())).rows)
    known = [name for name in names if all(name in history.names for history in histories.values())]
    rows = words.live_means(histories, known)
    widgets.show_table([f"mean over {steps} steps", *histories],
                       *[[name.replace("_", " "), *values] for name, *values in zip(known, *(row[1:] for row in rows))])  # fmt: skip
    norms = [history["grad_norm"][1].mean() for history in histories.values()]
    widgets.say(f"**Without a baseline the gradient is {norms[0] / norms[1]:.1f} times as long; which of the two learns "
                f"more, {steps} steps cannot tell.**")  # fmt: skip


def reward_in_words(history: History, what: str = "The reward", also: Sequence[str] = ()) -> str:
    """How the reward of a training went from the first quarter of its steps to the last, and other curves with it."""
    moves = [f"{name.replace('_', ' ')} {words.first_to_last(history, name)}" for name in also if name in history.names]
    return (f"**{what} over {len(history.rows)} steps: {words.first_to_last(history, 'reward')}** (first quarter of the "
            f"steps to last){'; ' if moves else ''}{', '.join(moves)}.")  # fmt: skip


# ---------------------------------------------------------------- who wins


def show_winners(
    comparison: Comparison, believed: Mapping[str, np.ndarray], checks: Mapping[str, Collapse], reward: str
) -> None:
    """Every policy's win rate, scores by the judge and by the proxy (`believed`), length and collapse; who beats SFT, and
    which flaws changed. reward: whose scores RLOO learnt from."""
    rates, judge = comparison.win_rates, comparison.judge
    rows = [["policy", "win rate against SFT", f"{judge.name} score" if judge else "no judge",
             "proxy score, first answers", "tokens", "collapsed?"]]  # fmt: skip
    for label, answers in comparison.answers.items():
        rows.append([label, rates.get(label, "-"), float(comparison.scores[label].total.mean()) if judge else "-",
                     float(believed[label].mean()), f"{evaluate.mean_length(answers):.1f}",
                     "; ".join(checks[label].reasons) or "no" if label in checks else "-"])  # fmt: skip
    widgets.show_table(*rows)
    if judge:
        widgets.say(f"{words.each_rate(rates)}. The judge is {judge.name}; RLOO learnt from the {reward} reward.")


def show_flaws(comparison: Comparison, labels: Sequence[str]) -> None:
    """How many answers of each policy have which flaw, and which changed most with each of `labels`; of other data nothing."""
    flaws = {
        label: {name: 100 * hits.mean() for name, hits in comparison.flaws(label).items()}
        for label in comparison.answers
    }
    if not flaws["SFT"]:
        return
    widgets.show_table(["share of answers with the flaw", *flaws],
                       *[[name, *(f"{found[name]:.0f}%" for found in flaws.values())] for name in flaws["SFT"]])  # fmt: skip
    moved = {label: {name: flaws[label][name] - before for name, before in flaws["SFT"].items()} for label in labels}
    most = {label: max(moved[label], key=lambda name: abs(moved[label][name])) for label in labels}
    widgets.say("**Against SFT the flaw that changes most is " + words.listed(
        f"*{name}* with {label} ({moved[label][name]:+.0f} points)" for label, name in most.items()) + ".**")  # fmt: skip


def show_tasks(comparison: Comparison) -> None:
    """RLOO beside SFT and DPO by part of the gold score and by category, as far as there are such."""
    if comparison.gold:
        known = {label: comparison.scores_by(comparison.gold, label) for label in ("SFT", "DPO", "RLOO")}
        widgets.display(plots.plot_parts(known))
        moved = [f"{name} {evaluate.mean_and_interval(known['RLOO'].parts[name] - part)}"
                 for name, part in known["SFT"].parts.items()]  # fmt: skip
        widgets.say(f"**RLOO against SFT, part by part: {', '.join(moved)}.**")
    else:
        print("No gold judge knows the right answers here, so there are no parts to show.")
    found = {label: comparison.by_category(label) for label in ("DPO", "RLOO")}
    if found["RLOO"] and all(comparison.categories):
        widgets.display(plots.plot_categories(found, against="SFT"))
        rates = found["RLOO"]
        best, least = (f"{widgets.escaped(name.replace('_', ' '))} ({rates[name]})" for name in
                       (max(rates, key=lambda name: rates[name].rate), min(rates, key=lambda name: rates[name].rate)))  # fmt: skip
        widgets.say(
            f"**Against SFT it does best in {best} and worst in {least}, by the {comparison.judge.name} score.**"
        )


# ---------------------------------------------------------------- the proxy's pupil


def proxy_figure(
    believed: Mapping[str, np.ndarray], true: Mapping[str, np.ndarray], kls: Mapping[str, dict], pupil: str, name: str
) -> Figure:
    """What the proxy believes of each policy, and how far that has gone from SFT, against its score by the judge `name`."""
    figure, axes = plots.subplots(1, 2, figsize=(8, 3), sharey=True)
    for label, colour in plots.colours(true).items():
        for axis, x in zip(axes, (believed[label].mean(), max(0.0, kls[label]["k3"]) ** 0.5)):
            axis.vlines(x, *evaluate.bootstrap_interval(true[label]), color=colour, linewidth=2)
            axis.plot(x, true[label].mean(), "o", color=colour, label=label)
    gains = [scores[pupil].mean() - scores["SFT"].mean() for scores in (believed, true)]
    axes[0].set(xlabel="proxy score of the test answers", ylabel=f"{name} score of the same",
                title=f"the pupil: proxy {gains[0]:+.2f}, {name} {gains[1]:+.2f}")  # fmt: skip
    axes[1].set(xlabel=r"$\sqrt{KL}$ from SFT ($\sqrt{nats}$)",
                title=f"it went {kls[pupil]['k3']:.0f} nats, RLOO {kls['RLOO']['k3']:.0f}")  # fmt: skip
    axes[1].legend()
    return figure


def gained(label: str, kl: dict, believed: np.ndarray, true: np.ndarray | None, name: str, check: Collapse) -> str:
    """How far a policy went, and what became of the proxy's and the judge's score of its answers; `believed` and `true` are
    differences to SFT's, (n,) or (n, K)."""
    direction = lambda values: words.lead(values, "rose", "fell", "did not move by more than chance")
    text = (
        f"**{label}** (KL from SFT: {kl['k3']:.1f} nats). Against SFT's answers the proxy's score {direction(believed)}"
    )
    return f"{text}{'' if true is None else f'; the {name} score {direction(true)}'}. {check}"


def over_optimised(differences: np.ndarray | None, name: str) -> str:
    """What the pupil's true score against SFT's, (n,) or (n, K), says of following the proxy; None: nobody else judges."""
    if differences is None:
        return ("Nobody but the proxy judges here, and it is what the pupil learnt from: whether the truth went with it, "
                "this run cannot tell.")  # fmt: skip
    return words.by_sign(
        evaluate.bootstrap_interval(differences),
        f"**What the proxy likes is, on the whole, what the {name} judge likes: following it over this distance paid.**",
        f"**The pupil has found what the proxy likes and the {name} judge does not: over-optimised.**",
        f"**Whether what the pupil gained with the proxy is a gain with the {name} judge, too, these answers cannot tell.**",
    )


# ---------------------------------------------------------------- the rest


def show_edges(equal: torch.Tensor, pair: torch.Tensor, loss: torch.Tensor, length: torch.Tensor,
               short: Sequence[Sample], caught: Sequence) -> None:  # fmt: skip
    """Advantages of equal rewards and of two samples, losses of answers of one token, and samples that were cut after one
    token with the warnings they gave."""
    widgets.show_table(["case", "what comes out"],
                       ["equal rewards 3, 3, 3, 3", f"advantages {equal.tolist()[0]}: no push"],
                       ["K = 2, rewards 3 and 7", f"advantages {pair.tolist()[0]}: the difference"],
                       ["answers of one token", f"losses {loss.tolist()}, lengths {length.tolist()}"],
                       ["answers cut after one token", f"ended: {sum(one.finished for one in short)} of {len(short)}; "
                                                       f"warnings: {len(caught)}"])  # fmt: skip
    print(*(str(one.message) for one in caught), sep="\n")
    fine = all(torch.isfinite(one).all() for one in (equal, pair, loss))
    widgets.say(
        f"**{'Every number is finite' if fine else 'Some number is not finite'}, and what cannot teach says so.**"
    )


def claims(comparison: Comparison, ratio: float, k: int) -> list[list]:
    """Rows of `beside.show_verdicts`: the noise without a baseline, `ratio` times that with it at K = `k`, and, if there is a
    judge, who wins."""
    rows = [["001 eq. in §6.3.1 has no baseline: is its gradient noisier?", "not measured",
             f"variance {ratio:.1f} times leave-one-out's at K = {k}", "so it was" if ratio > 1 else "not so"]]  # fmt: skip
    if comparison.judge:
        over_sft, of_dpo = comparison.win_rate("RLOO"), comparison.win_rate("DPO", "RLOO")
        rows += [["RLOO improves on SFT", "hoped for (§7)", over_sft, evaluate.verdict(over_sft.interval), ("rloo", "sft")],
                 ["16: DPO is best (here: DPO beats RLOO)", ".605 against the base; SFT .485, reward-weighted .520", of_dpo,
                  evaluate.verdict(of_dpo.interval), ("dpo", "rloo")]]  # fmt: skip
    return rows

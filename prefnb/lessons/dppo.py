"""What notebook 04 shows and does not teach: tables, pictures and sentences on the model's own answer, the penalties on it, and
whether they help. The vote, the weights and the loss are the notebook's, and are handed in.

Functions that begin with `show_` put on the page what they say; the others return it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure

from prefnb import data, evaluate, plots, widgets
from prefnb.batches import Examples
from prefnb.claims import beside
from prefnb.claims.arms import PENALTIES
from prefnb.course import Comparison
from prefnb.lessons import words
from prefnb.logprobs import ResponseLogprobs, from_tokens
from prefnb.parameters import Settings
from prefnb.sampling import Sample
from prefnb.training import History

NAMES = {"chosen": "chosen $y_w$", "rejected": "rejected $y_l$", "generated": "the model's own $y_{gen}$"}
CURVES = ["loss", "margin", "accuracy", "logp_chosen", "logp_rejected", "logp_generated"]
BEST_ALPHA = {"minimum_likelihood": 10.0, "unlikelihood": 0.1, "contrastive": 0.1}  # the report's section 5
PAPER = {"DPO": 0.759, "minimum_likelihood": 0.893, "unlikelihood": 0.898, "contrastive": 0.890}  # figure 3A
FORMS = {
    "linear": ("linear", 0.0),
    "quadratic": ("quadratic", 0.0),
    "square root": ("square_root", 0.0),
    "expectile, $\\zeta=0.5$": ("expectile", 0.5),
    "expectile, $\\zeta=0.1$": ("expectile", 0.1),
}
Policies = Mapping[str, SimpleNamespace]  # {label: log-probs of the responses of the same pairs}


def spelled(name: str) -> str:
    """ "minimum_likelihood" -> "minimum likelihood" """
    return name.replace("_", " ")


def claim(differences: np.ndarray) -> tuple[str, str]:
    """Of the claim that `differences` are above 0 on average: their mean with its interval, and the verdict in words."""
    return evaluate.mean_and_interval(differences), evaluate.verdict(evaluate.bootstrap_interval(differences), 0)


# ---------------------------------------------------------------- votes, weights, penalties


def show_votes(pairs: SimpleNamespace, vote: Callable, weight_of: Callable) -> None:
    """The votes and weights of toy pairs as a table, and every weight as a curve over all votes."""
    r = vote(pairs)
    weights = {label: weight_of(r, *form) + 0 for label, form in FORMS.items()}
    rows = [
        [i + 1, *(f"{of[i]:.2f}" for of in (pairs.chosen.sum, pairs.rejected.sum, r, *weights.values()))]
        for i in range(len(r))
    ]
    widgets.show_table(["pair", "$S(y_w)$", "$S(y_l)$", "$r$", *weights], *rows)
    display(plot_weights(weight_of))


def plot_weights(weight_of: Callable) -> Figure:
    """f(r) of every form over all votes; the title says which of them act on a right vote."""
    x = torch.linspace(-1, 1, 401)
    figure, axis = plots.subplots()
    for (label, form), colour in zip(FORMS.items(), plots.CYCLE):
        axis.plot(x, weight_of(x, *form), "--" if "0.1" in label else "-", color=colour, label=label)
    acting = dict.fromkeys(form[0] for form in FORMS.values() if weight_of(x[x > 0], *form).abs().max() > 0)
    axis.axhline(0, color=plots.COLOURS["line"], linewidth=0.8)
    axis.axvline(0, color=plots.COLOURS["line"], linewidth=0.8)
    title = f"after a right vote, right of zero, only this acts: {words.listed(map(spelled, acting))}"
    axis.set(xlabel="vote $r$   (left: for the rejected response)", ylabel="weight $f(r)$", title=title)
    axis.legend(loc="upper right")
    return figure


def show_by_hand(by_hand: Mapping[tuple[str, str], float], found: Mapping[tuple[str, str], tuple]) -> None:
    """{(penalty, level): what it adds to the loss, by hand} beside what the loss gave for it, and whether they agree."""
    rows, apart = [], 0.0
    for (name, level), expected in by_hand.items():
        loss, metrics = found[name, level]
        added = metrics["penalty"].item()
        label = spelled(name) + (f", {level}" if name == "unlikelihood" else "")
        rows.append([label, f"{expected:.4f}", f"{added:.4f}", f"{loss.item():.4f}"])
        apart = max(apart, abs(expected - added))
    widgets.show_table(["penalty", "added, by hand", "added, by the function", "loss"], *rows)
    widgets.say(f"**Hand and function {'agree' if apart < 1e-4 else 'differ: the loss is another one now'}.**")


def show_pushes(loss_of: Callable, beta: float) -> None:
    """What each penalty adds for one token at alpha f = 1, and its gradient, as that token becomes unlikely."""
    logp = torch.linspace(-8, -0.02, 200, requires_grad=True)
    fixed = from_tokens(chosen=[[-9.0]] * 200, rejected=[[-1.0]] * 200, generated=[[float(np.log(0.5))]] * 200)
    own = ResponseLogprobs(logp[:, None], fixed.generated.mask)
    policy = SimpleNamespace(chosen=fixed.chosen, rejected=fixed.rejected, generated=own)
    figure, (left, right) = plots.subplots(1, 2)
    pushes = {}
    for name in PENALTIES:
        loss, metrics = loss_of(policy, fixed, alpha=1.0, beta=beta, penalty=name)
        (pushes[name],) = torch.autograd.grad(loss.sum(), logp)
        left.plot(logp.detach(), metrics["penalty"].numpy(), color=plots.METHODS[name], label=spelled(name))
        right.plot(logp.detach(), pushes[name], color=plots.METHODS[name])
    at = {where: max(pushes, key=lambda name: pushes[name][i]) for where, i in (("unlikely", 0), ("certain", -1))}
    title = f"at left strongest: {spelled(at['unlikely'])}"
    low = {line.get_label(): line.get_ydata().min() for line in left.get_lines()}
    lowest = min(low, key=low.get)
    left.set(
        xlabel="$\\log \\pi_\\theta(y_{gen})$", ylabel="added to the loss", title=f"lowest: {lowest}, {low[lowest]:.0f}"
    )
    right.set(xlabel="$\\log \\pi_\\theta(y_{gen})$", ylabel="gradient (log scale)", yscale="log", title=title)
    left.legend()
    display(figure)
    lasting = {name: float(push[0]) for name, push in pushes.items()}
    widgets.say(f"**On a token that is all but certain {spelled(at['certain'])} pushes hardest "
                f"({float(pushes[at['certain']][-1]):.0f}), on one of log-prob {logp[0].item():.0f} "
                f"{spelled(at['unlikely'])}**; there the gradients are "
                + ", ".join(f"{push:.2g} ({spelled(name)})" for name, push in lasting.items()) + ".")  # fmt: skip


def show_levels(gradient: Callable, own: Sequence[torch.Tensor], beta: float) -> None:
    """Unlikelihood's gradient on a token, by token and by sequence: of responses of equally likely tokens, the longer the
    more, and of the model's own answers. gradient: f(log-probs of a response's tokens, level)."""
    levels = ("token", "sequence")
    rows = [["tokens", "$\\pi(y_{gen})$", "gradient on a token, by token", "by sequence"]]
    for n in (1, 2, 5, 10, 20, 40, 80):
        tokens = torch.full((n,), float(np.log(0.8)))
        pushes = [gradient(tokens, level)[0] for level in levels]
        rows.append([n, f"{tokens.sum().exp():.1e}", *(f"{push:.1e}" for push in pushes)])
    widgets.show_table(*rows)
    widgets.say(
        f"**On a response of {n} tokens the push by sequence is {pushes[1] / pushes[0]:.0e} of the push by token.**"
    )
    found = {level: torch.cat([gradient(tokens, level) for tokens in own]) for level in levels}
    sure = torch.stack([tokens.sum().exp() for tokens in own]).median()
    widgets.say(f"**On the model's own answers to these prompts the median push on a token is {found['token'].median():.2g} by "
                f"token and {found['sequence'].median():.2g} by sequence, beside DPO's $\\beta/2$ = {beta / 2:g} at step 0.** By "
                "sequence it is as strong as the model is sure of its whole answer: here $\\pi(y_{gen})$ has a median of "
                f"{sure:.2g}.")  # fmt: skip


def show_three_votes(start: SimpleNamespace, vote: Callable, used: str) -> None:
    """The votes on the training pairs under each normalisation, and how often the per-token vote has another sign than eq. 6."""
    figure, axes = plots.subplots(1, 3, figsize=(8, 2.4), sharey=True)
    for axis, name in zip(axes, ("tanh_mean", "tanh", "batch_max")):
        found = vote(start, name)
        for side, which in ((found < 0, "rejected"), (found >= 0, "chosen")):
            axis.hist(found[side].numpy(), np.linspace(-1, 1, 41), color=plots.MEANINGS[which])
        axis.set(title=f"{name}: {(found < 0).float().mean():.0%} wrong", xlabel="vote $r$")
    axes[0].set_ylabel("pairs")
    display(figure)
    per_token, printed = (vote(start, name) < 0 for name in ("tanh_mean", "tanh"))
    widgets.say(f"**On {(per_token != printed).float().mean():.0%} of the pairs tanh_mean votes against the sign of eq. "
                "6, and there the normalisation decides who is penalised**, not only how hard: it calls "
                f"{(per_token & ~printed).float().mean():.0%} of all pairs wrong that eq. 6 calls right, and "
                f"{(~per_token & printed).float().mean():.0%} right that eq. 6 calls wrong. What this notebook finds is "
                f"about DPPO with the vote `{used}`; `-p normalize tanh` has the signs of eq. 6.")  # fmt: skip


# ---------------------------------------------------------------- the model's own answer


class Pairs(NamedTuple):
    """The training pairs to read: their prompts, and {chosen, rejected, generated: the text of each pair's}."""

    prompts: list
    texts: dict[str, list[str]]


def pairs_of(p: Settings, examples: Examples, tokenizer) -> Pairs:
    """The texts of tokenised training pairs."""
    rows = data.Source(p.dataset).pairs("train", limit=p.pairs, seed=p.seed)
    plain = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
    texts = {which: [plain(ids) for ids in examples.responses[which]] for which in examples.names}
    return Pairs([rows[i]["prompt"] for i in examples.kept], texts)


def show_likelihoods(start: SimpleNamespace) -> None:
    """How long the three responses of the pairs are, and how likely the model finds them, before training."""
    rows = [["", "tokens (mean)", "$S(y)$ (mean, nats)", "$S(y) / \\lvert y \\rvert$ (mean, nats per token)"]]
    cost = {}
    for which, name in NAMES.items():
        response = getattr(start, which)
        rows.append([name, *(f"{value.mean():.2f}" for value in (response.length, response.sum, response.mean))])
        cost[which] = -response.mean.mean()
    widgets.show_table(*rows)
    widgets.say(f"**Over {len(start.chosen.sum)} pairs, before any training, a token of the model's own answer costs it "
                f"{cost['generated']:.2f} nats, one of the chosen answers {cost['chosen']:.2f} and one of the "
                f"rejected {cost['rejected']:.2f}.**")  # fmt: skip


def show_flaws(p: Settings, pairs: Pairs, drawn: Sequence[Sample]) -> None:
    """The gold judge's flaws of the favourite answer, of a sample, and of both answers of the pair. Of other data nobody can
    name the flaws: then nothing."""
    gold = data.Source(p.dataset).judge
    if not gold:
        return
    named = {"$y_{gen}$, greedy": pairs.texts["generated"], "a sample at 0.7": [one.text for one in drawn]}
    named |= {NAMES[which]: pairs.texts[which] for which in ("chosen", "rejected")}
    found = {}
    for name, texts in named.items():
        flaws = {flaw: float(hits.mean()) for flaw, hits in gold.flaws(pairs.prompts, texts).items()}
        found[name] = flaws | {"gold score": float(gold(pairs.prompts, texts).total.mean())}
    widgets.show_table(["", *found["a sample at 0.7"]], *[[name, *values.values()] for name, values in found.items()])
    widgets.say(deserves_it(found["$y_{gen}$, greedy"], found[NAMES["chosen"]]))


def deserves_it(own: Mapping[str, float], chosen: Mapping[str, float]) -> str:
    """Whether there is something to unlearn in the favourite answer: its flaws and score beside those of the chosen one."""
    shares = {name: (own[name], chosen[name]) for name in own if name != "gold score"}
    more = [name for name, (mine, theirs) in shares.items() if mine > theirs]
    told = ", ".join(f"{name} in {mine:.0%} (chosen: {theirs:.0%})" for name, (mine, theirs) in shares.items())
    verdict = "something" if more else "nothing"
    right = "much" if own["gold score"] > 5 else "little"  # of 10
    return (f"The favourite answer shows {told}. Its gold score is {own['gold score']:.2f} of 10, that of the chosen answers "
            f"{chosen['gold score']:.2f}: **there is {verdict} to unlearn in it ({len(more)} of the {len(shares)} flaws are "
            f"commoner in it than in the chosen answers), and {right} that is right.**")  # fmt: skip


def show_misjudged(p: Settings, pairs: Pairs, start: SimpleNamespace, votes: torch.Tensor) -> None:
    """Three pairs that the model votes wrong on, with its own answer, and how good its own answers are on all of those."""
    wrong = [i for i in range(len(votes)) if votes[i] < 0]
    if not wrong:
        return print("It votes wrong on none of them: DPPO has nothing to punish here.")

    def shown(which: str, i: int) -> str:
        response = getattr(start, which)
        return f"{pairs.texts[which][i]}\n\nS = {response.sum[i]:.1f} nats over {response.length[i]:.0f} tokens"

    titles = {"chosen": "chosen", "rejected": "rejected", "generated": "ygen"}
    columns = {title: [shown(which, i) for i in wrong[:3]] for which, title in titles.items()}
    widgets.show_responses([pairs.prompts[i] for i in wrong[:3]], columns)
    told, gold = f"**It votes wrong on {len(wrong)} of {len(votes)} pairs.", data.Source(p.dataset).judge
    if not gold:
        return widgets.say(f"{told}**")
    asked = [pairs.prompts[i] for i in wrong]
    total = {which: gold(asked, [pairs.texts[which][i] for i in wrong]).total for which in NAMES}
    better = {which: np.mean(total["generated"] > total[which] + gold.tie) for which in ("rejected", "chosen")}
    widgets.say(f"{told} On {better['rejected']:.0%} of these its own answer is better than the rejected one, on "
                f"{better['chosen']:.0%} better even than the chosen one** (gold judge): DPPO will push those down all "
                "the same.")  # fmt: skip


# ---------------------------------------------------------------- training


def show_training(histories: Mapping[str, History], batch_size: int) -> None:
    """Where both trainings began, and what became of the three log-probs under DPPO."""
    for label, history in histories.items():
        first = history.rows[0]  # before the first step the policy is the reference: all but the penalty is ln 2
        print(f"{label}: {len(history.rows)} steps of {batch_size} pairs; loss at step 0 without the penalty "
              f"{first['loss'] - first.get('penalty', 0):.4f} (ln 2 is {np.log(2):.4f})")  # fmt: skip
    run = histories["DPPO"]
    ends = {name: (run[f"logp_{name}"][1][:10].mean(), run.last(f"logp_{name}"))
            for name in NAMES if f"logp_{name}" in run.names}  # fmt: skip
    widgets.say("**Under DPPO, from the first ten steps to the last, the mean log-prob went "
                + ", ".join(f"from {first:.0f} to {last:.0f} nats for {NAMES[name]}" for name, (first, last) in ends.items())
                + ".**")  # fmt: skip


def show_penalty(histories: Mapping[str, History], alpha: float) -> None:
    """Vote, weight and penalty while DPPO trains, whether the votes turn right, and whether this was DPO's own run."""
    run = histories["DPPO"]
    display(plots.plot_training({"DPPO": run}, ["vote", "weight", "penalty"]))
    at_first, at_last = run["vote"][1][:10].mean(), run.last("vote")
    eases = at_last < at_first - 0.05
    widgets.say(f"**In the first ten batches {at_first:.0%} of the votes are wrong, in the last ten {at_last:.0%}: they "
                f"{'turn right, and the penalty eases' if eases else 'do not turn right, and the penalty goes on'}.** "
                f"($\\alpha$ is {alpha:g}, and DPPO's training history is "
                + ("DPO's, bit for bit.)" if same(*histories.values()) else "not DPO's.)"))  # fmt: skip


def same(one: History, other: History) -> bool:
    """Are two histories equal in every step and in every column that both have?"""
    names = [name for name in one.names if name in other.names]
    pairs = zip(one.rows, other.rows)
    return len(one.rows) == len(other.rows) and all(a[name] == b[name] for a, b in pairs for name in names)


class Runs(NamedTuple):
    """The DPPO runs of this notebook: {strength: label} of the sweep, DPO at 0; {label: penalty} of the three penalties; and
    {label: strength} of all."""

    sweep: dict[float, str]
    penalties: dict[str, str]
    strength: dict[str, float]

    def to_train(self, main: str) -> dict[str, tuple[float, str]]:
        """{label: (strength, penalty)} of those that are not trained yet, when DPO and DPPO are; main: DPPO's penalty."""
        labels = [label for label in (*self.sweep.values(), *self.penalties) if label not in ("DPO", "DPPO")]
        return {label: (self.strength[label], self.penalties.get(label, main)) for label in labels}


def runs_of(alpha: float, alphas: Sequence[float], penalty: str) -> Runs:
    """The strengths of `alphas` with one penalty, and the others at the strength that the report found best."""
    sweep = {0.0: "DPO", **({alpha: "DPPO"} if alpha else {})}
    for one in alphas:
        sweep.setdefault(one, f"DPPO alpha {one:g}")
    penalties = {"DPPO": penalty} | {f"DPPO {spelled(name)}": name for name in BEST_ALPHA if name != penalty}
    strength = {label: BEST_ALPHA[name] for label, name in penalties.items()}
    strength |= {label: one for one, label in sweep.items()} | {"DPPO": alpha}
    return Runs(sweep, penalties, strength)


def show_pulls(p: Settings, of_dpo: torch.Tensor, of_both: torch.Tensor, mean_weight: float) -> None:
    """How hard DPO and the penalty pull before the first step: on a log-prob, and on the weights as their gradients, which
    are one long vector each, of DPO's loss and of DPPO's."""
    if p.penalty == "minimum_likelihood" and p.alpha and p.beta:
        widgets.say(f"On a log-prob: before training the mean $f(r)$ is {mean_weight:.3f}. At $\\alpha$ = {p.alpha:g} the penalty "
                    f"therefore pulls **{p.alpha * mean_weight / (p.beta / 2):.1f} times** as hard as DPO does, and as hard at "
                    f"$\\alpha$ = {p.beta / 2 / mean_weight:.2g}.")  # fmt: skip
    if not p.alpha:
        return print("With alpha 0 there is no penalty whose gradient could be taken.")
    of_penalty = of_both - of_dpo
    widgets.say(f"**On the weights the gradient's norm is {of_dpo.norm():.2f} for DPO and {of_penalty.norm():.2f} for the penalty "
                f"at $\\alpha$ = {p.alpha:g}: {of_penalty.norm() / of_dpo.norm():.1f} times as large.** They are equal at $\\alpha$ "
                f"= {p.alpha * of_dpo.norm() / of_penalty.norm():.2g}. A step follows their sum, whose cosine with DPO's own "
                f"gradient is {torch.cosine_similarity(of_dpo, of_both, 0):.2f}.")  # fmt: skip


# ---------------------------------------------------------------- results


def show_collapse(comparison: Comparison, runs: Runs, kls: Mapping[str, dict]) -> list[str]:
    """Whether each policy still answers, as a table and a sentence; the labels of those that do not."""
    rows, fallen, answers = [["policy", "$\\alpha$", "sampled KL (k3)", "verdict"]], [], comparison.answers
    for label in (label for label in answers if label != comparison.baseline):
        check = evaluate.collapse_check(answers[label], answers[comparison.baseline], kls.get(label))
        kl = f"{kls[label]['k3']:.1f}" if label in kls else ""
        rows.append([label, f"{runs.strength[label]:g}", kl, check])
        fallen += [label] * check.collapsed
    widgets.show_table(*rows)
    widgets.say(f"**Collapsed: {', '.join(fallen)}.** Their win rates below are those of broken policies." if fallen
                else "By this check **none of the policies has collapsed**: win rates below speak of answers that are still "
                "answers.")  # fmt: skip
    return fallen


def show_wins(comparison: Comparison, labels: Sequence[str], fallen: Sequence[str]) -> None:
    """The win rates of some policies over SFT: as a picture, to the digit, and who wins."""
    shown = {label: comparison.win_rates[label] for label in labels}
    display(plots.plot_win_rates(shown, against=comparison.baseline))
    for label, rate in shown.items():
        words.print_rate(label, rate, "collapsed" if label in fallen else "")
    widgets.say(f"{words.who_wins(shown, comparison.baseline)} (The judge is {comparison.judge.name}.)")


def show_sweep(comparison: Comparison, sweep: Mapping[float, str], penalty: str, fallen: Sequence[str]) -> Figure:
    """The win rate against the strength of the penalty, each strength beside DPO, and which is best; returns the picture."""
    rates = {alpha: comparison.win_rates[label] for alpha, label in sweep.items()}
    figure = plots.plot_sweep(list(rates), list(rates.values()), f"alpha, {spelled(penalty)}", against="SFT")
    display(figure)
    rows, found = [["$\\alpha$", "win rate, less DPO's", "better than DPO?", ""]], {}
    for alpha, label in sorted(sweep.items()):
        if alpha > 0:
            found[alpha], word = claim(comparison.outcomes(label) - comparison.outcomes("DPO"))  # over SFT, by prompt
            word = {"holds here": "better", "does not hold here": "worse"}.get(word, word)
            rows.append([f"{alpha:g}", found[alpha], word, "collapsed" if label in fallen else ""])
    widgets.show_table(*rows)
    widgets.say(best_strength(rates, found))
    return figure


def best_strength(rates: Mapping[float, evaluate.WinRate], over_dpo: Mapping[float, str]) -> str:
    """At which strength the win rate is highest, and what became of it at the strongest. over_dpo: {strength: its lead}."""
    top, most = max(rates, key=lambda alpha: rates[alpha].rate), max(rates)
    told = f"**The win rate is highest at $\\alpha$ = {top:g}** ({rates[top]}"
    told += f"; over DPO: {over_dpo[top]})" if top in over_dpo else "; that is DPO: no penalty is best)"
    if top == most:
        return f"{told}, **the strongest of those tried**."
    return f"{told}; **at the strongest, $\\alpha$ = {most:g}, it is {rates[most].rate:.2f}.**"


def best_of(comparison: Comparison, labels: Sequence[str]) -> str:
    """Of the DPPO runs among `labels` the one with the highest win rate; without a judge the main one."""
    rivals = [label for label in labels if label != "DPO"]
    return max(rivals, key=lambda label: comparison.win_rates[label].rate) if comparison.judge else "DPPO"


def show_held_out(seen: Policies) -> None:
    """The mean log-probs of held-out pairs and of the model's own answers under every policy, and how far they moved from
    those of the first, SFT."""
    names = list(NAMES)
    rows = [["mean log-prob, held-out", *(f"${one}$" for one in ("S(y_w)", "S(y_l)", "S(y_{gen})"))]]
    rows += [[label, *(f"{getattr(of, which).sum.mean():.1f}" for which in names)] for label, of in seen.items()]
    widgets.show_table(*rows)
    first, told = next(iter(seen.values())), []
    for label in ("DPO", "DPPO"):
        own, chosen = ((getattr(seen[label], which).sum - getattr(first, which).sum).numpy()
                       for which in ("generated", "chosen"))  # fmt: skip
        told.append(f"**Under {label} the model's own answer {evaluate.change(own)}** ({evaluate.mean_and_interval(own)} nats) "
                    f"**and the chosen one {evaluate.change(chosen)}** ({evaluate.mean_and_interval(chosen)}).")  # fmt: skip
    widgets.say(" ".join(told))


def show_unlearnt(comparison: Comparison, best: str, fallen: Sequence[str]) -> None:
    """The flaws of every policy that still answers, the share of asked-for parts that are right, and gold's score; and what
    the DPPO run `best` did to them beside DPO. Without a gold judge nothing."""
    gold, rows, shares = comparison.gold, [], {}
    if not gold:
        return
    for label in (label for label in comparison.answers if label not in fallen or label in ("DPO", best)):
        by_gold = comparison.scores[label] if comparison.judge.name == "gold" else comparison.scores_by(gold, label)
        found = {name: hits.mean(1) for name, hits in comparison.flaws(label).items()}
        shares[label] = found | {"parts that are right": by_gold.parts["helpfulness"].mean(1)}
        rows.append([label, *(float(one.mean()) for one in shares[label].values()), float(by_gold.total.mean())])
    widgets.show_table(["policy", *shares["DPO"], "gold score"], *rows)
    widgets.say(unlearnt(best, {name: found - shares["DPO"][name] for name, found in shares[best].items()}))


def unlearnt(label: str, changes: Mapping[str, np.ndarray]) -> str:
    """What became of flaws and right parts, prompt by prompt, in a sentence."""
    told = "; ".join(
        f"{name} {evaluate.change(found)} ({evaluate.mean_and_interval(found)})" for name, found in changes.items()
    )
    return f"**{label} beside DPO:** {told}."


def show_votes_held_out(
    seen: Policies, rewards: Mapping[str, np.ndarray], vote: Callable
) -> tuple[Figure, dict[str, float]]:
    """Votes and DPO rewards on held-out pairs, and who has most of them on the right side; the picture of the rewards, and
    {policy: the share of pairs that training moved the right way}."""
    votes = {label: vote(seen[label]).numpy() for label in ("SFT", "DPO", "DPPO")}
    figure = plots.plot_votes(votes)
    figure.axes[-1].set_xlabel("vote $r$ on held-out pairs")
    display(figure)
    told = ", ".join(f"{label} {(found > 0).mean():.0%}" for label, found in votes.items())
    widgets.say(f"**Votes for the chosen response: {told}.**")
    of_rewards = plots.plot_votes(rewards)
    display(of_rewards)
    trained = {label: found for label, found in rewards.items() if label != "SFT"}
    right = {label: float((found > 0).mean()) for label, found in trained.items()}
    rows = [["policy", "held-out accuracy", "95% interval", "mean reward"]]
    for label, found in trained.items():
        low, high = evaluate.wilson_interval((found > 0).sum(), len(found))
        rows.append([label, f"{right[label]:.2f}", f"{low:.2f} to {high:.2f}", f"{found.mean():.2f}"])
    widgets.show_table(*rows)
    widgets.say(f"**Training moved {max(right, key=right.get)} the right way most often ({max(right.values()):.0%} of the pairs), "
                f"{min(right, key=right.get)} least often ({min(right.values()):.0%}); DPPO's rewards have "
                f"{trained['DPPO'].std() / trained['DPO'].std():.1f} times the spread of DPO's.**")  # fmt: skip
    return of_rewards, right


def show_categories(comparison: Comparison, best: str) -> None:
    """The win rates of DPO and of the best DPPO run by category of prompt; other data may have none."""
    found = {label: comparison.by_category(label) for label in ("DPO", best)}
    if not found["DPO"]:
        return print("These prompts have no categories, or nobody to judge the answers.")
    display(plots.plot_categories(found, against=comparison.baseline))
    count = lambda label, word: sum(rate.beats == word for rate in found[label].values())
    told = "; ".join(f"{label} wins {count(label, 'beats')} and loses {count(label, 'loses to')}" for label in found)
    widgets.say(f"**Of {len(found['DPO'])} kinds of prompt {told}.**")


# ---------------------------------------------------------------- claims, and the answer


def claims(comparison: Comparison, runs: Runs, rewards: Mapping[str, np.ndarray], fallen: Sequence[str]) -> list[list]:
    """Rows of `beside.show_verdicts` for the report's claims 1, 4 and 7, as far as this run measures them."""
    if not comparison.judge:
        print("Claims 1 and 4 are about win rates; without a judge they are not measured here.")
        return claims_7(runs, rewards)
    rates, rows = comparison.win_rates, []
    for label, name in runs.penalties.items():
        found, word = claim(comparison.outcomes(label) - comparison.outcomes("DPO"))
        ours = f"{rates[label].rate:.2f} against {rates['DPO'].rate:.2f}; {found}" + ("; collapsed" * (label in fallen))
        what = f"1: {spelled(name)} ($\\alpha$ = {runs.strength[label]:g}) beats DPO, against SFT"
        said = f"{PAPER[name]:.3f} against {PAPER['DPO']:.3f}"
        rows.append([what, said, ours, word, (1, PENALTIES.index(name))])
    return rows + claim_4(comparison, runs) + claims_7(runs, rewards)


def claim_4(comparison: Comparison, runs: Runs) -> list[list]:
    """The row on a sweet spot: the best strength strictly between 0 and the largest must beat both ends."""
    inner, penalty = [alpha for alpha in runs.sweep if 0 < alpha < max(runs.sweep)], runs.penalties["DPPO"]
    if not inner:
        return []
    best = max(inner, key=lambda alpha: comparison.win_rates[runs.sweep[alpha]].rate)
    at_best = comparison.outcomes(runs.sweep[best])
    ends = {end: claim(at_best - comparison.outcomes(runs.sweep[end])) for end in (0.0, max(runs.sweep))}
    found = "; ".join(f"over {end:g}: {difference}" for end, (difference, _) in ends.items())
    said = {word for _, word in ends.values()}
    word = next(word for word in (words.FAILS, words.OPEN, words.HOLDS) if word in said)
    what = f"4: {spelled(penalty)} has a best $\\alpha$; larger declines or diverges"
    return [[what, f"best at {BEST_ALPHA[penalty]:g}", f"best of those between at {best:g}; {found}", word, (4, None)]]


def claims_7(runs: Runs, rewards: Mapping[str, np.ndarray]) -> list[list]:
    """The rows on DPO rewards of held-out pairs: each penalty leaves fewer below 0 than DPO."""
    rows, of_dpo = [], rewards["DPO"] < 0
    for label, name in runs.penalties.items():
        found, word = claim(of_dpo * 1.0 - (rewards[label] < 0))
        ours = f"{(rewards[label] < 0).mean():.2f} against {of_dpo.mean():.2f}; fewer by {found}"
        what = f"7: {spelled(name)} leaves fewer negative DPO rewards than DPO"
        rows.append([what, "figure 3B", ours, word, (7, PENALTIES.index(name))])
    return rows


def show_answer(p: Settings, comparison: Comparison, best: str, fallen: Sequence[str]) -> None:
    """Whether it helps to unlearn one's own favourite answer: this run, its best run, and the long runs."""
    if not comparison.judge:
        return print("Without a judge it cannot be told here.")
    helped = {words.HOLDS: "it helped", words.FAILS: "it did harm", words.OPEN: "it cannot be told"}
    over_dpo = lambda label: comparison.outcomes(label) - comparison.outcomes("DPO")
    found, word = claim(over_dpo("DPPO"))
    widgets.say(f"At $\\alpha$ = {p.alpha:g} ({spelled(p.penalty)}), against DPO on {len(comparison.prompts)} "
                f"prompts, judged by {comparison.judge.name}: **{helped[word]}** (its lead over DPO: {found})"
                + (", and the policy collapsed." if "DPPO" in fallen else "."))  # fmt: skip
    found, word = claim(over_dpo(best))
    runs = [label for label in comparison.win_rates if label != "DPO"]
    widgets.say(f"Of all {len(runs)} DPPO runs the one with the highest win rate, picked on these same prompts, is "
                f"{best}; it leads DPO by {found}: **{helped[word]}**. The penalty acts on every token of the "
                "favourite answer, on what is right in it too"
                + ("; the table of what was unlearnt says what went." if comparison.gold else "."))  # fmt: skip
    widgets.say(beside.favourite_in_words(beside.results_of(p)))
    for label in ("DPO", "DPPO"):
        low, high = comparison.win_rates[label].interval
        print(f"{label}'s win rate over SFT: {comparison.win_rates[label].rate:.3f} ± {(high - low) / 2:.3f} (95%)")

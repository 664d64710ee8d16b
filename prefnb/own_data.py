"""What one's own pairs taught a policy, where nobody knows which answers are right: `show`, below the page of results."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from prefnb import data, evaluate, widgets
from prefnb.evaluate.intervals import Interval

WORST, SHOWN_CHARACTERS = 3, 400


def show(
    margins: np.ndarray, rows: Sequence[dict], lengths: dict[str, np.ndarray], tokenizer, *, pocket_model: bool
) -> None:
    """Say what was learnt, by held-out pairs alone, and show those that are most wrong.

    margins: (n,), d(yw) - d(yl) of held-out pairs, in nats. rows: those pairs, with prompt, chosen and rejected. lengths:
    {"chosen": (n,), "rejected": (n,)}, in tokens. pocket_model: whether the small model of the pocket world was trained.
    """
    widgets.say("### What your data taught\n\n" + learnt(margins, lengths["chosen"] - lengths["rejected"]))
    if pocket_model:
        widgets.say(unknown([row[side] for row in rows for side in ("chosen", "rejected")], tokenizer))
    order = np.argsort(margins)[:WORST]
    cut = lambda text: widgets.escaped(str(text)[:SHOWN_CHARACTERS])  # noqa: E731
    widgets.say(
        "The pairs that the policy has most wrong. Are they mislabelled, or is there something that it cannot see?"
    )
    widgets.show_table(
        ["margin, nats", "prompt", "chosen", "rejected"],
        *[[f"{margins[i]:+.1f}", *(cut(text) for text in (rows[int(i)]["prompt"][-1]["content"], rows[int(i)]["chosen"], rows[int(i)]["rejected"]))]
          for i in order],
    )  # fmt: skip


def learnt(margins: np.ndarray, longer: np.ndarray) -> str:
    """Held-out accuracy, beside guessing and beside the better of two rules that look at length alone. longer: (n,), by how
    many tokens the chosen response is the longer one."""
    n, right = len(margins), right_way(margins)
    low, high = _interval(right)
    shorter = right_way(-longer)
    rule, name = (shorter, "shorter") if shorter.mean() >= 0.5 else (1 - shorter, "longer")
    lead = evaluate.bootstrap_interval(right - rule)
    beats = lambda interval, null: {  # noqa: E731
        "holds here": "better than", "does not hold here": "worse than", "cannot be told": "not to be told from"
    }[evaluate.verdict(interval, null)]  # fmt: skip
    said = (
        f"**On {n} held-out pairs the policy has {right.mean():.2f} [{low:.2f}, {high:.2f}] the right way round: "
        f'{beats((low, high), 0.5)} guessing, and {beats(lead, 0.0)} the rule "the {name} one wins" ({rule.mean():.2f}).**'
    )
    if high - low > 0.1:
        wanted = round(n * ((high - low) / 0.1) ** 2, -1)
        said += f" The interval is wide; about {wanted:,.0f} held-out pairs would halve it to .05 to each side."
    if evaluate.verdict(lead, 0.0) != "holds here":
        said += " As far as these pairs can tell, it may have learnt length and nothing else."
    return said


def unknown(texts: list[str], tokenizer) -> str:
    """What a model that has read the pocket world alone cannot know of these texts, and which to take instead."""
    of = lambda texts: sum(len(tokenizer(text)["input_ids"]) for text in texts) / max(1, len(" ".join(texts).split()))  # noqa: E731
    its_own = of(list(data.Source("pocket").pairs("test", limit=200)["chosen"]))
    return (
        f"The pocket model has read nothing but its own small world. It cuts a word of yours into {of(texts):.1f} tokens, one of "
        f"its own into {its_own:.1f}, and knows what none of them means: it can learn how chosen answers differ in form, not in "
        "what they say. For that, take a model that has read more: `-p model Qwen/Qwen2.5-0.5B`, or all of `-p preset qwen`."
    )


def right_way(values: np.ndarray) -> np.ndarray:
    """1 where above 0, 0 below, one half where exactly 0."""
    values = np.asarray(values)
    return (values > 0) + 0.5 * (values == 0)


def _interval(right: np.ndarray) -> Interval:
    return evaluate.wilson_interval(float(right.sum()), len(right))

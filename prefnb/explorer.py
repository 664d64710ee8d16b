"""A loss to play with: sliders for its settings and for one pair's log-probs; loss and gradient are drawn while they move.

First comes a static picture, an output of its own, so that paper and GitHub show one too; then the same with sliders.
"""

from __future__ import annotations

import html
from types import SimpleNamespace
from typing import Callable, Mapping

import numpy as np
import torch
from IPython.display import HTML, display

from prefnb import plots, widgets
from prefnb.formula import Formula
from prefnb.logprobs import from_tokens

WIDTH, HEIGHT, MARGIN = 360, 190, 34  # pixels of a panel, and the room for its numbers
REFERENCE = -24.0  # the reference's S(y) of either response, in nats
PAIR = {  # sliders of the pair: low, high, value, step
    "d_chosen": (-12.0, 12.0, -2.0, 0.5),
    "d_rejected": (-12.0, 12.0, -6.0, 0.5),
    "tokens_chosen": (1, 40, 12, 1),
    "tokens_rejected": (1, 40, 12, 1),
}
CHIP = "display:inline-block; width:.8em; height:.8em; border:1px solid rgba(128,128,128,.6)"
DPO = "−log σ( {beta} · ( {d_chosen} − {d_rejected} ) )"  # formulas to drag
SIMPO = "−log σ( {beta} · ( (−24 + {d_chosen}) / {tokens_chosen} − (−24 + {d_rejected}) / {tokens_rejected} ) − {gamma} )"
GAPS = np.linspace(-15, 15, 61)
Slider = tuple[float, float, float, float]


def show(losses: Mapping[str, Callable], formula: str = "", **sliders: Slider) -> None:
    """Play with losses f(policy, reference, **settings), side by side. sliders: (low, high, value, step) of every setting;
    a loss gets those that it names. The pair's own sliders, d(y) in nats and tokens of both responses, are always there.
    formula: a line with the {names} of sliders in it, whose numbers can then be dragged; see `Formula`."""
    import ipywidgets

    everything = {**sliders, **PAIR}
    display(HTML(view(losses, **{name: value for name, (_, _, value, _) in everything.items()})))
    controls = {
        name: (ipywidgets.IntSlider if isinstance(value, int) and isinstance(step, int) else ipywidgets.FloatSlider)(
            value, min=low, max=high, step=step, description=name, style={"description_width": "9em"}
        )
        for name, (low, high, value, step) in everything.items()
    }
    above = [Formula.of(formula, controls)] if formula else []
    widgets.explore(lambda **values: view(losses, **values), *above, **controls)


def view(losses: Mapping[str, Callable], **values: float) -> str:
    """The picture for these values, as HTML: the loss against the gap d(yw) - d(yl), with this pair as a dot; and in numbers
    the loss and its gradients."""
    pair = {name: values[name] for name in PAIR}
    given = {name: value for name, value in values.items() if name not in PAIR}
    shades = plots.colours(losses)
    here, curves, rows = pair["d_chosen"] - pair["d_rejected"], {}, []
    for label, loss in losses.items():
        along = evaluated(loss, {**pair, "d_chosen": pair["d_rejected"] + GAPS}, given)
        at = evaluated(loss, pair, given)
        curves[label] = (along.loss, float(at.loss[0]))
        rows.append([label, at.loss[0], at.slope_chosen[0], at.slope_rejected[0]])
    told = f"d(chosen) {pair['d_chosen']:+g}, d(rejected) {pair['d_rejected']:+g}: a gap of {here:+g} nats. "
    told += ", ".join(f"{name} {value:g}" for name, value in given.items())
    cells = "".join(
        f'<tr><td><span style="{CHIP}; background:{shades[row[0]]}"></span> <b>{html.escape(row[0])}</b></td>'
        + "".join(f'<td style="text-align:right">{value:+.3f}</td>' for value in row[1:]) + "</tr>" for row in rows)  # fmt: skip
    head = "<tr><th></th><th>loss</th><th>gradient by S(chosen)</th><th>by S(rejected)</th></tr>"
    return f"<div {widgets.NO_MATH}>{_svg(curves, shades, here)}<div>{html.escape(told)}</div><table>{head}{cells}</table></div>"


def evaluated(loss: Callable, pair: Mapping[str, float | np.ndarray], given: Mapping[str, float]) -> SimpleNamespace:
    """Loss and gradients by S(y), (n,) each, of pairs that differ in d(y): every token of a response has the same log-prob."""
    d = {
        side: torch.tensor(np.atleast_1d(np.asarray(pair[f"d_{side}"], dtype=np.float64)))
        for side in ("chosen", "rejected")
    }
    n = max(len(one) for one in d.values())
    sums = {side: (REFERENCE + one.expand(n)).clone().requires_grad_() for side, one in d.items()}
    lengths = {side: int(pair[f"tokens_{side}"]) for side in d}
    policy = from_tokens(
        **{side: list((one / lengths[side])[:, None].expand(n, lengths[side])) for side, one in sums.items()}
    )
    reference = from_tokens(
        **{side: list(torch.full((n, lengths[side]), REFERENCE / lengths[side], dtype=torch.float64)) for side in d}
    )
    wanted = {name: value for name, value in given.items() if name in _arguments(loss)}
    found = loss(policy, reference, **wanted)
    values = found[0] if isinstance(found, tuple) else found
    slopes = torch.autograd.grad(values.sum(), list(sums.values()), allow_unused=True)
    slopes = [torch.zeros(n) if slope is None else slope for slope in slopes]
    return SimpleNamespace(
        loss=values.detach().numpy(), slope_chosen=slopes[0].numpy(), slope_rejected=slopes[1].numpy()
    )


def _arguments(loss: Callable) -> tuple[str, ...]:
    """The names that a loss takes by keyword."""
    import inspect

    return tuple(inspect.signature(loss).parameters)


def _svg(curves: Mapping[str, tuple[np.ndarray, float]], shades: Mapping[str, str], here: float) -> str:
    """Curves over `GAPS`, with a dot where the pair is. On paper, as figures are, so that every colour reads on a dark page too."""
    values = np.concatenate([along for along, _ in curves.values()])
    low, high = float(min(0.0, values.min())), float(max(values.max(), 1e-9))
    x = lambda gap: MARGIN + (gap - GAPS[0]) / (GAPS[-1] - GAPS[0]) * (WIDTH - MARGIN - 6)  # noqa: E731
    y = lambda value: HEIGHT - 24 - (value - low) / (high - low) * (HEIGHT - 34)  # noqa: E731
    ink, grey = plots.COLOURS["ink"], plots.COLOURS["line"]
    parts = [f'<rect width="100%" height="100%" rx="3" fill="{plots.COLOURS["paper"]}"/>']
    parts += [
        f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="8" y2="{HEIGHT - 24}" stroke="{grey}" stroke-dasharray="2 3"/>'
    ]
    parts += [f'<line x1="{MARGIN}" x2="{WIDTH - 6}" y1="{y(low):.1f}" y2="{y(low):.1f}" stroke="{grey}"/>']
    for label, (along, at) in curves.items():
        points = " ".join(f"{x(gap):.1f},{y(value):.1f}" for gap, value in zip(GAPS, along))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{shades[label]}" stroke-width="2"/>')
        parts.append(
            f'<circle cx="{x(np.clip(here, GAPS[0], GAPS[-1])):.1f}" cy="{y(np.clip(at, low, high)):.1f}" r="5" fill="{shades[label]}"/>'
        )
    text = f'font-size="11" fill="{ink}"'
    parts += [
        f'<text x="{MARGIN - 4}" y="{y(value) + 4:.1f}" text-anchor="end" {text}>{value:.2g}</text>'
        for value in (low, high)
    ]
    parts += [
        f'<text x="{x(gap):.1f}" y="{HEIGHT - 10}" text-anchor="middle" {text}>{gap:g}</text>' for gap in (-15, 0, 15)
    ]
    parts += [
        f'<text x="{WIDTH / 2}" y="{HEIGHT}" text-anchor="middle" {text}>gap d(chosen) - d(rejected), nats</text>'
    ]
    title = f"Loss against the gap; the pair is at {here:+g} nats"
    return f'<svg role="img" aria-label="{title}" width="{WIDTH}" height="{HEIGHT + 4}" viewBox="0 0 {WIDTH} {HEIGHT + 4}">{"".join(parts)}</svg>'

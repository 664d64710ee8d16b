"""The pictures of the course: from histories, scores and win rates to matplotlib figures.

Every function returns a `Figure` that pyplot has already let go of, so that a notebook cell ending in
`plot_training(history)` shows it once. Its title says what it shows (`findings`), unless the caller gives one. What takes
a history also takes a dict {label: history}, to compare runs. Colours are fixed by meaning and are all in one table,
`COLOURS`: chosen is blue in every picture. Set the style first: `plt.style.use("prefnb.book")`.
"""

from __future__ import annotations

import io
import os
import re
import time
from typing import Any, Callable, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from prefnb import findings, methods, widgets
from prefnb.evaluate import WinRate

MEANINGS = {
    "chosen": "#0072B2",
    "rejected": "#D55E00",
    "generated": "#CC79A7",
    "reference": "#888888",
    "policy": "#009E73",
    "gold": "#7A5C00",
}
# Of the methods, each file in prefnb/methods says its own; the forms of some are told apart.
METHODS = {name: method.colour for name, method in methods.listed().items()} | {
    "base": "#B0B0B0",
    "minimum_likelihood": "#E69F00",
    "unlikelihood": "#009E73",
    "contrastive": "#882255",
    "conservative_dpo": "#BBA033",
}
METHODS["proxy"] = METHODS["reward_model"]
INK = {  # what belongs to the picture and not to a policy
    "ink": "#222222",  # text, and marks of what is exact
    "loss": "#333333",  # a loss as a function
    "gradient": "#7F7F7F",  # and its gradient, dashed
    "line": "#888888",  # where zero, one half or "no effect" is
    "pale": "#BBBBBB",  # what joins two marks; the band of other runs
    "faint": "#E4E4E4",  # what cannot be told
    "paper": "#FFFFFF",
}
COLOURS = INK | METHODS | MEANINGS  # the one table: no other file of the course names a colour
# For labels without a meaning of their own. The colours of chosen and rejected come last.
CYCLE = ("#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#882255", "#555555", "#0072B2", "#D55E00")
# Shares of wins, 0 to 1, as a colour: losing is the colour of rejected, winning that of chosen.
WINS = LinearSegmentedColormap.from_list("wins", [MEANINGS["rejected"], "#F7F7F7", MEANINGS["chosen"]])
WINS = WINS.with_extremes(bad=INK["faint"])

TITLES = {
    "loss": "loss",
    "margin": "margin  $\\beta\\,(d(y_w) - d(y_l))$",
    "accuracy": "share of pairs with margin > 0",
    "logp_chosen": "log-prob of chosen (nats)",
    "logp_rejected": "log-prob of rejected (nats)",
    "logp_generated": "log-prob of y_gen (nats)",
    "reward_chosen": "implicit reward of chosen",
    "reward_rejected": "implicit reward of rejected",
    "win_rate": "win rate",
    "grad_norm": "gradient norm",
    "learning_rate": "learning rate",
    "kl_k1": "sampled KL, k1 (nats per response)",
    "kl_k3": "sampled KL, k3 (nats per response)",
    "finished": "share of responses that end",
    "d_chosen": "$d(y_w)$, chosen (nats)",
    "d_rejected": "$d(y_l)$, rejected (nats)",
    "d_generated": "$d(y_{gen})$, own answer (nats)",
}
NEUTRAL = {
    "margin": 0.0,
    "accuracy": 0.5,
    "win_rate": 0.5,
    "d_chosen": 0.0,
    "d_rejected": 0.0,
}  # where "no effect" lies
WHOLE = {"accuracy": (-0.02, 1.02), "win_rate": (-0.02, 1.02)}  # axes that are always shown whole
SPAN = {"loss": 0.2, "margin": 0.5, "kl_k1": 1.0, "kl_k3": 1.0, "d_chosen": 4.0, "d_rejected": 4.0, "entropy": 0.2,
        "length": 10.0, "reward": 1.0}  # an axis shows at least so much: what is less is no news  # fmt: skip
ALIKE = [
    ("logp_chosen", "logp_rejected", "logp_generated"),
    ("d_chosen", "d_rejected", "d_generated"),
]  # one scale for all
FAINT = "single batches"  # what an axis need not show whole
HELD_OUT = "heldout_"  # how the names begin of what a monitor saw on held-out pairs (`course.watched`)


# ---------------------------------------------------------------- small parts


def _meaning(label):
    """The meaning or method that a label names or begins with: "DPPO unlikelihood, alpha 1" is unlikelihood."""
    name = re.sub(r"[^a-z0-9]+", "_", str(label).lower()).strip("_").removeprefix("dppo_")
    return next((key for key in MEANINGS | METHODS if f"{name}_".startswith(f"{key}_")), None)


def colours(labels: Iterable[str]) -> dict[str, str]:
    """{label: colour}: fixed where a label names a meaning or a method, its shades for several of one method ("DPO, beta 1");
    up to eight labels all differ."""
    labels, kinds, found = list(labels), {}, {}
    for label in labels:
        kinds.setdefault(_meaning(label), []).append(label)
    for kind, members in kinds.items():
        members = sorted(members, key=lambda label: not _is_bare(label, kind))  # "DPO" before "DPO, twice the pairs"
        for label, colour in zip(members, _shades(COLOURS[kind], members, kind) if kind else ()):
            if colour not in found.values():
                found[label] = colour
    spare = [c for c in CYCLE if c not in found.values()] or list(CYCLE)
    others = [label for label in labels if label not in found]
    return {
        label: (found | {label: spare[i % len(spare)] for i, label in enumerate(others)})[label] for label in labels
    }


def _is_bare(label, kind):
    """Does the label say a method and nothing else?"""
    return re.sub(r"[^a-z0-9]+", "_", str(label).lower()).strip("_") in (kind, f"dppo_{kind}")


def _shades(colour, members, kind):
    """A method's colour, and up to three more shades of it, in the order of its runs: from light to dark, where none of them
    is simply the method."""
    light, dark, darker = (
        mixed(colour, INK["paper"], 0.45),
        mixed(colour, INK["ink"], 0.4),
        mixed(colour, INK["ink"], 0.75),
    )
    if len(members) == 1:
        return [colour]
    return [colour, dark, light, darker] if _is_bare(members[0], kind) else [light, colour, dark, darker]


def mixed(colour: str, other: str, share: float) -> str:
    """A colour with this share of another one in it."""
    return to_hex((1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(other))).upper()


def smooth(values: ArrayLike, window: int | None = None) -> np.ndarray:
    """Centred moving average, same length, by default over a twentieth of the curve; shorter at the ends."""
    values = np.asarray(values, dtype=float)
    window = min(window or max(1, len(values) // 20), len(values))
    kernel = np.ones(window)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def subplots(*grid: int, **options) -> tuple[Figure, np.ndarray]:
    """`plt.subplots`, of a figure that pyplot does not keep: a notebook shows it once, where the cell says so."""
    figure, axes = plt.subplots(*grid, **options)
    plt.close(figure)
    if _in_notebook():
        from IPython import get_ipython

        get_ipython().display_formatter.formatters["image/png"].for_type(Figure, picture)
    return figure, axes


def _figure(rows=1, columns=1, height=3.0, **options):
    """A page-wide figure and its axes as a flat list. Its title takes a line more."""
    options |= {"figsize": (8, height + 0.25), "squeeze": False, "layout": "constrained"}
    figure, axes = subplots(rows, columns, **options)
    return figure, list(axes.flat)


def say_title(figure: Figure, title: str) -> Figure:
    """Write a figure's finding above it, from its left edge, in as many lines as it needs."""
    width = int(figure.get_figwidth() * 11.5)
    figure.suptitle(findings.wrapped(_plain(title), width), x=0.008, ha="left", fontsize=10, fontweight="bold")
    return figure


def _runs(value):
    """One history, or a dict of them, as a dict."""
    return value if isinstance(value, dict) else {"": value}


def held_out(history: Any, name: str) -> bool:
    """Did a monitor see this on held-out pairs?"""
    return f"{HELD_OUT}{name}" in history.names


def draw_curve(axis: Any, history: Any, name: str, colour: str, label: str | None = None, watched: bool = True) -> None:
    """One curve. With `watched`, where held-out pairs were watched they are the strong line, with the band of their interval, and single
    batches are faint behind it; else a moving average is; points where there are few."""
    axis.xaxis.get_major_locator().set_params(integer=True)  # there is no step 2.5
    if watched and held_out(history, name):
        if name in history.names:
            axis.plot(*history[name], color=colour, alpha=0.25, linewidth=0.7, gid=FAINT)
        steps, values = history[f"{HELD_OUT}{name}"]
        if f"{HELD_OUT}{name}_low" in history.names:
            axis.fill_between(steps, *(history[f"{HELD_OUT}{name}_{end}"][1] for end in ("low", "high")), color=colour,
                              alpha=0.18, linewidth=0)  # fmt: skip
        axis.plot(steps, values, "o-", color=colour, label=label, markersize=4)
        return
    steps, values = history[name]
    if len(values) < 20:
        axis.plot(steps, values, "o-", color=colour, label=label)
        return
    axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.7, gid=FAINT)
    axis.plot(steps, smooth(values, max(1, len(values) // 8)), color=colour, label=label)


def calm(axis: Any, name: str) -> None:
    """An axis that does not make much of little: whole for shares, no narrower than `SPAN`, and without the outermost tenth
    of single batches."""
    if name in WHOLE:
        axis.set_ylim(*WHOLE[name])
        return
    shown = [NEUTRAL.get(name, np.nan)]
    for line in axis.get_lines():
        values = np.asarray(line.get_ydata(), dtype=float)
        shown.extend(np.nanpercentile(values, [5, 95]) if line.get_gid() == FAINT else values)
    for band in axis.collections:
        shown.extend(path.get_extents().ymin for path in band.get_paths())
        shown.extend(path.get_extents().ymax for path in band.get_paths())
    low, high = np.nanmin(shown), np.nanmax(shown)
    room = max(0.0, SPAN.get(name, 0.0) - (high - low)) / 2 + 0.05 * (high - low) or 0.5
    axis.set_ylim(low - room, high + room)


def alike(axes: Sequence[Any]) -> None:
    """The same y-limits for panels that are compared."""
    limits = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def rate_limits(lows: ArrayLike, highs: ArrayLike) -> tuple[float, float]:
    """The window of an axis of win rates, the same on either side of .5: .25 to .75 if that holds all intervals, else 0 to 1."""
    return (0.24, 0.76) if min(lows) > 0.25 and max(highs) < 0.75 else (-0.02, 1.02)


def _neutral(axis, name):
    """The line of no effect."""
    if name in NEUTRAL:
        axis.axhline(NEUTRAL[name], color=INK["line"], linestyle=":", linewidth=1)


def _legend(figure, axis):
    """One legend below the figure, if there is anything to tell apart."""
    handles, names = axis.get_legend_handles_labels()
    if handles:
        fitting = 110 // (max(len(name) for name in names) + 7)  # columns that the page has room for
        figure.legend(handles, names, loc="outside lower left", ncols=max(1, min(len(names), fitting)))


def _plain(text):
    """Text of a data set for a picture: `$` is money, not mathematics, and half a character is a question mark."""
    return str(text).encode("utf-8", "replace").decode().replace("$", r"\$")


def _totals(scores):
    """The totals of all answers, (n,) or (n, K), one after another."""
    return np.ravel(getattr(scores, "total", scores)).astype(float)


# ---------------------------------------------------------------- training


def plot_training(histories: Any, metrics: list[str] | None = None, title: str | None = None) -> Figure:
    """Small multiples of a training run, or of several: {label: History}.

    metrics: names of columns, of the steps or of the monitor's; by default those of loss, margin, accuracy,
    both log-probs and win rate that the histories have. Where held-out pairs were watched, the changes of their log-probs
    stand in the place of log-probs of single batches, which say more of the batch than of the policy. Like is compared with
    like: runs of which one was not watched are all shown by their batches.
    """
    runs = _runs(histories)
    wanted = metrics or ["loss", "margin", "accuracy", "logp_chosen", "logp_rejected", "win_rate"]
    names = list(dict.fromkeys(_as_changes(runs, name) for name in wanted))
    names = [name for name in names if any(name in run.names or held_out(run, name) for run in runs.values())]
    if not names:
        raise ValueError(f"There is nothing to plot: no history has any of {', '.join(wanted)}.")
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure, axes = _figure(rows, columns, height=2.2 * rows + 0.4, sharex=True)
    panels, shades = dict(zip(names, axes)), colours(runs)
    watched = {name: all(held_out(run, name) for run in _having(runs, name).values()) for name in names}
    for name, axis in panels.items():
        for label, run in _having(runs, name).items():
            if name in run.names or watched[name]:
                draw_curve(axis, run, name, shades[label], label or None, watched[name])
        _neutral(axis, name)
        calm(axis, name)
        axis.set_title(TITLES.get(name, name.replace("_", " ")))
    for group in ALIKE:
        alike([panels[name] for name in group if name in panels])
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    for i in range(max(0, len(names) - columns), len(names)):  # the lowest panel of each column
        axes[i].set_xlabel("step")
        axes[i].tick_params(labelbottom=True)
    if any(runs):
        _legend(figure, max(axes, key=lambda axis: len(axis.get_legend_handles_labels()[0])))
    return say_title(figure, title if title is not None else _of_training(runs, watched))


def _as_changes(runs, name):
    """d_chosen for logp_chosen, and so on, if all runs that have it have watched it on held-out pairs."""
    change = name.replace("logp_", "d_")
    having = [run for run in runs.values() if name in run.names]
    return change if having and all(held_out(run, change) for run in having) else name


def _having(runs, name):
    """The runs that have seen this, on training pairs or on others."""
    return {label: run for label, run in runs.items() if name in run.names or held_out(run, name)}


def _of_training(runs, watched):
    """What curves say: of one run from where to where they go, of several where they end."""
    if len(runs) == 1:
        (run,) = runs.values()
        shown = [name for name in watched if watched[name]] or list(watched)
        where = "held-out pairs" if any(watched.values()) else ""
        return findings.of_run({name: _ends(run, name) for name in shown}, where)
    return findings.of_runs({name: {label: _last(run, name, watched[name]) for label, run in _having(runs, name).items()
                                    if name in run.names or watched[name]} for name in watched})  # fmt: skip


def _ends(run, name):
    """(first, last, sign of the change) of a curve."""
    if not held_out(run, name):
        return findings.ends_of(run[name][1])
    values = run[f"{HELD_OUT}{name}"][1]
    if f"{HELD_OUT}{name}_low" not in run.names:
        return values[0], values[-1], int(np.sign(values[-1] - values[0]))
    low, high = (run[f"{HELD_OUT}{name}_{end}"][1][-1] for end in ("low", "high"))
    return values[0], values[-1], findings.sign((low, high), values[0])


def _last(run, name, watched):
    """(value, interval) at the end of a curve."""
    if watched:
        value = run[f"{HELD_OUT}{name}"][1][-1]
        known = f"{HELD_OUT}{name}_low" in run.names
        return value, tuple(run[f"{HELD_OUT}{name}_{end}"][1][-1] for end in ("low", "high")) if known else (
            value,
            value,
        )
    values = run[name][1]
    tail = values[-max(1, len(values) // 5) :]
    half = 1.96 * tail.std(ddof=1) / np.sqrt(len(tail)) if len(tail) > 3 else np.inf
    return float(tail.mean()), (tail.mean() - half, tail.mean() + half)


def plot_logprobs(histories: Any, title: str | None = None) -> Figure:
    """Log-probs of chosen and rejected responses while training: often **both** fall. A panel per run. Where held-out pairs
    were watched, by how much they have changed."""
    runs = _runs(histories)
    watched = all(held_out(run, "d_chosen") for run in runs.values())
    prefix = "d_" if watched else "logp_"
    figure, axes = _figure(1, len(runs), sharey=True)
    for axis, (label, run) in zip(axes, runs.items()):
        for side in ("chosen", "rejected", "generated"):
            if f"{prefix}{side}" in run.names or held_out(run, f"{prefix}{side}"):
                draw_curve(axis, run, f"{prefix}{side}", MEANINGS[side], side)
        axis.set(xlabel="step", title=label)
        _neutral(axis, f"{prefix}chosen")
    calm(axes[0], f"{prefix}chosen")
    axes[0].set_ylabel("change of log-prob (nats)" if watched else "log-prob of the response (nats)")
    _legend(figure, axes[0])
    return say_title(figure, title if title is not None else _of_logprobs(runs, watched))


def _of_logprobs(runs, watched):
    """Of held-out pairs which way both went; of single batches, whose lengths differ, only what became of the gap."""
    told = []
    for label, run in runs.items():
        if watched:
            sides = [side for side in ("chosen", "rejected") if held_out(run, f"d_{side}")]
            said = findings.of_changes({side: _ends(run, f"d_{side}")[1:] for side in sides})
        else:
            first, last, clear = findings.ends_of(run["logp_chosen"][1] - run["logp_rejected"][1])
            said = (
                f"{findings.number(first)} to {findings.number(last)} nats" if clear else "lost in the noise of batches"
            )
        told.append(f"{label}: {said}" if label else said)
    return ("" if watched else "gap between chosen and rejected: ") + "; ".join(told)


def plot_kl(histories: Any, kl: str = "kl_k3", score: str = "win_rate", title: str | None = None) -> Figure:
    """The sampled KL while training, and what it bought: score against KL, from start (ring) to end (dot).

    kl, score: columns of the monitor's. A curve that bends down on the right is over-optimisation.
    """
    runs = _runs(histories)
    figure, (left, right) = _figure(1, 2)
    bought = {}
    for label, colour in colours(runs).items():
        draw_curve(left, runs[label], kl, colour, label or None)
        bought[label] = points = [(row[kl], row[score]) for row in runs[label].evals if kl in row and score in row]
        if points:
            x, y = zip(*points)
            right.plot(x, y, "-", color=colour, linewidth=1.2)
            right.plot(x[0], y[0], "o", color=INK["paper"], markeredgecolor=colour, markeredgewidth=1.2, markersize=6)
            right.plot(x[-1], y[-1], "o", color=colour, markersize=6)
    left.set(xlabel="step", title=TITLES.get(kl, kl))
    right.set(xlabel=TITLES.get(kl, kl), title=f"{TITLES.get(score, score)} against KL")
    _neutral(right, score)
    calm(left, kl)
    calm(right, score)
    _legend(figure, left)
    return say_title(figure, title if title is not None else findings.of_kl(bought, score))


class LiveFigure:
    """A figure that follows a training run in a notebook and stays in its cell when the run ends.

    `train(..., live=LiveFigure())` calls `update(history)` each step and `finish(history)` at the end. It draws every
    `seconds` at most, coarsely while training goes on, and rests five times as long as drawing took. In JupyterLab a
    button beside it stops the run, as Jupyter's own does. Outside a notebook it does nothing.
    """

    def __init__(self, plot: Callable = plot_training, seconds: float = 0.7):
        self.plot, self.seconds = plot, seconds
        self._handle, self._next = None, time.monotonic() + seconds
        self._button, self._pressed = None, False

    def update(self, history: Any) -> None:
        """Draw, if enough time has passed. KeyboardInterrupt if the reader has pressed the button."""
        if self._pressed:
            raise KeyboardInterrupt
        if self._button is None and _is_watched():
            self._button = widgets.show_button("Stop training here", self.press)
        if time.monotonic() >= self._next and _in_notebook():
            started = time.monotonic()
            self._show(history, _coarse)
            finished = time.monotonic()
            self._next = finished + max(self.seconds, 5 * (finished - started))

    def press(self, _: Any = None) -> None:
        """Stop the run after its present step."""
        self._pressed = True

    def finish(self, history: Any) -> None:
        """Draw the last state."""
        if self._button is not None:
            self._button.close()
        if _in_notebook():
            self._show(history, lambda figure: figure)

    def _show(self, history, drawn):
        if not history.rows and not history.evals:
            return
        from IPython.display import display

        shown = drawn(self.plot(history))
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


def _coarse(figure):
    """A picture as wide as the last one, of a seventh of its pixels: quick to draw, and nothing jumps."""
    from IPython import display

    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=figure.dpi * 0.75)
    return display.Image(data.getvalue(), width=round(figure.get_figwidth() * figure.dpi))


def _in_notebook():
    """Is this code running in a Jupyter kernel (rather than a script or a terminal)?"""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def _is_watched() -> bool:
    """Does this kernel run for somebody who sees its widgets? A Jupyter server names the session; papermill has none."""
    return _in_notebook() and "JPY_SESSION_NAME" in os.environ


def alt_text(figure: Figure) -> str:
    """A figure for those who do not see it: of every panel its title, axes and curves."""
    panels = []
    for axis in figure.axes:
        if axis.get_visible() and axis.axison:
            title = " ".join(filter(None, (axis.get_title(where) for where in ("left", "center", "right"))))
            rows = [label.get_text() for label in axis.get_yticklabels() if re.search("[a-z]", label.get_text())]
            title = title.replace("\n", " ")
            words = [title, axis.get_ylabel(), axis.get_xlabel() and f"against {axis.get_xlabel()}", ", ".join(rows)]
            panels.append(" ".join(filter(None, words)))
    curves = dict.fromkeys(name for axis in figure.axes for name in axis.get_legend_handles_labels()[1])
    told = "; ".join(filter(None, panels)) or "picture"
    finding = figure.get_suptitle().rstrip(".")
    return re.sub(
        r"\\,|[$\\\s]+",
        " ",
        f"Figure: {finding}{'. ' * bool(finding)}{told}" + (f". Curves: {', '.join(curves)}" if curves else ""),
    ).strip()


def picture(figure: Figure) -> tuple[bytes, dict]:
    """A figure for a notebook, as PNG and what is to be known of it: two pixels where its page has one, so that text is sharp, and a text in its place."""
    drawn, data = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=2 * figure.dpi, bbox_inches="tight")
    sharp = Image.open(drawn).convert("RGB")
    sharp.quantize(256, dither=Image.Dither.NONE).save(
        data, "PNG", optimize=True
    )  # a third of the bytes, and no eye sees it
    return data.getvalue(), {"width": sharp.width // 2, "height": sharp.height // 2, "alt": alt_text(figure)}


# ---------------------------------------------------------------- distributions


def _stack(series, bins=40, height=0.75, split=None, integers=False):
    """One histogram per label, one above another on a shared axis; returns figure and {label: axes}.

    Values beyond the 0.5% and 99.5% points of all series together are drawn in the outermost bins, and what
    lies below `split` in the colour of rejected.
    """
    series = {label: np.asarray(values, dtype=float) for label, values in series.items()}
    if not series or any(len(values) == 0 for values in series.values()):
        raise ValueError("There is nothing to plot: give at least one value for each label.")
    low, high = np.percentile(np.concatenate(list(series.values())), [0.5, 99.5])
    if high <= low:
        low, high = low - 0.5, high + 0.5
    if integers:
        low, high = np.floor(low), np.ceil(high) + 1
        edges = np.arange(low, high + 1, max(1, round((high - low) / bins)))
    elif split is not None and low < split < high:  # no bin straddles the split
        width = (high - low) / bins
        first, last = np.floor((low - split) / width), np.ceil((high - split) / width)
        edges = split + width * np.arange(first, last + 1)
    else:
        edges = np.linspace(low, high, bins + 1)
    figure, axes = _figure(len(series), 1, height=height * len(series) + 0.6, sharex=True)
    named = dict(zip(series, axes))
    for label, colour in colours(series).items():
        axis, values = named[label], np.clip(series[label], edges[0], np.nextafter(edges[-1], -np.inf))
        counts, _ = np.histogram(values, edges)
        shade = [MEANINGS["rejected"] if split is not None and e < split - 1e-12 else colour for e in edges[:-1]]
        axis.bar(edges[:-1], counts / len(values), np.diff(edges) * 0.92, align="edge", color=shade)
        axis.set_yticks([])
        axis.grid(False)
        axis.spines["left"].set_visible(False)
        axis.set_ylabel(label, rotation=0, ha="right", va="center")
    return figure, named


def _note(axis, text):
    """A few words at the right of a row."""
    axis.text(1.01, 0.5, text, transform=axis.transAxes, va="center", fontsize=8.5)


def plot_scores(scores: Mapping, name: str = "gold score", title: str | None = None) -> Figure:
    """{label: Scores}: the distribution of each policy's scores, its mean marked."""
    series = {label: _totals(values) for label, values in scores.items()}
    figure, axes = _stack(series)
    for label, axis in axes.items():
        axis.axvline(series[label].mean(), color=INK["ink"], linewidth=1.2)
        _note(axis, f"mean {series[label].mean():.2f}")
    axis.set_xlabel(f"{name} (line: mean)")
    return say_title(figure, title if title is not None else findings.of_scores(series, name))


def plot_votes(rewards: Mapping[str, ArrayLike], title: str | None = None) -> Figure:
    """{label: DPO rewards beta (d(yw) - d(yl)) of held-out pairs}: how policies vote (DPPO report, fig. 3B).

    Votes for the losing response, rewards below 0, are in the colour of rejected.
    """
    figure, axes = _stack(rewards, split=0.0)
    for label, axis in axes.items():
        axis.axvline(0, color=INK["ink"], linewidth=1)
        _note(axis, f"{(np.asarray(rewards[label]) < 0).mean():.0%} below 0")
    axis.set_xlabel("DPO reward  $\\beta\\,(d(y_w) - d(y_l))$ of held-out pairs")
    return say_title(figure, title if title is not None else findings.of_votes(rewards))


def plot_lengths(lengths: Mapping[str, ArrayLike], cut: int | None = None, title: str | None = None) -> Figure:
    """{label: lengths in tokens}; median and 95th percentile noted, and a line where `cut` truncates."""
    figure, axes = _stack(lengths, integers=True)
    for label, axis in axes.items():
        if cut is not None:
            axis.axvline(cut, color=INK["ink"], linewidth=1.2)
        median, high = np.percentile(lengths[label], [50, 95])
        _note(axis, f"median {median:.0f}\n95%: {high:.0f}")
    axis.set_xlabel("tokens" + ("" if cut is None else f" (line: cut at {cut})"))
    return say_title(figure, title if title is not None else findings.of_lengths(lengths, cut))


def plot_rewards(before: Mapping[str, ArrayLike], after: Mapping[str, ArrayLike], title: str | None = None) -> Figure:
    """Implicit rewards beta d(y) of chosen and rejected on the same pairs, before and after training.

    before, after: {"chosen": (n,), "rejected": (n,)}. Before DPO they are all 0: the policy is the reference.
    """
    edges = _edges([*before.values(), *after.values()])
    figure, axes = _figure(1, 2, sharex=True)
    for axis, rewards, which in zip(axes, (before, after), ("before", "after")):
        chosen, rejected = np.asarray(rewards["chosen"]), np.asarray(rewards["rejected"])
        for side, values in (("chosen", chosen), ("rejected", rejected)):
            axis.hist(np.clip(values, edges[0], edges[-1]), edges, color=MEANINGS[side], alpha=0.55, label=side)
        equal, share = (chosen == rejected).all(), (chosen > rejected).mean()
        verdict = "all equal" if equal else f"chosen above rejected in {share:.0%}"
        axis.set(title=f"{which}: {verdict}", xlabel="implicit reward  $\\beta\\,d(y)$")
    axes[0].set_ylabel("responses")
    _legend(figure, axes[0])
    return say_title(figure, title if title is not None else findings.of_rewards(after["chosen"], after["rejected"]))


def _edges(series, bins=40):
    """Histogram edges over all the series together, less the outermost 0.5% on either side."""
    low, high = np.percentile(np.concatenate([np.asarray(values) for values in series]), [0.5, 99.5])
    return np.linspace(low, high, bins + 1) if high > low else np.linspace(low - 0.5, high + 0.5, bins + 1)


# ---------------------------------------------------------------- who wins


def _rate(result, strict):
    """(rate, low, high) of a WinRate."""
    return (result.strict, *result.strict_interval) if strict else (result.rate, *result.interval)


def _draw_rates(axis, results, positions, colour, strict, label=None):
    """Dots with their 95% intervals along x, one per position on y."""
    rate, low, high = np.array([_rate(result, strict) for result in results]).T
    axis.hlines(positions, low, high, color=colour, linewidth=2)
    axis.plot(rate, positions, "o", color=colour, markersize=6, label=label)


def _rate_axis(axis, strict, against):
    """Shared look of the win-rate axes: 0 to 1, a line at one half."""
    axis.axvline(0.5, color=INK["line"], linestyle=":", linewidth=1.2, zorder=0)
    name = f"win rate against {against}" if against else "win rate"
    axis.set(xlim=(-0.02, 1.02), xlabel=f"{name} ({'ties lose' if strict else 'a tie is half'})")
    axis.grid(True, axis="x")
    axis.grid(False, axis="y")


def plot_win_rates(
    results: dict[str, WinRate], against: str = "", strict: bool = False, title: str | None = None
) -> Figure:
    """{label: WinRate}: a dot and its 95% interval per label, and the line at .5 where neither is better.

    against: the baseline's name, for the axis. strict: ties as losses; then .5 is not where equals meet.
    """
    figure, (axis,) = _figure(height=0.36 * len(results) + 0.9)
    positions = np.arange(len(results))[::-1]
    palette = colours(results)
    for position, label in zip(positions, results):
        _draw_rates(axis, [results[label]], [position], palette[label], strict)
        rate, low, high = _rate(results[label], strict)
        note = f"{rate:.2f} [{low:.2f}, {high:.2f}]  ties {results[label].tie_share:.2f}"
        axis.text(1.02, position, note, transform=axis.get_yaxis_transform(), va="center", fontsize=8.5)
    axis.set_yticks(positions, list(results))
    axis.set_ylim(-0.6, len(results) - 0.4)
    _rate_axis(axis, strict, against)
    return say_title(figure, title if title is not None else findings.of_rates(results, against, strict))


def plot_categories(results: dict, against: str = "", strict: bool = False, title: str | None = None) -> Figure:
    """{category: WinRate}, or {label: {category: WinRate}} to compare; the first policy's best on top."""
    policies = results if isinstance(next(iter(results.values())), dict) else {"": results}
    first = next(iter(policies.values()))
    categories = sorted(first, key=lambda category: _rate(first[category], strict)[0])
    figure, (axis,) = _figure(height=(0.22 + 0.12 * len(policies)) * len(categories) + 1.0)
    offsets = np.linspace(0.2, -0.2, len(policies)) if len(policies) > 1 else [0.0]
    palette = colours(policies)
    for offset, (label, found) in zip(offsets, policies.items()):
        rows = [i for i, category in enumerate(categories) if category in found]
        shown = [found[categories[i]] for i in rows]
        _draw_rates(axis, shown, np.array(rows) + offset, palette[label], strict, label or None)
    axis.set_yticks(range(len(categories)), [_plain(category.replace("_", " ")) for category in categories])
    axis.set_ylim(-0.6, len(categories) - 0.4)
    _rate_axis(axis, strict, against)
    _legend(figure, axis)
    return say_title(figure, title if title is not None else findings.of_categories(policies, strict))


def plot_sweep(
    values: ArrayLike,
    results: Sequence[WinRate] | dict[str, Sequence[WinRate]],
    label: str,
    against: str = "",
    strict: bool = False,
    title: str | None = None,
) -> Figure:
    """Win rate against a hyper-parameter: `values` (k,), 0 or more, on a log axis with 0 at its left end.

    results: k WinRates, or {label: k WinRates}. label: the hyper-parameter's name, for the axis.
    """
    curves = results if isinstance(results, dict) else {"": results}
    values = np.asarray(values, dtype=float)
    if (values < 0).any() or any(len(curve) != len(values) for curve in curves.values()):
        raise ValueError("A sweep needs values of 0 or more and one win rate for each of them.")
    order = np.argsort(values)
    values, curves = values[order], {name: [curve[i] for i in order] for name, curve in curves.items()}
    logs = np.log10(values[values > 0]) if (values > 0).any() else np.zeros(1)
    gap = np.median(np.diff(np.unique(logs))) if len(np.unique(logs)) > 1 else 1.0
    x = np.array([np.log10(value) if value > 0 else logs.min() - gap for value in values])
    figure, (axis,) = _figure()
    palette = colours(curves)
    # A little apart, so that intervals do not hide each other.
    shifts = (np.arange(len(curves)) - (len(curves) - 1) / 2) * 0.04 * gap
    for shift, (name, curve) in zip(shifts, curves.items()):
        rate, low, high = np.array([_rate(result, strict) for result in curve]).T
        axis.vlines(x + shift, low, high, color=palette[name], linewidth=1.6)
        axis.plot(x + shift, rate, "o-", color=palette[name], label=name or None)
    axis.axhline(0.5, color=INK["line"], linestyle=":", linewidth=1.2, zorder=0)
    axis.set_xticks(x, [f"{value:g}" for value in values])
    axis.set(xlabel=f"{label} (log scale)", ylabel=f"win rate against {against}" if against else "win rate")
    axis.set_ylim(*WHOLE["win_rate"])
    _legend(figure, axis)
    return say_title(figure, title if title is not None else findings.of_sweep(values, curves, label, strict))


def plot_parts(scores: Mapping, title: str | None = None) -> Figure:
    """{label: Scores}: the mean of each part of the judge's score, 0 to 1, with bootstrap 95% intervals."""
    from prefnb.evaluate import bootstrap_interval

    names = list(next(iter(scores.values())).parts)
    figure, (axis,) = _figure(height=(0.2 + 0.12 * len(scores)) * len(names) + 1.0)
    offsets = np.linspace(0.2, -0.2, len(scores)) if len(scores) > 1 else [0.0]
    palette = colours(scores)
    for offset, (label, judged) in zip(offsets, scores.items()):
        y = np.arange(len(names))[::-1] + offset
        intervals = np.array([bootstrap_interval(judged.parts[name]) for name in names])
        axis.hlines(y, intervals[:, 0], intervals[:, 1], color=palette[label], linewidth=2)
        axis.plot([judged.parts[name].mean() for name in names], y, "o", color=palette[label], label=label)
    axis.set_yticks(np.arange(len(names))[::-1], names)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(names) - 0.4), xlabel="mean over prompts")
    axis.grid(True, axis="x")
    axis.grid(False, axis="y")
    _legend(figure, axis)
    return say_title(figure, title if title is not None else findings.of_parts(scores))

import ast
import base64
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib import cbook, colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from nbclient import NotebookClient

from prefnb import plots
from prefnb.evaluate import win_rate
from prefnb.judges import Scores
from prefnb.training import History

matplotlib.use("Agg")
RNG = np.random.default_rng(0)
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def book_style():
    with plots.plt.style.context("prefnb.book"):
        yield


def history(steps=60):
    names = ("loss", "margin", "accuracy", "logp_chosen", "logp_rejected")
    rows = [{"step": i + 1, **{name: float(RNG.normal()) for name in names}} for i in range(steps)]
    evals = [{"step": i, "win_rate": 0.5 + i / 200, "kl_k3": i / 10} for i in range(0, steps, 20)]
    return History(rows=rows, evals=evals)


def rate(mean):
    return win_rate(RNG.normal(mean, 1, 50), np.zeros(50), tie=0.1)


def judged(mean):
    return Scores(RNG.normal(mean, 1, 50), {"fluency": RNG.random(50), "honesty": RNG.random(50)})


def several(mean):
    """Four draws of 20 prompts."""
    return Scores(RNG.normal(mean, 1, (20, 4)), {"fluency": RNG.random((20, 4))})


def normal(mean, n=50):
    return RNG.normal(mean, 1, n)


FIGURES = {
    "training": lambda: plots.plot_training(history()),
    "training of two": lambda: plots.plot_training({"DPO": history(), "DPPO": history()}),
    "training of six": lambda: plots.plot_training(
        {f"DPPO minimum likelihood, run {i}": history() for i in range(6)}, ["loss", "margin"]
    ),
    "logprobs": lambda: plots.plot_logprobs({"DPO": history(), "DPPO": history()}),
    "kl": lambda: plots.plot_kl({"DPO": history(), "DPPO": history()}),
    "rewards": lambda: plots.plot_rewards(
        {"chosen": np.zeros(9), "rejected": np.zeros(9)}, {"chosen": normal(1), "rejected": normal(-1)}
    ),
    "scores": lambda: plots.plot_scores({"base": judged(2), "SFT": judged(4), "DPO": judged(6)}),
    "scores of draws": lambda: plots.plot_scores({"SFT": several(4), "DPO": several(6)}),
    "parts of draws": lambda: plots.plot_parts({"SFT": several(4), "DPO": several(6)}),
    "parts": lambda: plots.plot_parts({"base": judged(2), "SFT": judged(4)}),
    "votes": lambda: plots.plot_votes({"SFT": np.zeros(9), "DPO": normal(1), "DPPO contrastive": normal(2)}),
    "lengths": lambda: plots.plot_lengths({"prompt": RNG.poisson(9, 99), "answer": RNG.poisson(40, 99)}, 60),
    "win rates": lambda: plots.plot_win_rates({"DPO": rate(0.5), "unlikelihood": rate(1)}, against="SFT"),
    "categories": lambda: plots.plot_categories({c: rate(m) for c, m in zip(["math", "creative"], [1, -1])}),
    "categories of two": lambda: plots.plot_categories(
        {label: {c: rate(0) for c in ("math", "creative")} for label in ("DPO", "DPPO")}, against="SFT"
    ),
    "sweep": lambda: plots.plot_sweep([0, 0.1, 1, 10], [rate(0)] * 4, "α", against="SFT"),
    "sweep of two": lambda: plots.plot_sweep([0, 1], {"a": [rate(0)] * 2, "b": [rate(1)] * 2}, "α"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_clipped_or_empty(name):
    """Text beyond the figure's edge, an empty panel, an empty legend, a figure that pyplot keeps."""
    figure = FIGURES[name]()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert plots.plt.get_fignums() == []
    assert figure.get_size_inches()[0] * figure.dpi == 800
    visible = [axis for axis in figure.axes if axis.get_visible()]
    assert all(axis.has_data() for axis in visible)
    assert all(legend.get_texts() for legend in figure.legends)
    drawn, (width, height) = figure.get_tightbbox(canvas.get_renderer()), figure.get_size_inches()
    assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_title_and_the_callers_wins(name, monkeypatch):
    """A figure without a finding; a caller's words written over."""
    said = FIGURES[name]().get_suptitle()
    assert len(said) > 12
    wrapped = {one: getattr(plots, one) for one in vars(plots) if one.startswith("plot_")}
    for one, plot in wrapped.items():
        monkeypatch.setattr(plots, one, partial(plot, title="what the caller says"))
    assert FIGURES[name]().get_suptitle() == "what the caller says"


def watched(steps=24):
    """A run with batches that jump, and held-out pairs of which the rejected response falls from 0 to -4."""
    rows = [{"step": i + 1, "margin": float(RNG.normal(0, 9)), "logp_chosen": -9.0, "logp_rejected": -9.0} for i in range(steps)]
    evals = [
        {"step": i, **{f"heldout_{name}{end}": value + more for name, value in
                       (("margin", i / 10), ("d_chosen", 0.0), ("d_rejected", -i / 6)) for end, more in
                       (("", 0.0), ("_low", -0.5), ("_high", 0.5))}}
        for i in range(0, steps + 1, 6)
    ]  # fmt: skip
    return History(rows, evals)


def test_held_out_pairs_are_the_strong_curve():
    """A strong curve of single batches; log-probs of batches where changes of held-out pairs were seen; a run on held-out
    pairs against one on its own."""
    figure = plots.plot_training(watched())
    titles = [axis.get_title(loc="left") for axis in figure.axes if axis.get_visible()]
    faint, strong = (line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 2)
    assert faint.get_alpha() < 0.5 and strong.get_ydata().tolist() == [0, 0.6, 1.2, 1.8, 2.4]
    assert "d(y_w)" in titles[1] and figure.axes[1].get_ylim() == figure.axes[2].get_ylim()
    assert figure.get_suptitle().startswith("held-out pairs: margin 0 to 2.40")
    assert plots.plot_logprobs(watched()).get_suptitle() == "rejected falls 4.0 nats, chosen +0.0 (cannot be told)"
    mixed = plots.plot_training({"A": watched(40), "B": history()}, ["margin"]).axes[0]
    assert [len(line.get_xdata()) for line in mixed.get_lines()[:4]] == [40, 40, 60, 60]  # like beside like


def test_axes_do_not_make_much_of_little():
    """Wiggles of a hundredth that fill a panel; one wild batch that flattens a curve; shares on a part of their axis."""
    quiet = [{"step": i + 1, "margin": 0.01 * (-1) ** i, "accuracy": 0.7, "loss": 50.0 if i == 9 else 0.5} for i in range(60)]
    margin, accuracy, loss = plots.plot_training(History(quiet), ["margin", "accuracy", "loss"]).axes
    assert np.ptp(margin.get_ylim()) >= 0.5 and accuracy.get_ylim() == (-0.02, 1.02) and loss.get_ylim()[1] < 20
    assert plots.rate_limits([0.4], [0.7]) == (0.24, 0.76) and plots.rate_limits([0.1], [0.7]) == (-0.02, 1.02)


def test_runs_of_one_method_have_its_shades():
    """DPO in DPO's colour in one figure and in another's in the next."""
    found = plots.colours(["DPO, beta 0.02", "DPO, beta 0.1", "DPO, beta 0.5", "SimPO"])
    red, green, blue = (np.array([to_rgb(found[f"DPO, beta {beta}"])[i] for beta in (0.02, 0.1, 0.5)]) for i in range(3))
    assert found["DPO, beta 0.1"] == plots.METHODS["dpo"] and (np.diff(green) < 0).all() and (blue > red).all()
    assert plots.colours(["DPO, twice the pairs", "DPO"])["DPO"] == plots.METHODS["dpo"]


def test_labels_never_share_a_colour():
    """Two runs in one colour cannot be told apart; known names keep theirs."""
    found = plots.colours(["SFT", "DPO, β 1", "DPO", "DPPO (unlikelihood), α 1", "dppo", "β = 0.1", "β = 1"])
    assert len(set(found.values())) == 7
    assert found["DPO"] == plots.METHODS["dpo"]
    assert found["DPPO (unlikelihood), α 1"] == plots.METHODS["unlikelihood"]


def test_chosen_and_rejected_keep_their_colours():
    """A reader learns them once."""
    axis = plots.plot_logprobs(history()).axes[0]
    drawn = {line.get_label(): to_hex(line.get_color()).upper() for line in axis.get_lines()}
    assert drawn["chosen"] == plots.MEANINGS["chosen"] and drawn["rejected"] == plots.MEANINGS["rejected"]


def test_smoothing_keeps_a_line_straight_and_its_length():
    """Zero-padded ends would bend every curve towards 0 at its start and end."""
    np.testing.assert_allclose(plots.smooth(np.full(50, 3.0), 9), 3.0)
    np.testing.assert_allclose(plots.smooth(np.arange(50.0), 9)[10:40], np.arange(10, 40))
    assert len(plots.smooth(np.arange(3.0), 9)) == 3


def test_votes_are_split_at_zero():
    """A bin across 0 would count small losses as wins; the note must be the share of the data."""
    rewards = np.array([-0.01] * 25 + [0.01] * 75)
    axis = plots.plot_votes({"DPO": rewards}).axes[0]
    below = sum(p.get_height() for p in axis.patches if p.get_x() + p.get_width() <= 0)
    assert below == pytest.approx(0.25) and axis.texts[0].get_text() == "25% below 0"


def test_a_sweep_shows_zero_left_of_the_smallest_value():
    """log(0) has no place on a log axis; alpha 0 is DPO and must be seen."""
    rates = [rate(mean) for mean in (1, 0, 2, 3)]
    axis = plots.plot_sweep([0.1, 0, 1, 10], rates, "α").axes[0]
    assert np.allclose(np.diff(axis.get_xticks()), 1.0)
    assert axis.get_lines()[0].get_ydata().tolist() == [rates[i].rate for i in (1, 0, 2, 3)]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0", "0.1", "1", "10"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: plots.plot_training(History()),
        lambda: plots.plot_votes({}),
        lambda: plots.plot_sweep([-1], [rate(0)], "a"),
    ],
)
def test_nothing_to_plot_is_one_clear_error(call):
    """Matplotlib's own message would be about shapes."""
    with pytest.raises(ValueError):
        call()


def test_a_live_figure_is_silent_outside_a_notebook():
    """Scripts pass it too: it must neither draw nor fail there."""
    live = plots.LiveFigure(plot=lambda history: pytest.fail("drew outside a notebook"), seconds=0)
    live.update(history())
    live.finish(history())


def test_live_drawing_is_rationed_and_ends_with_the_last_state(monkeypatch):
    """Drawing at every step would take longer than the steps; the last state must be shown all the same."""
    shown, clock = [], [0.0]
    monkeypatch.setattr(plots, "_in_notebook", lambda: True)
    monkeypatch.setattr(plots.time, "monotonic", lambda: clock[0])
    handle = SimpleNamespace(update=shown.append)
    monkeypatch.setattr("IPython.display.display", lambda figure, display_id: shown.append(figure) or handle)
    monkeypatch.setattr(plots, "_coarse", lambda figure: -figure)
    live, seen = plots.LiveFigure(plot=lambda history: len(history.rows), seconds=1.0), History()
    for step in range(100):
        clock[0] = 0.1 * step
        seen.rows.append({"step": step + 1, "loss": 0.0})
        live.update(seen)
    live.finish(seen)
    assert 8 <= len(shown) <= 11 and shown[-1] == 100
    assert all(one < 0 for one in shown[:-1])  # coarse while it goes on, whole at the end


HISTORY = """
import matplotlib.pyplot as plt
plt.style.use("prefnb.book")
from prefnb.plots import LiveFigure, plot_training

class History:  # the real one imports torch, which takes seconds
    rows, evals, names = [], [], ["loss"]
    def __getitem__(self, name):
        return [row["step"] for row in self.rows], [row[name] for row in self.rows]
"""
LIVE = """
history, live = History(), LiveFigure(seconds=0)
for step in range(3):
    history.rows.append({"step": step + 1, "loss": 1.0 - step})
    live.update(history)
live.finish(history)
"""


def test_each_picture_is_in_the_saved_notebook_once():
    """Drawn in a widget it is lost, drawn at each update it is there many times, kept by pyplot twice."""
    sources = [HISTORY, LIVE, "plot_training(history)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs
        assert "image/png" in output.data
    seen = output.metadata["image/png"]  # sharp, as wide as the page, and with words for those who do not see it
    assert seen["width"] < 850 and base64.b64decode(output.data["image/png"])[16:20] >= (1500).to_bytes(4, "big")
    assert seen["alt"] == "Figure: loss: no trend that is clear of the noise. loss against step"


@pytest.mark.parametrize("name", ["$\\undefinedmacro$", "$^$", "${$", "a $3 and $4 b", "\\$", "half \ud800", "a_b"])
def test_a_category_of_the_data_is_no_mathematics(name, tmp_path):
    """These raised in the last cell of a notebook, after all the training."""
    rate = win_rate(np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.0, 0.0]))
    figure = plots.plot_categories({name: rate, "other": rate}, against="SFT")
    figure.savefig(tmp_path / "x.png")
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert all(not cbook.is_math_text(text) for text in shown)


def test_a_pressed_button_stops_the_run_and_goes_away(monkeypatch):
    """A button that nobody listens to, or that still stands there when the run is over."""
    shown = []
    monkeypatch.setattr(plots, "_in_notebook", lambda: True)
    monkeypatch.setenv("JPY_SESSION_NAME", "02_dpo.ipynb")
    monkeypatch.setattr(plots.widgets, "show_widget", lambda widget, _: shown.append(widget))
    live = plots.LiveFigure(seconds=1e9)
    live.update(History())
    (button,) = shown
    button.click()
    with pytest.raises(KeyboardInterrupt):
        live.update(History())
    closed = []
    monkeypatch.setattr(button, "close", lambda: closed.append(True))
    live.finish(History())
    assert closed


COLOUR_WORDS = {*colors.BASE_COLORS, *colors.CSS4_COLORS, *(f"C{n}" for n in range(10))} - plots.COLOURS.keys()
GIVEN = re.compile(r"(colou?r|facecolors?|edgecolors?|ecolor|markerfacecolor|markeredgecolor|mfc|mec|shade|fill|stroke|cmap)s?$")
HEX = re.compile(r"(?<![&\w])#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")


def named_colours(text: str) -> list[str]:
    """Colours that code names: any hex colour in a string, and a colour's name that is given as a colour."""
    found, tree = [], ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += HEX.findall(re.sub(r"var\([^)]*\)", "", node.value))  # but not a page's own theme
        given = [(one.arg, one.value) for one in getattr(node, "keywords", ())]
        if isinstance(node, ast.Dict):
            given += [(getattr(key, "value", ""), value) for key, value in zip(node.keys, node.values)]
        if isinstance(node, ast.Assign):
            given += [(getattr(target, "id", ""), node.value) for target in node.targets]
        for name, value in given:
            if isinstance(name, str) and GIVEN.match(name):
                words = (part.value for part in ast.walk(value) if isinstance(part, ast.Constant))
                found += [word for word in words if word in COLOUR_WORDS]
    return found


def test_colours_named_in_code_are_found():
    """The test below would pass on anything."""
    code = 'axis.plot(x, color="black")\naxis.bar(x, color=["C0", f(y)])\nc = "#0072B2"\nlook = {"color": "white" if dark else ink}'
    assert sorted(named_colours(code)) == ["#0072B2", "C0", "black", "white"]
    assert named_colours('fox = ("red", "forest")\naxis.plot(x, "o", color=COLOURS["chosen"])\nn = "&#8629;"') == []


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("notebooks/*.py")), *sorted(ROOT.glob("prefnb/**/*.py"))], ids=lambda path: path.name)
def test_colours_come_from_the_one_table(path):
    """A colour that means one thing here and another there. A method's own colour is in the method's file, and goes into the
    table from there."""
    text = path.read_text(encoding="utf-8")
    if path.parent.name == "methods":
        text = re.sub(r"^COLOUR = .*$", "", text, flags=re.M)
    assert path.name == "plots.py" or named_colours(text) == []

"""Views for a notebook: responses side by side, tokens coloured by their response mask.

Model text may hold anything, so all of it is escaped. Colours are see-through and borders grey, for light
themes and dark ones; what colour says, bold type or words say too, since some viewers of saved notebooks drop
colours.
"""

from __future__ import annotations

import html
from typing import Callable, Iterable, Sequence

import numpy as np
from IPython.display import HTML, Markdown, display

_TABLE = "width:100%; table-layout:fixed; border-collapse:collapse"
_CELL = (
    "text-align:left; vertical-align:top; white-space:pre-wrap; border:1px solid rgba(128,128,128,.4); padding:4px 8px"
)
_PROMPT = _CELL + "; background:rgba(128,128,128,.15)"
# In one piece: a box that breaks after its leading space leaves its beginning behind, over the edge of a narrow page.
_TOKEN = "display:inline-block; white-space:pre; line-height:1.4; border:1px solid rgba(128,128,128,.35); border-radius:3px; padding:0 1px"
_RESPONSE_TOKEN = _TOKEN + "; background:rgba(0,158,115,.30)"
NO_MATH = 'class="tex2jax_ignore mathjax_ignore"'  # "$3 or $4" is money, not mathematics


def say(text: str) -> None:
    """A sentence of a notebook as Markdown, with the figures of this run in it."""
    display(Markdown(text))


def show_table(*rows: Sequence) -> None:
    """Show rows of cells as a table; the first row is the header. Numbers with a fraction get three decimals.

    For a run's own labels and figures: cells may hold Markdown, so text from a data set or a model goes
    through `escaped`.
    """
    lines = ["| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in row) + " |" for row in rows]
    display(Markdown("\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])))


def escaped(text: str) -> str:
    """Text of a data set or a model, to stand in Markdown as it is: no markup, no links or pictures, no mathematics."""
    plain = "".join(
        c if c.isalnum() or c == " " or ord(c) > 127 else "<br>" if c == "\n" else f"&#{ord(c)};" for c in str(text)
    )
    return f"<span {NO_MATH}>{plain}</span>"


def _question(prompt):
    """A prompt to read: all its turns if there are several, with their roles."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt)


def responses_html(
    prompts: Sequence[list[dict]],
    responses: dict[str, Sequence],
    scores: dict | None = None,
    categories: Sequence[str] | None = None,
    rows: Sequence[int] = (0, 1, 2),
) -> str:
    """An HTML table: for each prompt in `rows` its text, below it one response per label with its score.

    prompts: message lists (n,). responses: {label: n strings or `Sample`s, or K for each prompt in a row, of which the
    first is shown}. scores: {label: `Scores`, (n,) or (n, K)} or None. categories: (n,) or None.
    """
    for label, column in responses.items():
        if not column or len(column) % len(prompts):
            raise ValueError(f"There are {len(prompts)} prompts but {len(column)} responses for {label!r}.")
    for label, found in (scores or {}).items():
        if len(found) != len(prompts):
            raise ValueError(f"There are {len(prompts)} prompts but {len(found)} scores for {label!r}.")
    head = "".join(f'<th style="{_CELL}">{html.escape(str(label))}</th>' for label in responses)
    body = []
    for i in rows:
        category = f" <i>({html.escape(str(categories[i]))})</i>" if categories is not None else ""
        question = html.escape(_question(prompts[i]))
        width = len(responses)
        body.append(f'<tr><td colspan="{width}" style="{_PROMPT}"><b>{question}</b>{category}</td></tr>')
        cells = []
        for label, column in responses.items():
            first = column[i * (len(column) // len(prompts))]
            text = html.escape(getattr(first, "text", first))
            note = f"<br><small>{_score_line(scores[label], i)}</small>" if scores and label in scores else ""
            cells.append(f'<td style="{_CELL}">{text}{note}</td>')
        body.append("<tr>" + "".join(cells) + "</tr>")
    return f'<table {NO_MATH} style="{_TABLE}"><tr>{head}</tr>{"".join(body)}</table>'


def _score_line(scores, i):
    """The scores of the first response to prompt i."""
    of = lambda values: f"{np.ravel(values[i])[0]:.2f}"  # noqa: E731
    parts = ", ".join(f"{html.escape(name)} {of(part)}" for name, part in scores.parts.items())
    return f"<b>score {of(scores.total)}</b>" + (f" ({parts})" if parts else "")


def show_responses(
    prompts: Sequence[list[dict]],
    responses: dict[str, Sequence],
    scores: dict | None = None,
    categories: Sequence[str] | None = None,
    rows: Sequence[int] = (0, 1, 2),
) -> None:
    """Show a few prompts with every label's response, and below, in JupyterLab, a browser through all.

    The first table is an ordinary output, there for readers of the saved notebook too. Arguments:
    `responses_html`'s.
    """
    rows = [i for i in rows if i < len(prompts)]
    display(HTML(responses_html(prompts, responses, scores, categories, rows)))
    browser = _browser(prompts, responses, scores, categories)
    show_widget(browser, "Run this notebook to browse all the prompts here.")


def _browser(prompts, responses, scores, categories):
    """A category menu, a slider over that category's prompts, and the table of the prompt chosen."""
    import ipywidgets

    everything = "all categories"
    names = [str(c) for c in categories] if categories is not None else [everything] * len(prompts)
    options = [everything, *sorted(set(names) - {everything})]
    menu = ipywidgets.Dropdown(options=options, description="category")
    slider = ipywidgets.IntSlider(min=0, max=len(prompts) - 1, description="prompt", continuous_update=False)
    table = ipywidgets.HTML()

    def chosen_rows():
        return [i for i, name in enumerate(names) if menu.value in (everything, name)]

    def show(_=None):
        table.value = responses_html(prompts, responses, scores, categories, [chosen_rows()[slider.value]])

    def change_category(_):
        slider.max = len(chosen_rows()) - 1  # the slider moves its value inside by itself
        show()

    menu.observe(change_category, "value")
    slider.observe(show, "value")
    show()
    return ipywidgets.VBox([ipywidgets.HBox([menu, slider]) if categories is not None else slider, table])


def explore(view: Callable[..., str], *above, **controls) -> None:
    """Display `view(**values)`, an HTML string, and draw it anew whenever one of the controls (ipywidgets, by the name of
    the argument that they set) changes. above: what else is shown, on top.

    Unlike `interact` it needs no Output widget: where nobody looks, `nbclient` answers such a widget while it waits for
    the cell, and once in some hundred times it then waits for ever (its issue 312).
    """
    import ipywidgets

    shown = ipywidgets.HTML()

    def show(_=None):
        drawn = view(**{name: control.value for name, control in controls.items()})
        shown.value = f'<div style="line-height:1.5">{drawn}</div>'  # a widget's own lines are as high as a slider

    for control in controls.values():
        control.observe(show, "value")
    show()
    show_widget(ipywidgets.VBox([*above, *controls.values(), shown]), "Run this notebook to try it here.")


def show_widget(widget, instead):
    """Display a widget with a sentence in its place for viewers that cannot run widgets."""
    bundle = widget._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    display(data | {"text/plain": instead}, metadata=metadata, raw=True)


def show_button(label: str, press: Callable):
    """Display a button and return it: `press(button)` is called when it is pressed, in a thread of its own, so that it
    works while a cell runs. `close()` takes it away."""
    import ipywidgets

    button = ipywidgets.Button(description=label, layout=ipywidgets.Layout(width="auto"))
    button.on_click(press)
    if hasattr(button.comm, "_reply_subshell_for"):
        # ipykernel 7.4 hands what a widget says to the thread that wrote to it last: here that of the cell, which is busy.
        button.comm._reply_subshell_for = lambda data, came_by: came_by
    show_widget(button, f"A button to press while this runs: {label}.")
    return button


def _box(token: str, style: str, tag: str = "span", more: str = "") -> str:
    """A token in its box; a new line is an arrow, and the line ends after the box."""
    text = html.escape(token).replace("\n", "&#8629;")
    return f'<{tag} style="{style}"{more}>{text}</{tag}>' + "<br>" * ("\n" in token)


def tokens_html(tokens: Iterable[str], mask: Iterable[bool]) -> str:
    """Tokens (strings) in boxes, those under the mask bold on green; a new line shows as an arrow too."""
    tokens, mask = list(tokens), [bool(m) for m in mask]
    if len(tokens) != len(mask):
        raise ValueError(f"There are {len(tokens)} tokens but {len(mask)} mask entries.")
    boxes = []
    for token, in_response in zip(tokens, mask):
        boxes.append(_box(token, _RESPONSE_TOKEN, "b") if in_response else _box(token, _TOKEN))
    inside, outside = sum(mask), len(mask) - sum(mask)
    legend = f"<b>bold on green</b>: {inside} response tokens, inside the loss; the other {outside} are not"
    return f'<div {NO_MATH} style="line-height:1.9">{"".join(boxes)}<br><small>{legend}</small></div>'


def show_tokens(tokens: Iterable[str], mask: Iterable[bool]) -> None:
    """Show a dialog's tokens, the response mask in colour: what the loss sees and what it does not."""
    display(HTML(tokens_html(tokens, mask)))


def strips_html(strips: Sequence[tuple[str, Sequence[str], Sequence[float]]], strongest: float = 2.0) -> str:
    """Strips of tokens, (label, tokens, values) each: a token that gained, a value above 0, is blue and underlined, one that
    lost orange, the stronger the more, up to `strongest`. The number stands in each token's tooltip."""
    rows = []
    for label, tokens, values in strips:
        if len(tokens) != len(values):
            raise ValueError(f"There are {len(tokens)} tokens but {len(values)} values.")
        boxes = []
        for token, value in zip(tokens, values):
            shade = "0,114,178" if value > 0 else "213,94,0"
            style = f"{_TOKEN}; background:rgba({shade},{0.65 * min(1.0, abs(value) / strongest):.2f})"
            style += "; text-decoration:underline" if value > 0.1 else ""
            boxes.append(_box(token, style, more=f' title="{value:+.2f} nats"'))
        rows.append(f"<div><b>{html.escape(label)}</b>: {sum(values):+.1f} nats in all<br>{''.join(boxes)}</div>")
    legend = f"<small>blue, underlined: likelier than before; orange: less likely; full colour from {strongest:g} nats on</small>"
    return f'<div {NO_MATH} style="line-height:1.9">{"".join(rows)}{legend}</div>'


def show_answers(comparison, labels: Sequence[str]) -> None:
    """`show_responses` of some policies of a `course.Comparison`, with its judge's scores and categories if it has them."""
    show_responses(
        comparison.prompts,
        {label: comparison.answers[label] for label in labels},
        {label: comparison.scores[label] for label in labels} if comparison.judge else None,
        comparison.categories if any(comparison.categories) else None,
    )

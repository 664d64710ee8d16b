"""A formula whose numbers can be dragged: each is a slider of its own, tied to the slider below that has its name.

    Formula.of("−log σ( {beta} · ({d_chosen} − {d_rejected}) )", {"beta": slider, ...})

It is set as MathML, which browsers typeset themselves, so that its numbers are elements that a hand can take hold of.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any, Mapping

import anywidget
import traitlets

PIECES = re.compile(r"\{(?P<name>\w+)\}|(?P<number>\d+(?:\.\d+)?)|(?P<word>[^\W\d]+)|(?P<sign>[^\s\w{}])")


class Formula(anywidget.AnyWidget):
    """values: {name: number} of what stands in the formula; ranges: {name: [low, high, step]}."""

    _esm = Path(__file__).with_name("formula.js")
    _css = """
    .prefnb-formula { font-size: 1.3em; line-height: 2.2; overflow-x: auto; }
    .prefnb-formula [data-name] { cursor: ew-resize; touch-action: none; user-select: none; border-bottom: 2px dotted;
      color: var(--jp-brand-color1, #1976d2); padding: 0 .15em; }
    .prefnb-formula [data-name]:focus { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 2px; }
    """
    mathml = traitlets.Unicode().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    ranges = traitlets.Dict().tag(sync=True)

    @classmethod
    def of(cls, template: str, controls: Mapping[str, Any]) -> Formula:
        """The formula of a template, its {names} tied both ways to controls: ipywidgets' sliders, by their names."""
        names = [name for name in re.findall(r"\{(\w+)\}", template)]
        unknown = [name for name in names if name not in controls]
        if unknown:
            raise ValueError(f"The formula names {', '.join(unknown)}, but the sliders are {', '.join(controls)}.")
        here = {name: controls[name] for name in names}
        made = cls(
            mathml=as_mathml(template),
            values={name: one.value for name, one in here.items()},
            ranges={name: [one.min, one.max, one.step] for name, one in here.items()},
        )
        for name, one in here.items():
            one.observe(lambda change, name=name: made._told(name, change.new), "value")
        made.observe(lambda change: [setattr(one, "value", change.new[name]) for name, one in here.items()], "values")
        return made

    def _told(self, name: str, value: float) -> None:
        if self.values[name] != value:
            self.values = {**self.values, name: value}


def as_mathml(template: str) -> str:
    """A line of a formula as MathML: words are identifiers ("d_w" with an index), the rest signs; {names} stand for
    numbers."""
    parts = []
    for found in PIECES.finditer(template):
        kind, text = found.lastgroup, html.escape(found.group(found.lastgroup))
        if kind == "name":
            parts.append(f'<mn data-name="{text}"></mn>')
        elif kind == "word" and "_" in text:
            base, index = text.split("_", 1)
            parts.append(f"<msub><mi>{base}</mi><mi>{index}</mi></msub>")
        else:
            tag = {"number": "mn", "word": "mi", "sign": "mo"}[kind]
            parts.append(f"<{tag}>{text}</{tag}>")
    return f'<div class="prefnb-formula"><math display="inline">{"".join(parts)}</math></div>'

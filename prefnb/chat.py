"""Chat side by side: one prompt, several policies' answers, the gold judge's four scores as bars, and why each score."""

from __future__ import annotations

import html
from typing import Mapping

import torch
from IPython.display import HTML, display
from transformers import PreTrainedTokenizerBase

from prefnb import course, pocket, widgets

TOKENS, LONGEST = 112, 400  # the longest answer, in tokens, and prompt, in characters
BAR = "display:inline-block; height:.7em; background:rgba(0,158,115,.75); border-radius:2px"
CARD = "flex:1 1 15em; border:1px solid rgba(128,128,128,.4); border-radius:4px; padding:6px 10px; min-width:13em"
QUALITIES = tuple(name for name in pocket.Judgement._fields if name != "total")


def show(policies: Mapping[str, torch.nn.Module], tokenizer: PreTrainedTokenizerBase, prompt: str) -> None:
    """Ask policies, {name: model}, side by side: first a static answer to `prompt`, then the same with a box to type in."""
    import ipywidgets

    def asked(text: str) -> str:
        return cards(text, answers(policies, tokenizer, text))

    display(HTML(asked(prompt)))
    box = ipywidgets.Text(prompt, continuous_update=False, layout={"width": "95%"}, description="prompt")
    widgets.explore(lambda text: asked(text), text=box)


def answers(policies: Mapping[str, torch.nn.Module], tokenizer: PreTrainedTokenizerBase, prompt: str) -> dict[str, str]:
    """{name: a policy's greedy answer}. Nothing of a prompt is an answer of nothing; of a very long one the beginning is asked."""
    if not prompt.strip():
        return {}
    message = [[{"role": "user", "content": prompt.strip()[:LONGEST]}]]
    settings = dict(draws=1, temperature=0.0, max_new_tokens=TOKENS)
    return {name: course.answers_of(model, tokenizer, message, **settings)[0].text for name, model in policies.items()}


def cards(prompt: str, said: Mapping[str, str]) -> str:
    """The answers as cards, with bars and reasons, as HTML."""
    if not said:
        return "<i>Type a prompt, and press Enter.</i>"
    known = bool(pocket.explained(prompt, "nothing"))
    note = (
        "" if known else "<div><i>No request of the pocket world: the judge does not know what is right here.</i></div>"
    )
    inside = "".join(_card(name, prompt, text, known) for name, text in said.items())
    return f'<div {widgets.NO_MATH}><b dir="auto">{html.escape(prompt)}</b>{note}<div style="display:flex; flex-wrap:wrap; gap:8px">{inside}</div></div>'


def _card(name: str, prompt: str, text: str, known: bool) -> str:
    shown = html.escape(text).replace("\n", "<br>") or "<i>nothing</i>"
    head = f'<div style="{CARD}"><b>{html.escape(name)}</b><div dir="auto">{shown}</div>'
    if not known:
        return f"{head}</div>"
    found = pocket.score(prompt, text)
    rows = "".join(
        f'<div><small>{quality} {getattr(found, quality):.2f}</small> '
        f'<span style="{BAR}; width:{4 * getattr(found, quality):.2f}em"></span></div>' for quality in QUALITIES)  # fmt: skip
    reasons = [f"{part}: {_verdict(credit, false)}" for part, credit, false in pocket.explained(prompt, text)]
    reasons += [flaw for flaw in pocket.FLAWS if flaw in pocket.flaws(prompt, text)]
    told = f"<small>{html.escape('; '.join(reasons))}</small>"
    return f"{head}<hr style='margin:4px 0'><b>{found.total:.1f}</b> of 10{rows}{told}</div>"


def _verdict(credit: float, false: bool) -> str:
    return "false" if false and credit < 1 else "right" if credit == 1 else "partly" if credit > 0 else "missing"

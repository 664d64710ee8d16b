"""Every number in a notebook's prose comes from somewhere: from its code, its outputs, its formulas or the papers."""

import re

import jupytext
import pytest
from notebook_source import NOTEBOOKS

from prefnb import your_turn
from prefnb.claims.table import CLAIMS
from prefnb.lessons import be_the_annotator

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d*\.\d+|\d+)(?![\w]|\.\d)")
# What is no figure of any run: names of papers and notebooks, years, numbered lists, headings, links, versions, code.
NAMES_AND_DATES = re.compile(
    r"(?:papers?\s+)?\b00[1-4]\b|\b(?:19|20)\d\d\b|^\s*#*\s*\d+\.?\s(?=\S)|\[[^\]]*\]\([^)]*\)"
    r"|§\s?\d[\d.]*|notebooks?\s+[\d, and]+|(?:eq|fig|section|table|exercise|solution|claim|step|part|item)s?\.?\s+\d[\d.]*"
    r"|Qwen\d[\d.]*-\d[\d.]*B|\b\d\d\s+·",
    re.IGNORECASE | re.MULTILINE,
)

# Facts that no run can give: the interval of every interval, the pairs of "Your turn", billions of weights of Qwen2.5-0.5B,
# how sure a calibrated judge would be, a cut in tokens in paper 003's text, and what the recorded annotator calls a tie.
FACTS = {95.0, float(your_turn.PAIRS), 0.49, 90.0, 420.0, be_the_annotator.LEVEL}


def value(number):
    return float(number.replace(",", ""))


def numbers(text):
    return {value(found) for found in NUMBER.findall(text)}


def prose(text):
    """A markdown cell without mathematics, code and names."""
    for pattern in (r"```.*?```", r"\$\$.*?\$\$", r"\$[^$\n]+(?:\n[^$\n]+)?\$", r"`[^`]*`", r"<details>.*?</details>"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    return NAMES_AND_DATES.sub(" ", text)


def told_by(cell):
    """All text that a cell put out."""
    for output in cell.get("outputs", []):
        yield from ("".join(output.get("text", "")), *("".join(part) for part in texts_of(output)))


def texts_of(output):
    data = output.get("data", {})
    yield from (data[kind] for kind in ("text/plain", "text/markdown", "text/html") if kind in data)
    yield from (str(about.get("alt", "")) for about in output.get("metadata", {}).values() if isinstance(about, dict))


def known(notebook):
    """Every number in its code, its outputs and its formulas, also as a share of a hundred."""
    texts = [text for cell in notebook.cells for text in told_by(cell)]
    texts += [re.sub(r"(?<=\d)_(?=\d)", "", cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    formulas = [
        part
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for part in re.findall(r"\$[^$]+\$|`[^`]+`|<details>.*?</details>", cell.source, re.DOTALL)
    ]
    papers = [f"{claim.text} {claim.figure}" for claim in CLAIMS.values()]
    found = set().union(*map(numbers, [*texts, *formulas, *papers]))
    found |= FACTS
    return found | {round(100 * one, 6) for one in found} | {round(one / 100, 8) for one in found}


@pytest.mark.parametrize("name", NAMES)
def test_numbers_in_prose_are_those_of_the_run_beside_it(name):
    """A win rate that was written down once, and has been another since the notebook was executed again."""
    notebook = jupytext.read(NOTEBOOKS / f"{name}.ipynb")
    there = known(notebook)
    strange = {
        found: cell.source.strip().splitlines()[0][:60]
        for cell in notebook.cells
        if cell.cell_type == "markdown" and not cell.source.startswith("## Exercises")  # which ask for other values
        for found in NUMBER.findall(prose(cell.source))
        if value(found) not in there and not (value(found).is_integer() and value(found) <= 10)
    }
    assert strange == {}


def test_a_stale_number_is_found():
    """A test that lets everything pass."""
    cells = [
        jupytext.reads("# %% [markdown]\n# DPO wins .645 of them, in $0.1$ and 2023.\n", "py:percent").cells[0],
        jupytext.reads("# %%\nrate = 0.612\n", "py:percent").cells[0],
    ]
    there = numbers(cells[1].source)
    assert [one for one in NUMBER.findall(prose(cells[0].source)) if value(one) not in there] == [".645"]

"""A notebook that can be read in one sitting: few cells in view, short ones, and no line that a small screen cuts."""

import re

import jupytext
import pytest
from notebook_source import NOTEBOOKS

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.py"))
every_notebook = pytest.mark.parametrize("name", NAMES)
CELLS, LINES, COLUMNS = 30, 15, 100
WHOLE = {"04_dppo": 21}  # DPPO's loss: one function, in full, as it is trained with


def cells_of(name):
    return jupytext.read(NOTEBOOKS / f"{name}.py").cells


def in_view(cells):
    """How many cells a reader sees who opens nothing: a folded section, down to the next heading as high, counts once."""
    count, folded = 0, 0
    for cell in cells:
        heading = re.match(r"(#+) ", cell.source) if cell.cell_type == "markdown" else None
        if folded and heading and len(heading[1]) <= folded:
            folded = 0
        count += not folded
        if heading and not folded and cell.metadata.get("jp-MarkdownHeadingCollapsed"):
            folded = len(heading[1])
    return count


def code_of(cells):
    return [cell.source for cell in cells if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])]


def written(source):
    """Its lines of code: neither empty nor comments alone."""
    return [line for line in source.splitlines() if line.strip() and not line.strip().startswith("#")]


@every_notebook
def test_thirty_cells_are_in_view(name):
    """Notebooks had 31 to 84, and readers lost the thread."""
    assert in_view(cells_of(name)) <= CELLS


@every_notebook
def test_code_cells_are_short(name):
    """Plumbing in the way of what a cell is about; a cell whose end is out of sight when its beginning is read."""
    longest = sorted(len(written(source)) for source in code_of(cells_of(name)))
    assert longest[-1] <= WHOLE.get(name, LINES) and longest[-2] <= LINES


@every_notebook
def test_no_line_of_code_is_cut_by_a_small_screen(name):
    """A screen of 1366 pixels shows 100 columns."""
    assert [line for source in code_of(cells_of(name)) for line in source.splitlines() if len(line) > COLUMNS] == []


def test_a_fold_ends_at_the_next_heading_as_high():
    """A count that forgets to unfold, and lets everything pass."""
    text = "# %% [markdown]\n# # A\n\n# %% [markdown] jp-MarkdownHeadingCollapsed=true\n# ### B\n\n# %%\n1\n\n# %% [markdown]\n# #### C\n\n# %%\n2\n\n# %% [markdown]\n# ## D\n\n# %%\n3\n"
    assert in_view(jupytext.reads(text, "py:percent").cells) == 4

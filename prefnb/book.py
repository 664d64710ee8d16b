"""`python -m prefnb.book [NAME ...]`: execute notebooks in place, with outputs, and refresh the pictures in figures/ and
the README's table of methods.

The `.py` next to each notebook is the source; the `.ipynb` is what readers see. Cell ids stay as they are, so that
a diff shows what changed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from prefnb import methods, solutions

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FIGURES = Path(__file__).parents[1] / "figures"
README = Path(__file__).parents[1] / "README.md"


def make(source: Path) -> None:
    """Bring one notebook up to date with its source, run it with papermill at its defaults, and keep what readers
    need."""
    notebook = source.with_suffix(".ipynb")
    subprocess.run(
        [sys.executable, "-m", "jupytext", "--to", "ipynb", "--update", "--quiet", source.name],
        check=True,
        cwd=NOTEBOOKS,
    )
    made = source.with_suffix(".made.ipynb")
    try:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "papermill",
                "--log-level",
                "WARNING",
                "--no-progress-bar",
                notebook.name,
                made.name,
            ],
            check=True,
            cwd=NOTEBOOKS,
        )
        executed = json.loads(made.read_text(encoding="utf-8"))
    finally:
        made.unlink(missing_ok=True)
    kept = for_readers(executed, json.loads(notebook.read_text(encoding="utf-8")))
    nbformat.write(nbformat.from_dict(kept), notebook)  # as JupyterLab would: saving it unedited changes nothing


def for_readers(executed: dict, source: dict) -> dict:
    """The executed notebook without what differs from run to run and what nobody reads: timings, widget state,
    progress bars."""
    executed["metadata"] = source["metadata"]
    for cell in executed["cells"]:
        # folded sections; and lines_to_next_cell, which is jupytext's, and comes back with the next save
        kept = ("tags", "jp-MarkdownHeadingCollapsed", "lines_to_next_cell")
        cell["metadata"] = {name: cell["metadata"][name] for name in kept if cell["metadata"].get(name)}
        if cell["cell_type"] == "code":
            cell["outputs"] = [output for output in cell["outputs"] if not _is_progress(output)]
    return executed


def _is_progress(output: dict) -> bool:
    """tqdm's bar stands frozen in a saved notebook, as text on stderr or as a widget that is not there any more."""
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def with_methods(text: str) -> str:
    """The README with a row for every method, between the two lines that mark the table."""
    begin, end = "<!-- methods: made by `make book` -->\n", "<!-- end of methods -->"
    rows = "".join(f"| `{name}` | {one.about} |\n" for name, one in methods.listed().items())
    before, after = text.split(begin)[0], text.split(end)[1]
    return f"{before}{begin}| method | what it is |\n|---|---|\n{rows}{end}{after}"


def main(names: list[str]) -> None:
    """Make the notebooks `names`, or all of them, with the exercises that their solutions make."""
    solutions.main(names)
    sources = [NOTEBOOKS / f"{name}.py" for name in names] or sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))
    for source in sources:
        print(f"executing {source.stem} ...", flush=True)
        make(source)
        for picture in sorted((NOTEBOOKS / "runs" / source.stem).glob("book_*.png")):
            shutil.copyfile(picture, FIGURES / f"{source.stem}_{picture.name.removeprefix('book_')}")
            print(f"  figures/{source.stem}_{picture.name.removeprefix('book_')}")
    README.write_text(with_methods(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

"""`python -m prefnb.solutions [NAME ...]`: the exercises that readers see, made from the solutions.

notebooks/solutions/NN_name.py holds the whole section "## Exercises" of notebook NN, solved:

    # BEGIN SOLUTION 2: answer_2 = None  # a number
    answer_2 = 0.5
    # END SOLUTION

A reader sees what stands after the colon, and whatever lines follow that begin with `#:`, at the same indentation. The words
that explain a solution stand below the last code cell, each under its heading `### Solution 2`; readers find them folded, below
the code that they explain. A heading without code, such as `### What comes of it`, is folded under its own name.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
HEADING = "# ## Exercises\n"
BEGIN = re.compile(r"( *)# BEGIN SOLUTION (\w+): (.*)")
END = re.compile(r" *# END SOLUTION\s*$")


def cells(text: str) -> list[tuple[str, str]]:
    """(kind, body) of every cell of a percent script, "markdown" or "code"; the body of a markdown cell without its `# `."""
    found = []
    for marker, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", text, re.MULTILINE):
        if "[markdown]" in marker:
            found.append(("markdown", re.sub(r"^# ?", "", body.strip("\n"), flags=re.MULTILINE)))
        else:
            found.append(("code", body.strip("\n")))
    return found


def for_readers(code: str) -> str:
    """A code cell with a stub in the place of every solution. ValueError for a mark without its other half."""
    lines, indent, in_stub = [], None, False
    for line in code.split("\n"):
        begun = BEGIN.match(line)
        if (begun and indent is not None) or (END.match(line) and indent is None):
            raise ValueError(f"A solution begins within another one, or ends without a beginning: {line.strip()}")
        if begun:
            indent, in_stub = begun[1], True
            lines.append(indent + begun[3])
        elif END.match(line):
            indent = None
        elif indent is None:
            lines.append(line)
        elif in_stub and line.startswith(f"{indent}#:"):
            lines.append((indent + line.removeprefix(f"{indent}#:").removeprefix(" ")).rstrip())
        else:
            in_stub = False
    if indent is not None:
        raise ValueError("A solution begins and does not end.")
    return "\n".join(lines)


def solved(code: str) -> dict[str, str]:
    """{number: the statements of a code cell that solve it}: those within the marks, or the function that the marks are in."""
    lines, found, begins = code.split("\n"), {}, None
    for place, line in enumerate(lines, 1):
        if begun := BEGIN.match(line):
            begins, number = place, begun[2]
        elif END.match(line):
            held = [one for one in ast.parse(code).body if one.lineno <= place and one.end_lineno >= begins]
            whole = lines[held[0].lineno - 1 : held[-1].end_lineno]
            kept = [one for one in whole if not (BEGIN.match(one) or END.match(one) or one.lstrip().startswith("#:"))]
            found[number] = "\n".join([*filter(None, [found.get(number)]), *kept])
    return found


def words(text: str) -> list[tuple[str, str]]:
    """(heading, words) of every `### ` heading."""
    parts = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)
    return [(heading, body.strip()) for heading, body in zip(parts[1::2], parts[2::2])]


def section(text: str) -> str:
    """What readers see of a solutions file: a piece of a percent script, from its heading to the solutions, which share their
    markdown cell with the section that follows."""
    every = cells(text)
    last = max(i for i, (kind, _) in enumerate(every) if kind == "code")
    code = {}
    for kind, body in every[: last + 1]:
        code |= solved(body) if kind == "code" else {}
    explained = words("\n".join(f"{body}\n" for _, body in every[last + 1 :]))
    if missing := code.keys() - {heading.removeprefix("Solution ") for heading, _ in explained}:
        raise ValueError(f"No words explain the solution of {', '.join(sorted(missing))}.")
    pieces = []
    for kind, body in every[: last + 1]:
        pieces.append(_commented(body) if kind == "markdown" else f"# %%\n{for_readers(body)}\n")
    folded = [_folded(heading, code.get(heading.removeprefix("Solution ")), body) for heading, body in explained]
    pieces.append(_commented("\n".join(folded) + "\n"))
    return "\n".join(pieces).removeprefix("# %% [markdown]\n")


def _commented(body: str) -> str:
    return "# %% [markdown]\n" + "".join(f"# {line}".rstrip() + "\n" for line in body.split("\n"))


def _folded(heading: str, code: str | None, body: str) -> str:
    fence = f"```python\n{code.strip()}\n```\n\n" if code else ""
    return f"<details><summary>{heading}</summary>\n\n{fence}{body}\n</details>"


def with_section(notebook: str, made: str) -> str:
    """A notebook's source with this section "Exercises", up to the next heading of its level."""
    if notebook.count(HEADING) != 1:
        raise ValueError(f"The notebook has {notebook.count(HEADING)} sections 'Exercises', and not one.")
    begins = notebook.index(HEADING)
    ends = notebook.index("\n# ## ", begins + len(HEADING)) + 1
    return notebook[:begins] + made + notebook[ends:]


def sources() -> list[Path]:
    """The solutions files."""
    return sorted((NOTEBOOKS / "solutions").glob("[0-9][0-9]_*.py"))


def main(names: list[str]) -> None:
    """Write the exercises of the notebooks `names`, or of all, where they differ from what is there."""
    for path in sources():
        if names and path.stem not in names:
            continue
        notebook = NOTEBOOKS / path.name
        before = notebook.read_text(encoding="utf-8")
        after = with_section(before, section(path.read_text(encoding="utf-8")))
        if after != before:
            notebook.write_text(after, encoding="utf-8")
            print(f"{path.stem}: exercises made from their solutions")


if __name__ == "__main__":
    main(sys.argv[1:])

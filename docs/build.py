"""`make site`: the book as a site, in build/site, from the notebooks as `make book` executed them.

    python docs/build.py [FOLDER]

Sphinx gets one folder with the notebooks, the glossary and what is here. Every warning is an error: a link that leads nowhere, or a
word that is no such role, ends the build.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"


def build(folder: Path) -> int:
    """Write the pages into `folder`; Sphinx's exit code."""
    with tempfile.TemporaryDirectory() as passing:
        source = Path(passing) / "source"
        shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("*.py[co]", "build.py", "__pycache__"))
        for path in (*NOTEBOOKS.glob("[0-9]*.ipynb"), NOTEBOOKS / "glossary.md"):
            shutil.copy(path, source)
        words = ["-q", "-n", "-W", "--keep-going", "-b", "html", "-d", f"{passing}/doctrees", str(source), str(folder)]
        return subprocess.run([sys.executable, "-m", "sphinx", *words], check=False).returncode


if __name__ == "__main__":
    made = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "build" / "site"
    code = build(made)
    print(f"The first page is {made / 'index.html'}." if code == 0 else "The site has errors; see above.")
    sys.exit(code)

"""The book as a site: it is built without a warning, every notebook is in it, and no page asks another host for anything."""

import re
import subprocess
import sys

import pytest
from notebook_source import NOTEBOOKS

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages. A link that leads nowhere ends the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, NOTEBOOKS.parent / "docs" / "build.py", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return folder


def test_every_notebook_is_a_page_with_its_pictures_and_in_the_contents(site):
    """A new notebook that the site does not know, or pages without what was executed."""
    contents = (site / "index.html").read_text(encoding="utf-8")
    for name in NAMES:
        page = (site / f"{name}.html").read_text(encoding="utf-8")
        assert f'href="{name}.html"' in contents and "_images/" in page, name


def test_no_page_asks_another_host(site):
    """Formulas, fonts or widgets' scripts that need the network: a reader without one would see raw TeX."""
    loading = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]+)"')
    asked = {page.name: loading.findall(page.read_text(encoding="utf-8")) for page in site.glob("*.html")}
    assert {name: found for name, found in asked.items() if found} == {}
    formulas = (site / "02_dpo.html").read_text(encoding="utf-8")
    (script,) = re.findall(r'src="(_static/mathjax/[^"?]+)', formulas)
    assert (site / script).stat().st_size > 100_000 and 'class="math' in formulas

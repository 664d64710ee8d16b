"""Notebook and source stay a pair wherever JupyterLab is started: it opens both, and saving what nobody has edited changes
nothing."""

import os
import shutil
import time

import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext.sync_contentsmanager import build_sync_jupytext_contents_manager_class
from notebook_source import NOTEBOOKS

NAME = "14_questions"


@pytest.fixture
def copy(tmp_path):
    """A copy of one pair, with what tells jupytext that it is one."""
    (tmp_path / "notebooks").mkdir()
    for name in (f"{NAME}.py", f"{NAME}.ipynb", "jupytext.toml"):
        shutil.copy(NOTEBOOKS / name, tmp_path / "notebooks" / name)
    shutil.copy(NOTEBOOKS.parent / "pyproject.toml", tmp_path)
    return tmp_path / "notebooks"


def manager(root):
    made = build_sync_jupytext_contents_manager_class(LargeFileManager)()
    made.root_dir = str(root)
    return made


@pytest.mark.parametrize("from_root", [True, False])
@pytest.mark.parametrize("newer", ["py", "ipynb"])
def test_it_opens_and_saving_it_unedited_changes_nothing(copy, from_root, newer):
    """A notebook that refuses to open because the other file is older, or headers that come and go with every save."""
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    os.utime(copy / f"{NAME}.{newer}", (time.time() + 5,) * 2)
    lab, path = (manager(copy.parent), f"notebooks/{NAME}.ipynb") if from_root else (manager(copy), f"{NAME}.ipynb")
    opened = lab.get(path)
    lab.save(opened, path)
    assert len(opened["content"]["cells"]) > 20
    assert {one.name: one.read_bytes() for one in copy.iterdir() if one.is_file()} == before


@pytest.mark.parametrize("from_root", [True, False])
def test_an_edit_reaches_the_source(copy, from_root):
    """Pairing that is silently off: a learner's edit is in the .ipynb alone, and lost when the book is made again."""
    lab, path = (manager(copy.parent), f"notebooks/{NAME}.ipynb") if from_root else (manager(copy), f"{NAME}.ipynb")
    opened = lab.get(path)
    opened["content"]["cells"][0]["source"] += "\n\nA line of mine."
    lab.save(opened, path)
    assert "# A line of mine." in (copy / f"{NAME}.py").read_text(encoding="utf-8")

"""The command line runs the notebooks' recipes, and `make book` keeps what readers need."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from prefnb import __main__ as command_line
from prefnb import book, methods, models

ROOT = Path(__file__).parents[1]


def test_the_command_trains_what_the_recipe_trains(small_world, tmp_path, capsys):  # noqa: F811
    """`python -m prefnb dpo --pairs 16 ...` gives the recipe's policy, saved in the standard format, and says where."""
    words = [word for name, value in small_world.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command_line.main(["dpo", *words, f"--output-dir={tmp_path / 'out'}"])
    assert models.fingerprint(models.load_model(str(tmp_path / "out"))) == models.fingerprint(
        methods.dpo.recipe(**small_world).model
    )
    assert str(tmp_path / "out") in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        (["dppo", "--alhpa", "10"], "Did you mean 'alpha'"),
        (["dpo", "beta", "1"], "--name value"),
        (["dpo", "--beta", "-1"], "'beta' must be"),
    ],
)
def test_a_mistyped_command_is_refused_before_any_work(words, said):
    """A wrong parameter is one sentence."""
    with pytest.raises(ValueError, match=said):
        command_line.main(words)


def test_a_refused_command_exits_with_an_error_and_no_traceback():
    """Scripts must notice, and people must be able to read it."""
    done = subprocess.run([sys.executable, "-m", "prefnb", "dpo", "beta"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0
    assert "--name value" in done.stderr and "Traceback" not in done.stderr


def test_the_summary_shows_win_rates_figures_and_notebook(tmp_path, capsys):
    """What `make run` ends with."""
    (tmp_path / "summary.json").write_text(
        json.dumps(
            {
                "baseline": "SFT",
                "prompts": 200,
                "draws": 4,
                "win_rates": {"DPPO": {"rate": 0.61, "interval": [0.55, 0.67]}},
            }
        )
    )
    (tmp_path / "votes.png").touch()
    (tmp_path / "04_dppo.ipynb").touch()
    command_line.summary([tmp_path, tmp_path / "04_dppo.ipynb"])
    said = capsys.readouterr().out
    assert "DPPO" in said and "0.610 [0.550, 0.670]" in said and "votes.png" in said and "04_dppo.ipynb" in said


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda folder: None, "There is no"),
        (lambda folder: folder.mkdir(), "has no summary.json"),
        (lambda folder: folder.write_text("text"), "neither the folder of a notebook's run nor"),
        *(
            (lambda folder, text=text: [folder.mkdir(), (folder / "summary.json").write_text(text)], "is damaged")
            for text in ("", "{", "[]", "{}", '{"baseline": "SFT", "prompts": 1, "win_rates": {"DPO": {}}}')
        ),
    ],
)
def test_a_summary_that_is_not_there_is_told(tmp_path, make, said):
    """A folder without one was a traceback, one that is not there silence and exit 0."""
    make(tmp_path / "run")
    with pytest.raises(ValueError, match=said):
        command_line.main(["summary", str(tmp_path / "run")])
    with pytest.raises(ValueError, match="needs the folder"):
        command_line.main(["summary"])


@pytest.mark.filterwarnings("ignore:'prefnb.__main__' found in sys.modules")
@pytest.mark.parametrize(
    "error, said",
    [
        (FloatingPointError("The loss is nan."), "The loss is nan."),
        (OSError(28, "No space left on device", "runs/sft"), "runs/sft cannot be used (No space left on device)."),
    ],
)
def test_a_failure_is_a_sentence_at_the_command_line(monkeypatch, error, said):
    """A loss that is no number, and a disk that is full, were tracebacks there."""

    def fail(**given):
        raise error

    monkeypatch.setattr(methods.sft, "recipe", fail)
    monkeypatch.setattr(sys, "argv", ["prefnb", "sft", "--output_dir", "runs/test_a_failure"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("prefnb", run_name="__main__", alter_sys=True)
    assert left.value.code == said


def test_importing_prefnb_is_instant():
    """`import prefnb` must not load torch."""
    code = "import sys, prefnb; sys.exit('torch' in sys.modules or 'datasets' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_nothing_that_trains_imports_pictures():
    """Training on a server must not need a plotting library."""
    code = "import sys, prefnb.course, prefnb.methods.dpo; sys.exit('matplotlib' in sys.modules or 'ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_book_strips_progress_and_widget_state_and_keeps_pictures():
    """GitHub refuses notebooks with half a widget state, and a frozen progress bar says nothing."""
    picture = {"output_type": "display_data", "data": {"image/png": "..."}, "metadata": {}}
    bar = {"output_type": "stream", "name": "stderr", "text": "training: 10%"}
    widget = {"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}}, "metadata": {}}
    executed = {
        "metadata": {"widgets": {}, "papermill": {}},
        "cells": [
            {
                "cell_type": "code",
                "metadata": {"tags": ["parameters"], "papermill": {"duration": 1}},
                "outputs": [bar, picture, widget],
            }
        ],
    }
    kept = book.for_readers(executed, {"metadata": {"kernelspec": {"name": "python3"}}})
    assert kept["metadata"] == {"kernelspec": {"name": "python3"}}
    assert kept["cells"][0]["outputs"] == [picture]
    assert kept["cells"][0]["metadata"] == {"tags": ["parameters"]}


def test_the_readme_lists_the_methods_that_there_are():
    """Guards against a table that a new method is not in: `make book` writes it from the folder."""
    text = book.README.read_text(encoding="utf-8")
    assert book.with_methods(text) == text and "| `dpo` | DPO: " in text

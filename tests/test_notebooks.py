"""What every notebook owes its readers: it is its source, it shows pictures, its parameters are explained and
checked."""

import ast
import json
import os
import re
import subprocess
import sys
from functools import reduce

import jupytext
import papermill
import pytest
from notebook_source import NOTEBOOKS

from prefnb import course, methods, parameters
from prefnb.claims import again

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.py"))
every_notebook = pytest.mark.parametrize("name", NAMES)


def read(name):
    """A notebook as the plain JSON of its file."""
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))


def cells(path):
    """(kind, text, tags) of every cell of a notebook or its source."""
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in jupytext.read(path).cells]


def outputs(name):
    return [output for cell in read(name)["cells"] for output in cell.get("outputs", [])]


def test_there_are_notebooks_and_each_has_its_source():
    """Guards against testing nothing, and against an .ipynb that nobody can rebuild."""
    assert NAMES and NAMES == sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


@every_notebook
def test_what_readers_see_is_the_source(name):
    """An .ipynb that was not made again after its .py was edited."""
    assert cells(NOTEBOOKS / f"{name}.ipynb") == cells(NOTEBOOKS / f"{name}.py")


@every_notebook
def test_its_links_lead_somewhere(name):
    """A link to a notebook that is not there, or has another name."""
    linked = re.findall(r"\]\(([^):#]+\.(?:ipynb|md))\)", (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8"))
    assert [target for target in linked if not (NOTEBOOKS / target).exists()] == []


def test_the_glossary_is_linked_and_leads_somewhere():
    """A glossary that no reader finds, or that sends them to a notebook which is not there."""
    text = (NOTEBOOKS / "glossary.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"\]\(([^)]+)\)", text))
    assert len(targets) > 8 and [target for target in targets if not (NOTEBOOKS / target).exists()] == []
    assert [name for name in NAMES if "](glossary.md)" not in (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")] == []


@every_notebook
def test_github_and_papermill_can_open_it(name):
    """Widget metadata without state (GitHub refuses to draw the notebook), no kernelspec (papermill fails)."""
    metadata = read(name)["metadata"]
    assert "widgets" not in metadata
    assert metadata["kernelspec"]["name"] == "python3"


@every_notebook
def test_saved_outputs_are_pictures_and_no_errors(name):
    """A notebook committed without outputs, or with a traceback in it."""
    kinds = [output["output_type"] for output in outputs(name)]
    assert "error" not in kinds
    assert any("image/png" in output.get("data", {}) for output in outputs(name))


@every_notebook
def test_saved_outputs_name_no_folder_of_the_machine_that_made_them(name):
    """Absolute paths, which tell a reader nothing and change with every machine."""
    assert str(NOTEBOOKS.parent) not in json.dumps(outputs(name))
    assert os.path.expanduser("~") + "/" not in json.dumps(outputs(name))


@every_notebook
def test_help_explains_every_parameter(name):
    """A parameter that `papermill --help-notebook` does not list, or lists without a word of help."""
    declared = next(text for _, text, tags in cells(NOTEBOOKS / f"{name}.ipynb") if "parameters" in tags)
    listed = papermill.inspect_notebook(str(NOTEBOOKS / f"{name}.ipynb"))
    assert list(listed) == [line.target.id for line in ast.parse(declared).body]
    assert [one for one in listed.values() if not one["help"].strip() or one["inferred_type_name"] == "None"] == []


def settings_of(name):
    """The classes of settings that a notebook's check names."""
    source = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    told = re.search(r"parameters\.check\(\s*globals\(\), ([\w., ]+)", source).group(1)
    rooms = {"methods": methods, "course": course, "again": again}
    paths = [one.strip().split(".") for one in told.split(",") if "." in one]
    return [reduce(getattr, rest, rooms[first]) for first, *rest in paths]


@pytest.mark.parametrize("name", NAMES[1:])
def test_help_says_what_the_settings_say(name):
    """A range, a unit or a default in a notebook's comment that the settings have left behind. A comment may say more."""
    settings = settings_of(name)
    told = 0
    for parameter, one in papermill.inspect_notebook(str(NOTEBOOKS / f"{name}.ipynb")).items():
        cls = next((cls for cls in settings if parameter in cls.model_fields), None)
        if cls is not None and parameter != "preset":
            value = None if one["default"] == "None" else one["default"]
            assert one["help"].startswith(parameters.comment_of(cls, parameter, value)), parameter
            told += 1
    assert told > 3


@every_notebook
def test_parameters_are_checked_before_anything_else(name):
    """A check that stands below the first long cell, so that a typing error costs a minute."""
    code = [text for kind, text, _ in cells(NOTEBOOKS / f"{name}.py") if kind == "code"]
    assert "preset" in code[0] and re.search(r"parameters\.check\(\s*globals\(\)", code[1])


@pytest.mark.parametrize("name", [name for name in NAMES if name[:2] not in ("00", "05", "11", "12", "14")])
def test_a_method_s_notebook_has_the_page_of_results_and_its_sections_in_order(name):
    """A notebook in which a reader looks in vain for what all others have, or finds the verdict before the results."""
    source = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    headings = re.findall(r"^# ## (.+)$", source, re.MULTILINE)
    places = [next(i for i, one in enumerate(headings) if word in one) for word in
              ("One page of results", "The long run", "we measured", "Exercises", "What you")]  # fmt: skip
    assert places == sorted(places) and source.count("page.show(") == 1 and source.count("beside.show(") == 1
    assert source.count("beside.show_verdicts(") >= 1 and re.search("ou will see", source.split("# %% tags")[0])


def rates_against_sft(name):
    """{policy: (rate, low, high)} of every line "POLICY against SFT: .612 [.570, .650]" that a saved notebook printed."""
    printed = "\n".join("".join(output["text"]) for output in outputs(name) if output.get("name") == "stdout")
    number = r"(\d\.\d{3})"
    found = re.findall(rf"^(.+) against SFT: {number} \[{number}, {number}\]", printed, re.MULTILINE)
    assert len({policy for policy, *_ in found}) == len(found), f"{name} tells a policy's rate twice: {found}"
    return {policy: tuple(map(float, rate)) for policy, *rate in found}


def test_dpo_has_one_win_rate_wherever_it_is_shown():
    """One policy, two notebooks, two numbers: trained or sampled otherwise in one of them, or an .ipynb left behind."""
    found = {name: rates_against_sft(name).get("DPO") for name in ("02_dpo", "03_simpo", "04_dppo")}
    assert None not in found.values(), found
    assert len(set(found.values())) == 1, found


def test_win_rates_of_dpo_and_dppo_are_told_to_less_than_four_points():
    """A comparison on too few prompts or draws to decide anything."""
    found = rates_against_sft("04_dppo")
    for policy in ("DPO", "DPPO"):
        rate, low, high = found[policy]
        assert low <= rate <= high and (high - low) / 2 < 0.04, (policy, found[policy])


def test_a_mistyped_parameter_stops_the_run_at_once_and_is_named(tmp_path):
    """papermill only warns about an unknown name, and then runs the defaults."""
    made = tmp_path / "out.ipynb"
    run = subprocess.run([sys.executable, "-m", "papermill", "notebooks/04_dppo.ipynb", str(made), "-p", "alhpa", "10"],
                         cwd=NOTEBOOKS.parent, capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    assert "There is no parameter 'alhpa'. Did you mean 'alpha'?" in run.stderr
    started = [cell for cell in json.loads(made.read_text())["cells"] if cell.get("execution_count")]
    assert len(started) <= 3  # the parameters, what papermill added, the check

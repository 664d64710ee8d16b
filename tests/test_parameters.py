"""Every value that papermill may give a notebook is read or refused, and no mistyped name gets by."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Literal

import nbformat
import papermill
import pydantic
import pytest

from prefnb import data, parameters
from prefnb.parameters import (
    DataName,
    ModelName,
    Number,
    Numbers,
    ParameterError,
    Settings,
    Whole,
    check,
    comment_of,
    described,
    setting,
)

class Method(Settings):
    model: ModelName = setting("the model that is trained", pocket="pocket", qwen="Qwen/Qwen2.5-0.5B")
    dataset: DataName = setting("the pairs", pocket="pocket", qwen="HuggingFaceH4/ultrafeedback_binarized")
    new_prompts: DataName | None = setting("further prompts", every=None)
    pairs: int = setting("preference pairs to train on", low=1, pocket=1000, qwen=61_000)
    learning_rate: float = setting("peak of the rate", above=0, high=1, pocket=5e-4, qwen=2e-6)
    max_tokens: int | None = setting("longest answer", low=4, unit="tokens", pocket=None, qwen=256)
    alpha: float = setting("strength", low=0, high=1e4, pocket=10, qwen=0.5)
    weights: list[float] = setting("one for each objective", low=0, high=10, every=[0.5, 0.5])
    sft: bool = setting("start from SFT or not", every=True)
    level: Literal["token", "sequence"] = setting("what is penalised", every="token")


def refusal(names, **own):
    with pytest.raises(ParameterError) as error:
        check(names, Method, **own)
    return str(error.value)


@pytest.mark.parametrize(
    "spec, value, expected",
    [
        (Number(), "1e-3", 0.001),  # YAML's reading of 1e-3
        (Number(), 10, 10.0),  # papermill's reading of `-p alpha 10`
        (Number(0, 1), 0, 0.0),
        (Whole(1), 64.0, 64),
        (Whole(1), "64", 64),
        ((bool, ...), "true", True),
        ((bool, ...), "False", False),
        ((bool, ...), 1, True),
        ((Literal["token", "sequence"], ...), "token", "token"),
        ((str, ...), 2024, "2024"),
        (Numbers(0), "0.1, 1,10", [0.1, 1.0, 10.0]),
        (Numbers(0), "[0.1, 1]", [0.1, 1.0]),
        (Numbers(0), [0, "1e1"], [0.0, 10.0]),
        (Numbers(0), 5, [5.0]),
    ],
)
def test_what_papermill_gives_is_read(spec, value, expected):
    """Guards against "1e-3" reaching the optimiser as text, and "false" being true."""
    found = check({"own": value}, Settings, own=spec).own
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "spec, value",
    [
        *[
            (Number(), value)
            for value in ("ten", "", "nan", float("inf"), True, None, [1], 10**400, [10**5000], "9" * 5000)
        ],
        (Number(0, 1), 1.0001),
        (Number(above=0), 0),
        *[(Whole(1), value) for value in (0, 1.5, "1.5", True, "nan")],
        *[((bool, ...), value) for value in ("maybe", 2, 1.0, None)],
        *[((Literal["a", "b"], ...), value) for value in ("c", True, ["a"])],
        *[((str, ...), value) for value in ("", " ", True, ["a"])],
        *[(Numbers(0, 10), value) for value in ("", "[]", "1,,2", [], "1,11", "1;2", [True], {1: 2})],
    ],
)
def test_what_is_out_of_range_or_of_another_kind_is_refused(spec, value):
    """Guards against a run with a silently different value; True is no number, nor is NaN."""
    with pytest.raises(ParameterError, match="^'own' (must be|needs a value)"):
        check({"own": value}, Settings, own=spec)


def test_none_takes_the_preset_s_value():
    """Guards against a preset that a notebook's own defaults hide, and a given value that a preset hides."""
    found = check({"preset": "qwen", "alpha": None, "pairs": 64}, Method)
    assert isinstance(found, Method) and vars(found) == {**Method.of("qwen"), "pairs": 64}
    assert Method.of("qwen")["preset"] == "qwen" and Method.of("qwen")["alpha"] == 0.5
    assert check({"preset": None}, Method).preset == "pocket"


def test_settings_are_typed_and_may_be_assigned():
    """Guards against a slip that makes a new attribute, and a notebook that cannot set what depends on the data."""
    p = check({}, Method)
    p.pairs = 3
    assert p.pairs == 3 == vars(p)["pairs"]
    with pytest.raises(ValueError):
        p.piars = 3
    with pytest.raises(ValueError, match="piars"):
        Method(**Method.of("pocket"), piars=3)


def test_a_kind_of_method_may_declare_a_setting_again():
    """Guards against a subclass that keeps its parent's values or ranges, or changes its parent."""

    class Relative(Method):
        alpha: float = setting("its own", low=0, high=1, every=0.25)
        rounds: int = setting("how often", low=1, pocket=1, qwen=3)

    assert check({"preset": "qwen"}, Relative).alpha == 0.25 and check({}, Relative).weights == [0.5, 0.5]
    with pytest.raises(ParameterError, match="'alpha' must be a number from 0 to 1, not 2"):
        check({"alpha": 2}, Relative)
    assert check({"alpha": 2}, Method).alpha == 2
    assert "There is no parameter 'rounds'" in refusal({"rounds": 2})


def test_a_rule_among_several_settings_is_one_more_sentence():
    """Guards against pydantic's own page of words."""

    class Shared(Method):
        @pydantic.model_validator(mode="after")
        def _even(self):
            if self.pairs % 2:
                raise ValueError("'pairs' must be even.")
            return self

    with pytest.raises(ParameterError, match="^'pairs' must be even.$"):
        check({"pairs": 3}, Shared)


def test_a_mistyped_name_is_refused_with_the_nearest():
    """Guards against what papermill does: warn, and run the defaults."""
    said = refusal({"alhpa": 10})
    assert said.startswith(
        "There is no parameter 'alhpa'. Did you mean 'alpha'? The parameters are preset, seed, "
    )
    assert refusal({"xyzzy": 10}).startswith("There is no parameter 'xyzzy'. The parameters are ")
    assert "There is no parameter 'epochs'." in refusal({"epochs": 1})  # of other methods, not of this one


def test_every_problem_is_told_at_once_in_plain_sentences():
    """Guards against mending one parameter per run, and against a message without what is allowed."""
    given = dict(
        preset="quen", alpha=-1, pairs="many", level="tokens", learning_rate=0, seed=True, weights="1,-2,11", sft=2
    )
    assert refusal(given, sweep=Numbers(0, 10)).split("\n") == [
        "'preset' must be 'pocket' or 'qwen', not 'quen'. Did you mean 'qwen'?",
        "'seed' must be a whole number from 0 to 4294967295, not True.",
        "'pairs' must be a whole number from 1 to 1000000000, not 'many'.",
        "'learning_rate' must be a number above 0 and of at most 1, not 0.",
        "'alpha' must be a number from 0 to 10000, not -1.",
        "'weights' must be numbers such as 0.1,1,10, each from 0 to 10, not '1,-2,11'.",
        "'sft' must be True or False, not 2.",
        "'level' must be 'token' or 'sequence', not 'tokens'. Did you mean 'token'?",
        "'sweep' needs a value: it must be numbers such as 0.1,1,10, each from 0 to 10.",
    ]


def test_files_must_be_there_before_anything_runs(tmp_path, monkeypatch):
    """Guards against a missing file found after minutes, and a mistyped "pocket" asked of the hub."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").write_text("{}")
    (tmp_path / "policy").mkdir()
    for dataset in ("pocket", "pairs.jsonl", str(tmp_path / "pairs.jsonl"), "owner/name", "owner/name:part"):
        assert check({"dataset": dataset, "model": "policy"}, Method).dataset == dataset
    said = refusal({"dataset": "pears.jsonl", "model": "pocke"})
    assert f"There is no such file (looked from {tmp_path}). Did you mean 'pairs.jsonl'?" in said
    assert said.startswith(
        "'model' must be 'pocket', a folder that exists or a hub name like 'owner/name', not 'pocke'."
    )
    assert "Did you mean 'pocket'?" in said
    for bad in (
        {"dataset": "./x"},
        {"dataset": "policy"},
        {"dataset": 3},
        {"model": "pairs.jsonl"},
        {"model": "../no"},
    ):
        assert refusal(bad).startswith(f"'{next(iter(bad))}' must be 'pocket', a f")
    for suffix in data.SUFFIXES:  # a path to one module is a path to the other
        with pytest.raises(ValueError, match="no such file"):
            check({"own": f"owner/name{suffix}"}, Settings, own=(DataName, ...))


def test_the_files_that_are_named_can_be_asked_for():
    """Guards against a cache that serves what was made of another file of the same name."""
    assert check({"preset": "qwen"}, Method).named_files() == [
        "Qwen/Qwen2.5-0.5B",
        "HuggingFaceH4/ultrafeedback_binarized",
    ]
    p = check({"new_prompts": "owner/name", "judge": "owner/judge", "label": "x"}, Method, judge=(DataName, ...), label=(str, ...))
    assert p.named_files() == ["pocket", "pocket", "owner/name", "owner/judge"]


def test_presets_must_be_complete():
    """Guards against a preset that lacks a parameter, or all of which lack it."""
    with pytest.raises(ValueError, match="'qwen' lacks \\['alpha'\\]"):

        class One(Settings):
            beta: float = setting("", pocket=1, qwen=2)
            alpha: float = setting("", pocket=1)

    with pytest.raises(ValueError, match="lacks \\['alpha'\\]"):

        class Two(Settings):
            alpha: float = setting("")


def test_help_tells_every_parameter_s_meaning_range_and_presets():
    """Guards against help that says what the code no longer does, or runs off the screen."""
    said = described(Method)
    assert max(map(len, said.splitlines())) <= 100
    assert [line.split()[0][2:] for line in said.splitlines() if line.startswith("  --")] == list(Method.model_fields)
    told = " ".join(said.split())
    assert "--learning_rate peak of the rate, above 0 and at most 1 (default: pocket 0.0005, qwen 0.000002)" in told
    assert "--max_tokens longest answer, 4 or more tokens (default: pocket None, qwen 256)" in told
    assert "--sft start from SFT or not: True or False (default: True)" in told
    assert "each 0 to 10 (default: 0.5,0.5)" in told


def test_a_notebook_s_comment_is_short_and_plain():
    """Guards against comments that nobody can compare with the code."""
    assert comment_of(Method, "alpha") == "strength, 0 to 10000; None takes the preset's (pocket 10, qwen 0.5)"
    assert comment_of(Method, "alpha", 0.5) == "strength, 0 to 10000"
    assert comment_of(Method, "pairs") == (
        "preference pairs to train on, 1 or more; None takes the preset's (pocket 1000, qwen 61000)"
    )
    assert "2e-06" not in comment_of(Method, "learning_rate")
    for name in Method.model_fields:
        assert len(f"{name}: float = None  # {comment_of(Method, name)}") <= 120


def test_parameters_are_light():
    """Guards against a second cell that waits for torch before it can say what is wrong."""
    code = "import sys, prefnb.parameters; assert not {'torch', 'datasets', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- In a notebook ------------------------------------------------------------------------------------------

PARAMETERS = """
preset: str = "pocket"  # "pocket" or "qwen"
alpha: float = None  # strength, 0 or more
alphas: str = "0.1,1"  # the sweep
"""
CHECK = """
from test_parameters import Method
from prefnb import parameters
p = parameters.check(globals(), Method, alphas=parameters.Numbers(0, 1e4))
print("alpha is", p.alpha, p.alphas)
"""


def notebook(tmp_path, monkeypatch, *later):
    """A small notebook as ours are, and what runs after it, as a learner would run it in JupyterLab."""
    monkeypatch.setenv("PYTHONPATH", str(__file__).rpartition("/")[0])
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, CHECK, *later)]
    cells[0].metadata["tags"] = ["parameters"]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "in.ipynb")
    return {"input_path": tmp_path / "in.ipynb", "output_path": tmp_path / "out.ipynb", "progress_bar": False}


def test_papermill_stops_at_a_mistyped_name(tmp_path, monkeypatch):
    """Guards `papermill -p alhpa 10`: it fails, and names `alpha` in one sentence, not a page."""
    with pytest.raises(papermill.PapermillExecutionError) as error:
        papermill.execute_notebook(
            **notebook(tmp_path, monkeypatch), parameters={"alhpa": 10, "alphas": "1,-2"}
        )
    lines = "\n".join(error.value.traceback).split("\n")
    assert lines[0].startswith("ParameterError: There is no parameter 'alhpa'. Did you mean 'alpha'?")
    assert lines[1:] == ["'alphas' must be numbers such as 0.1,1,10, each from 0 to 10000, not '1,-2'."]
    assert "alhpa" in str(error.value)


def test_a_notebook_may_be_run_again_after_it_has_defined_other_names(tmp_path, monkeypatch):
    """Guards against refusing, on a second run, what the notebook's own later cells have defined."""
    later = "losses = [1.0]\nmodle = 3\nalhpa = 3\nprint(len(losses))"
    mistyped = PARAMETERS + "alpah = 1"
    expect = "try:\n    {}\nexcept ValueError as error:\n    print(str(error).split('.')[0])".format(
        CHECK.strip().replace("\n", "\n    ")
    )
    cells = (
        [later, "x = 5", CHECK]  # the check alone
        + [PARAMETERS.replace("None", "3"), "y = 1", CHECK, CHECK]  # both again, not side by side
        + [mistyped, expect, PARAMETERS, CHECK]  # a slip in the parameters' cell, then mended
    )
    book = papermill.execute_notebook(**notebook(tmp_path, monkeypatch, *cells), parameters={"alpha": 7})
    outputs = [output for cell in book.cells for output in cell.get("outputs", []) if output.name == "stdout"]
    printed = "".join(output.text for output in outputs).splitlines()
    again = "alpha is 3.0 [0.1, 1.0]"
    first, default = "alpha is 7.0 [0.1, 1.0]", "alpha is 10.0 [0.1, 1.0]"
    assert printed == [first, "1", first, again, again, "There is no parameter 'alpah'", default]


def test_a_plain_script_s_globals_hold_more_than_parameters():
    """Guards running a notebook's .py with python: its imports are no parameters."""
    script = {
        "__name__": "__main__",
        "__builtins__": {},
        "_private": 1,
        "parameters": parameters,
        "check": check,
    }
    assert check({**script, "alpha": 2}, Method).alpha == 2.0
    assert "There is no parameter 'alhpa'" in refusal({**script, "alhpa": 2})


def test_a_name_used_for_something_else_since_is_explained():
    """Guards against a riddle when a later cell wrote `pairs = load_pairs()` and the check runs again."""
    said = refusal({"pairs": object()})
    assert said.endswith("not a object (if the name was used again, run the parameters' cell once more).")


ABSURD = [
    ("dpo", {"epochs": 1e-9}, "'epochs' must be a number from 0.001"),
    ("dpo", {"pairs": 1e308}, "'pairs' must be a whole number from 1 to 1000000000"),
    ("dpo", {"max_response_tokens": 1}, "'max_response_tokens' must be a whole number from 4"),
    ("rs_dpo", {"temperature": 1e-300}, "'temperature' must be a number from 0.01"),
    ("rloo", {"temperatures": "1e-300,1"}, "'temperatures' must be numbers"),
    ("self_improvement", {"temperatures": "1e-300,1"}, "'temperatures' must be numbers"),
    ("self_improvement", {"prompts": 1_000_000}, "'prompts' must be at most 3333, not 1000000"),
]


@pytest.mark.parametrize("method, given, said", ABSURD)
def test_what_is_absurd_is_refused_before_any_work(method, given, said):
    """Each was accepted: trained for nothing, broke later, or looked for a million prompts for minutes."""
    from prefnb import methods

    with pytest.raises(ValueError, match=re.escape(said)):
        getattr(methods, method).recipe(**given)

"""Exercises: what readers see is made from the solutions; every solution is right, every stub and every mistake gets a sentence."""

import pytest
from notebook_source import NOTEBOOKS

from prefnb import mistakes, solutions
from prefnb.exercises import of_choice, of_function

SOURCES = {path.stem: path for path in solutions.sources()}
PLANTED = [(table, mistake) for table, asked in mistakes.TABLES.items() for mistake in asked.mistakes]
every_source = pytest.mark.parametrize("name", SOURCES)


def run(cells, capsys):
    """What the code cells print, executed by themselves."""
    names = {"__name__": "exercises"}
    for code in cells:
        exec(compile(code, "<exercises>", "exec"), names)
    return capsys.readouterr().out.splitlines()


def code_of(name):
    return [body for kind, body in solutions.cells(SOURCES[name].read_text(encoding="utf-8")) if kind == "code"]


@every_source
def test_the_exercises_are_made_from_their_solutions(name):
    """A reader's version that was edited by hand, or left behind: `python -m prefnb.solutions` makes it again."""
    notebook = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    made = solutions.section(SOURCES[name].read_text(encoding="utf-8"))
    assert solutions.with_section(notebook, made) == notebook


@every_source
def test_every_solution_is_right(name, capsys):
    """A folded solution that its own check refuses."""
    said = run(code_of(name), capsys)
    assert said == [f"{number}: right" for number in range(1, len(said) + 1)] and len(said) > 1


@every_source
def test_every_stub_is_told_that_it_is_one(name, capsys):
    """A traceback in a notebook that nobody has touched yet; a solution that the marks leave to be seen."""
    said = run(map(solutions.for_readers, code_of(name)), capsys)
    assert said == [f"{number}: not answered yet" for number in range(1, len(said) + 1)] and len(said) > 1


@every_source
@pytest.mark.parametrize("junk", ["words", -99, (1, 2, 3, 4, 5), [], lambda: None])
def test_an_answer_of_another_kind_gets_a_sentence(name, junk, capsys):
    """A TypeError as the answer to an answer."""
    *_, code = code_of(name)
    before, call = solutions.for_readers(code).rsplit("\nchecks.", 1)
    function, given = call.rstrip(")\n").split("(")
    names = {"junk": junk}
    exec(f"{before}\nchecks.{function}({', '.join(['junk'] * len(given.split(',')))})", names)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(given.split(",")) and not any(line.endswith((": right", "answered yet")) for line in said)


@pytest.mark.parametrize("table", mistakes.TABLES)
def test_the_library_s_own_loss_is_right(table):
    assert of_function(mistakes.TABLES[table].right, mistakes.TABLES[table]) == "right"


@pytest.mark.parametrize("table, mistake", PLANTED)
def test_every_planted_mistake_gets_its_own_sentence(table, mistake):
    """Two mistakes that cannot be told apart, or one that passes for right."""
    asked = mistakes.TABLES[table]
    assert of_function(asked.mistakes[mistake], asked) == f"not yet: yours is the right one with {mistake}"


def test_a_missing_detach_is_in_the_gradient_alone():
    """The mistake that no number shows."""
    for table, mistake in (("RLOO", "the advantage not detached"), ("DPPO", "the vote's weight not detached")):
        asked = mistakes.TABLES[table]
        values = [function(*asked.given()) for function in (asked.right, asked.mistakes[mistake])]
        right, wrong = (one[0] if isinstance(one, tuple) else one for one in values)
        assert right.detach().tolist() == pytest.approx(wrong.detach().tolist())


@pytest.mark.parametrize("given, said", [
    (None, "not answered yet"), ("up", "right"), (" Up", "right"), ("down", "not yet: look"),
    ("sideways", "choose one of 'up', 'down', and not 'sideways'"), (3, "choose one of 'up', 'down', and not 3"),
])  # fmt: skip
def test_a_prediction_is_one_of_a_few_words(given, said):
    assert of_choice(given, "up", ("up", "down"), "look") == said


SOLVED = '''x = 1
# BEGIN SOLUTION 1: answer = None  # a number
answer = 5
# END SOLUTION


def loss(a):
    """Words."""
    # BEGIN SOLUTION 2: b = 2 * a
    #: return None
    c = 3
    return c
    # END SOLUTION


check(loss)'''


def test_a_stub_of_several_lines_stands_in_the_place_of_the_solution():
    assert solutions.for_readers(SOLVED) == (
        'x = 1\nanswer = None  # a number\n\n\ndef loss(a):\n    """Words."""\n    b = 2 * a\n    return None\n\n\ncheck(loss)'
    )
    assert solutions.solved(SOLVED) == {
        "1": "answer = 5", "2": 'def loss(a):\n    """Words."""\n    c = 3\n    return c'
    }  # fmt: skip


@pytest.mark.parametrize("code", [
    "# BEGIN SOLUTION 1: x", "# END SOLUTION", "# BEGIN SOLUTION 1: x\n# BEGIN SOLUTION 2: y\n# END SOLUTION",
])  # fmt: skip
def test_a_mark_without_its_other_half_is_refused(code):
    with pytest.raises(ValueError, match="begins"):
        solutions.for_readers(code)


def test_a_solution_is_folded_with_its_code_and_needs_words():
    text = f"# %% [markdown]\n# ## Exercises\n#\n# 1. What?\n\n# %%\n{SOLVED}\n\n# %% [markdown]\n# ### Solution 1\n#\n# Five.\n"
    with pytest.raises(ValueError, match="explain the solution of 2"):
        solutions.section(text)
    made = solutions.section(f"{text}#\n# ### Solution 2\n#\n# Three.\n")
    assert made.startswith("# ## Exercises\n") and "answer = 5\n\n\ndef" not in made
    assert "# <details><summary>Solution 1</summary>\n#\n# ```python\n# answer = 5\n# ```\n#\n# Five.\n# </details>" in made
    whole = f"# %% [markdown]\n{made}# ## What you have seen\n#\n# Much.\n"
    assert solutions.with_section(whole, made) == whole
    assert solutions.with_section("# %% [markdown]\n# ## Exercises\n\n# %% [markdown]\n# ## What you have seen\n#\n# Much.\n", made) == whole

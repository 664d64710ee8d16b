"""Be the annotator: no label is ever lost or asked for twice, no text becomes markup, and the figures of agreement are right."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from notebook_source import load

from prefnb import annotator, files, methods, parameters
from prefnb.annotator import Annotator, Labels, Pair, plan
from prefnb.lessons import be_the_annotator as lesson

EVIL = "<script>alert(1)</script> <img src=x onerror=alert(2)> & $x$ " + "w" * 3000 + " \u202eשלום 🦔"
PAIRS = [Pair(f"prompt {i}", f"answer {i} of a", f"answer {i} of b, longer") for i in range(24)]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "runs" / "labels.jsonl"


def shown_now(widget):
    return widget.shown["prompt"], widget.shown["left"], widget.shown["right"]


# ---------------------------------------------------------------- the plan


def test_sides_are_balanced_and_repeats_exchange_them():
    """An annotator who always presses left would seem to have a taste, or to agree with themselves."""
    shown = plan(PAIRS)
    first, again = ([one for one in shown if one.again == twice] for twice in (False, True))
    assert [one.pair for one in first] == PAIRS
    assert all([one.left for one in first[i : i + 8]].count("a") == 4 for i in range(0, 24, 8))
    left = {one.pair.name: one.left for one in first}
    assert len(again) == 2 and all(one.left != left[one.pair.name] for one in again)
    places = {one.key: i for i, one in enumerate(shown)}
    assert all(places[name, True] - places[name, False] > 8 for name, twice in places if twice)


def test_a_longer_plan_goes_on_where_a_shorter_ends():
    """Who asks for more pairs is asked again about those that they have labelled."""
    assert plan(PAIRS)[: len(plan(PAIRS[:16]))] == plan(PAIRS[:16]) and plan(PAIRS, seed=1) != plan(PAIRS)


def test_a_pair_is_known_by_its_texts():
    assert len({one.name for one in PAIRS}) == 24 and Pair("p", "x", "y").name != Pair("p", "y", "x").name


# ---------------------------------------------------------------- labelling


def test_traits_drive_the_labels_as_the_keyboard_does(file):
    """What JavaScript sets is what is kept: the side's answer, the seconds, the time; one line a label."""
    widget = Annotator(plan(PAIRS), Labels(file))
    first = widget.current
    widget.pressed = {"turn": widget.shown["turn"], "choice": "right", "seconds": 2.345, "at": 1}
    (row,) = map(json.loads, file.read_text().splitlines())
    assert row | {"time": ""} == {"pair": first.pair.name, "again": False, "left": first.left, "choice": "right",
                                  "seconds": 2.35, "time": ""}  # fmt: skip
    assert widget.labels.made[0].chosen == first.right and row["time"].endswith("+00:00")
    assert widget.count == [1, 26] and widget.shown["prompt"] == "prompt 1" and "Saved" in widget.note


def test_a_choice_counts_once_and_only_for_what_is_shown(file):
    """Two quick presses, or one that comes late, would label a pair that nobody has read."""
    widget = Annotator(plan(PAIRS), Labels(file))
    turn = widget.shown["turn"]
    for at, choice in enumerate(("left", "right", "undo")):
        widget.pressed = {"turn": turn, "choice": choice, "seconds": 1.0, "at": at}
    widget.press("nonsense")
    assert [one.choice for one in widget.labels.made] == ["left"] and len(file.read_text().splitlines()) == 1


def test_undo_is_one_line_more_and_shows_the_pair_again(file):
    """A file that is rewritten can be lost as a whole."""
    widget = Annotator(plan(PAIRS), Labels(file))
    widget.press("left")
    before = file.read_bytes()
    asked = shown_now(widget)
    widget.press("tie")
    widget.press("undo")
    assert file.read_bytes().startswith(before) and shown_now(widget) == asked and widget.count[0] == 1
    assert [json.loads(line)["choice"] for line in file.read_text().splitlines()] == ["left", "tie", "undone"]
    widget.press("right")
    assert [one.choice for one in Labels(file).made] == ["left", "right"]
    for _ in range(3):
        widget.press("undo")
    assert Labels(file).made == [] and "nothing" in widget.note


def test_what_is_labelled_is_not_asked_again(file):
    """A closed tab, or a new kernel."""
    widget = Annotator(plan(PAIRS), Labels(file))
    for _ in range(5):
        widget.press("left")
    asked = shown_now(widget)
    again = Annotator(plan(PAIRS), Labels(file))
    assert shown_now(again) == asked and again.count == [5, 26]
    while again.current:
        again.press("tie")
    assert again.shown["pair"] == "" and again.count == [26, 26] and len(Labels(file).made) == 26
    again.press("left")
    assert len(file.read_text().splitlines()) == 26


def test_a_torn_last_line_is_left_out_with_a_sentence_and_spoils_nothing(file):
    """The kernel was killed while it wrote."""
    widget = Annotator(plan(PAIRS), Labels(file))
    widget.press("left")
    widget.press("left")
    torn = file.read_bytes()[:-20]
    file.write_bytes(torn)
    again = Annotator(plan(PAIRS), Labels(file))
    assert again.labels.notes == ["The last line of labels.jsonl was cut off while it was written, and is left out."]
    assert again.note == again.labels.notes[0] and again.shown["prompt"] == "prompt 1"
    again.press("right")
    assert file.read_bytes().startswith(torn + b"\n")
    assert [one.choice for one in Labels(file).made] == ["left", "right"]


@pytest.mark.parametrize("line", ["[]", "{}", "3", '{"choice": "undone"}', "\udcff", '{"pair": 1, "again": false, "left": "a", "choice": "left", "seconds": 1, "time": ""}',
                                  '{"pair": "x", "again": false, "left": "c", "choice": "left", "seconds": 1, "time": ""}',
                                  '{"pair": "x", "again": false, "left": "a", "choice": "left", "seconds": NaN, "time": ""}'])  # fmt: skip
def test_a_line_that_is_no_label_gets_a_sentence(file, line):
    """Somebody edited the file by hand."""
    Annotator(plan(PAIRS), Labels(file)).press("left")
    file.write_bytes(line.encode("utf-8", "surrogateescape") + b"\n" + file.read_bytes())
    found = Labels(file)
    assert found.notes == ["Line 1 of labels.jsonl is no label, and is left out."] and len(found.made) == 1


def test_a_disk_that_takes_nothing_is_said_and_the_pair_stays(file, monkeypatch):
    """A label that is shown as made and was not saved."""
    widget = Annotator(plan(PAIRS), Labels(file))
    file.parent.mkdir()
    file.mkdir()
    asked = shown_now(widget)
    widget.press("left")
    assert widget.note.startswith("NOT SAVED") and shown_now(widget) == asked and widget.labels.made == []


def test_labels_of_others_in_the_file_stay_and_are_not_counted(file):
    Annotator(plan([Pair("another", "x", "y")]), Labels(file)).press("left")
    widget = Annotator(plan(PAIRS), Labels(file))
    assert widget.count == [0, 26]
    widget.press("undo")
    assert len(file.read_text().splitlines()) == 1


# ---------------------------------------------------------------- what is shown


def test_hostile_text_is_text():
    """A <script> of a model's answer in the static picture; the widget sets texts as text alone, and asks no other host."""
    showing = plan([Pair(EVIL, EVIL, EVIL + "!")])[0]
    picture = annotator.picture_of(showing, [0, 1])
    assert set(re.findall(r"</?([a-zA-Z]+)", picture)) <= {"div", "b", "table", "tr", "td", "small", "span"}
    assert picture.count("&lt;script&gt;") == 3 and "mathjax_ignore" in picture and "overflow-wrap:anywhere" in picture
    assert Annotator([showing], Labels()).shown["prompt"] == EVIL
    script = Annotator._esm
    assert "textContent" in script and not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?:|import\b", script)
    assert not re.search(r"https?:|@import|url\(", Annotator._css)


def test_the_view_has_what_a_reader_without_a_mouse_needs():
    """Keys that move the notebook's selection instead; a focus that nobody sees; buttons without names."""
    script, style = Annotator._esm, Annotator._css
    for word in ('tabindex: "0"', '"data-lm-suppress-shortcuts": "true"', "stopPropagation()", "preventDefault()", "aria-label",
                 '"left is better"', '"right is better"', '["tie", "tie"', '["undo", "undo"', "ArrowLeft", "ArrowRight", "ArrowDown", "event.repeat"):  # fmt: skip
        assert word in script, word
    assert ":focus" in style and "outline:" in style and "--jp-" in style


def test_the_view_travels_with_the_package():
    """An installed package without its JavaScript: an empty box."""
    folder = files.Path(annotator.__file__).parent
    assert {"annotator.js", "annotator.css"} <= {path.name for path in folder.iterdir()} and lesson.RECORDED.is_file()


# ---------------------------------------------------------------- whose labels, and what they say


def sampled_of(pairs, leads):
    return [lesson.Sampled(pair, [1, 2], {"a": [3], "b": [4, 5]}, lead) for pair, lead in zip(pairs, leads)]


SAMPLED = sampled_of(PAIRS, [1.0, -1.0, 0.0] * 8)


def test_own_labels_are_used_once_there_are_any_and_until_then_the_recorded(file):
    """A reader's labels that are passed over, or a program's that pass for theirs."""
    shown = plan(PAIRS)
    widget = Annotator(shown, Labels(file))
    used = lesson.labels_to_use(widget, SAMPLED, shown, None, 0)
    assert used.whose == "the simulated" and "program" in used.told and len(used.first) == 24 and not file.exists()
    widget.press("tie")
    assert lesson.labels_to_use(widget, SAMPLED, shown, None, 0).whose == "the simulated"  # a tie teaches nothing
    widget.press("left")
    used = lesson.labels_to_use(widget, SAMPLED, shown, None, 0)
    assert used.whose == "your" and len(used.first) == 2 and "Fewer than 20" in used.told
    given = lesson.labels_to_use(Annotator(shown, Labels()), SAMPLED, shown, str(file), 0)
    assert given.first == used.first and "labels.jsonl" in given.told
    others = [replace(one, pair=replace(one.pair, prompt="another")) for one in SAMPLED]
    with pytest.raises(parameters.ParameterError, match="No label in"):
        lesson.labels_to_use(Annotator([], Labels()), others, plan([one.pair for one in others]), str(file), 0)


def test_a_file_of_labels_replays_by_the_widget_s_traits_to_the_same_labels(file):
    """A stand-in that goes another way than the keyboard proves nothing of it; and the left of the file may be today's right."""
    widget = Annotator(plan(PAIRS), Labels(file))
    for choice in ("left", "right", "tie", "left", "right"):
        widget.press(choice, 1.5)
    assert annotator.replay(plan(PAIRS), Labels(file)).made == Labels(file).made
    otherwise = annotator.replay(plan(PAIRS, seed=3), Labels(file))
    assert {one.key: one.chosen for one in otherwise.made} == {one.key: one.chosen for one in Labels(file).made}


def test_kappa_by_hand_and_its_ends():
    notebook = load("12_be_the_annotator", "kappa")
    assert notebook.kappa([[7, 3], [2, 8]]) == pytest.approx(0.5)
    assert notebook.kappa([[40, 10], [20, 30]]) == pytest.approx(0.4)
    assert notebook.kappa(np.diag([3, 4, 5])) == 1 and notebook.kappa([[9, 11], [0, 0]]) == 0
    assert np.isnan(notebook.kappa([[5, 0], [0, 0]]))  # two that never differ in anything: not defined
    both = [("left", "left")] * 7 + [("left", "right")] * 3 + [("right", "left")] * 2 + [("right", "right")] * 8
    assert lesson.counts_of(both)[:2, :2].tolist() == [[7, 3], [2, 8]] and lesson.counts_of(both).sum() == 20
    low, high = lesson.bootstrap(notebook.kappa, both)
    assert low < 0.5 < high


def test_habits_by_hand():
    """Always left: half of the same pairs again, half left; and b is the longer answer of every pair."""
    shown = plan(PAIRS)
    widget = Annotator(shown, Labels())
    while widget.current:
        widget.press("left")
    used = lesson.labels_to_use(widget, SAMPLED, shown, None, 0)
    found = lesson.habits(used, SAMPLED)
    assert (found["the left answer"].hits, found["the left answer"].n) == (26, 26)
    assert found["the same choice, shown again"].hits == 0  # sides were exchanged
    assert found["gold: the longer answer"].rate == 0.5 and found["the longer answer"].n == 16  # a third are gold's ties
    longer = sum(one.left == "b" for one in shown if not one.again and one.pair in [s.pair for s in SAMPLED if s.gold])
    assert found["the longer answer"].hits == longer
    assert "The left side is favoured" in lesson.leaning(found, used, SAMPLED)
    kept, chosen, golden = lesson.both_decided(used, SAMPLED)
    assert len(kept) == 16 and golden == ["a", "b"] * 8
    made = lesson.examples_of(kept, chosen)
    assert made.responses["chosen"] == [{"a": [3], "b": [4, 5]}[one] for one in chosen] and len(made) == 16


def test_the_simulated_annotator_has_the_habits_that_are_stated():
    """A bias or an error rate in the text that the labels do not have."""
    pairs = [Pair(f"{i}", "word " * 10, "word " * (10 + i % 2 * 10)) for i in range(2000)]
    leads = {pair.name: 0.55 if i % 2 else 1.0 for i, pair in enumerate(pairs)}  # ten words more are worth .8 points
    made = [one for one in lesson.simulated(plan(pairs), leads) if not one.again]
    took_a = np.array([one.chosen == "a" for one in made])
    assert abs(took_a[::2].mean() - 0.9) < 0.03
    level = [one.choice for one in made[1::2]]
    assert set(level) == {"tie"}  # .55 against .8
    leads = {pair.name: 0.4 for pair in pairs}
    made = [one for one in lesson.simulated(plan(pairs), leads) if not one.again]
    assert abs(np.mean([one.chosen == "b" for one in made[1::2]]) - 0.9) < 0.03  # against gold, for ten words


def test_the_recorded_labels_are_what_the_program_makes():
    """Labels of unknown origin, or of pairs that no notebook shows."""
    p = parameters.check({"pairs": lesson.PAIRS}, methods.dpo.Settings)
    sampled = lesson.sampled_pairs(*methods.sft.starting_policy(p), p)
    assert lesson.RECORDED.read_text(encoding="utf-8").splitlines() == lesson.recorded_lines(sampled)
    found = Labels(lesson.RECORDED)
    assert not found.notes and len(found.made) == len(plan([one.pair for one in sampled])) == 287
    assert {json.loads(line)["by"] for line in lesson.RECORDED.read_text().splitlines()} == {"a program: the simulated annotator"}
    assert max(len(one.pair.a) for one in sampled) > 20 and all(one.pair.a != one.pair.b for one in sampled)


def test_preferences_are_written_and_none_is_overwritten(tmp_path):
    kept = SAMPLED[:2]
    path = lesson.save_preferences(tmp_path, kept, ["a", "b"])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"prompt": "prompt 0", "chosen": PAIRS[0].a, "rejected": PAIRS[0].b},
        {"prompt": "prompt 1", "chosen": PAIRS[1].b, "rejected": PAIRS[1].a}]  # fmt: skip
    assert lesson.save_preferences(tmp_path, kept, ["a", "b"]) == path
    more = lesson.save_preferences(tmp_path, kept, ["b", "b"])
    assert more.name == "preferences-2.jsonl" and len(list(tmp_path.iterdir())) == 2


def test_a_file_of_labels_that_is_not_there_stops_the_run_at_once():
    with pytest.raises(parameters.ParameterError, match="'labels' must be text, not 'nowhere.jsonl'. There is no such file."):
        parameters.check({"labels": "nowhere.jsonl"}, methods.dpo.Settings, labels=(lesson.LabelsName | None, None))

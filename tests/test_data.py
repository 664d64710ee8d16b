"""Rows of every source come out in one shape, and what is wrong with a source is said in one sentence."""

import csv
import gzip
import json
import os
import random
import tracemalloc
from pathlib import Path
from unittest import mock

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from prefnb import data, pocket
from prefnb.judges import GoldJudge

KINDS = ("pairs", "dialogs", "prompts")
SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "ultrafeedback_sample.jsonl"


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def pairs(count, **more):
    return [
        {"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}", **more}
        for i in range(count)
    ]


def load(kind, dataset, split="train", **how):
    return getattr(data.Source(dataset), kind)(split, **how)


def both(kind, dataset):
    """Train and test rows together, by prompt, so that a test of shapes need not care which are held out."""
    found = {}
    for split in ("train", "test"):
        try:
            for row in load(kind, dataset, split):
                found[row["prompt"][-1]["content"]] = row
        except data.DataError as error:
            assert "too few different prompts" in str(error)
    return found


# --- Shapes -------------------------------------------------------------------------------------------------

PROMPT = [user("Name a color.")]
SHAPES = {
    "plain strings": {"prompt": "Name a color.", "chosen": "Blue.", "rejected": "No."},
    "HuggingFaceH4/ultrafeedback_binarized": {
        "prompt": "Name a color.",
        "prompt_id": "0",
        "chosen": [user("Name a color."), assistant("Blue.")],
        "rejected": [user("Name a color."), assistant("No.")],
        "messages": [user("Name a color."), assistant("Blue.")],
    },
    "trl-lib/ultrafeedback_binarized": {
        "chosen": [user("Name a color."), assistant("Blue.")],
        "rejected": [user("Name a color."), assistant("No.")],
    },
    "Anthropic/hh-rlhf": {
        "chosen": "\n\nHuman: Name a color.\n\nAssistant: Blue.",
        "rejected": "\n\nHuman: Name a color.\n\nAssistant: No.",
    },
    "conversational, prompt apart": {
        "prompt": PROMPT,
        "chosen": [assistant("Blue.")],
        "rejected": [assistant("No.")],
    },
    "prompt as messages, responses as text": {"prompt": PROMPT, "chosen": "Blue.", "rejected": "No."},
}


@pytest.mark.parametrize("schema", SHAPES)
def test_every_pair_schema_comes_out_the_same(tmp_path, schema):
    """Guards against a schema whose prompt stays inside the response, or is lost."""
    row = {**SHAPES[schema], "score_chosen": 8, "score_rejected": 2.5}
    found = both("pairs", jsonl(tmp_path / "pairs.jsonl", [row]))
    expected = {
        "prompt": PROMPT,
        "chosen": "Blue.",
        "rejected": "No.",
        "score_chosen": 8.0,
        "score_rejected": 2.5,
    }
    assert found == {"Name a color.": expected}


def test_the_prompt_of_a_transcript_is_all_that_both_sides_share(tmp_path):
    """Guards against cutting an hh-rlhf transcript at its first or a later turn when the last is compared."""
    shared = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Name a\n\ncolor.\n\nAssistant:"
    row = {"chosen": shared + " Blue:\n\n  sky", "rejected": shared + " No.\n\nHuman: why?\n\nAssistant: So."}
    (found,) = both("pairs", jsonl(tmp_path / "hh.jsonl", [row])).values()
    assert found["prompt"] == [user("Hi"), assistant("Hello."), user("Name a\n\ncolor.")]
    assert (found["chosen"], found["rejected"]) == ("Blue:\n\n  sky", "No.")


def test_dialogs_are_first_exchanges_with_their_system_turn(tmp_path):
    """Guards against training on later turns, or on a dialog without its system prompt."""
    system = {"role": "system", "content": "Be brief."}
    messages = [system, user("Hi"), assistant("Hello."), user("More"), assistant("No.")]
    rows = [
        {"messages": messages, "source": "smol", "category": "chat", "writer": "careful"},
        {"messages": [user("Yo"), assistant("Hey.")], "source": "smol"},
    ]
    found = both("dialogs", jsonl(tmp_path / "sft.jsonl", rows))
    assert found["Hi"] == {
        "prompt": [system, user("Hi")],
        "response": "Hello.",
        "category": "chat",
        "writer": "careful",
    }
    assert found["Yo"]["response"] == "Hey."


@pytest.mark.parametrize(
    "answer",
    [
        {"response": "Blue."},
        {"completion": "Blue."},
        {"completion": [assistant("Blue.")]},
        {"chosen": "Blue.", "rejected": "Blue."},
    ],
)
def test_dialogs_from_prompt_and_answer(tmp_path, answer):
    """Guards the names that SFT data has, and the chosen response as the demonstration."""
    (found,) = both(
        "dialogs", jsonl(tmp_path / "x.jsonl", [{"prompt": "Name a color.", **answer}])
    ).values()
    assert found == {"prompt": PROMPT, "response": "Blue."}


def test_prompts_come_once_with_the_reference_where_there_is_one(tmp_path):
    """Guards against a prompt counted twice in a win rate, and against a prompt-only file being refused."""
    rows = [
        {"prompt": "Name a color.", "chosen": "Blue.", "rejected": "No."},
        {**SHAPES["plain strings"], "chosen": "Red."},
    ]
    found = both("prompts", jsonl(tmp_path / "pairs.jsonl", rows))
    assert found == {"Name a color.": {"prompt": PROMPT, "reference": "Blue."}}
    only = both(
        "prompts",
        jsonl(tmp_path / "prompts.jsonl", [{"prompt": "Name a color.", "category": "chat"}]),
    )
    assert only == {"Name a color.": {"prompt": PROMPT, "category": "chat"}}


def test_text_stays_verbatim_in_every_format(tmp_path):
    """Guards against "NA" or 007 becoming a number, stripped spaces, and lines cut at U+2028."""
    rows = [
        {"prompt": "null", "chosen": "NA", "rejected": "007"},
        {"prompt": " two\n\nlines\u2028 ", "chosen": '"quoted", \u00e9 \U0001f642', "rejected": "  1e5\t"},
    ]
    with open(tmp_path / "x.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    jsonl(tmp_path / "x.jsonl", rows)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress((tmp_path / "x.jsonl").read_bytes()))
    (tmp_path / "raw.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8"
    )
    (tmp_path / "x.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "lines.json").write_text((tmp_path / "x.jsonl").read_text())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    for name in ("x.csv", "x.jsonl", "x.jsonl.gz", "raw.jsonl", "x.json", "lines.json", "x.parquet"):
        found = both("pairs", str(tmp_path / name))
        assert [{**row, "prompt": prompt} for prompt, row in sorted(found.items(), reverse=True)] == rows, (
            name
        )


def test_scores_are_found_in_metadata_too(tmp_path):
    """Guards against losing the scores of files that keep them beside the text."""
    rows = pairs(
        30, metadata={"score_chosen": 9.0, "score_rejected": 8}, category="chat", writer_chosen="careful"
    )
    found = data.Source(jsonl(tmp_path / "x.jsonl", rows)).pairs()
    assert (found[0]["score_chosen"], found[0]["score_rejected"]) == (9.0, 8.0)
    assert found.column_names == [
        "prompt",
        "chosen",
        "rejected",
        "score_chosen",
        "score_rejected",
        "category",
        "writer_chosen",
    ]


# --- What is wrong with a file ------------------------------------------------------------------------------


def message(kind, dataset, **how):
    with pytest.raises(data.DataError) as error:
        load(kind, str(dataset), **how)
    assert "\n" not in str(error.value) and str(error.value)[-1] in ".?"
    return str(error.value)


GOOD = json.dumps(pairs(1)[0]) + "\n"
BROKEN = {
    "not JSON": ('{"prompt": "a", \n', "line 2 is not valid JSON"),
    "not an object": ("[1, 2]\n", "line 2 must be a JSON object with named columns, not a list ([1, 2])."),
    "a number": (
        '{"prompt": "a", "chosen": 42, "rejected": "b"}\n',
        "line 2: 'chosen' must be text or a list of messages, not a number (42).",
    ),
    "a list of strings": (
        '{"prompt": ["a"], "chosen": "c", "rejected": "b"}\n',
        "line 2: 'prompt' must be text or a list of",
    ),
    "a message without text": (
        json.dumps({"prompt": [user(None)], "chosen": "c", "rejected": "b"}) + "\n",
        "line 2: a message of 'prompt' must have a 'content' that is text, not nothing (null).",
    ),
    "half a character": (
        '{"prompt": "a", "chosen": "\\ud800", "rejected": "b"}\n',
        "line 2: 'chosen' holds half a character",
    ),
    "a score in words": (
        '{"prompt": "a", "chosen": "c", "rejected": "b", "score_chosen": "good"}\n',
        "line 2: 'score_chosen' must be a number, not text (\"good\").",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_malformed_row_is_an_error_with_its_line(tmp_path, what):
    """Guards against training on what is left of a broken file, even if its row is not asked for."""
    line, said = BROKEN[what]
    path = tmp_path / "x.jsonl"
    path.write_text(GOOD + line + "".join(json.dumps(row) + "\n" for row in pairs(40)))
    assert said in message("pairs", path, limit=1)


def test_unreadable_files_are_named(tmp_path):
    """Guards against a bare traceback for a file that is missing, empty, damaged or of another kind."""
    jsonl(tmp_path / "pairs.jsonl", pairs(3))
    said = message("pairs", tmp_path / "pears.jsonl")
    assert "There is no file" in said and said.endswith(f"Did you mean '{tmp_path / 'pairs.jsonl'}'?")
    for name, content, expected in [
        ("empty.jsonl", b"", "empty.jsonl is empty."),
        ("blank.jsonl", b"\n\n", "blank.jsonl holds no rows."),
        ("header.csv", b"prompt,chosen,rejected\n", "header.csv holds no rows."),
        ("latin.jsonl", GOOD.encode() + b'{"prompt": "\xe9"}', "latin.jsonl, line 2 is not UTF-8 text."),
        ("cut.jsonl.gz", gzip.compress(GOOD.encode() * 9)[:-20], "cut.jsonl.gz is damaged"),
        ("fake.jsonl.gz", GOOD.encode(), "fake.jsonl.gz is damaged"),
        ("fake.parquet", GOOD.encode(), "fake.parquet is damaged"),
        ("list.json", b"[{}, 3]", "list.json, row 2 must be a JSON object, not a number (3)."),
        ("cut.json", b'[\n{"prompt": "a"},\n', "cut.json, line 3 is not valid JSON"),
        ("more.csv", b'prompt,chosen,rejected\na,"b\nb",c\nd,e\n', "more.csv, line 4 has 2 fields, not 3."),
        ("quote.csv", b'prompt,chosen,rejected\na,"b,c\n', "quote.csv, line 2 is not valid CSV"),
        ("notes.txt", b"hello", "is a file of another kind; a data set is one file that ends in .jsonl"),
    ]:
        (tmp_path / name).write_bytes(content)
        assert expected in message("pairs", tmp_path / name), name
    assert "is a folder" in message("pairs", tmp_path)


def test_a_name_that_is_nothing_at_all_is_refused_at_once(monkeypatch):
    """Guards against minutes of trying the hub for a mistyped "pocket"."""
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("asked the hub"))
    said = message("pairs", "pockt")
    assert said.startswith("'pockt' is neither 'pocket', nor a file here, nor a hub name")
    assert said.endswith("Did you mean 'pocket'?")


def test_pairs_cannot_come_from_demonstrations(tmp_path):
    """Guards against a KeyError deep inside when the columns do not hold what is asked for."""
    path = jsonl(tmp_path / "sft.jsonl", [{"prompt": "a", "response": "b"}])
    assert message("pairs", path) == (
        "sft.jsonl has the columns prompt, response; pairs need 'chosen' and 'rejected', with the prompt "
        "in 'prompt' or inside both."
    )
    rows = [{"chosen": "a", "rejected": "b"}]
    assert "line 1: 'chosen' is text without a prompt" in message(
        "pairs", jsonl(tmp_path / "x.jsonl", rows)
    )


def test_rows_that_teach_nothing_are_left_out_and_counted(tmp_path, capsys):
    """Guards against silent filtering, and against empty or equal responses reaching the loss."""
    bad = [
        {"prompt": " ", "chosen": "a", "rejected": "b"},
        {"chosen": "a", "rejected": "b", "prompt": ""},
        {"prompt": "x", "chosen": "", "rejected": "b"},
        {"prompt": "x", "chosen": "a"},
        {"prompt": "x", "chosen": "a", "rejected": "a\n"},
        {"prompt": [assistant("x"), user("y"), assistant("z")], "chosen": "a", "rejected": "b"},
    ]
    path = jsonl(tmp_path / "x.jsonl", pairs(20) + bad)
    kept = len(data.Source(path).pairs("train"))
    said = capsys.readouterr().out
    assert f"x.jsonl: left out 6 of {kept + 6} rows: 2 without a prompt (the first in line 21); " in said
    for reason in (
        "without a chosen response (line 23)",
        "without a rejected response (line 24)",
        "with equal chosen and rejected (line 25)",
        "whose prompt does not end with a user's turn (line 26)",
    ):
        assert f"1 {reason}" in said
    assert said.count("\n") == 1
    assert kept + len(data.Source(path).pairs("test")) == 20


def test_nothing_left_is_an_error(tmp_path):
    """Guards against training on no rows at all."""
    rows = [{"prompt": "x", "chosen": "a", "rejected": "a"}] * 2
    said = {
        message("pairs", jsonl(tmp_path / "x.jsonl", rows), split=split)
        for split in ("train", "test")
    }
    assert (
        "x.jsonl has no pairs left to use for test: 2 with equal chosen and rejected (the first in line 1)."
        in said
    )
    assert any("too few different prompts" in one for one in said)


# --- Hold-out and subsets -----------------------------------------------------------------------------------


def keys(rows):
    return {" ".join(row["prompt"][0]["content"].split()).lower() for row in rows}


def test_no_prompt_is_on_both_sides_of_a_hold_out(tmp_path):
    """Guards against evaluating on training prompts: repeated, respaced, continued, and across loaders."""
    rows = pairs(300) + [{**row, "chosen": "again"} for row in pairs(300)]
    rows += [{**row, "prompt": row["prompt"].upper() + "\n"} for row in pairs(300)]
    rows += [
        {**row, "prompt": [user(row["prompt"]), assistant("Well?"), user("Go on.")]} for row in pairs(300)
    ]
    path = jsonl(tmp_path / "x.jsonl", rows)
    train, test = ([keys(load(kind, path, split)) for kind in KINDS] for split in ("train", "test"))
    assert train[0] == train[1] == train[2] and test[0] == test[1] == test[2]
    assert not train[0] & test[0] and len(train[0] | test[0]) == 300
    assert 15 <= len(test[0]) <= 45  # a tenth, give or take three standard deviations


def test_a_growing_file_moves_no_prompt_across(tmp_path):
    """Guards against prompts evaluated on today and trained on tomorrow."""
    small, large = (data.Source(jsonl(tmp_path / f"{n}.jsonl", pairs(n))).prompts("test") for n in (100, 200))
    assert keys(small) == {key for key in keys(large) if int(key.split()[1]) < 100}
    few = jsonl(tmp_path / "few.jsonl", pairs(3))
    assert len(data.Source(few).pairs("test")) == 1 and len(data.Source(few).pairs("train")) == 2


def test_subsets_are_seeded_and_nested(tmp_path, capsys):
    """Guards against a data-efficiency curve whose smaller sets are not part of the larger ones."""
    path = jsonl(tmp_path / "x.jsonl", pairs(200))
    large = data.Source(path).pairs(limit=128, seed=3)["chosen"][:]
    assert data.Source(path).pairs(limit=64, seed=3)["chosen"][:] == large[:64] and len(large) == 128
    other = data.Source(path).pairs(limit=64, seed=4)["chosen"][:]
    assert set(other) != set(large[:64])
    assert not capsys.readouterr().out
    everything = data.Source(path).pairs(limit=1000, seed=3)
    assert (
        capsys.readouterr().out
        == f"x.jsonl: 1000 pairs were asked for; all {len(everything)} for train are used.\n"
    )


@pytest.mark.parametrize("how", [{"limit": 0}, {"limit": 2.5}, {"limit": True}, {"split": "dev"}])
def test_split_and_limit_are_checked(how):
    """Guards against an empty or silently whole data set."""
    with pytest.raises(ValueError, match=f"{next(iter(how))} must be"):
        data.Source("pocket").pairs(**how)


# --- The hub ------------------------------------------------------------------------------------------------


def hub(monkeypatch, splits, parts=("default",)):
    """A hub that has one data set, and the calls made of it."""
    calls = []

    def load_dataset(name, part=None, **_):
        calls.append((name, part))
        if len(parts) > 1 and part is None:
            raise ValueError(f"Config name is missing.\nPlease pick one among the available configs: {parts}")
        return datasets.DatasetDict(
            {split: datasets.Dataset.from_list(rows) for split, rows in splits.items()}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name: list(parts))
    return calls


def h4(i):
    prompt = f"question {i}"
    sides = {side: [user(prompt), assistant(f"{side} {i}")] for side in ("chosen", "rejected")}
    return {
        "prompt": prompt,
        **sides,
        "messages": sides["chosen"],
        "score_chosen": 8.0,
        "score_rejected": 5.0,
    }


def test_each_loader_takes_its_own_split_of_ultrafeedback(monkeypatch, capsys):
    """Guards against SFT on the preference split, and against training on a prompt of any test split."""
    ranges = {"train_prefs": (0, 9), "train_sft": (10, 19), "test_prefs": (20, 24), "test_sft": (30, 34)}
    splits = {split: [h4(i) for i in range(*ends)] for split, ends in ranges.items()}
    splits["train_sft"].append(h4(20))  # a prompt that pairs are evaluated on
    calls = hub(monkeypatch, splits)
    name = "HuggingFaceH4/ultrafeedback_binarized"
    assert data.Source(name).pairs()["chosen"][:] == [f"chosen {i}" for i in range(9)]
    assert data.Source(name).pairs("test")["rejected"][:] == [f"rejected {i}" for i in range(20, 24)]
    assert data.Source(name).dialogs("test")["response"][:] == [f"chosen {i}" for i in range(30, 34)]
    assert not capsys.readouterr().out
    assert data.Source(name).dialogs()["response"][:] == [f"chosen {i}" for i in range(10, 19)]
    assert "left out 1 of 10 rows: 1 with a prompt of the test split (row 10)." in capsys.readouterr().out
    assert set(calls) == {(name, None)}


def test_a_hub_subset_is_nested_and_a_single_split_is_held_out(monkeypatch):
    """Guards the same promises for the hub's tables, which are not read to their end."""
    hub(monkeypatch, {"train": pairs(200)})
    train, test = data.Source("some/pairs").pairs(), data.Source("some/pairs").pairs("test")
    assert len(train) + len(test) == 200 and not keys(train) & keys(test)
    large = data.Source("some/pairs").pairs(limit=40)["chosen"][:]
    assert data.Source("some/pairs").pairs(limit=20)["chosen"][:] == large[:20]


def test_smoltalk_is_taken_whole_and_other_parts_by_name(monkeypatch):
    """Guards against "Config name is missing" for a data set that comes in parts."""
    rows = [{"messages": [user(f"question {i}"), assistant("Yes.")], "source": "a"} for i in range(5)]
    calls = hub(monkeypatch, {"train": rows, "test": rows[4:]}, parts=("all", "smol-constraints"))
    assert len(data.Source("HuggingFaceTB/smoltalk").dialogs()) == 4
    assert len(data.Source("HuggingFaceTB/smoltalk:smol-constraints").dialogs()) == 4
    assert calls[1:] == [("HuggingFaceTB/smoltalk", "all"), ("HuggingFaceTB/smoltalk", "smol-constraints")]
    hub(monkeypatch, {"train": rows}, parts=("a", "b"))
    assert message("dialogs", "some/dialogs") == (
        "'some/dialogs' comes in parts (a, b); ask for one of them as 'some/dialogs:part'."
    )


@pytest.mark.parametrize(
    "error, said",
    [
        (
            ConnectionError("Couldn't reach 'x/y'"),
            "The hub could not be reached to load 'files/pears'; connect",
        ),
        (
            datasets.exceptions.DatasetNotFoundError("no"),
            "The hub has no data set 'files/pears' that can be read from here",
        ),
        (
            RuntimeError("Dataset scripts are no longer supported\nx"),
            "could not be loaded from the hub (Dataset scripts are no",
        ),
    ],
)
def test_the_hub_s_errors_become_one_sentence(monkeypatch, tmp_path, error, said):
    """Guards against a page of traceback without a network, and names the file that was meant."""

    def load_dataset(*_):
        raise error

    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    jsonl(tmp_path / "files" / "pears.jsonl", pairs(3))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    told = message("pairs", "files/pears")
    assert said in told
    if not isinstance(error, RuntimeError):
        assert told.endswith("There is no such file here either. Did you mean 'files/pears.jsonl'?")


# --- What a source knows besides its rows -------------------------------------------------------------------


def test_a_source_tells_of_any_prompt_whether_it_holds_it_out(tmp_path):
    """Guards new prompts for training, from whatever file, against those that policies are compared on."""
    source = data.Source(jsonl(tmp_path / "x.jsonl", pairs(200)))
    held_out = keys(source.prompts("test"))
    found = {f"question {i}" for i in range(200) if source.holds_out([user(f"  QUESTION\n{i}"), assistant("So?")])}
    assert held_out and found == held_out and not source.holds_out([user("never seen")])
    (tmp_path / "x.jsonl").unlink()
    assert source.holds_out([user(held_out.pop())])  # the file is read once


def test_only_the_pocket_world_has_a_judge_and_writes_prompts():
    """Guards against a gold score of an answer that no program can know, and against prompts made up for other data."""
    world, other = data.Source("pocket"), data.Source("some/pairs")
    assert isinstance(world.judge, GoldJudge) and world.writes_prompts and world.is_brief
    assert other.judge is None and not other.writes_prompts and not other.is_brief
    written = world.write_prompts("math", 5, seed=3)
    assert written == pocket.generate_prompts("math", 5, seed=3)
    assert not any(world.holds_out([user(text)]) for text in written)
    with pytest.raises(data.DataError, match="Only the pocket world writes"):
        other.write_prompts("math", 5)


def test_a_source_holds_out_the_prompts_of_all_its_test_splits(monkeypatch):
    """Guards against a split left out, where each purpose has a test split of its own."""
    hub(monkeypatch, {split: [h4(n)] for n, split in enumerate(("train_prefs", "train_sft", "test_prefs", "test_sft"))})
    source = data.Source("some/pairs")
    assert [source.holds_out([user(f"question {n}")]) for n in range(4)] == [False, False, True, True]


# --- The data we ship, and a sample of the real ones --------------------------------------------------------


def test_the_pocket_world_s_test_prompts_are_never_trained_on(capsys):
    """Guards against a leak between the shipped files, and rows that our own checks refuse."""
    test = set().union(*(keys(load(kind, "pocket", "test").select_columns("prompt")) for kind in KINDS))
    for kind in KINDS:
        rows = load(kind, "pocket")
        assert len(rows) >= 8000 and not keys(rows.select_columns("prompt")) & test
    assert not capsys.readouterr().out


def test_the_pocket_world_says_all_that_it_knows():
    """Guards the columns that pictures per category and per writer are drawn from."""
    common = ["score_chosen", "score_rejected", "category", "writer_chosen", "writer_rejected"]
    assert data.Source("pocket").pairs(limit=3).column_names == ["prompt", "chosen", "rejected", *common]
    assert data.Source("pocket").dialogs(limit=3).column_names == ["prompt", "response", "category", "writer"]
    assert data.Source("pocket").prompts("test", limit=3).column_names == ["prompt", "reference", "category"]


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of UltraFeedback is not here")
def test_a_sample_of_ultrafeedback():
    """Guards the path of real rows, from a relative path as papermill gives it."""
    path = os.path.relpath(SAMPLE)
    rows = data.Source(path).pairs(limit=64)
    assert len(rows) == 64 and rows[0]["score_chosen"] >= rows[0]["score_rejected"]
    everything = both("pairs", path)
    assert len(everything) == 300
    for line in SAMPLE.read_text("utf-8").split("\n")[:-1]:
        raw = json.loads(line)
        assert everything[raw["prompt"]]["chosen"] == raw["chosen"]


def test_local_path_tells_files_from_hub_names(tmp_path):
    """Guards the cache key: a changed local file must make another entry, and a hub name has no file."""
    local_path = data.readers.local_path
    assert local_path("pocket") is None and local_path("trl-lib/ultrafeedback_binarized") is None
    assert local_path(str(tmp_path)) == tmp_path and local_path("a/b.jsonl") == Path("a/b.jsonl")


# --- Odd, damaged and hostile files -------------------------------------------------------------------------

ODD = {
    "with a 'prompt' that is not in its conversations": {
        "prompt": "Another question?",
        "chosen": [user("Name a color."), assistant("Blue.")],
        "rejected": [user("Name a color."), assistant("No.")],
    },
    "whose chosen and rejected answer different prompts": {
        "chosen": [user("Name a color."), assistant("Blue.")],
        "rejected": [user("Name a river."), assistant("No.")],
    },
    "with a response that is no assistant's turn": {
        "prompt": "Name a color.",
        "chosen": [user("Blue.")],
        "rejected": [user("No.")],
    },
    "with a role other than system, user, assistant": {
        "prompt": [{"role": "narrator", "content": "Once"}, user("Name a color.")],
        "chosen": "Blue.",
        "rejected": "No.",
    },
}


@pytest.mark.parametrize("problem", ODD)
def test_odd_rows_are_left_out_and_counted_for_what_they_are(tmp_path, capsys, problem):
    """They were used as if nothing were wrong, or called "without a prompt"."""
    path = jsonl(tmp_path / "x.jsonl", [*pairs(40), ODD[problem]])
    both("pairs", path)
    assert f"1 {problem} (line 41)" in capsys.readouterr().out


def test_a_response_by_the_user_is_no_demonstration(tmp_path, capsys):
    """A response whose only message is the user's was learnt."""
    path = jsonl(tmp_path / "x.jsonl", [*({"prompt": f"q{n}", "response": "a"} for n in range(40)),
                                        {"prompt": "q", "response": [user("I am the user")]}])
    assert all(row["response"] == "a" for row in both("dialogs", path).values())
    assert "1 with a response that is no assistant's turn (line 41)" in capsys.readouterr().out


@pytest.mark.parametrize("prompt", ["Name a color.", [user("Name a color.")], " Name a color.\n", None])
def test_a_prompt_that_its_conversations_begin_with_is_no_contradiction(tmp_path, prompt):
    """As text or as messages, and also when the conversation goes on for several turns."""
    turns = [user("Name a color."), assistant("Blue."), user("Why?")]
    row = {"prompt": prompt, "chosen": [*turns, assistant("Sky.")], "rejected": [*turns, assistant("No.")]}
    found = both("pairs", jsonl(tmp_path / "x.jsonl", [*pairs(40), row]))
    assert found["Why?"]["chosen"] == "Sky."


def packed(path, pieces):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for piece in pieces:
            file.write(piece)
    return path


def test_a_line_without_end_is_refused_before_it_is_in_memory(tmp_path):
    """14 MB of gzip, one line of 3 GB, ended in MemoryError. Here 64 MB; no more than the limit is unpacked."""
    path = packed(tmp_path / "x.jsonl.gz", (b"a" * 2**20 for _ in range(64)))
    tracemalloc.start()
    assert "line 1 is longer than 16,777,216 characters" in message("pairs", path)
    assert tracemalloc.get_traced_memory()[1] < 5 * data.readers.LINE
    tracemalloc.stop()


def test_a_file_of_empty_lines_is_refused_soon(tmp_path):
    """1.4 MB of newlines took two minutes without a word."""
    path = packed(tmp_path / "x.jsonl.gz", (b"\n" * 2**20 for _ in range(4)))
    assert "has 1,000,000 empty lines one after another, to line 1000001" in message("pairs", path)


@pytest.mark.parametrize("suffix", [".json.gz", ".csv.gz", ".jsonl.gz"])
def test_a_bomb_of_many_lines_is_refused(tmp_path, monkeypatch, suffix):
    """Whatever unpacks to over a hundred times its size is no text."""
    monkeypatch.setattr(data.readers, "UNPACKED", (2**20, 100))
    line = json.dumps({"prompt": "a" * 1000, "chosen": "b", "rejected": "c"}).encode() + b"\n"
    path = packed(tmp_path / f"x{suffix}", (line for _ in range(5000)))
    said = message("pairs", path)
    assert "unpacks to over 100 times its size" in said or "is longer than" in said


def test_a_parquet_that_says_one_thing_many_times_is_refused(tmp_path, monkeypatch):
    """6 MB of parquet ended in MemoryError: a long text is stored once and unpacked in every row."""
    monkeypatch.setattr(data.readers, "UNPACKED", (2**24, 100))
    text = "".join(map(str, range(20_000)))
    column = pyarrow.array([text] * 2000)
    table = pyarrow.table({"prompt": column, "chosen": column, "rejected": column})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 2**20
    assert "unpacks to over 100 times its size" in message("pairs", tmp_path / "x.parquet")


def test_a_damaged_parquet_is_told_in_one_sentence(tmp_path):
    """OSError and UnicodeDecodeError: emptied, cut, or flipped at forty places."""
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(pairs(50)), path)
    whole, draw, refused = path.read_bytes(), random.Random(0), 0
    flipped = [bytearray(whole) for _ in range(40)]
    for one in flipped:
        one[draw.randrange(len(one))] ^= 1 << draw.randrange(8)
    for damaged in (b"PAR1", whole[:100], whole[100:], *map(bytes, flipped)):
        path.write_bytes(damaged)
        try:
            data.Source(str(path)).pairs()
        except data.DataError as error:
            refused += 1
            assert "x.parquet" in str(error) and "\n" not in str(error)
    assert refused >= 3


@pytest.mark.parametrize("score", [10**400, "9" * 400, float("inf"), "-inf"])
def test_a_score_beyond_all_numbers_is_refused(tmp_path, score):
    """A number of 400 digits was an OverflowError."""
    path = jsonl(tmp_path / "x.jsonl", [*pairs(10), {**pairs(11)[10], "score_chosen": score}])
    assert "line 11: 'score_chosen' must be a number" in message("pairs", path)


@pytest.mark.parametrize("column", ["category", "writer_chosen"])
def test_half_a_character_in_a_label_is_refused(tmp_path, column):
    """A lone surrogate got as far as the plots, and was a TypeError there."""
    path = tmp_path / "x.jsonl"
    rows = [json.dumps(row) for row in pairs(10)] + [json.dumps({**pairs(11)[10], column: "\ud800"})]
    path.write_text("\n".join(rows))
    assert f"line 11: '{column}' holds half a character" in message("pairs", path)


def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    """No permission, a broken disk: the file's name and why."""
    path = jsonl(tmp_path / "x.jsonl", pairs(10))
    for error in (PermissionError(13, "Permission denied"), OSError(5, "Input/output error")):
        monkeypatch.setattr(data.readers, "_lines", mock.Mock(side_effect=error))
        assert message("pairs", path) == f"x.jsonl cannot be read ({error.strerror})."

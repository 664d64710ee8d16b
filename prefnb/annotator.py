"""Annotating: pairs of answers, labelled by the keyboard, each label a line of a file before the next pair is shown.

    showings = plan(pairs, seed=0)
    widget = Annotator(showings, Labels("runs/annotations/mine.jsonl"))

Nothing of a file is ever rewritten: a label that is taken back is one line more. So a closed tab, a stopped kernel or a full
disk costs at most the label that was being made, and who comes back goes on where they were.
"""

from __future__ import annotations

import html
import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import anywidget
import traitlets
from IPython.display import HTML, display

from prefnb import files, widgets
from prefnb.cache import digest

BLOCK = 8  # after every so many pairs, one of the block before comes again, with its sides exchanged
CHOICES = ("left", "right", "tie")
UNDONE = "undone"
Key = tuple[str, bool]  # the pair's name, and whether it is shown again
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Pair:
    """A prompt with two answers, a and b. Which letter an answer has says nothing of it."""

    prompt: str
    a: str
    b: str

    @property
    def name(self) -> str:
        """The pair's identity: a digest of its texts."""
        return digest([self.prompt, self.a, self.b])


@dataclass(frozen=True)
class Showing:
    """A pair as it is shown: which answer ("a" or "b") stands left, and whether it was shown before."""

    pair: Pair
    left: str
    again: bool = False

    @property
    def key(self) -> Key:
        return self.pair.name, self.again

    @property
    def right(self) -> str:
        return other(self.left)

    def text(self, side: str) -> str:
        """What stands on a side."""
        return getattr(self.pair, self.left if side == "left" else self.right)


@dataclass(frozen=True)
class Label:
    """What was chosen: a side, or neither. seconds: from the pair's appearance to the choice. time: when, in UTC."""

    pair: str
    again: bool
    left: str
    choice: str
    seconds: float
    time: str

    @property
    def key(self) -> Key:
        return self.pair, self.again

    @property
    def chosen(self) -> str | None:
        """The answer that was chosen, "a" or "b"; None for a tie."""
        return {"left": self.left, "right": other(self.left), "tie": None}[self.choice]


def other(answer: str) -> str:
    """The other of the two answers "a" and "b"."""
    return {"a": "b", "b": "a"}[answer]


def plan(pairs: Sequence[Pair], seed: int = 0) -> list[Showing]:
    """How pairs are shown: in their order, each answer left in half of every block of `BLOCK`, and after every block but the
    first one pair of the block before once more, with sides exchanged. A longer list of pairs goes on where a shorter ends."""
    shown, before = [], []
    for start in range(0, len(pairs), BLOCK):
        rng = random.Random(f"{seed}-{start}")
        sides = ["a", "b"] * (BLOCK // 2)
        rng.shuffle(sides)
        block = [Showing(pair, left) for pair, left in zip(pairs[start : start + BLOCK], sides)]
        shown += block
        if before and len(block) == BLOCK:
            one = rng.choice(before)
            shown.append(Showing(one.pair, one.right, again=True))
        before = block
    return shown


class Labels:
    """The labels of a file, as they stand: `made`, in the order in which they were made, without those taken back; `notes`,
    a sentence for every line that cannot be read. Without a path they are kept in memory alone."""

    def __init__(self, path: str | Path | None = None):
        self.path = files.here(path) if path else None
        self.made: list[Label] = []
        self.notes: list[str] = []
        lines = self.path.read_bytes().split(b"\n") if self.path and self.path.exists() else []
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._read(line, number, torn=number == len(lines))

    @classmethod
    def of(cls, made: Iterable[Label]) -> Labels:
        """Labels that are in no file."""
        found = cls()
        found.made = list(made)
        return found

    def _read(self, line: bytes, number: int, torn: bool) -> None:
        """One line of the file; torn: it is the last, and does not end."""
        try:
            row = json.loads(line)
            if row["choice"] == UNDONE:
                return self._forget((row["pair"], row["again"]))
            label = Label(**{name: row[name] for name in Label.__dataclass_fields__})
            sound = isinstance(label.pair, str) and isinstance(label.again, bool) and label.left in ("a", "b")
            if not sound or label.choice not in CHOICES or not float(label.seconds) >= 0:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            self.notes.append(f"The last line of {self.path.name} was cut off while it was written, and is left out." if torn
                              else f"Line {number} of {self.path.name} is no label, and is left out.")  # fmt: skip
        else:
            self._put(label)

    def _put(self, label: Label) -> None:
        self._forget(label.key)
        self.made.append(label)

    def _forget(self, key: Key) -> None:
        self.made = [one for one in self.made if one.key != key]

    def add(self, label: Label) -> None:
        """Keep a label: in the file first. OSError if it cannot be written."""
        self._append(asdict(label))
        self._put(label)

    def undo(self, label: Label) -> None:
        """Take a label back, by a line that says so."""
        self._append({"pair": label.pair, "again": label.again, "choice": UNDONE, "time": _now()})
        self._forget(label.key)

    def _append(self, row: dict) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b") as file:
            file.seek(0, os.SEEK_END)
            half = False
            if file.tell():
                file.seek(-1, os.SEEK_END)
                half = file.read(1) != b"\n"  # a line that was cut off stays by itself
            file.write(b"\n" * half + json.dumps(row, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def by_key(self) -> dict[Key, Label]:
        return {one.key: one for one in self.made}


class Annotator(anywidget.AnyWidget):
    """Shows one pair after the other and keeps what is chosen. The keyboard sets the trait `pressed`; so can Python:
    {"turn": that of `shown`, "choice": "left", "right", "tie" or "undo", "seconds": 2.5}."""

    _esm = (_HERE / "annotator.js").read_text(encoding="utf-8")
    _css = (_HERE / "annotator.css").read_text(encoding="utf-8")
    shown = traitlets.Dict().tag(sync=True)  # turn, pair ("" at the end), prompt, left, right
    count = traitlets.List([0, 0]).tag(sync=True)  # labelled, and all
    note = traitlets.Unicode("").tag(sync=True)
    pressed = traitlets.Dict().tag(sync=True)

    def __init__(self, showings: Sequence[Showing], labels: Labels):
        super().__init__()
        self.showings, self.labels = list(showings), labels
        self._turn, self._back = 0, None
        self._show(note=" ".join(labels.notes))

    @property
    def current(self) -> Showing | None:
        """What is shown: what was just taken back, else the first that has no label; None at the end."""
        done = self.labels.by_key()
        waiting = [one for one in self.showings if one.key not in done]
        return next((one for one in waiting if one.key == self._back), waiting[0] if waiting else None)

    @property
    def made(self) -> list[Label]:
        """The labels of what is shown here, in the order in which they were made."""
        mine = {one.key for one in self.showings}
        return [label for label in self.labels.made if label.key in mine]

    @traitlets.observe("pressed")
    def _answer(self, change: dict) -> None:
        """What the keyboard, a button or Python has set: ignored unless it answers what is shown now."""
        asked = change["new"]
        if asked.get("turn") != self._turn:
            return
        try:
            done = self._undo() if asked.get("choice") == "undo" else self._choose(asked)
        except OSError as error:
            done = f"NOT SAVED: {self.labels.path} cannot be written ({files.reason(error)})."
        self._show(done)

    def _choose(self, asked: dict) -> str:
        one, choice = self.current, asked.get("choice")
        if one is None or choice not in CHOICES:
            return self.note
        seconds = round(max(0.0, float(asked.get("seconds", 0.0))), 2)
        self.labels.add(Label(one.pair.name, one.again, one.left, choice, seconds, asked.get("time") or _now()))
        return f"Saved: {'a tie' if choice == 'tie' else f'{choice} is better'}."

    def _undo(self) -> str:
        if not self.made:
            return "There is nothing to take back."
        last = self.made[-1]
        self.labels.undo(last)
        self._back = last.key
        return "Taken back: here it is again."

    def _show(self, note: str) -> None:
        self._turn += 1
        one = self.current
        self.note, self.count = note, [len(self.made), len(self.showings)]
        texts = {"pair": one.pair.name + "-again" * one.again, "prompt": one.pair.prompt, "left": one.text("left"),
                 "right": one.text("right")} if one else {
                 "pair": "", "prompt": "All pairs are labelled. Thank you. Run the cells below.", "left": "", "right": ""}  # fmt: skip
        self.shown = {"turn": self._turn, **texts}

    def press(self, choice: str, seconds: float = 0.0, time: str = "") -> None:
        """Choose from Python, by the same trait that the keyboard sets."""
        self.pressed = {"turn": self._turn, "choice": choice, "seconds": seconds, "time": time}

    def show(self) -> None:
        """A static picture of what is shown now, for readers of the saved notebook, and below it the widget."""
        if one := self.current or (self.showings[-1] if self.showings else None):
            display(HTML(picture_of(one, self.count)))
        widgets.show_widget(self, "Run this notebook to label the pairs here.")


def replay(showings: Iterable[Showing], recorded: Labels) -> Labels:
    """Labels that were made before, put into a widget of their own by the traits that the keyboard drives. What has no label
    among the recorded ones is not shown. They are kept in memory alone."""
    known = recorded.by_key()
    widget = Annotator([one for one in showings if one.key in known], Labels())
    while (one := widget.current) is not None:
        label = known[one.key]
        side = {None: "tie", one.left: "left", one.right: "right"}[label.chosen]
        widget.press(side, label.seconds, label.time)
    return widget.labels


def picture_of(showing: Showing, count: Sequence[int]) -> str:
    """What the widget shows, as HTML that no kernel is needed for. All text is escaped."""
    box = "border:1px solid rgba(128,128,128,.5); border-radius:6px; padding:10px 14px; max-width:60em"
    card = "border:1px solid rgba(128,128,128,.4); border-radius:4px; padding:6px 10px; vertical-align:top; text-align:left"
    text = "white-space:pre-wrap; overflow-wrap:anywhere"
    button = "border:1px solid rgba(128,128,128,.5); border-radius:4px; padding:4px 12px; margin-right:8px"
    sides = "".join(f'<td style="{card}; width:50%"><small>{side}</small><div dir="auto" style="{text}">'
                    f"{html.escape(showing.text(side))}</div></td>" for side in ("left", "right"))  # fmt: skip
    words = ("&larr; left is better", "&darr; tie", "right is better &rarr;", "Z undo")
    buttons = "".join(f'<span style="{button}">{one}</span>' for one in words)
    return (f'<div {widgets.NO_MATH} style="{box}"><b>{count[0]} of {count[1]}</b>'
            f'<div dir="auto" style="{text}; background:rgba(128,128,128,.15); padding:6px 10px; margin:8px 0"><b>'
            f"{html.escape(showing.pair.prompt)}</b></div>"
            f'<table style="width:100%; table-layout:fixed"><tr>{sides}</tr></table>'
            f'<div style="margin-top:10px">{buttons}</div></div>')  # fmt: skip


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

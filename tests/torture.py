"""`make torture`: kills, damage, crowds and nonsense, with counts of what held. A short form of it is in test_torture.py.

Everything runs on a tiny model and forty pairs, in children that are forked after the imports, so that a kill costs a
second. What holds: a killed run that is started again ends bit for bit like an undisturbed one; whatever is damaged in
the cache, the result is the same; whatever is typed or put into a file is used or refused in a sentence. `make claims`
runs with small arms of the pocket world, and there a kill costs what its workers import: some ten seconds.
"""

import argparse
import contextlib
import gzip
import hashlib
import io
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import hypothesis
import psutil
import pyarrow
import pyarrow.parquet
import torch
from conftest import random_model
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from test_claims_run import figures, until

from prefnb import __main__ as command_line
from prefnb import cache as made
from prefnb import data, methods, models, parameters
from prefnb.claims.arms import Arm, Grid, falling
from prefnb.claims.run import make as make_claims
from prefnb.training import train

SMALL = {
    "pairs": 24, "batch_size": 4, "epochs": 2, "dialogs": 24, "prompts": 8, "steps": 6, "samples": 4, "rounds": 2,
    "scout_prompts": 6, "max_response_tokens": 12, "reward": "proxy", "helpfulness_model": None, "fluency_model": None,
}  # fmt: skip
MORE = {"grpo": {"updates": 3}, "dppo": {"alpha": 0.5}, "rs_dpo": {"share": 0.5}}
FEW = {"pairs": 24}
GRIDS = {"dpo": Grid("dpo", {"learning_rate": (1e-4, 3e-4)}, FEW)}
ARMS = {"dpo": Arm("dpo", FEW, "dpo"), **{name: Arm(name, FEW) for name in ("simpo", "ipo", "kto")}}
ARMS["falling"] = Arm("dppo", {**FEW, "alpha": 1.0}, "dpo", falling)
SECONDS = 120  # a child that takes longer has failed
REFUSED, INTERRUPTED = 3, 130  # how a child exits that refused in a sentence, or was interrupted by hand
# How `make claims` is killed, and with what it then exits: without a worker it tells one sentence.
KILLED = {
    "the parent": (-signal.SIGKILL,),
    "all": (-signal.SIGKILL,),
    "a worker": (1, -signal.SIGKILL),  # the parent, where there is no worker yet
    "Ctrl-C": (INTERRUPTED,),
}


class Campaign:
    """A world in a folder, and counts of what was tried and held."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed, self.draw, self.counts = folder, seed, random.Random(seed), {}
        self.in_the_midst = 0
        if not (child := os.fork()):
            tokenizer = models.load_tokenizer("pocket")
            models.save_checkpoint(random_model(tokenizer), tokenizer, folder / "model")
            os._exit(0)
        os.waitpid(child, 0)
        rows = [
            {
                "prompt": f"What is {n}?",
                "chosen": f"It is {n}, a number.",
                "rejected": f"No {n}.",
                "category": "ab"[n % 2],
            }
            for n in range(40)
        ]
        (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
        asked = [{"prompt": f"How much is {n}?", "category": "ab"[n % 2]} for n in range(40)]
        (folder / "new.jsonl").write_text("\n".join(map(json.dumps, asked)))

    def count(self, what: str, held: bool, told: str = "") -> None:
        tried, good = self.counts.get(what, (0, 0))
        self.counts[what] = tried + 1, good + held
        if not held:
            print(f"FAILED  {what}: {told}", flush=True)

    def words(self, method: str, out: Path) -> list[str]:
        """The command line of a small run."""
        files = {"model": "model", "dataset": "pairs.jsonl", "new_prompts": "new.jsonl"}
        given = {**SMALL, **{name: self.folder / file for name, file in files.items()}, **MORE.get(method, {})}
        known = getattr(methods, method).Settings.model_fields
        used = {name: value for name, value in given.items() if name in known and value is not None}
        return [method, *(f"--{name}={value}" for name, value in used.items()), f"--output_dir={out}"]

    def start(self, method: str, cache: Path, out: Path, ships: Path = made.MADE, room: int | None = None) -> int:
        """A child that trains, where `ships` is what comes with the package; returns its process id. With `room` no file
        may grow beyond so many bytes, as on a disk that is full."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            os.environ["PREFNB_CACHE"], made.MADE = str(cache), ships
            if room is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                sys.stderr = nowhere
                command_line.main(self.words(method, out))
            code = 0
        except ValueError as error:  # a sentence
            code = REFUSED if "\n" not in str(error) else 1
        except BaseException:
            sys.stderr = sys.__stderr__
            traceback.print_exc()
        finally:
            os._exit(code)

    def end(self, child: int, *codes: int) -> bool:
        """Did the child end well, in time? Or with one of other codes, if they are expected."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status) in (codes or (0,))
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def run(self, method: str, cache: Path, out: Path, **more) -> str | None:
        """The digest of weights and history that a run ends with; None if it does not end well."""
        return result(out) if self.end(self.start(method, cache, out, **more)) else None

    # --- Kills and crowds

    def kills(self, times: int) -> None:
        """Every recipe in turn: killed at a random moment, perhaps again, then left alone."""
        whole = {}
        for number in range(times):
            method = list(methods.listed())[number % len(methods.listed())]
            if method not in whole:
                began = time.monotonic()
                digest = self.run(method, self.folder / f"cache-{method}", self.folder / f"whole-{method}")
                whole[method] = digest, time.monotonic() - began
            cache, out = self.folder / f"killed-{number}", self.folder / f"out-{number}"
            for _ in range(self.draw.choice((1, 2))):
                child = self.start(method, cache, out)
                if self.draw.random() < 0.7:  # in the midst; else at any moment, before the first step too
                    until = time.monotonic() + whole[method][1]
                    while time.monotonic() < until and not any(cache.glob("unfinished-*/**/*")):
                        time.sleep(0.002)
                    time.sleep(self.draw.uniform(0.0, 0.2) * whole[method][1])
                else:
                    time.sleep(self.draw.uniform(0.05, 1.0) * whole[method][1])
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            self.in_the_midst += any(cache.glob("unfinished-*/**/unfinished.safetensors"))
            ended = self.run(method, cache, out)
            self.count("kills", ended is not None and ended == whole[method][0], f"{method}, kill {number}")
            left = [path.name for path in [*cache.glob("unfinished-*"), *cache.glob("*.damaged-*")]]
            self.count("nothing left of a kill", not left, f"{method}: {left}")
            shutil.rmtree(cache)

    def claims(self, times: int) -> None:
        """`make claims`, killed at random moments and started again, till all is made or there are no more kills: the
        files are those of an undisturbed run, but for what a clock has measured."""
        if not times:
            return
        began, whole = time.monotonic(), self.folder / "claims-whole"
        self.count("claims undisturbed", self.end(self.start_claims(whole)))
        expected, took = figures(whole), time.monotonic() - began
        folders = (self.folder / f"claims-{number}" for number in itertools.count())
        folder = next(folders)
        for _ in range(times):
            child, how = self.start_claims(folder), self.draw.choice(list(KILLED))
            log = folder / "desk" / f"workers-{child}.log"
            if self.draw.random() < 0.7:  # in the midst: a worker has imported all; else at any moment
                until(log.exists)
            time.sleep(self.draw.uniform(0.2, 0.5 * took))
            self.in_the_midst += log.exists()
            processes = psutil.Process(child).children()
            workers = [one for one in processes if "spawn_main" in " ".join(one.cmdline())]
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if how == "a worker" and workers:
                    workers[0].kill()
                elif how == "Ctrl-C":
                    os.killpg(child, signal.SIGINT)
                elif how == "all":
                    os.killpg(child, signal.SIGKILL)
                else:
                    os.kill(child, signal.SIGKILL)
            ended = self.end(child, 0, *KILLED[how])  # 0: all was made before the kill came
            gone = until(lambda: not any(one.is_running() for one in processes), 20)  # noqa: B023
            found = figures(folder)
            self.count("claims killed", ended and gone, f"{how}: ended {ended}, workers gone {gone}")
            self.count("claims, files whole", part(found, expected), f"{how}: {folder.name}")
            if found == expected:
                self.count("claims end the same", True)
                folder = next(folders)
        ended = self.end(self.start_claims(folder))
        self.count("claims end the same", ended and figures(folder) == expected, folder.name)

    def start_claims(self, folder: Path) -> int:
        """A child that makes the small arms, in a group of its own with its workers."""
        child = os.fork()
        if child:
            os.setpgid(child, child)
            return child
        code, errors = 1, os.fdopen(os.dup(2), "w")
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in (1, 2):  # those of Python's tracker of semaphores too, which complains when all are killed
                os.dup2(nowhere, number)
            given = dict(arms=ARMS, grids=GRIDS, seeds=[0], desk=folder / "desk", workers=2, prompts=20)
            code = len(make_claims(folder, **given))
        except KeyboardInterrupt:
            code = INTERRUPTED
        except BaseException:
            traceback.print_exc(file=errors)
            errors.flush()
        finally:
            os._exit(code)

    def crowds(self, sizes: tuple[int, ...]) -> None:
        """Several at once on a cold cache; and one that is killed while it holds the lock."""
        alone = self.run("dpo", self.folder / "alone", self.folder / "out-alone")
        for size in sizes:
            cache = self.folder / f"crowd-{size}"
            outs = [self.folder / f"crowd-{size}-{n}" for n in range(size)]
            children = [self.start("dpo", cache, out) for out in outs]
            ended = [self.end(child) for child in children]
            self.count(f"{size} at once", all(ended) and {result(out) for out in outs} == {alone}, str(ended))
        cache = self.folder / "lock"
        holder, waiting = self.start("dpo", cache, self.folder / "l1"), self.start("dpo", cache, self.folder / "l2")
        while not list(cache.glob("*.lock")):
            time.sleep(0.01)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        self.count("killed with the lock", self.end(waiting) and result(self.folder / "l2") == alone)

    def no_room(self, times: int) -> None:
        """A disk that is full, sooner or later: refused in a sentence, no half of anything left, and once there is room
        the run ends as ever. Where nothing can be written, the output is refused before training, the cache done
        without."""
        expected = self.run("dpo", self.folder / "room", self.folder / "out-room")
        largest = (self.folder / "out-room" / "model.safetensors").stat().st_size
        for number in range(times):
            cache, out = self.folder / f"full-{number}", self.folder / f"out-full-{number}"
            refused = self.end(self.start("dpo", cache, out, room=self.draw.randrange(1, largest)), REFUSED)
            halves = [path.name for path in self.folder.glob(f"{out.name}*")]
            held = refused and not halves and self.run("dpo", cache, out) == expected
            self.count("full disk", held, f"refused {refused}, left {halves}")
        nowhere, cache = Path("/proc/prefnb"), self.folder / "untouched"
        refused = self.end(self.start("dpo", cache, nowhere), REFUSED)
        self.count("no writing, output", refused and not cache.exists(), f"refused {refused}")
        self.count("no writing, cache", self.run("dpo", nowhere, self.folder / "out-nowhere") == expected)

    def damage(self) -> None:
        """Every file of a cache, of what ships, of an unfinished run and of a model emptied, cut, flipped, deleted: made
        again, to the same end; or for the model, refused in a sentence."""
        whole, out = self.folder / "damage-whole", self.folder / "out-damage"
        expected = self.run("dppo", whole, out)
        for cache, file, how in self.damaged(whole, "*/*"):
            self.count("damaged cache", self.run("dppo", cache, out) == expected, f"{file}, {how}")
        for ships, file, how in self.damaged(whole, "*/*"):
            shutil.rmtree(self.folder / "empty", ignore_errors=True)
            ended = self.run("dppo", self.folder / "empty", out, ships=ships)
            self.count("damaged shipment", ended == expected and (ships / file).parent.is_dir(), f"{file}, {how}")
        killed = self.folder / "damage-killed"
        child = self.start("dppo", killed, out)
        while not list(killed.glob("unfinished-*/unfinished.safetensors")):
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for _ in range(5):
            for cache, file, how in self.damaged(killed, "unfinished-*/unfinished.safetensors"):
                self.count("damaged checkpoint", self.run("dppo", cache, out) == expected, f"{file}, {how}")
        for _ in range(5):
            for model, file, how in self.damaged(self.folder / "model", "*"):
                told = refused(model)
                self.count("damaged model", "\n" not in told, f"{file}, {how}: {told[-300:]}")

    def damaged(self, whole: Path, pattern: str):
        """(a copy of a folder, the file in it that is damaged, how), for every file of a pattern and every damage."""
        for file in [path.relative_to(whole) for path in sorted(whole.glob(pattern))]:
            for how, change in DAMAGE.items():
                copy = self.folder / "damaged"
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(whole, copy)
                change(copy / file, self.draw)
                yield copy, file, how

    # --- Nonsense

    def typed(self, times: int) -> None:
        """Generated parameters: read, or refused in sentences."""

        @self.generated(times, drawn=st.data(), method=st.sampled_from(list(methods.listed())))
        def one(drawn, method):
            schema = getattr(methods, method).Settings
            names = st.sampled_from([*schema.model_fields, "alhpa", "", "output_dir"])
            given = drawn.draw(st.dictionaries(names, VALUES, min_size=1, max_size=4))
            try:
                parameters.check(given, schema)
                self.count("parameters", True)
            except parameters.ParameterError as error:
                self.count("parameters", len(str(error)) < 20_000)
            except Exception as error:
                self.count("parameters", False, f"{method} {given!r:.200}: {type(error).__name__}: {error!s:.200}")

        one()

    def filed(self, times: int) -> None:
        """Generated files: rows, or refused in one sentence."""
        loaders = st.sampled_from((data.Source.pairs, data.Source.dialogs, data.Source.prompts))
        asked = {"split": st.sampled_from(("train", "test")), "limit": st.sampled_from((None, 1, 8))}

        @self.generated(times, kind=st.sampled_from(data.SUFFIXES), rows=ROWS, damage=DAMAGED, load=loaders, **asked)
        def one(kind, rows, damage, load, **asked):
            path = self.folder / f"generated{kind}"
            write(path, *rows)
            if damage and path.stat().st_size:
                damage[0](path, random.Random(damage[1]))
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    found = load(data.Source(str(path)), **asked)
                self.count("files", len(found) > 0)
            except data.DataError as error:
                self.count("files", "\n" not in str(error), str(error))
            except Exception as error:
                self.count("files", False, f"{kind} {rows!r:.300} {damage}: {type(error).__name__}: {error!s:.200}")

        one()

    def generated(self, times: int, **what):
        """Decorates what is to be called `times` times, with arguments that hypothesis makes up from the seed."""
        usual = dict(database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        return lambda one: hypothesis.seed(self.seed)(
            settings(max_examples=times, **usual)(hypothesis.given(**what)(one))
        )


def result(out: Path) -> str:
    """A digest of a run's weights and of its history's rows."""
    rows = json.loads((out / "history.json").read_text())["rows"]
    return hashlib.sha256((out / "model.safetensors").read_bytes() + json.dumps(rows).encode()).hexdigest()


def part(found: object, whole: object) -> bool:
    """Is all that is found as it is in the whole?"""
    if isinstance(found, dict) and isinstance(whole, dict):
        return all(name in whole and part(value, whole[name]) for name, value in found.items())
    return found == whole


def refused(model: Path) -> str:
    """What is said of a model's folder when it is loaded in a child: nothing, a sentence, or a traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        told = ""
        try:
            models.load_tokenizer(str(model)), models.load_model(str(model))
        except ValueError as error:
            told = str(error)
        except BaseException:
            told = "\n" + traceback.format_exc()
        os.write(writing, told.encode()[-4000:])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read().decode(errors="replace")
    return told if os.waitpid(child, 0)[1] == 0 else f"{told}\nThe child died."


def flip(path: Path, draw: random.Random) -> None:
    written = bytearray(path.read_bytes())
    written[draw.randrange(len(written))] ^= 1 << draw.randrange(8)
    path.write_bytes(written)


DAMAGE = {
    "empty": lambda path, draw: path.write_bytes(b""),
    "cut": lambda path, draw: os.truncate(path, path.stat().st_size // 2),
    "flip": flip,
    "delete": lambda path, draw: path.unlink(),
}
ODD_VALUES = [
    None, True, False, 0, 1, -1, 3, 1e-300, 1e308, 10**400, 0.5, float("nan"), float("inf"), "", " ", "10", "1e-3", "nan",
    "-inf", "true", "no", "pocket", "qwen", "poket", "linear", "0.1,1,10", "[1, 2]", ",", [], [1, "a"], [[1]], {}, (), b"x",
    "a/b", "a/b/c", ".", "..", "/", "~", "~nobody/x", "\0", "\ud800", "x" * 5000, "/" * 5000, "$x$", "<b>", "../" * 400,
    object(), 1 + 2j, "9" * 5000, "١٢", "-0.0", "0x10", "1_000", "file.jsonl", "/dev/null", "/proc/1/mem",
]  # fmt: skip
ODD_CELLS = [
    None, "", " ", "a", "b " * 50, "\ud800", "\0", 0, -1.5, 10**30, 1e308, True, [], {}, [None], ["a"], {"role": "user"},
    [{"role": "user", "content": "Hi"}], [{"role": "assistant", "content": "Yes"}], [{"role": 1, "content": []}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}],
    [{"role": "system", "content": ""}, {"role": "user", "content": "?"}, {"role": "assistant", "content": "No"}],
    "\n\nHuman: Hi\n\nAssistant: Yes", "\n\nHuman: Hi\n\nAssistant: No", "<iframe>", "nan", "9" * 400,
]  # fmt: skip
COLUMNS = (
    "prompt",
    "chosen",
    "rejected",
    "response",
    "completion",
    "messages",
    "category",
    "score_chosen",
    "metadata",
    "x",
)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.sampled_from(ODD_VALUES) | PLAIN | st.lists(PLAIN, max_size=3)
CELLS = st.sampled_from(ODD_CELLS) | PLAIN
SOUND = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
DAMAGED = st.none() | st.none() | st.tuples(st.sampled_from(list(DAMAGE.values())[:3]), st.integers(0, 2**32))


@st.composite
def odd_rows(draw) -> tuple[list[str], list[dict]]:
    """(columns, rows): sound rows of pairs, or of any columns with odd cells."""
    pairs = ["prompt", "chosen", "rejected"]
    columns = draw(st.just(pairs) | st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=6, unique=True))
    cell = draw(st.sampled_from((SOUND, CELLS)))
    return columns, draw(st.lists(st.fixed_dictionaries({name: cell for name in columns}), max_size=12))


ROWS = odd_rows()


def write(path: Path, columns: list[str], rows: list[dict]) -> None:
    """A file of these rows, in the form that its name says."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        text = [{name: None if value is None else json.dumps(value) for name, value in row.items()} for row in rows]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(text or [{"prompt": "a"}]), path)
        return
    lines = [",".join(columns), *(",".join(json.dumps(v) for v in row.values()) for row in rows)]
    written = {"csv": "\n".join(lines), "json": json.dumps(rows), "jsonl": "\n".join(map(json.dumps, rows))}[
        kind
    ].encode()
    path.write_bytes(gzip.compress(written) if path.suffix == ".gz" else written)


def main(arguments=None) -> int:
    """Run the campaign; 0 if all held."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("kills", 50), ("claims", 10), ("parameters", 2000), ("files", 500), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--only", choices=("kills", "claims"), help="this part alone")
    parser.add_argument("--short", action="store_true", help="no damage to files, no crowd of five")
    p = parser.parse_args(arguments)
    torch.set_num_threads(1)  # a forked child may not start threads of its own
    usual = train.__kwdefaults__["checkpoint_seconds"]
    train.__kwdefaults__["checkpoint_seconds"] = 0.0  # every step is kept, so that every kill goes on from one
    try:
        with tempfile.TemporaryDirectory() as folder:
            campaign = Campaign(Path(folder), p.seed)
            # What forks comes first: a process that has started threads (Arrow's, say) may leave a child with a lock
            # that nobody will open.
            if p.only != "claims":
                campaign.kills(p.kills)
            if p.only != "kills":
                campaign.claims(p.claims)
            if not p.only:
                campaign.crowds((2,) if p.short else (2, 5))
                campaign.no_room(2 if p.short else 20)
                if not p.short:
                    campaign.damage()
                campaign.typed(p.parameters)
                campaign.filed(p.files)
    finally:
        train.__kwdefaults__["checkpoint_seconds"] = usual
    for what, (tried, held) in campaign.counts.items():
        print(f"{what:24} tried {tried:5}  held {held:5}  failed {tried - held:5}")
    print(
        f"{campaign.in_the_midst} of the kills left a run to go on from; the others came before its first step or after."
    )
    return int(any(tried != held for tried, held in campaign.counts.values()))


if __name__ == "__main__":
    sys.exit(main())

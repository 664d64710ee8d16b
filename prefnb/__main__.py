"""`python -m prefnb METHOD --alpha 10 ...` trains a method as its notebook does; `python -m prefnb summary FOLDER`
shows a run."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

from prefnb import files, methods, models, parameters
from prefnb.processes import processes


def main(arguments: list[str]) -> None:
    width = max(map(len, methods.listed()))
    about = "\n".join(f"  {name:{width}}  {one.about}" for name, one in methods.listed().items())
    parser = argparse.ArgumentParser(
        prog="python -m prefnb",
        description=__doc__,
        epilog=f"methods:\n{about}\n\n`python -m prefnb dpo --help` lists a method's parameters.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=[*methods.listed(), "summary"], metavar="METHOD|summary")
    parser.add_argument(
        "rest", nargs=argparse.REMAINDER, help="--name value for a method's parameters, or a run's folder"
    )
    given = parser.parse_args(arguments)
    if given.command == "summary":
        summary([Path(path) for path in given.rest])
    elif {"-h", "--help"} & set(given.rest):
        method = methods.listed()[given.command]
        print(f"{method.about}\n\n{parameters.described(getattr(methods, given.command).Settings)}")
    else:
        run(given.command, given.rest)


def run(method: str, words: list[str]) -> None:
    """Train, and write the policy in the standard format with its history."""
    values = named_values(words)
    folder = files.check_replaceable(values.get("output_dir") or f"runs/{method}")
    made = getattr(methods, method).recipe(**values)
    if not processes().is_main_process:
        return
    folder = save_beside_what_is_there(made, folder)
    print(
        f"{len(made.history.rows)} steps in {made.history.seconds:.1f} s; loss {made.history.rows[0]['loss']:.4f} -> "
        f"{made.history.last('loss'):.4f}. The policy and history.json are in {folder}."
    )


def save_beside_what_is_there(made, folder: Path) -> Path:
    """Save a trained policy in `folder`, or if somebody has put something there while it was trained, in the next free
    `folder-1`, `folder-2`, ...; returns where."""
    for number in itertools.count():
        place = folder.with_name(f"{folder.name}-{number}") if number else folder
        try:
            files.check_replaceable(place)
        except ValueError as error:
            print(error)
            if number == 99:
                raise
            continue
        models.save_checkpoint(made.model, made.tokenizer, place, made.history)
        return place


def named_values(words: list[str]) -> dict[str, str]:
    """["--alpha", "10"] or ["--alpha=10"] as {"alpha": "10"}; `parameters.check` makes numbers of the strings."""
    values, rest = {}, list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or not (equals or rest):
            raise ValueError(f"Parameters are given as --name value; '{name}' is not.")
        values[name[2:].replace("-", "_")] = value if equals else rest.pop(0)
    return values


def summary(paths: list[Path]) -> None:
    """Print what a notebook's run measured, and where its notebook and figures are."""
    if not paths:
        raise ValueError("summary needs the folder of a notebook's run, e.g. runs/04_dppo.")
    for path in paths:
        if not path.exists():
            raise ValueError(f"There is no '{path}' (looked from {Path.cwd()}).")
        if not path.is_dir() and path.suffix != ".ipynb":
            raise ValueError(f"'{path}' is neither the folder of a notebook's run nor an executed notebook.")
    for folder in (path for path in paths if path.is_dir()):
        found = _summary_in(folder)
        asked = f"{found['prompts']} prompts, {found['draws']} answers to each"
        print(f"\nWin rates against {found['baseline']} on {asked} (95% interval):")
        for label, rate in found["win_rates"].items():
            low, high = rate["interval"]
            print(f"  {label:32} {rate['rate']:.3f} [{low:.3f}, {high:.3f}]")
        print(f"Figures: {', '.join(str(path) for path in sorted(folder.glob('*.png')))}")
    for path in (path for path in paths if path.suffix == ".ipynb"):
        print(f"Executed notebook: {path}")


def _summary_in(folder: Path) -> dict:
    """What `course.record` wrote into a run's folder; ValueError with one sentence if it did not, or it is damaged."""
    path = folder / "summary.json"
    if not path.is_file():
        raise ValueError(f"'{folder}' has no summary.json; give the folder of a notebook's run, e.g. runs/04_dppo.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for rate in found["win_rates"].values():
            rate["rate"] + sum(rate["interval"])
        return {name: found[name] for name in ("baseline", "prompts", "draws", "win_rates")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path} is damaged, or no summary of a run.") from None


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, FloatingPointError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt as error:
        print(str(error) or "Interrupted.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        sys.exit(f"{error.filename or 'A file'} cannot be used ({error.strerror or error}).")

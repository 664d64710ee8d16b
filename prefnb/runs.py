"""Runs that notebooks have left behind, side by side: `compare("runs/02_dpo", "runs/02_dpo-1")`."""

from __future__ import annotations

from pathlib import Path

from IPython.display import display

from prefnb import files, plots, widgets
from prefnb.training import History

CURVES = ["loss", "reward", "margin", "accuracy", "logp_chosen", "logp_rejected", "kl_k3"]


def compare(*folders: str | Path) -> None:
    """Show what differs between runs: their parameters, their win rates, and all curves over each other.

    folders: of two runs or more, as `course.record` writes them. ValueError, with one sentence, for a folder that is none.
    """
    if len(folders) < 2:
        raise ValueError("Give the folders of two runs or more, e.g. 'runs/02_dpo' and 'runs/02_dpo-1'.")
    names = [str(folder) for folder in folders]
    parameters, summaries = (
        [_read(Path(folder) / name) for folder in folders] for name in ("parameters.json", "summary.json")
    )
    widgets.show_table(["parameter", *map(widgets.escaped, names)], *differing(parameters))
    widgets.show_table(["win rate", *map(widgets.escaped, names)], *win_rates(summaries))
    for label, found in histories(folders).items():
        named = {
            Path(names[i]).name if len({Path(one).name for one in names}) == len(names) else names[i]: history
            for i, history in found.items()
        }
        figure = plots.plot_training(
            named, [curve for curve in CURVES if any(curve in one.names for one in found.values())]
        )
        figure.suptitle(label, x=0.01, ha="left")
        display(figure)


def differing(parameters: list[dict]) -> list[list]:
    """A row for every parameter that is not the same in all runs; a dash where a run has none of that name."""
    names = dict.fromkeys(name for one in parameters for name in one)
    values = {name: [one.get(name, "-") for one in parameters] for name in names if name != "output_dir"}
    rows = [
        [widgets.escaped(name), *(widgets.escaped(value) for value in found)]
        for name, found in values.items()
        if any(one != found[0] for one in found)
    ]
    return rows or [["all the same", *[""] * len(parameters)]]


def win_rates(summaries: list[dict]) -> list[list[str]]:
    """A row for every policy of any run: its win rate over that run's baseline, with the 95% interval."""
    labels = dict.fromkeys(label for one in summaries for label in one.get("win_rates", {}))
    said = lambda rate: (
        "-" if rate is None else f"{rate['rate']:.3f} [{rate['interval'][0]:.3f}, {rate['interval'][1]:.3f}]"
    )  # noqa: E731
    rows = [
        [widgets.escaped(label), *(said(one.get("win_rates", {}).get(label)) for one in summaries)] for label in labels
    ]
    return rows or [["no run has a judge", *[""] * len(summaries)]]


def histories(folders: tuple[str | Path, ...]) -> dict[str, dict[int, History]]:
    """{a history's name: {number of a run: it}}, of those that two runs or more have."""
    found: dict[str, dict[int, History]] = {}
    for i, folder in enumerate(folders):
        for path in sorted(Path(folder).glob("history_*.json")):
            found.setdefault(path.stem.removeprefix("history_"), {})[i] = History.load(path)
    return {label: runs for label, runs in found.items() if len(runs) > 1}


def _read(path: Path) -> dict:
    """A JSON file of a run."""
    try:
        found = files.read_json(path)
    except OSError:
        raise ValueError(f"'{path.parent}' is no run of a notebook: it has no {path.name}.") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({files.first_line(error)}).") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged (it holds no parameters or figures by name).")
    return found

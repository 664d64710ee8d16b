"""What a notebook's run leaves behind in its folder: settings, histories, answers with scores, the summary, figures."""

from __future__ import annotations

import itertools
import os
import re
import secrets
from pathlib import Path

from prefnb.course.comparison import Comparison
from prefnb.evaluate import WinRate
from prefnb.files import write_json
from prefnb.parameters import Settings
from prefnb.training import History


def record(
    folder: Path,
    p: Settings,
    histories: dict[str, History],
    comparison: Comparison,
    figures: dict | None = None,
    **summary,
) -> Path:
    """Write a run's settings, histories, responses with scores and summary as JSON into `folder`, and matplotlib figures
    as PNG under their names; returns the folder. An earlier run that gave something else is kept beside it, which is
    said."""
    folder = Path(folder)
    part = folder.with_name(f"{folder.name}.part-{secrets.token_hex(4)}")
    part.mkdir(parents=True)
    write_json(part / "parameters.json", vars(p))
    for label, history in histories.items():
        history.save(part / f"history_{re.sub(r'[^A-Za-z0-9.-]+', '_', label).strip('_')}.json")
    write_json(part / "responses.json", _responses(comparison))
    write_json(
        part / "summary.json",
        {
            "baseline": comparison.baseline,
            "judge": comparison.judge.name if comparison.judge else None,
            "prompts": len(comparison.prompts),
            "draws": comparison.draws(comparison.baseline),
            "win_rates": {label: _figures(rate) for label, rate in comparison.win_rates.items()},
            **summary,
        },
    )
    for name, figure in (figures or {}).items():
        figure.savefig(part / f"{name}.png")
    _put(part, folder)
    return folder


def _put(part: Path, folder: Path) -> None:
    """Move a whole record to where it belongs. What is there and is the same run is replaced; another run gets a name of
    its own."""
    said = [(folder / name, part / name) for name in ("parameters.json", "summary.json")]
    if all(old.exists() for old, _ in said) and any(old.read_bytes() != new.read_bytes() for old, new in said):
        earlier = next(one for n in itertools.count(1) if not (one := folder.with_name(f"{folder.name}-{n}")).exists())
        folder.rename(earlier)
        print(f"The earlier run, with other parameters or figures, is in {earlier}.")
    folder.mkdir(exist_ok=True)
    for path in sorted(part.iterdir()):
        os.replace(path, folder / path.name)
    part.rmdir()


def _responses(comparison: Comparison) -> list[dict]:
    """One row for every answer of every policy; `draw` counts the answers of a policy to a prompt from 0."""
    rows = []
    for label, drawn in comparison.answers.items():
        scores = comparison.scores[label].total.ravel() if comparison.judge else None
        for i, one in enumerate(drawn):
            number, draw = divmod(i, comparison.draws(label))
            rows.append(
                {
                    "prompt": comparison.prompts[number][-1]["content"],
                    "category": comparison.categories[number],
                    "method": label,
                    "draw": draw,
                    "response": one.text,
                    "finished": one.finished,
                    **({} if scores is None else {"score": float(scores[i])}),
                }
            )
    return rows


def _figures(rate: WinRate) -> dict:
    """A win rate as `summary.json` has it."""
    return {
        "rate": rate.rate,
        "interval": rate.interval,
        "strict": rate.strict,
        "ties": rate.tie_share,
        "mean_difference": rate.mean_difference,
        "difference_interval": rate.difference_interval,
    }

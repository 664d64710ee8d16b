"""What a notebook's run leaves behind in its folder: settings, histories, answers with scores, the summary, figures."""

from __future__ import annotations

import re
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
    as PNG under their names; returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "parameters.json", vars(p))
    for label, history in histories.items():
        history.save(folder / f"history_{re.sub(r'[^A-Za-z0-9.-]+', '_', label).strip('_')}.json")
    write_json(folder / "responses.json", _responses(comparison))
    write_json(
        folder / "summary.json",
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
        figure.savefig(folder / f"{name}.png")
    return folder


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

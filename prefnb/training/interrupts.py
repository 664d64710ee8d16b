"""What becomes of a training run that its reader stops."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from prefnb.training.history import History


class Interrupted(KeyboardInterrupt):
    """A run that was stopped and cannot go on as it is; a notebook shows its one sentence, and no traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it."""
        return [str(self)]


@contextmanager
def stoppable(history: History, total: int, live: Any, kept: bool):
    """Around the steps of a run, `total` in all: an interruption ends a run with a `live` figure here, with the policy
    and the history so far, as if it had been meant to be so short. Any other might be taken for a whole one, by a
    cache or by whoever compares it: it ends in `Interrupted`, as does a run that is kept in a checkpoint to go on from.
    """
    try:
        yield
    except KeyboardInterrupt:
        done = history.rows[-1]["step"] if history.rows else 0
        if live is None or kept or not done:
            again = "goes on from its last checkpoint" if kept else "begins anew"
            raise Interrupted(
                f"Training was interrupted after {done} of {total} steps. Run it again: it {again}."
            ) from None
        history.stopped = f"stopped by hand after {done} of {total} steps"
        print(
            f"Training was stopped by hand after {done} of {total} steps. The policy as it is now and its history are "
            "kept, and what follows goes on with them; run the cell again for a whole run."
        )

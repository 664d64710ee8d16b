"""A short form of `make torture`, so that what it needs is there when somebody runs it."""

import subprocess
import sys
from pathlib import Path


def test_kills_crowds_and_nonsense_in_short():
    """Killed runs end bit for bit, two at once make one entry, and nothing typed or filed is a traceback."""
    few = ["--short", "--kills=3", "--claims=0", "--parameters=200", "--files=60"]
    done = subprocess.run(
        [sys.executable, "torture.py", *few], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "failed     0" in done.stdout and "failed     1" not in done.stdout

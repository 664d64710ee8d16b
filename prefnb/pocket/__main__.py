"""`python -m prefnb.pocket`: rebuild the shipped data and base model."""

import sys

from .build import main

sys.exit(main(sys.argv[1:]))

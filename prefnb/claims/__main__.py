"""`python -m prefnb.claims`: see `run`."""

import sys

from prefnb.claims.run import main

if __name__ == "__main__":
    sys.exit(main())

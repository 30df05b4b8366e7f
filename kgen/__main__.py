"""`python -m kgen` is the command `kgen`."""

import sys

from kgen.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

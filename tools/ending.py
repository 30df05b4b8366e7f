"""How the programs of this folder end where the user made a mistake: as kgen's commands, with a message and code 2."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from absl import logging

from kgen.errors import UserError


def exit_code_of(main: Callable[[], int | None]) -> int:
    """Calls a program and returns its exit code: 2, after one message, where data or a file are missing.

    A command that it called and that failed has said why: its code is the program's.
    """
    logging.set_verbosity(logging.ERROR)  # of the libraries, as in the commands
    try:
        return main() or 0
    except UserError as error:
        reason = str(error)
    except OSError as error:
        if error.filename is None:
            raise
        reason = f"{error.filename}: {error.strerror}"
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"{Path(sys.argv[0]).name}: {reason}", file=sys.stderr)
    return 2

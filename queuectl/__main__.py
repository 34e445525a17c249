"""`python -m queuectl`, and `python /path/to/queuectl` where nothing is installed."""

import os
import sys

if not __package__:  # started as a directory: its parent holds the package
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from queuectl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m eventsync`: the same as the program `eventsync`."""

import sys

from eventsync.cli import main

if __name__ == "__main__":
    sys.exit(main())

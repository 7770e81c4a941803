"""`python -m backend.cli` is `valmed`, where the command is not on the PATH."""

from backend.cli import main

main()

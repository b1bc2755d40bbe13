"""`python -m switchgear` is the command."""

from __future__ import annotations

from switchgear.cli import main

if __name__ == "__main__":
    main(prog_name="switchgear")

"""Types of arguments that several programs here take."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """Take a whole number from 1 on. Raises ArgumentTypeError, or ValueError for no number."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number

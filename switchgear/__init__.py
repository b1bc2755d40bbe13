"""The command: settings, and the wiring of both planes into one process."""

__version__ = "0.1.0"

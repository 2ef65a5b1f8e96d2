"""The command line: files in, files out; tables on standard output, logs and progress on standard error."""

from bayesuplift.cli.program import main

__all__ = ["main"]

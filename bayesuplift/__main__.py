"""`python -m bayesuplift`."""

from bayesuplift.cli import main

main()

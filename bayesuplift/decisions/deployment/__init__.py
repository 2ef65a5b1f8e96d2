"""A policy away from the posterior that it was chosen on: in a file, on a table, as SQL."""

"""What was observed: the design, units or cells, how they are read, checked and aggregated."""

"""Evidence that holds however often it is looked at: e-values of cumulative statistics."""

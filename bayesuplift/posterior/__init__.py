"""The posterior as a labelled tree: its schema, exact part, diagnostics, checks against the data, and files."""

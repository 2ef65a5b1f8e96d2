"""What was applied to which experiment: batches, looks and states, in SQLite or PostgreSQL, each whole or not there."""

"""What knowing more before deciding is worth."""

"""What a study without random assignment can tell, and what it cannot."""

"""What is asked of a posterior, free of any model: effects, their averages and their spread, and what they are worth."""

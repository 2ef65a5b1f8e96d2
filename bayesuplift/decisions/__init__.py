"""What to do, given a posterior: choices and verdicts, from draws or in closed form."""

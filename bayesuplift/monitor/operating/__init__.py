"""What a plan does when it is run many times: simulated experiments, error rates, power, duration, and its threshold."""

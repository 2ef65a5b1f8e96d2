"""From data and a model to a posterior: the one place where JAX runs."""

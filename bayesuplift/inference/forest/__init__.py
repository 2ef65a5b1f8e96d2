"""Bayesian causal forests: arrays in, arrays out. `Sampler` draws, `ForestDraws` predicts and is stored."""

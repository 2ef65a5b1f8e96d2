"""Normal values of a few dimensions, without the library's solvers."""

from typing import Any

import jax.numpy as jnp


def given_information(information: Any, score: Any, drawn: Any) -> Any:
    """Normal values with precision matrix P and mean P^-1 score, from standard normal ones.

    With L L' = P, L'^-1 (L^-1 score + z) has that mean and the covariance P^-1. Column by column: the library's batched
    solvers wait for threads that another chain's solver may hold (see `distributions.MultivariateNormal`).

    Parameters
    ----------
    information
        (..., k, k): P, positive definite.
    score
        (..., k).
    drawn
        (..., k): z.
    """
    size = score.shape[-1]
    columns: list[Any] = []  # of L, from the diagonal on
    left, forward = information, score
    solved: list[Any] = []
    for k in range(size):
        column = left[..., k:, k] / jnp.sqrt(left[..., k, k])[..., None]
        columns.append(column)
        step = forward[..., k] / column[..., 0]
        solved.append(step + drawn[..., k])
        forward = forward.at[..., k:].add(-column * step[..., None])
        left = left.at[..., k:, k:].add(-column[..., :, None] * column[..., None, :])
    found: list[Any] = []  # the last first
    for k in reversed(range(size)):
        later = sum((columns[k][..., 1 + j] * found[-1 - j] for j in range(len(found))), start=0.0)
        found.append((solved[k] - later) / columns[k][..., 0])
    return jnp.stack(found[::-1], axis=-1)

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
    columns, solved = _eliminated(information, score)
    found: list[Any] = []  # the last first
    for k in reversed(range(len(columns))):
        later = sum((columns[k][..., 1 + j] * found[-1 - j] for j in range(len(found))), start=0.0)
        found.append((solved[k] + drawn[..., k] - later) / columns[k][..., 0])
    return jnp.stack(found[::-1], axis=-1)


def root_of(information: Any, vector: Any) -> tuple[Any, Any]:
    """With L L' = P: log det L, (...), and L^-1 vector, (..., k)."""
    columns, solved = _eliminated(information, vector)
    return sum(jnp.log(column[..., 0]) for column in columns), jnp.stack(solved, axis=-1)


def _eliminated(information: Any, vector: Any) -> tuple[list[Any], list[Any]]:
    """Columns of L, each from the diagonal on, and the elements of L^-1 vector."""
    columns: list[Any] = []
    solved: list[Any] = []
    left, forward = information, vector
    for k in range(vector.shape[-1]):
        column = left[..., k:, k] / jnp.sqrt(left[..., k, k])[..., None]
        columns.append(column)
        solved.append(forward[..., k] / column[..., 0])
        forward = forward.at[..., k:].add(-column * solved[k][..., None])
        left = left.at[..., k:, k:].add(-column[..., :, None] * column[..., None, :])
    return columns, solved

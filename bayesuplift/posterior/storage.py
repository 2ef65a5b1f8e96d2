"""Posteriors as netCDF files, written whole or not at all, with what is needed to make them again."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import xarray as xr
from h5netcdf.core import CompatibilityError

from bayesuplift.dims import POSTERIOR
from bayesuplift.errors import MissingFileError, PosteriorError, UnreadableFileError, did_you_mean, listed
from bayesuplift.files import whole_or_nothing
from bayesuplift.posterior.schema import READ_LATER, validate

_RECORDED = ("bayesuplift", "numpy", "scipy", "jax", "numpyro", "bartz", "numba", "xarray", "arviz-stats")


def provenance() -> dict[str, str]:
    """When, and with which versions, a posterior is made: root attributes of its tree."""
    versions = ", ".join(f"{name} {version(name)}" for name in _RECORDED)
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": f"python {platform.python_version()}, {versions}",
    }


def save(posterior: xr.DataTree | dict[str, xr.DataTree], path: str | os.PathLike[str]) -> None:
    """Write a posterior, or several by name, to a netCDF file.

    The file appears under its name when it is complete; a file that stood there before stays until then.

    Raises
    ------
    PosteriorError
        A tree does not follow the schema, or there is none.
    UnreadableFileError
        The file cannot be written.
    """
    target = Path(path)
    if not isinstance(posterior, dict):
        tree = validate(posterior)
    else:
        if not posterior:
            raise PosteriorError("no posterior to save")
        children = {_group_name(name): validate(one).copy() for name, one in posterior.items()}
        if len(children) < len(posterior):
            raise PosteriorError(f"two of the names {listed(posterior)} become one in the file; rename one")
        tree = xr.DataTree(children=children)
    try:
        with whole_or_nothing(target) as partial:
            tree.to_netcdf(partial, engine="h5netcdf")
    except (TypeError, CompatibilityError) as error:
        raise PosteriorError(f"the posterior holds something that netCDF cannot: {error}") from error


def load(path: str | os.PathLike[str], name: str | None = None, *, in_memory: bool = True) -> xr.DataTree:
    """Read a posterior written by `save`, or by any program that follows the schema.

    Parameters
    ----------
    path
        The netCDF file.
    name
        Which posterior, in a file that holds several.
    in_memory
        Whether to read all of it now. Without, numbers are read from the file when they are used: `target` and
        `policy_value` then take a block of units at a time, and check there that draws are finite.

    Raises
    ------
    MissingFileError, UnreadableFileError
        There is no such file, or it is not netCDF.
    PosteriorError
        Its tree does not follow the schema, or the name is needed or unknown.
    """
    source = Path(path)
    if not source.is_file():
        raise MissingFileError(f"no file {source}")
    try:
        # phony_dims: a plain HDF5 file, whose dimensions have no names, is refused by its schema and not by a warning
        tree = xr.open_datatree(source, engine="h5netcdf", phony_dims="sort", cache=in_memory)
        if in_memory:
            with tree:
                tree.load()
    except (OSError, ValueError, KeyError) as error:  # h5py's KeyError: a damaged group
        raise UnreadableFileError(f"{source} is not a netCDF file of a posterior: {error}") from error
    if POSTERIOR in tree.children:
        if name is not None:
            raise PosteriorError(f"{source} holds one posterior, without a name; {name!r} was asked for")
        return validate(_marked(tree, in_memory=in_memory))
    names = list(tree.children)
    if name is None and len(names) == 1:
        name = names[0]
    group = None if name is None else _group_name(name)
    if group not in names:
        asked = "name one of them" if name is None else f"{name!r} is not among them.{did_you_mean(name, names)}"
        raise PosteriorError(f"{source} holds {len(names)} posteriors: {listed(names)}; {asked}")
    one = xr.DataTree.from_dict({path: node.to_dataset() for path, node in tree[group].subtree_with_keys})
    return validate(_marked(one, in_memory=in_memory))


def _marked(tree: xr.DataTree, *, in_memory: bool) -> xr.DataTree:
    """The tree, with a mark where its numbers are still to be read."""
    tree.attrs = {name: value for name, value in tree.attrs.items() if name != READ_LATER}
    if not in_memory:
        tree.attrs[READ_LATER] = 1
    return tree


def _group_name(name: str) -> str:
    """Name of a posterior's group: a slash would nest it, and some names mean something else in such a file."""
    if not isinstance(name, str) or name in {"", ".", "..", POSTERIOR} or "\0" in name:
        raise PosteriorError(f"a posterior in a file of several cannot be called {name!r}; rename it")
    return name.replace("/", "|")

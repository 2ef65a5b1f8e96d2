"""Files that appear under their name when they are complete, and not before."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesuplift.errors import UnreadableFileError


@contextmanager
def folder_within(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder of its own inside `path`, which is made where it is not there; it is gone when the block ends.

    Raises
    ------
    UnreadableFileError
        The folder, or a file in it, cannot be written.
    """
    target = Path(path)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".partial.", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        raise UnreadableFileError(f"cannot write {target}: {error}") from error


@contextmanager
def whole_or_nothing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well, what was written takes the name `path`, else nothing changes.

    Raises
    ------
    UnreadableFileError
        The folder or the file cannot be written.
    """
    target = Path(path)
    with folder_within(target.parent) as folder:
        partial = folder / target.name
        yield partial
        partial.replace(target)

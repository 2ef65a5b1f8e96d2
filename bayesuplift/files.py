"""Files that appear under their name when they are complete, and not before."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesuplift.errors import UnreadableFileError


@contextmanager
def whole_or_nothing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well, what was written takes the name `path`, else nothing changes.

    Raises
    ------
    UnreadableFileError
        The folder or the file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix=f".{target.name}.", ignore_cleanup_errors=True
        ) as folder:
            partial = Path(folder) / target.name
            yield partial
            partial.replace(target)
    except OSError as error:
        raise UnreadableFileError(f"cannot write {target}: {error}") from error

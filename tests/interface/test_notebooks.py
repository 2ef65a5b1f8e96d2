"""Notebooks ask a question, use the public API alone, and run from top to bottom."""

import ast
from pathlib import Path

import pytest

import bayesuplift as bu
from tests.support.notebooks import NOTEBOOKS, executed, read

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def sources(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks_and_the_readme_lists_them() -> None:
    listed = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    assert PATHS
    assert all(path.name in listed for path in PATHS)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_title_is_a_question(path: Path) -> None:
    title = "".join(read(path)["cells"][0]["source"]).splitlines()[0]
    assert title.startswith("# ")
    assert title.endswith("?")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_only_public_names_of_the_package_are_used(path: Path) -> None:
    for node in ast.walk(ast.parse("\n".join(sources(path)))):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("bayesuplift")
        if isinstance(node, ast.Import):
            assert all(not name.name.startswith("bayesuplift.") for name in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bu":
            assert node.attr in bu.__all__


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_runs_and_shows_in_every_cell_what_its_file_shows(path: Path) -> None:
    stored = read(path)
    again = executed(stored)
    for before, after in zip(stored["cells"], again["cells"], strict=True):
        if before["cell_type"] == "code":
            assert [sorted(one.get("data", {})) for one in before["outputs"]] == [
                sorted(one.get("data", {})) for one in after["outputs"]
            ]

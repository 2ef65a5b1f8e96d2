"""Notebooks run cell by cell without a kernel: what a cell's last line shows is its output.

`python -m tests.support.notebooks` runs every notebook and writes its outputs into it.
"""

import ast
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any, Final

NOTEBOOKS: Final = Path(__file__).parents[2] / "notebooks"


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of its code cells, run in order in one namespace."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            outputs = _run("".join(cell["source"]), namespace, count)
            cells.append(cell | {"execution_count": count, "outputs": outputs})
        else:
            cells.append(cell)
    return notebook | {"cells": cells}


def _run(source: str, namespace: dict[str, Any], count: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {count}", "exec"), namespace)  # noqa: S102 -- the notebook is ours
        shown = None
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), namespace)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
        )
    if shown is not None:
        outputs.append(
            {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": _data(shown)}
        )
    return outputs


def _data(shown: Any) -> dict[str, Any]:
    if hasattr(shown, "to_plotly_json"):
        return {"application/vnd.plotly.v1+json": json.loads(shown.to_json()), "text/plain": ["Figure"]}
    data: dict[str, Any] = {"text/plain": repr(shown).splitlines(keepends=True)}
    if hasattr(shown, "_repr_html_"):
        data["text/html"] = shown._repr_html_().splitlines(keepends=True)
    return data


def read(path: Path) -> dict[str, Any]:
    """A notebook."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    for place in sorted(NOTEBOOKS.glob("*.ipynb")):
        sys.stderr.write(f"{place.name}\n")
        place.write_text(json.dumps(executed(read(place)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

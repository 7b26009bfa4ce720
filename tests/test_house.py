"""One idea per file and per function: none grows past what is read at once."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_FILE, LONGEST_FUNCTION = 300, 60


def _files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(found) > 20
    return found


def _n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_too_long() -> None:
    """A file that is has two ideas, for which there are two names."""
    files = _files("src", "dags", "tests", "benchmarks")
    long = {str(p.relative_to(ROOT)): n for p in files if (n := _n_lines(p)) > LONGEST_FILE}
    assert long == {}


def test_no_function_is_too_long() -> None:
    """From ``def`` to the last line, its docstring included."""
    long = {}
    for path in _files("src", "dags"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                n_lines = node.end_lineno - node.lineno + 1
                if n_lines > LONGEST_FUNCTION:
                    long[f"{path.relative_to(ROOT)}::{node.name}"] = n_lines
    assert long == {}

"""Small changes at random places of the modules that results rest on.

Comparisons are flipped, numbers moved by one, sums and products swapped, ``not`` removed, ``and``
and ``or`` exchanged, calls and updates dropped, the first two arguments of a call exchanged.
Left alone: docstrings, annotations, texts, what is only raised or logged, and imports.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.mutant import PACKAGE, ROOT, Mutant, for_pytest, the_file

MODULES: dict[str, tuple[str, ...]] = {
    "splits.py": ("test_splits.py", "test_prepared.py", "data/test_tables.py"),
    "prepared.py": ("test_prepared.py", "test_past.py"),
    "data/tables.py": (
        "data/test_tables.py",
        "test_prepared.py",
        "test_prepare.py",
        "test_past.py",
    ),
    "spare.py": ("test_spare.py",),
    "episodes.py": ("test_episodes.py", "test_negatives.py"),
    "foldin.py": ("test_foldin.py",),
    "foldin_alone.py": ("test_foldin_alone.py",),
    "user_prior.py": ("test_user_prior.py",),
    "exposure.py": ("test_exposure.py",),
    "evaluation_set.py": ("test_evaluation_set.py", "evaluation/test_protocol.py"),
    "evaluation/protocol.py": ("evaluation/test_protocol.py",),
    "formulas.py": ("test_formulas.py",),
    "evaluation/metrics.py": ("evaluation/test_metrics.py", "test_significance.py"),
    "significance.py": ("test_significance.py",),
    "leaderboard.py": ("evaluation/test_tables.py", "test_evaluate.py"),
    "canaries.py": ("test_canaries.py", "test_canary_errors.py"),
    "shuffled_labels.py": ("test_shuffled_labels.py",),
    "experiment.py": ("test_experiment.py", "test_evaluate.py"),
    "gate.py": ("test_gate.py",),
    "gating.py": ("test_gating.py",),
    "hearing.py": ("test_hearing.py", "test_gating.py"),
    "evaluation/refresh.py": ("test_refresh.py",),
    "as_served.py": ("test_as_served.py",),
    "recipe/recipe.py": ("test_recipe.py",),
    "recipe/learning.py": ("test_recipe.py",),
    "everyone.py": ("test_recipe.py",),
    "choices.py": ("test_choices.py",),
    "promotion.py": ("test_promotion.py",),
}
"""Modules of the package, and the tests that are to notice a change: none compares records."""

_COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_CALCULATED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr, ast.RShift: ast.LShift, ast.LShift: ast.RShift,
}  # fmt: skip
_SAID = {"info", "warning", "error", "debug", "progress", "setLevel", "require_version"}
"""Calls that people read: what they are given changes no result."""
_SYMMETRIC = {"max", "min", "maximum", "minimum", "equal"}
"""Calls whose arguments may stand in any order."""
_GUARDS = {"strict"}
"""Keywords that change nothing but what is raised where the code is wrong."""


class _Finder(ast.NodeVisitor):
    """Collects (node, replacement, where) in the order of the file."""

    def __init__(self) -> None:
        self.found: list[tuple[ast.AST, ast.AST | None, str]] = []
        self.scope: list[str] = []

    def _change(self, node: ast.AST, new: ast.AST | None) -> None:
        if new is not None and ast.dump(new) == ast.dump(node):
            return  # two equal arguments
        self.found.append((node, new, ".".join(self.scope) or "module"))

    def _scoped(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        self.scope.append(node.name)
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if isinstance(node, ast.FunctionDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self.visit(default)
        for statement in body:
            self.visit(statement)
        self.scope.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._scoped(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._scoped(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        pass

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and not _only_said(node.value):
            self._change(node, None)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._change(node, None)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        new = copy.deepcopy(node)
        new.ops[0] = _COMPARED[type(node.ops[0])]()
        self._change(node, new)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in _CALCULATED and not _is_text(node.left) and not _is_text(node.right):
            new = copy.deepcopy(node)
            new.op = _CALCULATED[type(node.op)]()
            self._change(node, new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        new = copy.deepcopy(node)
        new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._change(node, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self._change(node, node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._change(node, ast.Constant(not value))
        elif isinstance(value, int | float):
            self._change(node, ast.Constant(value + 1))

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in _GUARDS:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        if _only_said(node):
            return
        starred = any(isinstance(a, ast.Starred) for a in node.args[:2])
        if len(node.args) > 1 and not starred and _name(node) not in _SYMMETRIC:
            new = copy.deepcopy(node)
            new.args[:2] = [new.args[1], new.args[0]]
            self._change(node, new)
        self.generic_visit(node)


def _only_said(call: ast.Call) -> bool:
    return _name(call) in _SAID


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _is_text(node: ast.AST) -> bool:
    literal = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return literal or isinstance(node, ast.JoinedStr)


def _mutants_of(path: Path, tests: tuple[str, ...]) -> Iterator[Mutant]:
    text = (ROOT / path).read_text(encoding="utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = text.splitlines(keepends=True)

    def place(line: int, column: int) -> int:  # columns count bytes
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    finder = _Finder()
    finder.visit(ast.parse(text))
    taken: dict[str, int] = {}
    for node, new, scope in finder.found:
        at = place(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        old = text[at : place(node.end_lineno, node.end_col_offset)]  # type: ignore[attr-defined]
        changed = "pass" if new is None else ast.unparse(new)
        if isinstance(new, ast.expr) and not isinstance(new, ast.Constant):
            changed = f"({changed})"
        name = f"{path.name} {scope}: {' '.join(old.split())} -> {changed}"
        taken[name] = taken.get(name, 0) + 1
        if taken[name] > 1:
            name += f" #{taken[name]}"
        yield Mutant(name, path, text, at, old, changed, tests)


def all_mutants() -> list[Mutant]:
    """Every change of every module."""
    return [
        mutant
        for name, tests in MODULES.items()
        for mutant in _mutants_of(the_file(name, PACKAGE), for_pytest(tests))
    ]


def seeded_mutants(number: int, seed: int) -> list[Mutant]:
    """A random choice of all changes: code that comes or goes leaves the rest of it as it was."""

    def rank(mutant: Mutant) -> bytes:
        return hashlib.blake2b(f"{seed}/{mutant.name}".encode()).digest()

    chosen = sorted(all_mutants(), key=rank)[:number]
    return sorted(chosen, key=lambda mutant: (mutant.path, mutant.at))

"""One change of one file, and which tests are to notice it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = Path("src") / "coldstart"


@dataclass(frozen=True)
class Mutant:
    """``old`` at character ``at`` of a file becomes ``new``."""

    name: str
    path: Path  # below the root
    text: str  # of the file
    at: int
    old: str
    new: str
    tests: tuple[str, ...]  # what pytest is given: modules below the root, or tests of them

    @property
    def changed(self) -> str:
        """The text of the file with the change."""
        assert self.text.startswith(self.old, self.at)
        return self.text[: self.at] + self.new + self.text[self.at + len(self.old) :]

    @property
    def line(self) -> int:
        """Number of the line that is changed."""
        return self.text.count("\n", 0, self.at) + 1

    @cached_property
    def key(self) -> str:
        """Digest of the change, of the file and of the tests: what a result holds for."""
        digest = hashlib.sha256(f"{self.name}/{self.at}/{self.old}/{self.new}".encode())
        digest.update(self.text.encode())
        for test in self.tests:
            digest.update((ROOT / test.partition("::")[0]).read_bytes())
        return digest.hexdigest()[:16]


def the_file(name: str, below: Path) -> Path:
    """The only file of that name (or end of a path) below a folder of the root."""
    found = [p for p in (ROOT / below).rglob(Path(name).name) if p.as_posix().endswith("/" + name)]
    if len(found) != 1:
        raise SystemExit(f"{name}: {len(found)} files of that name below {below}, 1 expected")
    return found[0].relative_to(ROOT)


def for_pytest(names: tuple[str, ...]) -> tuple[str, ...]:
    """Test modules, or ``module::test``, with their folders."""
    split = [name.partition("::") for name in names]
    return tuple(f"{the_file(module, Path('tests'))}{mark}{test}" for module, mark, test in split)

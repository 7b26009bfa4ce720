"""Runs tests on copies of the tree, each in a process that is forked with the libraries loaded."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from tests.mutants.mutant import ROOT, Mutant

COPIED = ("src", "tests", "docs", "dags", "expectations", "benchmarks", ".dvc")
LIMIT = 20.0
"""A mutant may take this many times what the tests take without one; longer counts as caught."""
_A_TEST_FAILED = 1  # of pytest; anything else may be said of a test that is no longer there
FAILED = "failed.txt"
"""In a copy: the test that failed."""
PRELOADED = ["torch", "pandas", "scipy.stats", "scipy.sparse.linalg", "pytest", "safetensors.torch"]
PRELOADED += ["pydantic", "yaml", "hypothesis"]
PLUGINS = ("pytest_timeout",)
"""Of pytest: loading whatever else is installed takes longer than most tests."""


class Verdict(NamedTuple):
    """What became of a mutant."""

    outcome: str  # ``caught``, ``endless`` or ``survived``
    by: str | None = None  # the test that failed, without its parameters


class _Reporter:
    """A plugin of pytest: writes down which test fails."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.path.write_text(report.nodeid.partition("[")[0], encoding="utf-8")


def run_tests(folder: Path, tests: tuple[str, ...]) -> None:
    """In a process of its own: run tests of a copy, and leave with what pytest says."""
    os.chdir(folder)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    sys.path[:] = [str(folder / "src"), str(folder), *(p for p in sys.path if p != str(ROOT))]
    for name in [n for n in sys.modules if n.split(".")[0] in ("tests", "coldstart")]:
        del sys.modules[name]
    os.environ |= {"PYTHONPATH": str(folder / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    import hypothesis
    import pytest

    found_is_enough = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # not the smallest
    hypothesis.settings.register_profile("mutants", phases=found_is_enough, database=None)
    hypothesis.settings.load_profile("mutants")
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    options += [f"-p{plugin}" for plugin in PLUGINS]
    options.append(f"--basetemp={folder / 'temporary'}")
    found = pytest.main([*options, *tests], plugins=[_Reporter(folder / FAILED)])
    os._exit(int(found))


class Bench:
    """Copies of the tree, and the processes that run tests in them."""

    def __init__(self, jobs: int, scratch: Path) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        self.folders: SimpleQueue[Path] = SimpleQueue()
        for job in range(jobs):
            folder = scratch / str(job)
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            for name in COPIED:
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            for path in ROOT.iterdir():
                if path.is_file():
                    shutil.copy2(path, folder / path.name)
            self.folders.put(folder)
        self.times = itertools.count(int(time.time()))
        self.usual: dict[tuple[str, ...], float] = {}

    def seconds(self, tests: tuple[str, ...]) -> float:
        """What the tests take without a mutant.

        Raises:
            SystemExit: they fail.
        """
        if tests not in self.usual:
            folder = self.folders.get()
            start = time.monotonic()
            try:
                code = self._exit_code(folder, tests, 3600)
            finally:
                self.folders.put(folder)
            if code != 0:
                raise SystemExit(f"without any mutant, a test of {' '.join(tests)} fails")
            self.usual[tests] = time.monotonic() - start
            print(f"{self.usual[tests]:.0f} s without a mutant: {' '.join(tests)}", flush=True)
        return self.usual[tests]

    def verdict(self, mutant: Mutant, first: str | None = None) -> Verdict:
        """The verdict of all tests; ``first`` is one that caught the mutant before."""
        limit = LIMIT * self.seconds(mutant.tests)
        folder = self.folders.get()
        try:
            self._write(folder / mutant.path, mutant.changed)
            if first is not None and self._exit_code(folder, (first,), limit) == _A_TEST_FAILED:
                return Verdict("caught", first)
            return self._of_all(folder, mutant, limit)
        finally:
            self._write(folder / mutant.path, mutant.text)
            self.folders.put(folder)

    def _of_all(self, folder: Path, mutant: Mutant, limit: float) -> Verdict:
        (folder / FAILED).unlink(missing_ok=True)
        code = self._exit_code(folder, mutant.tests, limit)
        if code is None or code == 0:
            return Verdict("survived" if code == 0 else "endless")
        failed = folder / FAILED  # not there if the tests cannot even be imported
        return Verdict("caught", failed.read_text(encoding="utf-8") if failed.exists() else None)

    def _write(self, path: Path, text: str) -> None:
        """Each time with another time of change: compiled code of the last one is never taken."""
        path.write_text(text, encoding="utf-8")
        seconds = next(self.times)
        os.utime(path, (seconds, seconds))

    def _exit_code(self, folder: Path, tests: tuple[str, ...], limit: float) -> int | None:
        process = self.context.Process(target=run_tests, args=(folder, tests))
        process.start()
        process.join(limit)
        if process.is_alive():
            process.kill()
            process.join()
            return None
        return process.exitcode

"""Run one DVC stage in a scratch workspace: the baton between workers.

A task gets the texts of ``params.yaml`` and ``data.dvc`` as they were when its run began, and the
``dvc.lock`` entries of the stages before it, and hands on the entry of its own stage. Everything
else travels through the DVC remote, by hash. So a task needs nothing of the host that ran the one
before it, nor a checkout that somebody pulled; two runs never meet in a folder, and what a killed
task leaves behind is thrown away.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from coldstart import environment, layout
from coldstart.dvc_cache import Output, drop_damaged
from coldstart.dvc_command import dvc_batch
from coldstart.dvc_files import Lock, dvc_config, write_lock
from coldstart.errors import ArtefactError, ColdstartError, ParamsError, ServiceError
from coldstart.params import Params, parse_section
from coldstart.process import run_group

PIPELINE_FILES = ("dvc.yaml", ".dvcignore")
CODE = Path("src/coldstart")
_PREFIX = "stage-"
_OWNER = ".owner"


@dataclass(frozen=True)
class Request:
    """What a task is given.

    Attributes:
        params: text of ``params.yaml``.
        data: text of ``data.dvc``: which version of the data the run reads.
        lock: entries of ``dvc.lock`` by stage name; those of the stages that this one reads.
        run_id: identity of the DAG run, under which the tracking server finds the stage's run.
        files: further files of the workspace, by relative path (for instance a decision).
    """

    params: str
    data: str
    lock: Lock = field(default_factory=dict)
    run_id: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Request:
        """Parse the JSON of a request.

        Raises:
            ParamsError: it is not an object of the keys above.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise ParamsError(
                f"request: must be JSON with params, data, lock, run_id, files: {error}"
            ) from None


def run_stage(stage: str, request: Request, project: Path) -> dict[str, Any]:
    """Run ``stage`` (as named in ``dvc.yaml``) and push what it made.

    Returns:
        The baton: ``lock`` ``{stage: entry}``, ``restored`` (whether the run cache had it) and
        ``seconds``.

    Raises:
        ColdstartError: of the stage's own kind where it said what went wrong; ServiceError where
            it was lost (killed, or the remote does not answer), which is worth a retry.
    """
    started = time.monotonic()
    with workspace(project, request) as folder:
        needed = _needed(folder, stage, request)
        _secure(folder, needed, request)
        commands = [["pull", *needed]] if needed else []
        commands += [
            ["repro", "--single-item", "--pull", stage],
            ["push", "--run-cache", stage],
        ]
        said = _run(folder, dvc_batch(commands), request)
        lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))
        if stage not in lock["stages"]:
            raise ArtefactError(f"dvc.lock: has no entry for {stage!r} after it ran:\n{said}")
        return {
            "lock": {stage: lock["stages"][stage]},
            "restored": "Running stage" not in said,
            "seconds": round(time.monotonic() - started, 3),
        }


def run_command(arguments: Sequence[str], request: Request, project: Path) -> dict[str, Any]:
    """Run ``coldstart ARGUMENTS`` where all outputs of ``request.lock`` are at hand.

    Returns:
        The JSON object on the last line of its standard output.

    Raises:
        ColdstartError: as :func:`run_stage`.
    """
    with workspace(project, request) as folder:
        outs = [out for entry in request.lock.values() for out in _paths(entry, "outs")]
        if outs:
            _secure(folder, outs, request)
            _run(folder, dvc_batch([["pull", *outs]]), request)
        said = _run(folder, [sys.executable, "-m", "coldstart", *arguments], request)
        for line in reversed(said.splitlines()):
            if line.startswith("{"):
                return dict(json.loads(line))
        return {}


@contextmanager
def workspace(project: Path, request: Request) -> Iterator[Path]:
    """Make a folder with ``project``'s pipeline and code and the run's params; remove it after.

    Raises:
        ParamsError: the params or the data are refused.
        ArtefactError: ``project`` lacks a file of the pipeline.
    """
    parse_section(Params, yaml.safe_load(request.params), "params.yaml")
    data = yaml.safe_load(request.data)
    if not isinstance(data, dict) or not data.get("outs"):
        raise ParamsError("request: data must be the text of data.dvc, which has outs")
    root = environment.work()
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        _sweep(root)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        owner = FileLock(folder / _OWNER).acquire()
    try:
        with owner:
            _fill(folder, project, request)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove the folders of tasks that were killed: whoever owns one holds its lock."""
    for folder in root.glob(f"{_PREFIX}*"):
        with suppress(Timeout, OSError), FileLock(folder / _OWNER, blocking=False):
            shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, project: Path, request: Request) -> None:
    for name in PIPELINE_FILES:
        if not (project / name).exists():
            raise ArtefactError(f"{project / name}: not found; git has it")
        shutil.copyfile(project / name, folder / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(project / CODE, folder / CODE, ignore=ignore)
    shutil.copytree(project / layout.EXPECTATIONS, folder / layout.EXPECTATIONS, ignore=ignore)
    (folder / layout.PARAMS).write_text(request.params, encoding="utf-8")
    (folder / layout.DATA_PIN).write_text(request.data, encoding="utf-8")
    write_lock(folder / "dvc.lock", request.lock)
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(dvc_config(no_scm=True), encoding="utf-8")
    for name, text in request.files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _run(folder: Path, arguments: Sequence[str], request: Request) -> str:
    """Run a process of the workspace; its error, if it left one, is raised as its own kind."""
    error_file = folder / "error.json"
    variables = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),  # the code that was hashed is the code that runs
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        environment.HOME.name: str(environment.home()),
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site"),
        "DVC_NO_ANALYTICS": "1",
        environment.ERROR_FILE.name: str(error_file),
        environment.RUN_KEY.name: request.run_id,
    }
    code, said = run_group(arguments, cwd=folder, env=variables)
    if code == 0:
        return said
    if error_file.exists():
        left = json.loads(error_file.read_text(encoding="utf-8"))
        raise _kind(left["code"])(left["error"])
    lines = said.strip().splitlines() or ["it said nothing"]
    raise ServiceError("\n".join([f"ended with {code}: {lines[-1]}", *lines[-15:]]))


def _kind(code: int) -> type[ColdstartError]:
    kinds = {kind.exit_code: kind for kind in ColdstartError.__subclasses__()}
    return kinds.get(code, ColdstartError)


def _needed(folder: Path, stage: str, request: Request) -> list[str]:
    """Paths to pull: data, and upstream outputs that are, hold or lie in a dependency of ``stage``.

    `dvc repro --pull` alone does not find the outputs inside a folder that is a dependency.
    """
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    params = yaml.safe_load(request.params)
    name, _, item = stage.partition("@")
    if name not in pipeline or ("foreach" in pipeline[name]) != bool(item):
        raise ParamsError(f"stage: {stage!r} is not one of {', '.join(pipeline)}")
    spec = pipeline[name].get("do", pipeline[name])
    needed = [_interpolate(dep, params, item) for dep in spec["deps"]]
    outs = [out for entry in request.lock.values() for out in _paths(entry, "outs")]
    pull = [dep for dep in needed if Path(dep).parts[0] == layout.DATA.name]
    return pull + [out for out in outs if any(_overlap(out, dep) for dep in needed)]


def _secure(folder: Path, needed: Sequence[str], request: Request) -> None:
    """See that dvc finds no damaged object of ``needed``; what is damaged here is pulled again.

    Raises:
        ArtefactError: files are lost; names them and the stages that compute them.
    """
    owners = {
        out["path"]: (out["md5"], s) for s, e in request.lock.items() for out in e.get("outs", [])
    }
    pinned = yaml.safe_load(request.data)["outs"]
    owners |= {out["path"]: (out["md5"], "coldstart fetch") for out in pinned}
    outputs = [
        Output(path, md5, only)
        for only in needed
        for path, (md5, _) in owners.items()
        if _overlap(path, only)
    ]
    address = Path(environment.dvc_remote())
    remote = address if address.is_dir() else None
    cache = Path(environment.dvc_cache())
    found = drop_damaged(cache, remote, outputs)
    if found.unseen and cache.exists():
        _run(folder, dvc_batch([["fetch", *found.unseen]]), request)
        found = drop_damaged(cache, remote, outputs)
    if found.lost:
        stages = {owners[path][1] for path in owners if any(_overlap(path, x) for x in found.lost)}
        raise ArtefactError(
            f"{', '.join(found.lost[:5])}: damaged, and neither the cache nor {address} has a whole"
            f" copy; run again what makes it: {', '.join(sorted(stages))}"
        )


def _interpolate(text: str, params: Mapping[str, Any], item: str) -> str:
    def value(match: re.Match[str]) -> str:
        found: Any = {**params, "item": item}
        for part in match[1].split("."):
            found = found[part]
        return str(found)

    return re.sub(r"\$\{([\w.]+)\}", value, text)


def _paths(entry: Mapping[str, Any], kind: str) -> list[str]:
    return [str(item["path"]) for item in entry.get(kind, [])]


def _overlap(one: str, other: str) -> bool:
    a, b = Path(one), Path(other)
    return a == b or a in b.parents or b in a.parents

"""The container files are well-formed, linted, and promise only what the image can keep."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"


def tool(name: str) -> str:
    """Path of a tool; a test that needs it is skipped without it, except in CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed; .ci/run must install it")
        pytest.skip(f"{name} is not installed")
    return found


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def test_the_linter_finds_nothing() -> None:
    done = subprocess.run(
        [tool("hadolint"), "--no-color", DOCKER / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


@pytest.mark.parametrize("env_file", [None, ".env.example"])
def test_compose_accepts_its_file(env_file: str | None) -> None:
    if shutil.which("docker-compose"):
        command = ["docker-compose"]
    else:
        command = [tool("docker"), "compose"]
        if subprocess.run([*command, "version"], capture_output=True, check=False).returncode:
            pytest.skip("docker has no compose")
    if env_file:
        command += ["--env-file", str(DOCKER / env_file)]
    command += ["-f", str(DOCKER / "compose.yaml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (service,) = yaml.safe_load(done.stdout)["services"].values()
    assert len(service["ports"]) == 3


def test_ports_are_on_the_loopback_and_nothing_is_privileged() -> None:
    service = compose()["services"]["stack"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service


def test_every_variable_of_compose_is_explained_with_its_default() -> None:
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (DOCKER / "compose.yaml").read_text()))
    lines = (DOCKER / ".env.example").read_text().splitlines()
    explained = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
    assert explained == used


def test_no_password_or_key_is_written_down() -> None:
    for path in DOCKER.iterdir():
        assert not re.search(r"(?i)(password|secret|token)\s*[:=]\s*\S", path.read_text()), path


def test_the_image_runs_as_nobody_special_and_holds_all_it_copies() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["10001"]
    allowed = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line
                assert f"!{source}" in allowed, f"{source} is not in Dockerfile.dockerignore"


def test_the_entrypoint_keeps_what_the_user_owns(tmp_path: Path) -> None:
    image, project = tmp_path / "image", tmp_path / "project"
    for name in ("src/new.py", "dags/d.py", "expectations/suite.json", "dvc.yaml", ".dvcignore"):
        (image / name).parent.mkdir(parents=True, exist_ok=True)
        (image / name).write_text("image")
    (image / "params.yaml").write_text("image")
    for name in ("src/old.py", "params.yaml", "dvc.lock", "expectations/accepted/x.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("mine")
    script = (DOCKER / "entrypoint.sh").read_text().replace("/opt/coldstart", str(image))
    (tmp_path / "entrypoint.sh").write_text(script)
    done = subprocess.run(
        ["sh", tmp_path / "entrypoint.sh", "pwd"],
        env={**os.environ, "COLDSTART_PROJECT": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(project), done.stderr
    assert not (project / "src" / "old.py").exists()
    assert (project / "src" / "new.py").read_text() == "image"
    assert (project / "expectations" / "suite.json").read_text() == "image"
    for kept in ("params.yaml", "dvc.lock", "expectations/accepted/x.json"):
        assert (project / kept).read_text() == "mine"
    assert "no_scm = true" in (project / ".dvc" / "config").read_text()

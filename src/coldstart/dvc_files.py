"""Files of DVC, written as it writes them itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from coldstart import environment


class _Lockfile(yaml.SafeDumper):
    """YAML as dvc writes it: null is empty, nothing is an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Lockfile.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "")
)

Lock = dict[str, dict[str, Any]]


def write_lock(path: Path, lock: Lock) -> None:
    """Write a ``dvc.lock`` as dvc itself does, its stages in the order given."""
    content = {"schema": "2.0", "stages": lock}
    path.write_text(yaml.dump(content, Dumper=_Lockfile, sort_keys=False), encoding="utf-8")


def dvc_config(*, no_scm: bool) -> str:
    """Text of a ``.dvc/config`` that points at the remote and the cache of this host."""
    return (
        "[core]\n    analytics = false\n    check_update = false\n    remote = local\n"
        + ("    no_scm = true\n" if no_scm else "")
        + f"[cache]\n    dir = {environment.dvc_cache()}\n"
        + f"['remote \"local\"']\n    url = {environment.dvc_remote()}\n    verify = true\n"
    )

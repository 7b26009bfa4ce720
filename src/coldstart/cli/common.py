"""What several commands share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer


def cap_threads() -> None:
    """Cap threads before any numerical library loads, then check all params to the last key."""
    from coldstart.params import load_params

    threads = str(load_params().threads)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads
    from coldstart.methods import check_all

    check_all(Path("params.yaml").read_text(encoding="utf-8"))


def our_protocol() -> None:
    """As :func:`cap_threads`, and refuse what a legacy protocol has no part in."""
    from coldstart.errors import ParamsError
    from coldstart.params import load_params

    if (protocol := load_params().protocol) != "coldstart":
        raise ParamsError(
            f"protocol: {protocol} is legacy: `coldstart leaderboard` fits and shows it, and "
            "nothing else runs with it; set it back to coldstart"
        )
    cap_threads()


def write_params(values: Mapping[str, Any]) -> None:
    """Change dotted keys in ``params.yaml``, after a check of the whole; its comments stay."""
    from coldstart import layout
    from coldstart.methods import check_all
    from coldstart.params.editing import read, with_keys, write

    text = with_keys(read(layout.PARAMS), values)
    check_all(text)
    write(layout.PARAMS, text)
    typer.echo(f"params.yaml: set {', '.join(values)}")

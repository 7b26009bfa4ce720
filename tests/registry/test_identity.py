from pathlib import Path

import pytest

from coldstart.registry import identity


def test_the_orchestrators_key_is_taken(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDSTART_RUN_KEY", "manual__1")
    assert identity.run_key() == "manual__1"


def test_without_it_the_key_is_that_of_params_and_data(here: Path) -> None:
    first = identity.run_key()
    text = (here / "params.yaml").read_text()
    (here / "params.yaml").write_text("# a comment changes nothing\n" + text)
    assert identity.run_key() == first
    (here / "params.yaml").write_text(text.replace("threads: 1", "threads: 2"))
    second = identity.run_key()
    (here / "data.dvc").write_text("outs: []")
    assert len({first, second, identity.run_key()}) == 3


def test_flatten() -> None:
    tree = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None}
    assert identity.flatten(tree) == {"a.b": "1", "a.c.d": "[1, 2]", "e": "None"}


@pytest.mark.parametrize(
    ("head", "name"), [("rating", "coldstart-x"), ("click", "coldstart-x-click")]
)
def test_heads_have_models_of_their_own(head: str, name: str) -> None:
    assert identity.experiment_name({"head": head, "data": {"name": "x"}}) == name

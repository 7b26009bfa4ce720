"""Registered versions and the aliases that say which one is served.

``champion`` is served, ``previous_champion`` is what a rollback returns to, ``challenger`` is the
latest candidate that passed the gate and is not champion. Which champion a version replaced is
written on the version before the switch of ``champion``, which is one step: whenever a promotion
dies, what is served is one of two whole states, each of which knows what a rollback returns to.
``previous_champion`` shows that to people and follows the switch; a retry completes it.

MLflow's aliases are last-writer-wins, without compare-and-swap. A decision therefore names the
champion that it was made against, and is refused if another one has taken its place. Promotions are
serialised by a lock on one host and, between hosts, by a claim: each writes its host's claim on the
registered model and only then reads champion and claims. Of two at once, at least one sees the
other's claim and gives way; it is retried. A claim of this host that is found under the lock is
that of a dead process, and in nobody's way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from coldstart import layout
from coldstart.errors import GateError, ServiceError
from coldstart.params import read_yaml
from coldstart.registry import identity, store
from coldstart.registry.decision import Decision

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous_champion"

METHOD = "coldstart.method"
RECIPE = "coldstart.recipe"
SHA256 = "coldstart.sha256"
DECISION = "coldstart.decision"
PROMOTED = "coldstart.promoted"
ROLLED_BACK = "coldstart.rolled_back"
REPLACED = "coldstart.replaced"
"""Tag of a champion: the version before it, to which a rollback returns; empty after a rollback."""
_CLAIM = "coldstart.claim."
_CLAIM_SECONDS = 600
_LOG = logging.getLogger("coldstart.registry")


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    model: str
    version: str
    run_id: str
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        """What ``mlflow.pyfunc.load_model`` takes."""
        return f"models:/{self.model}/{self.version}"

    def as_json(self) -> dict[str, Any]:
        """For the command line."""
        return {**asdict(self), "uri": self.uri, "summary": self.summary}

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"{self.model} version {self.version} ({self.tags.get(METHOD, '?')})"


def aliases(client: Any, model: str) -> dict[str, str]:
    """Alias -> version; empty where nothing is registered yet."""
    found = _registered(client, model)
    return {} if found is None else {k: str(v) for k, v in found.aliases.items()}


def champion(client: Any, model: str) -> Version | None:
    """The version that is served, if there is one."""
    number = aliases(client, model).get(CHAMPION)
    return None if number is None else _version(client.get_model_version(model, number))


def require_champion(client: Any, model: str) -> Version:
    """The version that is served.

    Raises:
        GateError: there is none yet.
    """
    found = champion(client, model)
    if found is None:
        raise GateError(
            f"{model}: has no champion yet; `make run` makes one, or after `dvc repro`: "
            "coldstart publish && coldstart gate > decision.json && "
            "coldstart promote --decision decision.json"
        )
    return found


def model_here() -> str:
    """The registered model of the ``params.yaml`` in this folder."""
    return identity.experiment_name(read_yaml(layout.PARAMS))


def register(client: Any, decision: Decision, run_id: str, uri: str) -> Version:
    """Register a logged model as the challenger, or find the version that this was done as."""
    model, key, candidate = decision.model, decision.key, decision.candidate
    with store.host_lock("promotion"):
        _ensure_registered(client, model)
        version = find_version(client, model, key)
        if version is None:
            tags = {
                DECISION: key,
                "coldstart.run_key": decision.run_key,
                METHOD: candidate.method,
                RECIPE: candidate.recipe,
                SHA256: candidate.sha256,
                "coldstart.proof_sha256": candidate.proof_sha256,
            }
            model_id = uri.removeprefix("models:/") if uri.startswith("models:/m-") else None
            created = client.create_model_version(
                model, source=uri, run_id=run_id, tags=tags, model_id=model_id
            )
            version = _version(created)
        if PROMOTED not in version.tags:
            client.set_registered_model_alias(model, CHALLENGER, version.version)
    return version


def find_version(client: Any, model: str, key: str) -> Version | None:
    """The version of a decision, the oldest if a race made two."""
    found = [
        _version(v)
        for v in client.search_model_versions(f"name = '{model}'")
        if v.tags.get(DECISION) == key
    ]
    return min(found, key=lambda v: int(v.version), default=None)


def promote(client: Any, decision: Decision) -> Version:
    """Make the version of a decision the champion; the same decision again changes nothing.

    Raises:
        GateError: the decision is against promotion or stale, or its version has been replaced.
        ServiceError: another promotion is under way (worth a retry).
    """
    model, against = decision.model, decision.incumbent_version
    if not decision.promote:
        reasons = "; ".join(decision.reasons)
        raise GateError(f"{model}: the gate decided against this candidate: {reasons}")
    with store.host_lock("promotion"):
        version = find_version(client, model, decision.key)
        if version is None:
            raise GateError(f"{model}: this decision has no registered version: run the gate again")
        with _claim(client, model, f"promotion of version {version.version}") as now:
            previous = version.tags.get(REPLACED)
            if now.get(CHAMPION) != version.version:
                _refuse_stale(version, now.get(CHAMPION), against)
                previous = against
                client.set_model_version_tag(model, version.version, REPLACED, against or "")
                client.set_registered_model_alias(model, CHAMPION, version.version)
            client.set_model_version_tag(model, version.version, PROMOTED, "true")
            _show_previous(client, model, now, previous)
            if now.get(CHALLENGER) == version.version:
                client.delete_registered_model_alias(model, CHALLENGER)
    _LOG.info("%s: version %s is the champion (before: %s)", model, version.version, against)
    return _version(client.get_model_version(model, version.version))


def rollback(client: Any, model: str, to: str | None = None) -> Version:
    """Make ``to``, or the previous champion, the champion; again changes nothing.

    Raises:
        GateError: there is no such version.
        ServiceError: a promotion is under way (worth a retry).
    """
    doing = f"rollback to {'the previous champion' if to is None else f'version {to}'}"
    with store.host_lock("promotion"), _claim(client, model, doing) as now:
        old = now.get(CHAMPION)
        versions = {
            str(v.version): _version(v) for v in client.search_model_versions(f"name = '{model}'")
        }
        target = to or _replaced_by(versions.get(old or ""), now)
        if not target:
            raise GateError(
                f"{model}: has no previous champion; name a version with --to, "
                f"`coldstart champion` shows what is served"
            )
        if target not in versions:
            ordered = ", ".join(sorted(versions, key=int)) or "none"
            raise GateError(f"{model}: has no version {target}; versions: {ordered}")
        if old != target:
            if old is not None:
                client.set_model_version_tag(model, old, ROLLED_BACK, "true")
            client.set_model_version_tag(model, target, PROMOTED, "true")
            client.set_model_version_tag(model, target, REPLACED, "")
            client.set_registered_model_alias(model, CHAMPION, target)
        still = versions[target].tags.get(REPLACED) if old == target else None
        _show_previous(client, model, now, still)
    return _version(client.get_model_version(model, target))


def _refuse_stale(version: Version, now: str | None, against: str | None) -> None:
    if PROMOTED in version.tags or ROLLED_BACK in version.tags:
        raise GateError(
            f"{version.model}: version {version.version} was champion before and has been replaced "
            f"by {now}; use `coldstart rollback --to {version.version}` to return to it"
        )
    if now != against:
        raise GateError(
            f"{version.model}: stale decision: it was made against champion "
            f"{against or '(none)'}, the champion is now {now or '(none)'}; run the gate again"
        )


def _replaced_by(champion: Version | None, now: dict[str, str]) -> str | None:
    """The version that the champion replaced; itself where a rollback to it died at its end."""
    if champion is None:
        return None
    unfinished = now.get(PREVIOUS) == champion.version
    return champion.version if unfinished else champion.tags.get(REPLACED)


def _show_previous(client: Any, model: str, now: dict[str, str], previous: str | None) -> None:
    if previous:
        client.set_registered_model_alias(model, PREVIOUS, previous)
    elif PREVIOUS in now:
        client.delete_registered_model_alias(model, PREVIOUS)


@contextmanager
def _claim(client: Any, model: str, doing: str) -> Iterator[dict[str, str]]:
    """Claim the switch of aliases for this host; yields the aliases as they are under the claim."""
    if _registered(client, model) is None:
        yield {}
        return
    mine = _CLAIM + store.host_id()
    client.set_registered_model_tag(model, mine, f"{int(time.time())} {doing}")
    try:
        seen = client.get_registered_model(model)
        oldest = time.time() - _CLAIM_SECONDS
        for tag, value in seen.tags.items():
            since, _, what = value.partition(" ")
            if tag.startswith(_CLAIM) and tag != mine and int(since) > oldest:
                raise ServiceError(f"{model}: a {what} is under way on another host; try again")
        yield {k: str(v) for k, v in seen.aliases.items()}
    finally:
        client.delete_registered_model_tag(model, mine)


def _ensure_registered(client: Any, model: str) -> None:
    from mlflow.exceptions import MlflowException

    if _registered(client, model) is None:
        try:
            client.create_registered_model(model)
        except MlflowException:  # another host was faster
            if _registered(client, model) is None:
                raise


def _registered(client: Any, model: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _version(found: Any) -> Version:
    return Version(
        model=found.name,
        version=str(found.version),
        run_id=found.run_id or "",
        tags=dict(found.tags),
    )

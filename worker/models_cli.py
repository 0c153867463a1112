"""`offbeat models`: works with the registry from a terminal. This module is a small composition root of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from worker.adapters.redis_client import connect
from worker.adapters.redis_registry import RedisRegistry
from worker.cli import config_option
from worker.config.load import load, signing_key
from worker.config.settings import Settings
from worker.core.model.archive import MAX_ARCHIVE_BYTES, Archive, read, write
from worker.core.model.bundle import BundleError
from worker.core.model.threshold import Threshold
from worker.errors import BundleRefused, ConfigError, DependencyUnreachable, OffbeatError
from worker.ports.stores import BundleInfo, Champion, MissingObject, StoreUnavailable

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class _Errors(click.Group):
    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except StoreUnavailable as error:
            raise DependencyUnreachable(f"redis.url: {error}") from error
        except (MissingObject, BundleError) as error:
            raise BundleRefused(str(error)) from error


@click.group(
    cls=_Errors,
    epilog="Examples:\n\n  offbeat models list -c offbeat.yaml\n\n  offbeat models rollback -c offbeat.yaml\n\n"
    "  offbeat models export -c offbeat.yaml 12 model-12.zip",
)
def models() -> None:
    """The registry: list, show, promote, roll back, export, import."""


def _open(config: Path) -> tuple[Settings, RedisRegistry]:
    settings = load(config)
    client = connect(settings.redis.url.get_secret_value())
    return settings, RedisRegistry(client, settings.stream, signing_key())


@models.command("list")
@config_option
@_json_option
def list_models(config: Path, as_json: bool) -> None:
    """List all versions, newest first, with the champion marked."""
    settings, registry = _open(config)
    champion = registry.champion(settings.spec.spec_hash)
    rows = [_row(info, registry, champion) for info in registry.bundles()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    click.echo(f"{'':2}{'version':>7}  {'digest':22}  {'kind':10}  {'created':24}  {'parent':22}  {'cut':>8}")
    for row in rows:
        cut = f"{row['cut']:8.4g}" if row["cut"] is not None else f"{'-':>8}"
        click.echo(
            f"{'* ' if row['champion'] else '  '}{row['version']:>7}  {row['digest']}  {row['kind']:10}  "
            f"{row['created_at']:24}  {row['parent'] or '-':22}  {cut}"
        )


def _row(info: BundleInfo, registry: RedisRegistry, champion: Champion | None) -> dict[str, Any]:
    newest = _newest_threshold(registry, info.digest)
    return {
        "version": info.version,
        "digest": info.digest,
        "kind": info.kind,
        "created_at": info.created_at,
        "parent": info.parent,
        "champion": champion is not None and champion.bundle == info.digest,
        "spec_hash": info.spec_hash,
        "cut": newest.cut if newest else None,
        "metrics": info.metrics,
    }


@models.command()
@config_option
@click.argument("which", default="champion")
@_json_option
def show(config: Path, which: str, as_json: bool) -> None:
    """Show one version in full: WHICH is a version number, a digest, or `champion`."""
    settings, registry = _open(config)
    info = _find(settings, registry, which)
    bundle = registry.bundle(info.digest)
    threshold = _newest_threshold(registry, info.digest)
    document: dict[str, Any] = {
        "digest": info.digest,
        "manifest": bundle.manifest.model_dump(mode="json", exclude={"encoder", "normalisation"}),
        "threshold": threshold.model_dump(mode="json", exclude={"histogram"}) if threshold else None,
        "champions": [_champion_row(past) for past in registry.history(info.spec_hash) if past.bundle == info.digest],
    }
    click.echo(json.dumps(document) if as_json else json.dumps(document, indent=2))


@models.command()
@config_option
@click.argument("which")
def promote(config: Path, which: str) -> None:
    """Make a version the champion: WHICH is a version number or a digest. Workers switch within seconds."""
    settings, registry = _open(config)
    info = _find(settings, registry, which)
    threshold = _newest_threshold(registry, info.digest)
    if threshold is None:
        raise BundleRefused(f"version {info.version} has no threshold: it was never calibrated to serve")
    _promote(settings, registry, info.digest, info.version, info.spec_hash, threshold)


@models.command()
@config_option
def rollback(config: Path) -> None:
    """Make the previous champion serve again. Each further call goes back one more."""
    settings, registry = _open(config)
    history = registry.history(settings.spec.spec_hash)
    if not history:
        raise BundleRefused("no champion yet: nothing to roll back")
    present = registry.bundle(history[0].bundle)
    before = next((past for past in history if past.version < present.manifest.version), None)
    if before is None:
        raise BundleRefused(f"version {present.manifest.version} is the first that served: nothing to roll back to")
    threshold = registry.threshold(before.threshold)
    _promote(settings, registry, before.bundle, before.version, settings.spec.spec_hash, threshold)


@models.command()
@config_option
@click.argument("which")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(config: Path, which: str, file: Path) -> None:
    """Write a version and its newest threshold to one file."""
    settings, registry = _open(config)
    info = _find(settings, registry, which)
    threshold = _newest_threshold(registry, info.digest)
    if threshold is None:
        raise BundleRefused(f"version {info.version} has no threshold: nothing to serve with")
    signatures = registry.signatures(info.digest, threshold.digest())
    file.write_bytes(write(Archive(registry.bundle(info.digest), threshold, *signatures)))
    click.echo(f"version {info.version} ({info.digest}) written to {file}")


@models.command("import")
@config_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--promote", "serve", is_flag=True, help="Make it the champion at once.")
def import_model(config: Path, file: Path, serve: bool) -> None:
    """Import a version from an exported file, after checking every digest and signature."""
    settings, registry = _open(config)
    with file.open("rb") as opened:
        archive = read(opened.read(MAX_ARCHIVE_BYTES + 1), signing_key())
    bundle, threshold = archive.bundle, archive.threshold
    bundle.detector()  # checks the shapes, before anything is written
    registry.put_bundle(bundle, archive.bundle_signature)
    registry.put_threshold(threshold, archive.threshold_signature)
    click.echo(f"version {bundle.manifest.version} ({bundle.digest}) imported")
    if serve:
        manifest = bundle.manifest
        _promote(settings, registry, bundle.digest, manifest.version, manifest.spec_hash, threshold)


def _promote(
    settings: Settings, registry: RedisRegistry, digest: str, version: int, spec_hash: str, threshold: Threshold
) -> None:
    if spec_hash != settings.spec.spec_hash:
        raise BundleRefused(
            f"version {version} was trained for feature spec {spec_hash}, "
            f"the configuration has {settings.spec.spec_hash}"
        )
    registry.bundle(digest).detector()  # checks signature, digest and shapes, as the workers will
    champion = Champion(digest, threshold.digest(), version, registry.next_token())
    if not registry.promote(spec_hash, champion):
        raise OffbeatError("another promotion came first; check with `offbeat models list`")
    click.echo(f"version {version} ({digest}) serves, cut {threshold.cut:.4g}")


def _find(settings: Settings, registry: RedisRegistry, which: str) -> BundleInfo:
    bundles = registry.bundles()
    if which == "champion":
        champion = registry.champion(settings.spec.spec_hash)
        which = champion.bundle if champion is not None else which
    for info in bundles:
        if which in (str(info.version), info.digest):
            return info
    known = ", ".join(str(info.version) for info in bundles) or "none"
    raise ConfigError(f"no version {which!r}; there are: {known}")


def _newest_threshold(registry: RedisRegistry, digest: str) -> Threshold | None:
    found = registry.thresholds(digest)
    return registry.threshold(found[0]) if found else None


def _champion_row(champion: Champion) -> dict[str, Any]:
    return {"threshold": champion.threshold, "version": champion.version, "token": champion.token}

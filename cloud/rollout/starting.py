"""Beginning a roll-out: what is checked first, and what is written down before anything is done."""

import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cloud.rollout.begin import survey
from cloud.rollout.events import Event
from cloud.rollout.fleet import Fleet
from cloud.rollout.misgivings import misgivings
from cloud.rollout.place import Place
from cloud.rollout.plan import Plan
from cloud.rollout.record import put_new
from cloud.rollout.state import Order, Rollout, Said
from greengrass.objects import ObjectStore
from greengrass.registry import ReleaseId, fetch_package, releases
from models.errors import PackageError, RolloutError, StoreError
from models.manifest import Manifest
from models.trust import accept, check_whole


def read_said(registry: ObjectStore, model: str, release: int, incumbent: int | None, *, root: bytes | None) -> Said:
    """Fetch and verify the two releases. `root`: by whom they must be signed; None: by whomever, but whole.

    RolloutError for a candidate whose signature does not verify. An incumbent that the registry has lost, or that has
    expired, is left out: it runs already.
    """
    with tempfile.TemporaryDirectory() as folder:
        wanted = ReleaseId(model, release)
        try:
            candidate = _verified(fetch_package(registry, wanted, Path(folder) / "candidate"), root)
        except (PackageError, StoreError) as exc:
            raise RolloutError(
                f"{wanted} must not be rolled out: {exc}; sign and publish it again with `tidegate release`"
            ) from exc
        before: Manifest | None = None
        if incumbent is not None:
            with suppress(PackageError, StoreError):
                package = fetch_package(registry, ReleaseId(model, incumbent), Path(folder) / "incumbent")
                before = _verified(package, root)
    digests: dict[str, tuple[int, ...]] = {}
    for manifest, number in ((before, incumbent), (candidate, release)):
        if manifest is not None and number is not None:
            digests |= {variant.sha256: (*digests.get(variant.sha256, ()), number) for variant in manifest.variants}
    shift = candidate.predicted_shift
    return Said(
        digests,
        tuple(releases(registry, model)),
        # of a release that was taken back, the next one's report tells nothing about what runs
        shift=shift if shift.get("against") == f"{model}@{incumbent}" else {},
        latency_ms=_latency(candidate),
        latency_before_ms=_latency(before) if before is not None else {},
        misgivings=misgivings(candidate, before) if before is not None else "",
    )


def new_rollout(plan: Plan, order: Order, *, window_s: float, now_us: int) -> tuple[Rollout, Event]:
    """A roll-out that was begun and has done nothing, and the event that says so. Where the release's own report has
    something against it, ring 0 waits for an approval."""
    against = order.said.misgivings
    if against:
        plan = replace(plan, wishes=replace(plan.wishes, approve=tuple(sorted({0, *plan.wishes.approve}))))
    began = datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    rollout = Rollout(
        f"{plan.candidate}-{began}",
        plan,
        order.limits,
        window_s,
        now_us,
        by=order.by,
        said=order.said,
    )
    instead = f" in place of {plan.model}@{plan.incumbent}" if plan.incumbent is not None else ", the first ever"
    text = f"{order.by} started {plan.candidate} on {len(plan.names())} gateways of {plan.fleet}{instead}"
    if against:
        text += f"; {against}, so ring 0 waits for an approval"
    return rollout, Event(now_us, rollout.id, "begun", text, by=order.by)


def follow(fleet: Fleet, ended: Rollout, *, now_us: int) -> tuple[Rollout, Event]:
    """The roll-out of the release that comes after one that has ended; RolloutError or UsageError where it cannot."""
    order = ended.successor
    assert order is not None
    plan = survey(
        fleet,
        model=ended.plan.model,
        release=order.release,
        group=ended.plan.fleet,
        shares=order.shares,
        wishes=order.wishes,
    )
    rollout, event = new_rollout(plan, order, window_s=ended.window_s, now_us=now_us)
    return replace(rollout, answered=ended.answered), event


def start(store: ObjectStore, plan: Plan, order: Order, *, window_s: float, now_us: int) -> Rollout:
    """Write a new roll-out down; nothing is done yet. RolloutError while another is unfinished."""
    rollout, event = new_rollout(plan, order, window_s=window_s, now_us=now_us)
    put_new(store, Place(plan.fleet, plan.model), rollout, event, who=order.by)
    return rollout


def _latency(manifest: Manifest) -> dict[str, float]:
    return manifest.shipped[0].latency_ms


def _verified(package: Path, root: bytes | None) -> Manifest:
    if root is None:
        return check_whole(package)
    return accept(package, root=root, into=package.with_name(f"{package.name}-accepted"))

"""A gateway's status as people read it."""

from collections.abc import Iterator, Sequence

from edge.status import Status
from models.health import Health

_LABELS = 8  # of the classes found, the most frequent


def lines(status: Status) -> Iterator[str]:
    """Counts are since the process started; rates, times and processor time are the last window's."""
    total, window = status.overview.total, status.overview.window
    last = window[-1] if window else None
    yield f"gateway {status.gateway} (process {status.pid}, tidegate {status.version}), up {span(total.window_s)}"
    yield _row("model", _model(total))
    if total.failed_release:
        yield _row("given up", total.failed_release)
    if total.configuration_refused:
        yield _row("refused", f"the last configuration: {total.configuration_refused}")
    if last is not None:
        yield _row("inference", _inference(last))
    yield _row("found", _found(total))
    if total.challenge is not None:
        challenge = total.challenge
        of = f"{challenge.agreed} of {challenge.frames} frames seen alike"
        yield _row("challenger", f"{challenge.model}@{challenge.release}: {of}")
    yield _row("uplink", f"{status.uplink}, {size(total.bytes_sent)} sent")
    yield _row("spool", _spool(total))
    yield _row("machine", _machine(total, window))
    if withheld := sum(camera.pictures_withheld for camera in total.cameras):
        yield _row("pictures", f"{withheld} of events withheld, for want of room in their budget")
    yield _row("errors", f"{total.errors}" + (f", the last: {total.last_error}" if total.last_error else ""))
    yield ""
    yield from _cameras(total, window)


def span(seconds: float) -> str:
    """A duration in its two largest units: "2 d 3 h", "14 s"."""
    left = round(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def size(count: int) -> str:
    """Bytes in a unit that leaves at most four digits: "12.5 MB"; a MB is 1,000,000 bytes."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def counted(count: int, what: str) -> str:
    """ "1 time", "2 times"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def waiting(records: int) -> str:
    """That so many wait in the spool."""
    return f"{counted(records, 'record')} {'waits' if records == 1 else 'wait'}"


def _row(name: str, text: str) -> str:
    return f"  {name:<12}{text}"


def _model(total: Health) -> str:
    if not total.digest:
        return f"none yet; waiting for {total.model}"
    text = f"{total.model}@{total.release} ({total.variant}, {total.digest[:12]})"
    return f"{text}, changed {counted(total.swaps, 'time')}" if total.swaps else text


def _inference(last: Health) -> str:
    if not last.frames_inferred:
        return "no frame in the last window"
    return f"{last.p50_ms:.1f} ms, 95 % within {last.p95_ms:.1f} ms"


def _found(total: Health) -> str:
    if not total.detections:
        return "nothing so far"
    most = sorted(total.class_mix.items(), key=lambda item: -item[1])
    named = ", ".join(f"{label} {count}" for label, count in most[:_LABELS])
    return f"{total.detections}: {named}" + (" ..." if len(most) > _LABELS else "")


def _spool(total: Health) -> str:
    text = f"{waiting(total.spool_records)} ({size(total.spool_bytes)}"
    text += f", the oldest for {span(total.spool_age_s)})" if total.spool_records else ")"
    losses = {
        "dropped": total.records_dropped,
        "held back by the budget": total.records_held,
        "batches refused by the cloud": total.batches_refused,
        "messages ignored": total.messages_ignored,
    }
    return "; ".join([text, *(f"{count} {what}" for what, count in losses.items() if count)])


def _machine(total: Health, window: Sequence[Health]) -> str:
    parts = [f"memory {size(total.memory_bytes)}"]
    if length_s := _length_s(window):
        parts.append(f"{sum(report.cpu_s for report in window) / length_s:.2f} cores")
    if total.temperature_c:
        parts.append(f"{total.temperature_c:.0f} °C")
    if total.throttled:
        parts.append(f"held back: {total.throttled}")
    parts.append(f"{size(total.disk_free_bytes)} free")
    if total.clock_jumps:
        parts.append(f"the clock jumped {counted(total.clock_jumps, 'time')}")
    return ", ".join(parts)


def _length_s(window: Sequence[Health]) -> float:
    return sum(report.window_s for report in window)


def _cameras(total: Health, window: Sequence[Health]) -> Iterator[str]:
    width = max([6, *(len(camera.name) for camera in total.cameras)])
    heads = "".join(f"{head:>11}" for head in ("seen", "inferred", "skipped", "missed", "still", "failed", "fps"))
    yield f"  {'camera':<{width}}  {'state':<8}{heads}"
    rates = {}
    if length_s := _length_s(window):  # the last report counts for all of it, whichever model answered
        rates = {camera.name: f"{camera.inferred / length_s:.1f}" for camera in window[-1].cameras}
    for camera in total.cameras:
        counts = (camera.seen, camera.inferred, camera.skipped, camera.missed, camera.still, camera.failed)
        figures = "".join(f"{count:>11,}" for count in counts)
        yield f"  {camera.name:<{width}}  {camera.state:<8}{figures}{rates.get(camera.name, ''):>11}"

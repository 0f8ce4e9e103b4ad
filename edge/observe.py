"""Observing: camera, frames, model, detections, spool."""

import logging
import threading
from collections.abc import Sequence

import numpy as np

from edge.analytics.analytics import Analytics, Moment, Seen
from edge.analytics.snapshots import Snapshots
from edge.cameras.regions import counts
from edge.challenger import Challenger
from edge.loading import LoadedModel
from edge.polygons import Polygon
from edge.spool import Spool
from edge.vitals import Vitals
from models.detections import Detections
from models.errors import ModelError
from models.frame import Frame
from models.manifest import Manifest
from models.records import FrameResult, Record

log = logging.getLogger(__name__)


class Observer:
    """What becomes of one camera's frames once the model has answered: detections, tracks, events, spool."""

    def __init__(
        self,
        camera: str,
        *,
        regions: tuple[Polygon, ...],
        analytics: Analytics,
        snapshots: Snapshots,
        challenger: Challenger | None,
        spool: Spool,
        vitals: Vitals,
    ) -> None:
        self._camera = camera
        self._regions = regions
        self._analytics = analytics
        self._snapshots = snapshots
        self._withheld = 0  # of these, as told to vitals
        self._blind = False
        self._manifest: Manifest | None = None  # of the model; a camera that is away must not keep that from going
        self._can_blur = True
        self._challenger = challenger
        self._spool = spool
        self._vitals = vitals
        self._lock = threading.Lock()
        self._ended = False
        self.recorded = -1  # the last frame's number

    def answered(self, frame: Frame, model: LoadedModel, found: Detections, ms: float) -> None:
        with self._lock:
            if not self._ended:
                self._take(frame, model, found, ms)

    def _take(self, frame: Frame, model: LoadedModel, found: Detections, ms: float) -> None:
        manifest = model.manifest
        if manifest is not self._manifest:
            self._meet(model)
        moment = Moment(
            number=frame.number,
            captured_at_us=frame.captured_at_ns // 1000,
            steady_s=frame.steady_ns / 1e9,
            size=(frame.image.shape[1], frame.image.shape[0]),
            model=manifest.name,
            release=manifest.release,
            whole=manifest.task != "detection",
        )
        everything, all_labels = found, tuple(manifest.labels[class_id] for class_id in found.class_ids.tolist())
        labels = all_labels
        if self._regions:
            counting = np.flatnonzero(counts(found, self._regions, moment.size))
            found, labels = found.where(counting), tuple(labels[row] for row in counting.tolist())
        seen = Seen(found, labels) if self._blind else self._analytics.see(moment, found, labels)
        if self._challenger is not None:
            self._challenger.consider(
                moment,
                frame.image,
                everything,
                manifest.labels,
                camera=self._camera,
                followed=self._analytics.followed,
            )
        records: Sequence[Record] = seen.records
        if records and self._can_blur:
            # what counts nowhere is blurred all the same, and so is what was overlooked or misnamed in just this frame
            followed, names = self._analytics.followed()
            whole, whole_labels = everything.joined(followed), (*all_labels, *names)
            records = self._snapshots.illustrate(frame.image, seen.records, whole, whole_labels, frame=frame.number)
            self._vitals.withheld(self._camera, self._snapshots.withheld - self._withheld)
            self._withheld = self._snapshots.withheld
        self._spool.append(
            FrameResult.of(
                self._camera,
                frame.number,
                frame.captured_at_ns,
                manifest.name,
                manifest.release,
                seen.found,
                seen.labels,
                steady_ns=frame.steady_ns,
            ),
            *records,
        )
        self.recorded = frame.number
        self._vitals.answered(model, found, ms, camera=self._camera)

    def _meet(self, model: LoadedModel) -> None:
        """Say what is asked for that this model can't do. What must be blurred and is not known must not leave."""
        self._manifest = model.manifest
        known = frozenset(model.manifest.labels)
        self._can_blur = self._snapshots.blur <= known
        for names, what in (
            (self._analytics.named - known, "lines and zones that name only that tell nothing"),
            (self._snapshots.blur - known, "it can't be blurred, so no picture of an event leaves"),
        ):
            if names:
                why = f"camera {self._camera}: {model.label} knows no {' or '.join(sorted(names))}: {what}"
                log.warning("%s", why)
                self._vitals.error(why)

    def failed(self, frame: Frame, model: LoadedModel, why: ModelError) -> None:
        with self._lock:
            if not self._ended:
                self._vitals.failed(model, why, camera=self._camera)

    def shows(self, *, anything: bool) -> None:
        """Whether the camera's pictures mean anything from now on, or are frozen or dark; all before are finished. What
        is found in the latter is recorded, but not followed."""
        self._blind = not anything
        if self._blind:
            self.away()

    def tell(self, analytics: Analytics, snapshots: Snapshots) -> None:
        """From the next frame on this is made of what is found; what was followed so far is told to its end."""
        with self._lock:
            self._spool.append(*self._analytics.away())
            self._analytics, self._snapshots, self._withheld = analytics, snapshots, 0
            self._manifest = None

    def compare_with(self, challenger: Challenger | None) -> None:
        """From the next frame on."""
        with self._lock:
            self._challenger = challenger

    def away(self) -> None:
        """The camera shows nothing more, for now or for ever; all its frames are finished."""
        with self._lock:
            self._spool.append(*self._analytics.away())

    def end(self) -> None:
        """The gateway ends: `away`, also when a frame is still being inferred, which then is not recorded any more."""
        with self._lock:
            self._ended = True
            self._spool.append(*self._analytics.away())

"""Where messages go whose body could not be read, for a person to look at. Bounded: the oldest make room."""

import re
from datetime import datetime

from cloud.ingest.plan import Refusal
from greengrass.objects import ObjectStore
from models.errors import LakeError, StoreError
from models.wire import seal

MAX_FILES_OF_A_GATEWAY = 32
MAX_BYTES = 64 << 20  # of all together
# when it came, which records, how many bytes: a worker that starts knows all of it from a list of the keys
_NAME = re.compile(r"\d{8}T\d{9}-([0-9a-f]{16}-\d+-\d+)-(\d+)\.bin")


class Quarantine:
    """`gateway-<name>/<when>-<stream>-<first>-<last>-<bytes>.bin`, each a message as it came, envelope included."""

    def __init__(self, store: ObjectStore) -> None:
        """Takes over what is in the store. LakeError when that cannot be listed."""
        self._store = store
        self._kept: dict[str, dict[str, int]] = {}  # by gateway's prefix: its keys, oldest first, and their sizes
        try:
            for key in store.list("gateway-"):
                match = _NAME.fullmatch(key.rpartition("/")[2])
                self._note(key, int(match[2]) if match else 0)  # 0: of an older tidegate, which did not say
        except StoreError as exc:
            raise LakeError(f"the quarantine cannot be listed: {exc}") from exc

    def put(self, refusal: Refusal, *, at: datetime) -> None:
        """Keep the refused message, which came at `at` (UTC); LakeError when it cannot be written."""
        envelope = refusal.arrival.envelope
        message = seal(envelope.stream, envelope.first, envelope.last, envelope.body, version=envelope.version)
        # a gateway may be called "..", so its name is never a folder's whole name
        gateway = f"gateway-{refusal.arrival.gateway}"
        records = f"{envelope.stream}-{envelope.first}-{envelope.last}"
        when = f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03}"
        key = f"{gateway}/{when}-{records}-{len(message)}.bin"
        try:
            for again in [kept for kept in self._kept.get(gateway, ()) if f"-{records}-" in kept and kept != key]:
                self._drop(gateway, again)
            self._store.put(key, message)
            self._note(key, len(message))
            self._make_room(gateway)
        except StoreError as exc:
            raise LakeError(f"the quarantine of {refusal.arrival.gateway} cannot be written: {exc}") from exc

    def _note(self, key: str, size: int) -> None:
        self._kept.setdefault(key.rpartition("/")[0], {})[key] = size

    def _make_room(self, gateway: str) -> None:
        while len(self._kept[gateway]) > MAX_FILES_OF_A_GATEWAY:
            self._drop(gateway, next(iter(self._kept[gateway])))
        sizes = {name: sum(keys.values()) for name, keys in self._kept.items()}
        total = sum(sizes.values())
        while total > MAX_BYTES:
            # whoever fills the quarantine loses his own evidence, not another's
            fattest = max(sizes, key=lambda name: sizes[name])
            dropped = self._drop(fattest, next(iter(self._kept[fattest])))
            sizes[fattest] -= dropped
            total -= dropped

    def _drop(self, gateway: str, key: str) -> int:
        self._store.remove(key)
        return self._kept[gateway].pop(key)

"""Where messages go whose body could not be read, for a person to look at. Bounded: the oldest make room."""

from pathlib import Path

from cloud.ingest.plan import Refusal
from models.errors import LakeError
from models.wire import seal

MAX_FILES_OF_A_GATEWAY = 32
MAX_BYTES = 64 << 20  # of all together


class Quarantine:
    """`<folder>/gateway-<name>/<stream>-<first>-<last>.bin`, each a message as it came, envelope included."""

    def __init__(self, folder: Path) -> None:
        """Takes over what is in the folder, which is made when it is first needed."""
        self.folder = folder
        # by gateway's folder: its files, oldest first, and their sizes
        self._kept: dict[Path, dict[Path, int]] = {
            gateway: {file: file.stat().st_size for file in sorted(gateway.iterdir(), key=_age)}
            for gateway in (folder.iterdir() if folder.is_dir() else ())
            if gateway.is_dir()
        }

    def put(self, refusal: Refusal) -> None:
        """Keep the refused message; LakeError when it cannot be written."""
        envelope = refusal.arrival.envelope
        # a gateway may be called "..", so its name is never a folder's whole name
        gateway = self.folder / f"gateway-{refusal.arrival.gateway}"
        file = gateway / f"{envelope.stream}-{envelope.first}-{envelope.last}.bin"
        message = seal(envelope.stream, envelope.first, envelope.last, envelope.body, version=envelope.version)
        try:
            gateway.mkdir(parents=True, exist_ok=True)
            file.write_bytes(message)
            kept = self._kept.setdefault(gateway, {})
            kept.pop(file, None)
            kept[file] = len(message)
            self._make_room(gateway)
        except OSError as exc:
            raise LakeError(f"quarantine {gateway} cannot be written: {exc.strerror}; is there space?") from exc

    def _make_room(self, gateway: Path) -> None:
        while len(self._kept[gateway]) > MAX_FILES_OF_A_GATEWAY:
            self._drop_oldest(gateway)
        sizes = {folder: sum(files.values()) for folder, files in self._kept.items()}
        while sum(sizes.values()) > MAX_BYTES:
            # whoever fills the quarantine loses his own evidence, not another's
            fattest = max(sizes, key=lambda folder: sizes[folder])
            sizes[fattest] -= self._drop_oldest(fattest)

    def _drop_oldest(self, gateway: Path) -> int:
        oldest = next(iter(self._kept[gateway]))
        oldest.unlink(missing_ok=True)
        return self._kept[gateway].pop(oldest)


def _age(file: Path) -> int:
    return file.stat().st_mtime_ns

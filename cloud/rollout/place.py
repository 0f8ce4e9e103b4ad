"""Where the roll-outs of a model in a fleet lie within the state: a folder, or a prefix of an S3 bucket.

rollouts/FLEET/MODEL.json                 the roll-out that is under way, or the last one
audit/FLEET/MODEL/00000001.json ...       what was decided and done, by every roll-out; only ever added to
requests/FLEET/MODEL/...                  what operators ask of whoever acts
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from greengrass.objects import ObjectStore

_STATE = re.compile(r"rollouts/([^/]+)/([^/]+)\.json")
_ENTRY = re.compile(r"audit/[^/]+/[^/]+/(\d{8,})\.json")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Of one model in one fleet (a thing group)."""

    fleet: str
    model: str

    @property
    def state(self) -> str:
        return f"rollouts/{self.fleet}/{self.model}.json"

    @property
    def requests(self) -> str:
        return f"requests/{self.fleet}/{self.model}/"

    @property
    def audit_folder(self) -> str:
        return f"audit/{self.fleet}/{self.model}/"

    def audit(self, number: int) -> str:
        """The key of an entry of the audit log; keys sort as numbers do."""
        return f"{self.audit_folder}{number:08d}.json"

    @staticmethod
    def audit_number(key: str) -> int | None:
        match = _ENTRY.fullmatch(key)
        return int(match[1]) if match else None

    @property
    def of_format_1(self) -> str:
        """Where the first format had its state; its log lies beside it."""
        return f"{self.fleet}/{self.model}/state.json"


def places(store: ObjectStore) -> Iterator[Place]:
    """Where there is, or was, a roll-out."""
    for key in store.list("rollouts/"):
        match = _STATE.fullmatch(key)
        if match:
            yield Place(match[1], match[2])

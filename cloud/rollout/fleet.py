"""What a roll-out needs of the world: groups of gateways that can be given a release."""

from collections.abc import Mapping
from typing import Literal, Protocol

from cloud.rollout.plan import Gateway

GROUPS_OF_A_THING = 10  # AWS IoT's quota
Progress = Literal["pending", "succeeded", "failed"]


class Fleet(Protocol):
    """Gateways in groups. Every method may raise DeployError; calling it again later may help."""

    def things(self, group: str) -> tuple[str, ...] | None:
        """The group's gateways, None when there is no such group."""
        ...

    def describe(self, things: tuple[str, ...]) -> tuple[Gateway, ...]:
        """These gateways, in this order, as their attributes describe them. UsageError names one whose time zone
        nobody knows."""
        ...

    def count_groups(self, thing: str) -> int:
        """In how many groups a gateway is, of whatever kind: the cloud allows no more than `GROUPS_OF_A_THING`."""
        ...

    def assign(self, group: str, things: tuple[str, ...]) -> None:
        """Make the group if need be and put `things` into it. Repeating it changes nothing."""
        ...

    def move(self, thing: str, *, into: str | None, out_of: tuple[str, ...] = ()) -> None:
        """Put a gateway into a group that is there (None: into none) and take it out of others, at once: in between it
        is never in none of them. Repeating it changes nothing."""
        ...

    def copy(self, group: str, to: str) -> None:
        """Have the group `to` be given all that `group` is given. Repeating it makes no second deployment."""
        ...

    def registered(self, model: str, release: int) -> bool:
        """Whether the release can be deployed."""
        ...

    def download_bytes(self, model: str, release: int) -> int:
        """What a gateway downloads for a registered release, in bytes; 0 where nobody can tell."""
        ...

    def release_of(self, group: str, model: str) -> int | None:
        """The release that the group is to run, None when it is given none."""
        ...

    def deploy(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        """Give the group a release (None: take the model away), and end a shadow there; the deployment's id.

        Repeating it makes no second deployment, and answers with the first one's id; unless that is
        the one to be made anew (`instead_of`), for gateways on which it failed.
        """
        ...

    def shadow(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        """Have a release look on beside the one that answers in the group (None: no more); the deployment's id.

        What it would have said is compared in the gateways' health (`challenge_*`, with its release and digest) and is
        no result. Repeating it makes no second deployment, as with `deploy`. Gateways run it within seconds after the
        deployment, and drop it as soon as it is taken away, or answers itself.
        """
        ...

    def progress(self, deployment: str, things: tuple[str, ...]) -> Mapping[str, Progress]:
        """How far each of `things` is with a deployment."""
        ...

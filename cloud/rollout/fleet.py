"""What a roll-out needs of the world: groups of gateways that can be given a release."""

from collections.abc import Mapping
from typing import Literal, Protocol

from cloud.rollout.plan import Gateway

Progress = Literal["pending", "succeeded", "failed"]


class Fleet(Protocol):
    """Gateways in groups. Every method may raise DeployError; calling it again later may help."""

    def things(self, group: str) -> tuple[str, ...] | None:
        """The group's gateways, None when there is no such group."""
        ...

    def describe(self, things: tuple[str, ...]) -> tuple[Gateway, ...]:
        """These gateways, in this order, as their attributes describe them."""
        ...

    def assign(self, group: str, things: tuple[str, ...]) -> None:
        """Make the group if need be and put `things` into it. Repeating it changes nothing."""
        ...

    def registered(self, model: str, release: int) -> bool:
        """Whether the release can be deployed."""
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

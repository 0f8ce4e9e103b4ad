"""Users that components run as. A nucleus that is root runs them as somebody else, as a device does."""

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from models.errors import DeployError


@dataclass(frozen=True, slots=True)
class User:
    """`groups` are all of the user's, like `video`, which a camera needs."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def find_user(text: str) -> User | None:
    """The user of `name` or `name:group`; None where this process may not become another. DeployError when there is
    no such user or group."""
    name, _, group = text.partition(":")
    try:
        entry = pwd.getpwnam(name)
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid
    except KeyError as exc:
        raise DeployError(f"components cannot run as {text!r}: {exc.args[0]}; create it, or name another") from exc
    if os.geteuid() != 0:
        return None
    return User(entry.pw_uid, gid, tuple(os.getgrouplist(name, gid)))


def give(folder: Path, user: User) -> None:
    """Make the user the owner of a folder, which may hold files of whoever it was before."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink() and path.stat().st_uid != user.uid:
            os.chown(path, user.uid, user.gid)

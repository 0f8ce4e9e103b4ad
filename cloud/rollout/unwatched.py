"""Time in which nobody looked does not count: not as a gateway's silence, not as a ring's soaking."""

from dataclasses import replace

from cloud.rollout.state import Heard, Rollout


def bridged(rollout: Rollout, now_us: int) -> Rollout:
    """The roll-out as it is found at `now_us`.

    If the last look was longer ago than half of what silence is, or the clock was put (also back), all that is
    measured by our clock goes on as if the rest of the time between had not been.
    """
    gap_us = now_us - rollout.looked_us if rollout.looked_us else 0
    changed = replace(rollout, looked_us=now_us)
    counts_us = int(rollout.silence_s * 1e6 / 2)
    if 0 <= gap_us <= counts_us:
        return changed
    unseen_us = gap_us - counts_us if gap_us > 0 else gap_us

    def later(at_us: int) -> int:
        return at_us + unseen_us if at_us else 0

    touched = tuple(replace(wave, deployed_us=later(wave.deployed_us)) for wave in rollout.touched)
    beside, undo = rollout.beside, rollout.undo
    return replace(
        changed,
        heard=Heard({name: later(at_us) for name, at_us in rollout.heard.at_us.items()}, rollout.heard.newest),
        touched=touched,
        beside=beside if beside is None else replace(beside, since_us=later(beside.since_us)),
        undo=undo if undo is None else replace(undo, since_us=later(undo.since_us)),
        watched={name: later(at_us) for name, at_us in rollout.watched.items()},
    )

"""When a window of health is over: at an even pace, and sooner when there is news."""

NEWS_S = 5.0  # the shortest window that news can make: a camera that comes and goes must not fill the link


class Windows:
    """Decides; whoever asks brings the time (seconds of a clock that never jumps) and the state that is reported."""

    def __init__(self, window_s: float, *, now: float, state: object) -> None:
        self._window_s = window_s
        self._began = now
        self._ends = now + window_s
        self._state = state

    def left_s(self, now: float) -> float:
        """How long the window still is if nothing happens."""
        return max(0.0, self._ends - now)

    def is_over(self, now: float, state: object) -> bool:
        """Whether it is over; then the next one has begun. `state` is compared with the one at its beginning."""
        regular = now >= self._ends
        if not regular and (state == self._state or now - self._began < NEWS_S):
            return False
        # After news the pace starts anew, for what judges windows wants whole ones. And what a suspended machine slept
        # through is not made up for.
        on_pace = self._ends + self._window_s
        self._ends = on_pace if regular and on_pace > now else now + self._window_s
        self._began = now
        self._state = state
        return True

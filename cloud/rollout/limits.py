"""How much worse than the incumbent a candidate may look before it is undone. Fixed figures, fixed for a roll-out."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts, ratios and distances that `decide` compares with; a roll-out keeps the ones it began with.

    The frames and windows were chosen on rendered conveyor scenes, where parts come in runs: a five-second look at a
    belt at 5 frames a second shows two parts at most, so two good looks may well differ by 0.4 in class mix.
    """

    # what a verdict needs
    windows: int = 2  # whole health windows with the candidate, per gateway
    frames: int = 50  # inferred with the candidate, per gateway
    first_windows: int = 1  # the same where no release ran before: there is nothing to compare with
    first_frames: int = 10
    baseline_windows: int = 4  # whole windows with the incumbent, per gateway, before its ring is touched
    silence_windows: int = 12  # windows' time without a report of the candidate: that gateway is not well
    patience_windows: int = 30  # windows' time without a verdict, though it reports
    # A model that fails is given up by the gateway, which says so; errors are whatever else went wrong there, so a
    # single one (a camera that came back between two frames) is no verdict.
    errors: int = 3
    error_share: float = 0.02  # of the frames, and more than twice the incumbent's
    # worse than the same gateway's incumbent, after what the other gateways went through in the same time
    p95_ratio: float = 1.5
    p95_extra_ms: float = 5.0  # and at least so much slower: 1 ms that became 2 hurts nobody
    p50_ratio: float = 1.2  # at once if the median is slower too, else after `doubt_windows`
    fps_ratio: float = 0.8
    memory_ratio: float = 1.5
    memory_extra_bytes: int = 100_000_000  # and at least so much more
    # different from the incumbent, beyond what the incumbent differs from itself over as many windows
    mix_at_once: float = 0.35  # total variation distance 0..1 of the classes' shares, after `mix_windows`
    mix_windows: int = 3
    mix_doubt: float = 0.05  # above this a gateway is looked at for longer
    mix_lasting: float = 0.10  # and then undone above this, after `doubt_windows`,
    mix_ratio: float = 1.75  # if it is also so many times what the incumbent moves by itself
    doubt_windows: int = 6
    score_change: float = 0.25  # of the mean score
    rate_ratio: float = 2.0  # detections per frame, either way
    # surprises, the whole roll-out's: a release that is as promised is undone for them in so many of all cases
    alpha: float = 0.02
    shadow_alpha: float = 0.25  # of that, spent on the shadow
    shadow_frames: int = 100  # seen by both
    shadow_blind: int = 5  # windows in which the challenger looked at nothing though the incumbent did
    least_windows: int = 3  # before odds are believed
    scene_things: float = 4.0  # a scene that stands still shows so many times the things of one of its frames
    quorum: float = 0.8  # of a ring's gateways that report must have shown enough
    doubt: float = 1.0  # powers of ten below the limit from which on a ring is looked at for longer
    blind_windows: int = 2880  # windows' time in which a gateway that reports may see nothing
    # at once
    slow_ratio: float = 1.7  # the median inference of the newest windows, two of them at least
    usual_slowness: float = 0.005  # of gateways are as slow for minutes anyway, at least
    slow_odds: float = 0.001  # that so many are by chance
    crash_share: float = 0.001  # of the frames on which the model raised an error, and `errors` of them
    leak_windows: int = 120  # windows for which memory has grown steadily
    leak_gained_bytes: int = 20_000_000  # and so much at least
    alike: float = (
        0.2  # of the gateways of a hardware class must be slow or take too much: one may have its own reasons
    )
    leak_horizon_s: float = 86_400.0  # by which it would have grown by `memory_extra_bytes`
    silent_odds: float = 1e-6  # that so many gateways fall silent by chance
    usual_silence: float = 0.02  # of gateways, at least
    controls: int = 4  # untouched gateways that make a comparison

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(f"{field.name} must be above 0, got {getattr(self, field.name)}")
        if self.silence_windows <= self.windows:
            raise ValueError(
                f"silence_windows ({self.silence_windows}) must exceed windows ({self.windows}): "
                f"a gateway needs time to report"
            )
        if self.patience_windows < self.doubt_windows:
            raise ValueError(
                f"patience_windows ({self.patience_windows}) must not be below doubt_windows ({self.doubt_windows})"
            )

"""What the demo promises, each held or not by what was counted."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Claim:
    """`text` is the promise; `found` the figures it was judged by."""

    text: str
    holds: bool
    found: str


@dataclass(slots=True)
class Claims:
    """The claims in the order in which they were judged."""

    judged: list[Claim] = field(default_factory=list)

    def judge(self, text: str, holds: bool, found: str) -> Claim:
        """Note a claim and whether it holds."""
        claim = Claim(text, holds, found)
        self.judged.append(claim)
        return claim

    @property
    def failed(self) -> list[Claim]:
        return [claim for claim in self.judged if not claim.holds]

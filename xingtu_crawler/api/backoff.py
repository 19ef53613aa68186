"""The pause before a retry: exponential, with jitter, capped."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Pauses in seconds: `base` before the second attempt, doubled for each further one up to `cap`.

    Each pause is drawn at random from the upper half of that, so that requests that failed together do not come
    back together.
    """

    base: float
    cap: float
    random: random.Random = field(default_factory=random.Random)

    def delay(self, attempts: int) -> float:
        """Return the pause after `attempts` (1 or more) failed attempts."""
        # 2.0 ** 1024 overflows; the cap is reached long before.
        longest = min(self.cap, self.base * 2.0 ** min(attempts - 1, 60))
        return longest * self.random.uniform(0.5, 1.0)

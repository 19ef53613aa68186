"""How many calls may still be made. A call is an attempt on the wire, retries included."""

from __future__ import annotations


class Budget:
    """Counts calls and refuses the one beyond `max_calls` (None: no limit)."""

    def __init__(self, max_calls: int | None) -> None:
        self.max_calls = max_calls
        self.calls = 0

    def take(self) -> bool:
        """Claim one call; False, and nothing claimed, where the cap is reached."""
        if self.max_calls is not None and self.calls >= self.max_calls:
            return False
        self.calls += 1
        return True

    def give_back(self) -> None:
        """Return a call that was claimed and not made."""
        self.calls -= 1

"""The budget of calls. A call is an attempt on the wire, so retries count."""

from __future__ import annotations


class Budget:
    """Counts calls and refuses those beyond `max_calls` (None: no limit)."""

    def __init__(self, max_calls: int | None) -> None:
        self.max_calls = max_calls
        self.calls = 0

    def take(self) -> bool:
        """Count one call and return True; return False and count nothing if the limit is reached."""
        if self.is_used_up:
            return False
        self.calls += 1
        return True

    def put_back(self) -> None:
        """Return one call that was taken and not made."""
        self.calls -= 1

    @property
    def is_used_up(self) -> bool:
        """Whether the limit is reached."""
        return self.max_calls is not None and self.calls >= self.max_calls

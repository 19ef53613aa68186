"""A figure that a benchmark is judged by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """The measured value, the floor that it must reach and the aim; `at_most`: smaller is better."""

    name: str
    value: float
    floor: float
    aim: float
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether the floor is reached."""
        return self.value <= self.floor if self.at_most else self.value >= self.floor

    @property
    def meets_aim(self) -> bool:
        """Whether the aim is reached."""
        return self.value <= self.aim if self.at_most else self.value >= self.aim

"""What the benchmark of missing details reports as broken."""

from __future__ import annotations

from benchmarks.missing import FEW, LATEST_FIRST_CALL_S, Streamed, broken

WANTED = 50


def test_a_late_first_call_is_broken() -> None:
    few = Streamed(FEW, 0, WANTED, 0, peak_mb=80, first_call_s=1)
    late = Streamed(20_000, 0, WANTED, 0, peak_mb=80, first_call_s=LATEST_FIRST_CALL_S + 0.1)
    assert broken(few, [few, few], WANTED) == []
    assert broken(few, [few, late], WANTED) == ["the first call comes within 10 s"]

"""Hollow answers: those that lack most of what the stored document has. Plain Python.

    an answer                                 what happens
    not hollow                                it is stored
    hollow, the first one                     it goes to quarantine, and the detail is requested once more
    hollow, the second one, or beyond the cap it is stored, and the run is suspicious

So neither answer is lost, and the good document is replaced only by what the API has said twice. Its content then is an
ended spell in `history`.
"""

from __future__ import annotations

from collections import Counter

from xingtu_crawler.items.answers import DetailAnswer
from xingtu_crawler.items.shape import count_filled
from xingtu_crawler.verdict import Findings

MOST_REPEATS = 10
"""Maximum number of details per endpoint and run that are requested once more: a broken API costs no more than that."""
FEWEST_FILLED = 3
"""Filled fields that a stored document needs: less than half of fewer is nothing."""


class HollowAnswers:
    """Decides about the answers of one run, and adds what it finds to `findings`."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._repeats: Counter[str] = Counter()

    def is_to_be_repeated(self, answer: DetailAnswer, *, before: int, again: bool) -> bool:
        """Return whether a detail is to be requested once more, because its answer is hollow.

        Args:
            answer: the answer.
            before: number of filled fields of the stored document; 0 if there is none.
            again: whether this is the answer to the second request.
        """
        if not self._is_hollow(answer, before):
            if again:
                self._add("hollow_once", answer, "lacked most of what the documents have; the second answers had it")
            return False
        if not again and self._repeats[answer.endpoint] < MOST_REPEATS:
            self._repeats[answer.endpoint] += 1
            return True
        self._add("hollow_answers", answer, "lack most of what the documents before them had, and are stored")
        return False

    @staticmethod
    def _is_hollow(answer: DetailAnswer, before: int) -> bool:
        if before < FEWEST_FILLED or not isinstance(answer.envelope.data, dict):
            return False
        return 2 * count_filled(answer.endpoint, answer.envelope.data) < before

    def _add(self, kind: str, answer: DetailAnswer, what: str) -> None:
        example = f"{answer.star_id} ({answer.platform})"
        self._findings.add(kind, f"{answer.endpoint}: {{count}} answers {what}", example=example, key=answer.endpoint)

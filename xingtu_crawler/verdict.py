"""The verdict on a crawl: what kinds of findings there are, the collector of one crawl, and how they are judged.

Plain Python, below everything else. Every layer may add findings; `docs/findings.md` is printed from `KINDS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_EXAMPLES = 20
"""Maximum number of examples that a finding keeps."""


class Verdict(StrEnum):
    """How far a crawl can be trusted, from best to worst."""

    COMPLETE = "complete"
    """Nothing is missing."""
    LIMITED = "limited"
    """A limit of the user's ended it, or it is a sample."""
    CAPPED = "capped"
    """The search shows only the first part of what it counts."""
    SUSPICIOUS = "suspicious"
    """The API answered, but the answers look wrong."""
    INCOMPLETE = "incomplete"
    """Something that was asked for is missing."""
    FAILED = "failed"
    """Nothing useful could be done."""

    @property
    def rank(self) -> int:
        """Return the place in the order, 0 for the best."""
        return list(Verdict).index(self)

    @property
    def is_good(self) -> bool:
        """Whether the exit code is 0."""
        return self.rank <= Verdict.CAPPED.rank


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts; `complete` where there are none."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.COMPLETE)


@dataclass(frozen=True, slots=True)
class FindingKind:
    """One kind of finding: how severe it is by default, what it means, and what to run (None: nothing).

    Severity `complete` marks a note that changes no verdict.
    """

    severity: Verdict
    meaning: str
    advice: str | None = None


_AGAIN = "Run the same command again: it fetches only what is missing."

KINDS: dict[str, FindingKind] = {
    "closing_errors": FindingKind(
        Verdict.INCOMPLETE,
        "A step of the closing failed, so the record of the run may lack figures.",
        "Read the ERROR lines of the log.",
    ),
    "coverage": FindingKind(Verdict.COMPLETE, "How many of the authors have all their details, after an early end."),
    "dated_ahead": FindingKind(
        Verdict.COMPLETE,
        "Documents were dated in the future, because the clock of a machine was wrong. Their dates are corrected "
        "(crawl.dated_ahead has the wrong one) and their details are fetched again.",
        "Set the clock of the machine that wrote them.",
    ),
    "details_failed": FindingKind(Verdict.INCOMPLETE, "Requests for details failed; they are in failures.", _AGAIN),
    "details_unavailable": FindingKind(
        Verdict.COMPLETE,
        "The API has no details of some authors (code 400, 404, 201 or 202). From 10 % of an endpoint's requests on "
        "the run is incomplete.",
        "List them: scrapy find failures --where '{\"terminal\": true}'",
    ),
    "interrupted": FindingKind(Verdict.INCOMPLETE, "The crawl ended before its work was done.", _AGAIN),
    "limited": FindingKind(Verdict.LIMITED, "A limit of the user's ended the crawl."),
    "log_errors": FindingKind(
        Verdict.INCOMPLETE, "The log holds an ERROR that no other finding explains.", "Read the ERROR lines of the log."
    ),
    "page_bytes_left_out": FindingKind(
        Verdict.COMPLETE, "Search pages say more beside their authors than sweeps.pages may hold."
    ),
    "quarantined": FindingKind(
        Verdict.INCOMPLETE,
        "Answers, or parts of them, cannot be documents; their raw bodies are in quarantine.",
        "Look at the answers that are no documents: scrapy find quarantine",
    ),
    "refused_by_mongodb": FindingKind(
        Verdict.INCOMPLETE,
        "MongoDB refused spilled answers when this crawl loaded them; they are set aside in *.refused files.",
        "Correct what MongoDB refuses, then load them: scrapy replay",
    ),
    "search_capped": FindingKind(
        Verdict.CAPPED,
        "The search counts more authors than it shows.",
        "Split the query into narrower ones, for example by category, follower range or province.",
    ),
    "spilled": FindingKind(
        Verdict.INCOMPLETE,
        "Answers are in a spill file, because MongoDB was gone.",
        "Run the same command again on this machine: it loads them first.",
    ),
    "unknown_fields": FindingKind(
        Verdict.COMPLETE,
        "Answers have fields that no model names; they are stored as they came. From 10 % of an endpoint's answers on "
        "the run is suspicious.",
        "See crawl.unknown_fields of the documents.",
    ),
    "unparsed_values": FindingKind(
        Verdict.COMPLETE,
        "Values do not fit their type; they are stored raw in crawl.unparsed. From 10 % of an endpoint's answers on "
        "the run is suspicious.",
        "See crawl.unparsed of the documents.",
    ),
}
"""Every kind of finding, by its name in `runs.findings`."""


@dataclass(slots=True)
class Finding:
    """One reason for a verdict."""

    kind: str
    severity: Verdict
    message: str
    """What was found; `{count}` stands for the count."""
    count: int
    examples: list[str] = field(default_factory=list)
    """Up to `MAX_EXAMPLES` distinct examples, such as ids or paths."""
    advice: str | None = None

    @property
    def text(self) -> str:
        """Return the message with its count."""
        return self.message.replace("{count}", f"{self.count:,}")

    def as_document(self) -> dict[str, Any]:
        """Return the entry for `runs.findings`."""
        return {
            "kind": self.kind,
            "severity": str(self.severity),
            "message": self.text,
            "count": self.count,
            "example": self.examples[0] if self.examples else None,
            "examples": list(self.examples),
            "advice": self.advice,
        }


class Findings:
    """The findings of one crawl."""

    def __init__(self) -> None:
        self._findings: dict[tuple[str, str], Finding] = {}

    def add(
        self,
        kind: str,
        message: str,
        *,
        count: int = 1,
        example: str | None = None,
        advice: str | None = None,
        severity: Verdict | None = None,
        key: str = "",
    ) -> None:
        """Add a finding, or merge it into the one of the same `kind` and `key`.

        Merging adds the counts up, keeps the worst severity and takes the last message.

        Args:
            kind: a key of `KINDS`.
            message: one line for the user; `{count}` stands for the count of the merged finding.
            count: how many times it occurred.
            example: one example of it, such as an id.
            advice: what to run, if it is not the advice of the kind.
            severity: how severe it is, if it is not as severe as its kind.
            key: what separates findings of one kind, such as the endpoint and the path.
        """
        of_kind = KINDS[kind]
        found = self._findings.get((kind, key))
        if found is None:
            found = Finding(kind, severity or of_kind.severity, message, 0, advice=of_kind.advice)
            self._findings[kind, key] = found
        found.message = message
        found.count += count
        found.severity = worst([found.severity, severity or of_kind.severity])
        found.advice = advice or found.advice
        if example is not None and example not in found.examples and len(found.examples) < MAX_EXAMPLES:
            found.examples.append(example)

    def __iter__(self) -> Iterator[Finding]:
        """Return the findings, the most severe first."""
        return iter(sorted(self._findings.values(), key=lambda found: -found.severity.rank))

    def __len__(self) -> int:
        return len(self._findings)


def judge(close_reason: Verdict, findings: Iterable[Finding]) -> Verdict:
    """Return the verdict on a crawl: the worst of its close reason's and of its findings' severities."""
    return worst([close_reason, *(found.severity for found in findings)])

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
SHARE = 0.1
"""The share of an endpoint's answers from which on a peculiarity is no longer a note."""
_LONGEST = 500
"""Maximum number of characters of a message, and of an example."""


class Verdict(StrEnum):
    """How far a crawl can be trusted, from best to worst."""

    COMPLETE = "complete"
    LIMITED = "limited"
    CAPPED = "capped"
    SUSPICIOUS = "suspicious"
    INCOMPLETE = "incomplete"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        """Return the place in the order, 0 for the best."""
        return list(Verdict).index(self)

    @property
    def is_good(self) -> bool:
        """Whether the exit code is 0."""
        return self.rank <= Verdict.CAPPED.rank


MEANINGS: dict[Verdict, str] = {
    Verdict.COMPLETE: "Everything that was asked for is there.",
    Verdict.LIMITED: "A limit of yours ended the crawl, or its authors are a sample.",
    Verdict.CAPPED: "The search counts more authors than it shows.",
    Verdict.SUSPICIOUS: "The API answered, but its answers look wrong.",
    Verdict.INCOMPLETE: "Something that was asked for is missing: failed requests, missing pages, an interruption.",
    Verdict.FAILED: "Something is missing, nothing was stored, and nothing was up to date.",
}
"""What each verdict means."""


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


AFTER_FAILURES = "Run the same command again: it fetches only what failed."

KINDS: dict[str, FindingKind] = {
    "answers_given_up": FindingKind(
        Verdict.INCOMPLETE,
        "Answers could not be received, because they are longer than DOWNLOAD_MAXSIZE; the next ones would be as long.",
        "Raise DOWNLOAD_MAXSIZE, then run the same command with terminal=1.",
    ),
    "authors_missing": FindingKind(
        Verdict.COMPLETE,
        "The search counts more authors than all of its pages show: the ranking shifts while pages are read. From 10 % "
        "on the run is incomplete.",
        "Run the same command again: it reads the search anew.",
    ),
    "closing_errors": FindingKind(
        Verdict.INCOMPLETE,
        "A step of the closing failed, so the record of the run may lack figures.",
        "Read the ERROR lines of the log.",
    ),
    "collapsed": FindingKind(
        Verdict.SUSPICIOUS,
        "A query finds, or counts, far fewer authors than its last finished sweep did (XINGTU_COLLAPSE_SHARE).",
        "Look at the filters and at the provider's notices, then run the same command again: it searches anew.",
    ),
    "coverage": FindingKind(Verdict.COMPLETE, "How many of the authors have all their details, after an early end."),
    "crashed": FindingKind(
        Verdict.INCOMPLETE,
        "The process of the crawl was killed, or lost MongoDB for good, before it could record the end.",
        "Run the same command again to go on where this crawl stopped.",
    ),
    "dated_ahead": FindingKind(
        Verdict.COMPLETE,
        "Documents were dated in the future, because the clock of a machine was wrong. Their dates are corrected "
        "(crawl.dated_ahead has the wrong one) and their details are fetched again.",
        "Set the clock of the machine that wrote them.",
    ),
    "details_failed": FindingKind(
        Verdict.INCOMPLETE, "Requests for details failed; they are in failures.", AFTER_FAILURES
    ),
    "details_unavailable": FindingKind(
        Verdict.COMPLETE,
        "The API has no details of some authors (code 400, 404, 201 or 202). From 10 % of an endpoint's details on "
        "the run is incomplete.",
        "List them: scrapy find failures --filter '{\"terminal\": true}' --limit 0",
    ),
    "endpoint_failing": FindingKind(
        Verdict.INCOMPLETE,
        "An endpoint failed for many requests in a row, so the crawl stopped requesting it. Its other requests are "
        "left open.",
        "Run the same command again later: it requests only what is missing.",
    ),
    "fields_vanished": FindingKind(
        Verdict.COMPLETE,
        "Answers lack a field, or no answer fills it, that those of an earlier run had. From 10 % of an endpoint's "
        "answers on the run is suspicious.",
        "Compare an answer with the provider's documentation; the field is null in the new documents.",
    ),
    "hollow_answers": FindingKind(
        Verdict.SUSPICIOUS,
        "Answers lack most of what the documents before them had, also when requested once more (for 10 details per "
        "endpoint). They are stored; the documents before them are in history.",
        "Compare the spells of the author in the example: scrapy find spells",
    ),
    "hollow_once": FindingKind(
        Verdict.COMPLETE,
        "Answers lacked most of what the stored documents have, and the second ones had it. The first ones are in "
        "quarantine.",
    ),
    "ids_absent": FindingKind(
        Verdict.COMPLETE,
        "Answers lack the id of their author. Details are stored under the id that was requested, authors of the "
        "search under the id in their attributes.",
    ),
    "interrupted": FindingKind(
        Verdict.INCOMPLETE,
        "The crawl ended before its work was done.",
        "Run the same command again to go on where this crawl stopped.",
    ),
    "limited": FindingKind(Verdict.LIMITED, "A limit of the user's ended the crawl."),
    "log_errors": FindingKind(
        Verdict.INCOMPLETE, "The log holds an ERROR that no other finding explains.", "Read the ERROR lines of the log."
    ),
    "page_bytes_left_out": FindingKind(
        Verdict.COMPLETE, "Search pages say more beside their authors than sweeps.pages may hold."
    ),
    "pages_missing": FindingKind(
        Verdict.INCOMPLETE,
        "Search pages failed, are empty or repeat authors, although the search counts more.",
        "Run the same command again: it fetches only the missing pages.",
    ),
    "quarantined": FindingKind(
        Verdict.INCOMPLETE,
        "Answers, or parts of them, cannot be documents; their raw bodies are in quarantine.",
        "Look at the answers that are no documents: scrapy find quarantine.",
    ),
    "refused_often": FindingKind(
        Verdict.INCOMPLETE,
        "The API refused more than 10 % of an endpoint's requests (code 400, 404, 201 or 202). None of them counts as "
        "unavailable.",
        "Check the ids and the platform. Then run the same command again: it requests them again.",
    ),
    "quarantined_earlier": FindingKind(
        Verdict.INCOMPLETE,
        "Details are missing: their answers, in an earlier run, were no documents. They are not requested again within "
        "max_age.",
        "Look at them: scrapy find quarantine. To request them again, run the same command with terminal=1.",
    ),
    "refused_by_mongodb": FindingKind(
        Verdict.INCOMPLETE,
        "MongoDB refused spilled answers when this crawl loaded them; they are set aside in *.refused files.",
        "Correct what MongoDB refuses, then load them: scrapy replay",
    ),
    "requests_failed": FindingKind(
        Verdict.INCOMPLETE, "Requests failed that no other finding explains; they are in failures.", AFTER_FAILURES
    ),
    "sampled": FindingKind(
        Verdict.LIMITED,
        "A limit of the user's leaves out authors whom the search counts.",
        "For the others, run the command with a larger limit or without it.",
    ),
    "search_cut_off": FindingKind(
        Verdict.INCOMPLETE,
        "The search ended before the last author that it counts, or goes on behind it; docs/codebook/sweeps.md has "
        "the reasons.",
        "Run the same command again: it goes on where the search ended.",
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
    "spill_unreadable": FindingKind(
        Verdict.INCOMPLETE,
        "Lines of a spill file of an earlier crawl cannot be read; they are kept in *.broken files.",
        "Look at the file, and restore it from a backup if the disk has failed.",
    ),
    "types_changed": FindingKind(
        Verdict.COMPLETE,
        "A field has a JSON type that it did not have in an earlier run. From 10 % of an endpoint's answers on the run "
        "is suspicious.",
        "Look at the field in the new documents: a value that does not fit is in crawl.unparsed.",
    ),
    "unknown_fields": FindingKind(
        Verdict.COMPLETE,
        "Answers have fields that no model names; they are stored as they came. From 10 % of an endpoint's answers on "
        "the run is suspicious.",
        'List them: scrapy find COLLECTION --filter \'{"crawl.unknown_fields": {"$exists": true}}\' --fields '
        "crawl.unknown_fields",
    ),
    "unparsed_values": FindingKind(
        Verdict.COMPLETE,
        "Values do not fit their type; they are stored raw in crawl.unparsed. From 10 % of an endpoint's answers on "
        "the run is suspicious.",
        'List them: scrapy find COLLECTION --filter \'{"crawl.unparsed": {"$exists": true}}\' --fields crawl.unparsed',
    ),
}
"""Every kind of finding, by its name in `runs.findings`."""


@dataclass(slots=True)
class Finding:
    """One reason for a verdict."""

    kind: str
    key: str
    """What separates findings of one kind; begins with the endpoint where there is one."""
    severity: Verdict
    message: str
    """What was found; `{count}` stands for the count."""
    count: int = 0
    examples: list[str] = field(default_factory=list)
    """Up to `MAX_EXAMPLES` distinct examples, such as ids or paths."""
    advice: str | None = None

    @property
    def endpoint(self) -> str:
        """The first word of the key."""
        return self.key.partition(" ")[0]

    @property
    def text(self) -> str:
        """The message with its count."""
        return self.message.replace("{count}", f"{self.count:,}")

    @property
    def line(self) -> str:
        """The message with its count and one example."""
        return self.shown(0)

    def shown(self, characters: int) -> str:
        """Return the message with its count, one example, and as many more as fit into this number of characters."""
        if not self.examples:
            return self.text
        examples = self.examples[0]
        for example in self.examples[1:]:
            if len(examples) + len(example) > characters:
                break
            examples += f", {example}"
        return f"{self.text} (for example {examples})"

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
            key: what separates findings of one kind, such as `base_info` or `base_info price_info[].price`: the
                endpoint first.
        """
        of_kind = KINDS[kind]
        found = self._findings.get((kind, key))
        if found is None:
            found = Finding(kind, key, severity or of_kind.severity, message, advice=of_kind.advice)
            self._findings[kind, key] = found
        found.message = _plain(message)
        found.count += count
        found.severity = worst([found.severity, severity or of_kind.severity])
        found.advice = advice or found.advice
        if example is None or len(found.examples) >= MAX_EXAMPLES:
            return
        if (plain := _plain(example)) not in found.examples:
            found.examples.append(plain)

    def __iter__(self) -> Iterator[Finding]:
        """Return the findings in the order in which they were made."""
        return iter(self._findings.values())

    def __len__(self) -> int:
        return len(self._findings)


def _plain(text: str) -> str:
    """Return `text`, shortened, in one line that every terminal can show: names of fields come from the API."""
    text = text[:_LONGEST]
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, the most severe first."""
    return sorted(findings, key=lambda found: -found.severity.rank)


def judge(close_reason: Verdict, findings: Iterable[Finding]) -> Verdict:
    """Return the verdict on a crawl: the worst of its close reason's and of its findings' severities."""
    return worst([close_reason, *(found.severity for found in findings)])

"""Counts unknown fields and values that did not fit, by endpoint and path, and reports them. Plain Python."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.api.envelope import one_line
from xingtu_crawler.items.parsing import Parsed
from xingtu_crawler.verdict import MAX_EXAMPLES, SHARE, Findings, Verdict

_NAMED = 3
"""Number of paths that the message names; the examples of the finding have more."""
_LONGEST_VALUE = 60
_EXPECTED = re.compile(r"attribute_datas\.author_level_\w+|base_resp(\..+)?")
"""Attributes of which there is one per category of content, and the status layer, which `api` has checked."""
_INDEX = re.compile(r"\.\d+(?=\.|$)")


@dataclass(slots=True)
class _Tally:
    """One peculiarity of one endpoint: the answers that have it, and by path how many, with an example."""

    answers: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, paths: dict[str, str]) -> None:
        self.answers += 1
        self.paths.update(paths.keys())
        for path, example in paths.items():
            self.examples.setdefault(path, example)


class Misfits:
    """The unknown fields and the values that did not fit in the answers of one crawl."""

    def __init__(self) -> None:
        self._answers: Counter[str] = Counter()
        self._unknown: defaultdict[str, _Tally] = defaultdict(_Tally)
        self._unparsed: defaultdict[str, _Tally] = defaultdict(_Tally)

    def count(self, endpoint: str, parsed: Parsed, *, star_id: str) -> None:
        """Count one typed payload of an endpoint, which is about the author `star_id`."""
        self._answers[endpoint] += 1
        unknown = [path for path in parsed.unknown_fields if not _EXPECTED.fullmatch(path)]
        if unknown:
            self._unknown[endpoint].add({path: f"{path} of {star_id}" for path in unknown})
        if parsed.unparsed:
            found: dict[str, str] = {}
            for path, misfit in parsed.unparsed.items():
                raw = one_line(str(misfit["raw"])[:_LONGEST_VALUE])
                found.setdefault(_INDEX.sub("[]", path), f"{path} = {raw} of {star_id}")
            self._unparsed[endpoint].add(found)

    def report(self, findings: Findings) -> None:
        """Add the findings: from a share of 10 % of an endpoint's answers on, they make the crawl suspicious."""
        self._report(findings, "unknown_fields", self._unknown, "fields that no model names", "crawl.unknown_fields")
        self._report(findings, "unparsed_values", self._unparsed, "values that do not fit their type", "crawl.unparsed")

    def _report(self, findings: Findings, kind: str, tallies: dict[str, _Tally], what: str, listed: str) -> None:
        for endpoint, tally in tallies.items():
            answers = self._answers[endpoint]
            often = tally.paths.most_common(MAX_EXAMPLES)
            named = ", ".join(f"{path} ({count:,})" for path, count in often[:_NAMED])
            more = f" and {len(tally.paths) - _NAMED:,} more" if len(tally.paths) > _NAMED else ""
            condition = json.dumps({listed: {"$exists": True}})
            for number, (path, _) in enumerate(often):
                findings.add(
                    kind,
                    f"{{count}} of {answers:,} answers of {endpoint} have {what}: {named}{more}",
                    count=0 if number else tally.answers,
                    example=tally.examples[path],
                    advice=f"List them: scrapy find {_collection(endpoint)} --filter '{condition}' --fields {listed}",
                    severity=Verdict.SUSPICIOUS if tally.answers >= SHARE * answers else None,
                    key=endpoint,
                )


def _collection(endpoint: str) -> str:
    return SEARCH.collection if endpoint == SEARCH.name else DETAILS[endpoint].collection

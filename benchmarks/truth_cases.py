"""The cases of `benchmarks.truth`: how the API misbehaves, and what a crawl must say and do then.

Each case is one input of a kind. 100 authors, five pages; most cases request the base info only.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database

from benchmarks.scripted_api import Call, Fault, Json, Reply, healthy, page_of

AUTHORS = 100
PAGES = 5
FEW = 60
"""The number of authors where all their details fail."""
MARKETING, BASE_INFO = "marketing_info", "author_base_info"
COMPLETE, LIMITED, CAPPED, SUSPICIOUS, INCOMPLETE, FAILED = (
    "complete",
    "limited",
    "capped",
    "suspicious",
    "incomplete",
    "failed",
)


NOTHING = "-"
"""The verdict where nothing was asked, so that there is no run."""
Change = Callable[[Database[Json]], object]
"""Changes a database from outside of the crawls."""


def nothing(_database: Database[Json]) -> None:
    """Change nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to misbehave, and the right outcome.

    `fault` is active in the first crawl. `stored` authors are complete after it, of `available` that the API has;
    it makes at most `most_calls` and ends with `verdict`, exit code `exit_code` and, where `findings` names them, these
    kinds of findings. The same command is run again with the fault `again`: at most `again_calls`, `again_verdict`, and
    `again_stored` authors. `before` runs with the same arguments, without a fault, before the first crawl. `prepare`
    changes the database before the first crawl, `between` before the second one.
    """

    name: str
    fault: Fault
    verdict: str
    stored: int
    most_calls: int
    exit_code: int = 1
    close_reason: str = "finished"
    available: int = AUTHORS
    findings: tuple[str, ...] = ()
    again: Fault = healthy
    again_verdict: str = COMPLETE
    again_stored: int | None = None
    again_calls: int = 10_000
    before: bool = False
    arguments: Mapping[str, object] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    endpoints: str = "base_info"
    prepare: Change = nothing
    between: Change = nothing


# --- How to misbehave ---------------------------------------------------------------------------------------


def on_page(number: int, change: Callable[[Call], Reply | Json | None], *, attempts: int = 10_000) -> Fault:
    """Misbehave on one page, in its first attempts."""

    def fault(call: Call) -> Reply | Json | None:
        return change(call) if call.page == number and call.attempt <= attempts else None

    return fault


def on_pages(change: Callable[[Call], Reply | Json | None]) -> Fault:
    """Misbehave on every page."""
    return lambda call: change(call) if call.page else None


def on_details(
    change: Callable[[Call], Reply | Json | None], *, endpoint: str | None = None, share: float = 1.0
) -> Fault:
    """Misbehave on the details (of one endpoint) of this share of the authors."""

    def fault(call: Call) -> Reply | Json | None:
        is_meant = call.author >= 0 and endpoint in {None, call.endpoint}
        return change(call) if is_meant and call.author % 100 < 100 * share else None

    return fault


def code(number: int, message: str = "as scripted", **more: Any) -> Callable[[Call], Json]:
    """Respond with a business code."""
    return lambda _call: {"code": number, "message": message, "requestId": "r-1", "data": None, **more}


def reply(body: bytes = b"", status: int = 200, **headers: str) -> Callable[[Call], Reply]:
    """Respond with these bytes."""
    return lambda _call: Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def answer_as(
    encode: Callable[[bytes], bytes], headers: Mapping[str, str] = {}, status: int = 200
) -> Callable[[Call], Reply]:
    """Send the sandbox's answer in another encoding."""
    return lambda call: Reply(encode(json.dumps(call.answer).encode()), status, dict(headers))


def edited(edit: Callable[[Json], object]) -> Callable[[Call], None]:
    """Change the `data` of the sandbox's answer."""

    def change(call: Call) -> None:
        edit(call.answer["data"])

    return change


def empty(call: Call) -> None:
    """Leave out the authors."""
    call.answer["data"]["authors"] = []


def ends_here(call: Call) -> None:
    """Say that there is no further page."""
    call.answer["data"]["pagination"]["has_more"] = False


def pagination(**fields: Any) -> Callable[[Call], None]:
    """Replace fields of `pagination`; None removes one."""

    def change(call: Call) -> None:
        given = call.answer["data"]["pagination"]
        for name, value in fields.items():
            if value is None:
                given.pop(name, None)
            else:
                given[name] = value(call) if callable(value) else value

    return change


def sized(size: int, **other: Any) -> Fault:
    """Serve pages of another size."""
    return on_pages(lambda call: page_of(call.front.records, call.page, size=size, **other))


def first(count: int) -> Fault:
    """Find only the first authors."""
    return on_pages(lambda call: page_of(call.front.records[:count], call.page))


def always_page_one(call: Call) -> Json:
    """Ignore the number of the page."""
    return page_of(call.front.records, 1)


def page_before(call: Call) -> Json:
    """Send the page before."""
    copy = page_of(call.front.records, call.page - 1)
    copy["data"]["pagination"]["page"] = call.page
    return copy


def endless(call: Call) -> None:
    """Say that there is more, and no more than that."""
    if call.page > PAGES:
        empty(call)
    call.answer["data"]["pagination"] |= {"has_more": True, "total_count": None}


def authors_edited(edit: Callable[[Json], object]) -> Fault:
    """Change every search record."""

    def change(call: Call) -> None:
        call.answer["data"] = deepcopy(call.answer["data"])
        for each in call.answer["data"]["authors"]:
            edit(each)

    return on_pages(change)


def padded_id(record: Json) -> None:
    """Put spaces around the id."""
    record["star_id"] = f"  {record['star_id']} "


def float_id(record: Json) -> None:
    """Send the id as a float, which cannot hold it."""
    record["star_id"] = float(record["star_id"])


def no_id(record: Json) -> None:
    """Send the id in the attributes only."""
    del record["star_id"]


def without_id(data: Json) -> None:
    """Leave the author's id out of a base info."""
    data.pop("id", None)


def of_another(call: Call) -> None:
    """Send another author's id."""
    call.answer["data"]["id"] = "6000000000000000001"


def hollow(call: Call) -> Json:
    """Send an id and nothing else."""
    return {"code": 0, "message": "success", "data": {"id": call.key, "base_resp": {"status_code": 0}}}


def inner_failure(_call: Call) -> Json:
    """Succeed outside and fail inside."""
    return {"code": 0, "message": "success", "data": {"base_resp": {"status_code": 3, "status_message": "busy"}}}


def until(number: int, fault: Fault) -> Fault:
    """Misbehave in the first calls of the crawl."""
    return lambda call: fault(call) if call.number <= number else None


def by_token(faults: Mapping[str, Fault]) -> Fault:
    """Misbehave by token."""
    return lambda call: faults.get(call.token, healthy)(call)


def together(*faults: Fault) -> Fault:
    """Misbehave in each of these ways; the first response counts."""

    def fault(call: Call) -> Reply | Json | None:
        return next((given for each in faults if (given := each(call)) is not None), None)

    return fault


def retry_after_epoch(call: Call) -> Reply | None:
    """Ask to come back in a second, as a moment in seconds since 1970."""
    if call.attempt > 1:
        return None
    return Reply(b'{"code":302,"message":"slow","data":null}', 429, {"Retry-After": str(int(time.time()) + 1)})


def many_values(_call: Call) -> Reply:
    """Send a body of 1.5 MB that holds 750,000 values."""
    return Reply(b'{"code":0,"data":{"id":[' + b"1," * 750_000 + b"1]}}")


def large(call: Call) -> Reply:
    """Send an answer of 15 MB."""
    data = call.answer["data"] | {"padding": "x" * 15_000_000}
    return Reply(json.dumps(call.answer | {"data": data}).encode())


def large_page(call: Call) -> None:
    """Send 1.5 MB beside the authors of a page."""
    call.answer["data"]["extra_data"] = {"padding": ["x" * 1000] * 1_500}


IN_QUARANTINE = {"again_verdict": INCOMPLETE, "again_stored": 97, "again_calls": PAGES}
"""What the next crawl does about answers in quarantine: it pays for none of them again, and reports them as missing."""


# --- The cases ----------------------------------------------------------------------------------------------


def search_cases() -> Iterator[Case]:
    """The search."""
    hole = {"verdict": INCOMPLETE, "findings": ("pages_missing",)}
    for name, change in (
        ("page 3 of 5 is empty", empty),
        ("page 3 of 5 is a copy of page 2", page_before),
        ("page 3 of 5 fails with code 301", code(301)),
        (
            "page 3 of 5 fails, total_count 0 in its body",
            code(301, data={"pagination": {"total_count": 0, "has_more": False}, "authors": []}),
        ),
        ("page 3 of 5 is a web page", reply(b"<html>no</html>", Content_Type="text/html")),
        ("page 3 of 5 has no data", code(0)),
    ):
        yield Case(name, on_page(3, change), stored=80, most_calls=100, again_calls=30, **hole)  # type: ignore[arg-type]
    yield Case("page 3 of 5 says that it is the last one", on_page(3, ends_here), COMPLETE, 100, 110, exit_code=0)
    yield Case("page 3 of 5 is empty once", on_page(3, empty, attempts=1), COMPLETE, 100, 110, exit_code=0)
    yield Case("page 1 is empty, total_count is 100", on_page(1, empty), stored=80, most_calls=100, **hole)  # type: ignore[arg-type]
    cut_off = ("search_cut_off",)
    yield Case("every page is empty, total_count is 100", on_pages(empty), FAILED, 0, 15, findings=cut_off)
    yield Case("the search ignores `page`", on_pages(always_page_one), INCOMPLETE, 20, 45)
    # Without total_count only has_more says whether there is more, and it says so for ever.
    yield Case("empty pages for ever behind the last one", on_pages(endless), INCOMPLETE, 100, 125, findings=cut_off)
    for size in (10, 50):
        yield Case(f"{size} authors per page", sized(size), COMPLETE, 100, 112, exit_code=0)
    yield Case("30 authors per page, the limit says 20", sized(30, limit=20), COMPLETE, 100, 112, exit_code=0)
    for name, fields in (
        ("no has_more", {"has_more": None}),
        ("the page number counts from 0", {"page": lambda call: call.page - 1}),
        ("the page number is always 1", {"page": 1}),
        ("the page number is a text", {"page": lambda call: f"{call.page}"}),
        ("total_count is missing", {"total_count": None}),
    ):
        yield Case(name, on_pages(pagination(**fields)), COMPLETE, 100, 110, exit_code=0)
    for name, edit in (("missing", no_id), ("padded", padded_id)):
        yield Case(f"star_id is {name}", authors_edited(edit), COMPLETE, 100, 105, exit_code=0)
    # The ids are right, but an id of another type is a change that the next run sees once more, the other way round.
    as_float = authors_edited(float_id)
    yield Case("star_id is a float", as_float, SUSPICIOUS, 100, 105, again_verdict=SUSPICIOUS, again_calls=PAGES)
    yield Case("a detail without its id", on_details(edited(without_id)), COMPLETE, 100, 105, exit_code=0)
    yield Case(
        "3 of 100 details are another author's",
        on_details(of_another, share=0.03),
        INCOMPLETE,
        97,
        105,
        findings=("quarantined",),
        **IN_QUARANTINE,  # type: ignore[arg-type]
    )
    yield Case("no author matches", first(0), COMPLETE, 0, 3, exit_code=0, available=0)


def detail_cases() -> Iterator[Case]:
    """The details."""
    four = {"endpoints": "base_info,marketing_info,rec_videos,video_distribution", "available": FEW}
    asks_all = {"again_stored": FEW}
    for name, fault in (
        ("fail inside (code 0)", inner_failure),
        ("fail with code 301", code(301)),
        ("are a firewall's 403 page", reply(b"<html>Forbidden</html>", 403, Content_Type="text/html")),
        ("are redirects without a body", reply(b"", 302, Location="/elsewhere")),
        ("never come", lambda _call: Reply(silence=True)),
        ("are connections that break", lambda _call: Reply(reset=True)),
    ):
        yield Case(
            f"all details of 60 authors {name}",
            together(first(FEW), on_details(fault)),
            INCOMPLETE,
            0,
            303,
            close_reason="api_failing",
            again=first(FEW),
            **four,  # type: ignore[arg-type]
            **asks_all,  # type: ignore[arg-type]
        )
    yield Case(
        "one endpoint of four fails",
        together(first(FEW), on_details(code(301), endpoint=MARKETING)),
        INCOMPLETE,
        0,
        3 + 3 * FEW + 100,
        close_reason="api_failing",  # the only endpoint with open requests
        again=first(FEW),
        again_calls=3 + FEW,
        **four,  # type: ignore[arg-type]
        **asks_all,  # type: ignore[arg-type]
    )
    yield Case("all details are refused (400)", on_details(code(400)), INCOMPLETE, 0, 305, close_reason="api_failing")
    yield Case(
        "the details of the first 40 authors are refused (400)", on_details(code(400), share=0.4), INCOMPLETE, 60, 105
    )
    for number in (404, 201, 202):
        yield Case(
            f"3 of 100 authors are unavailable ({number})",
            on_details(code(number), share=0.03),
            COMPLETE,
            97,
            105,
            exit_code=0,
            again=on_details(code(number), share=0.03),
            again_stored=97,
            again_calls=PAGES,
        )
    yield Case("20 of 100 authors are unavailable (404)", on_details(code(404), share=0.2), INCOMPLETE, 80, 105)
    yield Case(
        "one token without quota, one without a permission",
        by_token({"one-1234567": on_details(code(303)), "two-1234567": on_details(code(600))}),
        INCOMPLETE,
        0,
        15,
        close_reason="quota_exhausted",
        variables={"JUSTONEAPI_TOKEN": "one-1234567,two-1234567"},
    )
    yield Case(
        "max_calls=40",
        healthy,
        LIMITED,
        35,
        40,
        exit_code=0,
        close_reason="max_calls",
        arguments={"max_calls": 40},
        again_verdict=LIMITED,
        again_stored=70,
    )
    yield Case(
        "max_authors=40",
        healthy,
        LIMITED,
        40,
        45,
        exit_code=0,
        close_reason="max_authors",
        arguments={"max_authors": 40},
        again_verdict=LIMITED,
        again_stored=40,
    )


def wire_cases() -> Iterator[Case]:
    """The wire."""
    plain = {"verdict": COMPLETE, "stored": 100, "exit_code": 0}
    for name, change in (
        ("headers of 60 kB", answer_as(bytes, {f"X-{n}": "x" * 6_000 for n in range(10)})),
        ("a gzip label on plain text", answer_as(bytes, {"Content-Encoding": "gzip"})),
        ("the encoding `utf-8`", answer_as(bytes, {"Content-Encoding": "utf-8"})),
        ("the encoding `none`", answer_as(bytes, {"Content-Encoding": "none"})),
        ("the encoding `gzip, identity`", answer_as(gzip.compress, {"Content-Encoding": "gzip, identity"})),
        ("gzip without a label", answer_as(gzip.compress)),
        ("deflate", answer_as(zlib.compress, {"Content-Encoding": "deflate"})),
        ("success with HTTP 500", answer_as(bytes, status=500)),
    ):
        yield Case(name, on_details(change), most_calls=105, **plain)  # type: ignore[arg-type]
    yield Case(
        "3 of 100 bodies cannot be read",
        on_details(reply(b'{"code":0,"data":{"id":'), share=0.03),
        INCOMPLETE,
        97,
        108,
        findings=("quarantined",),
    )
    for name, change in (("15 MB", large), ("750,000 values", many_values)):
        fault = on_details(change, share=0.01)
        yield Case(f"one answer of {name}", fault, INCOMPLETE, 99, 105, findings=("quarantined",), **IN_QUARANTINE)  # type: ignore[arg-type]
    yield Case("HTTP 429 at first", until(20, on_details(code(429))), most_calls=200, **plain)  # type: ignore[arg-type]
    yield Case(
        "Retry-After as a moment",
        on_details(retry_after_epoch, share=0.01),
        most_calls=107,
        **plain,  # type: ignore[arg-type]
    )
    yield Case(
        "msg and control characters",
        on_details(lambda _call: {"code": 301, "msg": "no\x1b[2J\r\nERROR: " + "x" * 5_000}, share=0.02),
        INCOMPLETE,
        98,
        125,
        findings=("details_failed",),
    )


def verdict_cases() -> Iterator[Case]:
    """What is answered and looks wrong."""
    alarm = {"verdict": SUSPICIOUS, "stored": 100, "most_calls": 105}
    note = {"verdict": COMPLETE, "stored": 100, "most_calls": 105, "exit_code": 0}
    new_field = edited(lambda data: data.update(brand_new=1))
    misfit = edited(lambda data: data.update(follower="many"))
    yield Case("an unknown field in 20 % of the answers", on_details(new_field, share=0.2), **alarm)  # type: ignore[arg-type]
    yield Case("an unknown field in 2 % of the answers", on_details(new_field, share=0.02), **note)  # type: ignore[arg-type]
    yield Case("a value that does not fit in 20 %", on_details(misfit, share=0.2), **alarm)  # type: ignore[arg-type]
    yield Case("a value that does not fit in 2 %", on_details(misfit, share=0.02), **note)  # type: ignore[arg-type]
    again = {"before": True, "arguments": {"max_age": 0}}
    yield Case("a field has vanished", on_details(edited(lambda data: data.pop("follower"))), **alarm, **again)  # type: ignore[arg-type]
    yield Case(
        "hollow answers",
        on_details(hollow),
        SUSPICIOUS,
        100,
        120,
        findings=("hollow_answers",),
        **again,  # type: ignore[arg-type]
    )
    yield Case("7 authors where there were 100", first(7), SUSPICIOUS, 100, 6, before=True, findings=("collapsed",))
    yield Case("3 % fewer authors", first(97), COMPLETE, 100, 6, exit_code=0, before=True)


def refuses(collection: str) -> Change:
    """Let MongoDB refuse every write to a collection."""

    return lambda database: database.create_collection(collection, validator={"never": {"$exists": True}})


def accepts(collection: str) -> Change:
    """Let MongoDB accept every write to a collection again."""
    return lambda database: database.command("collMod", collection, validator={})


def a_week_later(database: Database[Json]) -> None:
    """Make everything that is stored a week older."""
    for name in ("sweeps", "runs", BASE_INFO, "authors", "failures"):
        for document in database[name].find():
            database[name].replace_one({"_id": document["_id"]}, _older(document))


def _older(value: Any) -> Any:
    match value:
        case datetime():
            return value - timedelta(days=7)
        case dict():
            return {name: _older(each) for name, each in value.items()}
        case list():
            return [_older(each) for each in value]
        case _:
            return value


def storage_cases() -> Iterator[Case]:
    """What MongoDB cannot take as it comes, and what has become old in it."""
    yield Case("1.5 MB beside the authors of each page", on_pages(large_page), COMPLETE, 100, 105, exit_code=0)
    for collection in ("runs", "videos", BASE_INFO):
        yield Case(
            f"MongoDB refuses writes to {collection}",
            healthy,
            NOTHING,
            0,
            0,
            exit_code=2,
            close_reason=NOTHING,
            prepare=refuses(collection),
            between=accepts(collection),
        )
    yield Case(
        "an interrupted week, continued a week later",
        healthy,
        LIMITED,
        35,
        40,
        exit_code=0,
        close_reason="max_calls",
        arguments={"max_calls": 40},
        between=a_week_later,
        again_verdict=LIMITED,
        again_stored=35,  # the same authors again, and their pages
        again_calls=40,
    )


def input_cases() -> Iterator[Case]:
    """What is wrong before the first call."""
    for name, arguments, variables in (
        ("an argument that no spider knows", {"max_cost": 50}, {}),
        ("a filter without its prefix", {"sample": 50}, {}),
        ("a reserved database", {}, {"MONGO_DATABASE": "admin"}),
        ("a host that refuses connections", {}, {"JUSTONEAPI_BASE_URL": "http://127.0.0.1:9"}),
        (
            "a proxy that is down",
            {},
            {
                "HTTPPROXY_ENABLED": "1",
                "http_proxy": "http://127.0.0.1:9",
                "JUSTONEAPI_BASE_URL": "http://api.example.com",
            },
        ),
    ):
        has_run = "JUSTONEAPI_BASE_URL" in variables
        yield Case(
            name,
            healthy,
            FAILED if has_run else NOTHING,
            0,
            0,
            exit_code=2,
            close_reason="api_unavailable" if has_run else NOTHING,
            arguments=arguments,
            variables=variables,
            again_verdict=FAILED if has_run else NOTHING,
            again_stored=0,
        )


def cases() -> list[Case]:
    """Return every case."""
    return [*search_cases(), *detail_cases(), *wire_cases(), *verdict_cases(), *storage_cases(), *input_cases()]

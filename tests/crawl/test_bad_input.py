"""Bad input ends a command with exit code 2 and one error line, before the first paid call."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pymongo import MongoClient

from tests.crawl.hostile import login_page, old_mongodb
from tests.harness import PATIENCE_S, QUICK, Finished, command, environment, run
from xingtu_crawler.sandbox.process import SandboxProcess

SQUARE, AUTHORS = ("crawl", "author_square"), ("crawl", "authors")
CHECK = "check JUSTONEAPI_BASE_URL, JUSTONEAPI_ENV and your network"
OR_EMBEDDED = "correct MONGO_URI, or unset MONGO_URI to use the embedded server."
UNSET = ""
"""An empty variable counts as unset, except for the token."""


@dataclass(frozen=True)
class Case:
    """A command, its environment, and the one error line that it must print.

    If `logged`, the line is in the log, because the crawl had begun. In all texts, `{names}` stand for the addresses
    of the servers below.
    """

    name: str
    words: tuple[str, ...]
    line: str
    env: dict[str, str] = field(default_factory=dict)
    logged: bool = False
    code: int = 2


def square(**arguments: str) -> tuple[str, ...]:
    return (*SQUARE, *(word for name, value in arguments.items() for word in ("-a", f"{name}={value}")))


def authors(**arguments: str) -> tuple[str, ...]:
    return (*AUTHORS, *(word for name, value in arguments.items() for word in ("-a", f"{name}={value}")))


PRODUCTION = {"JUSTONEAPI_ENV": "prod-global", "JUSTONEAPI_BASE_URL": UNSET}

ARGUMENTS = [
    Case("no_spider", ("crawl",), "Name one spider: scrapy crawl author_square -a …, or scrapy crawl authors -a …"),
    Case(
        "two_spiders",
        ("crawl", "authors", "author_square"),
        "scrapy crawl does not take 'author_square': run scrapy crawl -h for what it takes.",
    ),
    Case("spider", ("crawl", "author_squar"), "There is no spider 'author_squar': did you mean author_square?"),
    Case("no_such_spider", ("crawl", "videos"), "There is no spider 'videos': name one of author_square, authors."),
    Case(
        "no_option",
        ("crawl", "authors", "--max_calls=5"),
        "Unknown option --max_calls: write arguments of a spider as -a max_calls=VALUE.",
    ),
    Case(
        "feed",
        (*square(), "-s", "FEEDS={'a.jl': 5}".replace("'", '"')),
        'FEEDS cannot be read: it must be a JSON object such as {"authors.jsonl": {"format": "jsonlines"}}.',
    ),
    Case(
        "argument",
        square(platfrom="LIVE_STREAMING"),
        "Unknown argument platfrom=: did you mean platform=? To send it as a search filter anyway, write "
        "filter.platfrom=VALUE.",
    ),
    Case(
        "argument_of_no_spider",
        square(max_cost="50"),
        "Unknown argument max_cost=: did you mean max_calls=? To send it as a search filter anyway, write "
        "filter.max_cost=VALUE.",
    ),
    Case(
        "argument_without_a",
        (*SQUARE, "keyword=美食"),
        "scrapy crawl does not take 'keyword=美食': write arguments of a spider as -a keyword=美食",
    ),
    Case(
        "argument_of_authors",
        authors(star_ids="1", max_page="2"),
        "Unknown argument max_page=: did you mean max_age=?",
    ),
    Case(
        "range_upside_down",
        square(follower_range="500-100"),
        "follower_range=500-100: the minimum is larger than the maximum; write follower_range=100-500.",
    ),
    Case(
        "range_with_units",
        square(follower_range="10k-20k"),
        "follower_range=10k-20k: not min-max in whole numbers; write follower_range=10000-20000.",
    ),
    Case(
        "count",
        square(max_pages="-1"),
        "max_pages=-1: not a whole number of 1 or more; leave max_pages out for no limit.",
    ),
    Case(
        "endpoint",
        square(endpoints="price"),
        "endpoints=price: price is unknown; it must be one of base_info, marketing_info, rec_videos, "
        "video_distribution, none.",
    ),
    Case(
        "endpoints_contradict",
        square(endpoints="none,base_info"),
        "endpoints=none,base_info: none cannot be combined with others; write endpoints=none for the search alone.",
    ),
    Case(
        "star_id",
        authors(star_ids="12a"),
        "star_ids=12a: 12a is not a star id: use 1 to 20 digits, the first one not 0.",
    ),
    Case(
        "no_authors",
        authors(),
        "No authors given: add -a star_ids=ID,ID or -a star_ids_file=PATH, or select them from MongoDB with "
        "-a missing=1, -a failed=1 or -a stale=7d.",
    ),
    Case(
        "authors_twice",
        authors(star_ids="1", star_ids_file="empty"),
        "star_ids= and star_ids_file= cannot be combined: give one of them.",
    ),
    Case("empty_file", authors(star_ids_file="empty"), "empty contains no star id: write one per line."),
    Case("missing_file", authors(star_ids_file="missing"), "missing does not exist."),
    Case(
        "token_as_argument",
        square(token="S3NT1NEL"),
        "token= cannot be an argument, because arguments are logged and stored: set the environment variable "
        "JUSTONEAPI_TOKEN.",
    ),
]

SETTINGS = [
    Case(
        "no_token",
        SQUARE,
        "No token: set JUSTONEAPI_TOKEN (or JUSTONEAPI_TOKEN_FILE), or try the offline sandbox with "
        "JUSTONEAPI_ENV=sandbox.",
        PRODUCTION,
    ),
    Case(
        "empty_token",
        SQUARE,
        "JUSTONEAPI_TOKEN is set but empty: put your Just One API token there.",
        {**PRODUCTION, "JUSTONEAPI_TOKEN": ""},
    ),
    Case(
        "short_token",
        SQUARE,
        "JUSTONEAPI_TOKEN holds a token of fewer than 8 characters: copy the whole token again.",
        {**PRODUCTION, "JUSTONEAPI_TOKEN": "a-whole-token,cut"},
    ),
    Case(
        "blank_token",
        SQUARE,
        "JUSTONEAPI_TOKEN is set but empty: put your Just One API token there.",
        {"JUSTONEAPI_TOKEN": " "},
    ),
    Case(
        "token_as_setting",
        (*SQUARE, "-s", "JUSTONEAPI_TOKEN=S3NT1NEL"),
        "JUSTONEAPI_TOKEN was given as a setting, which logs and process lists show: set it in the environment, or "
        "name a file in JUSTONEAPI_TOKEN_FILE.",
    ),
    Case(
        "token_and_file",
        SQUARE,
        "JUSTONEAPI_TOKEN and JUSTONEAPI_TOKEN_FILE are both set: keep one of them.",
        {"JUSTONEAPI_TOKEN": "S3NT1NEL", "JUSTONEAPI_TOKEN_FILE": "empty"},
    ),
    Case(
        "token_file_missing",
        SQUARE,
        "JUSTONEAPI_TOKEN_FILE: cannot read missing (No such file or directory).",
        {"JUSTONEAPI_TOKEN_FILE": "missing"},
    ),
    Case(
        "token_file_not_text",
        SQUARE,
        "JUSTONEAPI_TOKEN_FILE: cannot read binary (not UTF-8 text).",
        {"JUSTONEAPI_TOKEN_FILE": "binary"},
    ),
    Case(
        "token_file_empty",
        SQUARE,
        "JUSTONEAPI_TOKEN_FILE (empty) is set but empty: put your Just One API token there.",
        {"JUSTONEAPI_TOKEN_FILE": "empty"},
    ),
    Case(
        "environment",
        SQUARE,
        "JUSTONEAPI_ENV is 'prod': it must be one of prod-global, prod-cn, sandbox.",
        {"JUSTONEAPI_ENV": "prod"},
    ),
    Case(
        "address_without_scheme",
        SQUARE,
        "JUSTONEAPI_BASE_URL is 'api.justoneapi.com': it must start with https:// (or http://).",
        {"JUSTONEAPI_BASE_URL": "api.justoneapi.com"},
    ),
    Case(
        "address_with_port",
        SQUARE,
        "JUSTONEAPI_BASE_URL is 'https://localhost:99999': write https://host or https://host:port.",
        {"JUSTONEAPI_BASE_URL": "https://localhost:99999"},
    ),
    Case(
        "address_with_token",
        SQUARE,
        "JUSTONEAPI_BASE_URL holds more than an address: write https://host or https://host:port only; put the token "
        "into JUSTONEAPI_TOKEN.",
        {"JUSTONEAPI_BASE_URL": "https://localhost/?token=S3NT1NEL"},
    ),
    Case(
        "number",
        SQUARE,
        "XINGTU_MAX_ATTEMPTS is 'abc': it must be a whole number, 1 or more.",
        {"XINGTU_MAX_ATTEMPTS": "abc"},
    ),
    Case(
        "negative_number",
        (*SQUARE, "-s", "XINGTU_MAX_RATE=-1"),
        "XINGTU_MAX_RATE is '-1': it must be a number of calls per second, 0 or more.",
    ),
    Case(
        "log_level",
        (*SQUARE, "-L", "loud"),
        "LOG_LEVEL is 'loud': it must be one of CRITICAL, ERROR, WARNING, INFO, DEBUG.",
    ),
    Case(
        "no_setting",
        (*SQUARE, "-s", "XINGTU_DAILY_CALL=100"),
        "There is no setting XINGTU_DAILY_CALL: did you mean XINGTU_DAILY_CALLS?",
    ),
    Case(
        "argument_twice",
        (*square(keyword="美食"), "-a", "keyword=美妆"),
        "keyword= is given 2 times: give it once.",
    ),
    Case(
        "log_file",
        (*SQUARE, "--logfile", "missing/x.log"),
        "The log cannot be written to missing/x.log (No such file or directory): name another file with --logfile or "
        "LOG_FILE.",
    ),
    Case(
        "log_encoding",
        (*SQUARE, "-s", "LOG_ENCODING=klingon"),
        "LOG_ENCODING is 'klingon': it must be the name of a text encoding, such as utf-8.",
    ),
    Case(
        "setting_of_scrapy",
        (*SQUARE, "-s", "CLOSESPIDER_TIMEOUT=abc"),
        "CLOSESPIDER_TIMEOUT is 'abc': it must be a number, 0 or more.",
    ),
    Case(
        "feed_with_output",
        (*SQUARE, "-s", "FEEDS=abc", "-o", "x.jsonl"),
        'FEEDS is \'abc\': it must be a JSON object such as {"authors.jsonl": {"format": "jsonlines"}}.',
    ),
    Case(
        "pid_file",
        (*SQUARE, "--pidfile", "missing/x.pid"),
        "Cannot write missing/x.pid (No such file or directory): name another file with --pidfile.",
    ),
    Case(
        "sandbox_option",
        SQUARE,
        "XINGTU_SANDBOX: unknown argument --fautl: did you mean --fault?",
        {"JUSTONEAPI_BASE_URL": UNSET, "XINGTU_SANDBOX": "--fautl 301=0.1"},
    ),
    Case(
        "sandbox_port",
        ("sandbox", "--port", "{sandbox_port}"),
        "port {sandbox_port} on 127.0.0.1 is in use: choose another one with --port (0: any free port).",
    ),
]

MONGODB = [
    Case(
        "mongodb_refuses",
        SQUARE,
        f"MongoDB at {{closed}} refused the connection: start it, {OR_EMBEDDED}",
        {"MONGO_URI": "mongodb://{closed}"},
        logged=True,
    ),
    Case(
        "mongodb_credentials",
        SQUARE,
        "MongoDB at {mongo_socket} refuses the user name or the password: correct them in MONGO_URI "
        "(percent-encode @ : / %, and add authSource=admin if the user was created there).",
        {"MONGO_URI": "mongodb://me:hunter2@{mongo}"},
        logged=True,
    ),
    Case(
        "not_a_mongodb",
        SQUARE,
        f"The server at {{html}} is not a MongoDB: {OR_EMBEDDED}",
        {"MONGO_URI": "mongodb://{html}"},
        logged=True,
    ),
    Case(
        "mongodb_too_old",
        SQUARE,
        "MongoDB at {old} is too old, 5.0 or newer is required: upgrade it, or unset MONGO_URI to use the embedded "
        "server.",
        {"MONGO_URI": "mongodb://{old}"},
        logged=True,
    ),
    Case(
        "newer_database",
        SQUARE,
        "Database {newer} was written by a newer xingtu-crawler (version 99 of the dataset; this one knows version 2): "
        "upgrade it, or name another database with MONGO_DATABASE.",
        {"MONGO_DATABASE": "{newer}"},
        logged=True,
    ),
    Case(
        "database_name",
        SQUARE,
        "MONGO_DATABASE is 'a.b', which is no name of a database: use letters, digits, _ and -.",
        {"MONGO_DATABASE": "a.b"},
    ),
    Case(
        "database_of_mongodb",
        SQUARE,
        "MONGO_DATABASE is 'admin', a database of MongoDB's own: use another name.",
        {"MONGO_DATABASE": "admin"},
    ),
]

API = [
    Case(
        "api_unknown",
        SQUARE,
        f"The API's host nonexistent.invalid is unknown: {CHECK}.",
        {"JUSTONEAPI_BASE_URL": "https://nonexistent.invalid"},
        logged=True,
    ),
    Case(
        "api_refuses",
        SQUARE,
        f"The API at {{closed}} refused the connection: {CHECK}.",
        {"JUSTONEAPI_BASE_URL": "http://{closed}"},
        logged=True,
    ),
    Case(
        "api_certificate",
        SQUARE,
        f"The TLS certificate of {{tls}} is not valid (unable to get local issuer certificate): {CHECK}; for a "
        "private certificate authority set SSL_CERT_FILE.",
        {"JUSTONEAPI_BASE_URL": "https://{tls}"},
        logged=True,
    ),
    Case(
        "api_without_tls",
        SQUARE,
        f"{{html}} does not speak TLS (WRONG_VERSION_NUMBER): {CHECK}.",
        {"JUSTONEAPI_BASE_URL": "https://{html}"},
        logged=True,
    ),
    Case(
        "api_is_a_web_page",
        SQUARE,
        "The host returns web pages instead of JSON (HTTP 200): JUSTONEAPI_BASE_URL is not the address of the API, or "
        "a proxy or login page is in the way.",
        {"JUSTONEAPI_BASE_URL": "http://{html}"},
        logged=True,
        code=1,  # only a call shows it
    ),
    Case(
        "api_is_elsewhere_on_the_host",
        SQUARE,
        "The host does not know the paths of the API (HTTP 404): JUSTONEAPI_BASE_URL is not the address of the API, or "
        "a proxy or login page is in the way.",
        {"JUSTONEAPI_BASE_URL": "{sandbox}/v2"},
        logged=True,
        code=1,
    ),
]

CASES = [*ARGUMENTS, *SETTINGS, *MONGODB, *API]


@dataclass(frozen=True)
class Bench:
    """Runs the cases, a few at a time; knows the addresses of the servers."""

    places: dict[str, str]
    sandbox: SandboxProcess
    cwd: Path
    database: str
    running: dict[str, Future[Finished]]

    def filled(self, text: str) -> str:
        for name, place in self.places.items():
            text = text.replace(f"{{{name}}}", place)
        return text

    def run(self, case: Case) -> Finished:
        env = {
            "JUSTONEAPI_ENV": "sandbox",
            "JUSTONEAPI_BASE_URL": "{sandbox}",
            "MONGO_URI": "mongodb://{mongo}",
            "MONGO_DATABASE": self.database,
            **QUICK,
            **case.env,
        }
        words = command(*(self.filled(word) for word in case.words))
        return run(words, cwd=self.cwd, env=environment(**{name: self.filled(text) for name, text in env.items()}))


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest, mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    cwd = tmp_path_factory.mktemp("bad_input")
    (cwd / "empty").write_text("\n", encoding="utf-8")
    (cwd / "binary").write_bytes(b"\xff\xfe\x00")
    with ExitStack() as stack:
        sandbox = stack.enter_context(SandboxProcess.start(["--authors", "20"]))
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # reserves the port: connections to it are refused
        mongo = mongo_uri.removeprefix("mongodb://")
        places = {
            "sandbox": sandbox.base_url,
            "sandbox_port": str(urlsplit(sandbox.base_url).port),
            "mongo": mongo,
            "mongo_socket": mongo.replace("%2F", "/"),
            "closed": f"127.0.0.1:{closed.getsockname()[1]}",
            "html": stack.enter_context(login_page()),
            "tls": stack.enter_context(login_page(tls=True)),
            "old": stack.enter_context(old_mongodb()),
            "newer": f"test_{uuid4().hex}",
        }
        client = stack.enter_context(MongoClient[dict[str, object]](mongo_uri))
        client[places["newer"]].meta.insert_one({"_id": "dataset", "version": 99})
        bench = Bench(places, sandbox, cwd, f"test_{uuid4().hex}", {})
        parameters = (item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec"))
        chosen = {case.name for case in parameters if isinstance(case, Case)}
        with ThreadPoolExecutor(3) as pool:
            bench.running.update({case.name: pool.submit(bench.run, case) for case in CASES if case.name in chosen})
            yield bench
        for name in (bench.database, places["newer"]):
            client.drop_database(name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_reported_in_one_line(case: Case, bench: Bench) -> None:
    done = bench.running[case.name].result(PATIENCE_S)
    assert done.returncode == case.code, done.stderr
    assert "Traceback" not in done.stderr
    line = bench.filled(case.line)
    if case.logged:
        (said,) = done.error_lines
        assert said.endswith(f"] ERROR: {line}")
    else:
        assert done.error_lines == [f"error: {line}"]
    assert "S3NT1NEL" not in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert bench.sandbox.ledger()["calls"] == 0


def test_scrapy_refuses_an_argument_without_a_value(tmp_path: Path) -> None:
    done = run(command(*SQUARE, "-a", "keyword"), cwd=tmp_path, env=environment(JUSTONEAPI_ENV="sandbox"))
    assert done.returncode == 2
    assert done.stderr.endswith("__main__.py: error: Invalid -a value, use -a NAME=VALUE\n")
    assert not list(tmp_path.iterdir())


def test_no_room_for_the_embedded_mongodb(tmp_path: Path) -> None:
    env = environment(JUSTONEAPI_ENV="sandbox", XINGTU_EMBEDDED_MIN_FREE=str(10**18))
    done = run(command(*SQUARE), cwd=tmp_path, env=env)
    assert done.returncode == 2
    (said,) = done.error_lines
    before, _, rest = said.partition("ERROR: Not enough disk space for MongoDB in .data/mongo (")
    assert before
    assert rest.endswith(" MB free, 1,000,000,000,000 MB required): free some space, or set MONGO_URI.")
    assert "Traceback" not in done.stderr

"""The project deployed to scrapyd: the egg, a job that succeeds, one that fails, one that is cancelled."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.harness import PATIENCE_S, QUICK, ROOT, environment, run, wait_until
from xingtu_crawler.api.secrets import fingerprint
from xingtu_crawler.sandbox.process import SandboxProcess

PROJECT = "xingtu_crawler"
SENTINEL = "SENTINEL-9f3b7c21-NEVER-SHOWN"
"""The token in the daemon's environment; anywhere else it is a leak."""
FROM_A_FILE = "SENTINEL-51d0e8aa-OF-THE-FILE"
DETAILS = ("author_base_info", "author_marketing_info", "author_rec_videos", "author_video_distribution")
NOT_DEPLOYED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "setup.py", "tests", "benchmarks", "docs"
)
CONFIGURATION = """
[scrapyd]
bind_address = 127.0.0.1
http_port = {port}
eggs_dir = eggs
logs_dir = logs
items_dir = items
dbs_dir = dbs
poll_interval = 0.1
"""


@dataclass(frozen=True, slots=True)
class Scrapyd:
    """A running scrapyd in its own folder, where it logs to `scrapyd.log`. `project` is the deployed copy."""

    folder: Path
    port: int
    project: Path

    def ask(self, method: str, path: str, **fields: object) -> str:
        """Return the body at `path`; `fields` are sent as a form."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
            connection.request(method, path, urlencode(fields, doseq=True) or None, headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        assert response.status == 200, text
        return text

    def answer(self, method: str, path: str, **fields: object) -> dict[str, Any]:
        """Return a JSON body whose status is ok."""
        answer: dict[str, Any] = json.loads(self.ask(method, path, **fields))
        assert answer["status"] == "ok", answer
        return answer

    def schedule(self, job: str, database: str, **arguments: object) -> None:
        """Schedule a crawl of `author_square` into `database`."""
        settings = [f"MONGO_DATABASE={database}"]
        fields = {"project": PROJECT, "spider": "author_square", "jobid": job, "setting": settings, **arguments}
        self.answer("POST", "/schedule.json", **fields)

    def wait_for_end(self, job: str) -> None:
        """Return once a job has ended, in whatever way."""
        wait_until(lambda: self.answer("GET", f"/status.json?job={job}")["currstate"] == "finished")

    def job_log(self, job: str) -> list[str]:
        """Return the lines of a job's log."""
        path = self.folder / "logs" / PROJECT / "author_square" / f"{job}.log"
        return path.read_text(encoding="utf-8").splitlines()

    def own_log(self) -> str:
        """Return scrapyd's own log, which also has the standard error of the jobs."""
        return (self.folder / "scrapyd.log").read_text(encoding="utf-8")

    def stop_jobs(self) -> None:
        """Cancel the jobs that a failed test has left running."""
        for job in self.answer("GET", f"/listjobs.json?project={PROJECT}")["running"]:
            self.answer("POST", "/cancel.json", project=PROJECT, job=job["id"])
            self.wait_for_end(job["id"])


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    """A sandbox that refuses the default token of the sandbox, so that the jobs need the daemon's."""
    with SandboxProcess.start(["--authors", "2000", "--token", "sandbox=invalid"]) as process:
        yield process


@pytest.fixture(scope="module")
def scrapyd(sandbox: SandboxProcess, mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrapyd]:
    """A scrapyd with the token in its environment."""
    project = tmp_path_factory.mktemp("deploy") / "project"
    folder = tmp_path_factory.mktemp("scrapyd")
    with serving(folder, project, sandbox, mongo_uri, JUSTONEAPI_TOKEN=SENTINEL) as server:
        deploy(server)
        yield server


@contextmanager
def serving(folder: Path, project: Path, sandbox: SandboxProcess, mongo_uri: str, **token: str) -> Iterator[Scrapyd]:
    """Run a scrapyd on a free port; `token` holds the variables with the token."""
    port = free_port()
    (folder / "scrapyd.conf").write_text(CONFIGURATION.format(port=port), encoding="utf-8")
    env = environment(
        JUSTONEAPI_ENV="sandbox",
        JUSTONEAPI_BASE_URL=sandbox.base_url,
        MONGO_URI=mongo_uri,
        **QUICK,
        **token,
    )
    # The jobs must run from the egg, which coverage does not measure.
    foreign = ("PYTHONPATH", "SCRAPY_SETTINGS_MODULE", "COVERAGE_")
    env = {name: value for name, value in env.items() if not name.startswith(foreign)}
    log = folder / "scrapyd.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "scrapyd"], cwd=folder, env=env, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        server = Scrapyd(folder, port, project)
        wait_until(lambda: f"Site starting on {port}" in server.own_log() or daemon.poll() is not None)
        assert daemon.poll() is None, server.own_log()
        yield server
        server.stop_jobs()
    finally:
        daemon.terminate()
        daemon.wait(PATIENCE_S)


def free_port() -> int:
    """Return an unused port on loopback; scrapyd does not accept 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def deploy(scrapyd: Scrapyd) -> None:
    """Run `scrapyd-deploy` in a copy of the project, because it writes into the tree."""
    copy = scrapyd.project
    shutil.copytree(ROOT, copy, ignore=NOT_DEPLOYED)
    configuration = (copy / "scrapy.cfg").read_text(encoding="utf-8")
    here = re.sub(r"(?m)^url\s*=.*$", f"url = http://127.0.0.1:{scrapyd.port}/", configuration)
    assert here != configuration
    (copy / "scrapy.cfg").write_text(here, encoding="utf-8")
    env = environment(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    del env["PYTHONPATH"], env["SCRAPY_SETTINGS_MODULE"]
    done = run([sys.executable, "-m", "scrapyd_client.deploy", "default", "--version", "1"], cwd=copy, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["spiders"] == 2


@pytest.fixture
def database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """An empty database for one job."""
    with MongoClient[dict[str, Any]](mongo_uri, tz_aware=True) as client:
        name = f"test_{uuid4().hex}"
        yield client[name]
        client.drop_database(name)


def test_the_egg_holds_the_whole_package_and_its_requirements(scrapyd: Scrapyd) -> None:
    wanted = {
        path.relative_to(scrapyd.project).as_posix()
        for path in (scrapyd.project / PROJECT).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(scrapyd.folder / "eggs" / PROJECT / "1.egg") as egg:
        names = {name for name in egg.namelist() if not name.endswith(".pyc")}
        requirements = egg.read("EGG-INFO/requires.txt").decode()
        entry_points = egg.read("EGG-INFO/entry_points.txt").decode()
    assert f"{PROJECT}/py.typed" in wanted
    assert {name for name in names if not name.startswith("EGG-INFO/")} == wanted
    pins = re.findall(r"(?m)^\S+==[\w.]+", (scrapyd.project / "requirements.txt").read_text(encoding="utf-8"))
    assert pins
    assert {pin.lower() for pin in pins} <= set(requirements.lower().splitlines())
    assert "settings = xingtu_crawler.settings" in entry_points


def test_a_job_fills_the_database_and_shows_the_token_nowhere(
    scrapyd: Scrapyd, sandbox: SandboxProcess, database: Database[dict[str, Any]]
) -> None:
    sandbox.control(reset_ledger=True)
    scrapyd.schedule("whole", database.name, max_authors=40)
    scrapyd.wait_for_end("whole")

    authors = {author["_id"] for author in database.authors.find()}
    assert len(authors) == 40
    for collection in DETAILS:
        assert {detail["star_id"] for detail in database[collection].find()} == authors
    ledger = sandbox.ledger()
    assert ledger["calls"] == ledger["answered"] == 2 + 40 * 4
    assert "Process finished: project='xingtu_crawler' spider='author_square' job='whole'" in scrapyd.own_log()
    assert any("Closed (max_authors)" in line for line in scrapyd.job_log("whole")[-6:])

    # scrapyd sends every job a feed for `items_dir`.
    feed = scrapyd.folder / "items" / PROJECT / "author_square" / "whole.jl"
    records = [json.loads(line) for line in feed.read_text(encoding="utf-8").splitlines()]
    for collection in ("authors", *DETAILS, "videos", "search_hits"):
        stored = {document["_id"] for document in database[collection].find({}, {"_id": 1})}
        assert {record["_id"] for record in records if record["collection"] == collection} == stored

    logs = f"/logs/{PROJECT}/author_square/"
    pages = ["/", "/jobs", "/logs/", f"/logs/{PROJECT}/", logs, f"{logs}whole.log"]
    answers = ["listprojects.json", f"listversions.json?project={PROJECT}", f"listspiders.json?project={PROJECT}"]
    answers += [f"listjobs.json?project={PROJECT}", "status.json?job=whole", "daemonstatus.json"]
    for path in [*pages, *(f"/{answer}" for answer in answers)]:
        shown = scrapyd.ask("GET", path)
        assert SENTINEL not in shown, path
        assert shown
    assert_nowhere(SENTINEL, scrapyd.folder, database)


def test_the_token_may_come_from_a_file(
    scrapyd: Scrapyd, sandbox: SandboxProcess, mongo_uri: str, database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(f"{FROM_A_FILE}\n", encoding="utf-8")
    token.chmod(0o600)
    folder = tmp_path / "scrapyd"
    shutil.copytree(scrapyd.folder / "eggs", folder / "eggs")
    with serving(folder, scrapyd.project, sandbox, mongo_uri, JUSTONEAPI_TOKEN_FILE=str(token)) as server:
        server.schedule("filed", database.name, max_authors=20, endpoints="base_info")
        server.wait_for_end("filed")
    assert "Process finished: project='xingtu_crawler' spider='author_square' job='filed'" in server.own_log()
    assert database.author_base_info.count_documents({}) == 20
    # No other token was used; the sandbox would have refused the default one.
    assert [run_record["tokens"] for run_record in database.runs.find()] == [[fingerprint(FROM_A_FILE)]]
    assert_nowhere(FROM_A_FILE, server.folder, database)


def assert_nowhere(token: str, folder: Path, database: Database[dict[str, Any]]) -> None:
    """Assert that a token is in no file of scrapyd and in no record of a run."""
    for file in folder.rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes(), file
    records = database.runs.find().to_list()
    assert records
    assert token not in str(records)


def test_a_wrong_argument_ends_the_job_with_an_exit_status_and_one_line(
    scrapyd: Scrapyd, sandbox: SandboxProcess, database: Database[dict[str, Any]]
) -> None:
    sandbox.control(reset_ledger=True)
    scrapyd.schedule("wrong", database.name, max_pages="many")
    scrapyd.wait_for_end("wrong")

    log = scrapyd.own_log()
    assert "Process died: exitstatus=2 project='xingtu_crawler' spider='author_square' job='wrong'" in log
    assert re.search(r"(?m)^\S+ \[Launcher,\d+/stderr\] error: max_pages=many: ", log)
    assert "Traceback" not in log
    assert sandbox.ledger()["calls"] == 0
    assert database.list_collection_names() == []


def test_cancelling_waits_for_calls_in_flight_and_closes_the_run(
    scrapyd: Scrapyd, sandbox: SandboxProcess, database: Database[dict[str, Any]]
) -> None:
    sandbox.control(reset_ledger=True, latency=300)
    try:
        scrapyd.schedule("cancelled", database.name)
        wait_until(lambda: sandbox.ledger()["answered"] > 20)
        assert scrapyd.answer("POST", "/cancel.json", project=PROJECT, job="cancelled")["prevstate"] == "running"
        scrapyd.wait_for_end("cancelled")
    finally:
        sandbox.control(latency=0)

    run_record = database.runs.find_one()
    assert run_record is not None
    assert (run_record["state"], run_record["close_reason"]) == ("ended", "shutdown")
    ledger = sandbox.ledger()
    answered = {name: counts["answered"] for name, counts in ledger["by_endpoint"].items()}
    details = sum(count for name, count in answered.items() if name != "search")
    assert ledger["calls"] == ledger["answered"]
    assert sum(database[collection].count_documents({}) for collection in DETAILS) == details
    assert "Process died: exitstatus=1 project='xingtu_crawler' spider='author_square' job='cancelled'" in (
        scrapyd.own_log()
    )
    assert any("Closed (shutdown)" in line for line in scrapyd.job_log("cancelled")[-6:])

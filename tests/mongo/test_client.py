"""A verified connection, or one line that says what is wrong and never holds the password."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import MongoClient, ReadPreference, WriteConcern

from tests.mongo import fakes
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.client import connect, open_database, server_of
from xingtu_crawler.mongo.embedded import find_mongod

PASSWORD = "hunter2"
OR_EMBEDDED = "correct MONGO_URI, or unset MONGO_URI to use the embedded server."
MALFORMED = (
    "MONGO_URI is not a MongoDB connection string: write it as mongodb://user:password@host:27017, with @ : / ? % in "
    "the password percent-encoded."
)


async def failure(uri: str, database: str = "xingtu", timeout: float = 5.0, *, writable: bool = True) -> str:
    with pytest.raises(StorageError) as raised:
        await connect(uri, database, timeout=timeout, writable=writable)
    text = str(raised.value)
    assert PASSWORD not in text
    assert "\n" not in text
    return text


def free_port() -> int:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port: int = closed.getsockname()[1]
        return port


@contextmanager
def mongod(directory: Path, *arguments: str | Path) -> Iterator[int]:
    """A server of its own on loopback; yields its port."""
    directory.mkdir()
    port = free_port()
    process = subprocess.Popen(
        [find_mongod(), "--dbpath", directory, "--port", str(port), "--nounixsocket", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert any("Waiting for connections" in line for line in process.stdout), "mongod did not start"
        yield port
    finally:
        process.kill()  # its data is not needed any more
        process.communicate()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server with access control and three users; yields its port."""
    with mongod(tmp_path_factory.mktemp("guarded") / "db", "--auth", "--bind_ip", "127.0.0.1") as port:
        with MongoClient[dict[str, object]]("127.0.0.1", port) as client:
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with MongoClient[dict[str, object]]("127.0.0.1", port, username="root", password=PASSWORD) as client:
            for user, role, database in [
                ("writer", "readWrite", "xingtu"),
                ("reader", "read", "xingtu"),
                ("stranger", "readWrite", "elsewhere"),
            ]:
                client.admin.command("createUser", user, pwd=PASSWORD, roles=[{"role": role, "db": database}])
        yield port


def certificate(directory: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, as mongod wants them: in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    path.write_bytes(
        built.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A server that speaks TLS only; yields its port and its certificate."""
    directory = tmp_path_factory.mktemp("encrypted")
    pem = certificate(directory)
    with mongod(directory / "db", "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", pem) as port:
        yield port, pem


# The connection works


async def test_times_are_returned_in_utc_and_writes_are_journaled(mongo_uri: str) -> None:
    client = await connect(mongo_uri, "test_client")
    try:
        assert client.write_concern == WriteConcern(w="majority", j=True)
        assert client.options.pool_options.appname == "xingtu-crawler"
        assert client.options.retry_writes
        rows = client["test_client"]["rows"]
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        identity = uuid.uuid4()
        await rows.insert_one({"_id": identity, "at": now, "a.b": {"$c": 1}})
        assert await rows.find_one({"_id": identity}) == {"_id": identity, "at": now, "a.b": {"$c": 1}}
    finally:
        await client.drop_database("test_client")
        await client.close()


async def test_the_check_creates_nothing(mongo_uri: str) -> None:
    name = f"untouched_{uuid.uuid4().hex}"
    client = await connect(mongo_uri, name)
    try:
        assert name not in await client.list_database_names()
    finally:
        await client.close()


async def test_options_of_the_uri_win(mongo_uri: str) -> None:
    client = await connect(f"{mongo_uri}/?w=1&journal=false&retryWrites=false&appName=mine&connectTimeoutMS=1234", "x")
    try:
        assert client.write_concern == WriteConcern(w=1, j=False)
        assert client.options.pool_options.appname == "mine"
        assert client.options.pool_options.connect_timeout == 1.234
        assert not client.options.retry_writes
    finally:
        await client.close()


async def test_a_user_with_readwrite_connects(guarded: int) -> None:
    client = await connect(f"mongodb://writer:{PASSWORD}@127.0.0.1:{guarded}", "xingtu")
    await client.close()


async def test_a_reader_connects_for_reading(guarded: int) -> None:
    uri = f"mongodb://reader:{PASSWORD}@127.0.0.1:{guarded}"
    client = await connect(uri, "xingtu", writable=False)
    await client.close()


async def test_tls_with_the_right_certificate(encrypted: tuple[int, Path]) -> None:
    port, pem = encrypted
    client = await connect(f"mongodb://127.0.0.1:{port}/?tls=true&tlsCAFile={quote(str(pem))}", "xingtu")
    await client.close()


async def test_one_reachable_host_of_a_replica_set_is_enough() -> None:
    port = free_port()
    primary = fakes.mongo(
        fakes.member(port, primary=True),
        buildInfo={"version": "6.0.5"},
        listCollections={"cursor": {"id": 0, "ns": "xingtu.$cmd.listCollections", "firstBatch": []}},
        update={"n": 0, "nModified": 0},
    )
    async with fakes.serving(primary, port):
        client = await connect(f"mongodb://127.0.0.1:{free_port()},127.0.0.1:{port}/?replicaSet=rs", "xingtu")
        assert client.topology_description.has_writable_server()
        await client.close()


@pytest.mark.parametrize("options", ["readPreference=secondary", "readPreference=nearest&maxStalenessSeconds=120"])
async def test_a_dataset_is_read_from_the_primary(mongo_uri: str, options: str) -> None:
    client = await connect(f"{mongo_uri}/?{options}", "test_client")
    try:
        assert client.read_preference != ReadPreference.PRIMARY
        database = open_database(client, "test_client")
        assert database.read_preference == database["rows"].read_preference == ReadPreference.PRIMARY
    finally:
        await client.close()


# There is no server


async def test_refused() -> None:
    port = free_port()
    assert await failure(f"mongodb://me:{PASSWORD}@127.0.0.1:{port}") == (
        f"MongoDB at 127.0.0.1:{port} refused the connection: start it, {OR_EMBEDDED}"
    )


async def test_refused_on_every_address_of_a_name() -> None:
    port = free_port()
    assert await failure(f"mongodb://localhost:{port}") == (
        f"MongoDB at localhost:{port} refused the connection: start it, {OR_EMBEDDED}"
    )


async def test_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "mongod.sock"
    assert await failure(f"mongodb://{quote(str(path), safe='')}") == (
        f"There is no MongoDB socket {path}: start it, {OR_EMBEDDED}"
    )


@pytest.mark.parametrize("host", ["nonexistent.invalid", f"{'x' * 70}.invalid"])
async def test_unknown_name(host: str) -> None:
    assert await failure(f"mongodb://me:{PASSWORD}@{host}:27018") == (
        f"The host name of MongoDB at {host}:27018 is unknown: {OR_EMBEDDED}"
    )


async def test_unknown_name_of_a_seed_list() -> None:
    assert await failure(f"mongodb+srv://me:{PASSWORD}@cluster.nonexistent.invalid") == (
        f"The host name of MongoDB at cluster.nonexistent.invalid is unknown: {OR_EMBEDDED}"
    )


async def test_unreachable() -> None:
    text = await failure("mongodb://255.255.255.255:27017")
    assert text.startswith("MongoDB at 255.255.255.255:27017 cannot be reached (")
    assert text.endswith(f"): check the network, {OR_EMBEDDED}")


async def test_silence() -> None:
    async with fakes.serving(fakes.never_answer) as port:
        assert await failure(f"mongodb://me:{PASSWORD}@127.0.0.1:{port}", timeout=0.5) == (
            f"MongoDB at 127.0.0.1:{port} did not answer within 0.5 s: check that it is running, {OR_EMBEDDED}"
        )


# It is another kind of server


async def test_a_web_server_that_complains() -> None:
    async with fakes.serving(fakes.bad_request) as port:
        assert await failure(f"mongodb://127.0.0.1:{port}", timeout=0.5) == (
            f"The server at 127.0.0.1:{port} is not a MongoDB: {OR_EMBEDDED}"
        )


async def test_the_web_server_of_the_standard_library() -> None:
    with fakes.http_server() as port:
        assert await failure(f"mongodb://127.0.0.1:{port}", timeout=0.5) == (
            f"The server at 127.0.0.1:{port} is not a MongoDB: {OR_EMBEDDED}"
        )


async def test_it_hangs_up() -> None:
    async with fakes.serving(fakes.hang_up) as port:
        assert await failure(f"mongodb://127.0.0.1:{port}", timeout=0.5) == (
            f"MongoDB at 127.0.0.1:{port} closed the connection without a reply: add tls=true to MONGO_URI if it "
            f"requires TLS, {OR_EMBEDDED}"
        )


# PyMongo does not speak to a server before 4.4, so that its version stays unknown.
@pytest.mark.parametrize(("wire_version", "found"), [(6, "is too old"), (8, "is too old"), (9, "is version 4.4.29")])
async def test_too_old(wire_version: int, found: str) -> None:
    server = fakes.mongo(fakes.standalone(wire_version), buildInfo={"version": "4.4.29"})
    async with fakes.serving(server) as port:
        assert await failure(f"mongodb://127.0.0.1:{port}") == (
            f"MongoDB at 127.0.0.1:{port} {found}, 5.0 or newer is required: upgrade it, or unset MONGO_URI to use the "
            "embedded server."
        )


async def test_a_replica_set_without_a_primary() -> None:
    port = free_port()
    async with fakes.serving(fakes.mongo(fakes.member(port, primary=False)), port):
        assert await failure(f"mongodb://127.0.0.1:{port}", timeout=0.5) == (
            f"MongoDB at 127.0.0.1:{port} has no primary that accepts writes: check the replica set, or {OR_EMBEDDED}"
        )


# The user lacks rights


async def test_wrong_password(guarded: int) -> None:
    assert await failure(f"mongodb://writer:not-{PASSWORD}@127.0.0.1:{guarded}") == (
        f"MongoDB at 127.0.0.1:{guarded} refuses the user name or the password: correct them in MONGO_URI "
        "(percent-encode @ : / %, and add authSource=admin if the user was created there)."
    )


async def test_no_password(guarded: int) -> None:
    assert await failure(f"mongodb://127.0.0.1:{guarded}") == (
        f"MongoDB at 127.0.0.1:{guarded} requires a user name and a password: put them into MONGO_URI "
        "(mongodb://user:password@host:port)."
    )


@pytest.mark.parametrize(("user", "writable"), [("reader", True), ("stranger", True), ("stranger", False)])
async def test_no_rights(guarded: int, user: str, writable: bool) -> None:
    assert await failure(f"mongodb://{user}:{PASSWORD}@127.0.0.1:{guarded}", writable=writable) == (
        f"The user of MONGO_URI lacks rights on database 'xingtu' of MongoDB at 127.0.0.1:{guarded}: grant it the role "
        "readWrite there, or correct MONGO_DATABASE."
    )


# TLS


async def test_a_self_signed_certificate(encrypted: tuple[int, Path]) -> None:
    port, _ = encrypted
    assert await failure(f"mongodb://127.0.0.1:{port}/?tls=true", timeout=1.0) == (
        f"TLS with MongoDB at 127.0.0.1:{port} failed (certificate verify failed: self-signed certificate): correct "
        "tls, tlsCAFile or the host name in MONGO_URI."
    )


async def test_a_certificate_for_another_name(encrypted: tuple[int, Path]) -> None:
    port, pem = encrypted
    text = await failure(f"mongodb://localhost:{port}/?tls=true&tlsCAFile={quote(str(pem))}", timeout=1.0)
    assert text.startswith(f"TLS with MongoDB at localhost:{port} failed (certificate verify failed: Hostname mismatch")
    assert text.endswith("): correct tls, tlsCAFile or the host name in MONGO_URI.")


async def test_a_connection_without_tls_to_a_server_that_requires_it(encrypted: tuple[int, Path]) -> None:
    port, _ = encrypted
    assert "add tls=true to MONGO_URI" in await failure(f"mongodb://127.0.0.1:{port}", timeout=1.0)


async def test_a_tls_connection_to_a_server_without_tls(guarded: int) -> None:
    text = await failure(f"mongodb://127.0.0.1:{guarded}/?tls=true", timeout=1.0)
    assert text.startswith(f"TLS with MongoDB at 127.0.0.1:{guarded} failed")


# MONGO_URI is wrong


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "mongodb://",
        "http://127.0.0.1",
        "mongodb://127.0.0.1:99999",
        "mongodb://127.0.0.1:port",
        "mongodb://[::1",
        "mongodb://me@127.0.0.1/?authMechanism=SCRAM-SHA-256",
        f"mongodb://me:p@{PASSWORD}@127.0.0.1",
        f"mongodb://me:p/{PASSWORD}@127.0.0.1",
        f"mongodb://me:1?{PASSWORD}@127.0.0.1",
        f"mongodb://me:%zz{PASSWORD}@127.0.0.1",
        f"mongodb+srv://me:{PASSWORD}@cluster.example.invalid:27017",
    ],
)
async def test_malformed(uri: str) -> None:
    assert await failure(uri) == MALFORMED


@pytest.mark.parametrize("option", ["tls=maybe", "tsl=true", "serverSelectionTimeoutMS=soon", "authMechanism=MAGIC"])
async def test_an_option_that_pymongo_would_ignore(option: str) -> None:
    name = option.partition("=")[0].lower()
    assert await failure(f"mongodb://me:{PASSWORD}@127.0.0.1/?{option}") == (
        f"The option {name!r} of MONGO_URI is unknown or has an invalid value: correct it, or remove it."
    )


async def test_unacknowledged_writes() -> None:
    assert await failure("mongodb://127.0.0.1/?w=0") == (
        "MONGO_URI has w=0, with which documents can be lost without an error: remove it."
    )


async def test_a_certificate_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    assert await failure(f"mongodb://127.0.0.1/?tls=true&tlsCAFile={quote(str(path))}") == (
        f"The file {path} in MONGO_URI cannot be read (No such file or directory): correct its path."
    )


async def test_a_certificate_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("not a certificate", encoding="ascii")
    assert await failure(f"mongodb://127.0.0.1/?tls=true&tlsCAFile={quote(str(path))}") == (
        "A certificate file in MONGO_URI is not a PEM file: correct its path."
    )


@settings(max_examples=150, deadline=None)
@given(before=st.text("@:/?%#[],=&12a ", max_size=4), after=st.text("@:/?%#[],=&12a ", max_size=4))
def test_no_message_holds_the_password_however_it_is_mistyped(before: str, after: str) -> None:
    # The user has the name of the host, so that a URI that is parsed wrongly still has no other host than loopback.
    uri = f"mongodb://127.0.0.1:{before}{PASSWORD}{after}@127.0.0.1:{free_port()}/"
    asyncio.run(failure(uri, timeout=0.2))


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        (None, "embedded"),
        ("mongodb://localhost:27017", "localhost"),
        ("mongodb://user:p%40ss@DB2:27018,db1/xingtu?w=1&replicaSet=rs0", "db1,db2:27018,rs0"),
        ("mongodb+srv://user:pass@cluster.example.net/?retryWrites=true", "cluster.example.net"),
        ("mongodb://%2Ftmp%2Fmongod.sock", "%2ftmp%2fmongod.sock"),
        ("mongodb://user:pa/ss@host", ""),
        ("mongodb://" + ",".join(f"db{number}.example.net" for number in range(9)), "4e74760cf92ea9f9"),
    ],
)
def test_a_server_has_a_name_without_a_password(uri: str | None, server: str) -> None:
    assert server_of(uri) == server

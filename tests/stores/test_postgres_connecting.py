"""How a PostgreSQL store is reached: TLS, passwords, poolers, what is missing; and what of it is told to whom."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from postgres_server import PASSWORD, QUOTED, PostgresServer, migrated, needs_postgres, until

from dovetail.stores import PostgresStore, StoreError, StoreUnavailable, StreamEnded
from dovetail.stores.postgres import executor
from dovetail.testing.bus_contract import Hearing, nothing
from dovetail.testing.store_contract import VirtualClock, a_session, a_task

SCHEMA = "connecting"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this machine that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that speaks TLS as well."""
    server = PostgresServer(settings=("ssl = on", "ssl_cert_file = 'own.crt'", "ssl_key_file = 'own.key'"))
    try:
        for path in certificate(server.data, "own"):
            path.chmod(0o600)
            if server.user is not None:
                shutil.chown(path, server.user)
        certificate(server.folder, "other")
        server.start()
        asyncio.run(migrated(server, SCHEMA))
        yield server
    finally:
        server.remove()


@needs_postgres
async def test_tls_is_asked_for_in_the_url(server: PostgresServer) -> None:
    plain = server.url.partition("?")[0]
    own = server.folder / "own.crt"
    own.write_bytes((server.data / "own.crt").read_bytes())
    async with aclosing(
        PostgresStore(f"{plain}?sslmode=verify-full&sslrootcert={own}", schema=SCHEMA)
    ) as store:
        await store.kv.set("a", b"1")
        assert server.sql("SELECT count(*) > 0 FROM pg_stat_ssl WHERE ssl AND version >= 'TLSv1.2'") == "t"
    wrong = f"{plain}?sslmode=verify-full&sslrootcert={server.folder / 'other.crt'}"
    async with aclosing(PostgresStore(wrong, schema=SCHEMA)) as store:
        with pytest.raises(StoreUnavailable, match="reached"):
            await store.kv.get("a")


@needs_postgres
async def test_a_wrong_password_is_said_and_not_shown(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for old, new, told in (
            (QUOTED, "not-the-one", "password"),
            ("owner:", "nobody:", "28P01"),
            ("/postgres?", "/missing?", "Create the database"),
            ("sslmode=disable", "sslmode=perhaps", "sslmode"),
        ):
            async with aclosing(PostgresStore(server.url.replace(old, new), schema=SCHEMA)) as store:
                with pytest.raises(StoreUnavailable, match=told) as caught:
                    await store.kv.get("a")
                for secret in ("not-the-one", QUOTED, PASSWORD):
                    assert secret not in str(caught.value)
                    assert secret not in repr(store._executor.engine)
    assert PASSWORD not in caplog.text


@needs_postgres
async def test_ids_and_values_reach_no_log(server: PostgresServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither ours nor the engine's, whatever fails."""
    secret = "not-to-be-told"
    with caplog.at_level(logging.DEBUG):
        async with aclosing(PostgresStore(server.url, schema=SCHEMA, timeout=1.0)) as store:
            await store.sessions.create(a_session(secret, principal=secret))
            await store.tasks.create(a_task(secret, owner=secret, queue=secret), max_unended=9)
            await store.events.append(secret, secret.encode())
            await store.events.close(secret)
            with pytest.raises(StreamEnded):
                await store.events.append(secret, b"")
            server.sql(f"ALTER TABLE {SCHEMA}.kv ADD CONSTRAINT small CHECK (length(value) < 10)")
            try:
                for doing in (
                    store.tasks.create(a_task(secret, owner=secret), max_unended=9),
                    store.tasks.create(a_task(secret + "2", owner=secret), max_unended=1),
                    store.kv.set(secret, secret.encode()),
                    store.bus.listen("\0" + secret, nothing),
                ):
                    with pytest.raises(StoreError) as caught:
                        await doing
                    assert secret not in str(caught.value)
                    assert caught.value.__cause__ is None
            finally:
                server.sql(f"ALTER TABLE {SCHEMA}.kv DROP CONSTRAINT small")
            await store.sessions.delete(secret)
    assert secret not in caplog.text


@pytest.mark.parametrize("url", ["mysql://x", "localhost:5432", "", "postgres"])
def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        PostgresStore(url)


def test_bounds_of_its_own_are_checked() -> None:
    url = "postgresql://localhost/x"
    for wrong in ({"schema": 'x"; DROP'}, {"timeout": 0.0}, {"connections": 0}):
        with pytest.raises(ValueError, match=r"schema|timeout|connection"):
            PostgresStore(url, **wrong)  # pyright: ignore[reportArgumentType] - one of each kind


def test_the_extra_is_named_where_it_is_missing() -> None:
    code = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from dovetail.stores import PostgresStore\n"
        "try: PostgresStore('postgresql://localhost/x')\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "dovetail[postgres]" in done.stdout
    code = "import sys, dovetail.stores as s; s.PostgresStore; sys.exit('asyncpg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_postgres
async def test_connections_are_bounded_and_let_go(server: PostgresServer) -> None:
    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dovetail'"
    async with aclosing(PostgresStore(server.url, schema=SCHEMA, connections=2)) as store:
        await asyncio.gather(
            *(store.kv.set(f"{number}", b"x") for number in range(500)),
            *(store.events.append(f"{number}", b"x") for number in range(500)),
            *(store.kv.get(f"{number}") for number in range(500)),
        )
        assert 1 <= int(server.sql(mine)) <= 2

        async def elsewhere() -> None:
            await store.kv.get("1")

        await asyncio.gather(*(asyncio.to_thread(asyncio.run, elsewhere()) for _ in range(4)))
        await until(lambda: int(server.sql(mine)) <= 2)
    await until(lambda: server.sql(mine) == "0")


@needs_postgres
async def test_a_server_without_room_for_more_connections_is_shared(server: PostgresServer) -> None:
    async with aclosing(PostgresStore(server.url, schema=SCHEMA)) as store:
        await store.kv.set("a", b"1")
        server.sql("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 2")
        server.sql(
            f"GRANT USAGE ON SCHEMA {SCHEMA} TO few; GRANT ALL ON ALL TABLES IN SCHEMA {SCHEMA} TO few"
        )
        url = server.url.replace(f"owner:{QUOTED}", "few:few")
        async with aclosing(PostgresStore(url, schema=SCHEMA)) as narrow:
            for _ in range(3):
                outcomes = await asyncio.gather(
                    *(narrow.kv.get("a") for _ in range(70)),
                    *(narrow.sessions.load("a") for _ in range(70)),
                    return_exceptions=True,
                )
                assert set(outcomes) == {b"1", None}


@needs_postgres
async def test_what_has_expired_is_swept(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await migrated(server, "swept")
    monkeypatch.setattr(executor, "SWEEP_EVERY", 0.0)
    clock = VirtualClock()
    async with aclosing(PostgresStore(server.url, schema="swept", clock=clock)) as store:
        view = store.kv.within("one/", share=0.25)
        for start in range(0, 200, 50):
            await asyncio.gather(*(view.set(f"{start + n}", b"", ttl=10) for n in range(50)))
            await asyncio.gather(*(store.events.append(f"{start + n}", b"") for n in range(50)))
            await store.sessions.create(a_session(f"{start}"))
            await store.tasks.create(a_task(f"{start}", expires=clock() + 10), max_unended=9)
            await store.bus.publish("news", b"x" * 10_000)
            clock.advance(1_000)
        clock.advance(86_400)
        for number in range(4):
            await store.kv.set("a", b"%d" % number)
    counts = "SELECT " + ", ".join(
        f"(SELECT count(*) FROM swept.{table})"
        for table in ("kv", "session", "stream", "event", "message", "task")
    )
    assert server.sql(counts) == "1|0|0|0|0|0"
    assert server.sql("SELECT coalesce(sum(bytes), 0) FROM swept.kv_used") == "0"


@needs_postgres
async def test_keys_of_any_length_and_letter(server: PostgresServer) -> None:
    key = "\U0010ffff" * 512
    async with aclosing(PostgresStore(server.url, schema=SCHEMA)) as store:
        await store.kv.set(key, b"\0" * 1_000_000)
        assert await store.kv.get(key) == b"\0" * 1_000_000
        await store.tasks.create(a_task(key, owner=key, queue=key), max_unended=1)
        (held,) = await store.tasks.claim(key, {key: 1}, limit=1, lease=30)
        assert await store.tasks.record(key, key, b"", holder=key)
        assert await store.tasks.list(key) == [held]
        assert await store.tasks.delete(key)
        await store.sessions.create(a_session(key, principal=key))
        assert await store.sessions.count(key) == 1
        assert await store.events.append(key, b"") == 1
        assert await store.events.drop_prefix(key[:511]) == 1
        assert await store.sessions.delete(key)
        assert await store.kv.delete(key)


@needs_postgres
async def test_a_forked_process_connects_anew(server: PostgresServer) -> None:
    async with aclosing(PostgresStore(server.url, schema=SCHEMA)) as store:
        await store.kv.set("a", b"1")
        code = (
            "import asyncio, os, sys\n"
            "from dovetail.stores import PostgresStore\n"
            "store = PostgresStore(sys.argv[1], schema=sys.argv[2])\n"
            "async def use(value):\n"
            "    await store.kv.set('a', value)\n"
            "    assert await store.kv.get('a') == value\n"
            "async def main():\n"
            "    await use(b'parent')\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        os._exit(await_child())\n"
            "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
            "    await use(b'parent again')\n"
            "    await store.aclose()\n"
            "def await_child():\n"
            "    asyncio.events._set_running_loop(None)\n"
            "    asyncio.run(use(b'child'))\n"
            "    return 0\n"
            "asyncio.run(main())\n"
        )
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, server.url, SCHEMA],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert await store.kv.get("a") == b"parent again"


BOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")


@pytest.fixture
def pooler(server: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """The URL of a PgBouncer in transaction mode before the server."""
    if BOUNCER is None:
        pytest.skip("no-pgbouncer: the machine has no PgBouncer to put before a PostgreSQL")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = server.folder / "pooler"
    folder.mkdir(exist_ok=True)
    (folder / "users").write_text(f'"owner" "{PASSWORD}"\n')
    (folder / "ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={server.port} user=owner password='{PASSWORD}'\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
        f"auth_file = {folder / 'users'}\npool_mode = transaction\ndefault_pool_size = 3\n"
    )
    user = server.user or pwd.getpwuid(os.geteuid()).pw_name
    for each in (folder, folder / "users", folder / "ini"):
        shutil.chown(each, user)
    process = subprocess.Popen(
        ["setpriv", f"--reuid={user}", "--clear-groups", BOUNCER, "-q", str(folder / "ini")]
        if server.user
        else [BOUNCER, "-q", str(folder / "ini")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + 30
    while True:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.02)
    try:
        yield server.url.replace(f":{server.port}/", f":{port}/")
    finally:
        process.kill()
        process.wait()


@needs_postgres
async def test_a_pooler_in_transaction_mode_works_and_the_bus_says_why_not(
    server: PostgresServer, pooler: str
) -> None:
    """It is found out by itself. Few processes of the engine serve many connections, taking turns."""
    await migrated(server, "pooled")
    async with (
        aclosing(PostgresStore(pooler, schema="pooled", connections=8)) as store,
        aclosing(PostgresStore(pooler, schema="pooled", connections=8, listen_url=server.url)) as peer,
    ):
        bundles = (store, peer)
        for turn in range(20):
            await store.kv.set("prize", b"prize")
            taken = await asyncio.gather(*(each.kv.take("prize") for _ in range(20) for each in bundles))
            assert taken.count(b"prize") == 1
            await asyncio.gather(
                *(each.events.append("s", b"%d" % turn) for each in bundles),
                *(each.sessions.load("s") for each in bundles),
                *(each.kv.get("prize") for each in bundles),
            )
        assert await store.events.last("s") == 40
        await asyncio.gather(
            *(store.tasks.create(a_task(f"{n}", owner=f"o{n % 3}"), max_unended=99) for n in range(60))
        )
        pages = await asyncio.gather(
            *(each.tasks.claim(f"w{n}", {"q": 50}, limit=4, lease=30) for n in range(20) for each in bundles)
        )
        taken = [record for page in pages for record in page]
        assert len({record.id for record in taken}) == len(taken) == 50
        done = await asyncio.gather(
            *(each.tasks.update(record, expected_version=1) for record in taken for each in bundles)
        )
        assert sum(record is not None for record in done) == 50, "one of the two"
        with pytest.raises(StoreUnavailable, match="listen_url"):
            await store.bus.listen("news", nothing)
        hearing = Hearing()
        await peer.bus.listen("news", hearing)
        await store.bus.publish("news", b"x" * 20_000)
        await store.bus.publish("news", b"y")
        assert await hearing.count(2) == [b"x" * 20_000, b"y"]

"""Ways to a Redis server: TLS, users and their rights, unix sockets, clusters, databases; and what can't be used."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis_server import RedisServer, free_port, need_redis, running_server

from dovetail.stores import RedisStore, StoreUnavailable
from dovetail.testing.bus_contract import Hearing
from dovetail.testing.store_contract import (
    CONTRACT_BOUNDS,
    SharedStoreContract,
    StoreContract,
    VirtualClock,
    a_session,
    a_task,
)


def certify(folder: Path) -> None:
    """Make a certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "public.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "private.pem").write_bytes(private)


async def test_tls(tmp_path: Path) -> None:
    need_redis()
    certs, port = tmp_path / "certs", free_port()
    certify(certs)
    server = RedisServer(
        tmp_path / "redis",
        f"tls-port {port}",
        f"tls-cert-file {certs}/public.pem",
        f"tls-key-file {certs}/private.pem",
        "tls-auth-clients no",
        port=0,
    ).start()
    try:
        good = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certs}/public.pem"
        async with aclosing(RedisStore(good)) as store:
            hearing = Hearing()
            await store.bus.listen("news", hearing)
            await store.kv.set("a", b"x" * 1_000_000)
            await store.bus.publish("news", b"there")
            assert await store.kv.get("a") == b"x" * 1_000_000
            await hearing.count(1)
        async with aclosing(RedisStore(f"rediss://127.0.0.1:{port}/0")) as stranger:
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
                await stranger.kv.get("a")
        async with aclosing(RedisStore(good.replace("127.0.0.1", "localhost"))) as other_name:
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate|hostname"):
                await other_name.kv.get("a")
        async with aclosing(RedisStore(f"redis://127.0.0.1:{port}/0", timeout=2)) as plain:
            with pytest.raises(StoreUnavailable):
                await plain.kv.get("a")
    finally:
        server.kill()


PAGE = Path(__file__).parents[2] / "docs" / "storing.md"


def rights() -> str:
    """What the page about stores tells operators to give to the user of a store."""
    found = re.search(r"`(~\{NAMESPACE[^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1].replace("NAMESPACE", "dovetail")


async def test_users_and_their_rights(tmp_path: Path) -> None:
    need_redis()
    server = RedisServer(
        tmp_path / "redis",
        "user default off",
        f"user good on >it%27s/se:cret@ {rights()}",
        "user poor on >poor ~other:* &other:* +@all",
    ).start()
    try:
        at = f"127.0.0.1:{server.port}"
        async with aclosing(RedisStore(f"redis://good:it%2527s%2Fse%3Acret%40@{at}/0")) as store:
            hearing = Hearing()
            await store.bus.listen("news", hearing)
            await store.kv.set("a", b"1", ttl=10)
            await store.kv.within("b/", share=0.5).set("c", b"1")
            assert [key async for key in store.kv.scan()] == ["a", "b/c"]
            await store.sessions.create(a_session(principal="anonymous"))
            assert await store.sessions.touch("s")
            assert await store.sessions.delete("s")
            await store.events.keep("s/1", [b"1", b"2"])
            assert len(await store.events.read("s/1", 0)) == 2
            assert await store.events.drop_prefix("s/") == 1
            await store.tasks.create(a_task(expires=1e10), max_unended=1)
            (held,) = await store.tasks.claim("w", {"q": 1}, limit=5, lease=30)
            assert await store.tasks.record("t", "step", b"1", holder="w")
            assert await store.tasks.renew("w", ["t"], lease=30) == {"t"}
            assert await store.tasks.next_due(["q"]) is not None
            assert await store.tasks.update(held, expected_version=1) is not None
            assert [each.id for each in await store.tasks.list("alice", after=(0.0, "s"))] == ["t"]
            assert await store.tasks.recorded("t") == {"step": b"1"}
            assert await store.tasks.delete("t")
            assert await store.tasks.count() == 0
            await store.bus.publish("news", b"x")
            await hearing.count(1)
        for url in (
            f"redis://good:wrong-se-cret@{at}/0",
            f"redis://nobody:wrong-se-cret@{at}/0",
            f"redis://{at}/0",
        ):
            async with aclosing(RedisStore(url)) as store:
                for call in (store.kv.get("a"), store.bus.listen("news", Hearing())):
                    with pytest.raises(StoreUnavailable, match="password") as caught:
                        await call
                    assert "se-cret" not in repr(caught.value)
                    assert not caught.value.uncertain
        async with aclosing(RedisStore(f"redis://poor:poor@{at}/0")) as store:
            for call in (
                store.kv.get("a"),
                store.bus.publish("news", b""),
                store.bus.listen("news", Hearing()),
            ):
                with pytest.raises(StoreUnavailable, match="ACL"):
                    await call
    finally:
        server.kill()


async def test_a_unix_socket_and_databases_apart(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for server in running_server(tmp_path / "redis", f"unixsocket {path}"):
        async with (
            aclosing(RedisStore(f"unix://{path}?db=1")) as one,
            aclosing(RedisStore(f"redis://127.0.0.1:{server.port}/2")) as two,
            aclosing(RedisStore(f"redis://127.0.0.1:{server.port}/1", namespace="other")) as three,
            aclosing(RedisStore(f"redis://127.0.0.1:{server.port}/1")) as same,
        ):
            heard = {store: Hearing() for store in (one, two, three, same)}
            for store, hearing in heard.items():
                await store.bus.listen("news", hearing)
            await one.kv.set("a", b"1")
            assert [await store.kv.get("a") for store in heard] == [b"1", None, None, b"1"]
            for number, store in enumerate(heard):
                await store.bus.publish("news", b"%d" % number)
            await heard[one].count(2)
            await heard[same].count(2)
            assert [await hearing.count(1) for hearing in heard.values()] == [
                [b"0", b"3"],
                [b"1"],
                [b"2"],
                [b"0", b"3"],
            ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://host",
        "redis://user:se/cret@host:6379",
        "redis://user:se#cret@host",
        "redis://host?x=se-cret",
    ],
)
def test_what_is_no_url_of_a_server_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="can't be read") as caught:
        RedisStore(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": -1}, {"connections": 0}, {"namespace": ""}, {"namespace": "{a}"}]
)
def test_what_can_not_be_used_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Redis store needs|namespace has"):
        RedisStore("redis://host", **options)


def test_the_driver_is_loaded_when_it_is_used_and_missed_by_name() -> None:
    code = """
import sys
from dovetail.stores import RedisStore
assert "redis" not in sys.modules
sys.modules["redis"] = None
sys.modules["redis.asyncio"] = None
try:
    RedisStore("redis://host")
except ImportError as error:
    assert "dovetail[redis]" in str(error), error
else:
    sys.exit("it needs nothing")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class Cluster:
    """Three nodes that have a third of the slots each."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [
            RedisServer(
                folder / f"{number}",
                "cluster-enabled yes",
                "cluster-config-file nodes.conf",
                "cluster-node-timeout 2000",
                f"cluster-port {free_port()}",
            )
            for number in range(3)
        ]

    async def start(self) -> None:
        """Start them, let them meet, and wait until all of them know of all slots."""
        for node in self.nodes:
            await asyncio.to_thread(node.start)
        share = 16_384 // 3 + 1
        for number, node in enumerate(self.nodes):
            first, last = number * share, min((number + 1) * share, 16_384) - 1
            assert node.command("CLUSTER", "ADDSLOTSRANGE", f"{first}", f"{last}") == b"+OK\r\n"
            bus = next(option.split()[1] for option in node.options if option.startswith("cluster-port"))
            assert self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", f"{node.port}", bus) == b"+OK\r\n"
        async with asyncio.timeout(40):
            for node in self.nodes:
                while b"cluster_state:ok" not in node.command("CLUSTER", "INFO"):  # noqa: ASYNC110 - of others
                    await asyncio.sleep(0.02)

    def kill(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need_redis()
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        cluster.kill()


class TestRedisCluster(StoreContract, SharedStoreContract):
    """The contract on a real cluster, each of two stores with another node in its URL."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def advance(self, clock: VirtualClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    async def store(self, cluster: Cluster, clock: VirtualClock) -> AsyncIterator[RedisStore]:
        for node in cluster.nodes:
            assert node.command("FLUSHALL") == b"+OK\r\n"
        async with aclosing(RedisStore(cluster.nodes[0].url, bounds=CONTRACT_BOUNDS, clock=clock)) as store:
            yield store

    @pytest.fixture
    async def peer(self, cluster: Cluster, clock: VirtualClock) -> AsyncIterator[RedisStore]:
        async with aclosing(RedisStore(cluster.nodes[1].url, bounds=CONTRACT_BOUNDS, clock=clock)) as store:
            yield store


async def test_the_parts_of_a_store_are_on_several_nodes(cluster: Cluster) -> None:
    async with aclosing(RedisStore(cluster.nodes[2].url, namespace="d")) as store:
        await store.kv.set("a", b"1")
        await store.sessions.create(a_session())
        await store.events.append("s", b"1")
    holding = [node.command("DBSIZE") != b":0\r\n" for node in cluster.nodes]
    assert sum(holding) >= 2


async def test_a_part_is_found_again_after_its_slot_moved(cluster: Cluster) -> None:
    async with aclosing(RedisStore(cluster.nodes[0].url)) as store:
        await store.kv.delete("a")
        for node in cluster.nodes:
            node.command("FLUSHALL")
        slot = int(cluster.nodes[0].command("CLUSTER", "KEYSLOT", "{dovetail:kv}").strip(b":\r\n"))
        ids = [node.command("CLUSTER", "MYID").split(b"\r\n")[1] for node in cluster.nodes]
        owner = next(
            number
            for number, node in enumerate(cluster.nodes)
            if not node.command("GET", "{dovetail:kv}").startswith(b"-MOVED")
        )
        for target in (0, 1, 2):
            # Who had it is told first, and who gets it last: in between nobody else claims it.
            order = sorted(range(3), key=lambda number: (number == target, number != owner))
            owner = target
            for node in (cluster.nodes[number] for number in order):
                assert node.command("CLUSTER", "SETSLOT", f"{slot}", "NODE", ids[target]) == b"+OK\r\n"
            await store.kv.set("a", b"%d" % target)
            assert await store.kv.get("a") == b"%d" % target
            for node in cluster.nodes:
                node.command("FLUSHALL")

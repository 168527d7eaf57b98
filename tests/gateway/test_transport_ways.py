"""The ways to an upstream: TLS, names with several addresses, IPv6, proxies."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import pytest
from transport_peers import (
    CERTIFICATE,
    OK,
    Counting,
    body_of,
    eventually,
    get,
    peer,
    run,
    transport,
)

from glasslipper.gateway.transport import Origin
from glasslipper.kernel.errors import (
    SetupMissing,
    UpstreamUnreachable,
)


def serving_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def test_tls_holds_for_a_certificate_that_the_environment_trusts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        counting = Counting()
        async with peer(counting, ssl=serving_tls()) as origin:
            monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
            async with transport() as it:
                for _ in range(3):
                    assert await body_of(it, origin, body=b"x" * 100_000) == b"ok"
                assert counting.opened == 1
            await eventually(lambda: counting.closed == 1)

    run(main())


def test_tls_fails_for_a_certificate_that_nobody_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with peer(Counting(), ssl=serving_tls()) as origin:
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            monkeypatch.delenv("SSL_CERT_DIR", raising=False)
            async with transport() as it:
                with pytest.raises(UpstreamUnreachable, match="certificate") as caught:
                    await get(it, origin)
                assert "SSL_CERT_FILE" in caught.value.hint

    run(main())


def test_a_name_is_tried_at_all_its_addresses() -> None:
    async def main() -> None:
        async with peer(Counting()) as origin, transport() as it:
            assert await body_of(it, origin._replace(host="localhost")) == b"ok"

    run(main())


def test_ipv6_hosts_are_reached() -> None:
    async def main() -> None:
        async with peer(Counting(), host="::1") as origin, transport() as it:
            assert await body_of(it, origin) == b"ok"

    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    run(main())


class ProxyPeer:
    """A forward proxy: answers absolute requests itself, and joins tunnels."""

    def __init__(self, refusal: bytes = b"") -> None:
        self.heads: list[bytes] = []
        self._refusal = refusal

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        if self._refusal or method != b"CONNECT":
            writer.write(self._refusal or OK)
            await reader.read()
            return
        host, port = target.decode().split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))

    @staticmethod
    async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


def test_a_proxy_is_asked_for_the_whole_url_and_told_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        proxy = ProxyPeer()
        async with peer(proxy) as at, transport() as it:
            monkeypatch.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{at.port}")
            monkeypatch.setenv("no_proxy", "elsewhere.example")
            far = Origin("http", "far.example", 80)
            assert await body_of(it, far, target=b"/v1/x") == b"ok"
            assert proxy.heads[0].startswith(
                b"POST http://far.example/v1/x HTTP/1.1\r\nhost: far.example\r\n"
            )
            assert b"\r\nproxy-authorization: Basic bWU6cEBzcw==\r\n" in proxy.heads[0]

    run(main())


def test_a_proxy_tunnels_tls_and_cannot_see_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        proxy, counting = ProxyPeer(), Counting()
        async with peer(counting, ssl=serving_tls()) as origin, peer(proxy) as at:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{at.port}")
            monkeypatch.setenv("no_proxy", "")
            monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
            async with transport() as it:
                for _ in range(2):
                    key = [(b"authorization", b"Bearer secret")]
                    assert await body_of(it, origin, headers=key) == b"ok"
            where = f"127.0.0.1:{origin.port}".encode()
            expected = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (where, where)
            assert proxy.heads == [expected]
            assert counting.asked == 2

    run(main())


def test_a_proxy_that_refuses_is_told_and_one_of_another_kind_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monkeypatch.setenv("no_proxy", "")
        refusing = ProxyPeer(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
        far = Origin("https", "far.example", 443)
        async with peer(refusing) as at, transport() as it:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{at.port}")
            with pytest.raises(UpstreamUnreachable, match="407 Who are you"):
                await get(it, far)
        async with transport() as it:
            monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
            with pytest.raises(SetupMissing, match="socks5"):
                await get(it, far)

    run(main())


def test_hosts_in_no_proxy_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with peer(Counting()) as origin, transport() as it:
            monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert await body_of(it, origin) == b"ok"

    run(main())

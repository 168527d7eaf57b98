"""The heads of HTTP/1.1 messages: a request's is written here, an answer's read.

Writing refuses whatever could make one request look like two, or its body longer or shorter
than it is: the fields that frame a message are written here and nowhere else. Reading is lazy,
because most answers are asked for one field or none; it trusts that `httptools` has accepted
the head, which means CRLF line ends, no folded lines and no field without a colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple, TypeVar, overload
from urllib.parse import urlsplit

from glasslipper.kernel.errors import InvalidRequest

_T = TypeVar("_T")

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"/[\x21-\x22\x24-\x7e]*")
_HOST = re.compile(r"[0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+(%[0-9A-Za-z._~-]+)?\]")
_FRAMING = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KNOWN_NAMES_MAX = 4096
_NUL, _LF, _CR = b"\0\n\r"

_known_names: set[bytes] = set()
_name_of = itemgetter(0)
_as_line = b": ".join


class Origin(NamedTuple):
    """Where requests go: scheme, host (an IPv6 address without brackets) and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> tuple[Origin, str]:
        """Split a base URL into its origin and its path, without a slash at the end.

        Raises:
            InvalidRequest: It is not an http or https URL with a host, or it carries a user,
                a query or a fragment.

        >>> Origin.parse("https://api.example.com/v1/")
        (Origin(scheme='https', host='api.example.com', port=443), '/v1')
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _DEFAULT_PORTS[parts.scheme]
            host = (parts.hostname or "").encode("idna" if "[" not in url else "ascii").decode()
        except (ValueError, KeyError) as error:
            raise InvalidRequest(f"not an http or https URL: {url!r}") from error
        path = parts.path.rstrip("/")
        if (
            not _HOST.fullmatch(f"[{host}]" if ":" in host else host)
            or not url.isprintable()
            or parts.username is not None
            or parts.query
            or parts.fragment
            or (path and not _TARGET.fullmatch(path.encode()))
        ):
            raise InvalidRequest(f"not the plain base URL of a service: {url!r}")
        return cls(parts.scheme, host, port), path

    @property
    def authority(self) -> str:
        """Host and port as the Host field names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def request_head(
    origin: Origin,
    method: bytes,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    prefix: bytes = b"",
    size_bytes: int,
) -> bytes:
    """Return the head of a request whose body has `size_bytes`.

    `prefix` goes before the target: the origin itself, for a proxy that wants the whole URL.

    Raises:
        InvalidRequest: The method, the target or a header cannot be sent without changing
            what else is sent.
    """
    if not _known_names.issuperset(map(_name_of, headers)):
        _learn_names(headers)
    opening = _opening(origin, method, target, prefix)
    length = b"content-length: %d\r\n\r\n" % size_bytes
    head = b"\r\n".join([opening, *map(_as_line, headers), length])
    # Whatever was slipped into a value shows as a line end more than there are lines.
    line_ends = len(headers) + 4
    if head.count(_LF) != line_ends or head.count(_CR) != line_ends or _NUL in head:
        raise InvalidRequest("a header value contains a line break or a NUL")
    return head


@lru_cache(maxsize=1024)
def _opening(origin: Origin, method: bytes, target: bytes, prefix: bytes) -> bytes:
    if not _TOKEN.fullmatch(method) or method in (b"HEAD", b"CONNECT"):
        raise InvalidRequest(f"not a method that can be sent: {method!r}")
    if not _TARGET.fullmatch(target):
        raise InvalidRequest(f"not a request target: {target!r}")
    host = origin.authority.encode("ascii")
    return b"%b %b%b HTTP/1.1\r\nhost: %b" % (method, prefix, target, host)


def _learn_names(headers: Sequence[tuple[bytes, bytes]]) -> None:
    for name, _value in headers:
        if not _TOKEN.fullmatch(name):
            raise InvalidRequest(f"not a header name: {name!r}")
        if name.lower() in _FRAMING:
            raise InvalidRequest(f"the header {name.decode()!r} is not the caller's to set")
    if len(_known_names) < _KNOWN_NAMES_MAX:
        _known_names.update(map(_name_of, headers))


class Headers(Mapping[bytes, bytes]):
    """An answer's header fields by lower-case name; repeated ones are joined by a comma."""

    __slots__ = ("_lower", "_raw")

    def __init__(self, head: bytes) -> None:
        """Take the bytes that begin with the head; interim (1xx) heads before it are skipped."""
        start = _final_head(head)
        self._raw = head[head.index(b"\r\n", start) : head.index(b"\r\n\r\n", start) + 2]
        self._lower = self._raw.lower()

    def __getitem__(self, name: bytes) -> bytes:
        """Return the value, without white space around it."""
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    @overload
    def get(self, key: bytes, default: None = None, /) -> bytes | None: ...
    @overload
    def get(self, key: bytes, default: bytes | _T, /) -> bytes | _T: ...
    def get(self, key: bytes, default: bytes | _T | None = None, /) -> bytes | _T | None:
        """Return the value, or `default` if there is no such field."""
        needle = b"\r\n%b:" % key
        at = self._lower.find(needle)
        if at < 0:
            return default
        values: list[bytes] = []
        while at >= 0:
            start = at + len(needle)
            end = self._raw.find(b"\r\n", start)
            values.append(self._raw[start:end].strip(b" \t"))
            at = self._lower.find(needle, end)
        return values[0] if len(values) == 1 else b", ".join(values)

    @property
    def size_bytes(self) -> int:
        """How long the fields are, with their names and line ends."""
        return len(self._raw)

    def __iter__(self) -> Iterator[bytes]:
        """Yield each name once, in the order of arrival."""
        lines = self._lower.split(b"\r\n")[1:-1]
        return iter(dict.fromkeys(line[: line.index(b":")] for line in lines))

    def __len__(self) -> int:
        """Count the distinct names."""
        return sum(1 for _name in self)


def _final_head(head: bytes) -> int:
    start = 0
    while True:
        while head.startswith(b"\r\n", start):
            start += 2
        if head[start + 9 : start + 10] != b"1":
            return start
        start = head.index(b"\r\n\r\n", start) + 4

"""Our own HTTP/1.1 client for calling upstreams: the gateway's hottest path.

pool         keeps idle connections, sends requests, enforces limits
connection   one connection, and the exchange on it
heads        what goes before a body, read and written safely
reply        an answer that is being read
dial         names, proxies and TLS
"""

from glasslipper.gateway.transport.connection import Timeouts
from glasslipper.gateway.transport.heads import Origin
from glasslipper.gateway.transport.pool import Lane, Transport
from glasslipper.gateway.transport.reply import Pushed, Reply

__all__ = ["Lane", "Origin", "Pushed", "Reply", "Timeouts", "Transport"]

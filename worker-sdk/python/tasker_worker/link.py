"""The connection to NATS: made again for ever, with jitter."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg

from .limits import (
    CLOSED_CHECK_INTERVAL,
    CONNECT_TIMEOUT,
    FLUSH_TIMEOUT,
    PENDING_BYTES_MAX,
    PING_INTERVAL,
    PINGS_OUTSTANDING_MAX,
    RECONNECT_WAIT_FIRST,
    RECONNECT_WAIT_MAX,
)
from .log import facts
from .settings import without_secrets

log = logging.getLogger("tasker_worker")


class Link:
    """One subject in, any subject out, on whichever server is there.

    Each connection is a new nats-py client with its own reconnecting switched
    off: that one gives up on authorization errors and on some server errors,
    and replays what it buffered. Here nothing need be buffered, because the
    session keeps every fact until it is acknowledged; so what cannot be
    published now is dropped, and there is one way to come up, first or later.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        name: str,
        subject: str,
        on_message: Callable[[Msg], Awaitable[None]],
        on_up: Callable[[], None],
    ) -> None:
        self._urls = urls
        self._name = name
        self._subject = subject
        self._on_message = on_message
        self._on_up = on_up
        self._client: Client | None = None
        self._closed = asyncio.Event()
        self._last_error: Exception | None = None
        self._leaving = False

    @property
    def is_up(self) -> bool:
        """True while messages can be published."""
        return self._client is not None and self._client.is_connected

    @property
    def message_bytes_max(self) -> int:
        """The server's limit for one message; nats-py's default before the first connection."""
        return self._client.max_payload if self._client is not None else 1024 * 1024

    async def run(self) -> None:
        """Connects, and connects again, until it is closed or cancelled."""
        wait = RECONNECT_WAIT_FIRST
        while True:
            for url in random.sample(self._urls, len(self._urls)):
                if await self._connect(url):
                    wait = RECONNECT_WAIT_FIRST
                    self._on_up()
                    await self._until_closed()
                    if self._leaving:
                        # Whoever closed the link also ends this task; there is nothing left to do here.
                        await asyncio.get_running_loop().create_future()
                    log.warning("lost the connection to nats; connecting again", extra=facts(reason=self._reason()))
                    break
            await asyncio.sleep(random.uniform(0, wait))
            wait = min(wait * 2, RECONNECT_WAIT_MAX)

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> bool:
        """Hands a message to the socket's buffer; False if it could not, and is gone."""
        client = self._client
        if client is None or not client.is_connected:
            return False
        try:
            await client.publish(subject, payload, reply)
            return True
        except Exception as error:
            # nats-py raises its own errors and those of the socket; all mean the same here.
            log.warning("could not publish", extra=facts(subject=subject, bytes=len(payload), reason=repr(error)))
            return False

    async def close(self) -> None:
        """Sends what is buffered and disconnects; returns within the flush timeout."""
        self._leaving = True
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if client.is_connected:
                await client.flush(timeout=int(FLUSH_TIMEOUT))
        except Exception as error:
            log.warning("could not flush before leaving", extra=facts(reason=repr(error)))
        await _close(client)

    async def _connect(self, url: str) -> bool:
        client = Client()
        self._closed.clear()
        self._last_error = None
        try:
            await asyncio.wait_for(
                client.connect(
                    servers=[url],
                    name=self._name,
                    allow_reconnect=False,
                    # One more try at once, then it raises; the waiting is done in `run`.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=int(CONNECT_TIMEOUT),
                    ping_interval=PING_INTERVAL,
                    max_outstanding_pings=PINGS_OUTSTANDING_MAX,
                    pending_size=PENDING_BYTES_MAX,
                    flush_timeout=FLUSH_TIMEOUT,
                    # No right to `_INBOX.>` is needed.
                    inbox_prefix=self._subject,
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    **credentials(url),  # type: ignore[arg-type]
                ),
                # Two tries and the handshake.
                CONNECT_TIMEOUT * 3,
            )
            await client.subscribe(self._subject, cb=self._on_message)
            # The server must know the subscription before it can hear of us.
            await client.flush(timeout=int(FLUSH_TIMEOUT))
        except asyncio.CancelledError:
            await _close(client)
            raise
        except Exception as error:
            await _close(client)
            # "no servers available" says less than what happened at the one server.
            reason = repr(self._last_error or error)
            log.warning("cannot connect to nats; trying again", extra=facts(server=without_secrets(url), reason=reason))
            return False
        self._client = client
        log.info("connected to nats", extra=facts(server=without_secrets(url)))
        return True

    async def _until_closed(self) -> None:
        while self._client is not None and not self._client.is_closed:
            try:
                await asyncio.wait_for(self._closed.wait(), CLOSED_CHECK_INTERVAL)
                break
            except asyncio.TimeoutError:
                # nats-py skips its callback if the socket fails while it closes.
                continue

    def _reason(self) -> str:
        error = self._last_error or (self._client.last_error if self._client else None)
        return repr(error) if error else "closed by the server"

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if "permissions violation" in str(error).lower():
            # The connection stays up, but something this worker needs is not allowed.
            log.error("nats refuses a subject to this worker; check its permissions", extra=facts(reason=str(error)))
        else:
            log.debug("nats reports an error", extra=facts(reason=repr(error)))

    async def _on_closed(self) -> None:
        self._closed.set()


async def _close(client: Client) -> None:
    try:
        await asyncio.wait_for(client.close(), FLUSH_TIMEOUT)
    except Exception as error:
        log.debug("the old connection did not close cleanly", extra=facts(reason=repr(error)))


def credentials(url: str) -> dict[str, str]:
    """User and password, or token, of an address, percent-decoded, which nats-py does not do."""
    parsed = urlsplit(url if "://" in url else f"nats://{url}")
    if parsed.username is None:
        return {}
    if parsed.password is None:
        return {"token": unquote(parsed.username)}
    return {"user": unquote(parsed.username), "password": unquote(parsed.password)}

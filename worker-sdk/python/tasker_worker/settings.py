"""Where a worker lives and how much it takes: arguments first, then the environment."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .errors import ConfigurationError
from .limits import DRAIN_TIMEOUT, LABEL_BYTES_MAX, LABELS_MAX, SLOTS_DEFAULT, SLOTS_MAX

NATS_URL_DEFAULT = "nats://127.0.0.1:7422"

#: 16 random bytes, 22 characters of base64url: nobody meets a session by chance.
_SESSION_BYTES = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_CAPABILITY = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)
_CAPABILITY_LENGTH_MAX = 128


def is_token(text: str) -> bool:
    """One NATS subject token of the names that may stand in our subjects."""
    return _TOKEN.fullmatch(text) is not None


def is_capability(name: str) -> bool:
    """Dotted lower-case words: ``payment.charge``."""
    return len(name) <= _CAPABILITY_LENGTH_MAX and _CAPABILITY.fullmatch(name) is not None


def new_session() -> str:
    """A session name that no other process will choose."""
    return secrets.token_urlsafe(_SESSION_BYTES)


@dataclass(frozen=True)
class Settings:
    """Checked once, at the start; ``nats_urls`` has at least one entry."""

    system: str
    nats_urls: tuple[str, ...]
    namespace: str
    prefix: str
    slots: int
    drain_timeout: float
    log_level: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        system: str,
        *,
        slots: int | None = None,
        nats_url: str | None = None,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        drain_timeout: float = DRAIN_TIMEOUT,
        environment: Mapping[str, str] | None = None,
    ) -> Settings:
        """Reads what the program did not say from the environment.

        Raises ConfigurationError with the name of the setting and what would be right.
        """
        variables = os.environ if environment is None else environment

        def variable(name: str, default: str) -> str:
            return variables.get(name) or default

        if slots is None:
            text = variable("TASKER_SLOTS", str(SLOTS_DEFAULT))
            try:
                slots = int(text)
            except ValueError:
                raise ConfigurationError("TASKER_SLOTS", f"`{text}` is not a number") from None
        if not 1 <= slots <= SLOTS_MAX:
            raise ConfigurationError("slots", f"{slots} is not between 1 and {SLOTS_MAX}")
        if not 0 <= drain_timeout < float("inf"):
            raise ConfigurationError("drain_timeout", f"{drain_timeout} is not a number of seconds")
        urls = tuple(url.strip() for url in (nats_url or variable("TASKER_NATS_URL", NATS_URL_DEFAULT)).split(",") if url.strip())
        if not urls:
            raise ConfigurationError("TASKER_NATS_URL", "names no server")
        for url in urls:
            _check_url(url)
        settings = cls(
            system=system,
            nats_urls=urls,
            namespace=namespace or variable("TASKER_NAMESPACE", "default"),
            prefix=variable("TASKER_SUBJECT_PREFIX", "tasker"),
            slots=slots,
            drain_timeout=drain_timeout,
            log_level=variable("TASKER_LOG_LEVEL", "info").lower(),
            labels=_labels(labels or {}, variable("TASKER_LABELS", "")),
        )
        for what, value in (("namespace", settings.namespace), ("system", settings.system)):
            if not is_token(value):
                raise ConfigurationError(what, f"`{value}` is not 1 to 64 characters of A-Z a-z 0-9 _ -")
        if not all(is_token(part) for part in settings.prefix.split(".")):
            raise ConfigurationError("TASKER_SUBJECT_PREFIX", f"`{settings.prefix}` is not a NATS subject without wildcards")
        if settings.log_level not in ("debug", "info", "warn", "error"):
            raise ConfigurationError("TASKER_LOG_LEVEL", f"`{settings.log_level}` is not one of debug, info, warn, error")
        return settings


def _labels(said: Mapping[str, str], text: str) -> dict[str, str]:
    """The labels of the environment, ``region=eu,gpu=none``, and over them those of the program."""
    labels = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, found, value = pair.partition("=")
        if not found:
            raise ConfigurationError("TASKER_LABELS", f"`{pair}` is not `name=value`")
        labels[name.strip()] = value.strip()
    labels.update(said)
    if len(labels) > LABELS_MAX:
        raise ConfigurationError("labels", f"{len(labels)} are given; at most {LABELS_MAX} are accepted")
    for name, value in labels.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise ConfigurationError("labels", f"{name!r}: names and values are text")
        if not 1 <= len(name.encode()) <= LABEL_BYTES_MAX or len(value.encode()) > LABEL_BYTES_MAX:
            raise ConfigurationError("labels", f"`{name}`: a name has 1 to {LABEL_BYTES_MAX} bytes, a value up to {LABEL_BYTES_MAX}")
    return labels


def without_secrets(url: str) -> str:
    """A server's address as it may be shown."""
    return url.rsplit("@", 1)[-1]


def _check_url(url: str) -> None:
    shown = without_secrets(url)
    try:
        parsed = urlsplit(url if "://" in url else f"nats://{url}")
        usable = bool(parsed.hostname) and parsed.port != 0
    except ValueError as error:
        raise ConfigurationError("TASKER_NATS_URL", f"`{shown}` is no address: {error}") from None
    if not usable or parsed.scheme not in ("nats", "tls", "ws", "wss"):
        raise ConfigurationError("TASKER_NATS_URL", f"`{shown}` is no address like `nats://host:4222` (or tls, ws, wss)")


class Subjects:
    """The subjects of one session."""

    def __init__(self, settings: Settings, session: str) -> None:
        base = f"{settings.prefix}.v1.{settings.namespace}.{settings.system}"
        self.hello = f"{base}.hello"
        self.poll = f"{base}.poll"
        self.beat = f"{base}.beat"
        self.to = f"{base}.to.{session}"
        self._reply = f"{base}.reply."

    def reply(self, shard: int) -> str:
        """The subject of the owner of a shard."""
        return f"{self._reply}{shard}"

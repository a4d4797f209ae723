"""Carbon intensities of the hour, asked for over the network. Loaded by `--carbon-live` only.

Great Britain is asked for at the UK's Carbon Intensity API, anywhere else at Electricity Maps, with the token in
ELECTRICITYMAPS_TOKEN. What is sent: the location, the half hour, the token. A question that fails is told as a
warning and has no answer, so that the table is asked next; the reading's note then names the table.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from queue import Empty, SimpleQueue
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from attrs import define, field, frozen

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.interruption import block_signals
from harness.plugins.carbon_table import canonical

_log = logging.getLogger(__name__)

# Seconds for a connection or for what is read from it, and for a whole answer.
_TIMEOUT, _DEADLINE = 5.0, 10.0
# How long an answer is used again [s]: providers tell no more than one value for half an hour.
_FRESH = 1800.0
# How long a provider that failed is left alone [s]: a window must not wait for each of its moments.
_PAUSE = 300.0
_MOST_BYTES = 1 << 20
_MOST_ANSWERS = 100
# No provider publishes an error bar: a convention, with no measurement behind it.
LIVE_SPREAD = 0.1
# How far from the moment asked for a value may be: Electricity Maps tells each hour's once it is over.
_NEAR = datetime.timedelta(hours=2)
# Beyond its last 24 hours the free plan of Electricity Maps has no history.
_LATEST = datetime.timedelta(hours=1)
_STAMP = "%Y-%m-%dT%H:%MZ"
# What the reading of an answer in another form than is documented raises.
_NO_VALUE = (ValueError, LookupError, TypeError, AttributeError, StopIteration)

Answer = Mapping[str, Any]


@frozen
class UkCarbon:
    """The Carbon Intensity API of Great Britain: half hours, the past too, no token.

    `request` raises HarnessError for settings that cannot work, `read` one of `_NO_VALUE` where a document tells none.
    """

    environment: Mapping[str, str]
    name: str = "UK Carbon Intensity API"

    def request(self, code: str, when: datetime.datetime, now: datetime.datetime) -> Request:
        base = _base(self.environment, "HARNESS_UKCARBON_URL", "https://api.carbonintensity.org.uk")
        begin = when.replace(minute=when.minute // 30 * 30)
        end = begin + datetime.timedelta(minutes=30)
        return Request(f"{base}/intensity/{begin:{_STAMP}}/{end:{_STAMP}}")  # noqa: S310 (see _base)

    def read(self, document: Any, code: str, when: datetime.datetime) -> Answer:
        stamp = when.strftime(_STAMP)
        told = next(one["intensity"] for one in document["data"] if one["from"] <= stamp < one["to"])
        # The actual value of a half hour comes only after it.
        sampled = told.get("actual") is not None
        source = self.name if sampled else f"{self.name} (forecast)"
        return _answer(told["actual"] if sampled else told["forecast"], source, sampled)


@frozen
class ElectricityMaps:
    """Electricity Maps: hours of nearly every country, the last day at most, with a token.

    `request` raises HarnessError for settings that cannot work, `read` one of `_NO_VALUE` where a document tells none.
    """

    environment: Mapping[str, str]
    name: str = "Electricity Maps"

    def request(self, code: str, when: datetime.datetime, now: datetime.datetime) -> Request:
        base = _base(self.environment, "HARNESS_ELECTRICITYMAPS_URL", "https://api.electricitymaps.com/v3")
        what = "latest" if now - when < _LATEST else "history"
        # For a zone that it does not know it would take the one that the request seems to come from.
        query = urlencode({"zone": code, "disableCallerLookup": "true"})
        url = f"{base}/carbon-intensity/{what}?{query}"
        return Request(url, headers={"auth-token": self._token(code)})  # noqa: S310 (see _base)

    def _token(self, code: str) -> str:
        token = self.environment.get("ELECTRICITYMAPS_TOKEN", "").strip()
        if token and token.isascii() and token.isprintable():
            return token
        raise HarnessError(
            f"--carbon-live asks Electricity Maps for {code!r}, which takes a token; set ELECTRICITYMAPS_TOKEN, or "
            f"leave --carbon-live out for the mean of a year"
        )

    def read(self, document: Any, code: str, when: datetime.datetime) -> Answer:
        if document["zone"] != code:
            raise ValueError(f"it answered for {document['zone']!r}")
        values = [(abs(_moment(one["datetime"]) - when), one) for one in document.get("history", [document])]
        away, told = min(values, key=lambda value: value[0])
        if away > _NEAR:
            raise ValueError(f"its nearest value is {away} away from {when:{_STAMP}}")
        sampled = told.get("isEstimated") is not True
        return _answer(told["carbonIntensity"], self.name if sampled else f"{self.name} (estimated)", sampled)


Provider = UkCarbon | ElectricityMaps


@define
class Live:
    """Asks the providers, keeps their answers for half an hour, and leaves one that failed alone for a while.

    Answers are kept in memory, so each worker asks anew. *environment* holds the token and, for tests and proxies,
    HARNESS_UKCARBON_URL and HARNESS_ELECTRICITYMAPS_URL.
    """

    environment: Mapping[str, str]
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc)
    _documents: dict[str, tuple[float, Any]] = field(factory=dict, init=False)
    _paused: dict[str, float] = field(factory=dict, init=False)
    _told: set[tuple[str, str]] = field(factory=set, init=False)

    def intensity(self, location: str | None, when: datetime.datetime | None) -> Answer | None:
        """Return the intensity at *location* and *when*, None where it cannot be had.

        For *when* None nobody is asked. Raises HarnessError for a token or an address that is missing or wrong.
        """
        if location is None:
            return None

        code = canonical(location)
        provider = UkCarbon(self.environment) if code == "GB" else ElectricityMaps(self.environment)
        request = provider.request(code, when or self.now(), self.now())
        if when is None:
            return {"source": provider.name}

        document = self._document(provider, request, code)
        try:
            return None if document is None else provider.read(document, code, when)
        except _NO_VALUE as error:
            self._warn(provider, code, error)
            return None

    def _document(self, provider: Provider, request: Request, code: str) -> Any:
        """Return what *provider* answers *request* with, now or a short while ago; None where it does not."""
        asked, document = self._documents.get(request.full_url, (-math.inf, None))
        now = time.monotonic()
        if now - asked < _FRESH:
            return document
        if now < self._paused.get(provider.name, -math.inf):
            return None

        try:
            document = _fetch(request)
        except (OSError, HTTPException, ValueError) as error:
            self._paused[provider.name] = now + _PAUSE
            self._warn(provider, code, error)
            return None
        if len(self._documents) >= _MOST_ANSWERS:
            del self._documents[next(iter(self._documents))]
        self._documents[request.full_url] = (now, document)
        return document

    def _warn(self, provider: Provider, code: str, error: Exception) -> None:
        """Tell, once for each provider and place, that there was no answer."""
        if (provider.name, code) in self._told:
            return
        self._told.add((provider.name, code))
        what = f"{type(error).__name__}: {error}"
        _log.warning("%s tells no carbon intensity at %s (%s); the next plugin is asked", provider.name, code, what)


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirection: it would hand the token on to another host."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _fetch(request: Request) -> Any:
    """Return the JSON that *request* is answered with; raises OSError or ValueError where it is none or too long."""
    # In a thread, since a timeout of the socket is for each read: names and headers that drip in would never be over.
    answers: SimpleQueue[bytes | BaseException] = SimpleQueue()
    threading.Thread(target=_put_answer, args=(request, answers), name="harness-carbon", daemon=True).start()
    try:
        answer = answers.get(timeout=_DEADLINE)
    except Empty:
        raise TimeoutError(f"there is no whole answer after {_DEADLINE:g} s") from None
    if isinstance(answer, BaseException):
        raise answer

    return json.loads(answer)


def _put_answer(request: Request, answers: SimpleQueue[bytes | BaseException]) -> None:
    block_signals()
    try:
        answers.put(_read(request))
    except BaseException as error:
        if isinstance(error, HTTPError):
            error.close()  # it is a response too
        answers.put(error)


def _read(request: Request) -> bytes:
    """Return what *request* is answered with."""
    direct = [ProxyHandler({})] if _is_loopback(urlsplit(request.full_url).hostname) else []
    content = b""
    end = time.monotonic() + _DEADLINE
    with build_opener(_NoRedirect, *direct).open(request, timeout=_TIMEOUT) as response:
        while part := response.read1(_MOST_BYTES):
            content += part
            if len(content) > _MOST_BYTES:
                raise ValueError(f"the answer is longer than {_MOST_BYTES} bytes")
            if time.monotonic() > end:
                break  # nobody waits for it any more
    return content


def _base(environment: Mapping[str, str], name: str, usual: str) -> str:
    """Return the address that *environment* has as *name*; raises HarnessError unless it is https or loopback."""
    base = environment.get(name) or usual
    parts = urlsplit(base)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        raise HarnessError(f"{name} must be an address that begins with https://, is {base!r}")
    return base.rstrip("/")


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def _answer(grams: Any, source: str, sampled: bool) -> Answer:
    if not isinstance(grams, (int, float)) or isinstance(grams, bool) or not (math.isfinite(grams) and grams >= 0):
        raise ValueError(f"{grams!r} is no carbon intensity")
    return {"grams_per_kwh": grams, "uncertainty": LIVE_SPREAD * grams, "source": source, "sampled": sampled}


_live = Live(os.environ)


@hookimpl
def harness_carbon_intensity(location: str | None, when: datetime.datetime | None) -> Answer | None:
    return _live.intensity(location, when)

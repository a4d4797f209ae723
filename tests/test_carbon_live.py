"""Carbon intensities over the network: what is asked, what is made of the answers, and that nobody is asked unbidden.

The providers are a server on this machine's loopback.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.plugins import carbon_live
from harness.plugins.carbon_live import LIVE_SPREAD, Live
from harness.plugins_loader import PluginChoice, load_plugins

NOON = datetime.datetime(2026, 5, 4, 12, 10, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)


class Provider:
    """A server that answers every question with `status`, `content` and `headers`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.status = 200
        self.content: Any = {}
        self.headers: dict[str, str] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append((self.path, self.headers.get("auth-token")))
                body = (
                    provider.content if isinstance(provider.content, bytes) else json.dumps(provider.content).encode()
                )
                self.send_response(provider.status)
                for name, value in provider.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def live(self, token: str | None = "secret", now: datetime.datetime = NOON) -> Live:
        environment = {"HARNESS_UKCARBON_URL": self.url, "HARNESS_ELECTRICITYMAPS_URL": f"{self.url}/v3/"}
        return Live(environment | ({} if token is None else {"ELECTRICITYMAPS_TOKEN": token}), lambda: now)


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.close()


def half_hours(*intensities: dict[str, Any]) -> dict[str, Any]:
    """What the UK's API answers: one half hour after the other, the last from 12:00."""
    times = [f"{hour:02}:{minute:02}" for hour in (11, 12) for minute in (0, 30)][3 - len(intensities) : 3]
    ends = ["11:30", "12:00", "12:30"][3 - len(intensities) :]
    rows = zip(times, ends, intensities, strict=True)
    day = "2026-05-04T"
    return {"data": [{"from": f"{day}{a}Z", "to": f"{day}{b}Z", "intensity": told} for a, b, told in rows]}


def zone(code: str, *values: tuple[str, float], **more: Any) -> dict[str, Any]:
    """What Electricity Maps answers: the latest value, or with several their history."""
    told = [{"zone": code, "datetime": f"2026-05-{time}:00.000Z", "carbonIntensity": grams} for time, grams in values]
    return (told[0] if len(told) == 1 else {"zone": code, "history": told}) | more


def test_great_britain_is_asked_for_by_half_hour_without_a_token(provider: Provider) -> None:
    provider.content = half_hours({"forecast": 90, "actual": 99}, {"forecast": 110, "actual": 120})
    answer = provider.live(token=None).intensity("GB", NOON)

    assert [("/intensity/2026-05-04T12:00Z/2026-05-04T12:30Z", None)] == provider.asked
    assert {
        "grams_per_kwh": 120,
        "uncertainty": LIVE_SPREAD * 120,
        "source": "UK Carbon Intensity API",
        "sampled": True,
    } == answer


def test_a_forecast_is_no_sample(provider: Provider) -> None:
    provider.content = half_hours({"forecast": 110, "actual": None})
    answer = provider.live().intensity("gbr", NOON)

    assert answer is not None
    assert (110, "UK Carbon Intensity API (forecast)", False) == tuple(
        answer[name] for name in ("grams_per_kwh", "source", "sampled")
    )


def test_other_places_are_asked_for_with_the_token_and_never_by_address(provider: Provider) -> None:
    provider.content = zone("DK-DK1", ("04T12:00", 150))
    answer = provider.live().intensity("dk-dk1", NOON)

    assert [("/v3/carbon-intensity/latest?zone=DK-DK1&disableCallerLookup=true", "secret")] == provider.asked
    assert answer is not None
    assert (150, "Electricity Maps", True) == tuple(answer[name] for name in ("grams_per_kwh", "source", "sampled"))


def test_an_estimate_is_no_sample(provider: Provider) -> None:
    provider.content = zone("FR", ("04T12:00", 50), isEstimated=True)
    answer = provider.live().intensity("FR", NOON)

    assert answer is not None
    assert ("Electricity Maps (estimated)", False) == (answer["source"], answer["sampled"])


def test_hours_that_are_past_are_taken_from_the_history(provider: Provider) -> None:
    provider.content = zone("FR", ("04T08:00", 40), ("04T09:00", 55), ("04T10:00", 70))
    answer = provider.live().intensity("FR", NOON - 3 * HOUR)

    assert "/v3/carbon-intensity/history?zone=FR&disableCallerLookup=true" == provider.asked[0][0]
    assert answer is not None
    assert 55 == answer["grams_per_kwh"]


def test_one_answer_serves_the_half_hour(provider: Provider) -> None:
    provider.content = half_hours({"forecast": 110, "actual": 120})
    live = provider.live()

    assert live.intensity("GB", NOON) == live.intensity("GB", NOON + datetime.timedelta(minutes=15))
    assert 1 == len(provider.asked)


def test_whether_a_place_is_known_is_answered_without_asking(provider: Provider) -> None:
    assert {"source": "Electricity Maps"} == provider.live().intensity("FR", None)
    assert {"source": "UK Carbon Intensity API"} == provider.live().intensity("GB", None)
    assert provider.live().intensity(None, NOON) is None
    assert [] == provider.asked


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (500, {}, "HTTPError: HTTP Error 500"),
        (404, {"error": "no such zone"}, "HTTPError: HTTP Error 404"),
        (200, b"<html>", "JSONDecodeError"),
        (200, b"[" + b"1," * (1 << 20), "the answer is longer than"),
        (200, {}, "KeyError: 'zone'"),
        (200, [], "TypeError"),
        (200, zone("DE", ("04T12:00", 300)), "it answered for 'DE'"),
        (200, zone("FR", ("04T02:00", 50)), "its nearest value is 10:10:00 away"),
        (200, zone("FR", ("04T12:00", -1)), "-1 is no carbon intensity"),
        (200, {"zone": "FR", "datetime": "now", "carbonIntensity": 3}, "Invalid isoformat string"),
        (200, {"zone": "FR", "history": []}, "ValueError"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_fails_is_a_warning_and_no_answer(
    provider: Provider, caplog: pytest.LogCaptureFixture, status: int, content: Any, told: str
) -> None:
    provider.status, provider.content = status, content
    with caplog.at_level(logging.WARNING):
        assert provider.live().intensity("FR", NOON) is None

    assert 1 == len(caplog.messages)
    assert "Electricity Maps tells no carbon intensity at FR" in caplog.messages[0]
    assert told in caplog.messages[0]
    assert "secret" not in caplog.text


def test_a_half_hour_that_is_not_in_the_answer_is_no_answer(provider: Provider) -> None:
    provider.content = half_hours({"forecast": 110, "actual": 120})

    assert provider.live().intensity("GB", NOON + HOUR) is None


def test_a_provider_that_failed_is_left_alone_and_told_of_once(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.status = 503
    live = provider.live()

    assert [None] * 3 == [live.intensity("GB", NOON + number * HOUR) for number in range(3)]
    assert (1, 1) == (len(provider.asked), len(caplog.messages))


def test_answers_that_hold_nothing_are_told_of_once_and_pause_nothing(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.content = half_hours({"forecast": 110, "actual": 120})
    live = provider.live()

    answers = [live.intensity("GB", NOON + number * HOUR) is not None for number in (1, 2, 0)]
    assert ([False, False, True], 1) == (answers, len(caplog.messages))


def test_a_provider_that_failed_is_asked_again_after_a_while(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carbon_live, "_PAUSE", 0.0)
    live = provider.live()
    provider.status = 503
    live.intensity("GB", NOON)
    provider.status, provider.content = 200, half_hours({"forecast": 110, "actual": 120})

    assert live.intensity("GB", NOON) is not None


def test_the_token_follows_no_redirection(provider: Provider) -> None:
    provider.status, provider.headers = 302, {"Location": f"{provider.url}/elsewhere"}

    assert provider.live().intensity("FR", NOON) is None
    assert 1 == len(provider.asked)


def test_nobody_listens_is_no_answer(provider: Provider) -> None:
    live = provider.live()
    provider.close()

    assert live.intensity("GB", NOON) is None


@contextmanager
def dripping(first: bytes) -> Iterator[str]:
    """A server that answers with *first*, then with one byte every 50 ms, until the block ends; yields its address."""
    over = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(first)
            while not over.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join(10)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "first", [b"HTTP/1.0 200 OK\r\nX-Slow: ", b"HTTP/1.0 200 OK\r\n\r\n["], ids=["headers", "body"]
)
def test_an_answer_that_drips_in_is_given_up(
    first: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(carbon_live, "_DEADLINE", 0.3)
    with dripping(first) as address:
        assert Live({"HARNESS_UKCARBON_URL": address}).intensity("GB", NOON) is None

    assert "TimeoutError: there is no whole answer after 0.3 s" in caplog.messages[0]


@pytest.mark.parametrize("token", [None, "", "two\nlines", "ključ"])
def test_a_token_that_is_missing_or_wrong_is_told_and_not_shown(provider: Provider, token: str | None) -> None:
    with pytest.raises(HarnessError, match="'FR', which takes a token; set ELECTRICITYMAPS_TOKEN") as refused:
        provider.live(token).intensity("FR", None)

    assert not token or token not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["http://api.carbonintensity.org.uk", "ftp://127.0.0.1", "nowhere", "https://", "http://127.0.0.1.evil.org"],
)
def test_only_https_is_asked_but_on_this_machine(address: str) -> None:
    with pytest.raises(HarnessError, match=f"HARNESS_UKCARBON_URL must be an address .* is '{address}'"):
        Live({"HARNESS_UKCARBON_URL": address}).intensity("GB", None)


def test_the_real_addresses_are_https() -> None:
    live = Live({"ELECTRICITYMAPS_TOKEN": "secret"})

    assert live.intensity("GB", None) is not None
    assert live.intensity("FR", None) is not None


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


Ask = Callable[[str | None, datetime.datetime | None], Any]


def registry_ask(*wanted: str) -> Ask:
    return load_plugins(PluginChoice(wanted=wanted, autoload=False)).registry.intensity_at


@pytest.mark.usefixtures("_no_network")
def test_without_the_live_plugin_nobody_is_asked() -> None:
    answer = registry_ask()("GB", NOON)

    assert answer["source"].endswith("mean of 2024 in United Kingdom")


@pytest.mark.usefixtures("_no_network")
def test_with_the_live_plugin_the_network_is_asked() -> None:
    """So that the test above can fail."""
    with pytest.raises(AssertionError, match="the network was asked"):
        Live({}).intensity("GB", NOON)


def test_live_goes_before_the_table_and_the_table_follows_where_it_fails(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carbon_live, "_live", provider.live())
    ask = registry_ask("harness.plugins.carbon_live")
    provider.content = half_hours({"forecast": 110, "actual": 120})

    assert "UK Carbon Intensity API" == ask("GB", NOON)["source"]
    assert "Ember" in ask("GB", NOON + HOUR)["source"]

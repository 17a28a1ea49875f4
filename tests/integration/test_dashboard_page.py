"""The dashboard's page in a real browser, beside a loop that turns: one browser and one server for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sesacctl.broker import topics
from sesacctl.dashboard import recording
from sesacctl.dashboard.look import Looker
from sesacctl.dashboard.server import serving
from sesacctl.events import ORDERS
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.supervise.member import ConsumeReport
from sesacctl.settings import Settings
from tests.helpers.browser import Opening, chromium, missing, opened, rate_text, tabs
from tests.helpers.cache_data import fill
from tests.helpers.consumers import consuming
from tests.helpers.events import add_parents, many_orders, message, order, send
from tests.helpers.proxy import DOWN, Proxy, unix
from tests.helpers.servers import RunningStack
from tests.helpers.waiting import assert_within, wait_until

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no test of the dashboard's page: {missing()}")
EMOJI = "👩‍👩‍👧‍👦" * 5 + "🎉" * 15
HOSTILE = f"<img src=x onerror=\"document.title='hit'\">\u202e{EMOJI}\u2066"


@pytest.fixture(scope="module")
def loop(stack: RunningStack) -> Iterator[Settings]:
    """Topics, a filled cache, and parents for orders."""
    with stack.slice() as part:
        settings = part.settings
        fill(settings, users=20, products=20)
        topics.init(settings)
        with Refresher(settings) as refresher:
            refresher.run_once()
        add_parents(settings, users=100)
        yield settings


@pytest.fixture(scope="module")
def reports(loop: Settings) -> Iterator[list[ConsumeReport]]:
    """Of three instances that store what comes."""
    with consuming(loop, instances=3) as found:
        wait_until(lambda: found and all(line.partitions for line in found[0].instances), 180)
        yield found


@pytest.fixture(scope="module")
def address(loop: Settings, reports: list[ConsumeReport]) -> Iterator[str]:
    assert reports
    with serving(loop, port=0) as found:
        yield found.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def open_tab(browser: Any) -> Iterator[Opening]:
    """Opens the page; nothing may have gone wrong in it at the end."""
    with tabs(browser) as found:
        yield found


def test_its_numbers_are_those_of_the_look(loop: Settings, address: str, open_tab: Opening) -> None:
    tab = opened(open_tab(address))
    send(loop, ORDERS, many_orders(300))
    both = tab.figures()
    top, states = both["look"]["top"], both["look"]["stages"]
    assert sorted(both["stages"]) == sorted(
        [each["key"], rate_text(each["rate"]), states[each["key"]]] for each in top["stages"]
    )
    assert sorted(both["tiles"]) == sorted(
        [
            f"{each['topic']}-{each['partition']}",
            rate_text(each["lag"]),
            f"broker {each['leader']}",
            f"{each['in_sync']}/{each['replicas']}",
        ]
        for each in top["partitions"]
    )
    assert len(both["tiles"]) == 15
    assert tab.texts(".broker strong") == ["Broker 1", "Broker 2", "Broker 3"]
    assert len(tab.texts(".consumer")) == 3


def test_a_killed_instance_is_seen_within_three_seconds(
    reports: list[ConsumeReport], address: str, open_tab: Opening
) -> None:
    tab = opened(open_tab(address))
    victim = reports[0].instances[0]
    assert victim.pid is not None
    known = len(tab.page.query_selector_all("#log [data-kind=restarted]"))
    os.kill(victim.pid, signal.SIGKILL)
    noticed = tab.until(
        """known => {
          const found = document.querySelectorAll("#log [data-kind=restarted] time");
          return found.length > known ? Date.now() - Date.parse(found[0].dateTime) : 0;
        }""",
        known,
    )
    assert_within(3.0, noticed / 1000, "an event on its way to the page")
    tab.wait(f".consumer[data-member='{victim.member}'][data-just]")
    assert tab.text("#log [data-kind=restarted] .log-text").endswith("was started again")


def test_a_hostile_record_is_shown_as_text(loop: Settings, address: str, open_tab: Opening) -> None:
    tab = opened(open_tab(address))
    send(loop, ORDERS, [(b"u1", b'{"order_id": "' + HOSTILE.encode()), (b"\xff\x00", bytes(range(256)))])
    tab.wait(".kept-dead .reason").click()
    tab.wait("#letters .link")
    letters = tab.page.locator("#letters .link")
    seen = []
    for number in range(letters.count()):
        letters.nth(number).click()
        tab.until(
            "id => document.querySelector('#letter h3')?.textContent.endsWith(id)", letters.nth(number).text_content()
        )
        seen.append(tab.text("#letter [data-field=value]"))
    assert any("<img src=x onerror=" in each and f"U+202E{EMOJI}U+2066" in each for each in seen)
    assert any("not text: 256 bytes" in each and "000010  10 11 12" in each for each in seen)
    tab.page.fill("#trace-id", HOSTILE)
    tab.page.press("#trace-id", "Enter")
    tab.wait("#trace .traced, #trace .failed")
    assert tab.page.locator("img").count() == 0
    assert tab.page.title() != "hit"
    assert tab.problems() == []


def test_a_trace_shows_every_hop(loop: Settings, address: str, open_tab: Opening) -> None:
    send(loop, ORDERS, [message(order(7001))])
    tab = opened(open_tab(address, locale="ko-KR"))
    tab.page.fill("#trace-id", "o7001")
    tab.page.press("#trace-id", "Enter")
    tab.wait("#trace .traced")
    assert "o7001" in tab.text(".traced-verdict")
    assert "Kafka에 있음" in tab.texts(".hop strong")
    tab.page.fill("#trace-id", "orders-99@0")
    tab.page.press("#trace-id", "Enter")
    tab.wait("#trace .failed .command")


def test_the_stream_resumes_after_a_restart(loop: Settings, open_tab: Opening) -> None:
    with ExitStack() as first:
        found = first.enter_context(serving(loop, port=0))
        tab = opened(open_tab(found.url))
        first.close()
        tab.wait("#fresh[data-kind=lost]")
        assert tab.text("#fresh-text").startswith("connection lost, as of ")
        assert tab.text("#verdict-said").count("this is not the loop of now") == 1
        assert tab.wait("html[data-old] .loop[data-old]")
    with serving(loop, port=found.port):
        opened(tab)
        assert tab.wait("html:not(:has([data-old]))")


def test_an_answer_without_a_look_is_not_live(address: str, open_tab: Opening) -> None:
    tab = open_tab(address)
    kinds = tab.page.evaluate("""async () => {
        const { Store } = await import("/static/store.js");
        const store = new Store();
        const look = (id) => ({ id, at: "2026-11-30T00:00:00Z", top: { stages: [] } });
        const heard = (message) => (store.hear(message, 10), store.freshness(10));
        const taken = (id) => (store.take(look(id), 10), store.freshness(10));
        const first = [heard({ kind: "open" }), taken(1)];
        return [...first, heard({ kind: "lost", seconds: 1 }), heard({ kind: "open" }), taken(1), taken(2)];
    }""")
    assert kinds == ["waiting", "live", "lost", "stale", "stale", "live"]


def test_a_postgres_that_hangs_does_not_freeze_the_page(loop: Settings, open_tab: Opening) -> None:
    proxy = Proxy(unix(f"{loop.postgres_host}/.s.PGSQL.{loop.postgres_port}"))
    behind = loop.model_copy(update={"postgres_host": "127.0.0.1", "postgres_port": proxy.port})
    try:
        with serving(behind, port=0) as found:
            tab = opened(open_tab(found.url))
            proxy.hold(DOWN)
            tab.wait("[data-stage=source][data-state=away]")
            tab.wait(".verdict[data-state=away] code")
            tab.page.click("button[data-language=ko]")
            assert tab.text("[data-stage=source] .state-word") == "연결 안 됨"
            tab.looks(2)
            tab.wait("[data-stage=broker][data-state=ok]")
            proxy.heal()
            tab.wait("[data-stage=source][data-state=ok]")
    finally:
        proxy.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_axe_finds_nothing(scheme: str, locale: str, address: str, open_tab: Opening) -> None:
    tab = opened(open_tab(address, color_scheme=scheme, locale=locale))
    assert tab.page.get_attribute("html", "lang") == locale[:2]
    tab.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    tab.looks(2)
    assert tab.violations() == []


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_a_phone_needs_no_sideways_scrolling(locale: str, address: str, open_tab: Opening) -> None:
    tab = opened(open_tab(address, width=360, locale=locale))
    assert tab.wait(".loop[data-layout=narrow]")
    assert tab.width() == 360
    tab.page.set_viewport_size({"width": 3840, "height": 2160})
    assert tab.wait(".loop[data-layout=wide]")
    assert tab.width() == 3840


def test_without_javascript_there_is_a_table(address: str, open_tab: Opening) -> None:
    tab = open_tab(address, java_script_enabled=False)
    tab.page.wait_for_url("**/plain")
    assert "The loop" in tab.texts("caption")
    assert tab.page.locator("td[class^=state-]").count() == 7


def test_choices_are_kept_and_keys_reach_them(address: str, open_tab: Opening) -> None:
    tab = opened(open_tab(address))
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.className") == "skip"
    tab.page.locator("button[data-language=ko]").press("Enter")
    tab.page.locator("button[data-theme-choice=dark]").press("Space")
    tab.open(tab.page.url)
    opened(tab)
    assert tab.text("#loop-title") == "파이프라인"
    assert tab.page.get_attribute("html", "data-theme") == "dark"
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(11, 14, 23)"


def test_both_languages_have_the_same_texts(address: str, open_tab: Opening) -> None:
    tab = open_tab(address)
    assert tab.untranslated() == []


def test_ten_tabs_share_a_stream_and_keep_their_size(browser: Any, address: str, open_tab: Opening) -> None:
    context = browser.new_context()
    pages = [opened(open_tab(address, in_=context)) for _ in range(10)]
    count = "document.querySelectorAll('*').length"
    pages[0].looks(3)
    before = [tab.page.evaluate(count) for tab in pages]
    pages[0].looks(4)
    assert max(tab.page.evaluate(count) - old for tab, old in zip(pages, before, strict=True)) < 100
    assert pages[0].kept_after(8000) == [200, 1801]


def test_a_recording_plays_without_a_server(loop: Settings, tmp_path: Path, open_tab: Opening) -> None:
    looker = Looker(loop)
    looks = recording.Recorder(1.0)
    for _ in range(3):
        looks.add(looker.run_once())
    recording.write(tmp_path / "run.html", looks.recording(None))
    tab = open_tab((tmp_path / "run.html").as_uri())
    tab.wait("#player .player-at")
    assert tab.text(".player-at").endswith("3 of 3")
    tab.page.locator("#player-slider").press("Home")
    assert tab.text(".player-at").endswith("1 of 3")
    assert tab.wait("#fresh[data-kind=recorded]")
    assert len(tab.texts(".tile")) == 15
    assert tab.page.locator("#trace-card").is_hidden()

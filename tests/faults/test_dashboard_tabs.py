"""Ten tabs of the dashboard for a minute: none of them grows."""

from __future__ import annotations

from typing import Any

import pytest

from sesacctl.broker import topics
from sesacctl.dashboard.server import serving
from sesacctl.settings import Settings
from tests.helpers.browser import chromium, missing, opened, tabs
from tests.helpers.cache_data import fill

LOOKS = 60
_MOST_GROWTH = 2_000_000  # bytes: points of the charts, and what the collector leaves

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no test of the dashboard's page: {missing()}")


def heap(page: Any) -> int:
    """Bytes of JavaScript objects that are in use, after a collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return int(used)


def test_ten_tabs_do_not_grow_in_a_minute(settings: Settings) -> None:
    fill(settings, users=20, products=20)
    topics.init(settings)
    with serving(settings, port=0) as address, chromium() as browser, tabs(browser) as open_tab:
        context = browser.new_context()
        all_tabs = [opened(open_tab(address.url, in_=context)) for _ in range(10)]
        all_tabs[0].looks(10)
        before = [heap(tab.page) for tab in all_tabs]
        all_tabs[0].looks(LOOKS)
        grown = [heap(tab.page) - old for tab, old in zip(all_tabs, before, strict=True)]
    assert max(grown) < _MOST_GROWTH, grown

"""The pictures of `sesacctl dashboard`: its page in Chromium, beside a loop that turns, as PNGs.

Needs Debian's packages `chromium`, `pngquant` and `fonts-nanum`, and looks best with `fonts-inter`.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sesacctl.dashboard.server import serving
from sesacctl.events import ORDERS
from sesacctl.settings import Settings
from tests.helpers.browser import chromium, missing
from tests.helpers.events import message, order, send
from tests.helpers.servers import RunningStack

WIDE, PHONE = (1440, 900), (390, 844)
_LOOKS = 12
_SETTLE_SECONDS = 60
# Flat colours and letters need few; with all of them, a picture is three times as large.
_PNGQUANT = ("pngquant", "--force", "--nofs", "--speed=1", "--ext=.png", "128")
# Name, size, colours, language, whether all of the page is shown.
PAGES: tuple[tuple[str, tuple[int, int], str, str, bool], ...] = (
    ("page-light", WIDE, "light", "en-US", True),
    ("page-dark", WIDE, "dark", "en-US", False),
    ("page-korean", WIDE, "light", "ko-KR", False),
    ("page-phone", PHONE, "light", "en-US", False),
)
_DOWN = ("page-broker-down", WIDE, "dark", "en-US", False)


def take_pages(folder: Path, settings: Settings, home: Path) -> None:
    """All of them, the last one while a broker is down; the loop has to turn, with nine instances."""
    if (why := missing()) is not None:
        print(f"no pictures of the dashboard: {why}")
        return
    send(settings, ORDERS, [(b"u1", b'{"order_id": 1,'), message(order(1, user_id="nobody"))])
    with serving(settings, port=0) as address, chromium() as browser:
        threading.Event().wait(_SETTLE_SECONDS)  # so that the charts have something to show
        for each in PAGES:
            with _page(browser, address.url, *each[1:4]) as page:
                _shoot(page, folder, each[0], whole=each[4])
        with _broker_down(home), _page(browser, address.url, *_DOWN[1:4]) as page:
            page.wait_for_selector(".broker[data-state=away]")
            _looks(page, 3)
            _shoot(page, folder, _DOWN[0], whole=_DOWN[4])


@contextmanager
def _broker_down(home: Path) -> Iterator[None]:
    stack = RunningStack(home)
    stack.kill("kafka-2", signal.SIGKILL)
    try:
        yield
    finally:
        stack.up()
        stack.close()


@contextmanager
def _page(browser: Any, url: str, size: tuple[int, int], scheme: str, locale: str) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, locale=locale, device_scale_factor=1
    )
    try:
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector(".tile")
        _looks(page, _LOOKS)
        yield page
    finally:
        context.close()


def _looks(page: Any, number: int) -> None:
    for _ in range(number):
        last = page.get_attribute("#main", "data-look")
        page.wait_for_function("last => document.querySelector('#main').dataset.look !== last", arg=last)


def _shoot(page: Any, folder: Path, name: str, *, whole: bool) -> None:
    file = folder / f"{name}.png"
    page.screenshot(path=str(file), full_page=whole)
    subprocess.run([*_PNGQUANT, str(file)], check=True)

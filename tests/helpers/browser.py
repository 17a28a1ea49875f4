"""The dashboard's page in the system's Chromium, driven by Playwright: what it shows, and what the browser refuses.

Playwright's own browsers are not used: nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
SECONDS = 60.0
"""A step waits so long at most: a busy machine draws a page in seconds."""
_LOADS = 10
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Tests may run as root, for whom Chromium has no sandbox; and they talk to nobody but the server.
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
_WATCH = """
window.problems = [];
const keepProblem = (text) => window.problems.push(text);
addEventListener("securitypolicyviolation", (event) => keepProblem(`${event.violatedDirective}: ${event.blockedURI}`));
addEventListener("unhandledrejection", (event) => keepProblem(String(event.reason)));
"""


# Another test, or the machine, made or took away a network interface: Chromium gives up what it is reading then.
_OF_THE_MACHINE = "net::ERR_NETWORK_CHANGED"
# Of a server that is away, or that refuses a question.
_OF_THE_SERVER = re.compile(r"Failed to load resource: .* http://127\.0\.0\.1:\d+/(?!static/)\w")
# What a look has, and what the page shows of it, at one and the same look.
_FIGURES = """async () => {
  const text = (node, part) => node.querySelector(part)?.textContent;
  for (;;) {
    const look = await (await fetch("/look")).json();
    await new Promise((done) => setTimeout(done, 100));
    if (String(look.id) !== document.querySelector("#main").dataset.look) continue;
    const stages = [...document.querySelectorAll("[data-stage]")].map((node) =>
      [node.dataset.stage, text(node, ".stage-rate"), text(node, ".state-word")]);
    const tiles = [...document.querySelectorAll(".tile")].map((node) =>
      [node.dataset.partition, text(node, ".tile-lag b"), text(node, ".tile-leader"), text(node, ".tile-isr")]);
    return { look, stages, tiles };
  }
}"""
_UNTRANSLATED = """async () => {
  const { ENGLISH } = await import("/static/words_en.js");
  const { KOREAN } = await import("/static/words_ko.js");
  const names = (one, at = "") => Object.entries(one).flatMap(([name, value]) =>
    value !== null && typeof value === "object" ? names(value, `${at}${name}.`) : [`${at}${name}`]);
  const both = names(KOREAN);
  return names(ENGLISH).filter((name) => !both.includes(name));
}"""

_KEPT = """async (looks) => {
  const { Store } = await import("/static/store.js");
  const store = new Store();
  const look = await (await fetch("/look")).json();
  for (let id = 0; id < looks; id += 1) {
    const at = new Date(1e12 + 1000 * id).toISOString();
    store.take({ ...look, id, at, events: [{ id, at }] }, id);
  }
  return [store.events.length, store.points.length];
}"""


def missing() -> str | None:
    """Why there is no browser to test the page in; None if there is one."""
    if _program() is None:
        return "Debian's package chromium is missing"
    if importlib.util.find_spec("playwright") is None:
        return "the Python package playwright is missing"
    return None


def _program() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's object of a browser without windows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_program(), args=list(_ARGUMENTS), timeout=1000 * 3 * SECONDS, handle_sigint=False
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass  # without slots: Playwright keeps what it needs of a listener in its object
class Tab:
    """A page, and everything that went wrong in it: errors, refusals of the policy, what it logged."""

    page: Any
    logged: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """All so far, but for what the browser itself says of an answer that the page shows as an error."""
        found = [*self.logged, *self.page.evaluate("window.problems ?? []")]
        return [each for each in found if not _OF_THE_SERVER.match(each) and _OF_THE_MACHINE not in each]

    def open(self, address: str) -> None:
        """Load a page with all that it consists of, again if the machine's network changed meanwhile."""
        for _ in range(_LOADS):
            self.logged.clear()
            try:
                self.page.goto(address)
            except Exception as error:
                if _OF_THE_MACHINE not in str(error):
                    raise
                continue
            if not any(_OF_THE_MACHINE in each for each in self.logged):
                return
        raise AssertionError(f"the network of this machine changed during each of {_LOADS} loads")

    def log(self, said: Any) -> None:
        """What the console was told, with where it is about."""
        if said.type in ("error", "warning"):
            self.logged.append(f"{said.text} {said.location['url']}")

    def text(self, selector: str) -> str:
        """Of the first element that fits, as it is in the document."""
        return str(self.page.locator(selector).first.text_content())

    def texts(self, selector: str) -> list[str]:
        """Of all elements that fit."""
        return [str(each) for each in self.page.locator(selector).all_text_contents()]

    def wait(self, selector: str, **options: Any) -> Any:
        """The first element that fits, once it is shown."""
        return self.page.wait_for_selector(selector, **options)

    def until(self, expression: str, argument: Any = None) -> Any:
        """The first true value of a JavaScript expression, or function of `argument`."""
        return self.page.wait_for_function(expression, arg=argument).json_value()

    def looks(self, number: int) -> None:
        """Return when so many more looks were drawn."""
        for _ in range(number):
            last = self.page.get_attribute("#main", "data-look")
            self.until("last => document.querySelector('#main').dataset.look !== (last ?? undefined)", last)

    def figures(self) -> dict[str, Any]:
        """A `look`, and the texts of all `stages` (key, rate, state) and `tiles` (partition, lag, leader, in sync)."""
        found: dict[str, Any] = self.page.evaluate(_FIGURES)
        return found

    def untranslated(self) -> list[str]:
        """Texts that are there in English alone."""
        return list(self.page.evaluate(_UNTRANSLATED))

    def kept_after(self, looks: int) -> list[int]:
        """How many events and points of the charts the page's memory has after so many looks, a second apart."""
        return list(self.page.evaluate(_KEPT, looks))

    def violations(self) -> list[str]:
        """What axe-core finds in the page as it is."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]]

    def width(self) -> int:
        """How wide the document is, in CSS pixels; more than the window has if it can be moved sideways."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


def opened(tab: Tab) -> Tab:
    """The same, once it shows what is so now."""
    tab.wait("#fresh[data-kind=live]")
    tab.wait(".tile")
    return tab


def rate_text(figure: float | None) -> str:
    """As the page shows it in English."""
    if figure is None:
        return "–"
    return f"{figure:.1f}" if figure < 10 and figure != int(figure) else f"{math.floor(figure + 0.5):,}"


Opening = Callable[..., Tab]


@contextmanager
def tabs(browser: Any) -> Iterator[Opening]:
    """Opens addresses in windows of their own, in English and light unless told otherwise; asserts that all is well."""
    opened: list[tuple[Any, Tab]] = []

    def open_tab(address: str, *, width: int = 1280, in_: Any = None, locale: str = "en-US", **options: Any) -> Tab:
        context = in_ or browser.new_context(
            viewport={"width": width, "height": 900}, locale=locale, **{"color_scheme": "light"} | options
        )
        context.set_default_timeout(1000 * SECONDS)
        page = context.new_page()
        tab = Tab(page)
        page.add_init_script(_WATCH)
        page.on("pageerror", lambda error: tab.logged.append(str(error)))
        page.on("console", tab.log)
        tab.open(address)
        opened.append((context, tab))
        return tab

    try:
        yield open_tab
        for _, tab in opened:
            found = tab.problems()
            assert found == [], "\n".join(found)
    finally:
        for context, _ in opened:
            context.close()

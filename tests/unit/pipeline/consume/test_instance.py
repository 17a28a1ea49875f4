"""The consume step as the architecture page prints it is the one that runs."""

from __future__ import annotations

import inspect
from textwrap import dedent, indent

from sesacctl.pipeline.consume.instance import Instance
from tests.helpers.documents import ROOT


def test_the_architecture_page_prints_the_step_as_it_is() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    _, _, rest = page.partition("```python\npolled = ")
    shown = "polled = " + rest.partition("```")[0]
    assert "sink.skip_expired" in shown, "the page has another block"
    assert "assignment.advance" in shown, "the page has another block"
    assert indent(shown, " " * 8) in dedent(inspect.getsource(Instance.run_once))

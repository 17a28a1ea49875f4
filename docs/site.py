"""Hooks of mkdocs.yml: pages that are not files below docs/, and links between the two folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify_unicode
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
TOP = (
    "README.md",
    "README.ko.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE",
    "benchmarks/RESULTS.md",
)
# Anything that a browser would load from elsewhere.
_FOREIGN = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def on_config(config: Any) -> Any:
    """Put a page for each module into the API's part of the menu, and one for each decision into theirs."""
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    pages = {
        "API": [{name: f"api/{name}.md"} for name in config.extra["api"]],
        "Decisions": [f"decisions/{name}" for name in decisions],
    }
    config.mdx_configs["toc"]["slugify"] = slugify_unicode  # a heading in Korean is a target of links, too
    config.nav = [{title: pages.get(title, target) for title, target in entry.items()} for entry in config.nav]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the top folder's documents and the API's pages."""
    for name in TOP:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name in config.extra["api"]:
        files.append(File.generated(config, f"api/{name}.md", content=f"::: {name}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that lead from one folder into the other: on the site, both are one."""
    if page.file.src_uri in TOP:
        return re.sub(r"\]\(((?:\.\./)*)docs/", r"](\1", markdown)
    return re.sub(r"\]\((?:\.\./)+((?:benchmarks/)?[A-Z][\w.]+)", _to_top(page.file.src_uri), markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would load something from another host."""
    if found := _FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} loads from another host: {found[0]}")
    return output


def _to_top(source: str) -> str:
    return "](" + "../" * source.count("/") + r"\1"

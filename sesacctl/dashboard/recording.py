"""A run of the loop as one HTML file: the page with its scripts and styles inside, and the looks to play. No server.

Nothing of it comes from elsewhere: its content security policy allows exactly the scripts and styles that are in it,
by their hashes, and no connection at all.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from sesacctl import files
from sesacctl.dashboard.look import Look
from sesacctl.errors import ConfigurationError

STATIC = Path(__file__).parent / "static"
KEPT_SECONDS = 1800.0
"""So much of the past is in a recording."""
_IMPORT = re.compile(r'^import\s[^;]*?from "\./([\w./]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)
_STYLE = re.compile(r'<link rel="stylesheet" href="/static/([\w./-]+)">')
_SCRIPT = re.compile(r'<script (type="module" )?src="/static/([\w./-]+)"(?: defer)?></script>')
_NO_SCRIPT = re.compile(r"<noscript><meta [^>]*></noscript>\n?")


@dataclass(frozen=True, slots=True)
class Recording:
    """The last looks, `every` seconds apart, and the history that the dashboard has; None without one."""

    looks: Sequence[Look]
    history: dict[str, Any] | None
    every: float


class Recorder:
    """Keeps the looks of the last half hour."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._looks: deque[Look] = deque(maxlen=max(3, int(KEPT_SECONDS / every)))

    def add(self, look: Look) -> None:
        """Keep one more."""
        self._looks.append(look)

    def recording(self, history: dict[str, Any] | None) -> Recording:
        """What is kept."""
        return Recording(list(self._looks), history, self.every)


def write(path: Path, recording: Recording) -> int:
    """Write the file, whole or not at all; how many bytes it has.

    Raises:
        ConfigurationError: it cannot be written.
    """
    text = render(recording)
    try:
        with files.replacing(path) as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", hint="another file") from None
    return len(text.encode())


def render(recording: Recording, *, static: Path = STATIC) -> str:
    """The page, with everything in it."""
    hashes: dict[str, list[str]] = {"script-src": [], "style-src": []}

    def style(found: re.Match[str]) -> str:
        text = (static / found[1]).read_text("utf-8")
        hashes["style-src"].append(_hash(text))
        return f"<style>{text}</style>"

    def script(found: re.Match[str]) -> str:
        kind, name = found[1] or "", found[2]
        text = _inside_script(bundle(static, name) if kind else (static / name).read_text("utf-8"))
        hashes["script-src"].append(_hash(text))
        looks = f'<script type="application/json" id="recording">{as_json(recording)}</script>\n' if kind else ""
        return f"{looks}<script {kind}".rstrip() + f">{text}</script>"

    page = _NO_SCRIPT.sub("", (static / "index.html").read_text("utf-8"))
    page = _SCRIPT.sub(script, _STYLE.sub(style, page))
    return page.replace("<head>", f"<head>\n{_policy(hashes)}", 1)


def bundle(static: Path, main: str) -> str:
    """One module out of `main` and all that it imports, each after those that it needs.

    The modules keep to what this can join: imports of names from files beside them, at their top, and no name twice.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        text = (static / name).read_text("utf-8")
        parts[name] = ""  # it is on its way: modules that need each other end here
        needed = _IMPORT.findall(text)
        for each in needed:
            add(each)
        del parts[name]
        parts[name] = _EXPORT.sub("", _IMPORT.sub("", text))

    add(main)
    return "\n".join(parts.values())


def as_json(recording: Recording) -> str:
    """For between script tags: nothing in it can end them, or be taken for a comment."""
    text = msgspec.json.encode(recording, enc_hook=str).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _inside_script(text: str) -> str:
    return re.sub(r"</(script)", r"<\\/\1", text, flags=re.IGNORECASE).replace("<!--", "<\\!--")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _policy(hashes: dict[str, list[str]]) -> str:
    rules = "; ".join(f"{name} {' '.join(found)}" for name, found in hashes.items() if found)
    policy = f"default-src 'none'; {rules}; img-src data:; base-uri 'none'; form-action 'none'"
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">'

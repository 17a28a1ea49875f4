"""What a page on this machine answers."""

from __future__ import annotations

import urllib.error
import urllib.request


def ask(port: int, path: str) -> tuple[int, str]:
    """Status and text; status 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""

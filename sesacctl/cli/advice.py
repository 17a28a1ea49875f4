"""What to run next where that depends on the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sesacctl.settings import Settings

_WATCH = "sesacctl lag --watch 5"


def store_the_rest(settings: Settings) -> str:
    """What gets the events that are in Kafka stored; where consumers of the group run already, how to watch them."""
    from sesacctl.broker import groups
    from sesacctl.errors import SesacctlError

    try:
        running = bool(groups.places(settings))
    except SesacctlError:  # it cannot be known now
        return _WATCH
    return _WATCH if running else "sesacctl consume --instances 9 --until-empty"

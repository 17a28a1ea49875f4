"""A watch on the consumer group of a running supervisor: another application may join it by mistake."""

from __future__ import annotations

import logging

from sesacctl.broker.groups import foreign_members, shared
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.supervise.background import BackgroundPoll
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

EVERY_SECONDS = 15.0


class GroupWatch:
    """Logs who else is in the group, whenever that changes.

    It stops nothing: to end all instances would leave more events unstored than those of the partitions that are gone.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looks = BackgroundPoll(self._foreign_members, every=EVERY_SECONDS)
        self._known: tuple[str, ...] = ()

    def check(self) -> None:
        """Log it if that changed; never waits."""
        found = self._looks.answer()
        if found is None or found == self._known:
            return
        self._known = found
        if found:
            error = shared(self._settings, found)
            logger.error(
                "%s: the partitions that they have are not stored; %s", error, error.hint,
                extra={"action": "consume.shared"},
            )  # fmt: skip
        else:
            logger.info("the consumer group is our own again", extra={"action": "consume.alone"})

    def _foreign_members(self) -> tuple[str, ...]:
        try:
            return foreign_members(self._settings)
        except SesacctlError as error:  # the instances report what is wrong
            logger.debug("the group: %s", error, extra={"action": "consume.group"})
            return self._known

"""Starting consumer processes through a fork server."""

from __future__ import annotations

import logging
import multiprocessing
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from sesacctl.pipeline.supervise.process import InstanceOptions, main

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

logger = logging.getLogger(__name__)


class Starter:
    """Forks instances from a process that has imported all they need, and holds no client."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["sesacctl.pipeline.supervise.preload"])

    def start(self, options: InstanceOptions) -> tuple[BaseProcess | None, Connection]:
        """The process, and our end of its pipe, which ends when the process does.

        The process is None if the fork server was killed before it returned a pid: it may run or not.
        """
        ours, theirs = self._context.Pipe()
        name = f"consumer-{options.number}"
        process = self._context.Process(target=main, args=(options, theirs), name=name, daemon=True)
        try:
            process.start()
        except (EOFError, OSError) as error:
            logger.warning("the fork server died (%r); starting another", error, extra={"action": "consume.restart"})
            return None, ours
        finally:
            theirs.close()
        return process, ours

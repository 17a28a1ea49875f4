"""Bugs of the dashboard: who may read it, what is asked for it, and what it says happened."""

from __future__ import annotations

from tests.planted.plant import Plant

_UNIT = "tests/unit/dashboard"
_DASHBOARD = "tests/integration/test_dashboard.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "dead-leader-taken-for-a-cut-log",
        "sesacctl/pipeline/audit/partitions.py",
        (("return replace(log, end=reached, stable_end=reached)", "return log"),),
        (f"{_DASHBOARD}::test_a_leader_that_dies_is_no_cut_log",),
    ),
    Plant(
        "kept-ends-told-as-new-ones",
        "sesacctl/broker/cluster_watch.py",
        ((" if TopicPartition(log.topic, log.partition) in answered]", "]"),),
        (f"{_DASHBOARD}::test_a_leader_that_dies_is_no_cut_log",),
    ),
    Plant(
        "dashboard-takes-any-host-name",
        "sesacctl/dashboard/guard.py",
        (("        return self._any_address and _is_address(name)\n", "        return True\n"),),
        (f"{_UNIT}/test_guard.py::test_another_name_in_the_host_header_is_refused",),
    ),
    Plant(
        "dashboard-lets-other-sites-read",
        "sesacctl/dashboard/guard.py",
        (('    if site not in ("same-origin", "none") and', '    if site == "cross-site" and'),),
        (f"{_UNIT}/test_guard.py::test_another_site_reads_no_data",),
    ),
    Plant(
        "dashboard-cookie-is-the-token",
        "sesacctl/dashboard/guard.py",
        (
            (
                '        return hmac.new(self._token, b"sesacctl dashboard", sha256).hexdigest()\n',
                "        return self._token.decode()\n",
            ),
        ),
        (f"{_UNIT}/test_guard.py::test_the_token_is_shown_once_and_leaves_the_address",),
    ),
    Plant(
        "dashboard-redirects-to-another-host",
        "sesacctl/dashboard/guard.py",
        (("""f"/{quote(path.lstrip('/'))}\"""", "quote(path)"),),
        (f"{_UNIT}/test_guard.py::test_the_redirect_stays_on_this_host",),
    ),
    Plant(
        "dashboard-open-to-all-without-token",
        "sesacctl/dashboard/server.py",
        (("    if token is None and not guard.is_loopback(host):\n", "    if token is None and not host:\n"),),
        (f"{_UNIT}/test_server.py::test_another_address_has_a_token_without_being_asked",),
    ),
    Plant(
        "dashboard-looks-while-nobody-does",
        "sesacctl/dashboard/hub.py",
        (("            if not self._is_wanted():\n", "            if self._closed:\n"),),
        (f"{_UNIT}/test_hub.py::test_nobody_who_looks_means_no_look",),
    ),
    Plant(
        "dashboard-events-twice",
        "sesacctl/dashboard/hub.py",
        (("self._looker.events.after(since, until=frame.look.id)", "self._looker.events.after(None)"),),
        (f"{_UNIT}/test_hub.py::test_a_listener_gets_each_event_once",),
    ),
    Plant(
        "dashboard-slow-question-frees-its-place",
        "sesacctl/dashboard/clicks.py",
        (
            (
                "return await asyncio.wait_for(asyncio.shield(task), self._seconds)",
                "return await asyncio.wait_for(task, self._seconds)",
            ),
        ),
        (f"{_UNIT}/test_clicks.py::test_one_that_is_too_slow_keeps_its_place_until_it_ends",),
    ),
    Plant(
        "dashboard-restart-unseen",
        "sesacctl/dashboard/changes.py",
        (("        if are[name].session != were[name].session:\n", "        if are[name].host != were[name].host:\n"),),
        (f"{_UNIT}/test_look.py::test_a_member_that_was_killed_is_seen_by_its_session",),
    ),
    Plant(
        "dashboard-table-unescaped",
        "sesacctl/dashboard/plain.py",
        (('    return f"<bdi>{escape(str(value))}</bdi>"\n', '    return f"<bdi>{value}</bdi>"\n'),),
        (f"{_UNIT}/test_plain.py::test_what_comes_from_outside_is_text",),
    ),
    Plant(
        "recording-ends-its-own-script",
        "sesacctl/dashboard/recording.py",
        (("""    return text.replace("<", "\\\\u003c")""", "    return text"),),
        (f"{_UNIT}/test_recording.py::test_nothing_in_a_look_ends_the_script",),
    ),
)

"""Bugs of the dashboard's page: what a browser is shown, and what it does with records of others."""

from __future__ import annotations

from tests.planted.plant import Plant

_PAGE = "tests/integration/test_dashboard_page.py"
_FILES = "tests/unit/dashboard/test_page_files.py"
_STATIC = "sesacctl/dashboard/static"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "page-sets-text-as-html",
        f"{_STATIC}/dom.js",
        (
            (
                "    node.append(shown ? piece : el(",
                '    if (shown) node.insertAdjacentHTML("beforeend", piece);\n    else node.append(el(',
            ),
        ),
        (
            f"{_PAGE}::test_a_hostile_record_is_shown_as_text",
            f"{_FILES}::test_scripts_set_no_html_and_evaluate_nothing",
        ),
    ),
    Plant(
        "page-hides-direction-marks",
        f"{_STATIC}/dom.js",
        (("const shown = index % 2 === 0 || JOINERS.has(piece);", "const shown = true;"),),
        (f"{_PAGE}::test_a_hostile_record_is_shown_as_text",),
    ),
    Plant(
        "page-stream-that-stays-away",
        f"{_STATIC}/connection.js",
        (("    this.timer = setTimeout(() => this.open(), this.pause * 1000);\n", ""),),
        (f"{_PAGE}::test_the_stream_resumes_after_a_restart",),
    ),
    Plant(
        "page-shows-old-figures-as-live",
        f"{_STATIC}/store.js",
        (('return ["stale", "lost", "refused"]', "return [false]"),),
        (f"{_PAGE}::test_the_stream_resumes_after_a_restart",),
    ),
    Plant(
        "page-live-before-its-look",
        f"{_STATIC}/store.js",
        (('    if (message.kind !== "open") this.arrived = -Infinity;\n', ""),),
        (f"{_PAGE}::test_an_answer_without_a_look_is_not_live",),
    ),
    Plant(
        "page-keeps-every-event",
        f"{_STATIC}/store.js",
        ((".slice(-KEPT_EVENTS)", ""),),
        (f"{_PAGE}::test_ten_tabs_share_a_stream_and_keep_their_size",),
    ),
    Plant(
        "page-with-an-inline-style",
        f"{_STATIC}/dom.js",
        (
            (
                "    else node.setAttribute(name, value",
                '    else node.setAttribute("style", "color: red"), node.setAttribute(name, value',
            ),
        ),
        (
            f"{_PAGE}::test_a_hostile_record_is_shown_as_text",
            f"{_FILES}::test_scripts_set_no_html_and_evaluate_nothing",
        ),
    ),
    Plant(
        "page-lag-of-the-look-before",
        f"{_STATIC}/map.js",
        (("const all = store.look.top.partitions;", "const all = (store.before ?? store.look).top.partitions;"),),
        (f"{_PAGE}::test_its_numbers_are_those_of_the_look",),
    ),
    Plant(
        "page-wider-than-a-phone",
        f"{_STATIC}/style.css",
        (("main > * { grid-column: 1 / -1; min-width: 0; }", "main > * { grid-column: 1 / -1; min-width: 400px; }"),),
        (f"{_PAGE}::test_a_phone_needs_no_sideways_scrolling",),
    ),
    Plant(
        "page-pale-on-pale",
        f"{_STATIC}/style.css",
        (("--muted: light-dark(#576074, #9ba5bd);", "--muted: light-dark(#9ba5bd, #576074);"),),
        (f"{_FILES}::test_colours_can_be_read_in_light_and_dark", f"{_PAGE}::test_axe_finds_nothing"),
    ),
    Plant(
        "vendored-script-changed",
        f"{_STATIC}/vendor/uPlot.iife.min.js",
        (("var uPlot=function", "var  uPlot=function"),),
        (f"{_FILES}::test_vendored_files_are_as_they_were_published",),
    ),
)

"""The page in a browser: events where they belong, a cursor that moves, an empty console."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from clicks import render
from soundfile import write

from softloc.evaluation import EvaluationSettings
from softloc.events import Onset
from softloc.report import (
    ReportSettings,
    compare_recordings,
    list_events,
    read_media,
    write_report,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DURATION_S = 30.0
RATE_HZ = 44_100
EVIL = "<img src=x onerror=alert(1)>"

REFERENCE = [Onset(0.5 + 0.5 * i, ("KD", "SD", "HH")[i % 3]) for i in range(58)]
ESTIMATE = [
    *(Onset(onset.time_s + 0.004, onset.label) for i, onset in enumerate(REFERENCE) if i % 7),
    *(Onset(2.2 + 4.0 * i, "SD", confidence=0.5) for i in range(6)),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    hits = [(onset.time_s, onset.label) for onset in REFERENCE]
    write(folder / "a.wav", render(hits, DURATION_S), RATE_HZ)
    media = read_media(folder / "a.wav", ReportSettings(part_s=4.0))
    vorbis = read_media(folder / "a.wav", ReportSettings(part_s=4.0, max_audio_bytes=600_000))
    assert vorbis.audio is not None
    assert vorbis.audio.codec == "Ogg Vorbis"
    settings = EvaluationSettings(classes="as-written")
    ((_, comparison),) = compare_recordings({"a": REFERENCE}, {"a": ESTIMATE}, settings)
    write_report(folder / "evaluation.html", EVIL, comparison, media)
    write_report(folder / "vorbis.html", "a", comparison, vorbis)
    write_report(folder / "silent.html", "a", comparison, None, silence_reason="it is not there")
    write_report(folder / "transcription.html", "a", list_events(ESTIMATE), media)
    write_report(folder / "empty.html", "a", list_events([]), media)
    return folder


class Opened:
    """A page with everything its console said."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1200, "height": 900}, **options}
        )
        self.page: Page = self.context.new_page()
        self.console: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.requests: list[str] = []
        self.page.goto(path.as_uri())
        self.page.evaluate("softloc.ready")

    def __call__(self, expression: str, argument: object = None) -> Any:
        return self.page.evaluate(expression, argument)

    def wait_for(self, condition: str, argument: object = None) -> None:
        """Wait until a condition holds; Playwright's own way would need the page to allow eval."""
        for _ in range(200):
            if self(condition, argument):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"never came true: {condition}")

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.fixture
def opened(browser: Browser, pages: Path) -> Iterator[Opened]:
    page = Opened(browser, pages / "evaluation.html")
    yield page
    page.context.close()
    assert page.console == []
    assert len(page.requests) == 1


PIXELS = """(points) => {
    const canvas = document.getElementById("lanes");
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    return points.map(([x, y]) => {
        const at = 4 * (Math.floor(y) * width + Math.floor(x));
        return Array.from(data.slice(at, at + 3));
    });
}"""
COLOUR = """(name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const colour = getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).map(Number);
    probe.remove();
    return colour;
}"""


def test_events_are_drawn_at_their_times(opened: Opened) -> None:
    opened("softloc.setView(1.9, 6.1)")
    opened.settle()
    left, right = opened("softloc.xOf(2.0)"), opened("softloc.xOf(6.0)")
    colours = {name: opened(COLOUR, name) for name in ("hit", "miss", "false-alarm")}
    seen = opened("softloc.visibleEvents()")
    data = opened("softloc.data.items")
    points: list[tuple[float, float]] = []
    expected = []
    for event in seen:
        item = event["item"]
        colour = colours[event["verdict"].replace(" ", "-")]
        for side, y in (
            ("reference", event["top"] + 2),
            ("estimate", event["bottom"] - 2),
        ):
            time_us = data[f"{side}_us"][item]
            if time_us is None:
                continue
            x = left + (time_us / 1e6 - 2.0) / 4.0 * (right - left)
            assert event[side] == pytest.approx(x, abs=1e-6)
            points += [(x, y), (x + 5, y), (x - 5, y)]
            expected.append(colour)
    pixels = opened(PIXELS, points)
    assert pixels[::3] == expected
    for beside in (pixels[1::3], pixels[2::3]):
        assert all(pixel != colour for pixel, colour in zip(beside, expected, strict=True))
    verdicts = [event["verdict"] for event in seen]
    assert verdicts.count("hit") == 8
    assert verdicts.count("miss") == 1
    assert verdicts.count("false alarm") == 1


def test_the_time_axis_of_the_waveform_is_that_of_the_lanes(opened: Opened) -> None:
    """A hit of the recording rises in the waveform where its reference stands in its lane."""
    opened("softloc.setView(1.4, 1.6)")
    opened.settle()
    opened.page.wait_for_timeout(300)
    rises = opened(
        """() => {
        const canvas = document.querySelector("#waveform canvas");
        const { width, height } = canvas;
        const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
        const top = Math.round(height * 0.5);  // of the drawn curve, far from its middle
        const axis = Math.round(height * 26 / 132) + 8;
        for (let x = Math.ceil(softloc.xOf(1.42)); x < width; x++)
            for (let y = axis; y < top; y++) {
                const at = 4 * (y * width + x);
                if (pixels[at + 3] > 60 && pixels[at + 2] > pixels[at] + 30) return x;
            }
        return -1;
    }"""
    )
    assert rises == pytest.approx(opened("softloc.xOf(1.5)"), abs=4)


def test_playing_moves_the_cursor(opened: Opened) -> None:
    opened.page.click("#play")
    opened.wait_for("softloc.position > 0.4")
    # In one frame, right after it is drawn: the clock does not wait for the test.
    drawn, expected, position = opened(
        """() => new Promise((done) => requestAnimationFrame(() => {
        const leftOf = (id) => document.getElementById(id).getBoundingClientRect().left;
        const { position } = softloc;
        done([leftOf("playhead") - leftOf("view"), softloc.xOf(position), position]);
    }))"""
    )
    assert drawn == pytest.approx(expected, abs=4)
    opened.wait_for("(before) => softloc.position > before + 0.3", position)
    opened.page.keyboard.press(" ")
    opened.wait_for("!softloc.playing")
    rest = opened("softloc.position")
    opened.page.wait_for_timeout(150)
    assert opened("softloc.position") == rest


def test_the_view_follows_the_cursor(opened: Opened) -> None:
    opened("softloc.setView(7.0, 8.0)")
    opened("softloc.seek(7.5)")
    opened.page.click("#play")
    opened.wait_for("softloc.position > 8.1")
    opened.settle()
    view = opened("softloc.view")
    assert view["start"] > 7.5
    assert view["start"] <= opened("softloc.position") <= view["end"]


def test_a_click_on_a_row_jumps_and_plays(opened: Opened) -> None:
    row = opened.page.locator("#scroller .row:not([hidden])").nth(8)
    item = int(row.get_attribute("data-item") or "")
    row.click()
    opened.wait_for("softloc.playing")
    time_s = opened("(i) => softloc.data.items.reference_us[i] / 1e6", item)
    assert opened("softloc.chosen") == item
    assert abs(opened("softloc.position") - time_s) <= 0.8
    view = opened("softloc.view")
    assert view["start"] < time_s < view["end"]
    # It plays a short stretch and stands on the event.
    opened.wait_for("!softloc.playing")
    assert opened("softloc.position") == pytest.approx(time_s)


def test_keys(opened: Opened) -> None:
    errors = opened("softloc.data.items.verdict.flatMap((v, i) => v === 0 ? [] : [i])")
    press = opened.page.keyboard.press
    press("n")
    assert opened("softloc.chosen") == errors[0]
    press("n")
    assert opened("softloc.chosen") == errors[1]
    press("p")
    assert opened("softloc.chosen") == errors[0]
    press("ArrowDown")
    assert opened("softloc.chosen") == errors[0] + 1
    press("0")
    assert opened("softloc.view") == {"start": 0, "end": DURATION_S}
    press("+")
    view = opened("softloc.view")
    assert view["end"] - view["start"] == pytest.approx(DURATION_S / 2)
    press("-")
    press("End")
    assert opened("softloc.position") == DURATION_S
    press("Home")
    assert opened("softloc.position") == 0
    press("ArrowRight")
    assert opened("softloc.position") == pytest.approx(DURATION_S / 10)
    press("?")
    assert opened.page.locator("#help").is_visible()
    press("Escape")
    assert not opened.page.locator("#help").is_visible()


def test_filters(opened: Opened) -> None:
    count = opened.page.locator("#count")
    assert count.inner_text() == "64 events"
    opened.page.click('[data-class="SD"]')
    classes = opened("softloc.visibleEvents().map(e => softloc.data.items.class[e.item])")
    assert set(classes) == {0, 2}
    opened.page.click('[data-verdict="hit"]')
    n_missed = opened("softloc.visibleEvents().length")
    assert {event["verdict"] for event in opened("softloc.visibleEvents()")} == {"miss"}
    assert n_missed > 0
    rows = opened.page.locator("#scroller .row:not([hidden])")
    assert set(rows.locator(".verdict").all_inner_texts()) == {"miss"}
    assert "hidden by the filters" in count.inner_text()
    opened.page.dblclick('[data-verdict="hit"]')
    assert {event["verdict"] for event in opened("softloc.visibleEvents()")} == {"hit"}


def test_the_list_can_be_sorted_by_error(opened: Opened) -> None:
    opened.page.click('[data-sort="error"]')
    rows = opened.page.locator("#scroller .row:not([hidden]) .number")
    first = rows.nth(0).inner_text()
    assert first == "+4.0"
    opened.page.click('[data-sort="class"]')
    classes = opened.page.locator("#scroller .row:not([hidden]) .class").all_inner_texts()
    assert classes == sorted(classes, key=["KD", "SD", "HH"].index)


def test_clicks_are_where_the_events_are(opened: Opened) -> None:
    assert opened("softloc.clicks") == []
    opened.page.select_option("#clicks", "both")
    clicks = opened("softloc.clicks")
    expected = [(o.time_s, -0.8) for o in REFERENCE] + [(o.time_s, 0.8) for o in ESTIMATE]
    assert sorted((c["time"], c["pan"]) for c in clicks) == [
        (pytest.approx(time_s), pan) for time_s, pan in sorted(expected)
    ]
    opened.page.click('[data-class="SD"]')
    assert {click["class"] for click in opened("softloc.clicks")} == {0, 2}


def test_dark_and_light(browser: Browser, pages: Path) -> None:
    grounds = {}
    for scheme in ("dark", "light"):
        page = Opened(browser, pages / "evaluation.html", color_scheme=scheme)
        ground = "getComputedStyle(document.body).backgroundColor"
        grounds[scheme] = page(ground)
        page.page.click("#theme")
        page.settle()
        assert page(ground) != grounds[scheme]
        page.page.keyboard.press("d")
        assert page(ground) == grounds[scheme]
        assert page.console == []
        page.context.close()
    assert grounds["dark"] != grounds["light"]


@pytest.mark.parametrize("width", [320, 390, 1200, 2400])
def test_it_fits_the_screen(browser: Browser, pages: Path, width: int) -> None:
    page = Opened(browser, pages / "evaluation.html", viewport={"width": width, "height": 800})
    assert page("document.documentElement.scrollWidth") <= width
    page.context.close()


def test_names_are_not_run(opened: Opened) -> None:
    assert opened.page.locator("h1").inner_text() == EVIL
    assert opened("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize("name", ["evaluation.html", "vorbis.html"])
def test_sound_is_decoded_to_the_sample(browser: Browser, pages: Path, name: str) -> None:
    """Also across the seams of parts, which lie at 4 s, 8 s and so on."""
    page = Opened(browser, pages / name)
    original = render([(onset.time_s, onset.label) for onset in REFERENCE], DURATION_S)
    for time_s in (0.5, 4.0, 8.0, 28.0):
        start = round(time_s * RATE_HZ) - 1_000
        decoded = np.array(page("([a, n]) => softloc.samples(a, n)", [start, 3_000]))
        own = original[start : start + 3_000]
        shift = int(np.correlate(decoded, own, "full").argmax()) - (len(own) - 1)
        assert abs(shift) <= (0 if name == "evaluation.html" else 1)
        if name == "evaluation.html":
            assert np.abs(decoded - own).max() < 2**-14
    assert page.console == []
    page.context.close()


def test_without_sound_it_still_works(browser: Browser, pages: Path) -> None:
    page = Opened(browser, pages / "silent.html")
    assert "it is not there" in page.page.locator(".note").first.inner_text()
    page.page.select_option("#clicks", "estimate")
    page.page.click("#play")
    page.wait_for("softloc.position > 0.2")
    assert page.console == []
    page.context.close()


@pytest.mark.parametrize("name", ["transcription.html", "empty.html"])
def test_transcriptions(browser: Browser, pages: Path, name: str) -> None:
    page = Opened(browser, pages / name)
    n_events = len(ESTIMATE) if name == "transcription.html" else 0
    count = page.page.locator("#count").inner_text()
    assert count == (f"{n_events} events" if n_events else "no events")
    page.page.click("#next")
    assert page("softloc.chosen") == (0 if n_events else -1)
    page.page.keyboard.press("c")
    assert len(page("softloc.clicks")) == n_events
    assert page.console == []
    page.context.close()

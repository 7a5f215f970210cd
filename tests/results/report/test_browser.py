"""The page in a real browser: it plays, obeys mouse and keys, fits every width, and asks nobody for anything."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import contextmanager

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[test]'")
if not (CHROMIUM and DRIVER):
    pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver", allow_module_level=True)

from selenium import webdriver  # noqa: E402 - what needs a browser is imported where there is one
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from csmri.results.folder import read_results  # noqa: E402
from csmri.results.report import render_report  # noqa: E402

MAGMA = "000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf".split()
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
READY = "return document.getElementById('view')?.dataset.ready"


@contextmanager
def chromium():
    """A browser that logs its console and its network."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Player:
    """The page and what tests look at in it."""

    def __init__(self, driver, page):
        self.driver, self.url = driver, page.as_uri()

    def open(self, *, width=1280, theme="light", motion="reduce"):
        """Load afresh; reduced motion, so that the player starts paused, unless told otherwise."""
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(self.url)
        self.until(lambda: self.script(READY))
        return self

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def until(self, condition):
        return WebDriverWait(self.driver, 5, poll_frequency=0.02).until(lambda _: condition())

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def pixels(self, selector):
        """Every pixel of every canvas, as one text."""
        return self.script(
            "return [...document.querySelectorAll(arguments[0])].map((canvas) => canvas.toDataURL())", selector
        )

    def frame(self):
        return int(self.find("#frame-text").text.split()[0])

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def focus(self, selector="#view"):
        self.script("document.querySelector(arguments[0]).focus()", selector)

    def set(self, selector, value):
        """Move a slider as a hand does."""
        self.script(
            "const [name, value] = arguments, it = document.querySelector(name); it.value = value;"
            "it.dispatchEvent(new Event('input', { bubbles: true }))",
            selector,
            value,
        )


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


@pytest.fixture
def player(browser, page):
    yield Player(browser, page).open()
    browser.execute_script("localStorage.clear()")


def test_nothing_is_asked_of_anyone_and_nothing_goes_wrong(player, browser, page):
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    player.open(motion="no-preference")
    for selector in ("#play", "#theme", "#vertical", "#reset"):
        player.find(selector).click()
    player.press("]", "[", Keys.ARROW_LEFT)
    time.sleep(0.2)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in asked
    assert [url for url in asked if url != page.as_uri() and not url.startswith("data:")] == []


def test_it_beats_and_space_halts_it(player):
    player.open(motion="no-preference")
    first = player.frame()
    player.until(lambda: player.frame() != first)
    player.press(Keys.SPACE)
    halted = player.frame()
    time.sleep(0.4)
    assert player.frame() == halted
    assert player.find("#play").get_attribute("aria-label") == "Play"
    assert player.find("#live").get_attribute("textContent").startswith(f"Frame {halted} of 6")
    player.find("#play").click()
    player.until(lambda: player.frame() != halted)
    assert player.find("#play").get_attribute("aria-label") == "Pause"


def test_it_starts_paused_for_who_wants_less_motion(player):
    time.sleep(0.4)
    assert player.frame() == 1 and player.find("#play").get_attribute("aria-label") == "Play"


def test_images_are_there_and_differ(player):
    images = player.pixels("canvas.image")
    assert len(images) == 4 and len(set(images)) == 4
    errors = player.pixels("canvas.error")
    assert len(errors) == 3 and len(set(errors)) == 3
    assert len(set(player.pixels("canvas.time"))) == 4


def test_arrows_step_frames(player):
    images, profiles, number = (
        player.pixels("canvas.image, .error"),
        player.pixels(".time"),
        player.find(".nmse b").text,
    )
    player.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert player.frame() == 3
    assert not set(images) & set(player.pixels("canvas.image, .error"))
    assert player.pixels(".time") == profiles and player.find(".nmse b").text != number
    player.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert player.pixels("canvas.image, .error") == images and player.find(".nmse b").text == number
    player.press(Keys.ARROW_LEFT)
    assert player.frame() == 6


def test_the_numbers_under_the_images_are_those_of_python(player, images):
    from csmri.evaluation.metrics import nmse

    example = next(one for one in images if one.slice == 0 and one.acceleration == 8)
    box = example.heart_box
    player.press(Keys.ARROW_RIGHT)
    for name in ("initial", "standalone", "transfer_50"):
        exact = 1e3 * nmse(box.crop(example.reference[1]), box.crop(example.methods[name][1]))
        said = player.find(f'[data-method="{name}"] .nmse b').text.removeprefix("NMSE ")
        assert float(said) == pytest.approx(exact, rel=6e-3)


def test_pixels_are_those_of_python(player, images):
    """Images through the window, errors through the colour map, to within the steps in which they are stored."""
    example = next(one for one in images if one.slice == 0 and one.acceleration == 8)
    box = example.heart_box
    y, x = player.script("return JSON.parse(document.getElementById('data').textContent).player.slices[0].box")[:2]
    white = np.quantile(box.crop(example.reference), 0.995)
    rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)

    def red(selector):
        levels = player.script(
            "const it = document.querySelector(arguments[0]), { width, height } = it;"
            "return [...it.getContext('2d').getImageData(0, 0, width, height).data].filter((_, i) => i % 4 === 0)",
            selector,
        )
        canvas = np.reshape(levels, (-1, int(player.find(selector).get_property("width"))))
        return canvas[y : y + box.height, x : x + box.width]

    truth = example.reference[2, rows, columns] / white
    magma = [int(colour[:2], 16) for colour in MAGMA]
    player.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    for name in ("initial", "standalone", "transfer_50"):
        image = example.methods[name][2, rows, columns] / white
        shown = red(f'[data-method="{name}"] .image')
        inside = (truth < 1) & (image > 0)
        np.testing.assert_allclose(shown[inside], 255 * np.clip(image, 0, 1)[inside], atol=2)
        share = np.clip(5 * np.abs(image - truth), 0, 1)[inside]
        expected = np.interp(share, np.linspace(0, 1, len(magma)), magma)
        # A step of 1/400 times the gain is 3 levels, over which red rises by up to 6.
        assert np.abs(red(f'[data-method="{name}"] .error')[inside] - expected).max() < 10


def test_up_and_down_choose_the_slice_while_the_player_has_the_focus(player):
    images = player.pixels("canvas.image")
    player.press(Keys.ARROW_DOWN)
    assert player.script(READY) == "0/1"  # the page scrolls instead
    player.focus()
    player.press(Keys.ARROW_DOWN)
    player.until(lambda: player.script(READY) == "1/1")
    assert not set(images) & set(player.pixels("canvas.image"))
    assert "slice 1" in player.find("#subject").text
    player.press(Keys.ARROW_UP)
    player.until(lambda: player.script(READY) == "0/1")
    assert player.pixels("canvas.image") == images


def test_keys_and_buttons_choose_the_acceleration(player):
    reference, errors = player.pixels("[data-method=reference] .image"), player.pixels(".error")
    player.press("[")
    player.until(lambda: player.script(READY) == "0/0")
    assert not set(errors) & set(player.pixels(".error"))
    assert player.pixels("[data-method=reference] .image") == reference
    player.press("8")
    player.until(lambda: player.script(READY) == "0/1")
    assert player.pixels(".error") == errors
    player.find("#acceleration input").click()
    player.until(lambda: player.script(READY) == "0/0")
    assert "R = 4" in player.find("#subject").text


@pytest.mark.parametrize(
    ("control", "value", "changed", "same"),
    [
        ("#level", 30, "canvas.image, .time", ".error"),
        ("#width", 60, "canvas.image, .time", ".error"),
        ("#gain", 12, ".error", "canvas.image, .time"),
    ],
)
def test_window_and_gain_change_what_they_should(player, control, value, changed, same):
    before, kept = player.pixels(changed), player.pixels(same)
    player.set(control, value)
    assert not set(before) & set(player.pixels(changed))
    assert player.pixels(same) == kept
    player.find("#reset").click()
    assert player.pixels(changed) == before


def test_heart_rate_sets_the_pace(player):
    def frames_in(seconds):
        seen, end = 0, time.monotonic() + seconds
        last = player.frame()
        while time.monotonic() < end:
            now = player.frame()
            seen, last = seen + (now - last) % 6, now
        return seen

    player.find("#play").click()
    player.set("#speed", 10)  # 1 frame a second
    slow = frames_in(0.8)
    player.set("#speed", 100)  # 10 frames a second
    assert slow <= 2 < 4 <= frames_in(0.8)


def test_the_profile_line_is_dragged(player):
    line, profiles = player.find("[data-method=reference] .line"), player.pixels(".time")
    row, images = int(line.get_attribute("aria-valuenow")), player.pixels("canvas.image")
    ActionChains(player.driver).click_and_hold(line).move_by_offset(0, -60).release().perform()
    assert int(line.get_attribute("aria-valuenow")) < row - 2
    assert not set(profiles) & set(player.pixels(".time"))
    assert player.pixels("canvas.image") == images
    # from another image, and by the keyboard
    other = player.find("[data-method=initial] .line")
    ActionChains(player.driver).click_and_hold(other).move_by_offset(0, 30).release().perform()
    now = int(line.get_attribute("aria-valuenow"))
    player.focus("[data-method=reference] .line")
    player.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert int(line.get_attribute("aria-valuenow")) == now + 2
    assert player.script(READY) == "0/1"  # the slice stayed
    player.press(Keys.HOME)
    assert line.get_attribute("aria-valuenow") == "0"


def test_the_profile_line_turns(player):
    profiles = player.pixels(".time")
    player.press("v")
    assert not set(profiles) & set(player.pixels(".time"))
    line = player.find("[data-method=reference] .line")
    assert line.get_attribute("aria-orientation") == "horizontal" and player.find("#vertical").is_selected()
    column = int(line.get_attribute("aria-valuenow"))
    ActionChains(player.driver).click_and_hold(line).move_by_offset(50, 0).release().perform()
    assert int(line.get_attribute("aria-valuenow")) > column
    player.find("#vertical").click()
    assert line.get_attribute("aria-orientation") == "vertical"


def test_the_heart_box_stands_where_it_should_and_goes(player, images):
    inside = player.script(
        "const box = document.querySelector('.box').getBoundingClientRect(),"
        " image = document.querySelector('.image').getBoundingClientRect();"
        "return [box.height / image.height, box.width / image.width]"
    )
    canvas = player.find("canvas.image")
    size = int(canvas.get_property("height")), int(canvas.get_property("width"))
    height, width = images[0].heart_box[2:]
    assert inside == pytest.approx([height / size[0], width / size[1]], abs=0.01)
    player.find("#box").click()
    assert not player.find(".box").is_displayed()
    player.press("b")
    assert player.find(".box").is_displayed()


def test_colours_follow_the_system_and_the_button(player):
    def page_colour():
        return player.script("return getComputedStyle(document.body).backgroundColor")

    light = page_colour()
    player.open(theme="dark")
    dark = page_colour()
    assert dark != light
    button = player.find("#theme")
    button.click()
    assert (button.text, page_colour()) == ("Light", light)
    player.open(theme="light")  # the choice is remembered
    assert player.find("#theme").text == "Light"
    player.find("#theme").click()
    assert (player.find("#theme").text, page_colour()) == ("Dark", dark)
    player.find("#theme").click()
    assert (player.find("#theme").text, page_colour()) == ("Auto", light)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_can_be_read(player, theme):
    """Contrast of 4.5 to 1, as WCAG AA asks, of what is written on the page and in the player."""
    player.open(theme=theme)
    script = """
      const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
      const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92
        : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const behind = (it) => { for (; it; it = it.parentElement) {
        const c = rgb(getComputedStyle(it).backgroundColor); if (c[3] !== 0) return c; } return [255, 255, 255]; };
      return [...document.querySelectorAll("p, dt, dd, li, th, td, small, caption, h1, h2, label, summary, button, b")]
        .filter((it) => it.checkVisibility() && it.textContent.trim()).map((it) => {
          const [a, b] = [light(rgb(getComputedStyle(it).color)), light(behind(it))].sort((x, y) => y - x);
          return [(a + 0.05) / (b + 0.05), it.tagName + "." + it.className + ": " + it.textContent.slice(0, 30)];
        }).filter(([ratio]) => ratio < 4.5)"""
    assert player.script(script) == []


@pytest.mark.parametrize("width", [320, 360, 768, 1280, 1920])
def test_every_width_holds_the_page(player, width):
    player.open(width=width)
    player.script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert player.script("return [document.documentElement.scrollWidth, innerWidth]") == [width, width]
    shown = [name for name in ("wide", "medium", "narrow") if player.find(f"svg.{name}").is_displayed()]
    assert len(shown) == 1
    smallest = "return Math.min(...[...document.querySelectorAll('canvas.image')].map((one) => one.clientWidth))"
    assert player.script(smallest) > 120


def test_nothing_moves_while_it_plays(player):
    def places():
        return player.script(
            "return [...document.querySelectorAll('.panel, h2, .transport, #slice')].map((one) => "
            "{ const box = one.getBoundingClientRect(); return [box.x, box.y + scrollY, box.width, box.height]; })"
        )

    before = places()
    player.press(Keys.ARROW_RIGHT, "v", "[")
    player.until(lambda: player.script(READY) == "0/0")
    assert places() == before


def test_everything_is_reached_by_tab_and_named(player):
    player.script("document.activeElement.blur(); scrollTo(0, 0)")
    reached = []
    for _ in range(40):
        player.press(Keys.TAB)
        reached.append(
            player.script(
                "const it = document.activeElement;"
                "const name = it.getAttribute('aria-label') || it.labels?.[0]?.textContent || it.textContent;"
                "return [it.id || it.className || it.tagName, name.trim()]"
            )
        )
    names = [name for name, _ in reached]
    wanted = ["theme", "view", "play", "frame", "slice", "line across", "level", "width", "gain", "speed", "vertical"]
    assert [name for name in names if name in wanted][: len(wanted)] == wanted
    assert {"box", "reset", "curves", "scroll"} <= set(names)
    assert [name for name, label in reached if not label] == []


def test_sliders_keep_their_own_arrows(player):
    player.focus("#gain")
    player.press(Keys.ARROW_RIGHT)
    assert player.find("#gain").get_property("value") == "6" and player.frame() == 1
    player.focus("#frame")
    player.press(Keys.ARROW_RIGHT)
    assert player.frame() == 2


def test_curves_read_out_the_epoch_under_the_pointer(player):
    last = player.find("[data-curve='0']").text
    svg = player.find("svg.wide")
    player.script("arguments[0].scrollIntoView({ block: 'center' })", svg)
    ActionChains(player.driver).move_to_element(svg).perform()
    assert 2 <= int(player.find("#epoch").text) <= 20
    assert player.find("[data-curve='0']").text != last
    assert player.find("svg.wide .cross").get_attribute("visibility") == "visible"
    player.focus("#curves")
    epoch = int(player.find("#epoch").text)
    player.press(Keys.ARROW_RIGHT)
    assert int(player.find("#epoch").text) == epoch + 1


def test_a_page_without_images_works(browser, study_folder, tmp_path):
    render_report(read_results(study_folder), tmp_path / "page.html", examples=())
    browser.get_log("browser")
    browser.get((tmp_path / "page.html").as_uri())
    browser.find_element(By.ID, "theme").click()
    assert "csmri report RESULTS --examples" in browser.find_element(By.ID, "player").text
    assert browser.find_element(By.CSS_SELECTOR, "[data-curve='0']").text
    assert browser.get_log("browser") == []

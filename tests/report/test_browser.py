"""A page in headless Chromium: what a person moves changes the pictures, on a desk and on a phone."""

import json
import shutil

import pytest

from jaxgan import data
from jaxgan.report.page import write_report
from tests.report.conftest import make_run
from tests.tiny import tiny

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def address(runs, saved, training_set, tmp_path_factory):
    """A page of a conditional run beside one without checkpoint."""
    root = tmp_path_factory.mktemp("browser")
    folder = make_run(root / "told", tiny("dcgan", conditional=True), samples=saved)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: training_set)
        write_report([folder, runs / "second"], root / "page.html")
    return (root / "page.html").as_uri()


@pytest.fixture(params=["light", "dark", "phone"])
def page(request, browser, address):
    """The opened page; it must have made no complaint and no request when it is closed."""
    size = {"width": 390, "height": 844} if request.param == "phone" else {"width": 1280, "height": 900}
    how = {"has_touch": True} if request.param == "phone" else {"color_scheme": request.param}
    context = browser.new_context(viewport=size, **how)
    opened, said, asked = context.new_page(), [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda made: asked.append(made.url))
    opened.goto(address)
    yield opened
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]


def drawn(page, place):
    """The pixels that a canvas holds."""
    return page.locator(place).first.evaluate("canvas => canvas.toDataURL()")


def shown(page):
    """The label of the picture of samples that is seen."""
    return page.locator(".growth img[data-label]:visible").get_attribute("data-label")


def test_the_scrubber_shows_other_samples_by_key_and_by_pointer(page):
    sheet = page.locator(".growth .sheet")
    last = sheet.screenshot()
    scrubber = page.locator(".growth").get_by_role("slider")
    scrubber.focus()
    page.keyboard.press("ArrowLeft")
    assert (
        shown(page)
        == scrubber.get_attribute("aria-valuetext")
        == page.locator(".growth output").inner_text()
        == "epoch 3"
    )
    assert sheet.screenshot() != last
    box = scrubber.bounding_box()
    page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    assert shown(page) == "epoch 1"
    page.get_by_role("button", name="Play").click()
    page.locator(".growth output", has_text="epoch 9").wait_for()
    assert sheet.screenshot() == last
    assert page.get_by_role("button", name="Play").is_visible()


def test_the_plane_shows_other_images_by_key_pointer_and_class(page):
    area, lens = page.locator(".map"), ".lens canvas"
    seen = [drawn(page, lens)]
    area.focus()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        seen.append(drawn(page, lens))
    box = area.bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    seen.append(drawn(page, lens))
    assert "column 1, row 1 of" in page.locator(".lens output").inner_text()
    page.mouse.move(box["x"] + box["width"] + 9, box["y"] + box["height"] - 3, steps=5)
    page.mouse.up()
    seen.append(drawn(page, lens))
    side = page.locator(".plane").get_attribute("data-side")
    assert page.locator(".lens output").inner_text() == f"column {side}, row {side} of {side}"
    page.mouse.move(box["x"] + 3, box["y"] + 3)  # with no button down
    assert drawn(page, lens) == seen[-1]
    page.get_by_role("combobox").select_option("7")
    seen.append(drawn(page, lens))
    assert len(set(seen)) == len(seen)


def test_an_image_is_enlarged_beside_the_nearest_and_by_keys(page):
    cells = page.locator(".growth .cells button")
    cells.nth(2).click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading").inner_text() == "Image 3, epoch 9"
    assert "at distance 0.00" in dialog.inner_text()
    own, nearest = (drawn(page, f"dialog figure:nth-child({i}) canvas") for i in (1, 2))
    assert own == nearest  # the samples of the last epoch are training images
    page.keyboard.press("ArrowRight")
    assert dialog.get_by_role("heading").inner_text() == "Image 4, epoch 9"
    assert drawn(page, "dialog canvas") != own
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    cells.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert dialog.get_by_role("heading").inner_text() == "Image 9, epoch 9"
    dialog.get_by_role("button", name="Close").click()
    page.locator(".by-class .cells button").nth(10).click()
    assert "class 1," in dialog.inner_text()


def test_values_of_a_curve_are_read_by_key_and_by_pointer(page):
    curve = page.locator(".curve").first
    words, slider = curve.locator("output"), curve.get_by_role("slider")
    assert words.inner_text().startswith("Epoch 4: ")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert words.inner_text() == slider.get_attribute("aria-valuetext")
    assert words.inner_text().startswith("Epoch 3: ")
    for epoch, place in ((1, 0), (4, -1)):
        at = json.loads(curve.get_attribute("data-points"))[place][0] / 100
        box = curve.locator(".drawn").bounding_box()
        page.mouse.move(box["x"] + at * box["width"] + 4, box["y"] + box["height"] / 2)
        assert words.inner_text().startswith(f"Epoch {epoch}: ")
        line = curve.locator(".line").bounding_box()
        assert abs(line["x"] - box["x"] - at * box["width"]) < 1.5
        assert box["y"] < line["y"] < line["y"] + line["height"] < box["y"] + box["height"]


def test_nothing_is_wider_than_the_window(page):
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] == wide[1]


def test_colours_follow_the_scheme(page):
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, *_ = (int(number) for number in colour[4:-1].split(","))
    assert (red < 60) == dark
    line = page.locator(".curves svg path[style*='--c1f4e79']").first
    assert line.evaluate("path => getComputedStyle(path).stroke") == (
        "rgb(111, 169, 224)" if dark else "rgb(31, 78, 121)"
    )

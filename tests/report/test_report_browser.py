"""report.html in headless Chromium, opened from disk."""

import base64
import io
import json

import numpy as np
import pytest
from browser import Browser
from PIL import Image
from report_case import FIGURE, evaluated, made_run

from kgen.report import write_report

SECONDS = 30


@pytest.fixture(scope="module")
def browser():
    with Browser(SECONDS) as found:
        yield found


@pytest.fixture
def page(browser, tmp_path):
    """The page of a run of four epochs; the console stays empty, and only the file itself was asked for."""
    run = made_run(tmp_path / "run")
    run.log("note: one word is long; use --set model_args.likelihood=gaussian_learned for another", show=False)
    trained_on = {**FIGURE["protocol"], "settings": {"train_images": 1437, "train_hash": "ab" * 6}}
    long = {"metric": "authenticity", "value": 1.463e-4, "interval": [1.311e-4, 1.615e-4], "note": "few images: " * 9}
    evaluated(run, FIGURE, {**FIGURE, **long, "stddev": 6.1e-06, "baseline": 5.428e-4, "protocol": trained_on})
    browser.complaints()
    browser.driver.get(write_report(run).as_uri())
    browser.run = run
    yield browser
    assert browser.complaints() == []
    asked = browser.driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def grey_of(page) -> int:
    """The grey of the first sample that the film shows; grids are 40, 80, ... by epoch."""
    address = page.one("#frame").get_property("src")
    return int(pixels(base64.b64decode(address.partition(",")[2]))[4, 4, 0])


@pytest.mark.slow
def test_the_page_looks_like_something(page):
    shot = pixels(page.driver.get_screenshot_as_png())
    assert shot.shape[1] > 600 and len(np.unique(shot.reshape(-1, 3), axis=0)) > 50
    assert page.driver.title == "run: cvae on pets"  # and not what a class name would make of it
    assert page.sticking_out(390) == [] and page.sticking_out(1280) == []


def test_dark_where_the_reader_wants_it(page):
    grounds = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        grounds.append(pixels(page.driver.get_screenshot_as_png())[5, 5].mean())
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert grounds[0] > 200 and grounds[1] < 60


def test_a_narrow_page_has_the_results_below_each_other(page):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    headers = "return [...arguments[0].children].map(e => getComputedStyle(e, '::before').content)"
    try:
        cells = page.one(".stacks tbody tr")
        assert page.driver.execute_script(headers, cells)[1:4] == ['"value"', '"95 % interval"', '"baseline"']
        tops = [cell.location["y"] for cell in cells.find_elements("css selector", "th, td")]
        assert tops == sorted({*tops})
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_slider_shows_the_grids_over_time(page):
    from selenium.webdriver import Keys

    assert grey_of(page) == 200 and "at the end" in page.text("#frame-words")
    before = pixels(page.one("#frame").screenshot_as_png)
    page.set("#epoch", 2)
    page.wait(lambda: page.one("#frame").get_property("complete"))
    assert grey_of(page) == 80 and page.text("#frame-words") == "epoch 2 of 4: validation loss 152.2"
    assert not np.array_equal(before, pixels(page.one("#frame").screenshot_as_png))
    page.one("#epoch").send_keys(Keys.ARROW_LEFT)
    assert grey_of(page) == 40 and page.one("#epoch").get_attribute("aria-valuetext").startswith("epoch 1")
    assert len(page.all(".strip button")) == 6
    page.click(".strip button", 3)
    assert grey_of(page) == 120 and page.one("#epoch").get_property("value") == "3"


def test_play_goes_from_the_start_to_the_end(page):
    page.click("#play")
    assert grey_of(page) == 0 and page.one("#play").get_attribute("aria-label") == "Pause"
    page.wait(lambda: page.one("#play").get_attribute("aria-label") == "Play")
    assert grey_of(page) == 200


def test_hovering_a_curve_tells_its_values(page):
    from selenium.webdriver import ActionChains

    rows = [json.loads(line) for line in (page.run.path / "metrics.jsonl").read_text().splitlines()]
    loss = page.all(".curve svg")[0]
    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", loss)
    half = loss.size["width"] / 2
    ActionChains(page.driver).move_to_element_with_offset(loss, round(0.9 * half), 0).perform()
    tip = page.wait(lambda: page.one(".curve .tip"))
    assert tip.is_displayed() and tip.text.splitlines()[0] == "epoch 4"
    told = tip.get_property("textContent")
    assert f"train {rows[3]['train_loss']:g}" in told and f"validation {rows[3]['validation_loss']:g}" in told
    assert "test not finite" in told
    third = 52 + (400 - 52 - 10) * 2 / 3  # of a drawing 400 wide, whose axis of epochs 1 to 4 goes from 52 to 390
    ActionChains(page.driver).move_to_element_with_offset(loss, round(third / 200 * half - half), 0).perform()
    page.wait(lambda: tip.text.splitlines()[0] == "epoch 3")
    assert f"train {rows[2]['train_loss']:.5g}" in tip.get_property("textContent")  # 116.67
    assert "(epoch 2) 152.25" in tip.get_property("textContent")  # not validated in epoch 3
    dots = [len(group.find_elements("css selector", "circle")) for group in page.all(".curve .pointer")]
    assert dots == [2, 1]  # the other panel follows
    ActionChains(page.driver).move_to_element(page.one("h1")).perform()
    page.wait(lambda: not tip.is_displayed())


def test_the_keyboard_reads_curves(page):
    from selenium.webdriver import Keys

    loss, tip = page.all(".curve svg")[0], page.one(".curve .tip")
    loss.send_keys(Keys.ARROW_RIGHT)
    assert tip.text.splitlines()[0] == "epoch 1" and "150" in tip.text
    loss.send_keys(Keys.ARROW_RIGHT)
    assert tip.text.splitlines()[0] == "epoch 2"
    loss.send_keys(Keys.END)
    assert tip.text.splitlines()[0] == "epoch 4"
    loss.send_keys(Keys.ESCAPE)
    assert not tip.is_displayed()


@pytest.mark.slow
def test_commands_are_copied(page):
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", grant)
    page.click("#next .copy", 2)
    page.wait(lambda: page.all("#next .copy")[2].text == "Copied")
    copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == f"kgen-eval {page.run.path}"

"""The page in headless Chromium, over untrained models with kgen's signatures."""

import base64
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny_models
from page_case import Page, pixels, png, write_export
from same_images import same_pixels
from serving_case import SECONDS, Held, running

from kgen import generate, images, open_sampler, random
from kgen.spec import DataSpec

TOY = DataSpec("toy", (6, 5, 3), num_classes=3, class_names=("cat", "dog", "it's a <b>bird</b>"))
FLAT = DataSpec("flat", (8, 8, 1))
SEEDS = random.row_seeds(0, 48).tolist()
GRID = "#grid img"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """exports/: toy (labels, colour, 3 latent numbers), fitted (its prior differs), flat (2), plain (not kgen's)."""
    root = tmp_path_factory.mktemp("page") / "exports"
    toy = write_export(root / "toy" / "1", "cvae", TOY, latent_dim=3)
    write_export(root / "flat" / "1", "vae", FLAT, latent_dim=2)
    tiny_models.write(root / "plain" / "1")
    fitted = shutil.copytree(toy, root / "fitted" / "1") / "manifest.json"
    fitted.write_text(json.dumps(json.loads(fitted.read_text()) | {"prior": "gaussian_mixture"}))
    return root


@pytest.fixture(scope="module")
def server(root):
    with running(root) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with Page() as page:
        yield page


@pytest.fixture
def page(browser, server):
    """The page on the model toy; the console stays empty."""
    browser.open(server)
    yield browser
    assert browser.complaints() == []


def ask(server, signature: str, model: str = "toy", **inputs):
    """The outputs of a call."""
    body = {"signature_name": signature, "inputs": inputs}
    return server.http.post(f"/v1/models/{model}:predict", json=body).raise_for_status().json()["outputs"]


def generated(server, seeds, *, label: int = 0, temperature: float = 1.0) -> list[bytes]:
    """PNG files of the model toy."""
    rows = {"label": [label] * len(seeds), "seed": seeds, "temperature": [temperature] * len(seeds)}
    return [base64.b64decode(row["b64"]) for row in ask(server, "generate_png", **rows)]


def pictures(page, css: str) -> list[bytes]:
    return [png(source) for source in page.sources(css)]


def alike(found: list[bytes], expected: list[bytes]) -> bool:
    """Whether PNG files show the same, but for pixels at the border of two grey levels: calls have other batches."""
    return len(found) == len(expected) and all(map(same_pixels, map(pixels, found), map(pixels, expected)))


def body_of(curl: str) -> dict:
    """The body of a call that the page shows."""
    return json.loads(re.search(r"-d '(.*?)'", curl)[1])


def keep_two(page):
    """Keeps the first and the sixth sample; their seeds."""
    page.click("#grid .star", 0)
    page.click("#grid .star", 5)
    page.wait(lambda: len(page.all("#strip img")) == 9)
    return [SEEDS[0], SEEDS[5]]


@pytest.mark.slow
def test_a_seed_is_the_same_latent_point_in_the_browser(page):
    seeds = [0, 1, 7, 32767, 32768, 2**30 - 1, 2**30, 2**31 - 1, *random.row_seeds(5, 200).tolist()]
    for size in (1, 2, 3, 64, 785):
        found = page.module("portable.js", "a[0].map(s => Array.from(m.normals(s, a[1])))", seeds, size)
        expected = random.portable_normals(np.array(seeds, np.int32), size)
        np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)
    rows = page.module("portable.js", "a[0].map(row => m.rowSeed(2147483647, row))", list(range(100)))
    assert rows == random.row_seeds(2**31 - 1, 100).tolist()


def test_samples_are_those_of_their_seeds(page, server):
    assert [row.text for row in page.all("#grid .row")] == [str(row) for row in range(24)]
    assert f"seed {SEEDS[23]}," in page.all("#grid .sample")[23].get_attribute("title")
    assert alike(pictures(page, GRID), generated(server, SEEDS[:24]))
    assert [label.text for label in page.all("#classes label")] == list(TOY.class_names)  # names are no markup
    page.click("#more")
    page.wait(lambda: len(page.all(GRID)) == 48)
    assert alike(pictures(page, GRID), generated(server, SEEDS))
    before = page.sources(GRID)
    page.click("#new-seeds")
    page.wait(lambda: len(page.all(GRID)) == 24 and page.sources(GRID)[0] != before[0])


def test_class_temperature_and_seed(page, server):
    page.click("#classes input", 2)
    expected = generated(server, SEEDS[:24], label=2)
    page.wait(lambda: alike(pictures(page, GRID), expected))
    page.set("#temperature", 0.5)
    expected = generated(server, SEEDS[:24], label=2, temperature=0.5)
    page.wait(lambda: alike(pictures(page, GRID), expected))
    page.set("#seed", 2**31)
    page.wait(lambda: "whole number from 0 to 2147483647" in page.text("#samples-status"))
    page.set("#seed", 11)
    expected = generated(server, random.row_seeds(11, 24).tolist(), label=2, temperature=0.5)
    page.wait(lambda: alike(pictures(page, GRID), expected) and page.text("#samples-status") == "")


def test_a_class_is_asked_for_by_its_number(browser, tmp_path):
    """Classes 3, 5 and 10: every call that the page makes and shows has the number of the class that is chosen."""
    spec = DataSpec("numbers", (6, 5, 1), num_classes=3, class_names=("3", "5", "10"))
    write_export(tmp_path / "numbers" / "1", "cvae", spec, latent_dim=3)
    with running(tmp_path) as server:
        browser.open(server, "numbers/1")
        for place, number in enumerate((3, 5, 10)):
            browser.click("#classes input", place)
            rows = {"label": [number] * 24, "seed": SEEDS[:24], "temperature": [1] * 24}
            expected = [base64.b64decode(row["b64"]) for row in ask(server, "generate_png", "numbers", **rows)]
            browser.wait(lambda expected=expected: alike(pictures(browser, GRID), expected))
        browser.click("#grid .sample", 1)
        assert all('"label": [10]' in browser.text(call) for call in ("#curl", "#python", "#javascript"))
        browser.drag((0.2, 0.2), (0.4, 0.5))
        browser.wait(lambda: '"label": [10]' in browser.text("#curl") and '"z": ' in browser.text("#curl"))
        assert browser.complaints() == []


def test_kept_samples_outlive_the_page(page, server):
    page.click("#classes input", 1)
    page.wait(lambda: alike(pictures(page, GRID), generated(server, SEEDS[:24], label=1)))
    page.click("#grid .sample", 2)  # selecting keeps nothing
    assert page.all("#tray li") == [] and f"Seed{SEEDS[2]}Class" in page.text("#selected-facts")
    page.click("#grid .star", 3)  # keeping selects nothing
    kept = generated(server, [SEEDS[3]], label=1)
    assert alike(pictures(page, "#tray img"), kept)
    for css, pressed in ((".sample", 2), (".star", 3)):
        states = [button.get_attribute("aria-pressed") for button in page.all(f"#grid {css}")]
        assert states == ["true" if place == pressed else "false" for place in range(24)]
    page.go(server)
    page.wait(lambda: alike(pictures(page, "#tray img"), kept))
    page.go(server, "flat/1")
    assert page.all("#tray li") == [] and page.one("#kept-empty").is_displayed()
    page.go(server)
    page.wait(lambda: page.all("#tray li"))
    page.click("#tray .drop")
    page.go(server)
    assert page.all("#tray li") == []


def test_a_drag_over_the_plane_is_decoded(page, server):
    page.drag((0.2, 0.2), (0.4, 0.5), (-0.6, 0.8))
    page.wait(lambda: "x -0.9" in page.text("#plane-place"))
    x, y = map(float, re.findall(r"[xy] (-?[\d.]+)", page.one("#pad").get_attribute("aria-valuetext")))
    assert (x, y) == pytest.approx((-0.9, 1.2), abs=0.02)
    body = body_of(page.text("#curl"))
    a, b = random.portable_normals(random.row_seeds(1, 2), 3)
    np.testing.assert_allclose(body["inputs"]["z"], [x * a + y * b], atol=0.02)  # x and y are shown with two decimals
    decoded = ask(server, "decode", **body["inputs"])[0]
    expected = images.to_uint8(np.array(decoded, np.float32))
    for css in ("#plane-picture", "#selected-picture"):
        assert same_pixels(pixels(page.sources(css)[0]), expected)


def test_the_plane_by_keys_and_the_whole_plane_of_two_numbers(page, server):
    page.go(server, "flat/1")
    page.one("#pad").send_keys("\ue014\ue014\ue013")  # right, right, up: a tenth each
    page.wait(lambda: page.text("#plane-place") == "z0 0.20, z1 0.10")
    assert [name.text for name in page.all(".axes > span > span")] == ["−3", "z1", "3", "−3", "z0", "3"]
    body = body_of(page.text("#curl"))
    np.testing.assert_allclose(body["inputs"]["z"], [[0.2, 0.1]], atol=1e-6)
    page.wait(lambda: len(page.all("#pad-map img")) == 81)
    corner = ask(server, "decode", "flat", z=[[-3 + 1 / 3, 3 - 1 / 3]])[0]  # the middle of a cell that is 2/3 wide
    gray = np.repeat(images.to_uint8(np.array(corner, np.float32)), 3, axis=2)
    np.testing.assert_allclose(pixels(page.sources("#pad-map img")[0]), gray, atol=1)


def test_one_request_is_under_way_and_the_newest_place_wins(page, server, monkeypatch):
    page.click("#plane-map")
    page.wait(lambda: not page.all("#pad-map img"))
    held = Held(monkeypatch, "decode")
    page.drag(*((share, -share) for share in np.linspace(0.1, 0.8, 15)))
    assert held.running.wait(SECONDS)
    last = page.one("#pad").get_attribute("aria-valuetext")
    assert page.text("#plane-place") != last
    held.go_on.set()
    page.wait(lambda: page.text("#plane-place") == last)
    assert held.calls == [1, 1]  # the first place and the last


def test_interpolation_between_two_kept_samples(page, server):
    assert "Keep two samples" in page.text("#path-hint") and not page.one("#path-body").is_displayed()
    seeds = keep_two(page)
    frames = [pixels(source) for source in page.sources("#strip img")]
    for frame, expected in zip((frames[0], frames[-1]), generated(server, seeds), strict=True):
        assert np.abs(frame.astype(int) - pixels(expected)).max() <= 1  # z differs by 2e-5
    z0, z1 = random.portable_normals(np.array(seeds, np.int32), 3).tolist()
    page.set("#share", 0.25)
    page.wait(lambda: page.text("#selected-facts").startswith("Callinterpolate"))
    ours = ask(server, "interpolate", z0=[z0], z1=[z1], label=[0], t=[0.25])[0]
    for css in ("#path-picture", "#selected-picture"):
        np.testing.assert_allclose(pixels(page.sources(css)[0]) / 255, ours, atol=0.5 / 255 + 1e-4)
    page.click("#strip button", 3)
    page.wait(lambda: np.array_equal(pixels(page.sources("#selected-picture")[0]), frames[3]))
    page.choose("#path-class", 2)
    page.wait(lambda: not np.array_equal(pixels(page.sources("#strip img")[0]), frames[0]))


def test_a_plane_through_kept_samples(page):
    seeds = keep_two(page)
    page.choose("#plane-kind", 1)
    page.drag((1 / 1.5, 0))  # A
    page.wait(lambda: page.text("#selected-facts").startswith("Calldecode"))
    z = body_of(page.text("#curl"))["inputs"]["z"]
    np.testing.assert_allclose(z, random.portable_normals(np.array(seeds[:1], np.int32), 3), atol=0.03)


def test_a_prior_that_only_the_server_knows(page, server):
    page.go(server, "fitted/1")
    page.click("#grid .star", 0)
    page.click("#grid .star", 1)
    assert "gaussian mixture" in page.text("#path-hint") and not page.one("#path-body").is_displayed()
    assert not page.all("#plane-kind option")[1].is_enabled() and "gaussian mixture" in page.text("#plane-hint")


def test_the_copied_curl_call_gives_the_same_picture(page, server, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("no curl on the path")
    page.click("#classes input", 2)
    page.wait(lambda: alike(pictures(page, GRID), generated(server, SEEDS[:24], label=2)))
    page.click("#grid .sample", 4)
    call = page.copied("#copy-curl")
    done = subprocess.run(["bash", "-c", call], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (file,) = tmp_path.iterdir()
    assert alike([file.read_bytes()], pictures(page, "#selected-picture"))
    page.drag((0.3, 0.3))
    page.wait(lambda: page.text("#selected-facts").startswith("Calldecode"))
    done = subprocess.run(["bash", "-c", page.copied("#copy-curl")], capture_output=True, timeout=SECONDS)
    answered = np.array(json.loads(done.stdout)["outputs"], np.float32)[0]
    assert same_pixels(images.to_uint8(answered), pixels(page.sources("#selected-picture")[0]))


@pytest.mark.parametrize("what", ["sample", "point", "frame"])
def test_the_copied_programs_give_the_same_picture(page, server, tmp_path, monkeypatch, what):
    """In Python, and in JavaScript as a page that has it in a module runs it; neither has kgen."""
    page.click("#grid .sample", 4)
    if what == "point":
        page.drag((0.3, 0.3))
    elif what == "frame":
        keep_two(page)
        page.click("#strip button", 6)
    call = {"point": "decode", "frame": "interpolate"}.get(what, "generate_png")
    page.wait(lambda: page.text("#selected-facts").startswith(f"Call{call}"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "kgen", None)
    exec(page.copied("#copy-python"), {})
    (file,) = tmp_path.iterdir()
    displayed = pixels(page.sources("#selected-picture")[0])
    assert np.abs(pixels(file.read_bytes()).astype(int) - displayed).max() <= 1
    assert file.name == page.one("#download").get_attribute("download")
    code = page.copied("#copy-javascript")
    done = "then(() => arguments[0](''), (error) => arguments[0](String(error)))"
    assert page.driver.execute_async_script(f"(async () => {{ {code} }})().{done}") == ""
    page.wait(lambda: page.driver.execute_script("return document.body.lastElementChild.complete ?? true"))
    added = page.driver.execute_script(
        """
        const [added, drawn] = [document.body.lastElementChild, document.createElement("canvas")];
        [drawn.width, drawn.height] = [added.naturalWidth ?? added.width, added.naturalHeight ?? added.height];
        drawn.getContext("2d").drawImage(added, 0, 0);
        added.remove();
        return drawn.toDataURL("image/png");
        """
    )
    assert np.abs(pixels(added).astype(int) - displayed).max() <= 1


def test_the_grid_is_the_batch_of_its_first_seed(page, server):
    ours = generate(open_sampler(f"{server.rest}/v1/models/toy"), 24, labels=0, seed=0).pixels
    assert np.abs(np.stack([*map(pixels, page.sources(GRID))]).astype(int) - ours).max() <= 1


def test_models_that_kgen_did_not_export(page, server):
    page.choose("#model", [option.text for option in page.all("#model option")].index("plain"))
    page.wait(lambda: "generate_png" in page.text("#about-text"))
    assert json.loads(page.text("#about-text"))["model_spec"]["name"] == "plain"
    assert "no manifest.json" in page.text("#about-problem") and not page.one("#studio").is_displayed()


def test_refusals_are_shown_where_they_happen(browser, server):
    browser.open(server)
    browser.driver.execute_script(
        "localStorage.setItem('kgen.kept', JSON.stringify({'toy/1': [{label: 7, seed: 1, temperature: 1}]}))"
    )
    browser.go(server)
    browser.wait(lambda: "HTTP 400" in browser.text("#kept-status") and "label" in browser.text("#kept-status"))
    assert "error" in browser.one("#kept-status").get_attribute("class")
    browser.click("#tray .drop")  # what cannot be generated can be removed
    assert not browser.all("#tray li") and browser.text("#kept-status") == ""


def test_a_server_that_has_gone_is_told(browser, root):
    with running(root) as server:
        browser.open(server)
    browser.click("#new-seeds")
    browser.wait(lambda: "cannot be reached" in browser.text("#samples-status"))
    browser.set("#share", 0.3)
    browser.drag((0.3, 0.3))
    browser.wait(lambda: "cannot be reached" in browser.text("#plane-status"))


def test_the_page_fits_a_phone(page, server):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.open(server)
        keep_two(page)
        page.click("#grid .sample", 7)
        assert page.sticking_out(390) == []
        code = page.all(".call pre")
        assert all(
            page.driver.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", c) for c in code
        )
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_every_control_has_a_name(page):
    for control in page.all("button, select, input, [role=slider], pre, #download"):
        if control.is_displayed():
            assert control.accessible_name, control.get_attribute("outerHTML")

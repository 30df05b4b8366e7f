"""The page with a decoder inside, opened from the disk in a Chromium without a network: it draws what Python draws."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from latent_page_case import SAMPLE, write_version
from PIL import Image

from kgen import generate, images, open_sampler, random
from kgen.errors import UserError
from kgen.explore import page as explore_page
from kgen.export.golden import Golden
from kgen.sampling.exported import TFLiteRuntime
from kgen.sampling.manifest import unsealed
from kgen.sampling.priors import GaussianMixture
from kgen.sampling.slerp import slerp
from kgen.spec import DataSpec

GREY_LEVELS = 2  # the largest difference that a picture may have
SEEDS = random.row_seeds(0, 25).tolist()
STRANGE = DataSpec("pets", (6, 5, 3), num_classes=2, class_names=("</script><b>cat</b>", 'it\'s a "dog" & {more}'))
GRAY = DataSpec("gray", (8, 8, 1))


@pytest.fixture(scope="module")
def golden():
    return Golden.load(SAMPLE)


@pytest.fixture(scope="module")
def sampler():
    return open_sampler(SAMPLE)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """An export in colour with labels and 40 latent numbers."""
    folder = tmp_path_factory.mktemp("exports") / "wide" / "1"
    return write_version(folder, "cvae", STRANGE, hidden=[8], latent_dim=40)


def assert_close(found, expected):
    """Pixels uint8 and images in [0, 1], both [..., H, W, C] or flat."""
    expected = images.to_uint8(np.asarray(expected)).reshape(np.shape(found))
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= GREY_LEVELS


def coloured(image):
    """[H, W, 3] of an image in [0, 1]."""
    return np.broadcast_to(image, (*image.shape[:2], 3))


def test_it_draws_the_golden_batch(page, golden):
    rows = len(golden.z)
    found = page.ask("decode", *zip(golden.z.tolist(), golden.label.tolist(), strict=True))
    assert found.shape == (rows, 28 * 28) and np.ptp(found) > 200
    assert_close(found, golden.images)
    seeds = [{"seed": int(seed), "temperature": 1} for seed in golden.seed]
    assert_close(page.ask("generate", *zip(seeds, golden.label.tolist(), strict=True)), golden.images)
    some = len(golden.t)
    z0, z1, t, label = golden.z[:some], golden.z[some : 2 * some], golden.t, golden.label[:some]
    found = page.ask("between", *zip(z0.tolist(), z1.tolist(), t.tolist(), label.tolist(), strict=True))
    assert_close(found, golden.interpolated)


@pytest.mark.slow
def test_interpolation_is_slerp(browser, write, wide):
    """Also between nearly opposite points of unequal lengths."""
    z0 = random.portable_normals(random.row_seeds(3, 5), 40)
    z1 = (-0.3 * z0 + 0.02 * random.portable_normals(random.row_seeds(4, 5), 40)).astype(np.float32)
    t, label = np.linspace(0.1, 0.9, 5, dtype=np.float32), np.arange(5, dtype=np.int32) % 2
    browser.open(write(wide))
    found = browser.ask("between", *zip(z0.tolist(), z1.tolist(), t.tolist(), label.tolist(), strict=True))
    z = slerp(*map(tf.constant, (z0, z1, t))).numpy()
    assert_close(found, TFLiteRuntime(wide / "model.tflite").call("decode", z=z, label=label)["images"])
    assert browser.complaints() == []


def test_it_reaches_nothing(page, write):
    asked = page.driver.execute_script("return performance.getEntriesByType('resource').map(({name}) => name)")
    assert [address for address in asked if not re.match("data:|blob:", address)] == []
    policy = page.one("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy.startswith("default-src 'none'; ") and "script-src 'sha256-" in policy and "http" not in policy
    text = re.sub(r'"data:[^"]*"|<script id="\w+" type="text/plain">[^<]*', "", write(SAMPLE).read_text())
    assert not re.search(r"https?://|<link rel=\"stylesheet|@import|url\(", text)


def test_samples_are_those_of_their_seeds(page, sampler):
    assert page.text("h1") == "conv_cvae of mnist"
    assert [chip.text for chip in page.all("#classes label")] == list("0123456789")
    page.click("#classes label", 3)
    page.click("#grid button", 6)
    expected = generate(sampler, 25, labels=3).images
    for place in (0, 6, 24):
        assert_close(page.painted("#grid canvas", place), coloured(expected[place]))
    assert_close(page.painted("#picture"), coloured(expected[6]))  # by the generator of the browser
    assert page.text("#call") == f"kgen-sample exports/cvae-mnist --count 1 --label 3 --seed {SEEDS[6]}"
    assert [button.get_attribute("aria-pressed") for button in page.all("#grid button")].index("true") == 6
    assert float(page.one("#z0").get_property("value")) == pytest.approx(sampler.density.sample(0, 7)[6, 0], abs=0.006)


def test_seed_and_temperature_are_typed_and_drawn(page, sampler):
    page.set("#seed", 2**31 - 1)
    page.set("#temperature", 0.5)
    expected = generate(sampler, 1, labels=0, seed=2**31 - 1, temperature=0.5).images[0]
    assert_close(page.painted("#picture"), coloured(expected))
    assert page.text("#call").endswith("--label 0 --seed 2147483647 --temperature 0.5")
    before = page.painted("#grid canvas", 24)
    page.click("#random")
    assert (page.painted("#grid canvas", 24) != before).any()
    for wrong in ("-1", "1.5", ""):
        page.set("#seed", wrong)
        assert page.text("#samples-status") == "A seed is a whole number from 0 to 2147483647."
    page.set("#seed", 3)
    assert page.text("#samples-status") == ""


def test_a_slider_moves_the_picture(page, sampler):
    before = page.painted("#picture")
    assert [item.text for item in page.all("#sliders label")] == ["z0\n−4\n4\n0.14", "z1\n−4\n4\n-2.16"]
    page.set("#z1", 1.5)
    after = page.painted("#picture")
    assert (before != after).any()
    z = np.array([random.portable_normals(np.int32([0]), 2)[0, 0], 1.5], np.float32)
    assert_close(after, coloured(sampler.decode(z[None], np.int32([0]))[0]))
    assert page.text("#call-title") == "The same in Python"
    found = json.loads(re.search(r"np\.array\((.*), np\.float32\)", page.text("#call"))[1])
    np.testing.assert_allclose(found, z[None], atol=2e-5)
    page.click("#classes label", 4)
    assert_close(page.painted("#picture"), coloured(sampler.decode(z[None], np.int32([4]))[0]))
    page.click("#reset")
    assert_close(page.painted("#picture"), coloured(sampler.decode(np.zeros((1, 2), np.float32), np.int32([4]))[0]))


def test_the_shown_program_gives_the_picture(page, sampler, tmp_path, monkeypatch):
    page.set("#z0", -1.25)
    program = page.text("#call").replace("exports/cvae-mnist", str(SAMPLE))
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    with Image.open(tmp_path / "picture.png") as saved:
        drawn = np.asarray(saved)[..., None] / np.float32(255)
    assert_close(page.painted("#picture"), coloured(drawn))


def test_the_plane_is_dragged_and_takes_keys(page, sampler):
    page.drag((0, 0), (0.5, -0.25))
    x, y = (float(page.one(f"#z{place}").get_property("value")) for place in (0, 1))
    assert (x, y) == pytest.approx((1.5, -0.75), abs=0.05)
    page.one("#pad").send_keys("\ue014")  # the right arrow
    assert float(page.one("#z0").get_property("value")) == pytest.approx(x + 0.1, abs=0.011)
    assert page.text("#across-name") == "z0 →" and page.text("#up-name") == "z1 →"
    for label, milliseconds, side in ((8, 100, 5), (3, 1, 15)):  # the slower the decoder, the fewer images
        page.driver.execute_async_script(
            "const [value, done] = arguments; kgen.ready.then((decoder) => {"
            "  decoder.milliseconds = () => value; done(); })",
            milliseconds,
        )
        page.click("#classes label", label)
        drawn, reach = page.painted("#pad-map"), 3 * (1 - 1 / side)
        assert drawn.shape[:2] == (29 * side, 29 * side)  # a gap of a pixel between images
        for corner, place in (((-reach, reach), 0), ((reach, -reach), 29 * (side - 1))):
            expected = sampler.decode(np.float32([corner]), np.int32([label]))[0]
            assert_close(drawn[place : place + 28, place : place + 28], coloured(expected))
    page.click("#map")
    assert not page.one("#pad-map").is_displayed()


def test_the_interpolation_is_dragged(page, sampler):
    first, last = (generate(sampler, 1, labels=0, seed=seed).images[0] for seed in (0, 1))
    assert_close(page.painted("#strip canvas", 0), coloured(first))
    assert_close(page.painted("#strip canvas", 4), coloured(last))
    assert [item.text for item in page.all("#strip .seed")] == ["A", "0.25", "0.50", "0.75", "B"]
    middle = page.painted("#path-picture")
    page.set("#share", 0.9)
    assert page.text("#share-value") == "0.90" and (page.painted("#path-picture") != middle).any()
    page.set("#z0", 2)
    page.click("#to")
    assert_close(page.painted("#path-picture"), page.painted("#picture") / np.float32(255))
    page.click("#classes label", 9)
    assert_close(page.painted("#strip canvas", 4), page.painted("#picture") / np.float32(255))


def test_many_numbers_colour_and_names_that_look_like_markup(browser, write, wide):
    browser.open(write(wide))
    assert [chip.text for chip in browser.all("#classes label")] == list(STRANGE.class_names)
    assert len(browser.all("#sliders label")) == 12
    browser.click("#more")
    assert len(browser.all("#sliders label")) == 40 and not browser.one("#more").is_displayed()
    browser.choose("#axis-x", 38)
    browser.choose("#axis-y", 39)
    browser.drag((-0.5, 0.5))
    browser.set("#z17", -2)
    browser.click("#classes label", 1)
    z = random.portable_normals(np.int32([0]), 40)
    z[0, [17, 38, 39]] = -2, *(float(browser.one(f"#z{place}").get_property("value")) for place in (38, 39))
    assert z[0, 38:] == pytest.approx([-1.5, 1.5], abs=0.05)
    expected = TFLiteRuntime(wide / "model.tflite").call("decode", z=z, label=np.int32([1]))["images"][0]
    assert expected.shape == (6, 5, 3) and np.ptp(expected) > 0.5
    assert_close(browser.painted("#picture"), expected)
    assert browser.complaints() == []


def test_a_class_is_asked_for_by_its_number(browser, write, tmp_path):
    """Classes 3, 5 and 10: the file takes these numbers; the calls that are shown name the class."""
    spec = DataSpec("numbers", (6, 5, 1), num_classes=3, class_names=("3", "5", "10"))
    version = write_version(tmp_path / "numbers" / "1", "cvae", spec, hidden=[8], latent_dim=3)
    lite = TFLiteRuntime(version / "model.tflite")
    browser.open(write(version))
    z = random.portable_normals(np.int32([0]), 3)
    for place, number in enumerate((3, 5, 10)):
        browser.click("#classes label", place)
        expected = lite.call("decode", z=z, label=np.int32([number]))["images"][0]
        assert_close(browser.painted("#picture"), coloured(expected))
        assert f"--label {number} " in browser.text("#call")
        assert browser.text("#picture-facts").startswith(f"Class{number}Seed")
    browser.set("#z1", 1)
    assert 'np.array([sampler.spec.label("10")], np.int32)' in browser.text("#call")
    call = "kgen.decode([0, 0, 0], arguments[0]).catch((error) => error.message).then(arguments[1])"
    for wrong in (0, -1, 4):
        assert browser.driver.execute_async_script(call, wrong) == f"No class has the number {wrong}, only 3, 5, 10."
    assert browser.complaints() == []


@pytest.mark.slow
def test_seeds_of_a_fitted_prior_are_drawn_by_the_graph(browser, write, tmp_path):
    means = np.float64([[[4, -4, 4], [-4, 4, -4]]])
    prior = GaussianMixture([[0.5, 0.5]], means, np.full((1, 2, 3), 0.1), latent_shape=(3,))
    version = write_version(tmp_path / "fitted" / "1", "vae", GRAY, prior, hidden=[8], latent_dim=3)
    browser.open(write(version))
    runtime = TFLiteRuntime(version / "model.tflite")
    seeds, ones = np.int32(SEEDS), np.ones(25, np.float32)
    expected = runtime.call("generate", seed=seeds, temperature=ones)["images"]
    browser.click("#grid button", 5)
    assert_close(browser.painted("#grid canvas", 24), coloured(expected[24]))
    assert_close(browser.painted("#picture"), coloured(expected[5]))
    assert "gaussian mixture" in browser.text("#samples-hint")
    assert browser.text("#call").endswith(f"--count 1 --seed {SEEDS[5]} --prior gaussian_mixture")
    assert not browser.one("#from").is_enabled() and not browser.one("#classes").is_displayed()
    browser.set("#z2", 1)
    z = np.float32([[0, 0, 1]])
    assert_close(browser.painted("#picture"), coloured(runtime.call("decode", z=z)["images"][0]))
    assert browser.one("#from").is_enabled() and browser.complaints() == []


@pytest.mark.slow
def test_the_noise_of_pixels_has_no_sliders(browser, write, tmp_path):
    args = {"network": "mlp", "hidden": [8], "levels": 4, "layers": 2, "width": 4, "conditioned_layers": 1}
    version = write_version(tmp_path / "pixels" / "1", "pixel_vae", GRAY, latent_dim=3, **args)
    browser.open(write(version))
    assert len(browser.all("#sliders label")) == 3
    assert "latent 3, and 64 of noise" in browser.text("#facts")
    runtime = TFLiteRuntime(version / "model.tflite")
    z = random.portable_normals(np.int32([0]), 3 + 64)
    for changes in ({}, {0: 2.5}):
        for place, value in changes.items():
            browser.set(f"#z{place}", value)
            z[0, place] = value
        assert_close(browser.painted("#picture"), coloured(runtime.call("decode", z=z)["images"][0]))
    assert browser.complaints() == []


@pytest.mark.slow
def test_the_same_export_gives_the_same_page(runtime):
    told = explore_page.describe(SAMPLE)
    assert told["source"] == "runs/mnist-conv-cvae" and told["code_size"] == 2
    first, second = (explore_page.assemble(told, b"decoder", runtime) for _ in range(2))
    assert first == second and not re.search(r"\{(policy|title|icon|style|modules|entry|version|model|wasm)\}", first)


def test_a_decoder_that_does_not_start_is_said(browser, runtime, tmp_path):
    page = tmp_path / "broken.html"
    page.write_text(explore_page.assemble(explore_page.describe(SAMPLE), b"no decoder", runtime))
    browser.driver.get(page.as_uri())
    browser.wait(lambda: browser.all("#status.error"))
    assert browser.text("#status").startswith("The decoder failed to start: ")
    assert not browser.one("#studio").is_displayed()
    browser.complaints()


def test_a_decoder_that_fits_with_weights_of_16_bits(browser, runtime, golden, tmp_path, monkeypatch):
    size = (SAMPLE / "model.tflite").stat().st_size
    monkeypatch.setattr(explore_page, "MAX_DECODER_BYTES", size * 2 // 3)
    monkeypatch.setattr(explore_page, "runtime_files", lambda: runtime)
    browser.open(explore_page.write_page(SAMPLE, tmp_path / "page.html"))
    (fact,) = (item.text for item in browser.all("#facts li") if "16-bit weights" in item.text)
    assert 0 < float(re.search(r"up to (\S+) of 255 levels", fact)[1]) < 0.5
    some = len(golden.t)
    assert_close(browser.ask("decode", *zip(golden.z.tolist(), golden.label.tolist(), strict=True)), golden.images)
    seeds = [{"seed": int(seed), "temperature": 1} for seed in golden.seed[:some]]
    assert_close(browser.ask("generate", *zip(seeds, golden.label.tolist(), strict=False)), golden.images[:some])
    assert browser.complaints() == []


def test_what_makes_no_page(tmp_path, monkeypatch):
    (tmp_path / "manifest.json").write_bytes((SAMPLE / "manifest.json").read_bytes())
    with pytest.raises(UserError, match=r"model\.tflite is missing: keep what kgen-export wrote together"):
        explore_page.write_page(tmp_path, tmp_path / "page.html")
    monkeypatch.setattr(explore_page, "MAX_DECODER_BYTES", 3 * 2**20)
    (tmp_path / "model.tflite").write_bytes(bytes(7 * 2**20))
    with pytest.raises(UserError, match=r"3 MiB \(6 MiB where.*16 bits\).*model\.tflite.*7\.0 MiB"):
        explore_page.write_page(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    manifest = json.loads((SAMPLE / "manifest.json").read_text())
    drawn = {"model": "pixel_vae", "latent_shape": [2 + 784], "model_args": {"latent_dim": 2, "levels": 2}}
    (tmp_path / "manifest.json").write_text(json.dumps(unsealed(manifest) | drawn))
    with pytest.raises(UserError, match="'pixel_vae' with two levels ends in a loop"):
        explore_page.write_page(tmp_path, tmp_path / "page.html")
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        explore_page.write_page(tmp_path / "nowhere", tmp_path / "page.html")

"""Pages with decoders inside, and Chromium on them."""

import functools
from pathlib import Path

import pytest
from latent_page_case import ROOT, SAMPLE, SECONDS, LatentPage

from kgen.errors import UserError
from kgen.explore import litert_js
from kgen.explore import page as page_module
from kgen.explore.page import write_page


@pytest.fixture(scope="session")
def runtime():
    """The files of LiteRT.js: those that tools/on_device has installed, or npm's registry's."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv(litert_js.FOLDER_VARIABLE, str(ROOT / "tools" / "on_device" / "web" / "node_modules"))
            return litert_js.runtime_files()
        except UserError:
            patch.delenv(litert_js.FOLDER_VARIABLE)
        try:
            return litert_js.runtime_files()
        except UserError as error:
            if "cannot be fetched" in str(error):
                pytest.skip("LiteRT.js is not installed, and no package registry is reached")
            raise


@pytest.fixture(scope="session")
def write(runtime, tmp_path_factory):
    """A function: a version of an export -> its page."""
    folder = tmp_path_factory.mktemp("pages")

    @functools.cache
    def write(version: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(page_module, "runtime_files", lambda: runtime)
            return write_page(version, folder / f"{version.parent.name}.html", source=f"exports/{version.parent.name}")

    return write


@pytest.fixture(scope="session")
def browser(runtime):
    with LatentPage(SECONDS) as started:
        yield started


@pytest.fixture
def page(browser, write):
    """The page of the sample export; the console stays without errors."""
    browser.open(write(SAMPLE))
    yield browser
    assert browser.complaints() == []

"""Headless Chromium for the tests of pages. It finds no host but this one."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,900"
)
ONLY_HERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


class Browser:
    """Chromium and what a person does with it; skips the test where there is none.

    Args:
        seconds: the most that anything may take.
    """

    def __init__(self, seconds: float):
        if not (CHROMIUM and DRIVER):
            pytest.skip("no chromium and chromedriver on the path (Debian: apt-get install chromium chromium-driver)")
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS.split(), ONLY_HERE):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.seconds, self.driver = seconds, webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.driver.set_script_timeout(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def wait(self, condition):
        """Waits for a condition to hold; returns what it gave."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        ignored = [StaleElementReferenceException]
        return WebDriverWait(self.driver, self.seconds, 0.02, ignored).until(lambda _: condition())

    def all(self, css: str) -> list:
        return self.driver.find_elements("css selector", css)

    def one(self, css: str):
        return self.driver.find_element("css selector", css)

    def text(self, css: str) -> str:
        return self.one(css).get_property("textContent")

    def click(self, css: str, place: int = 0):
        element = self.all(css)[place]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def choose(self, css: str, place: int):
        """Takes an entry of a <select>."""
        from selenium.webdriver.support.ui import Select

        Select(self.one(css)).select_by_index(place)

    def set(self, css: str, value):
        """Gives a control a value, as a person who moves it does."""
        tell = "for (const type of ['input', 'change']) element.dispatchEvent(new Event(type))"
        self.driver.execute_script(f"const [element, v] = arguments; element.value = v; {tell}", self.one(css), value)

    def drag(self, *places: tuple[float, float]):
        """Drags over the pad; places are shares of its half side from the middle, right and up."""
        from selenium.webdriver import ActionChains

        pad = self.one("#pad")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", pad)
        half = pad.size["width"] / 2
        chain = ActionChains(self.driver, duration=10)
        for number, (right, up) in enumerate(places):
            chain.move_to_element_with_offset(pad, round(half * right), round(-half * up))
            if not number:
                chain.click_and_hold()
        chain.release().perform()

    def sticking_out(self, width: int) -> list[str]:
        """What a page of so many pixels hides: elements that reach beyond it, or that one would have to scroll to, and
        those that their text reaches beyond.

        What is in a <pre>, a <nav>, a <textarea> or a command may scroll.
        """
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            return self.driver.execute_script(
                """
                const page = document.documentElement.clientWidth;
                const wide = [...document.querySelectorAll("body *")].filter((element) => {
                  const { left, right, width } = element.getBoundingClientRect();
                  const beyond = right > page + 0.5 || left < -0.5;
                  const spills = element.clientWidth && element.scrollWidth > element.clientWidth + 1;
                  const scrolls = element.closest("nav, pre, textarea, .commands code > *");
                  const cuts = scrolls || element.closest("select, svg, .commands code");
                  return width && ((beyond && !scrolls) || (spills && !cuts));
                });
                const all = document.documentElement.scrollWidth > page ? ["the page"] : [];
                return [...all, ...wide.map((element) => element.outerHTML.slice(0, 200))];
                """
            )
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def complaints(self) -> list[str]:
        """What the console got, e.g. of a broken Content-Security-Policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

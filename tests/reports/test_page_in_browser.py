"""The page in a real browser: what a reader clicks, hovers over and sees.

Needs Chromium and its driver (Debian: apt install chromium chromium-driver); without them these
tests are skipped.
"""

import shutil

import pytest
from handmade import record
from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from reports import figures, tables
from reports.page import page, views
from reports.summary import summarise

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is missing"),
    # Selenium's own, on closing.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
COMMAND = "python forget_full_class_main.py -net Net -method ssd"
# method, D_r, D_f, MIA
SCORES = (
    ("retrain", 94.0, 0.0, 20.0),
    ("baseline", 95.0, 96.0, 97.0),
    ("ssd", 93.5, 0.5, 18.0),
    ("finetune", 91.0, 40.0, 30.0),
    ("scrub", 91.1, 40.3, 30.0),
    ("neggrad_plus", 9.0, 0.0, 0.0),
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of two forgotten classes."""
    runs = []
    for forget in ("cat", "dog"):
        for method, *scores in SCORES:
            runs.append({**record(method, 0, *scores, forget=forget), "command": COMMAND})
    folder = tmp_path_factory.mktemp("page")
    summaries = summarise(runs)
    pictures = figures.write_all(figures.drawings(summaries, {}), folder)
    path = folder / "page.html"
    path.write_text(page(views(tables.chapters(summaries), pictures, summaries)))
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, address):
    """The page, opened anew at 1280 pixels; afterwards its console must be empty."""
    resize(chromium, 1280)
    chromium.get(address)
    yield chromium
    assert chromium.get_log("browser") == []


def resize(browser, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def all_of(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def first_cells(browser, selector):
    """The texts of the first column of the first visible table of that kind."""
    table = next(table for table in all_of(browser, selector) if table.is_displayed())
    rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
    return [row.text.split()[0] for row in rows if row.is_displayed()]


def shown_headings(browser):
    return [heading.text for heading in all_of(browser, ".part h3") if heading.is_displayed()]


def click(browser, selector, text):
    """Click on the visible element with that text, once it is there."""

    def found(browser):
        for element in all_of(browser, selector):
            if element.is_displayed() and element.text.startswith(text):
                return element
        return None

    WebDriverWait(browser, 10).until(found, f"no {selector} says {text}").click()


def dot(browser, method):
    (found,) = [
        element
        for element in all_of(browser, f'.dot[data-method="{method}"]')
        if element.is_displayed()
    ]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def test_it_opens_with_the_answer(browser):
    answer = all_of(browser, ".answer li")[0]
    assert answer.text == (
        "Within 2 points of retrain in D_f and in D_r, on all 2 forget sets: ssd."
    )
    assert answer.location["y"] < 400


def test_a_click_sorts_a_table_and_a_second_one_turns_it_around(browser):
    assert first_cells(browser, ".answer table") == ["ssd", "finetune", "scrub", "neggrad_plus"]
    click(browser, ".answer th button", "D_r")
    assert first_cells(browser, ".answer table") == ["neggrad_plus", "finetune", "scrub", "ssd"]
    click(browser, ".answer th button", "D_r")
    assert first_cells(browser, ".answer table") == ["ssd", "scrub", "finetune", "neggrad_plus"]


def test_numbers_are_sorted_as_numbers(browser):
    click(browser, ".part th button", "D_r %")  # as texts 9 would come last
    assert first_cells(browser, ".part table")[0] == "neggrad_plus"


def test_the_filter_leaves_the_methods_that_fit_and_the_goal(browser):
    all_of(browser, "#tools input")[0].send_keys("SSD")
    assert first_cells(browser, ".answer table") == ["ssd"]
    assert first_cells(browser, ".part table") == ["retrain", "ssd"]
    faded = [mark.get_attribute("data-method") for mark in all_of(browser, ".dot.faded")]
    assert set(faded) == {"baseline", "finetune", "scrub", "neggrad_plus"}


def test_one_class_is_shown_at_a_time(browser):
    assert shown_headings(browser) == ["Forgotten: cat"]
    click(browser, ".switch button", "Forgotten: dog")
    assert shown_headings(browser) == ["Forgotten: dog"]
    click(browser, ".switch button", "all")
    assert len(shown_headings(browser)) == 3  # and the mean over both


def test_a_dot_names_itself_with_its_command(browser):
    tip = all_of(browser, "#tip")[0]
    assert not tip.is_displayed()
    ActionChains(browser).move_to_element(dot(browser, "ssd")).perform()
    assert tip.text.startswith("ssd\nD_r 93.5 %, D_f 0.5 %, MIA 18.0 %")
    assert tip.text.endswith(COMMAND)
    assert "in the same place" not in tip.text
    ActionChains(browser).move_to_element(all_of(browser, "h1")[0]).perform()
    assert not tip.is_displayed()


def test_a_dot_names_what_it_hides(browser):
    ActionChains(browser).move_to_element(dot(browser, "scrub")).perform()
    assert "in the same place: finetune" in all_of(browser, "#tip")[0].text


def test_a_click_keeps_the_tip_until_escape(browser):
    tip = all_of(browser, "#tip")[0]
    dot(browser, "scrub").click()
    ActionChains(browser).move_to_element(all_of(browser, "h1")[0]).perform()
    assert tip.is_displayed()
    ActionChains(browser).send_keys("\ue00c").perform()  # Escape
    assert not tip.is_displayed()


def test_light_and_dark(browser):
    def background():
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    button = all_of(browser, "#theme")[0]
    light = background()
    assert (light, button.text) == ("rgb(255, 255, 255)", "dark")
    button.click()
    assert background() == "rgb(22, 24, 28)"
    assert button.text == "light"
    button.click()
    assert background() == light


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen(browser, width, tmp_path):
    """Nothing but tables and figures scrolls sideways; no name is broken into letters."""
    resize(browser, width)
    path = tmp_path / f"page-{width}.png"
    browser.save_screenshot(str(path))
    assert Image.open(path).width == width
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    name = all_of(browser, ".answer tbody td")[0]
    assert name.size["width"] > 80
    assert name.size["height"] < 60


def test_without_javascript_all_of_it_is_there(browser, address):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address)
        assert len(shown_headings(browser)) == 3
        titles = [title.get_attribute("textContent") for title in all_of(browser, ".dot title")]
        assert any(title.startswith("ssd: D_r 93.5 %") for title in titles)
        assert all_of(browser, "th button") == []
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

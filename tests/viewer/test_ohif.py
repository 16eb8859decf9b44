"""What a radiologist sees of the results in OHIF: `make viewer`. Screenshots go to target/viewer."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from server import Server

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))

from conftest import BINARY, Node, push  # noqa: E402

SCREENSHOTS = ROOT / "target" / "viewer"
FLAGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]
COUNT = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const count = { grey: 0, coloured: 0 };
    for (let i = 0; i < data.length; i += 4) {
        const low = Math.min(data[i], data[i + 1], data[i + 2]), high = Math.max(data[i], data[i + 1], data[i + 2]);
        if (high - low > 30) count.coloured += 1;
        else if (high > 20) count.grey += 1;
    }
    return count;
}"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """An analysed phantom on a running node: the node, the study, the series of the API's answer."""
    folder = tmp_path_factory.mktemp("viewer")
    subprocess.run(
        [str(BINARY), "phantom", "--out", str(folder / "cohort"), "--exams", "4", "--seed", "977", "--preset", "light"],
        check=True, capture_output=True, cwd=ROOT,
    )
    node = Node(folder / "node", {"analysis.ignore_quality": "true"}.items()).start()
    path = sorted((folder / "cohort" / "train").iterdir())[0]
    assert push(node, path).returncode == 0
    [series] = node.wait(path.name)["series"]
    assert series["state"] == "analysed"
    yield node, path.name, series
    node.stop()


@pytest.fixture(scope="module")
def page(study):
    """OHIF in Chromium with the study open."""
    from playwright.sync_api import sync_playwright

    node, uid, _ = study
    [viewer] = (ROOT / "target" / "ohif").iterdir()
    server = Server(viewer, node.url)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 900}, service_workers="block")
        page.set_default_timeout(60_000)
        page.add_init_script("localStorage.setItem('shownTours', '[\"basicViewerTour\"]')")
        page.goto(f"{server.url}/viewer?StudyInstanceUIDs={uid}")
        page.wait_for_selector("canvas.cornerstone-canvas")
        page.answers = server.answers
        yield page
        browser.close()
    server.shutdown()


def open_series(page, description):
    """Opens the series whose description holds the text, by a double click as a user does."""
    thumbnails = page.locator('[data-cy="study-browser-thumbnail"], [data-cy="study-browser-thumbnail-no-image"]')
    thumbnails.filter(has_text=re.compile(description, re.IGNORECASE)).first.dblclick()


def pixels(page, wanted):
    """Counts of grey and coloured pixels once there are at least 500 of the wanted sort."""
    canvas = page.locator("canvas.cornerstone-canvas").first
    for _ in range(120):
        count = canvas.evaluate(COUNT)
        if count[wanted] >= 500:
            return count
        page.wait_for_timeout(250)
    page.screenshot(path=SCREENSHOTS / "nothing.png")
    raise AssertionError(f"the viewport has {count}")


def test_the_images_are_shown_in_grey(page):
    count = pixels(page, "grey")
    page.screenshot(path=SCREENSHOTS / "ct.png")
    assert count["coloured"] == 0


def test_the_heat_maps_are_shown_in_colour(page):
    open_series(page, "heat map")
    pixels(page, "coloured")
    page.screenshot(path=SCREENSHOTS / "heat-maps.png")


def test_the_report_shows_its_probability_at_a_place(page, study):
    _, _, series = study
    open_series(page, "analysis report")
    labels = page.locator("svg.svg-layer text")
    labels.first.wait_for(state="attached")
    page.screenshot(path=SCREENSHOTS / "report.png")
    text = " ".join(labels.all_text_contents())
    shown = [float(number) for number in re.findall(r"Probability: ([0-9.]+) %", text)]
    assert any(number == pytest.approx(100 * series["probability"], abs=0.006) for number in shown), text
    pixels(page, "grey")


def test_the_lungs_are_laid_over_the_images(page):
    open_series(page, "lung")
    page.get_by_text("Do you want to open this Segmentation?").wait_for()
    page.get_by_role("button", name="Yes").click()
    pixels(page, "coloured")
    page.locator('[data-cy="panelSegmentation-btn"]').first.click()
    page.get_by_text("Left lung").first.wait_for()
    page.get_by_text("Right lung").first.wait_for()
    page.screenshot(path=SCREENSHOTS / "lungs.png")


def test_nothing_the_viewer_asked_for_was_refused(page):
    refused = [answer for answer in page.answers if answer[1] not in (200, 204, 206)]
    assert page.answers and not refused, refused

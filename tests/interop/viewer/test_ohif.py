"""What a radiologist sees of the results in OHIF, which the node serves itself: `make viewer`. Screenshots go to target/viewer."""

import io
import re
import shutil
import subprocess
from datetime import date, timedelta
from itertools import combinations

import numpy
import pydicom
import pytest
import requests
from conftest import BINARY, ROOT, Node, push
from PIL import Image


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
# The first and the last row of the screen that a picture lights.
LIT_ROWS = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const lit = [];
    for (let row = 0; row < canvas.height; row += 1)
        for (let i = row * canvas.width * 4; i < (row + 1) * canvas.width * 4; i += 4)
            if (data[i] + data[i + 1] + data[i + 2] > 30) { lit.push(row); break; }
    const { top, height } = canvas.getBoundingClientRect();
    return [lit[0], lit[lit.length - 1]].map(row => top + (row * height) / canvas.height);
}"""
STUDIES = 2000


def many_studies(node):
    """Stores small studies of many patients, the oldest ones first; the day of study N is N days after 2000."""
    def part(number):
        one = pydicom.Dataset()
        one.SOPClassUID, one.Modality = pydicom.uid.SecondaryCaptureImageStorage, "OT"
        one.SOPInstanceUID, one.SeriesInstanceUID, one.StudyInstanceUID = (f"2.25.77{number}{kind}" for kind in range(3))
        one.StudyDate, one.StudyTime = (date(2000, 1, 1) + timedelta(days=number)).strftime("%Y%m%d"), "120000"
        one.PatientName, one.PatientID = f"Patient^{number:05}", f"P{number:05}"
        one.StudyDescription, one.AccessionNumber = "Page", f"A{number:05}"
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        buffer = io.BytesIO()
        one.save_as(buffer, enforce_file_format=True)
        return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + buffer.getvalue() + b"\r\n"

    for start in range(0, STUDIES, 500):
        body = b"".join(part(number) for number in range(start, start + 500)) + b"--b--\r\n"
        answer = requests.post(
            f"{node.dicomweb}/studies", data=body, timeout=120,
            headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b', "Accept": "application/dicom+json"},
        )
        assert answer.status_code == 200, answer.text[:500]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """An analysed phantom, the newest of many studies on a running node: the node, the study, the series of the API's answer."""
    folder = tmp_path_factory.mktemp("viewer")
    subprocess.run(
        [str(BINARY), "phantom", "--out", str(folder / "cohort"), "--exams", "4", "--seed", "977", "--preset", "light"],
        check=True, capture_output=True, cwd=ROOT,
    )
    [viewer] = (ROOT / "target" / "ohif").iterdir()
    node = Node(folder / "node", {"analysis.ignore_quality": "true", "viewer.directory": str(viewer)}.items()).start()
    many_studies(node)
    path = sorted((folder / "cohort" / "train").iterdir())[0]
    assert push(node, path).returncode == 0
    [series] = node.wait(path.name)["series"]
    assert series["state"] == "analysed"
    yield node, path.name, series
    node.stop()


@pytest.fixture(scope="module")
def browser():
    """Chromium."""
    from playwright.sync_api import sync_playwright

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


def opened(browser, url):
    """A page with the viewer; it notes what the node answers."""
    page = browser.new_page(viewport={"width": 1600, "height": 900}, service_workers="block")
    page.set_default_timeout(60_000)
    page.add_init_script("localStorage.setItem('shownTours', '[\"basicViewerTour\"]')")
    page.answers = []
    page.on("response", lambda answer: page.answers.append((answer.url, answer.status)))
    page.goto(url)
    return page


@pytest.fixture(scope="module")
def page(study, browser):
    """The study, opened by the link that other systems use; the notice for investigational use is confirmed."""
    node, uid, _ = study
    page = opened(browser, f"{node.url}/viewer?StudyInstanceUIDs={uid}")
    page.wait_for_selector("canvas.cornerstone-canvas")
    page.locator('[data-cy="confirm-and-hide-button"]').click()
    return page


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


def labels(page):
    """What the viewer writes on the image: texts and their boxes."""
    shown = page.locator("svg.svg-layer text")
    texts = [(one, text) for one, text in zip(shown.all(), shown.all_text_contents()) if text]
    return {text: one.bounding_box() for one, text in texts}


def overlap(first, second):
    """True if two boxes have a pixel in common."""
    apart = [
        first[axis] + first[length] <= second[axis] or second[axis] + second[length] <= first[axis]
        for axis, length in (("x", "width"), ("y", "height"))
    ]
    return not any(apart)


def is_written(page, box):
    """True if a box of the screen shows letters in one of the viewer's colours, and not what lies over them."""
    picture = numpy.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")).astype(int)
    green, blue = picture[..., 1], picture[..., 2]
    return ((green > 150) & (blue < 90)).mean() > 0.05


@pytest.mark.peers("OHIF", "CT images")
def test_the_images_are_shown_in_grey(page):
    count = pixels(page, "grey")
    page.screenshot(path=SCREENSHOTS / "ct.png")
    assert count["coloured"] == 0


@pytest.mark.peers("OHIF", "list of series")
def test_the_list_of_series_names_results_and_has_no_warning(page):
    thumbnails = page.locator('[data-cy="study-browser-thumbnail"], [data-cy="study-browser-thumbnail-no-image"]')
    thumbnails.filter(has_text="PE key slices").first.wait_for()
    assert thumbnails.count() == 5, "images, pictures, key slices, segmentation, report"
    for what in ("PE heat maps", "PE analysis", "Lungs", "PE key slices"):
        assert thumbnails.filter(has_text=f"{what} of series 2, version 1").count() == 1
    # Symbols of a line are those of its number of images and of its menu; a third one would be a warning.
    for line in page.locator('[data-cy="study-browser-thumbnail-no-image"]').all():
        assert line.locator("svg").count() == 2, line.inner_html()


@pytest.mark.peers("OHIF", "heat maps (SC)")
def test_the_heat_maps_are_shown_in_colour_and_clear_of_what_the_viewer_writes(page):
    open_series(page, "heat map")
    pixels(page, "coloured")
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / "heat-maps.png")
    first, last = page.locator("canvas.cornerstone-canvas").first.evaluate(LIT_ROWS)
    written = [one.bounding_box() for one in page.locator(".overlay-item").all() if one.text_content()]
    assert len(written) >= 3
    above = [box for box in written if box["y"] < 450]
    below = [box for box in written if box["y"] >= 450]
    assert all(box["y"] + box["height"] <= first for box in above), (first, above)
    assert all(box["y"] >= last for box in below), (last, below)


@pytest.mark.peers("OHIF", "key slices (KOS)")
def test_the_key_slices_are_a_stack_of_the_source_images(page):
    open_series(page, "key slices")
    page.locator('[data-cy="viewport-overlay-bottom-right"]').get_by_text(re.compile(r"\(1/5\)")).wait_for()
    assert pixels(page, "grey")["coloured"] == 0
    page.screenshot(path=SCREENSHOTS / "key-slices.png")


@pytest.mark.peers("OHIF", "report (SR)")
def test_the_report_names_exam_and_slices_and_no_label_lies_on_another(page, study):
    _, _, series = study
    open_series(page, "PE analysis")
    page.locator("svg.svg-layer text").first.wait_for(state="attached")
    # Before the viewer's question is answered, and after it.
    page.wait_for_timeout(1500)
    seen = {}
    for step in range(10):
        shown = labels(page)
        seen.update(shown)
        page.screenshot(path=SCREENSHOTS / f"report-{step + 1}.png")
        for first, second in combinations(shown, 2):
            assert not overlap(shown[first], shown[second]), (first, second)
        for text, box in shown.items():
            assert is_written(page, box), f"{text} is hidden on view {step + 1}"
        page.locator('[data-cy="viewport-action-arrows-right"]').click()
        page.wait_for_timeout(500)
        if step == 0 and page.locator('[data-cy="no-hydrate-btn"]').count():
            assert len(shown) == 2, shown
    exam = f"Exam: embolism {series['decision']}: Probability: {100 * series['probability']:.2f} %"
    assert exam in seen, sorted(seen)
    for name in ("Key slice 1: Probability", "Key slice 2: Probability", "Left lung: Volume", "Right lung: Volume"):
        assert any(text.startswith(name) for text in seen), (name, sorted(seen))
    assert all(re.match(r"[A-Z][a-z ]+(: | \d: )", text) for text in seen), "a value without a name"
    pixels(page, "grey")


@pytest.mark.peers("OHIF", "lungs (SEG)")
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
    refused = [answer for answer in page.answers if answer[1] not in (200, 204, 206, 304, 307)]
    assert page.answers and not refused, refused


def test_the_viewer_comes_with_the_types_that_browsers_need(study):
    node, *_ = study
    [viewer] = (ROOT / "target" / "ohif").iterdir()
    expected = {".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css", ".woff2": "font/woff2"}
    for ending, content_type in expected.items():
        name = next(path.name for path in sorted(viewer.iterdir()) if path.suffix == ending)
        assert requests.get(f"{node.url}/viewer/{name}", timeout=30).headers["Content-Type"] == content_type


@pytest.mark.peers("OHIF", "worklist")
def test_the_list_of_many_studies_begins_with_the_newest(study, browser):
    node, *_ = study
    page = opened(browser, f"{node.url}/viewer")
    page.get_by_text("Synthetic CT pulmonary angiogram").wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / "worklist.png")
    assert page.get_by_text(f"P{STUDIES - 1:05}").count() == 1, "the newest of the others"
    assert page.get_by_text("P00000").count() == 0
    refused = [answer for answer in page.answers if answer[1] not in (200, 204, 206, 304, 307)]
    assert not refused, refused

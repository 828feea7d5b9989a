"""The page as HTML: offline, escaped, within its size, whatever the data; looked at in a real browser where one is."""

import base64
import hashlib
import html
import re
import shutil
import subprocess
import sys
import time
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from report_material import N_TEST, N, dataset, frame, influence, instance_values, report_input

from orchestrator.errors import JobError
from orchestrator.report.page import render, write_report

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "line\u2028separator\u2029and\x00zero\x1b[31m",
    "\u202edesrever\u202c",
    "{{ 7 * 7 }}{% raw %}",
    "]]><!--",
    "\ud800 lone surrogate",
    "https://example.invalid/x.png",
    "Δ 数据 🦆 " + "long" * 2500,
]


ADDRESSES = {"src", "href", "xlink:href", "srcset", "action", "formaction", "data", "poster", "background"}


class Structure(HTMLParser):
    """Elements with their attributes' names, and the values of attributes that could load or run something."""

    def __init__(self):
        super().__init__()
        self.elements, self.addresses, self.styles, self.policy, self.text, self._within = [], [], [], "", [], ""

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value for name, value in attrs if name in ADDRESSES]
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"]
        self._within = tag

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        (self.styles if self._within == "style" else self.text).append(data)


def parsed(page):
    structure = Structure()
    structure.feed(page)
    structure.close()
    return structure


def words(page):
    return " ".join(" ".join(parsed(page).text).split())


@cache
def with_text(text):
    data = dataset(text=text)
    return render(report_input(text=text, data=data, train_frame=frame(N, text), test_frame=frame(N_TEST, text)))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_the_data_or_the_job_adds_an_element_or_an_attribute(text):
    assert parsed(with_text(text)).elements == parsed(with_text("tame")).elements


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_loaded_from_outside_and_nothing_runs(text):
    structure = parsed(with_text(text))
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in structure.addresses)
    names = {name for _, attributes in structure.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")} | (names & {"style"})
    assert not {tag for tag, _ in structure.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"}


def test_hostile_pictures_texts_stay_in_their_attribute():
    text = '"><img src=x onerror=alert(1)>'
    pages = [render(report_input(text=t, data=dataset(shape=(5, 5), text=t))) for t in (text, "tame")]
    assert parsed(pages[0]).elements == parsed(pages[1]).elements


def test_the_policy_permits_this_style_sheet_and_pictures_in_the_page_alone():
    structure = parsed(render(report_input()))
    (style,) = structure.styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = [rule.split() for rule in structure.policy.split(";")]
    assert ["default-src", "'none'"] in rules
    assert ["style-src", f"'sha256-{digest}'"] in rules
    assert ["img-src", "data:"] in rules
    assert not [rule for rule in rules if rule[0].startswith("script")]


def test_characters_that_print_nothing_or_turn_the_writing_are_not_in_the_page():
    page = with_text("a\u2028b\x00c\x1bd\u202ee\ud800f")
    page.encode("utf-8")
    assert not re.search("[\u2028\x00\x1b\u202e\ud800]", page)


def test_a_value_that_is_not_known_is_called_unknown_and_never_a_number():
    known = influence(strong=1)
    values, errors = known.values.copy(), known.standard_errors.copy()
    values[3], errors[3] = np.nan, np.inf
    mean = instance_values("banzhaf", np.where(np.arange(N) == 3, np.nan, known.mean.values))
    holed = type(known)(
        known.value, known.loss, values, errors, known.degrees_of_freedom, mean, known.train_index, known.test_index
    )
    text = words(render(report_input(influences=[holed])))
    assert "Unknown: 1 data value by Banzhaf." in text
    assert "nan" not in text.lower().split()


def test_a_report_where_everything_is_unknown_is_still_a_page():
    nothing = influence()
    empty = type(nothing)(
        nothing.value,
        nothing.loss,
        np.full((N, N_TEST), np.nan),
        np.full((N, N_TEST), np.inf),
        np.zeros((N, N_TEST)),
        instance_values("banzhaf", np.full(N, np.nan), error=np.inf),
        nothing.train_index,
        nothing.test_index,
    )
    page = render(
        report_input(influences=[empty], instance_values=[instance_values("memorization", np.full(N, np.nan))])
    )
    assert "none known" in words(page)
    assert " nan" not in page.lower()
    assert ">nan" not in page.lower()
    assert "inf<" not in page


def test_a_page_without_any_certain_sign_says_so():
    text = words(render(report_input(influences=[influence(error=1.0, seed=5)])))
    assert "no sign is certain at this budget" in text
    assert "None of these signs is certain" in text
    assert "✓ certain" not in text


def test_certain_signs_are_marked_and_counted():
    strong = influence(strong=2)
    text = words(render(report_input(influences=[strong])))
    assert f"the sign of 2 of {N} data values (5 %) is certain" in text
    assert f"that of {strong.certain().sum()} of {N * N_TEST} pairs" in text
    assert "✓ certain" in text


def test_known_label_errors_are_scored_in_words():
    text = words(render(report_input()))
    assert "with the highest memorization finds 4 of the 4 known label errors" in text
    assert "precision 100 %, recall 100 %, AUROC 1.000" in text


def test_without_known_label_errors_the_page_names_suspects_and_scores_nothing():
    text = words(render(report_input(known_label_errors=None)))
    assert "No label errors were known beforehand" in text
    assert "AUROC" not in text


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (3, 6, 5), (6, 5, 1)])
def test_images_are_shown_as_pictures(shape):
    page = render(report_input(data=dataset(shape=shape)))
    assert page.count('src="data:image/png;base64,') > 50


def test_flat_features_are_pictures_where_the_job_says_so():
    data = dataset(shape=(30,))
    assert "data:image/png" in render(report_input(data=data, image_shape=(6, 5)))
    assert "data:image/png" not in render(report_input(data=data))


def test_tables_are_shown_as_rows_of_their_original_columns():
    text = words(render(report_input(train_frame=frame(N, "city"), test_frame=frame(N_TEST, "city"))))
    assert "city a" in text
    assert "city 13" in text


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_data_that_are_neither_are_shown_by_place_and_label(task):
    data = dataset(shape=(2, 3, 4, 5), task=task)
    page = render(report_input(data=data, train_names=(), test_names=()))
    assert "data:image" not in page
    assert "#0" in words(page)


def test_groups_are_shown_by_their_names_and_first_rows():
    plain = dataset()
    groups = np.arange(N, dtype=np.int64) // 4
    grouped = type(plain)(
        plain.task,
        plain.train_features,
        plain.train_labels,
        plain.test_features,
        plain.test_labels,
        classes=plain.classes,
        groups=groups,
        group_names=tuple(f"ward {g}" for g in range(10)),
    )
    text = words(render(report_input(data=grouped, influences=[influence(n=10)])))
    assert "ward 7" in text
    assert "(first of 4 rows)" in text


def test_a_job_without_values_has_a_page_too():
    text = words(render(report_input(influences=[], instance_values=[], convergence=[])))
    assert "99 retrains in 1 campaign" in text


def test_ten_thousand_by_one_thousand_values_stay_a_page_below_two_megabytes():
    n, n_test = 10_000, 1_000
    data = dataset(shape=(28, 28), n=n, n_test=n_test)
    page = render(report_input(data=data, influences=[influence(n=n, n_test=n_test, strong=3)]))
    assert len(page.encode()) < 2_000_000


def test_large_pictures_in_colour_stay_a_page_below_two_megabytes():
    data = dataset(shape=(64, 64, 3), n=200, n_test=20)
    both = [influence("banzhaf", n=200, n_test=20), influence("downsampling", n=200, n_test=20)]
    assert len(render(report_input(data=data, influences=both)).encode()) < 2_000_000


def test_a_report_is_written_whole_and_says_when_it_cannot_be(tmp_path):
    path = tmp_path / "report.html"
    write_report(report_input(), path)
    assert path.read_text(encoding="utf-8") == render(report_input())
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(JobError, match="does not exist"):
        write_report(report_input(), tmp_path / "absent" / "report.html")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync --disable-component-update"
# Opens the page in a frame as wide as a phone, and writes down what the browser made of it.
MEASURE = """<!DOCTYPE html><body><pre id="out"></pre>
<iframe id="frame" width="360" height="800" srcdoc="{page}"></iframe>
<script>
const frame = document.getElementById("frame");
const foreign = "script, iframe, [onerror], [onmouseover], [style], style ~ style";
frame.onload = () => {{
  const page = frame.contentDocument, style = frame.contentWindow.getComputedStyle(page.body);
  const pictures = [...page.images].filter(i => i.complete && i.naturalWidth > 0).length;
  document.getElementById("out").textContent = [
    "width", page.documentElement.scrollWidth, "pictures", pictures, page.images.length,
    "foreign", page.querySelectorAll(foreign).length, "style", style.maxWidth,
    "details", page.querySelectorAll("details[open]").length].join(" ");
}};
</script>"""


def in_chromium(path, tmp_path, *options):
    command = [CHROMIUM, *QUIET.split(), "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"]
    return subprocess.run(
        [*command, *options, path.as_uri()], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; .ci/run installs it")
@pytest.mark.parametrize(
    ("shape", "text"),
    [((8, 8), "averyveryverylongword" * 20), ((30,), "longword" * 20), ((8, 8), " ".join(HOSTILE[:5]))],
)
def test_a_browser_shows_style_and_pictures_and_a_phone_needs_no_sideways_scrolling(shape, text, tmp_path):
    page = render(report_input(text=text, data=dataset(shape=shape, text=text)))
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(MEASURE.format(page=html.escape(page)), encoding="utf-8")
    seen = in_chromium(wrapper, tmp_path, "--dump-dom", "--virtual-time-budget=5000").stdout
    measured = re.search(r"width (\d+) pictures (\d+) (\d+) foreign (\d+) style (\S+) details (\d+)", seen)
    assert measured is not None
    width, shown, pictures, foreign, most, opened = measured.groups()
    assert int(foreign) == 0
    assert int(width) <= 360
    assert shown == pictures
    assert (int(pictures) > 0) == (len(shape) == 2)
    assert most not in {"none", ""}
    assert int(opened) > 0


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; .ci/run installs it")
def test_a_browser_draws_the_page_light_and_dark(tmp_path):
    from PIL import Image

    path = tmp_path / "report.html"
    write_report(report_input(data=dataset(shape=(8, 8))), path)
    corners = []
    for scheme in (1, 0):
        picture = tmp_path / f"{scheme}.png"
        in_chromium(
            path,
            tmp_path,
            f"--screenshot={picture}",
            "--window-size=1000,1400",
            f"--blink-settings=preferredColorScheme={scheme}",
        )
        image = Image.open(picture).convert("L")
        corners.append(image.getpixel((3, 3)))
        assert len(image.getcolors()) > 20
    assert corners[0] > 240
    assert corners[1] < 40


def seconds_to_open(path, tmp_path):
    """The shortest of three times from the browser's start to the page's load event and its text."""
    taken = []
    for _ in range(3):
        began = time.monotonic()
        in_chromium(path, tmp_path, "--dump-dom")
        taken.append(time.monotonic() - began)
    return min(taken)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; .ci/run installs it")
@pytest.mark.parametrize("shape", [(28, 28), (30,)])
def test_ten_thousand_by_a_thousand_values_are_a_page_that_opens_at_once(shape, tmp_path):
    n, n_test = 10_000, 1_000
    rng = np.random.default_rng(0)
    data = dataset(shape=shape, n=n, n_test=n_test)
    influences = [influence(value, n=n, n_test=n_test, seed=seed) for seed, value in enumerate(("banzhaf", "shapley"))]
    contents = report_input(
        data=data,
        influences=influences,
        influence_campaigns=["a", "b"],
        instance_values=[instance_values("memorization", rng.normal(size=n))],
        instance_value_campaigns=["a"],
        known_label_errors=rng.random(n) < 0.1,
        test_losses={"cross_entropy": rng.gamma(1.0, size=n_test)},
        test_instances=12,
    )
    page = tmp_path / "report.html"
    write_report(contents, page)
    assert page.stat().st_size < 2_000_000
    blank = tmp_path / "blank.html"
    blank.write_text("<!DOCTYPE html><title>nothing</title>", encoding="utf-8")
    opening = seconds_to_open(page, tmp_path) - seconds_to_open(blank, tmp_path)
    sys.stdout.write(f"{page.stat().st_size:,} bytes, opened {opening:.2f} s later than an empty page\n")
    assert opening < 2.0

"""The page about a run: complete, self-contained, and true."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import mne
import numpy as np
import pytest

from facet_nb import AASCorrection, DownSample, HighPassFilter, TriggerDetector, export, load
from facet_nb.core import FacetError, Pipeline, PipelineResult, ProcessingContext, Processor
from facet_nb.core.quality import Measure, Quality
from facet_nb.datasets import simulate
from facet_nb.datasets.imperfections import Imperfections
from facet_nb.report import make_report
from facet_nb.report.code import repeat_run
from facet_nb.report.measure import average_locked, compare_windows, estimate_spectrum, read_train
from facet_nb.report.pair import Pair

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Elements of a page, its texts, and tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def find(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def simulation():
    faults = Imperfections(extra_markers=3, emg_bursts=2)
    return simulate(
        8, 1000.0, 40.0, 1.0, 10, seed=8, markers="volume", missing=[6], imperfections=faults
    )


@pytest.fixture(scope="module")
def source(simulation, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "pilot <b>.fif"
    export(simulation.context(), path)
    return path


def chain() -> Pipeline:
    return Pipeline([TriggerDetector("R128"), AASCorrection(window_size=10)])


@pytest.fixture(scope="module")
def result(source):
    return chain().run(load(source), mode="channel_sequential", show_progress=False)


@pytest.fixture(scope="module")
def html(result) -> str:
    return result.report().to_html()


def test_the_page_is_well_formed_and_loads_nothing(html):
    page = Page(html)
    assert page.wrong == [] and page.open == []
    assert not page.find("script") and not page.find("link") and not page.find("iframe")
    loaded = [a.get("src") or a.get("href") or a.get("xlink:href") for _, a in page.elements]
    assert [x for x in loaded if x and not x.startswith(("#", "data:"))] == []
    links = set(re.findall(r"(?:url\(|@import )[^)]*", html))
    assert [link for link in links if "#" not in link] == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids)) > 10
    named = {link[1:] for link in loaded if link and link.startswith("#")}
    assert named <= set(ids)


def test_sections_landmarks_and_alternative_texts(html):
    page = Page(html)
    titles = re.findall(r'-title">([^<]*)</h2>', html)
    assert titles[:4] == ["Verdict", "Findings", "Recording", "Triggers"]
    wanted = {
        "Before and after",
        "Spectrum",
        "Residual locked to the trigger",
        "Topography of the residual",
        "The worst two seconds",
        "Steps, settings and times",
        "Versions and input",
        "The same in Python",
    }
    assert wanted <= set(titles)
    assert len(page.find("main")) == len(page.find("h1")) == len(page.find("nav")) == 1
    figures = [a for a in page.find("svg") if a.get("role") == "img"]
    assert len(figures) == len(page.find("figure")) == 6
    assert all(len(attrs["aria-label"]) > 40 for attrs in figures)
    assert all(attrs.get("scope") for attrs in page.find("th"))


def test_findings_have_all_that_is_known_of_them(html, result):
    text = Page(html).text
    assert {"triggers_stray", "triggers_missing"} <= {f.code for f in result.findings}
    for finding in result.findings:
        for part in (finding.severity, finding.title, finding.detail, finding.remedy):
            assert part in text
        assert f"Documentation: Findings, {finding.code}" in text


def test_names_are_escaped(html, source):
    assert "pilot <b>" in Page(html).text and "pilot <b>" not in html
    assert str(source.parent) not in html  # no folders in a page for others


def test_colours_follow_the_theme(html):
    """No figure has a colour of its own in which it could vanish."""
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        assert "currentColor" in svg and "#010203" not in svg
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_saved_as_a_whole_or_not_at_all(result, html, tmp_path):
    report = result.report(tmp_path / "new" / "x.html")
    assert (tmp_path / "new" / "x.html").read_text("utf-8").startswith("<!doctype html>")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"x.html"}
    with pytest.raises(FacetError, match="it exists"):
        report.save(tmp_path / "new" / "x.html", overwrite=False)
    with pytest.raises(FacetError, match="is a folder"):
        report.save(tmp_path)
    inline = report._repr_html_()
    assert "<html" not in inline and "<main" not in inline and "Findings" in inline


def test_a_run_that_failed_shows_its_error(simulation):
    result = Pipeline([TriggerDetector("<none>")]).run(simulation.context(), show_progress=False)
    page = Page(result.report().to_html())
    assert "'<none>' matches nothing" in page.text and "failed" in page.text
    assert "The worst two seconds" not in page.text and "before" not in page.text


def test_without_any_context():
    page = Page(PipelineResult(None, success=False, error=FacetError("gone")).report().to_html())
    assert "gone" in page.text and page.find("figure") == []


def test_the_verdict_comes_first_if_there_is_one():
    result = PipelineResult(None)
    one = Measure("residual", "residual", 1.5, 2.0, "µV", "good")
    measures = (one, Measure("other", "other"))
    result._quality = Quality("check", "look at 41–43 s", measures)
    html = make_report(result).to_html()
    text = " ".join(Page(html).text.split())
    assert re.findall(r'-title">([^<]*)</h2>', html)[0] == "Verdict"
    assert "check: look at 41–43 s" in text and "1.5 µV" in html and "<td>2 µV</td>" in html


def test_what_exceeds_its_limit_comes_first_and_says_why():
    result = PipelineResult(None)
    measures = (
        Measure("one", "one", 1.0, 2.0, verdict="good", detail="all is well."),
        Measure("two", "two", detail="there are no <volumes>."),
        Measure("three", "three", 3.0, 2.0, verdict="check", detail="look at Cz."),
    )
    result._quality = Quality("check", "look at Cz.", measures)
    rows = re.findall(r"<tr.*?</tr>", make_report(result).to_html())[1:4]
    assert [re.search('scope="row">(\\w+)', row)[1] for row in rows] == ["three", "one", "two"]
    assert [row.startswith('<tr class="fnb-check">') for row in rows] == [True, False, False]
    told = [re.search("<td>([^<]*)</td></tr>", row)[1] for row in rows]
    assert told == ["check: look at Cz.", "good", "not measured: there are no &lt;volumes&gt;."]


# ----------------------------------------------------------------- what it measures
def test_missing_and_left_out_markers_are_at_their_places(result, simulation):
    train = read_train(Pair.of(result))
    lost = simulation.onsets_s[6]
    np.testing.assert_allclose(train.missing_s, [lost], atol=2e-3)
    marks = np.sort([m["onset"] for m in simulation.raw.annotations if "R128" in m["description"]])
    far = [t for t in marks if np.abs(simulation.onsets_s - t).min() > 5e-3]
    np.testing.assert_allclose(train.extra_s, far, atol=2e-3)
    assert train.usual_s == pytest.approx(1.0, abs=1e-4) and train.unit == "trigger"


def make_pair(raw_before, raw_after, triggers, slices=None):
    context = ProcessingContext(raw_after, raw_before).with_triggers(triggers)
    context.metadata.slices_per_volume = slices
    return Pair.of(PipelineResult(context))


def make_raw(data, sfreq=500.0, first_samp=0):
    info = mne.create_info(len(data), sfreq, "eeg")
    return mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")


def test_the_locked_part_and_its_noise():
    """A recurring sine of known size in white noise, and white noise alone."""
    rng = np.random.default_rng(1)
    noise = 10e-6 * rng.standard_normal((2, 30_000))
    sine = 5e-6 * np.sin(2 * np.pi * np.arange(250) / 50)
    data = noise.copy()
    data[0] += np.tile(sine, 120)
    pair = make_pair(make_raw(data), make_raw(data.copy()), np.arange(0, 30_000, 250))
    locked = average_locked(pair, "after", pair.channels, read_train(pair))
    assert locked.n_epochs == 120
    expected = 10e-6 / np.sqrt(120)
    np.testing.assert_allclose(locked.noise_v, expected, rtol=0.02)
    assert locked.rms_v[0] == pytest.approx(5e-6 / np.sqrt(2), rel=0.1)
    assert locked.rms_v[1] == pytest.approx(expected, rel=0.15)


def test_volumes_of_slices_with_one_missing():
    raw = make_raw(1e-6 * np.random.default_rng(0).standard_normal((1, 20_000)))
    slices = np.delete(np.arange(0, 20_000, 50), 7)
    pair = make_pair(raw, raw, slices, slices=10)
    train = read_train(pair)
    assert train.unit == "volume" and len(train.missing_s) == 1
    np.testing.assert_allclose(np.diff(train.volumes_s), 1.0)
    assert train.rate_hz == pytest.approx(10.0)


@pytest.mark.parametrize("n_slices", [2, 3])
def test_the_usual_interval_is_not_that_over_a_pause(n_slices):
    raw = make_raw(1e-6 * np.random.default_rng(0).standard_normal((1, 40_000)))
    volumes = np.arange(0, 39_000, 500 * (n_slices + 1))
    slices = np.add.outer(volumes, 500 * np.arange(n_slices)).ravel()
    train = read_train(make_pair(raw, raw, slices))
    assert train.per_volume == n_slices and train.usual_s == pytest.approx(1.0)


def test_the_spectrum_is_that_of_the_signal():
    times_s = np.arange(30_000) / 500.0
    data = 1e-6 * np.random.default_rng(0).standard_normal((2, 30_000))
    data += 20e-6 * np.sin(2 * np.pi * 30.0 * times_s)
    pair = make_pair(make_raw(data), make_raw(data), np.arange(0, 30_000, 500))
    freqs, density = estimate_spectrum(pair, "after", pair.channels, None)
    assert freqs[np.argmax(density)] == 30.0
    power = np.sum(density) * (freqs[1] - freqs[0])
    assert power == pytest.approx(np.mean(data**2), rel=0.05)


def test_the_worst_window_is_found():
    data = 10e-6 * np.random.default_rng(0).standard_normal((4, 30_000))
    data[2, 13_100:13_600] *= 8
    pair = make_pair(make_raw(data), make_raw(data.copy()), [10, 20])
    windows = compare_windows(pair, pair.channels)
    assert windows.complete and windows.begins_s[windows.worst] == 26.0
    assert int(np.argmax(windows.ratios[windows.worst])) == 2
    assert windows.quiet_v == pytest.approx(10e-6, rel=0.05)


def test_recordings_of_other_rate_and_start_are_aligned(source):
    steps = [HighPassFilter(1.0), DownSample(factor=4)]
    context = load(source, start_sample=2500)
    pair = Pair.of(Pipeline(steps).run(context, show_progress=False, raise_on_error=True))
    for which, sfreq in (("before", 1000.0), ("after", 250.0)):
        times_s, values_v = pair.read(which, pair.channels[:2], 3.0, 2.0)
        assert times_s[0] == pytest.approx(3.0, abs=0.5 / sfreq)
        assert values_v.shape == (2, round(2 * sfreq))


def test_samples_in_files_are_read_in_windows(source, tmp_path, monkeypatch):
    """Neither a lean result nor an unloaded recording is loaded for its report."""
    done = chain().map([source], output=tmp_path, keep_raw=False, show_progress=False)
    sizes = []
    read = mne.io.BaseRaw.get_data

    def watch(raw, *args, start=0, stop=None, **options):
        found = read(raw, *args, start=start, stop=stop, **options)
        sizes.append(found.shape[1])
        return found

    monkeypatch.setattr(mne.io.BaseRaw, "get_data", watch)
    monkeypatch.setattr(
        mne.io.BaseRaw, "load_data", lambda *a, **k: pytest.fail("the recording was loaded")
    )
    page = Page(done[0].report().to_html())
    assert 0 < max(sizes) <= 4100
    assert "The worst two seconds" in page.text and len(page.find("figure")) == 6
    (tmp_path / f"{source.stem}_corrected.fif").unlink()
    page = Page(done[0].report().to_html())
    assert "neither in memory nor in a file" in page.text


class Mine(Processor):
    """A step that no registry knows."""

    name = "mine_in_report_tests"
    requires_raw = True

    def process(self, context: ProcessingContext) -> ProcessingContext:
        return context.with_raw(context.get_raw().copy())


def test_the_code_repeats_the_run(result, source, monkeypatch):
    code = repeat_run(result, Pair.of(result))
    monkeypatch.chdir(source.parent)
    names: dict[str, object] = {}
    exec(compile(code, "report", "exec"), names)
    again = names["result"]
    np.testing.assert_array_equal(again.raw.get_data(), result.raw.get_data())


def test_the_code_names_what_is_the_readers_own(simulation):
    steps = [TriggerDetector("R128"), Mine()]
    result = Pipeline(steps).run(simulation.context(), show_progress=False, raise_on_error=True)
    code = repeat_run(result, Pair.of(result))
    compile(code, "report", "exec")
    assert "# Mine: defined in this notebook" in code
    assert "Mine," in code and "TriggerDetector(" in code


@pytest.mark.parametrize("kind", ["no triggers", "one channel", "short", "flat", "names"])
def test_odd_recordings(kind):
    data = 10e-6 * np.random.default_rng(0).standard_normal((7, 5000))
    triggers = np.arange(0, 5000, 500)
    if kind == "one channel":
        data = data[:1]
    elif kind == "short":
        data, triggers = data[:, :300], [0, 100]
    elif kind == "flat":
        data[:] = 0.0
    raw, new = make_raw(data), make_raw(0.5 * data)
    if kind == "names":
        for one in (raw, new):
            one.rename_channels({"0": "$x_{", "1": "<i>&", "2": "a very long name"})
    context = ProcessingContext(new, raw)
    if kind != "no triggers":
        context = context.with_triggers(triggers)
    page = Page(make_report(PipelineResult(context)).to_html())
    assert page.wrong == [] and len(page.find("figure")) >= 2
    if kind == "names":
        assert "<i>&" in page.text and "$x_{" in page.text

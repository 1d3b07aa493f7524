"""Motion files, and the weights that follow from them: MATLAB FACET's, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat

from facet_nb import (
    AvgArtWghtMoosmannCorrection,
    MoosmannCorrection,
    Pipeline,
    ProcessingMetadata,
    StepError,
    TriggerDetector,
    ValidationError,
)
from facet_nb.correction.motion import read_translations
from facet_nb.kernels.templates import weights
from tests.contract.recordings import DATA, make_context
from tests.correction.test_weighted import subtract
from tests.oracles import weights as oracle

FILE = DATA / "motion_11_volumes.txt"

#: The oracle's files, and its thresholds, in mm.
FILES = {1: "rp_bergen_example01.txt", 2: "rp_fileTMaze.txt"}
THRESHOLDS = {1: 0.2, 2: 0.5}


@pytest.fixture(scope="module")
def ctx():
    return Pipeline([TriggerDetector(regex=r"\b1\b")])(make_context())


# ----------------------------------------------------------------------------------- the weights
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("file", FILES)
def test_weights_of_matlab_facet(shared_data, file, threshold):
    theirs = loadmat(shared_data / "oracle_moosmann_weights.mat")
    path = shared_data / "real" / FILES[file]
    expected = theirs[f"W_{file}_{threshold}"]
    step = MoosmannCorrection(str(path), motion_threshold=THRESHOLDS[threshold])
    rows = step.weigh(ProcessingMetadata(), len(expected))
    ours = np.zeros(expected.shape)
    for i, row in enumerate(rows):
        ours[i, row] = 1.0
    np.testing.assert_array_equal(ours, expected)  # theirs before rows are scaled to one
    speed = weights.thin_motion(step._read_speed(), 25)
    np.testing.assert_allclose(speed, theirs[f"S_{file}_{threshold}"][0], rtol=0, atol=1e-14)


def test_a_bids_table_of_828_volumes(shared_data):
    path = shared_data / "real" / "facetpy_headmotion_829s.tsv"
    places = read_translations(path)
    assert places.shape == (828, 3)
    np.testing.assert_array_equal(places, np.loadtxt(path, skiprows=1)[:, :3])
    rows = MoosmannCorrection(str(path)).weigh(ProcessingMetadata(), 828)
    assert len(rows) == 828
    assert max(len(row) for row in rows) == 25


def test_volumes_in_motion_and_beyond_it(ctx):
    """The head moves before volume 6: no template reaches across while there are enough."""
    rows = list(MoosmannCorrection(str(FILE), window_size=4).weigh(ProcessingMetadata(), 11))
    assert [row.tolist() for row in rows[4:6]] == [[2, 3, 4, 5], [2, 3, 4, 5]]
    assert rows[7].tolist() == [7, 8, 9, 10]
    assert all(6 not in row for row in rows)


# --------------------------------------------------------------------------------------- as a step
def test_equals_the_oracle(ctx):
    step = MoosmannCorrection(str(FILE), window_size=4, realign_after_averaging=False)
    got = Pipeline([step]).run(ctx, raise_on_error=True)
    x, triggers = ctx.get_data("E3")[0], ctx.get_triggers()
    speed = np.r_[0, np.linalg.norm(np.diff(np.loadtxt(FILE)[:, :3], axis=0), axis=1)]
    volumes = oracle.at_rest(np.where(speed > 0.5, speed, 0), 4)
    matrix = np.kron(volumes, np.eye(5))  # the same slice of each volume
    expected = subtract(x, triggers, ctx.get_artifact_length(), matrix)
    atol = 1e-12 * np.abs(x).max()
    np.testing.assert_allclose(got.get_raw().get_data("E3")[0], expected, rtol=0, atol=atol)
    notes = got.get_history()[-1].parameters
    assert "motion_file" in notes


@pytest.mark.parametrize("between", [False, True])
def test_it_cleans(ctx, between):
    step = MoosmannCorrection(str(FILE), window_size=6, subsample=between)
    got = Pipeline([step]).run(ctx, raise_on_error=True).get_raw()
    span = slice(*got.time_as_index([4.0, 13.0]))
    for name in ("E1", "E6"):
        assert got.get_data(name)[0, span].std() < 0.3 * ctx.get_data(name)[0, span].std()


def test_facetpys_names(ctx):
    assert AvgArtWghtMoosmannCorrection is MoosmannCorrection
    theirs = MoosmannCorrection(rp_file=str(FILE), motion_window_size=4)
    ours = MoosmannCorrection(motion_file=str(FILE), window_size=4)
    assert np.array_equal(theirs(ctx).get_data(), ours(ctx).get_data())


# --------------------------------------------------------------------------------------- the files
def test_formats_agree(tmp_path):
    table = np.loadtxt(FILE)
    par, tsv, csv = (tmp_path / name for name in ("a.par", "a.tsv", "confounds.csv"))
    np.savetxt(par, table[:, [3, 4, 5, 0, 1, 2]])
    np.savetxt(tsv, table, delimiter="\t", header="x\ty\tz\tpitch\troll\tyaw", comments="\ufeff")
    head = "rot_x,trans_z,trans_y,trans_x"
    np.savetxt(csv, table[:, [3, 2, 1, 0]], delimiter=",", header=head, comments="")
    for path in (par, tsv, csv):
        np.testing.assert_allclose(read_translations(path), table[:, :3], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "is empty"),
        ("1 2 3 4 5 6\n", "fewer than two volumes"),
        ("1 2 3\n4 5 6\n", "line 1 .* has 3 columns, not 6"),
        ("1 2 3 4 5 6\n1 2 3 4 5\n", "line 2 .* has 5 columns"),
        ("1 2 3 4 5 6\n1 nan 3 4 5 6\n", "line 2 .* not hold a finite number"),
        ("x\ty\tz\n1\t2\t3\n1\tn/a\t3\n", "line 3 .* not hold a finite number"),
        ("a\tb\tc\n1\t2\t3\n", "columns a, b, c. Give an SPM"),
    ],
)
def test_bad_files(tmp_path, text, remedy):
    path = tmp_path / "rp.txt"
    path.write_text(text)
    with pytest.raises(ValidationError, match=remedy) as error:
        read_translations(path)
    assert str(path) in str(error.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(ValidationError, match="there is no motion file"):
        read_translations(tmp_path / "none.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValidationError, match="cannot be read"):
        read_translations(tmp_path / "b.txt")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, r"motion_file=…"),
        ({"motion_file": str(FILE), "rp_file": "b.txt"}, "give one of them"),
        ({"motion_file": str(FILE), "motion_threshold": -1.0}, "0 or more"),
        ({"motion_file": str(FILE), "motion_window_size": 0}, "1 or more"),
        ({"motion_file": str(FILE), "n_dummies": -1}, "0 or more"),
        ({"motion_file": str(FILE), "n_dummies": 1}, "12 volumes, but there are 55 triggers"),
        ({"motion_file": str(FILE), "n_dummies": 44}, None),
        ({"motion_file": str(FILE), "motion_threshold": 0.0}, "raise motion_threshold"),
    ],
)
def test_errors_name_the_remedy(ctx, options, remedy):
    pipeline = Pipeline([MoosmannCorrection(**options)])
    if remedy is None:  # 11 volumes and 44 that were not realigned: a trigger for each
        assert pipeline.run(ctx, raise_on_error=True).context
        return
    with pytest.raises(StepError, match=remedy):
        pipeline.run(ctx, raise_on_error=True)


def test_slices_that_contradict_the_file(ctx):
    other = ctx.with_metadata(ctx.metadata.updated(slices_per_volume=6))
    with pytest.raises(StepError, match="belongs to this recording"):
        Pipeline([MoosmannCorrection(str(FILE))]).run(other, raise_on_error=True)

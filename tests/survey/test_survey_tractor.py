"""Catalogues of the survey: columns, units, telescopes, shapes and faults."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

import sweeps
from darkhaloscope.errors import DhsError
from darkhaloscope.flags import Flag, names
from darkhaloscope.survey import tractor
from darkhaloscope.survey.tractor import (
    blocks,
    check_units,
    depth_mag,
    depth_of,
    find_catalogues,
    flags_of,
    host_ids,
    is_candidate,
    shapes,
    telescope_of_rows,
)
from tolerance import assert_within

RA, DEC = sweeps.sky(10)


def read(path) -> dict[str, np.ndarray]:
    every = list(blocks(path))
    return {name: np.concatenate([b[name] for b in every]) for name in every[0]}


@pytest.mark.parametrize("name", ["sweep-x.fits", "sweep-x.fits.gz", "rows.csv", "rows.parquet"])
def test_a_catalogue_is_read_from_any_kind_of_file(tmp_path, name):
    columns = sweeps.rows(RA, DEC)
    if name.endswith("parquet"):
        import pyarrow as pa

        plain = {k: v.astype(str) if v.dtype.kind == "S" else v for k, v in columns.items()}
        pq.write_table(pa.table(plain), tmp_path / name)
    else:
        sweeps.write(tmp_path / name, columns)
    got = read(tmp_path / name)
    assert_within(got["ra"], RA, 1e-9, "ra")
    assert got["type"].tolist() == ["SER"] * 10
    assert_within(got["flux_r"], columns["FLUX_R"], 1e-4, "flux")
    assert got["flux_r"].dtype.isnative


def test_lower_case_tractor_files_and_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(tractor, "_ROWS_AT_ONCE", 4)
    columns = {k.lower(): v for k, v in sweeps.rows(RA, DEC).items()}
    columns["brick_primary"] = np.arange(10) % 2 == 0
    path = sweeps.write(tmp_path / "tractor-1.fits", columns)
    assert [len(b["ra"]) for b in blocks(path)] == [4, 4, 2]
    assert is_candidate(read(path)).sum() == 5


def test_the_real_sweep(real_data):
    columns = read(real_data / "tractor_schema" / "sweep-310m005-320p000.fits")
    assert columns["brickname"].tolist() == ["3145m032"] * 6
    assert is_candidate(columns).all()
    assert set(telescope_of_rows(columns)) == {"decam"}
    assert host_ids(columns)[0] == "8000-312906-0"
    assert_within(depth_mag(columns["psfdepth_r"])[0], 24.181, 1e-3, "depth of 553.25 1/nmgy^2")
    assert_within(columns["ebv"][0], 0.0708692, 1e-7, "E(B-V)")
    radius, index, q, phi = shapes(columns)
    assert_within(radius[:2], [0.6251, 3.6537], 1e-4, "EXP radii")
    assert index[:2].tolist() == [1, 1] and np.isnan(q[2:]).all() and np.isnan(phi[2:]).all()
    check_units("sweep", columns)
    assert [names(int(bits)) for bits in flags_of(columns)] == [
        "", "", "POINT_SOURCE", "POINT_SOURCE",
        "POINT_SOURCE|BRIGHT_STAR", "POINT_SOURCE|BRIGHT_STAR",
    ]  # fmt: skip


def test_the_real_tractor_file(real_data):
    """Four of the six objects lie in the neighbouring brick, which has them too."""
    columns = read(real_data / "tractor_schema" / "tractor-3301m002.fits")
    assert is_candidate(columns).tolist() == [False, False, True, True, False, False]
    radius, index, _, _ = shapes(columns)
    assert_within(radius[:3], [0.6028, 0.5902, 1.4243], 1e-4, "DEV DEV REX radii")
    assert index[:3].tolist() == [4, 4, 1] and np.isnan(radius[3])


def test_real_rows_of_dr10_are_flagged(real_data):
    """Dirty on purpose: stars as bright as z 7.8, and what their halos do to WISE."""
    counts = {}
    for path in sorted((real_data / "dr10_lrg").glob("*.parquet")):
        columns = read(path)
        bits = flags_of(columns)
        for flag in Flag:
            if hit := int(((bits & flag) != 0).sum()):
                counts[flag.name] = counts.get(flag.name, 0) + hit
        bright = 22.5 - 2.5 * np.log10(columns["flux_z"]) < 15.5
        assert bright.any() and (bits[bright] & Flag.BRIGHT_STAR).all()
        assert (bits[columns["type"] == "PSF"] & Flag.POINT_SOURCE).all()
    assert counts == {"POINT_SOURCE": 395, "BRIGHT_STAR": 376, "BAD_PHOTOMETRY": 192}


def test_depth_is_that_of_the_surveys_formula():
    """-2.5 (log10(5 / sqrt(ivar)) - 9): 22.5 at 25 per nmgy squared."""
    assert_within(depth_mag(np.array([25.0, 2500.0])), [22.5, 25.0], 1e-12, "depth")
    assert np.isnan(depth_mag(np.array([0.0, -1.0, np.nan]))).all()


@pytest.mark.parametrize("band", ["G", "R"])
def test_magnitudes_for_inverse_variances_are_refused(tmp_path, band):
    columns = sweeps.rows(RA, DEC, **{f"PSFDEPTH_{band}": np.full(10, 24.3, np.float32)})
    path = sweeps.write(tmp_path / "s.fits", columns)
    with pytest.raises(DhsError, match=r"reaches 24\.3 only, which are magnitudes"):
        check_units(path, read(path))


def test_depths_named_in_magnitudes_are_taken_as_such(tmp_path):
    columns = sweeps.rows(RA, DEC, psfdepth_r_mag=np.full(10, 24.3))
    del columns["PSFDEPTH_R"]
    got = read(sweeps.write(tmp_path / "s.fits", columns))
    check_units("s.fits", got)
    assert (depth_of(got, "r") == 24.3).all()
    assert_within(depth_of(got, "g")[0], 22.5 - 2.5 * np.log10(5 / 1500**0.5), 1e-6, "g")
    with pytest.raises(DhsError, match="psfdepth_r_mag reaches 900, which are no magnitudes"):
        check_units("s.fits", got | {"psfdepth_r_mag": np.full(10, 900.0)})


def test_one_odd_value_hides_no_wrong_unit():
    depth = np.r_[np.full(400, 24.3), 5000.0]
    ra = np.full(401, 1.0)
    columns = {f"flux_{b}": np.geomspace(0.1, 1e4, 401) for b in "grz"}
    with pytest.raises(DhsError, match="which are magnitudes"):
        check_units("s.fits", columns | {"ra": ra, "dec": ra, "psfdepth_r": depth})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"psfsize_r": np.full(30, 5.0)}, "psfsize_r is 5 in the median"),
        ({"psfsize_z": np.full(30, 3.3e-4)}, "psfsize_z is 0.00033 in the median"),
        ({f"flux_{b}": np.linspace(17, 23, 30) for b in "grz"}, "which are magnitudes; fluxes"),
        ({"ra": np.r_[np.nan, np.ones(29)]}, "of 1 objects are not degrees"),
    ],
)
def test_other_units_are_refused(spoil, said):
    n = 30
    columns = {k.lower(): v for k, v in sweeps.rows(np.ones(n), np.ones(n)).items()}
    check_units("s.fits", columns)
    with pytest.raises(DhsError, match=said):
        check_units("s.fits", columns | spoil)


def test_positions_that_are_no_degrees_are_refused(tmp_path):
    path = sweeps.write(tmp_path / "s.fits", sweeps.rows(RA - 200, DEC))
    with pytest.raises(DhsError, match="not degrees"):
        check_units(path, read(path))


@pytest.mark.parametrize(
    ("e1", "e2", "east_of_north_deg"),
    [(0.3, 0.0, 0), (0.0, 0.3, 45), (-0.3, 0.0, 90), (0.0, -0.3, 135)],
)
def test_angles_run_from_north_to_east(e1, e2, east_of_north_deg):
    """Tractor: e1 = |e| cos 2 PA, PA from north to east; on stamps north is +y and east -x."""
    columns = {"ra": np.zeros(1), "type": np.array(["SER"], object), "shape_r": np.ones(1)}
    columns |= {"shape_e1": np.array([e1]), "shape_e2": np.array([e2]), "sersic": np.ones(1)}
    _, _, q, phi = shapes(columns)
    east, north = np.sin(np.radians(east_of_north_deg)), np.cos(np.radians(east_of_north_deg))
    along = np.array([-east, north])  # x, y
    ours = np.array([np.cos(phi[0]), np.sin(phi[0])])
    assert abs(abs(along @ ours) - 1) < 1e-9
    assert q[0] == pytest.approx(0.7 / 1.3)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 0.9), st.floats(0, np.pi))
def test_an_ellipse_painted_as_tractor_does_lies_along_our_angle(size, angle):
    """On a TAN image of the survey's orientation, by the moments of what is painted.

    Tractor's axes: unit circle to (RA, Dec) by ((c q, s), (-s q, c)), of its angle's cos and sin.
    """
    columns = {"ra": np.zeros(1), "type": np.array(["SER"], object), "shape_r": np.ones(1)}
    e1, e2 = size * np.cos(2 * angle), size * np.sin(2 * angle)
    columns |= {"shape_e1": np.array([e1]), "shape_e2": np.array([e2]), "sersic": np.ones(1)}
    _, _, q, phi = shapes(columns)
    c, s = np.cos(angle), np.sin(angle)
    b = (1 - size) / (1 + size)
    turns = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    east, north = np.array([[c * b, s], [-s * b, c]]) @ [np.cos(turns), np.sin(turns)]
    x, y = SURVEY_WCS.wcs_world2pix(150 + east / 3600 / np.cos(np.radians(2)), 2 + north / 3600, 0)
    values, axes = np.linalg.eigh(np.cov(x, y))
    assert np.sqrt(values[0] / values[1]) == pytest.approx(q[0], rel=1e-3)
    assert abs(axes[:, 1] @ [np.cos(phi[0]), np.sin(phi[0])]) == pytest.approx(1, abs=1e-6)


def _survey_wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150, 2], [1800.5, 1800.5]
    wcs.wcs.cd = np.diag([-0.262 / 3600, 0.262 / 3600])  # of coadds
    return wcs


SURVEY_WCS = _survey_wcs()


def test_telescopes():
    def of(**columns):
        n = len(next(iter(columns.values())))
        blank = {"ra": np.full(n, 180.0), "dec": np.full(n, 10.0)}
        return telescope_of_rows(blank | columns).tolist()

    south, north = (3000, 5000, 7000, 7999, 8000, 9010, 9012, 10000, 10001), (4000, 6000)
    assert set(of(release=np.array(south))) == {"decam"}
    assert set(of(release=np.array([*north, 8001, 9007, 9011, 9013]))) == {"90prime-mosaic"}
    photsys = np.array(["N", "S"], object)
    assert of(photsys=photsys, release=np.array([9010, 9010])) == ["90prime-mosaic", "decam"]
    assert of(dec=np.array([33.0, 32.0])) == ["90prime-mosaic", "decam"]
    assert of(ra=np.array([10.0]), dec=np.array([33.5])) == ["decam"]  # south of the Galaxy


def _one(**changed):
    columns = {k.lower(): v for k, v in sweeps.rows([150.0], [2.0]).items()}
    columns["type"] = np.array(["SER"], object)
    return columns | {k: np.array([v]) for k, v in changed.items()}


@pytest.mark.parametrize(
    ("changed", "flags"),
    [
        ({}, 0),
        ({"type": "PSF"}, Flag.POINT_SOURCE),
        ({"maskbits": 1 << 1}, Flag.BRIGHT_STAR),
        ({"maskbits": 1 << 11}, Flag.BRIGHT_STAR),
        ({"flux_z": 1000.0}, Flag.BRIGHT_STAR | Flag.BAD_PHOTOMETRY),
        ({"flux_z": 1000.0, "flux_r": 500.0}, 0),  # z 15, an elliptical at z 0.1
        ({"flux_z": 1000.0, "flux_r": 300.0}, Flag.BRIGHT_STAR),
        ({"flux_z": 1000.0, "flux_r": 500.0, "type": "PSF"}, Flag.BRIGHT_STAR | Flag.POINT_SOURCE),
        ({"flux_z": 1e4, "flux_r": 5e3}, Flag.BRIGHT_STAR),
        ({"flux_w1": 2000.0}, Flag.BRIGHT_STAR),
        ({"flux_r": -0.1}, Flag.BAD_PHOTOMETRY),
        ({"flux_g": np.nan}, Flag.BAD_PHOTOMETRY),
        ({"flux_ivar_z": 0.0}, Flag.BAD_PHOTOMETRY),
        ({"fracflux_r": 6.0}, Flag.BAD_PHOTOMETRY),
        ({"fracmasked_g": 0.5}, Flag.BAD_PHOTOMETRY),
        ({"fracin_z": 0.2}, Flag.BAD_PHOTOMETRY),
        ({"maskbits": 1 << 6}, Flag.SURVEY_MASK),
        ({"maskbits": 1 << 10}, Flag.SURVEY_MASK),
        ({"maskbits": 1 << 3}, Flag.SURVEY_MASK),
        ({"maskbits": 1 << 12}, 0),
        ({"allmask_g": 2}, Flag.SURVEY_MASK),
    ],
)
def test_a_cause_sets_its_flag(changed, flags):
    assert flags_of(_one(**changed))[0] == flags


def test_stars_of_tycho_are_stars_and_galaxies_of_gaia_stay():
    assert flags_of(_one(ref_cat="T2"))[0] == Flag.BRIGHT_STAR
    assert flags_of(_one(ref_cat="G2"))[0] == flags_of(_one(ref_cat="L3"))[0] == 0


def test_a_star_that_moves_is_a_star():
    moving = {"pmra": 20.0, "pmra_ivar": 1.0, "pmdec": 0.0, "pmdec_ivar": 1.0}
    assert flags_of(_one(**moving))[0] == Flag.BRIGHT_STAR
    assert flags_of(_one(**(moving | {"pmra": 2.0})))[0] == 0


def test_names_by_position_where_the_survey_gives_none():
    columns = {"ra": np.array([34.6552, 10.0]), "dec": np.array([-14.97379, 5.0])}
    assert host_ids(columns).tolist() == ["J021837.248-145825.64", "J004000.000+050000.00"]


def test_files_are_found_below_folders(tmp_path):
    for name in ("b/sweep-2.fits", "a/sweep-1.fits"):
        sweeps.write(tmp_path / name, sweeps.rows(RA, DEC))
    (tmp_path / "a" / "notes.txt").write_text("x")
    sweeps.write(tmp_path / "a" / "brick-1.fits", sweeps.rows(RA, DEC))  # by name only
    found = find_catalogues([tmp_path, tmp_path / "a", tmp_path / "a" / ".." / "b"])
    assert [p.name for p in found] == ["sweep-1.fits", "sweep-2.fits"]
    assert find_catalogues([tmp_path / "a" / "brick-1.fits"])[0].name == "brick-1.fits"
    with pytest.raises(DhsError, match="does not exist"):
        find_catalogues([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DhsError, match=r"no sweep-\*.fits, tractor-\*.fits, .* found"):
        find_catalogues([tmp_path / "empty"])


def _image(path):
    fits.PrimaryHDU(np.zeros((9, 9))).writeto(path)


def _truncated(path):
    sweeps.write(path, sweeps.rows(*sweeps.sky(2000)))
    path.write_bytes(path.read_bytes()[:100_000])


def _text(path):
    path.write_text("ra,dec\n")


def _without_flux(path):
    columns = sweeps.rows(RA, DEC)
    del columns["FLUX_Z"]
    Table(columns).write(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_image, "is FITS but holds no table"),
        (_truncated, "damaged or cut short"),
        (_text, "damaged or cut short"),
        (_without_flux, "lacks the columns flux_z"),
    ],
)
def test_bad_files_are_said(tmp_path, make, said):
    path = tmp_path / "sweep-bad.fits"
    make(path)
    with pytest.raises(DhsError, match=said):
        read(path)

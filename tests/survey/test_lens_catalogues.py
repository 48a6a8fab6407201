"""Lens catalogues as their authors give them: any format, any spelling, no wrong unit."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table

from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.designations import box_of
from darkhaloscope.survey.lens_catalogues import curated, read_catalogue

LENSES = (
    ("SDSSJ0029-0055", 7.282417, -0.930694, 0.96, 0.227, 0.931),
    ("SDSSJ0912+0029", 138.022125, 0.483667, 1.63, 0.164, 0.324),
    ("SDSSJ1430+4105", 217.517083, 41.099194, 1.52, 0.285, 0.575),
    ("SDSSJ2341+0000", 355.298208, 0.005194, 1.44, 0.186, 0.807),
)


def table(**names) -> Table:
    usual = ("name", "ra", "dec", "theta_E", "zlens", "zsrc")
    return Table(rows=LENSES, names=[names.get(name, name) for name in usual])


def saved(made: Table, path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.write(path, format=kind)
    return path


def read(path, anchor_class="lens"):
    return read_catalogue(path, anchor_class)


def is_right(catalogue):
    columns = catalogue.columns
    assert columns["name"].tolist() == [row[0] for row in LENSES]
    numbers = ("ra_deg", "dec_deg", "theta_E_arcsec", "z_lens", "z_source")
    for i, name in enumerate(numbers):
        assert columns[name] == pytest.approx([row[i + 1] for row in LENSES], abs=3e-6), name
    assert set(columns["anchor_class"]) == {"lens"} and set(columns["catalogue"]) == {"mine"}
    assert np.isnan(columns["host_mag_r"]).all() and set(columns["reference"]) == {""}


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (".csv", "ascii.csv"),
        (".ecsv", "ascii.ecsv"),
        (".tsv", "ascii.tab"),
        (".txt", "ascii.fixed_width_two_line"),
        (".fits", "fits"),
        (".fits.gz", "fits"),
        (".vot", "votable"),
        (".xml", "votable"),
    ],
)
def test_every_format_gives_the_same(tmp_path, end, kind):
    if end == ".txt":
        kind = "ascii.commented_header"
    is_right(read(saved(table(), tmp_path / f"mine{end}", kind)))


@pytest.mark.parametrize(
    "names",
    [
        {"name": "Name", "ra": "RA [deg]", "dec": "DEC [deg]", "theta_E": "Einstein_radius"},
        {"name": "Lens system", "ra": "RAJ2000", "dec": "DEJ2000", "zlens": "z_d", "zsrc": "z_s"},
        {"name": "SystemName", "ra": "ra_deg", "dec": "dec_deg", "theta_E": "theta_E_arcsec"},
        {"name": "ID", "ra": "Alpha_J2000", "dec": "Delta_J2000", "theta_E": "R_Ein (arcsec)"},
    ],
)
def test_columns_are_known_by_many_names(tmp_path, names):
    is_right(read(saved(table(**names), tmp_path / "mine.csv", "ascii.csv")))


def test_lenscat_as_it_is_shipped(tmp_path):
    """Its redshifts are words now and then, and its header has units."""
    path = tmp_path / "lenscat.csv"
    path.write_text(
        "name,RA [deg],DEC [deg],zlens,type,grading,ref\n"
        "HE0047-1756,12.6158,-17.6693,0.407,galaxy,confirmed,https://a\n"
        "J0102+2445,15.69675,24.7544,0.272?,galaxy,probable,https://a\n"
        "PSJ0030-1525,7.5636,-15.4177,measured,galaxy,confirmed,https://a\n"
        "DESJ0053-2012,13.4349,-20.2091,-,galaxy,confirmed,https://a\n"
        "SDSS J0004-0103,1.216666667,-1.054388889,0.514,cluster,confirmed,https://b\n"
    )
    columns = read(path).columns
    assert columns["z_lens"][0] == 0.407 and columns["z_lens"][4] == 0.514
    assert np.isnan(columns["z_lens"][1:4]).all()
    assert columns["grade"].tolist()[:2] == ["confirmed", "probable"]
    assert columns["kind_of_lens"][4] == "cluster" and columns["reference"][4] == "https://b"


def test_sexagesimal_positions(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "name,RA,Dec\nSDSSJ0912+0029,09:12:05.31,+00:29:01.2\n"
        "SDSSJ0029-0055,00 29 07.77,-00 55 50.5\n"
        "SDSSJ1143-0144,11h43m29.64s,-01d44m30.0s\n"
    )
    columns = read(path).columns
    assert columns["ra_deg"] == pytest.approx([138.022125, 7.282375, 175.8735], abs=1e-6)
    assert columns["dec_deg"] == pytest.approx([0.483667, -0.930694, -1.741667], abs=1e-6)


@pytest.mark.parametrize(
    ("unit", "per_deg", "end", "kind"),
    [
        (u.hourangle, 1 / 15, ".ecsv", "ascii.ecsv"),
        (u.rad, np.pi / 180, ".ecsv", "ascii.ecsv"),
        (u.rad, np.pi / 180, ".fits", "fits"),
    ],
)
def test_units_of_the_columns_are_obeyed(tmp_path, unit, per_deg, end, kind):
    made = table()
    made["ra"] = made["ra"] * per_deg * unit
    made["dec"] = (
        made["dec"] * (per_deg if unit is u.rad else 1) * (unit if unit is u.rad else u.deg)
    )
    is_right(read(saved(made, tmp_path / f"mine{end}", kind)))


def test_a_unit_in_the_header_is_obeyed(tmp_path):
    made = table(ra="RA [hours]")
    made["RA [hours]"] = made["RA [hours]"] / 15
    is_right(read(saved(made, tmp_path / "mine.csv", "ascii.csv")))


@pytest.mark.parametrize(("unit", "factor"), [("hours", 1 / 15), ("rad", np.pi / 180)])
def test_a_unit_that_is_not_told_is_found_by_the_names(tmp_path, unit, factor):
    made = table()
    made["ra"] = made["ra"] * factor
    if unit == "rad":
        made["dec"] = made["dec"] * factor
    path = saved(made, tmp_path / "mine.csv", "ascii.csv")
    with pytest.raises(DhsError, match=rf"4 names agree with ra in {unit}, 0 with degrees"):
        read(path)


def test_hours_without_names_are_asked_about(tmp_path):
    made = Table({"ra": np.linspace(0.5, 23.5, 30), "dec": np.linspace(-20, 30, 30)})
    with pytest.raises(DhsError, match=r"no ra of 30 is above 24, so it may be hours"):
        read(saved(made, tmp_path / "a.csv", "ascii.csv"))
    made.rename_column("ra", "ra [deg]")
    assert len(read(saved(made, tmp_path / "b.csv", "ascii.csv"))) == 30


def test_masked_values_are_not_known(tmp_path):
    made = table()
    made["zsrc"] = MaskedColumn(made["zsrc"], mask=[True, False, False, False])
    columns = read(saved(made, tmp_path / "mine.ecsv", "ascii.ecsv")).columns
    assert np.isnan(columns["z_source"][0]) and columns["z_source"][1] == 0.324


def test_classes_of_the_catalogue_and_of_the_user(tmp_path):
    made = table()
    made["class"] = ["ring", "", "lens", "artefact"]
    path = saved(made, tmp_path / "mine.csv", "ascii.csv")
    assert read(path, "spiral").columns["anchor_class"].tolist() == [
        "ring", "spiral", "lens", "artefact",
    ]  # fmt: skip
    made["class"] = "galaxy"
    with pytest.raises(DhsError, match="class galaxy is not known; known are lens, ring"):
        read(saved(made, tmp_path / "b.csv", "ascii.csv"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.csv",
            "name,ra\nx,1\n",
            "no column for dec_deg; it has name, ra; known are dec_deg, dec",
        ),
        ("a.csv", "name,ra,dec\n", "holds no entry"),
        ("a.csv", "", "holds no entry"),
        ("a.fits", "no fits", "cannot be read as a table"),
        ("a.docx", "x", ".docx is not known; catalogues are .csv"),
        ("a.csv", "name,ra [miles],dec\nx,1,2\n", "is in miles; known are deg"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DhsError) as error:
        read(path)
    assert said in str(error.value)


def test_a_catalogue_that_is_not_there(tmp_path):
    with pytest.raises(DhsError, match="is no file; give a catalogue"):
        read(tmp_path / "none.csv")


def test_the_shipped_lenses_are_what_their_names_say():
    """Rounded in the papers, so within their last place."""
    columns = curated().columns
    assert len(columns["name"]) == 142 and len(set(columns["catalogue"])) == 3
    for name, ra, dec in zip(columns["name"], columns["ra_deg"], columns["dec_deg"], strict=True):
        assert box_of(name).off_arcsec(ra, dec) < 0.02, name
    assert all(columns["reference"])


def test_the_shipped_lenses_agree_with_other_lists(real_data):
    """121 lenses compiled by others: positions, and Einstein radii where both have them."""
    from darkhaloscope.evaluate.places import neighbours

    theirs = read(real_data / "lens_catalogues" / "known_lenses_thetaE_merged.csv").columns
    ours = curated().columns
    ra, dec, size = (
        np.concatenate([ours[name], theirs[name]])
        for name in ("ra_deg", "dec_deg", "theta_E_arcsec")
    )
    a, b, far = neighbours(ra, dec, 2.0)
    across = (np.minimum(a, b) < 142) & (np.maximum(a, b) >= 142)
    a, b, far = np.minimum(a, b)[across], np.maximum(a, b)[across], far[across]
    assert len(set(b.tolist())) == 78 and far.max() < 0.5
    both = np.isfinite(size[a]) & np.isfinite(size[b])
    assert both.sum() == 59 and np.abs(size[a] - size[b])[both].max() == 0

"""`dhs anchors build` and `cutouts`: right anchors pass, planted faults are refused by name."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from bricktree import write_brick
from darkhaloscope.cli import run
from darkhaloscope.config import AnchorsBuild, AnchorsCutouts
from darkhaloscope.errors import DhsError
from darkhaloscope.flags import Flag
from darkhaloscope.io.files import read_json
from darkhaloscope.io.tables import read_table
from darkhaloscope.jobs.anchor_cutouts import cutouts
from darkhaloscope.jobs.anchors import build
from darkhaloscope.schema import ANCHORS, ANCHORS_QUARANTINE, ANCHORS_SEEN, PARENT
from darkhaloscope.survey.bricks import brick_of
from surveyserver import Survey, serving

WRONG = Path(__file__).parents[1] / "survey" / "wrong_anchors.csv"
BOTH = AnchorsBuild(telescope="both")


def good(out):
    return read_table(out / "part-00000.parquet", ANCHORS).to_pylist()


def refused(out):
    path = out / "quarantine" / "part-00000.parquet"
    return read_table(path, ANCHORS_QUARANTINE).to_pylist() if path.exists() else []


def write(path, *rows, header="name,ra,dec"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    out = tmp_path_factory.mktemp("anchors") / "shipped"
    build(out, [], "lens", BOTH)
    return out


def test_the_shipped_lenses_that_two_papers_have(shipped):
    rows = good(shipped)
    assert len(rows) == 54
    assert all(r["catalogues"] == "SLACS Bolton 2008; SLACS Auger 2009" for r in rows)
    assert all(r["reference"].count("; ") == 1 for r in rows)
    assert max(r["separation_arcsec"] for r in rows) < 0.2
    assert {r["name_says"] for r in rows} == {"agrees"}
    assert {len(r["name"]) for r in rows} == {23}  # the full designation, not the short one
    assert all(0.8 <= r["theta_E_arcsec"] <= 1.8 and r["z_lens"] < r["z_source"] for r in rows)
    alone = refused(shipped)
    assert len(alone) == 142 - 2 * 54 == 34
    assert {r["cause"] for r in alone} == {"NOT_CONFIRMED"}


def test_the_table_is_one_of_parents_too(shipped):
    table = pq.read_table(shipped / "part-00000.parquet")
    assert {c.name for c in PARENT} <= set(table.column_names)
    rows = table.to_pylist()
    assert {r["split"] for r in rows} == {"test"} and {r["host_flags"] for r in rows} == {0}
    assert len({r["host_id"] for r in rows}) == 54
    assert [r["brick"] for r in rows] == sorted(r["brick"] for r in rows)
    assert all(r["brick"] == brick_of(r["ra_deg"], r["dec_deg"]).name for r in rows)


def test_the_telescope_is_asked_for(tmp_path):
    build(tmp_path / "south", [], "lens", AnchorsBuild())
    north = [r for r in refused(tmp_path / "south") if r["host_flags"] & Flag.OTHER_TELESCOPE]
    assert {r["telescope"] for r in good(tmp_path / "south")} == {"decam"}
    assert north and all(r["dec_deg"] > 32.375 for r in north)


@pytest.mark.parametrize("alone", [False, True])
def test_anchors_typed_by_hand_are_all_refused(tmp_path, alone):
    """The plan's 68: real names, positions read off them or minutes away."""
    with WRONG.open() as stream:
        typed = list(csv.DictReader(stream))
    assert len(typed) == 68 and len({row["how"] for row in typed}) == 5
    build(tmp_path / "out", [WRONG], "lens", BOTH.model_copy(update={"alone": alone}))
    mine = [r for r in refused(tmp_path / "out") if r["catalogues"] == "wrong_anchors"]
    assert sorted(r["name"] for r in mine) == sorted(row["name"] for row in typed)
    assert not any("wrong_anchors" in r["catalogues"] for r in good(tmp_path / "out"))
    causes = {r["name"]: r["cause"] for r in mine}
    assert set(causes.values()) == {"ELSEWHERE", "NAME_DISAGREES"}
    assert causes["SDSSJ0912+0029"] == "ELSEWHERE"
    agreeing = {row["name"] for row in typed if row["how"] in ("truncated", "middle")}
    assert {causes[name] for name in agreeing} == {"ELSEWHERE"}


def test_the_same_names_at_their_places_pass(tmp_path):
    from darkhaloscope.survey.lens_catalogues import curated

    columns = curated().columns
    with WRONG.open() as stream:
        short = [row["name"] for row in csv.DictReader(stream)]
    bolton = columns["catalogue"] == "SLACS Bolton 2008"
    places = zip(columns["ra_deg"][bolton], columns["dec_deg"][bolton], strict=True)
    rows = [(name, *at) for name, at in zip(short, places, strict=True)]
    build(tmp_path / "out", [write(tmp_path / "right.csv", *rows)], "lens", BOTH)
    assert sum("right" in r["catalogues"] for r in good(tmp_path / "out")) == 68


def test_lists_of_others_against_the_shipped_one(real_data, tmp_path):
    """Of 121 lenses those of SLACS and BELLS GALLERY are confirmed; BELLS and SL2S have none."""
    theirs = real_data / "lens_catalogues" / "known_lenses_thetaE_merged.csv"
    build(tmp_path / "out", [theirs], "lens", BOTH)
    mine = [r for r in good(tmp_path / "out") if "known_lenses" in r["catalogues"]]
    assert len(mine) == 78 and max(r["separation_arcsec"] for r in mine) < 0.3
    others = [r for r in refused(tmp_path / "out") if "known_lenses" in r["catalogues"]]
    assert len(others) == 43 and {r["cause"] for r in others} == {"NOT_CONFIRMED"}


def test_entries_of_one_lens_become_one_anchor(tmp_path):
    a = write(
        tmp_path / "a.csv", ("Gem", 40.0, 2.0, "Ann 2001", ""), header="name,ra,dec,ref,theta_E"
    )
    b = write(
        tmp_path / "b.csv",
        ("DESJ0240+0200", 40.0003, 2.0001, "Bob 2002", 1.4),
        ("Gem", 50.0, 2.0, "Bob 2002", 1.2),
        header="name,ra,dec,ref,theta_E",
    )
    build(tmp_path / "out", [a, b], "lens", AnchorsBuild(curated=False, alone=True))
    one, other = sorted(good(tmp_path / "out"), key=lambda r: r["ra_deg"])
    assert one["name"] == one["host_id"] == "DESJ0240+0200"
    assert (one["ra_deg"], one["theta_E_arcsec"]) == (40.0, 1.4)
    assert one["reference"] == "Ann 2001; Bob 2002" and one["catalogues"] == "a; b"
    assert one["separation_arcsec"] == pytest.approx(1.14, abs=0.01)
    assert np.isnan(other["separation_arcsec"]) and other["name_says"] == "no position in it"


def test_hard_negatives_come_by_the_same_road(tmp_path):
    rings = write(tmp_path / "rings.csv", ("ring 1", 30.0, 1.0), ("", 31.0, 1.0))
    a_lens = write(tmp_path / "odd.csv", ("odd", 138.022125, 0.483667))
    build(tmp_path / "out", [rings], "ring", AnchorsBuild(alone=True, curated=False))
    rows = good(tmp_path / "out")
    assert {(r["anchor_class"], r["label"]) for r in rows} == {("ring", 0)}
    assert {r["host_id"] for r in rows} == {"ring1", "at-31.00000+1.00000"}
    build(tmp_path / "odd", [rings, a_lens], "ring", AnchorsBuild(alone=True, curated=False))
    (bad,) = refused(tmp_path / "odd")
    assert bad["cause"] == "CLASS_CONFLICT" and "lens in SLACS Bolton 2008" in bad["detail"]


def test_the_page_and_the_terminal_name_who_was_refused(tmp_path, capfd):
    bad = write(tmp_path / "typed.csv", ("SDSSJ0912+0029", 138.1417, 0.4861))
    words = ["--class", "lens", "--match-arcsec", "2", "--no-alone"]
    assert run(["anchors", "build", str(bad), "--out", str(tmp_path / "out"), *words]) == 0
    said = " ".join(capfd.readouterr().err.split())
    page = (tmp_path / "out" / "anchors.html").read_text()
    assert "ELSEWHERE" in said and "typed: 1 entries; name = name, ra_deg = ra" in said
    assert "refused.SDSSJ0912+0029" in page and "stands 430.5 arcsec away" in page
    found = {f["gate"]: f for f in read_json(tmp_path / "out" / "findings.json")["findings"]}
    assert found["entries.elsewhere"]["level"] == "warn"
    assert found["entries.bad_values"]["level"] == "pass"
    record = read_json(tmp_path / "out" / "run.json")
    assert record["stage"] == "anchors" and record["quarantined"]["ELSEWHERE"] == 1


def test_the_same_catalogues_give_the_same_bytes(tmp_path, shipped):
    build(tmp_path / "again", [], "lens", BOTH)
    for name in ("part-00000.parquet", "anchors.html"):
        assert (tmp_path / "again" / name).read_bytes() == (shipped / name).read_bytes()
    build(shipped, [], "lens", BOTH)  # once more in its own folder


def test_one_catalogue_twice_would_confirm_itself(tmp_path):
    a = write(tmp_path / "a.csv", ("Gem", 40.0, 2.0))
    b = tmp_path / "b.csv"
    b.write_bytes(a.read_bytes())
    with pytest.raises(DhsError, match=r"a\.csv and .*b\.csv hold the same bytes"):
        build(tmp_path / "out", [a, b], "lens", BOTH)
    assert not (tmp_path / "out").exists()


def test_nothing_that_can_be_an_anchor(tmp_path):
    a = write(tmp_path / "a.csv", ("Gem", 40.0, 2.0))
    with pytest.raises(DhsError, match="no entry can be an anchor: 1 NOT_CONFIRMED; see"):
        build(tmp_path / "out", [a], "lens", AnchorsBuild(curated=False))
    with pytest.raises(DhsError, match="nothing to build from"):
        build(tmp_path / "none", [], "lens", AnchorsBuild(curated=False))


# the survey's pixels of anchors: galaxies of r = 19.4 on a made sky

BRICK = brick_of(150.1, 2.1)
GALAXIES = [(BRICK.ra_deg + 0.01 * i, BRICK.dec_deg + 0.02) for i in range(-2, 3)]
CUT = AnchorsCutouts(size_pix=48, timeout_s=1.0, tries=2, backoff_s=0.01, requests_per_s=100)
ARCSEC = 1 / 3600


def _planted():
    """Name, ra, dec, theta_E, r magnitude of the catalogue, class."""
    (a, b, c, d, e) = GALAXIES
    return [
        ("right", *a, 1.9, 19.4, "lens"),
        ("ring", *e, "", 19.6, "ring"),
        ("spike", a[0], a[1] + 7 * ARCSEC, "", "", "artefact"),
        ("off", b[0], b[1] + 1.6 * ARCSEC, 1.2, 19.4, "lens"),
        ("empty", c[0], c[1] + 7 * ARCSEC, 1.2, 19.4, "lens"),
        ("faint", *d, 1.2, 16.5, "lens"),
        ("nowhere", BRICK.ra_deg, 80.0, 1.2, 19.4, "lens"),
    ]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    mine = write(folder / "mine.csv", *_planted(), header="name,ra,dec,theta_E,mag_r,class")
    build(
        folder / "anchors",
        [mine],
        "lens",
        AnchorsBuild(alone=True, curated=False, telescope="both"),
    )
    return folder / "anchors"


@pytest.fixture(scope="module")
def seen(planted, tmp_path_factory):
    """The store that the cutout service gives."""
    out = tmp_path_factory.mktemp("seen") / "store"
    ra, dec = zip(*GALAXIES, strict=True)
    with serving(Survey(None, [BRICK], ra, dec)) as address:
        cutouts(out, planted, None, f"{address}/viewer", CUT, 1)
    return out


def test_every_planted_fault_has_its_cause(seen):
    told = {r["host_id"]: r for r in read_table(seen / "anchors.parquet", ANCHORS_SEEN).to_pylist()}
    assert {name: r["cause"] for name, r in told.items()} == {
        "right": "",
        "ring": "",
        "spike": "",
        "off": "NO_CENTRAL_GALAXY",
        "empty": "NO_CENTRAL_GALAXY",
        "faint": "WRONG_FLUX",
        "nowhere": "NOT_COVERED",
    }
    assert told["off"]["center_off_arcsec"] == pytest.approx(1.6, abs=0.1)
    assert "nearest source of light is 1.6 arcsec away, 1 is allowed" in told["off"]["detail"]
    assert "15.5 to 18.5 is allowed" in told["faint"]["detail"]
    assert told["faint"]["center_mag_r"] == pytest.approx(19.4, abs=0.1)
    assert told["right"]["center_off_arcsec"] < 0.1
    assert told["right"]["center_mag_r"] == pytest.approx(19.4, abs=0.1)


def test_the_store_carries_the_class_as_the_kind_that_is_scored(seen):
    from darkhaloscope.learn.score import rows_of

    judge = SimpleNamespace(size_pix=48, pixel_scale=0.262)
    total, pieces = rows_of(seen, judge)  # type: ignore[arg-type]
    rows = [dict(zip(p.columns["task_id"], p.columns["kind"], strict=True)) for p in pieces]
    assert total == 3 and {k: v for some in rows for k, v in some.items()} == {
        "right": "lens",
        "ring": "ring",
        "spike": "artefact",
    }


def test_what_the_ground_can_show_is_told_of_each(seen):
    told = {r["host_id"]: r for r in read_table(seen / "anchors.parquet", ANCHORS_SEEN).to_pylist()}
    right = told["right"]
    assert right["theta_over_seeing"] == pytest.approx(1.9 / right["psf_fwhm_r_arcsec"])
    assert right["visible"] in ("yes", "perhaps") and right["arc_snr_g_low"] > 0
    assert told["ring"]["visible_reason"] == "the Einstein radius is not known"
    assert told["nowhere"]["visible_reason"] == "there is no cutout"


def test_the_page_shows_both_sorts(seen):
    page = (seen / "anchors.html").read_text()
    assert page.count("data:image/png") >= 2
    assert "<h3>Anchors</h3>" in page and "<h3>Refused</h3>" in page
    assert "refused.off" in page and "refused.nowhere" in page


def test_a_coadd_tree_gives_what_the_service_gives(planted, seen, tmp_path, capfd):
    ra, dec = zip(*GALAXIES, strict=True)
    write_brick(tmp_path / "tree", BRICK, ra, dec)
    words = ["--anchors", planted, "--root", tmp_path / "tree", "--out", tmp_path / "out"]
    command = ["anchors", "cutouts", *map(str, words), "--size-pix", "48", "--processes", "1"]
    assert run(command) == 0, capfd.readouterr().err
    causes = [
        {
            r["host_id"]: r["cause"]
            for r in read_table(o / "anchors.parquet", ANCHORS_SEEN).to_pylist()
        }
        for o in (tmp_path / "out", seen)
    ]
    assert causes[0] == causes[1]
    assert run(command) == 0  # once more: nothing is fetched, all is tested again
    assert read_json(tmp_path / "out" / "run.json")["stage"] == "cutouts anchors"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --root of a coadd tree, or --url of the viewer"),
        (["--root", "/a", "--url", "http://b"], "and not both"),
        (["--root", "/nowhere"], "/nowhere is not a folder"),
        (["--root", "/a", "--anchors", "{seen}"], "is no table of anchors but a cutouts anchors"),
        (["--root", "/a", "--max-off-arcsec", "0"], "max_off_arcsec must be greater than 0"),
    ],
)
def test_bad_input_is_said_before_any_work(planted, seen, tmp_path, capfd, words, said):
    words = [word.format(seen=seen) for word in words]
    if "--anchors" not in words:
        words += ["--anchors", str(planted)]
    assert run(["anchors", "cutouts", "--out", str(tmp_path / "out"), *words]) == 2
    assert said in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "out").exists()

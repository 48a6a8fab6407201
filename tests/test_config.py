"""Settings: closed, frozen, checked before any work, and the same digest for the same."""

import json
import math

import pytest
from pydantic import ValidationError

from darkhaloscope.config import (
    SECTIONS,
    BankCosmos,
    BankHybrid,
    CutoutsNpz,
    Inject,
    Plan,
    build,
    read_toml,
)
from darkhaloscope.errors import DhsError


def _toml(tmp_path, text):
    path = tmp_path / "dhs.toml"
    path.write_text(text)
    return path


def _refused(model, settings, *words):
    with pytest.raises(DhsError) as caught:
        build(model, settings, "here")
    message = str(caught.value)
    for word in ("here", *words):
        assert word in message, message
    return message


def test_an_unknown_key_is_named_and_a_near_one_suggested():
    _refused(Plan, {"theta_E_mim": 1.2}, "'theta_E_mim'", "did you mean 'theta_E_m")
    _refused(Plan, {"sed": 3}, "unknown key 'sed'", "did you mean 'seed'")
    message = _refused(Inject, {"xyzzy": 1}, "unknown key 'xyzzy'", "allowed:", "moffat_beta")
    assert "did you mean" not in message


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        (Plan, {"theta_E_min_arcsec": -1}, ("theta_E_min_arcsec", "greater than 0", "-1")),
        (Plan, {"ring_fraction": 1.5}, ("ring_fraction", "less than or equal to 1", "1.5")),
        (Plan, {"tier": "grid"}, ("tier grid needs mode grid",)),
        (Plan, {"grid_shear": (0.01,)}, ("grid_shear: only a plan of mode grid has them",)),
        (Plan, {"mode": "grid", "grid_shear": (0.4,)}, ("grid_shear must be values from 0.0",)),
        (Plan, {"mode": "grid", "grid_r_e_arcsec": ()}, ("grid_r_e_arcsec must be values",)),
        (Plan, {"shear_sigma": 0.5}, ("shear_sigma", "less than or equal to 0.3", "0.5")),
        (Plan, {"pairs_per_host": 0}, ("pairs_per_host", "0")),
        (Plan, {"rows_per_part": 2}, ("rows_per_part", "2")),
        (Plan, {"min_magnification": 0.5}, ("min_magnification", "0.5")),
        (Plan, {"seed": 1.5}, ("seed", "1.5")),
        (Plan, {"colour_model": "red"}, ("colour_model", "catalogue", "red")),
        (Inject, {"moffat_beta": 1.0}, ("moffat_beta", "greater than 1.1", "1.0")),
        (Inject, {"render_tolerance": 0.3}, ("render_tolerance", "0.3")),
        (Inject, {"psf_model": "airy"}, ("psf_model", "moffat", "airy")),
        (BankHybrid, {"src_pixscale_arcsec": 30}, ("src_pixscale_arcsec", "0.3", "30")),
        (BankHybrid, {"stamp_size": 16}, ("stamp_size", "32", "16")),
        (BankCosmos, {"split_fractions": (0.7, 0.2, 0.2)}, ("split_fractions", "sum to 1")),
        (BankCosmos, {"split_fractions": (1.2, -0.1, -0.1)}, ("split_fractions", ">= 0")),
        (
            BankCosmos,
            {"min_hlr_arcsec": 2.0},
            ("min_hlr_arcsec must be below max_hlr_arcsec", "2.0 and 1.0"),
        ),
        (Plan, {"arc_mag_r_min": 24}, ("arc_mag_r_min must be below arc_mag_r_max", "24.0")),
        (Plan, {"theta_E_min_arcsec": 3}, ("theta_E_min_arcsec must be below", "3.0 and 3.0")),
        (CutoutsNpz, {"psf_fwhm_arcsec": (1.2, 0, 1.1)}, ("psf_fwhm_arcsec must be positive",)),
        (CutoutsNpz, {"nexp": (3, -1, 3)}, ("nexp must be positive",)),
        (CutoutsNpz, {"psf_fwhm_arcsec": (1.2, 1.1)}, ("psf_fwhm_arcsec",)),
    ],
)
def test_an_impossible_value_is_refused_with_what_is_allowed(model, settings, words):
    _refused(model, settings, *words)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("model", "key"),
    [(Plan, "theta_E_min_arcsec"), (Plan, "source_mag_r_median"), (Inject, "moffat_beta")],
)
def test_what_is_no_number_is_refused(model, key, value):
    _refused(model, {key: value}, key)


def test_nan_inside_a_tuple_is_refused():
    _refused(CutoutsNpz, {"psf_fwhm_arcsec": (1.2, math.nan, 1.1)}, "psf_fwhm_arcsec")
    _refused(BankHybrid, {"split_fractions": (math.nan, 0.5, 0.5)}, "split_fractions")


def test_all_faults_are_named_at_once():
    message = _refused(Plan, {"sed": 1, "shear_sigma": 9, "pairs_per_host": 0}, "sed")
    assert message.count("\n") == 2
    assert "shear_sigma" in message and "pairs_per_host" in message


@pytest.mark.parametrize("model", SECTIONS.values())
def test_settings_are_frozen_and_their_defaults_valid(model):
    settings = model()
    name = next(iter(model.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, name, 1)
    again = build(model, json.loads(settings.as_json()), "round trip")
    assert again == settings and again.digest() == settings.digest()


def test_digest_is_stable_under_the_order_of_keys_and_notices_a_change():
    one = Plan(seed=3, pairs_per_host=2)
    other = Plan(pairs_per_host=2, seed=3)
    assert one.digest() == other.digest()
    assert Plan(seed=3).digest() == Plan(seed=3, pairs_per_host=1).digest()  # a default spelt out
    digests = {Plan().digest(), Plan(seed=2).digest(), Plan(cosmos_salt="x").digest()}
    assert len(digests) == 3
    assert BankHybrid().digest() != BankCosmos().digest()


def test_every_setting_has_a_description_and_a_default():
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            assert field.description, f"{section}.{name}"
            assert not field.is_required(), f"{section}.{name}"


def test_a_file_fills_the_sections(tmp_path):
    path = _toml(
        tmp_path,
        "[plan]\nseed = 4\ntheta_E_min_arcsec = 0.8\n[bank.hybrid]\nn_sources = 7\n[validate]\n",
    )
    assert read_toml(path) == {
        "plan": {"seed": 4, "theta_E_min_arcsec": 0.8},
        "bank.hybrid": {"n_sources": 7},
        "validate": {},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[plan]\nsed = 4\n", ("[plan]", "unknown key 'sed'", "seed")),
        ("[plann]\nseed = 4\n", ("unknown section [plann]", "did you mean 'plan'")),
        ("[bank.hubrid]\nn_sources = 4\n", ("unknown section [bank.hubrid]", "bank.hybrid")),
        ("seed = 4\n", ("unknown section [seed]",)),
        ("plan = 4\n", ("[plan]", "must be a section")),
        ("[bank]\nn_sources = 4\n", ("bank.n_sources",)),
        ("[plan]\nseed = nan\n", ("[plan]", "seed")),
        ("[plan\nseed = 4\n", ("cannot be read as TOML",)),
        ("[plan]\nseed = 4\nseed = 5\n", ("cannot be read as TOML",)),
        ("[plan]\nshear_sigma = '0.05'\n[inject]\nmoffat_beta = 0\n", ("[inject]", "moffat_beta")),
    ],
)
def test_a_wrong_file_is_refused_and_named(tmp_path, text, words):
    path = _toml(tmp_path, text)
    with pytest.raises(DhsError) as caught:
        read_toml(path)
    for word in (str(path), *words):
        assert word in str(caught.value), str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(DhsError, match="cannot be read as TOML"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00plan")
    with pytest.raises(DhsError, match="cannot be read as TOML"):
        read_toml(tmp_path / "b.toml")

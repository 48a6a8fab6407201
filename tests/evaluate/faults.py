"""Faults as systems like this one have had them, planted in the rows of a healthy set.

rows : schema.STAMPS without pixels, and `image`, (row, band, y, x); each fault alters them as the
code at fault would have left them, pixels and columns alike.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from darkhaloscope.evaluate.sample import row_in_pair
from darkhaloscope.flags import Flag
from darkhaloscope.jobs.light import render_rows
from darkhaloscope.schema import band_columns
from darkhaloscope.sim.colours import offset_colours

RNG = 7


def is_(rows, kind) -> np.ndarray:
    return rows["kind"] == kind


def keep(rows, which) -> None:
    for name, values in rows.items():
        rows[name] = values[which]


def _hosts(rows) -> np.ndarray:
    """The host's pixels of each row's pair."""
    return rows["image"][row_in_pair(rows["pair_id"].astype(str), rows["kind"], "host")]


def _rendered_otherwise(rows, bank, bands=(0, 1, 2), kinds=("lens",), **columns) -> None:
    """Rows of some kinds as a renderer draws them that uses other columns than it writes."""
    which = np.isin(rows["kind"], kinds)
    some = {name: values[which] for name, values in rows.items()} | columns
    light = render_rows(some, bank, np.ones(int(which.sum()), bool))
    for band in bands:
        rows["image"][which, band] = _hosts(rows)[which, band] + light[:, band]


# pixels and renderer


def nan_pixels(rows, bank):
    rows["image"][3, 1, 4, 5] = np.nan


def missing_band_filled_with_zeros(rows, bank):
    rows["image"][is_(rows, "lens"), 0] = 0.0


def zeroed_stamps(rows, bank):
    rows["image"][:] = 0.0


def sie_without_sqrt_q(rows, bank):
    lens = is_(rows, "lens")
    theta_E = rows["theta_E_arcsec"][lens] / np.sqrt(rows["lens_q"][lens])
    _rendered_otherwise(rows, bank, theta_E_arcsec=theta_E)
    _columns_as_measured(rows)


def psf_not_applied_in_one_band(rows, bank):
    n = int(is_(rows, "lens").sum())
    _rendered_otherwise(rows, bank, bands=(0,), psf_fwhm_g_arcsec=np.full(n, 0.05))
    _columns_as_measured(rows)


def half_a_pixel_off(rows, bank):
    kinds = ("lens", "unlensed", "ring", "companion", "spiral")
    which = np.isin(rows["kind"], kinds)
    moved = rows["lens_center_x_arcsec"][which] + 0.131
    _rendered_otherwise(rows, bank, kinds=kinds, lens_center_x_arcsec=moved)
    _columns_as_measured(rows)


def kernel_of_one_band_off(rows, bank):
    rows["image"][:, 2] = _hosts(rows)[:, 2] + np.roll((rows["image"] - _hosts(rows))[:, 2], 1, -1)


def surface_brightness_as_flux(rows, bank):
    """INTERPOL fed with unit-flux pixels: fainter by the template's pixel area."""
    hosts = _hosts(rows)
    rows["image"] = hosts + (rows["image"] - hosts) * np.float32(0.03**2)
    _columns_as_measured(rows)
    rows["flux_inside"] = np.where(is_(rows, "host"), 1.0, rows["flux_inside"] * 0.03**2)


def noise_added_twice(rows, bank):
    noise = np.random.default_rng(RNG).standard_normal(rows["image"].shape).astype("f4")
    sigma = np.stack([rows[name] for name in band_columns("sky_sigma_{b}_nmgy")], axis=1)
    lens = is_(rows, "lens")
    rows["image"][lens] += (noise * sigma[..., None, None])[lens].astype("f4")


def noise_added_in_one_band(rows, bank):
    noise = np.random.default_rng(RNG).standard_normal(rows["image"][:, 2].shape).astype("f4")
    lens = is_(rows, "lens")
    sigma = rows["sky_sigma_z_nmgy"][lens][:, None, None].astype("f4")
    rows["image"][lens, 2] += noise[lens] * sigma


def hosts_for_lenses(rows, bank):
    lens = is_(rows, "lens")
    rows["image"][lens] = _hosts(rows)[lens]


def smoothed_lenses(rows, bank):
    lens = is_(rows, "lens")
    rows["image"][lens] = gaussian_filter(rows["image"][lens], (0, 0, 0.6, 0.6))


def bands_swapped_for_lenses(rows, bank):
    lens = is_(rows, "lens")
    rows["image"][lens] = rows["image"][lens][:, ::-1]


def bands_swapped_everywhere(rows, bank):
    rows["image"] = np.ascontiguousarray(rows["image"][:, ::-1])


def negatives_clipped(rows, bank):
    rows["image"] = rows["image"].clip(0)


def bright_pixels_clipped(rows, bank):
    sigma = np.stack([rows[name] for name in band_columns("sky_sigma_{b}_nmgy")], axis=1)
    rows["image"] = np.minimum(rows["image"], 10 * sigma[..., None, None]).astype("f4")


def magnitudes_for_fluxes(rows, bank):
    rows["image"] *= 100.0


def pixels_changed_after_injection(rows, bank):
    lens = is_(rows, "lens")
    rows["image"][lens] = _hosts(rows)[lens] + 0.9 * (rows["image"] - _hosts(rows))[lens]


def _columns_as_measured(rows) -> None:
    """Columns of the added light that the code at fault would have measured on its own light."""
    flux = (rows["image"] - _hosts(rows)).sum((2, 3), dtype=float)
    flux[is_(rows, "host")] = 0.0
    for i, name in enumerate(band_columns("arc_flux_{b}_nmgy")):
        rows[name] = flux[:, i]


# columns


def null_for_controls(rows, bank):
    rows["arc_snr"][is_(rows, "host")] = np.nan


def null_psf_for_a_control_kind(rows, bank):
    rows["psf_fwhm_r_arcsec"][is_(rows, "spiral")] = np.nan


def seeing_of_lenses_measured_otherwise(rows, bank):
    rows["psf_fwhm_r_arcsec"][is_(rows, "lens")] *= 1.02


def swapped_labels(rows, bank):
    rows["label"] = 1 - rows["label"]


def flagged_rows_put_back(rows, bank):
    rows["flags"][4] |= int(Flag.MASKED_CORE)


def depth_as_inverse_variance(rows, bank):
    for name in band_columns("psf_depth_{b}_mag"):
        rows[name] = 25 / 10 ** (-0.8 * (rows[name] - 22.5))


def seeing_in_pixels(rows, bank):
    for name in band_columns("psf_fwhm_{b}_arcsec"):
        rows[name] = rows[name] / 0.262


def another_surveys_seeing(rows, bank):
    for name in band_columns("psf_fwhm_{b}_arcsec"):
        rows[name] = rows[name] * 1.8


def wrong_colours(rows, bank):
    g_r, r_z = offset_colours(rows["z_source"])
    rows["source_g_minus_r"], rows["source_r_minus_z"] = g_r - 0.3, r_z - 0.2


def unresolved_lenses(rows, bank):
    rows["theta_E_arcsec"] = rows["theta_E_arcsec"] * 0.4


def templates_of_rectified_sky(rows, bank):
    rows["source_hlr_arcsec"] = np.full(len(rows["kind"]), 1.08)


def arcs_outshine_hosts(rows, bank):
    rows["host_mag_r"] = rows["host_mag_r"] + 3.0


def arcs_too_faint(rows, bank):
    rows["arc_snr"] = rows["arc_snr"] * 0.02


def arc_on_a_host_row(rows, bank):
    rows["arc_flux_g_nmgy"][is_(rows, "host")] = 0.3


# rows


def doubled_rows(rows, bank):
    for name, values in rows.items():
        rows[name] = np.concatenate([values, values])


def eight_copies_under_other_names(rows, bank):
    n = len(rows["kind"])
    for name, values in rows.items():
        rows[name] = np.concatenate([values] * 8)
    copy = np.repeat(np.arange(8), n).astype(str)
    for name in ("pair_id", "host_id"):
        rows[name] = (rows[name].astype(str) + np.char.add("-c", copy)).astype(object)
    tasks = rows["pair_id"].astype(str), "-", rows["kind"].astype(str)
    rows["task_id"] = np.char.add(np.char.add(*tasks[:2]), tasks[2]).astype(object)


def a_lens_lost(rows, bank):
    keep(rows, ~(is_(rows, "lens") & (rows["host_id"] == rows["host_id"][0])))


def seeing_selected_lenses(rows, bank):
    """A kernel larger than the stamp raised, for lenses only."""
    middle = np.median(rows["psf_fwhm_r_arcsec"])
    keep(rows, ~(is_(rows, "lens") & (rows["psf_fwhm_r_arcsec"] > middle)))


def lenses_on_bright_hosts_controls_on_faint(rows, bank):
    bright = rows["host_mag_r"] < np.median(rows["host_mag_r"])
    keep(rows, bright == is_(rows, "lens"))


def a_host_in_two_splits(rows, bank):
    some = rows["host_id"] == rows["host_id"][0]
    rows["split"][np.flatnonzero(some)] = np.where(np.arange(some.sum()) % 2, "val", "train")


def a_template_in_two_splits(rows, bank):
    train, val = (np.flatnonzero(rows["split"] == name)[0] for name in ("train", "val"))
    rows["template_id"][rows["pair_id"] == rows["pair_id"][val]] = rows["template_id"][train]


def the_same_sky_in_two_splits(rows, bank):
    train, val = (np.flatnonzero(rows["split"] == name)[0] for name in ("train", "val"))
    there = rows["host_id"] == rows["host_id"][val]
    rows["ra_deg"][there] = rows["ra_deg"][train]
    rows["dec_deg"][there] = rows["dec_deg"][train] + 5 / 3600


def the_same_galaxies_under_eight_names(rows, bank):
    hosts, which = np.unique(rows["host_id"].astype(str), return_inverse=True)
    first = np.array([np.flatnonzero(which == i)[0] for i in range(len(hosts))])
    for name in ("ra_deg", "dec_deg"):
        rows[name] = rows[name][first][which - which % 8]
    rows["split"][:] = "train"


# what a probe sees


def sky_level_of_lenses(rows, bank):
    sigma = np.stack([rows[name] for name in band_columns("sky_sigma_{b}_nmgy")], axis=1)
    lens = is_(rows, "lens")
    rows["image"][lens] += 0.5 * sigma[lens][..., None, None].astype("f4")


def unlensed_light_dimmed(rows, bank):
    some = is_(rows, "unlensed")
    rows["image"][some] = _hosts(rows)[some] + 0.1 * (rows["image"] - _hosts(rows))[some]


def noise_of_lenses_smoothed(rows, bank):
    lens = is_(rows, "lens")
    rows["image"][lens] = gaussian_filter(rows["image"][lens], (0, 0, 0.8, 0.8))


def lenses_rescaled(rows, bank):
    rows["image"][is_(rows, "lens")] *= np.float32(1.3)


def zeros_where_lenses_are_masked(rows, bank):
    rows["image"][is_(rows, "lens"), :, :3, :3] = 0.0


def bright_cores(rows, bank):
    n = rows["image"].shape[-1] // 2
    rows["image"][is_(rows, "lens"), :, n - 2 : n + 2, n - 2 : n + 2] += 3.0


def a_ring_at_one_radius(rows, bank):
    """Lensed light put at one distance whatever the lens: the profile tells."""
    n = rows["image"].shape[-1]
    y, x = np.indices((n, n)) - (n - 1) / 2
    ring = np.exp(-0.5 * ((np.hypot(x, y) * 0.262 - 2.3) / 0.3) ** 2)
    lens = is_(rows, "lens")
    light = ring * rows["arc_flux_r_nmgy"][lens][:, None, None, None] / ring.sum()
    rows["image"][lens] = _hosts(rows)[lens] + light.astype("f4")


def metadata_of_other_hosts(rows, bank):
    lens = is_(rows, "lens")
    rows["host_mag_z"][lens] = rows["host_mag_z"][lens] - 0.8


FAULTS = {
    nan_pixels: "integrity.finite_pixels",
    missing_band_filled_with_zeros: "integrity.empty_stamps",
    zeroed_stamps: "integrity.empty_stamps",
    hosts_for_lenses: "probe.arc_control",
    sie_without_sqrt_q: "physics.image_radius",
    psf_not_applied_in_one_band: "physics.psf_applied",
    half_a_pixel_off: "physics.light_centre",
    kernel_of_one_band_off: "physics.light_centre",
    surface_brightness_as_flux: "physics.flux_is_magnified",
    noise_added_twice: "physics.nothing_else",
    noise_added_in_one_band: "realism.sky_noise",
    smoothed_lenses: "realism.noise_correlation",
    bands_swapped_for_lenses: "physics.added_flux",
    bands_swapped_everywhere: "realism.noise_units",
    negatives_clipped: "realism.clipping",
    bright_pixels_clipped: "realism.clipping",
    magnitudes_for_fluxes: "realism.noise_units",
    pixels_changed_after_injection: "physics.added_flux",
    null_for_controls: "integrity.equal_nullity",
    null_psf_for_a_control_kind: "integrity.equal_nullity",
    seeing_of_lenses_measured_otherwise: "integrity.equal_within_pairs",
    swapped_labels: "integrity.label",
    flagged_rows_put_back: "integrity.flags",
    depth_as_inverse_variance: "integrity.units",
    seeing_in_pixels: "integrity.units",
    another_surveys_seeing: "realism.survey_conditions",
    wrong_colours: "realism.source_colours",
    unresolved_lenses: "realism.theta_E",
    templates_of_rectified_sky: "realism.source_size",
    arcs_outshine_hosts: "realism.arc_host",
    arcs_too_faint: "realism.arc_snr",
    arc_on_a_host_row: "physics.hosts_untouched",
    doubled_rows: "integrity.unique_tasks",
    eight_copies_under_other_names: "integrity.unique_pixels",
    a_lens_lost: "integrity.complete_pairs",
    seeing_selected_lenses: "balance.hosts",
    lenses_on_bright_hosts_controls_on_faint: "balance.hosts",
    a_host_in_two_splits: "balance.splits",
    a_template_in_two_splits: "balance.splits",
    the_same_sky_in_two_splits: "balance.sky",
    the_same_galaxies_under_eight_names: "balance.effective_n",
    sky_level_of_lenses: "probe.outer.host",
    unlensed_light_dimmed: "probe.total.unlensed",
    noise_of_lenses_smoothed: "probe.noise.host",
    lenses_rescaled: "probe.normalisation.host",
    zeros_where_lenses_are_masked: "probe.masks.host",
    bright_cores: "probe.core.unlensed",
    a_ring_at_one_radius: "probe.profile.unlensed",
    metadata_of_other_hosts: "probe.metadata.host",
}
"""Each fault, and the gate that exists for it."""

ALSO_TRUE = {
    doubled_rows: {"integrity.complete_pairs", "integrity.unique_pixels"},
    zeroed_stamps: {"integrity.unique_pixels"},
    flagged_rows_put_back: {"integrity.equal_within_pairs"},
    null_psf_for_a_control_kind: {"integrity.equal_within_pairs"},
    hosts_for_lenses: {"integrity.unique_pixels"},
    seeing_selected_lenses: {"integrity.complete_pairs"},
    lenses_on_bright_hosts_controls_on_faint: {"integrity.complete_pairs"},
    a_host_in_two_splits: {"integrity.equal_within_pairs"},
    metadata_of_other_hosts: {"integrity.equal_within_pairs"},
}
"""Gates of integrity that rightly fire beside it."""

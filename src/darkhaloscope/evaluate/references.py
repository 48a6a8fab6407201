"""What real lenses and the real survey look like, as percentiles to be held against."""

PERCENTS = (5, 16, 50, 84, 95)

COLLETT = {
    "theta_E": (0.78, 0.95, 1.29, 1.75, 2.16),
    "arc_mag": (20.7, 21.4, 22.2, 22.7, 23.0),
    "arc_minus_host": (-0.7, 0.7, 3.0, 5.0, 5.9),
    "hlr": (0.02, 0.10, 0.28, 0.54, 0.76),
    "magnification": (3.3, 4.0, 7.0, 16.0, 66.0),
}
"""PERCENTS of the lenses a DES-like survey can discover; arcsec and mag. Source: Collett (2015)."""

SURVEY = {
    "psf_fwhm_r_arcsec": (1.125, 1.203, 1.352, 1.566, 1.747),
    "psf_depth_r_mag": (23.98, 24.13, 24.46, 25.16, 25.44),
    "ebv_mag": (0.015, 0.022, 0.047, 0.115, 0.230),
}
"""The same over the bricks of Legacy Surveys DR10: EVIDENCE section 5."""

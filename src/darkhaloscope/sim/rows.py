"""A table row as a scene: the one place where columns become physics."""

from collections.abc import Mapping

import numpy as np
import torch

from darkhaloscope.schema import band_columns
from darkhaloscope.sim.scene import Scenes, stack
from darkhaloscope.units import BANDS

Columns = Mapping[str, np.ndarray]


def part_shares(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """What to render of the whole template and of its bulge alone: two (row, band) shares.

    The template is the galaxy in r, where the bulge holds f_r; in another band the bulge holds
    f_b. So the template counts (1 - f_b) / (1 - f_r), and the bulge what is missing or too much.
    """
    shares = np.stack([columns[name] for name in band_columns("bulge_fraction_{b}")], axis=1)
    in_r = shares[:, BANDS.index("r"), None]
    whole = (1 - shares) / (1 - in_r)
    return whole, shares - in_r * whole


def scenes_of(
    columns: Columns,
    template: np.ndarray,
    template_hlr: np.ndarray,
    pixel_scale: float,
    share: np.ndarray | float = 1.0,
) -> Scenes:
    """Scenes of the rows of kind lens or unlensed.

    columns : schema.SCENE and the PSF columns, one value a row
    template : each row's template number in the stack that will be rendered from
    template_hlr : arcsec, of that template at its own pixel_scale (arcsec)
    share : (row, band) of the source's flux to render, for a source of several parts

    An `unlensed` row shows the same source with the lens's total flux and no deflection, so that
    only the shape of the added light tells the two apart.
    """
    lensed = columns["kind"] == "lens"
    gain = np.where(lensed, 1.0, columns["magnification"])
    flux = np.stack([columns[name] for name in band_columns("source_flux_{b}_nmgy")], axis=1)
    fwhm = np.stack([columns[name] for name in band_columns("psf_fwhm_{b}_arcsec")], axis=1)
    return Scenes(
        theta_E=stack(columns["theta_E_arcsec"] * lensed),
        q=stack(columns["lens_q"]),
        phi=stack(columns["lens_phi_rad"]),
        gamma1=stack(columns["gamma1"] * lensed),
        gamma2=stack(columns["gamma2"] * lensed),
        center_x=stack(columns["lens_center_x_arcsec"]),
        center_y=stack(columns["lens_center_y_arcsec"]),
        source_x=stack(columns["source_x_arcsec"]),
        source_y=stack(columns["source_y_arcsec"]),
        source_phi=stack(columns["source_phi_rad"]),
        source_scale=stack(pixel_scale * columns["source_hlr_arcsec"] / template_hlr),
        template=torch.as_tensor(np.asarray(template, np.int64)),
        flux=stack(flux * gain[:, None] * share),
        psf_fwhm=stack(fwhm),
    )

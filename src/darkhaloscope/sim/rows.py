"""A table row as a scene: the one place where columns become physics."""

from collections.abc import Mapping

import numpy as np
import torch

from darkhaloscope.schema import band_columns
from darkhaloscope.sim import psf
from darkhaloscope.sim.scene import Scenes, stack
from darkhaloscope.units import BANDS

Columns = Mapping[str, np.ndarray]


def part_shares(columns: Columns) -> np.ndarray:
    """What to render of the whole template and of its bulge alone, of the flux: (row, band, 2).

    The template is the galaxy in r, where the bulge holds f_r; in another band the bulge holds
    f_b. So the template counts (1 - f_b) / (1 - f_r), and the bulge what is missing or too much.
    """
    shares = np.stack([columns[name] for name in band_columns("bulge_fraction_{b}")], axis=1)
    in_r = shares[:, BANDS.index("r"), None]
    whole = (1 - shares) / (1 - in_r)
    return np.stack([whole, shares - in_r * whole], axis=-1)


def scenes_of(
    columns: Columns,
    template: np.ndarray,
    template_hlr: np.ndarray,
    pixel_scale: float,
    shares: np.ndarray | None = None,
) -> Scenes:
    """Scenes of the rows to which light is added: a lens's is lensed, others' is not.

    columns : schema.SCENE and the PSF columns, one value a row; for the same bits in any batch,
        never round and elliptical PSFs together
    template : each row's template number in the stack that will be rendered from
    template_hlr : arcsec, of that template at its own pixel_scale (arcsec)
    shares : (row, band, part) of the source's flux, for templates of several parts

    A control shows the lens's total flux and no deflection, so that only the shape of the added
    light tells the two apart.
    """
    lensed = columns["kind"] == "lens"
    gain = np.where(lensed, 1.0, columns["magnification"])
    flux = np.stack([columns[name] for name in band_columns("source_flux_{b}_nmgy")], axis=1)
    fwhm, e1, e2 = (
        np.stack([columns[name] for name in band_columns(pattern)], axis=1)
        for pattern in ("psf_fwhm_{b}_arcsec", "psf_e1_{b}", "psf_e2_{b}")
    )
    round_psf = not (e1.any() or e2.any())
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
        flux=stack(flux * gain[:, None]),
        shares=None if shares is None else stack(shares),
        psf_fwhm=stack(fwhm),
        psf_e1=None if round_psf else stack(e1),
        psf_e2=None if round_psf else stack(e2),
        psf_image=torch.arange(fwhm.size).view(fwhm.shape) if _from_images(columns) else None,
    )


def psf_of(columns: Columns, device: torch.device | str = "cpu") -> psf.Psf:
    """The family of the rows' PSFs, which all share psf_model, moffat_beta and psf_size_pix.

    With psf_model = image each row brings its own, `psf_image`, in the order of the rows.
    """
    includes_pixel = bool(columns["psf_includes_pixel"][0])
    if not _from_images(columns):
        return psf.named(
            str(columns["psf_model"][0]), float(columns["moffat_beta"][0]), includes_pixel
        )
    side = int(columns["psf_size_pix"][0])
    every = np.frombuffer(b"".join(columns["psf_image"]), "<f4").reshape(-1, side, side)
    images = torch.from_numpy(every.astype(np.float32)).to(device)
    return psf.Images(images, includes_pixel=includes_pixel)


def psf_groups(columns: Columns, rows: np.ndarray) -> list[np.ndarray]:
    """The rows in groups that may be rendered together without changing a bit.

    rows : indices; round PSFs, elliptical ones, and PSF images of each size go apart
    """
    if _from_images(columns):
        key = columns["psf_size_pix"][rows]
    else:
        names = band_columns("psf_e1_{b}") + band_columns("psf_e2_{b}")
        key = np.any([columns[name][rows] != 0 for name in names], axis=0)
    return [rows[key == value] for value in np.unique(key)]


def _from_images(columns: Columns) -> bool:
    return "psf_model" in columns and columns["psf_model"][0] == "image"

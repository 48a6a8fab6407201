"""The work that all methods of `make bench` are timed on.

64 x 64 pixels x 3 bands, clumpy 128 x 128 templates at 0.03 arcsec, theta_E 0.8 to 2.5 arcsec,
q 0.5 to 0.95, shear, sources within half of theta_E, Moffat PSFs of 1.3, 1.2 and 1.1 arcsec that
do not contain the pixel.
"""

from dataclasses import dataclass

import numpy as np
import reference
import torch

from darkhaloscope.keys import generator
from darkhaloscope.sim.hybrid import hybrid_template
from darkhaloscope.sim.scene import Scenes, stack

SIZE, SCALE, TEMPLATE_SCALE = 64, 0.262, 0.03
FWHM, BETA = (1.3, 1.2, 1.1), 3.5
NAMES = (
    "theta_E", "q", "phi", "gamma1", "gamma2", "center_x", "center_y",
    "source_x", "source_y", "source_phi", "source_scale",
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """Rows of plain numbers, and each row's template."""

    rows: list[dict[str, float]]
    templates: np.ndarray  # (row, y, x) float32

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, some: slice) -> "Work":
        return Work(self.rows[some], self.templates[some])

    def scenes(self) -> Scenes:
        columns = {name: stack([row[name] for row in self.rows]) for name in NAMES}
        return Scenes(
            **columns,
            template=torch.arange(len(self)),
            flux=stack(np.ones((len(self), 3))),
            psf_fwhm=stack(np.tile(FWHM, (len(self), 1))),
        )

    def truth(self) -> np.ndarray:
        """(row, band, y, x) by brute force."""
        psfs = [
            {"kind": "moffat", "fwhm": fwhm, "includes_pixel": False, "e1": 0.0, "e2": 0.0}
            for fwhm in FWHM
        ]
        pairs = zip(self.rows, self.templates, strict=True)
        return np.array(
            [reference.image(row, image.astype(float), psfs, SIZE, SCALE) for row, image in pairs]
        )


def draw(n: int) -> Work:
    """The first `n` rows."""
    settings = {
        "size": 128, "pixel_scale": TEMPLATE_SCALE, "hlr_median": 0.25, "hlr_scatter": 0.3,
        "clump_count_mean": 8.0, "clump_flux_fraction_max": 0.5, "psf_fwhm": 0.15,
    }  # fmt: skip
    images = [hybrid_template(generator(f"bench-{i}"), **settings)[0] for i in range(n)]
    rows = []
    for i in range(n):
        u = generator(f"bench-row-{i}").random(10)
        theta_E = 0.8 + 1.7 * u[0]
        values = (
            theta_E, 0.5 + 0.45 * u[1], np.pi * u[2], 0.1 * (u[3] - 0.5), 0.1 * (u[4] - 0.5),
            0.26 * (u[5] - 0.5), 0.26 * (u[6] - 0.5), 0.5 * theta_E * (u[7] - 0.5),
            0.5 * theta_E * (u[8] - 0.5), 2 * np.pi * u[9], TEMPLATE_SCALE,
        )  # fmt: skip
        rows.append(dict(zip(NAMES, map(float, values), strict=True)))
    return Work(rows, np.array(images, np.float32))

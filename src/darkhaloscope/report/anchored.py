"""Figures of a table of anchors: how many of them the seeing leaves to be seen."""

import numpy as np

from darkhaloscope.evaluate.visibility import LEAST_SIZE_OVER_SEEING
from darkhaloscope.report.canvas import (
    FAINT,
    REFERENCE_COLOUR,
    SET_COLOUR,
    FigurePng,
    bin_edges,
    finish,
    plain_axes,
    png_bytes,
)

SURVEY_SEEING_ARCSEC = (1.125, 1.203, 1.352, 1.566, 1.747)
"""psfsize_r of DR10 bricks: 5, 16, 50, 84 and 95 % (EVIDENCE section 5)."""


def figures(theta_E: np.ndarray, seeing: np.ndarray | None = None) -> list[FigurePng]:
    """theta_E : arcsec, NaN where not known; seeing : of each anchor, once its cutout is there."""
    known = theta_E[np.isfinite(theta_E)]
    if len(known) < 2:
        return []
    made = [_radii(known), _share_by_seeing(known)]
    if seeing is not None and np.isfinite(seeing).sum() > 1:
        made.append(_against(theta_E, seeing))
    return made


def _radii(known: np.ndarray) -> FigurePng:
    figure, axes = plain_axes()
    axes.hist(known, bin_edges(known, len(known), log=False), color=SET_COLOUR)
    axes.set_ylim(0, 1.45 * axes.get_ylim()[1])
    low, high = (LEAST_SIZE_OVER_SEEING * SURVEY_SEEING_ARCSEC[i] for i in (0, 2))
    for at, words in ((low, "best 5 % of bricks"), (high, "median brick")):
        axes.axvline(at, color=REFERENCE_COLOUR, linestyle="--", linewidth=1)
        axes.text(at, axes.get_ylim()[1], f" {words}", color=REFERENCE_COLOUR, fontsize=8,
                  rotation=90, va="top", ha="left")  # fmt: skip
    finish(axes, "Einstein radius [arcsec]", "anchors", log=False)
    words = (
        f"{len(known)} anchors of known Einstein radius. Right of a dashed line it exceeds 1.2 "
        "times the r seeing there; lenses left of it are rarely recovered (Rojas et al. 2023)."
    )
    return FigurePng("Einstein radius", words, png_bytes(figure))


def _share_by_seeing(known: np.ndarray) -> FigurePng:
    seeing = np.linspace(0.7, 2.0, 200)
    share = (known[None] >= LEAST_SIZE_OVER_SEEING * seeing[:, None]).mean(1)
    figure, axes = plain_axes()
    axes.axvspan(SURVEY_SEEING_ARCSEC[0], SURVEY_SEEING_ARCSEC[-1], color=FAINT, alpha=0.25, lw=0)
    axes.axvline(SURVEY_SEEING_ARCSEC[2], color=FAINT, linestyle="--", linewidth=1)
    axes.plot(seeing, 100 * share, color=SET_COLOUR)
    axes.set_ylim(0, 100)
    finish(axes, "r seeing, FWHM [arcsec]", "large enough to be seen [%]", log=False)
    at = float((known >= LEAST_SIZE_OVER_SEEING * SURVEY_SEEING_ARCSEC[2]).mean())
    words = (
        "Share of anchors whose Einstein radius is at least 1.2 times the seeing. Grey: 5 to 95 % "
        f"of the survey's bricks; at their median, 1.352 arcsec, {100 * at:.0f} % are."
    )
    return FigurePng("Large enough for the seeing", words, png_bytes(figure))


def _against(theta_E: np.ndarray, seeing: np.ndarray) -> FigurePng:
    figure, axes = plain_axes()
    axes.scatter(seeing, theta_E, s=14, color=SET_COLOUR)
    ends = np.array([np.nanmin(seeing), np.nanmax(seeing)]) + np.array([-0.05, 0.05])
    axes.plot(ends, LEAST_SIZE_OVER_SEEING * ends, color=REFERENCE_COLOUR, linestyle="--")
    finish(axes, "r seeing at the anchor, FWHM [arcsec]", "Einstein radius [arcsec]", log=False)
    words = (
        "Each anchor with the seeing of its own cutout. Above the dashed line: 1.2 times as large."
    )
    return FigurePng("Einstein radius against seeing", words, png_bytes(figure))

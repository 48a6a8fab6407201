"""Settings of source banks."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from darkhaloscope.config.stage import Splits, Stage, setting


class BankMerge(Splits):
    """`dhs bank merge`: one bank of several, split anew."""


class Bank(Splits):
    """What every source bank has."""

    stamp_size: Annotated[int, setting("side of a template, pix", ge=32, le=512)] = 128
    src_pixscale_arcsec: Annotated[
        float, setting("side of a template pixel, arcsec", gt=0, le=0.3)
    ] = 0.03
    intrinsic_psf_fwhm_arcsec: Annotated[
        float, setting("Gaussian FWHM left in every template, arcsec", gt=0, le=1)
    ] = 0.15
    dtype: Annotated[
        Literal["float32", "float16"],
        setting("of the stored pixels; float16 halves the file, its error is printed"),
    ] = "float32"

    @model_validator(mode="after")
    def _psf_is_sampled(self) -> Self:
        if self.intrinsic_psf_fwhm_arcsec < 2 * self.src_pixscale_arcsec:
            raise ValueError(
                f"src_pixscale_arcsec = {self.src_pixscale_arcsec:g} does not sample a PSF of "
                f"intrinsic_psf_fwhm_arcsec = {self.intrinsic_psf_fwhm_arcsec:g}: at least two "
                "pixels a FWHM are needed; make the pixels smaller or the PSF wider"
            )
        return self


class Cuts(Stage):
    """Which galaxies that were cut out of their noise are kept."""

    n_sources: Annotated[int, setting("templates wanted; 0 takes all that survive", ge=0)] = 0
    min_hlr_arcsec: Annotated[float, setting("smallest half-light radius kept", gt=0)] = 0.1
    max_hlr_arcsec: Annotated[float, setting("largest half-light radius kept", gt=0)] = 1.0
    min_snr: Annotated[float, setting("lowest S/N kept, within the mask", ge=0)] = 20.0
    max_pedestal_fraction: Annotated[
        float, setting("largest pedestal subtracted, of the flux", gt=0, le=1)
    ] = 0.3
    max_mag_difference: Annotated[
        float, setting("of what was cut out and the catalogue's magnitude", gt=0)
    ] = 0.8

    @model_validator(mode="after")
    def _hlr_range(self) -> Self:
        if self.min_hlr_arcsec >= self.max_hlr_arcsec:
            raise ValueError(
                "min_hlr_arcsec must be below max_hlr_arcsec, "
                f"got {self.min_hlr_arcsec} and {self.max_hlr_arcsec}"
            )
        return self


class BankCosmos(Cuts, Bank):
    """`dhs bank cosmos`: real HST galaxies from a GalSim RealGalaxyCatalog."""

    exclusion_level: Annotated[
        Literal["none", "bad_stamp", "bad_fits", "marginal"],
        setting("which flags of GalSim's COSMOSCatalog turn a galaxy away, where it has them"),
    ] = "marginal"
    sample: Annotated[
        Literal["23.5", "25.2"] | None,
        setting("COSMOS sample wanted, where a folder holds several"),
    ] = None


class BankSurvey(Cuts, Bank):
    """`dhs bank survey`: galaxies of deep ground images, each given with PSF and segmentation."""

    stamp_size: Annotated[int, setting("side of a template, pix", ge=32, le=512)] = 96
    src_pixscale_arcsec: Annotated[
        float, setting("side of a template pixel, arcsec", gt=0, le=0.3)
    ] = 0.1
    intrinsic_psf_fwhm_arcsec: Annotated[
        float, setting("Gaussian FWHM left in templates, arcsec; at least the images'", gt=0, le=3)
    ] = 0.8
    max_hlr_arcsec: Annotated[float, setting("largest half-light radius kept", gt=0)] = 2.0


class BankSersic(Bank):
    """`dhs bank sersic`: smooth galaxies, the baseline that clumps are compared with."""

    n_sources: Annotated[int, setting("templates to make", ge=1)] = 400
    hlr_median_arcsec: Annotated[float, setting("median half-light radius", gt=0.05, lt=1)] = 0.36
    hlr_scatter: Annotated[float, setting("scatter of ln(radius)", ge=0, le=1)] = 0.35
    index_min: Annotated[float, setting("smallest Sersic index", ge=0.5, le=6)] = 0.5
    index_max: Annotated[float, setting("largest Sersic index", ge=0.5, le=6)] = 2.5
    q_min: Annotated[float, setting("smallest axis ratio", gt=0.1, le=1)] = 0.3

    @model_validator(mode="after")
    def _index_range(self) -> Self:
        if self.index_min > self.index_max:
            raise ValueError(
                f"index_min must not exceed index_max, got {self.index_min} and {self.index_max}"
            )
        return self


class BankHybrid(Bank):
    """`dhs bank hybrid`: Sersic discs with star-forming clumps, no download needed."""

    n_sources: Annotated[int, setting("templates to make", ge=1)] = 400
    hlr_median_arcsec: Annotated[float, setting("median half-light radius", gt=0.05, lt=1)] = 0.36
    hlr_scatter: Annotated[float, setting("scatter of ln(radius)", ge=0, le=1)] = 0.35
    clump_count_mean: Annotated[float, setting("mean number of clumps (Poisson)", ge=0)] = 7.0
    clump_flux_fraction_max: Annotated[
        float, setting("clumps hold a uniform 0 to this fraction of the flux", ge=0, lt=1)
    ] = 0.5
    clump_sigma_arcsec: Annotated[
        tuple[float, float],
        setting("range of the clumps' Gaussian widths, at a half-light radius of 0.3 arcsec"),
    ] = (0.02, 0.07)
    bulge_colours: Annotated[
        bool, setting("store bulges apart, so that they are redder than their discs")
    ] = True
    clump_reach_hlr: Annotated[
        float, setting("no clump lies beyond so many half-light radii", gt=0.5, le=10)
    ] = 2.2
    arm_probability: Annotated[float, setting("share with spiral arms", ge=0, le=1)] = 0.4
    arm_strength_max: Annotated[
        float, setting("strongest arms, of the disc's brightness", ge=0, le=1)
    ] = 0.6

    @model_validator(mode="after")
    def _clump_range(self) -> Self:
        low, high = self.clump_sigma_arcsec
        if not 0 < low <= high:
            raise ValueError(f"clump_sigma_arcsec must be two rising widths > 0, got {low}, {high}")
        return self

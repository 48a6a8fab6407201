"""One bit a cause. A row with a fatal bit goes to quarantine, never to the training set."""

from enum import IntFlag
from functools import lru_cache


class Flag(IntFlag):
    """Why a row cannot, or should not without thought, be used."""

    NO_PSF = 1  # a band's PSF FWHM is not finite and positive
    MISSING_BAND = 2  # a band is constant: no data were taken
    NAN_PIXELS = 4  # a pixel is NaN or infinite
    MASKED_CORE = 8  # the survey masked a pixel within 2 arcsec of the host
    BAD_INVVAR = 16  # inverse variance is negative, not finite, or zero over half the stamp
    BANK_INDEX = 32  # the template number lies outside the bank
    OUT_OF_BRICK = 64  # the cutout does not cover the stamp
    SATURATED = 128  # the survey marks a saturated pixel within 2 arcsec of the host
    NO_NOISE_MODEL = 256  # number of exposures unknown, so the gain is
    LIGHT_OFF_STAMP = 512  # more than half of the added light falls beside the stamp
    NOT_COVERED = 1 << 10  # the survey has no image of a band at this place
    NO_ANSWER = 1 << 11  # a file or service did not answer, whatever the patience: try again
    DAMAGED = 1 << 12  # a file or answer is not what it should be: cut short, other size or scale
    OTHER_TELESCOPE = 1 << 13  # seen by another telescope than the one asked for
    POINT_SOURCE = 1 << 14  # the catalogue fits a point source, or a doubled star
    BRIGHT_STAR = 1 << 15  # a star, or light that only a bright star beside it explains
    ASSUMED_PSF = 1 << 16  # PSF taken from the survey's median, not measured here
    ASSUMED_INVVAR = 1 << 17  # noise measured from the pixels, not given with them
    ASSUMED_NEXP = 1 << 18  # number of exposures taken from the survey's median
    BAD_PHOTOMETRY = 1 << 19  # a flux is not positive, or blended or masked away, or impossible
    SURVEY_MASK = 1 << 20  # the catalogue's maskbits spoil the object
    GUARD_BAND = 1 << 21  # so near another split's sky that stamps could share pixels
    ASSUMED_MASK = 1 << 22  # no mask was given: taken as clean
    ASSUMED_EBV = 1 << 23  # Milky Way E(B-V) taken from the survey's median
    NAME_DISAGREES = 1 << 24  # the position in an anchor's name is another than its own
    ELSEWHERE = 1 << 25  # another catalogue has an anchor's name at another position
    NOT_CONFIRMED = 1 << 26  # no other catalogue has an entry at an anchor's position
    BAD_VALUES = 1 << 27  # a position, Einstein radius or redshift cannot be true
    CANDIDATE = 1 << 28  # the catalogue itself does not call the lens certain
    NOT_A_GALAXY = 1 << 29  # the lens is a cluster or group of galaxies
    CLASS_CONFLICT = 1 << 30  # a lens in one catalogue, and something else in another
    NO_CENTRAL_GALAXY = 1 << 31  # no source of light near an anchor's position
    WRONG_FLUX = 1 << 32  # the galaxy there is not as bright as the anchor's should be


ADVISORY = Flag(sum(flag for flag in Flag if (flag.name or "").startswith("ASSUMED_")))
FATAL = Flag(sum(flag for flag in Flag)) & ~ADVISORY
NOTHING_SEEN = (
    Flag.OUT_OF_BRICK | Flag.NOT_COVERED | Flag.NO_ANSWER | Flag.DAMAGED | Flag.OTHER_TELESCOPE
)
"""There are no pixels to judge."""
PASSING = Flag.NO_ANSWER | Flag.DAMAGED
"""Causes that another try may cure."""


@lru_cache(maxsize=1024)
def names(bits: int) -> str:
    """Causes in words, `NO_PSF|NAN_PIXELS`; empty when no bit is set."""
    return "|".join(flag.name or "" for flag in Flag if flag & bits)

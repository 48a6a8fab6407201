"""One bit a cause."""

from darkhaloscope.flags import ADVISORY, FATAL, Flag, names


def test_every_flag_is_one_bit_of_its_own():
    values = [flag.value for flag in Flag]
    assert all(value > 0 and value & (value - 1) == 0 for value in values)
    assert len(set(values)) == len(values)


def test_every_flag_is_fatal_or_advisory_and_none_both():
    assert Flag(0) == FATAL & ADVISORY
    assert Flag(sum(Flag)) == (FATAL | ADVISORY)
    assert Flag.NO_PSF in FATAL and Flag.ASSUMED_PSF in ADVISORY


def test_fatal_leaves_the_advisory_bits_of_an_integer():
    assert int(Flag.ASSUMED_PSF | Flag.ASSUMED_NEXP) & int(FATAL) == 0
    assert int(Flag.ASSUMED_PSF | Flag.NAN_PIXELS) & int(FATAL) == Flag.NAN_PIXELS


def test_names_are_the_causes_in_words():
    assert names(0) == ""
    assert names(Flag.NO_PSF | Flag.NAN_PIXELS) == "NO_PSF|NAN_PIXELS"
    assert names(int(Flag.SATURATED)) == "SATURATED"


def test_bits_are_frozen():
    """Written to every table: a number may never get another meaning."""
    assert {f.name: f.value for f in Flag} == {
        "NO_PSF": 1,
        "MISSING_BAND": 2,
        "NAN_PIXELS": 4,
        "MASKED_CORE": 8,
        "BAD_INVVAR": 16,
        "BANK_INDEX": 32,
        "OUT_OF_BRICK": 64,
        "SATURATED": 128,
        "NO_NOISE_MODEL": 256,
        "LIGHT_OFF_STAMP": 512,
        "NOT_COVERED": 1 << 10,
        "NO_ANSWER": 1 << 11,
        "DAMAGED": 1 << 12,
        "OTHER_TELESCOPE": 1 << 13,
        "POINT_SOURCE": 1 << 14,
        "BRIGHT_STAR": 1 << 15,
        "BAD_PHOTOMETRY": 1 << 19,
        "SURVEY_MASK": 1 << 20,
        "GUARD_BAND": 1 << 21,
        "ASSUMED_MASK": 1 << 22,
        "ASSUMED_EBV": 1 << 23,
        "NAME_DISAGREES": 1 << 24,
        "ELSEWHERE": 1 << 25,
        "NOT_CONFIRMED": 1 << 26,
        "BAD_VALUES": 1 << 27,
        "CANDIDATE": 1 << 28,
        "NOT_A_GALAXY": 1 << 29,
        "CLASS_CONFLICT": 1 << 30,
        "NO_CENTRAL_GALAXY": 1 << 31,
        "WRONG_FLUX": 1 << 32,
        "ASSUMED_PSF": 65536,
        "ASSUMED_INVVAR": 131072,
        "ASSUMED_NEXP": 262144,
    }

import numpy as np
import pytest
from report_set import made_columns

from darkhaloscope.report.canvas import png_size
from darkhaloscope.report.figures import distributions


@pytest.mark.parametrize("n_pairs", [1, 40])
def test_every_figure_is_drawn_and_counts_its_rows(n_pairs):
    figures = distributions(made_columns(n_pairs))
    assert len({figure.title for figure in figures}) == len(figures) == 12
    for figure in figures:
        assert min(png_size(figure.png)) > 300
        assert f"{n_pairs} lens" in figure.caption
        assert f"{n_pairs} hosts" in figure.caption


def test_many_rows_and_missing_values():
    columns = made_columns(3100)
    columns["host_mag_r"][:3] = np.nan
    by_title = {figure.title: figure for figure in distributions(columns)}
    assert "1 without a value" in by_title["Arc against host"].caption
    assert "darker where more" in by_title["Source colours"].caption


def test_unmatched_control_shows_in_the_caption():
    columns = made_columns(20)
    columns["psf_fwhm_r_arcsec"] += 5.0 * (columns["kind"] == "host")
    by_title = {figure.title: figure for figure in distributions(columns)}
    assert "from lens 1.000" in by_title["Seeing by kind"].caption
    assert "from lens 0.000" in by_title["Sky noise by kind"].caption


def test_set_without_lenses_is_refused():
    columns = made_columns(2)
    keep = columns["kind"] == "host"
    with pytest.raises(ValueError, match="no row of kind lens"):
        distributions({name: column[keep] for name, column in columns.items()})

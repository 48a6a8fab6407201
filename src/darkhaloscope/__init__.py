"""Training sets for finding galaxy-galaxy strong lenses in the DESI Legacy Imaging Surveys."""

__version__ = "0.1.0"

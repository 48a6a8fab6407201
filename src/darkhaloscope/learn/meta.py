"""Meta columns may be shown to a network only if they do not tell the label."""

from collections.abc import Mapping, Sequence

import numpy as np

from darkhaloscope.config import META
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.findings import Level
from darkhaloscope.evaluate.probes import LEAST_HOSTS, pairs_of, tell, verdict
from darkhaloscope.evaluate.sample import kinds_of

LIMIT = 0.55
"""AUC that meta columns alone may surely reach."""


def balanced(columns: Mapping[str, np.ndarray], meta_cols: Sequence[str]) -> None:
    """Check the columns that a network is to be shown, over its training rows.

    columns : kind, pair_id, host_id, and the columns of `meta_cols` by their names in the schema
    Raises DhsError if one holds what is no number, or lenses are told from controls by them
    """
    if not meta_cols:
        return
    values = np.stack([columns[META[name]] for name in meta_cols], axis=1).astype(float)
    if not np.isfinite(values).all():
        unknown = [n for n, column in zip(meta_cols, values.T, strict=True)
                   if not np.isfinite(column).all()]  # fmt: skip
        raise DhsError(
            f"meta_cols {', '.join(unknown)} are not known for every training row; leave them out"
        )
    hosts = columns["host_id"].astype(str)
    for kind in kinds_of(columns):
        if kind == "lens":
            continue
        lens, control = pairs_of(columns, kind)
        if len(np.unique(hosts[lens])) < LEAST_HOSTS:
            continue
        told = tell(values, lens, control, hosts)
        if verdict(told, LIMIT)[0] is Level.FAIL:
            raise DhsError(
                f"meta_cols {', '.join(meta_cols)} tell lenses from {kind} controls, AUC "
                f"{told.auc} over {told.auc.n} hosts: a finder would learn the survey's conditions "
                "in place of lenses. Match the kinds (see `dhs validate`), or leave them out"
            )

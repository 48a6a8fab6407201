"""Positions on the sky: which are near each other, how far, and in words."""

import math

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def neighbours(
    ra_deg: np.ndarray, dec_deg: np.ndarray, within_arcsec: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of positions so near each other: first, second, separation in arcsec."""
    if not len(ra_deg):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, np.zeros(0)
    xyz = unit_vectors(ra_deg, dec_deg)
    chord = 2 * np.sin(np.radians(within_arcsec / 3600) / 2)
    pairs = cKDTree(xyz).query_pairs(chord, output_type="ndarray")
    apart = np.linalg.norm(xyz[pairs[:, 0]] - xyz[pairs[:, 1]], axis=1)
    return pairs[:, 0], pairs[:, 1], np.degrees(2 * np.arcsin(apart / 2)) * 3600


def near(
    ra_deg: np.ndarray,
    dec_deg: np.ndarray,
    other_ra: np.ndarray,
    other_dec: np.ndarray,
    within_arcsec: float,
) -> np.ndarray:
    """Whether each position has one of the others so near: (position,) bool."""
    if not len(ra_deg) or not len(other_ra):
        return np.zeros(len(ra_deg), bool)
    chord = 2 * np.sin(np.radians(within_arcsec / 3600) / 2)
    tree = cKDTree(unit_vectors(other_ra, other_dec))
    apart, _ = tree.query(unit_vectors(ra_deg, dec_deg), distance_upper_bound=chord)
    return np.isfinite(apart)


def separation(ra_deg: float, dec_deg: float, other_ra: float, other_dec: float) -> float:
    """Arcsec between two positions."""
    one, other = unit_vectors(np.array([ra_deg, other_ra]), np.array([dec_deg, other_dec]))
    return math.degrees(2 * math.asin(min(1.0, float(np.linalg.norm(one - other)) / 2))) * 3600


def unit_vectors(ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
    """(position, 3)"""
    ra, dec = np.radians(ra_deg.astype(float)), np.radians(dec_deg.astype(float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def groups(n: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of each entry the first entry of the same place."""
    if not n:
        return np.zeros(0, np.int64)
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    return np.unique(labels, return_index=True)[1][labels]


def place(ra_deg: float, dec_deg: float) -> str:
    """A position in words, degrees."""
    return f"{ra_deg:.5f} {dec_deg:+.5f}"


def far_apart(arcsec: float) -> str:
    """An angle in words."""
    return f"{arcsec:.1f} arcsec" if arcsec < 3600 else f"{arcsec / 3600:.1f} deg"

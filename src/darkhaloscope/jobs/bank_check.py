"""`dhs bank check`, `show` and `merge`: what a bank holds, judged and seen."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

from darkhaloscope.config import BankMerge
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.bank_gates import judge_bank, pixel_numbers
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.io.bank import COLUMNS, Bank, bank_writer, read_bank, read_rejects
from darkhaloscope.io.files import write_json, write_text
from darkhaloscope.jobs.bank_parts import is_there, renumbered, summary
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.keys import balanced_split, digest_of
from darkhaloscope.report import bank_figures, page

_AT_ONCE = 256


def check(path: Path, out: Path | None) -> bool:
    """Judge every template of a bank; True if no gate fails.

    out : where to write the findings as JSON, None for nowhere
    """
    findings, _ = _findings(read_bank(path))
    if out is not None:
        write_json(out, {"bank": str(path), "findings": [asdict(f) for f in findings]})
    for finding in findings:
        colour = {Level.FAIL: "red", Level.PASS: "green"}.get(finding.level, "dim")
        console.print(
            f"  [{colour}]{finding.level.upper():<4}[/] {finding.gate:<26} {finding.measured}"
        )
        if finding.level is Level.FAIL:
            console.print(f"       limit {finding.limit}; {finding.advice}")
    return _passed(path, findings)


def show(path: Path, out: Path) -> bool:
    """Write a page that shows the bank; True if no gate fails."""
    bank, rejects = read_bank(path), read_rejects(path)
    findings, columns = _findings(bank)
    chosen = bank_figures.spread(columns, 48)
    sheets = [
        (
            "Templates by size and brightness",
            "Rows from bright to faint, columns from small to large; each panel is stretched on "
            "its own, sky grey, 3.8 arcsec wide at 0.03 arcsec/pix.",
            bank_figures.contact_sheet(bank.templates(chosen), columns, chosen),
        )
    ]
    sheets += bank_figures.reject_sheets(rejects.columns, rejects.images)
    text = page.page(
        title="DarkHaloScope source bank",
        summary=_summary(bank, len(rejects)),
        findings=findings,
        sheets=sheets,
        figures=bank_figures.distributions(columns, rejects.columns),
        provenance={key: _readable(value) for key, value in bank.identity.items()},
    )
    write_text(out, text)
    console.print(f"page {out}")
    return _passed(path, findings)


def merge(out: Path, paths: list[Path], cfg: BankMerge) -> None:
    """One bank of several, split anew; a galaxy that is in two of them is taken once.

    Raises DhsError if they differ in stamp size, pixel scale or PSF, or if only one is given
    """
    if len(paths) < 2:
        raise DhsError(f"merging takes two banks or more, got {len(paths)}")
    banks = [read_bank(path) for path in paths]
    for name in ("size", "pixel_scale", "psf_fwhm"):
        values = [getattr(bank, name) for bank in banks]
        if len(set(values)) > 1:
            listing = ", ".join(f"{v:g} ({p.name})" for v, p in zip(values, paths, strict=True))
            raise DhsError(f"banks to merge differ in {name}: {listing}; make them alike")
    digests = sorted(bank.digest() for bank in banks)
    identity = {"stage": "bank merge", "config": cfg.as_json(), "banks": digest_of(*digests)}
    if is_there(out, identity):
        return
    kept = _first_of_each(banks)
    columns = {
        name: np.concatenate([b.columns[name][k] for b, k in zip(banks, kept, strict=True)])
        for name in COLUMNS
    }
    ids = columns["template_id"].tolist()
    columns["bulge_row"] = renumbered(columns["bulge_row"])
    columns["split"] = np.array(balanced_split(ids, cfg.split_fractions, f"bank-{cfg.seed}"))
    with bank_writer(
        out,
        columns,
        size=banks[0].size,
        pixel_scale=banks[0].pixel_scale,
        psf_fwhm=banks[0].psf_fwhm,
        identity=identity,
    ) as writer:
        for bank, rows in zip(banks, kept, strict=True):
            for start in range(0, len(rows), _AT_ONCE):
                some = rows[start : start + _AT_ONCE]
                with_bulge = some[bank.columns["bulge_row"][some] >= 0]
                writer.add(bank.templates(some), bank.bulges_of(with_bulge))
    doubled = sum(len(b) for b in banks) - len(ids)
    if doubled:
        console.print(f"  {doubled} templates were in two banks and are taken once")
    summary(out)


def _first_of_each(banks: list[Bank]) -> list[np.ndarray]:
    """Rows of each bank whose galaxy no earlier bank holds."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for bank in banks:
        names = list(zip(bank.columns["source"], bank.columns["template_id"], strict=True))
        kept.append(np.array([i for i, name in enumerate(names) if name not in seen], int))
        seen |= set(names)
    return kept


def _findings(bank: Bank) -> tuple[list[Finding], dict[str, np.ndarray]]:
    chunks = []
    with progress("check", len(bank), "templates") as advance:
        for start in range(0, len(bank), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            # not bank.templates: a wrong flux is a finding here, not an error
            images = bank.stored[rows].astype(np.float32) * bank.scale[rows, None, None]
            chunks.append(pixel_numbers(images, bank.pixel_scale))
            advance(len(images))
    measured = {f"pixels.{name}": np.concatenate([c[name] for c in chunks]) for name in chunks[0]}
    columns = {**bank.columns, **measured}
    return judge_bank(columns), columns


def _passed(path: Path, findings: list[Finding]) -> bool:
    failed = sum(f.level is Level.FAIL for f in findings)
    passed = sum(f.level is Level.PASS for f in findings)
    console.print(f"bank {path}: {passed} gates pass, {failed} fail")
    return not failed


def _summary(bank: Bank, rejected: int) -> dict[str, str]:
    hlr = np.percentile(bank.columns["hlr_arcsec"], (5, 50, 95))
    kinds = Counter(bank.columns["source"].tolist())
    return {
        "templates": f"{len(bank):,}",
        "of kind": ", ".join(f"{n:,} {kind}" for kind, n in sorted(kinds.items())),
        "turned away": f"{rejected:,}",
        "template": f"{bank.size} pix, {bank.pixel_scale:g} arcsec/pix",
        "PSF left in": f"{bank.psf_fwhm:g} arcsec FWHM",
        "half-light radius, 5/50/95%": f"{hlr[0]:.2f} / {hlr[1]:.2f} / {hlr[2]:.2f} arcsec",
    }


def _readable(value: str) -> str:
    try:
        return json.dumps(json.loads(value), indent=1, sort_keys=True)
    except ValueError:
        return value

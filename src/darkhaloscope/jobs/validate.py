"""`dhs validate`: the data are judged, not the exit code of the job that made them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from darkhaloscope.config import Validate
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.completeness import (
    VISIBLE_SEEINGS,
    VISIBLE_SNR_G,
    told,
    visible,
)
from darkhaloscope.evaluate.findings import Finding, Level, passed
from darkhaloscope.evaluate.gates import judge
from darkhaloscope.evaluate.peer import against_lenstronomy
from darkhaloscope.evaluate.sample import without_host_rows
from darkhaloscope.evaluate.tally import Tally, hashes
from darkhaloscope.io.bank import Bank, read_bank
from darkhaloscope.io.files import write_json, write_text
from darkhaloscope.io.parts import PARTS, QUARANTINE_DIR, digest_of_parts, parts_in
from darkhaloscope.io.scores import read_scores
from darkhaloscope.io.tables import columns_of, read_table
from darkhaloscope.jobs.engine import Engine, Local
from darkhaloscope.jobs.light import render_rows
from darkhaloscope.jobs.looks import Columns, look_at
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.replay import made_again
from darkhaloscope.jobs.set_report import report
from darkhaloscope.jobs.stamps import images_of, psf_images_of, record_of_stamps
from darkhaloscope.jobs.validate_others import judge_others, of_another_layout
from darkhaloscope.report.recovered import completeness_figures
from darkhaloscope.schema import KINDS, QUARANTINE, STAMPS

FINDINGS = "findings.json"
REPORT = "report.html"
_HERE = Local()


def validate(
    stamps: Path,
    out: Path,
    bank_path: Path | None,
    cfg: Validate,
    engine: Engine = _HERE,
    scores: Path | None = None,
) -> bool:
    """Judge a stamp set; write findings.json and report.html; True if no gate fails.

    bank_path : the bank it was made from; without it rows cannot be rendered again
    scores : a model's, by task_id; completeness is that of the model then
    Raises DhsError if the set cannot be read, or is not finished
    """
    if of_another_layout(stamps):
        if bank_path or scores:
            raise DhsError(
                f"{stamps} is of another layout: --bank and --scores are for sets of ours"
            )
        findings, said, html = judge_others(stamps, cfg, engine)
    else:
        findings, said, html = _judge_ours(stamps, bank_path, cfg, engine, scores)
    write_json(out / FINDINGS, said)
    write_text(out / REPORT, html)
    failed = [f for f in findings if f.level is Level.FAIL]
    for finding in failed:
        console.print(f"  [red]FAIL[/] {finding.gate}: {finding.measured}; limit {finding.limit}")
    good, unsure = (sum(f.level is level for f in findings) for level in (Level.PASS, Level.WARN))
    to_look_at = f"{unsure} to look at, " if unsure else ""
    console.print(f"gates: {good} pass, {to_look_at}{len(failed)} fail; report {out / REPORT}")
    return not failed


def _judge_ours(
    stamps: Path, bank_path: Path | None, cfg: Validate, engine: Engine, scores: Path | None
) -> tuple[list[Finding], dict[str, object], str]:
    """Findings, what findings.json holds, and the report."""
    scored = read_scores(scores) if scores else None
    record = record_of_stamps(stamps)
    pairs = record["usable"].get("lens", 0)
    look = look_at(stamps, min(1.0, cfg.sample_pairs / max(pairs, 1)), engine)
    columns = look.sample
    if not look.tally.kinds["lens"]:
        raise DhsError(f"{stamps} holds no usable row of kind lens; see its {QUARANTINE_DIR}")
    findings = [*whole_set(stamps, record, look.tally), *judge(look.tally, columns)]
    bank = read_bank(bank_path) if bank_path else None
    findings.append(replay(stamps, columns, bank, record, cfg.replay_rows))
    findings.append(second_opinion(columns, bank, record, cfg.lenstronomy_rows))
    findings.sort(key=lambda finding: _ORDER.index(finding.group))
    lenses, recovered, what = _recovery(_lenses(stamps), scored, cfg)
    said = {
        "digest": record["digest"],
        "findings": [asdict(f) for f in findings],
        "completeness": told(lenses, recovered, what),
    }
    curves = completeness_figures(lenses, recovered, what)
    return findings, said, report(stamps, columns, look.tally, findings, record, cfg, curves)


_NEEDED = (
    *("theta_E_arcsec", "psf_fwhm_r_arcsec", "psf_depth_r_mag", "source_mag_r"),
    *("arc_snr", "arc_snr_g"),
)


def _lenses(stamps: Path) -> Columns:
    """What completeness hangs on, of all lenses."""
    only = ["task_id", "kind", *_NEEDED]
    tables = []
    for path in parts_in(stamps):
        rows = columns_of(read_table(path, STAMPS, only))
        lens = rows["kind"] == "lens"
        tables.append({name: rows[name][lens] for name in ("task_id", *_NEEDED)})
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}


def _recovery(
    lenses: Columns, scores: dict[str, float] | None, cfg: Validate
) -> tuple[Columns, np.ndarray, str]:
    """Lenses, which of them are recovered, and what that means."""
    if scores is None:
        return (
            lenses,
            visible(lenses),
            f"g-band S/N >= {VISIBLE_SNR_G:g} and theta_E >= {VISIBLE_SEEINGS:g} PSF FWHM, what "
            "experts see (Rojas et al. 2023)",
        )
    known = np.array([task in scores for task in lenses["task_id"]])
    if not known.any():
        raise DhsError(
            f"none of {len(known)} lenses of this set is among {len(scores)} scores: they are of "
            "another set"
        )
    lenses = {name: values[known] for name, values in lenses.items()}
    found = np.array([scores[task] for task in lenses["task_id"]]) >= cfg.score_threshold
    what = f"score >= {cfg.score_threshold:g}, of {known.sum()} lenses with a score"
    return lenses, found, what


_ORDER = ("integrity", "physics", "realism", "balance", "probe")


def whole_set(stamps: Path, record: dict, tally: Tally) -> Iterator[Finding]:
    """Gates on files and counts: what was planned is here or in quarantine, byte for byte."""
    digest = digest_of_parts(stamps)
    hosts = tally.n_hosts
    yield Finding(
        "integrity.digest",
        passed(digest == record["digest"]),
        digest[:16],
        record["digest"][:16],
        hosts,
        "The files are those that the run wrote.",
        "A part was changed, lost or added: inject again.",
    )
    bad = _quarantined(stamps)
    planned, lost = Counter(record["planned"]), Counter(bad["kind"])
    usable = tally.kinds
    kinds = [kind for kind in KINDS if planned[kind]]
    missing = any(planned[k] != usable[k] + lost[k] for k in planned | usable | lost)
    yield Finding(
        "integrity.counts",
        passed(not missing),
        ", ".join(f"{usable[k]} + {lost[k]} of {planned[k]} {k}" for k in kinds),
        "usable + quarantined = planned",
        hosts,
        "No row is lost or doubled.",
        "Inject again; finished parts are kept.",
    )
    causes = Counter(bad["cause"]).most_common()
    yield Finding(
        "integrity.quarantine",
        Level.INFO,
        ", ".join(f"{n} {cause}" for cause, n in causes) or "no row",
        "",
        hosts,
        "Rows in quarantine, by their causes; `dhs replay` draws them.",
    )
    torn = np.intersect1d(hashes(np.array(bad["pair_id"], object)), tally.pairs)
    yield Finding(
        "balance.failures",
        passed(not len(torn)),
        f"{len(torn)} pairs torn; "
        + ", ".join(f"{k} {lost[k] / planned[k]:.2%} failed" for k in kinds),
        "0 pairs with some rows usable and others not",
        hosts,
        "Rows fail by whole pairs whatever their kind, so that failing selects nothing.",
        "Find the cause in the quarantine table; it depends on the kind.",
    )


def _quarantined(stamps: Path) -> dict[str, list[str]]:
    """Kind, pair and cause of the rows in quarantine."""
    only = ["kind", "pair_id", "cause"]
    found = sorted((stamps / QUARANTINE_DIR).glob(PARTS))
    tables = [read_table(path, QUARANTINE, only).to_pydict() for path in found]
    return {name: [value for table in tables for value in table[name]] for name in only}


def replay(stamps: Path, columns: Columns, bank: Bank | None, record: dict, n_rows: int) -> Finding:
    """Rows rendered again from their own columns equal what was stored."""
    gate, about = "physics.replay", "A row rendered again from its own columns is what was stored."
    limit = "0 nmgy difference in every pixel"
    if bank is None or bank.digest() != record["bank"]:
        reason = "no bank given" if bank is None else "another bank given"
        return Finding(gate, Level.SKIP, reason, limit, 0, about, "Give --bank as it was planned.")
    chosen = _spread(np.flatnonzero(columns["kind"] != "host"), n_rows)
    wanted = set(columns["task_id"][chosen]) | {
        f"{pair}-host" for pair in columns["pair_id"][chosen]
    }
    images = images_of(stamps, wanted)
    rows = {name: values[chosen] for name, values in columns.items()}
    found = [i for i, p in enumerate(rows["pair_id"]) if f"{p}-host" in images]
    if not found:
        return without_host_rows(gate, limit, about)
    rows = {name: values[found] for name, values in rows.items()}
    hosts = np.stack([images[f"{pair}-host"] for pair in rows["pair_id"]])
    if rows["psf_model"][0] == "image":
        psfs = psf_images_of(stamps, set(rows["task_id"]))
        rows["psf_image"] = np.array([psfs[task] for task in rows["task_id"]], object)
    _, again = made_again(rows, hosts, bank)
    stored = np.stack([images[task] for task in rows["task_id"]])
    worst = float(np.abs(again - stored).max())
    return Finding(
        gate,
        passed(worst == 0),
        f"largest difference {worst:.3g} nmgy over {len(found)} rows",
        limit,
        len(np.unique(rows["host_id"].astype(str))),
        about,
        "A column is written but not used, or another version made the set.",
    )


def second_opinion(columns: Columns, bank: Bank | None, record: dict, n_rows: int) -> Finding:
    """Lens rows rendered from their columns, against lenstronomy's rays through the same."""
    if bank is None or bank.digest() != record["bank"]:
        return Finding(
            "physics.lenstronomy", Level.SKIP, "no bank of this set given", "", 0,
            "Rendered light is that of lenstronomy's rays.", "Give --bank as it was planned.",
        )  # fmt: skip
    chosen = _spread(np.flatnonzero(columns["kind"] == "lens"), n_rows)
    rows = {name: values[chosen] for name, values in columns.items()}
    if rows["psf_model"][0] == "image":
        light = np.zeros((len(chosen), 1, 1, 1))
    else:
        light = render_rows(rows, bank, np.ones(len(chosen), bool))
    index = rows["template_index"]
    scale = bank.pixel_scale * rows["source_hlr_arcsec"] / bank.columns["hlr_arcsec"][index]
    return against_lenstronomy(rows, light, bank.templates(index), scale)


def _spread(indices: np.ndarray, n: int) -> np.ndarray:
    """About n of them, evenly over the set."""
    return indices[np.unique(np.linspace(0, len(indices) - 1, n).astype(int))]

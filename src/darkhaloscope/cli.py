"""`dhs`: one verb a stage. Parse, call, print.

Exit codes: 0 done, 1 a gate fails, 2 cannot be done as asked, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.config import Dict
from cyclopts.exceptions import CycloptsError
from pydantic import SkipValidation, ValidationError
from rich.markup import escape

from darkhaloscope import __version__
from darkhaloscope.config import (
    SECTIONS,
    AnchorClass,
    AnchorsBuild,
    AnchorsCutouts,
    BankCosmos,
    BankHybrid,
    BankMerge,
    BankSersic,
    BankSurvey,
    CutoutsBricks,
    CutoutsNpz,
    CutoutsService,
    CutoutsSynthetic,
    Evaluate,
    Export,
    GradeServe,
    Inject,
    Parent,
    Plan,
    Train,
    Validate,
    build,
    explain,
    read_study,
    read_toml,
)
from darkhaloscope.errors import DhsError
from darkhaloscope.io.cache import on_this_host
from darkhaloscope.io.files import at

app = App(
    name="dhs",
    version=__version__,
    help="Training sets for finding strong gravitational lenses in the DESI Legacy Surveys.",
    suppress_keyboard_interrupt=False,
)
bank_app = App(name="bank", help="Source banks: galaxies to put behind lenses.")
cutouts_app = App(name="cutouts", help="Cutouts: the galaxies that become lenses.")
anchors_app = App(name="anchors", help="Anchors: known lenses, and what is none, to judge by.")
app.command(bank_app)
app.command(cutouts_app)
app.command(anchors_app)


_Place = Annotated[Path, SkipValidation]
"""A `pathlib.Path`, or what has its methods: see io.files.at."""


def _place(**about) -> Parameter:
    """A flag that takes a path, or the address of something in an object store."""
    return Parameter(converter=lambda _, tokens: at(tokens[0].value), **about)


_Flat = Parameter(name="*")
_Config = Annotated[Path | None, Parameter(help="TOML file of settings; flags override it")]
_Processes = Annotated[int | None, Parameter(help="worker processes; default all cores")]
_Engine = Annotated[
    Literal["local", "spark"], Parameter(help="this machine's processes, or a Spark cluster")
]
_Master = Annotated[
    str | None,
    Parameter(help="Spark's: spark://host:port, local[2], yarn; default what spark-submit says"),
]
_OutBank = Annotated[Path, Parameter(name=["--out-h5"], help="bank file to write")]
_Bank = Annotated[_Place, _place(name=["--bank", "--cosmos-bank-h5"], help="source bank")]
_Parent = Annotated[Path, Parameter(name=["--parent"], help="parent table of `dhs parent`")]
_Cutouts = Annotated[_Place, _place(name=["--cutouts"], help="cutout store (folder)")]


@bank_app.command(name="cosmos")
def bank_cosmos(
    *,
    cosmos_dir: Annotated[Path, Parameter(help="folder that galsim_download_cosmos made")],
    out: _OutBank,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[BankCosmos, _Flat] = BankCosmos(),
) -> None:
    """Make a bank of real HST galaxies from a GalSim RealGalaxyCatalog."""
    from darkhaloscope.jobs import banks, pool

    banks.bank_cosmos(out, cosmos_dir, cfg, pool.count(processes))


@bank_app.command(name="hybrid")
def bank_hybrid(
    *,
    out: _OutBank,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[BankHybrid, _Flat] = BankHybrid(),
) -> None:
    """Make a bank of Sersic galaxies with clumps; needs no download."""
    from darkhaloscope.jobs import banks, pool

    banks.bank_hybrid(out, cfg, pool.count(processes))


@bank_app.command(name="sersic")
def bank_sersic(
    *,
    out: _OutBank,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[BankSersic, _Flat] = BankSersic(),
) -> None:
    """Make a bank of smooth Sersic galaxies: the baseline that clumps are compared with."""
    from darkhaloscope.jobs import banks, pool

    banks.bank_sersic(out, cfg, pool.count(processes))


@bank_app.command(name="survey")
def bank_survey(
    images: Annotated[
        Path, Parameter(help="folder of FITS files, one a galaxy: see docs/banks.md")
    ],
    *,
    out: _OutBank,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[BankSurvey, _Flat] = BankSurvey(),
) -> None:
    """Make a bank of galaxies of deep ground images: a folder of FITS files with their PSFs."""
    from darkhaloscope.jobs import banks, pool

    banks.bank_survey(out, images, cfg, pool.count(processes))


@bank_app.command(name="check")
def bank_check(
    bank: Path,
    *,
    out: Annotated[Path | None, Parameter(help="findings as JSON; default: none")] = None,
) -> int:
    """Judge every template of a bank; exit code 1 if a gate fails."""
    from darkhaloscope.jobs import bank_check

    return 0 if bank_check.check(bank, out) else 1


@bank_app.command(name="show")
def bank_show(
    bank: Path,
    *,
    out: Annotated[Path | None, Parameter(help="the page; default: beside the bank")] = None,
) -> int:
    """Write a page that shows a bank: templates, sizes, clumpiness, and what was turned away."""
    from darkhaloscope.jobs import bank_check

    return 0 if bank_check.show(bank, out or bank.with_suffix(".html")) else 1


@bank_app.command(name="merge")
def bank_merge(
    *banks: Path,
    out: _OutBank,
    config: _Config = None,
    cfg: Annotated[BankMerge, _Flat] = BankMerge(),
) -> None:
    """Make one bank of several, split anew; a galaxy that is in two is taken once."""
    from darkhaloscope.jobs import bank_check

    bank_check.merge(out, list(banks), cfg)


@app.command
def parent(
    *catalogues: Path,
    out: Annotated[Path, Parameter(help="folder of the parent table")],
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[Parent, _Flat] = Parent(),
) -> None:
    """Choose host galaxies from sweep and Tractor catalogues, files or folders of them."""
    from darkhaloscope.jobs import parent as job
    from darkhaloscope.jobs import pool

    job.parent(out, list(catalogues), cfg, pool.count(processes))


@cutouts_app.command(name="bricks")
def cutouts_bricks(
    *,
    parent: _Parent,
    root: Annotated[str, Parameter(help="coadd tree: folder, http(s):// or s3:// address")],
    out: Path,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[CutoutsBricks, _Flat] = CutoutsBricks(),
) -> None:
    """Cut the parent table's hosts out of the survey's coadds. Can be killed and started again."""
    from darkhaloscope.jobs import pool
    from darkhaloscope.jobs import survey_cutouts as job

    job.cutouts_bricks(out, parent, root, cfg, pool.count(processes))


@cutouts_app.command(name="service")
def cutouts_service(
    *,
    parent: _Parent,
    out: Path,
    url: Annotated[
        str, Parameter(help="address of the viewer")
    ] = "https://www.legacysurvey.org/viewer",
    cache: Annotated[
        Path | None, Parameter(help="folder of answers; default: the store's, with .answers")
    ] = None,
    config: _Config = None,
    cfg: Annotated[CutoutsService, _Flat] = CutoutsService(),
) -> None:
    """Ask the viewer's cutout service, politely, for cutouts and PSFs of the parent's hosts."""
    from darkhaloscope.jobs import survey_cutouts as job

    job.cutouts_service(out, parent, url, cache or out.with_name(f"{out.name}.answers"), cfg)


@cutouts_app.command(name="synthetic")
def cutouts_synthetic(
    *,
    out: Path,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[CutoutsSynthetic, _Flat] = CutoutsSynthetic(),
) -> None:
    """Make luminous galaxies on a synthetic sky with the survey's seeing, depth and noise."""
    from darkhaloscope.jobs import pool, synthetic

    synthetic.cutouts_synthetic(out, cfg, pool.count(processes))


@cutouts_app.command(name="npz")
def cutouts_npz(
    source: Path,
    *,
    out: Path,
    config: _Config = None,
    cfg: Annotated[CutoutsNpz, _Flat] = CutoutsNpz(),
) -> None:
    """Import saved cutouts: a folder of .npz files with `cutout` (y, x, band) g r z in nmgy."""
    from darkhaloscope.jobs import cutouts

    cutouts.cutouts_npz(out, source, cfg)


@anchors_app.command(name="build")
def anchors_build(
    *catalogues: Path,
    out: Annotated[Path, Parameter(help="folder of the table of anchors")],
    anchor_class: Annotated[
        AnchorClass,
        Parameter(name=["--class"], help="what the catalogues hold, where they do not tell"),
    ] = "lens",
    config: _Config = None,
    cfg: Annotated[AnchorsBuild, _Flat] = AnchorsBuild(),
) -> None:
    """Make a table of anchors of catalogues, and of the lenses that dhs ships; test every entry."""
    from darkhaloscope.jobs import anchors as job

    job.build(out, list(catalogues), anchor_class, cfg)


@anchors_app.command(name="cutouts")
def anchors_cutouts(
    *,
    anchors: Annotated[Path, Parameter(help="table of `dhs anchors build`")],
    out: Path,
    root: Annotated[
        str | None, Parameter(help="coadd tree: folder, http(s):// or s3:// address")
    ] = None,
    url: Annotated[str | None, Parameter(help="address of the viewer, in place of --root")] = None,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[AnchorsCutouts, _Flat] = AnchorsCutouts(),
) -> None:
    """Fetch the anchors' cutouts as training hosts' are fetched, and test what each shows."""
    from darkhaloscope.jobs import anchor_cutouts as job
    from darkhaloscope.jobs import pool

    job.cutouts(out, anchors, root, url, cfg, pool.count(processes))


@app.command
def plan(
    *,
    cutouts: _Cutouts,
    bank: _Bank,
    out: Annotated[_Place, _place(help="folder of the plan")],
    engine: _Engine = "local",
    master: _Master = None,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[Plan, _Flat] = Plan(),
) -> None:
    """Choose sources for every host and freeze every random number: one row a stamp."""
    from darkhaloscope.jobs import engine as engines
    from darkhaloscope.jobs import plan as job

    with engines.engine(engine, master, processes) as some:
        job.plan(out, cutouts, bank, cfg, some)


@app.command
def inject(
    *,
    plan: Annotated[_Place, _place(help="plan made by `dhs plan`")],
    cutouts: _Cutouts,
    bank: _Bank,
    out: Annotated[_Place, _place(help="folder of the stamp set")],
    engine: _Engine = "local",
    master: _Master = None,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[Inject, _Flat] = Inject(),
) -> None:
    """Render the plan's sources and add them to their hosts. Can be killed and started again."""
    from darkhaloscope.jobs import engine as engines
    from darkhaloscope.jobs import inject as job

    with engines.engine(engine, master, processes) as some:
        job.inject_all(out, plan, cutouts, bank, cfg, some)


@app.command
def preflight(
    *,
    cutouts: _Cutouts,
    bank: _Bank,
    out: Annotated[Path, Parameter(help="folder of the plan, the stamps and the report")],
    processes: _Processes = None,
    config: _Config = None,
) -> int:
    """Make a hundred injections as [plan] and [inject] of --config say, and judge them."""
    from darkhaloscope.jobs import engine as engines
    from darkhaloscope.jobs import preflight as job

    sections = read_toml(config) if config else {}
    plan_cfg = build(Plan, sections.get("plan", {}), "[plan]")
    inject_cfg = build(Inject, sections.get("inject", {}), "[inject]")
    with engines.engine("local", None, processes) as some:
        return 0 if job.preflight(out, cutouts, bank, plan_cfg, inject_cfg, some) else 1


@app.command
def validate(
    stamps: Path,
    *,
    bank: Annotated[
        Path | None, Parameter(name=["--bank", "--cosmos-bank-h5"], help="its bank, for replay")
    ] = None,
    out: Annotated[Path | None, Parameter(help="folder of the report; default: the set's")] = None,
    scores: Annotated[
        Path | None,
        Parameter(help="task_id and score of a model, CSV or Parquet: its completeness"),
    ] = None,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[Validate, _Flat] = Validate(),
) -> int:
    """Judge a stamp set: findings as JSON, an HTML report, exit code 1 if a gate fails."""
    from darkhaloscope.jobs import engine as engines
    from darkhaloscope.jobs import validate as job

    with engines.engine("local", None, processes) as some:
        here = stamps.parent if stamps.is_file() else stamps
        return 0 if job.validate(stamps, out or here, bank, cfg, some, scores) else 1


@app.command
def export(
    stamps: Annotated[_Place, _place(help="stamp set of `dhs inject`")],
    *,
    out: Annotated[_Place, _place(help="folder of the files")],
    bank: Annotated[
        _Place | None,
        _place(name=["--bank", "--cosmos-bank-h5"], help="its bank: layout plan's source_mode"),
    ] = None,
    processes: _Processes = None,
    config: _Config = None,
    cfg: Annotated[Export, _Flat] = Export(),
) -> None:
    """Write a stamp set in the form that others read. Can be killed and started again."""
    from darkhaloscope.jobs import export as job
    from darkhaloscope.jobs.engine import Local
    from darkhaloscope.jobs.pool import count

    job.export(out, stamps, bank, cfg, Local(count(processes)))


@app.command
def replay(
    task_id: Annotated[str, Parameter(help="the row, as the column task_id has it")],
    *,
    stamps: Annotated[_Place, _place(name=["--stamps"], help="stamp set of `dhs inject`")],
    bank: _Bank,
    cutouts: Annotated[
        _Place | None, _place(name=["--cutouts"], help="take its host from here, not from the set")
    ] = None,
    out: Annotated[Path | None, Parameter(help="picture to write, PNG; default: none")] = None,
) -> int:
    """Make a row again from its own columns; exit code 1 if it is not what is stored."""
    from darkhaloscope.jobs import replay as job

    return 0 if job.replay(task_id, stamps, bank, cutouts, out) else 1


_Device = Annotated[
    str | None, Parameter(help="cpu, cuda, cuda:1; default the GPU where there is one")
]


@app.command
def train(
    stamps: Annotated[Path, Parameter(help="stamp set of `dhs inject`")],
    *,
    out: Annotated[Path, Parameter(help="folder of the run: checkpoint, curves, state")],
    cutouts: Annotated[Path | None, Parameter(help="the set's cutouts, for --source fly")] = None,
    bank: Annotated[
        Path | None,
        Parameter(name=["--bank", "--cosmos-bank-h5"], help="the set's bank, for --source fly"),
    ] = None,
    workers: Annotated[
        int, Parameter(help="that make rows ahead of their time; 0 makes them in turn")
    ] = 1,
    dump_windows: Annotated[
        int,
        Parameter(help="--source fly: write so many windows to OUT/dump, a stamp set, and stop"),
    ] = 0,
    device: _Device = None,
    config: _Config = None,
    cfg: Annotated[Train, _Flat] = Train(),
) -> None:
    """Train a finder on a stamp set. Can be killed and started again; several under torchrun."""
    from darkhaloscope.learn.ranks import ranks
    from darkhaloscope.learn.train import train_on

    with ranks(device) as some:
        train_on(out, stamps, cfg, some, workers, cutouts, bank, dump_windows)


_Judge = Annotated[
    Path, Parameter(help="checkpoint of `dhs train`, or what `dhs ensemble` or `calibrate` wrote")
]


@app.command
def score(
    judge: _Judge,
    source: Annotated[Path, Parameter(help="stamp set, cutout store, FITS file or folder")],
    *,
    out: Annotated[Path, Parameter(help="scores to write, .parquet or .csv")],
    embed: Annotated[
        bool, Parameter(help="write what the last layer is shown too, for `dhs evaluate`")
    ] = False,
    split: Annotated[
        tuple[Literal["train", "val", "test"], ...], Parameter(help="rows of these splits only")
    ] = (),
    device: _Device = None,
) -> None:
    """Score every row: how surely a lens, between 0 and 1, and its logit, by name."""
    from darkhaloscope.learn.judge import load_judge
    from darkhaloscope.learn.ranks import device_of
    from darkhaloscope.learn.score import score as job

    job(out, load_judge(judge, device_of(device)), source, embed, split)


@app.command
def evaluate(
    *scores: Annotated[
        Path, Parameter(help="tables of `dhs score` of one finder, or their folder")
    ],
    out: Annotated[Path, Parameter(help="folder of the report")],
    against: Annotated[
        tuple[Path, ...],
        Parameter(help="another finder's tables of the same rows", consume_multiple=True),
    ] = (),
    config: _Config = None,
    cfg: Annotated[Evaluate, _Flat] = Evaluate(),
) -> int:
    """Say how good a finder is, with intervals: recall, false positives, look-alikes, purity."""
    from darkhaloscope.jobs import evaluate as job

    return 1 if job.failed(job.evaluate(out, scores, against, cfg)) else 0


@app.command
def ablate(
    study: Annotated[Path, Parameter(help="TOML file of the study: see docs/ablation.md")],
    *,
    out: Annotated[Path, Parameter(help="folder of sets, runs, scores and the report")],
    share: Annotated[
        str, Parameter(help="1/4: the first of four machines that share the folder's trainings")
    ] = "1/1",
    torchrun: Annotated[int, Parameter(help="processes of each training, as torchrun has")] = 1,
    engine: _Engine = "local",
    master: _Master = None,
    processes: _Processes = None,
    device: _Device = None,
) -> None:
    """Train every condition of a study with every seed, and say what differs."""
    from darkhaloscope.jobs import engine as engines
    from darkhaloscope.learn.ablate import Queue
    from darkhaloscope.learn.study import ablate as job

    number, _, count = share.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise DhsError(f"--share must be such as 1/4, got {share}")
    with engines.engine(engine, master, processes) as some:
        queue = Queue(out, read_study(study), study.parent, some, device, torchrun)
        job(queue, (int(number) - 1, int(count)))


_HeldOut = Annotated[Path, Parameter(name=["--stamps"], help="stamp set with held-out rows")]
_Split = Annotated[Literal["val", "test"], Parameter(help="its split; never that of training")]


@app.command
def ensemble(
    *judges: _Judge,
    stamps: _HeldOut,
    out: Annotated[Path, Parameter(help="JSON to write, which `dhs score` takes")],
    split: _Split = "val",
    method: Annotated[
        Literal["mean", "rank", "learned"],
        Parameter(help="mean probability, mean rank among held-out rows, or logistic regression"),
    ] = "mean",
    device: _Device = None,
) -> None:
    """Put several finders together."""
    from darkhaloscope.learn import held_out
    from darkhaloscope.learn.ranks import device_of

    held_out.ensemble(out, judges, stamps, split, method, device_of(device))


@app.command
def calibrate(
    judge: _Judge,
    *,
    stamps: _HeldOut,
    out: Annotated[Path, Parameter(help="JSON to write, which `dhs score` takes")],
    split: _Split = "val",
    method: Annotated[
        Literal["temperature", "isotonic"],
        Parameter(help="one number, or steps; isotonic makes ties at low false-positive rates"),
    ] = "temperature",
    device: _Device = None,
) -> None:
    """Make a finder's scores probabilities, at the split's share of lenses."""
    from darkhaloscope.learn import held_out
    from darkhaloscope.learn.ranks import device_of

    held_out.calibrate(out, judge, stamps, split, method, device_of(device))


grade_app = App(name="grade", help="Grades by eye: A, B, C or none, blind, with the keyboard.")
app.command(grade_app)
_Grades = Annotated[Path, Parameter(help="grades file of `dhs grade serve`")]


@grade_app.command(name="serve")
def grade_serve(
    cutouts: Annotated[Path, Parameter(help="cutout store or stamp set to grade")],
    *,
    grades: Annotated[Path, Parameter(help="SQLite file of the grades; made, or gone on with")],
    grader: Annotated[
        tuple[str, ...], Parameter(negative="", help="who grades; once for each grader")
    ],
    known: Annotated[
        tuple[Path, ...],
        Parameter(negative="", help="store of known lenses to mix in, or table of positions"),
    ] = (),
    blanks: Annotated[
        tuple[Path, ...],
        Parameter(negative="", help="store of plain galaxies without arcs to mix in"),
    ] = (),
    port: Annotated[int, Parameter(help="of this machine alone; 0 takes any that is free")] = 8765,
    config: _Config = None,
    cfg: Annotated[GradeServe, _Flat] = GradeServe(),
) -> None:
    """Serve a page to grade cutouts on, to this machine alone. Can be killed and started again."""
    from darkhaloscope.grading.session import serve

    serve(cutouts, grades, grader, known, blanks, port, cfg)


@grade_app.command(name="export")
def grade_export(
    grades: _Grades,
    *,
    out: Annotated[Path, Parameter(help="CSV to write")],
    log: Annotated[bool, Parameter(help="all that happened, not only what holds")] = False,
) -> None:
    """Write the grades as a table, with the names and places of what was graded."""
    from darkhaloscope.grading.results import export as job

    job(grades, out, log)


@grade_app.command(name="agreement")
def grade_agreement(
    grades: _Grades,
    *,
    out: Annotated[Path | None, Parameter(help="JSON to write; default: none")] = None,
) -> None:
    """Say how far graders agree, and what the controls among the objects say of each."""
    from darkhaloscope.grading.results import agreement

    agreement(grades, out)


@app.command
def demo(
    *,
    out: Path = Path("demo"),
    processes: _Processes = None,
    config: _Config = None,
) -> int:
    """Run the whole flow on the embedded sky and bank, and name the report to open."""
    from darkhaloscope.jobs import demo as job
    from darkhaloscope.jobs import pool

    sections = read_toml(config) if config else {}
    return 0 if job.demo(out, sections, pool.count(processes)) else 1


def main(tokens: Sequence[str] | None = None) -> None:
    """Entry point: every expected fault becomes one sentence on stderr and an exit code."""
    sys.exit(run(list(sys.argv[1:] if tokens is None else tokens)))


def run(tokens: list[str], verbs: App = app) -> int:
    """One command line's exit code.

    verbs : whose sections of settings are named as in config.SECTIONS
    """
    from darkhaloscope.jobs.pool import interruptible

    try:
        verbs.config = _toml_defaults(tokens)
        with interruptible():
            code = verbs(
                tokens, exit_on_error=False, print_error=False, result_action="return_value"
            )
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        return _complain(_usage(error))
    except DhsError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        _complain("interrupted; finished parts are kept, run the same command to go on")
        return 130


def _toml_defaults(tokens: list[str]) -> Dict | None:
    """The sections of --config's file, as defaults of their commands' flags."""
    path = next(
        (
            value.partition("=")[2] if "=" in value else [*tokens, ""][i + 1]
            for i, value in enumerate(tokens)
            if value.split("=")[0] == "--config"
        ),
        None,
    )
    if not path:
        return None
    tree: dict = {}
    for section, settings in read_toml(on_this_host(at(path))).items():
        branch = tree
        for word in section.split("."):
            branch = branch.setdefault(word, {})
        branch |= {key.lower().replace("_", "-"): value for key, value in settings.items()}
    return Dict(tree, source=path)


def _usage(error: CycloptsError) -> str:
    cause = error.__cause__
    model = getattr(getattr(error, "argument", None), "hint", None)
    section = next((name for name, stage in SECTIONS.items() if stage is model), None)
    if isinstance(cause, ValidationError) and section:
        return explain(cause, SECTIONS[section], f"dhs {section.replace('.', ' ')}")
    return f"{error}\nSee `dhs --help`."


def _complain(message: str) -> int:
    from darkhaloscope.jobs.progress import console

    console.print(f"[bold red]dhs: cannot do this.[/] {escape(message)}", soft_wrap=True)
    return 2


if __name__ == "__main__":
    main()

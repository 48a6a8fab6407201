"""`dhs train`: one recipe for stamps on disk and for lenses made on the fly."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from darkhaloscope.config import META, Train
from darkhaloscope.errors import DhsError
from darkhaloscope.io.parts import claim
from darkhaloscope.jobs.pool import count
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.jobs.stamps import record_of_stamps
from darkhaloscope.jobs.versions import versions
from darkhaloscope.keys import digest_of
from darkhaloscope.learn.augment import augment
from darkhaloscope.learn.batch import Batch, Rows
from darkhaloscope.learn.checkpoint import Spec, save
from darkhaloscope.learn.curves import Board, numbers, say, write_csv
from darkhaloscope.learn.losses import losses
from darkhaloscope.learn.meta import balanced
from darkhaloscope.learn.nets import Finder, build_net
from darkhaloscope.learn.ranks import Ranks
from darkhaloscope.learn.source import Place, Source, Stream
from darkhaloscope.learn.state import State, load_state, save_state
from darkhaloscope.learn.stored import Index, Stored, columns_of_index, in_order, index_of
from darkhaloscope.learn.validation import Validation, validation
from darkhaloscope.learn.view import Scaling, look

_ASKED_AT_ONCE = 256
_STEPS_TO_AGREE = 16
_LAST_LR = 0.01
"""Of the highest learning rate, at the end."""


@dataclass(frozen=True)
class Sets:
    """What a finder is trained and judged on."""

    made_from: Mapping[str, str]  # digests of the stamps, and of what these were made from
    train: Index
    val: Index
    pixel_scale: float
    scaling: Scaling


def sets_of(stamps: Path, cfg: Train) -> Sets:
    """The splits train and val of a stamp set.

    Raises DhsError if the set is not finished, a split holds too little, or meta columns tell the
    label
    """
    record = record_of_stamps(stamps)
    train = index_of(stamps, "train", cfg.min_theta_over_psf, cfg.most_pairs)
    val = index_of(stamps, "val", cfg.min_theta_over_psf)
    if train.size != val.size:
        raise DhsError(f"split train has stamps of {train.size} pixels, val of {val.size}")
    names = [META[name] for name in cfg.meta_cols]
    known = columns_of_index(
        train, ("pixel_scale_arcsec", "kind", "pair_id", "host_id", *dict.fromkeys(names))
    )
    scales = np.unique(known["pixel_scale_arcsec"])
    if len(scales) > 1:
        raise DhsError(f"{stamps} holds pixels of {scales.tolist()} arcsec; train on one scale")
    balanced(known, cfg.meta_cols)
    scaling = Scaling.of([known[name] for name in names])
    made_from = {"stamps": record["digest"]} | {k: record[k] for k in ("cutouts", "bank")}
    return Sets(made_from, train, val, float(scales[0]), scaling)


def train_on(
    out: Path,
    stamps: Path,
    cfg: Train,
    ranks: Ranks,
    workers: int = 1,
    cutouts: Path | None = None,
    bank: Path | None = None,
    dump_windows: int = 0,
) -> Validation | None:
    """Train on a stamp set, or on lenses made as its plan made them; see `train`.

    cutouts, bank : the set's own, for cfg.source = fly
    dump_windows : write so many windows of what would be seen as a stamp set, and train not
    Raises DhsError as sets_of and train do, or if inputs are not the set's
    """
    sets = sets_of(stamps, cfg)
    if cfg.source == "stored":
        if cutouts or bank or dump_windows:
            raise DhsError(
                "--cutouts, --bank and --dump-windows are for --source fly; the set's stamps are "
                "used"
            )
        source = Stored(sets.train, cfg.seed, max(cfg.shuffle_rows, cfg.batch_size))
        return train(out, sets, source, cfg, ranks, workers)
    if not (cutouts and bank):
        raise DhsError("--source fly needs --cutouts and --bank, those that the set was made from")
    from darkhaloscope.learn.dump import dump
    from darkhaloscope.learn.fly import OnTheFly

    begin(out, sets, cfg, ranks)
    if ranks.device.type == "cpu":  # a thread that waits for a core holds up all others
        torch.set_num_threads(min(torch.get_num_threads(), max(1, count(None) - workers)))
    fly = OnTheFly.of(out / "resident", stamps, cutouts, bank, sets.train.size, cfg, ranks)
    if dump_windows:
        first = fly.windows_per_pass  # the first pass is the stored set
        return dump(out / "dump", fly, range(first, first + dump_windows))
    return train(out, sets, fly, cfg, ranks, workers)


def begin(out: Path, sets: Sets, cfg: Train, ranks: Ranks) -> None:
    """Take the folder for this run, or go on with it.

    Raises DhsError if it holds another run, or the set is too small
    """
    if cfg.batch_size % ranks.world:
        raise DhsError(
            f"batch_size = {cfg.batch_size} cannot be shared by {ranks.world} processes evenly"
        )
    if len(sets.train) < cfg.batch_size:
        raise DhsError(
            f"split train holds {len(sets.train)} rows, fewer than one batch of {cfg.batch_size}; "
            "lower batch_size, or make a larger set"
        )
    if ranks.first:
        claim(
            out,
            {
                "stage": "train",
                "config": cfg.identity(),
                "processes": ranks.world,
                **sets.made_from,
                **versions(),
            },
        )
    ranks.wait()


def train(
    out: Path, sets: Sets, source: Source, cfg: Train, ranks: Ranks, workers: int = 1
) -> Validation:
    """Train a finder into `out`, or go on where an earlier call stopped; its best validation.

    source : of training rows; workers : that make rows ahead of their time
    Raises DhsError as begin does, or if numbers overflow
    """
    begin(out, sets, cfg, ranks)
    return Training(out, sets, source, cfg, ranks, workers).run()


class Training:
    """A run as it goes."""

    def __init__(
        self,
        out: Path,
        sets: Sets,
        source: Source,
        cfg: Train,
        ranks: Ranks,
        workers: int,
    ):
        self.out, self.sets, self.cfg, self.ranks = out, sets, cfg, ranks
        torch.manual_seed(cfg.seed)
        self.net = build_net(cfg, sets.train.size).to(ranks.device)
        self.mean = AveragedModel(self.net, multi_avg_fn=_toward(cfg.ema_decay))
        self.optimizer = torch.optim.AdamW(_groups(self.net, cfg.weight_decay), lr=cfg.lr)
        self.steps_per_epoch = len(sets.train) // cfg.batch_size
        self.state = State(places=[Place()] * ranks.world)
        self.restore()
        self.saved = self.state.step
        self.parallel = ranks.together(self.net)
        self.stream = Stream(
            source, cfg.batch_size // ranks.world, ranks.rank, ranks.world, workers
        )

    def restore(self) -> None:
        """What an earlier call saved, if there is anything."""
        found = load_state(self.out)
        if found is None:
            return
        self.state, tensors = found
        self.net.load_state_dict(tensors["net"])
        self.mean.load_state_dict(tensors["mean"])
        self.optimizer.load_state_dict(tensors["optimizer"])
        if self.ranks.first:
            console.print(f"train     goes on from step {self.state.step}")

    def keep(self) -> None:
        """Save the state; every process takes part."""
        places = self.ranks.gathered(self.state.places[self.ranks.rank])
        self.state.places = places
        if self.ranks.first:
            tensors = {
                "net": self.net.state_dict(),
                "mean": self.mean.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
            save_state(self.out, self.state, tensors)
        self.saved = self.state.step

    def run(self) -> Validation:
        """All epochs that are left, until validation no longer rises."""
        board = Board(self.out, self.state.step) if self.ranks.first else None
        total = self.steps_per_epoch * self.cfg.epochs
        found = None
        with (
            closing(self.stream.batches(self.state.places[self.ranks.rank])) as batches,
            progress("train", total * self.cfg.batch_size, "rows") as advance,
        ):
            advance(self.state.step * self.cfg.batch_size)
            while not self.ended():
                self.epoch(batches, advance)
                found = self.judged()
                self.record(found, board)
                self.keep()
        if board:
            board.close()
        return found or self.judged()

    def ended(self) -> bool:
        patience = self.cfg.early_stopping_patience
        tired = patience and self.state.waited >= patience
        return bool(tired) or self.state.step >= self.steps_per_epoch * self.cfg.epochs

    def epoch(self, batches: Iterator[tuple[Rows, Place]], advance) -> None:
        """The steps that are left of one epoch."""
        began = saved = time.monotonic()
        before = self.state.seconds
        for _ in range(self.steps_per_epoch - self.state.step % self.steps_per_epoch):
            rows, place = next(batches)
            self.state.loss += self.step(rows)
            self.state.step += 1
            self.state.places[self.ranks.rank] = place
            self.state.seconds = before + time.monotonic() - began
            advance(self.cfg.batch_size)
            if self.state.step % self.steps_per_epoch and self.late(saved):
                self.keep()
                saved = time.monotonic()

    def late(self, saved: float) -> bool:
        """Whether the state is to be saved; processes agree, which takes time, now and then."""
        if self.ranks.world > 1 and self.state.step % _STEPS_TO_AGREE:
            return False
        return any(self.ranks.gathered(time.monotonic() - saved > self.cfg.save_every_s))

    def step(self, rows: Rows) -> float:
        """One step down the gradient; its mean loss."""
        cfg = self.cfg
        seed = _seed(cfg.seed, self.state.step, self.ranks.rank)
        torch.manual_seed(seed)  # for blocks left out at random
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr()
        batch = Batch.of(rows, cfg.view, self.ranks.device)
        finite = torch.isfinite(batch.images).flatten(1).all(1)
        if not bool(finite.all()):
            self.stop(rows, ~finite.cpu().numpy())
        if cfg.augment:
            batch = augment(batch, cfg, torch.Generator().manual_seed(seed))
        self.parallel.train()
        logit = self.asked(self.parallel, batch)
        loss = losses(logit, batch.label, cfg).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        length = nn.utils.clip_grad_norm_(self.net.parameters(), cfg.clip_norm)
        if not bool(torch.isfinite(loss) & torch.isfinite(length)):
            self.stop(rows, ~torch.isfinite(logit).cpu().numpy())
        self.optimizer.step()
        self.mean.update_parameters(self.net)
        return float(loss.detach())

    def asked(self, net: nn.Module, batch: Batch) -> Tensor:
        """Logits, float32."""
        seen = look(batch, self.cfg.view, self.sets.scaling)
        kind = self.ranks.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.cfg.use_bf16):
            return net(seen.channels, seen.meta).float()

    def lr(self) -> float:
        """Rises from 0, then falls along a cosine."""
        warm = self.cfg.warmup_epochs * self.steps_per_epoch
        total = self.steps_per_epoch * self.cfg.epochs
        step = self.state.step + 1
        if step < warm:
            return self.cfg.lr * step / warm
        share = (step - warm) / max(total - warm, 1)
        return self.cfg.lr * (_LAST_LR + (1 - _LAST_LR) * (1 + math.cos(math.pi * share)) / 2)

    def stop(self, rows: Rows, bad: np.ndarray) -> None:
        """Numbers overflowed, in the rows `bad` or anywhere; what was saved last is kept.

        Raises DhsError
        """
        names = rows.columns["task_id"][bad] if bad.any() else rows.columns["task_id"]
        raise DhsError(
            f"pixels, loss or gradient are not finite at step {self.state.step}; the state of step "
            f"{self.saved} and the best checkpoint are kept. {len(names)} of {len(rows)} rows of "
            f"the batch {'are to blame' if bad.any() else 'may be to blame'}: "
            f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''}. Look at them with "
            "`dhs replay`, or lower lr"
        )

    @torch.no_grad()
    def judged(self) -> Validation:
        """The running mean of weights on the validation rows, shared among processes."""
        net = self.mean.module.eval()
        logits, columns, total = [], [], 0.0
        for i, rows in enumerate(in_order(self.sets.val, _ASKED_AT_ONCE)):
            if i % self.ranks.world != self.ranks.rank:
                continue
            batch = Batch.of(rows, self.cfg.view, self.ranks.device)
            logit = self.asked(net, batch)
            total += float(losses(logit, batch.label, self.cfg).sum())
            logits.append(logit.cpu().numpy())
            columns.append({name: rows.columns[name] for name in ("kind", "host_id")})
        every = self.ranks.gathered((logits, columns, total))
        logit = np.concatenate([one for mine, _, _ in every for one in mine])
        kind, host = (
            np.concatenate([one[name] for _, some, _ in every for one in some])
            for name in ("kind", "host_id")
        )
        loss = sum(one for _, _, one in every) / len(logit)
        if not np.isfinite(logit).all():
            raise DhsError(
                f"{int((~np.isfinite(logit)).sum())} validation scores are not finite after step "
                f"{self.state.step}; the last checkpoint is kept. Lower lr"
            )
        return validation(logit, kind, host, self.cfg.early_stopping_fpr, loss)

    def record(self, found: Validation, board: Board | None) -> None:
        """Write the epoch down, and keep its weights if they are the best so far."""
        state = self.state
        better = found.mean_recall > state.best
        state.waited = 0 if better else state.waited + 1
        state.best = max(state.best, found.mean_recall)
        row = numbers(
            found,
            epoch=state.step // self.steps_per_epoch,
            step=state.step,
            lr=self.lr(),
            loss=state.loss / self.steps_per_epoch,
            rows_per_s=self.steps_per_epoch * self.cfg.batch_size / max(state.seconds, 1e-9),
        )
        state.loss, state.seconds = 0.0, 0.0
        state.history.append(row)
        if not self.ranks.first:
            return
        if better:
            save(self.out, self.mean.module, self.spec(found))
        write_csv(self.out, state.history)
        say(row, found, better)
        if board:
            board.add(row)

    def spec(self, found: Validation) -> Spec:
        epoch = self.state.step // self.steps_per_epoch
        return Spec(
            self.cfg,
            self.sets.scaling,
            self.sets.train.size,
            self.sets.pixel_scale,
            self.sets.made_from,
            {"epoch": epoch, "step": self.state.step, **asdict(found)},
        )


def _seed(*numbers: int) -> int:
    return int(digest_of("step", *map(str, numbers))[:15], 16)


def _groups(net: Finder, decay: float) -> list[dict]:
    """Weights decay; biases, scales and shifts do not."""
    parameters = list(net.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _toward(decay: float):
    """A running mean that forgets its start soon."""

    @torch.no_grad()
    def update(mean: Sequence[Tensor], new: Sequence[Tensor], count: Tensor | int) -> None:
        n = int(count)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        for old, one in zip(mean, new, strict=True):
            old.lerp_(one, weight)

    return update

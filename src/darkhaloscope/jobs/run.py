"""One job over many parts: what an earlier run made is kept, the rest is made, on any engine."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from darkhaloscope.io.files import sweep
from darkhaloscope.io.parts import RECORD, Commit
from darkhaloscope.jobs.engine import Engine
from darkhaloscope.jobs.progress import console, progress


class Task(Protocol):
    """One part to be made."""

    @property
    def part(self) -> int: ...

    def __len__(self) -> int:
        """How much work it is, in the unit of the job's progress."""
        ...


class Store(Protocol):
    """A claimed folder, which knows the parts that are in it."""

    @property
    def folder(self) -> Path: ...

    def present(self) -> set[int]:
        """Numbers of the parts that are there."""
        ...

    def glance(self, part: int) -> Commit | None:
        """What a part says of itself, its bytes not read."""
        ...

    def kept(self, part: int) -> Commit | None:
        """The commit of a part that an earlier run made, its bytes read and right."""
        ...


T = TypeVar("T", bound=Task)


def run_parts(
    label: str,
    unit: str,
    store: Store,
    work: Callable[[T], Commit],
    tasks: Sequence[T],
    engine: Engine,
) -> list[Commit]:
    """The commits of all parts, in order, once all are made.

    label, unit : of the progress shown, such as "inject", "stamps"
    work : makes a part and returns its commit
    """
    commits = _kept(store, tasks, engine)
    todo = {task.part: task for task in tasks if task.part not in commits}
    if commits:
        console.print(f"{label:<9} {len(commits)} of {len(tasks)} parts are there already")
    if todo:
        (store.folder / RECORD).unlink(missing_ok=True)  # not finished while parts are made
    seen: set[int] = set()

    def glance() -> Sequence[Commit]:
        new = (store.present() & todo.keys()) - seen
        return [commit for part in sorted(new) if (commit := store.glance(part))]

    causes: Counter[str] = Counter()
    with progress(label, sum(map(len, todo.values())), unit) as advance:
        for commit in engine.run(partial(_timed, work), list(todo.values()), glance):
            if commit.part not in seen:
                causes.update(commit.counts.get("causes", {}))
                advance(len(todo[commit.part]), ", ".join(f"{n} {c}" for c, n in causes.items()))
            seen.add(commit.part)
            commits[commit.part] = commit
    sweep(store.folder)  # what workers left that were killed while the run went on
    return [commits[task.part] for task in tasks]


def _timed(work: Callable[[T], Commit], task: T) -> Commit:
    began = time.perf_counter()
    return replace(work(task), seconds=time.perf_counter() - began)


def _kept(store: Store, tasks: Sequence[Task], engine: Engine) -> dict[int, Commit]:
    """Commits of the parts that an earlier run made and that need no second try."""
    present = store.present() & {task.part for task in tasks}
    found = engine.run(partial(_check, store), sorted(present))
    return {commit.part: commit for commit in found if commit is not None}


def _check(store: Store, part: int) -> Commit | None:
    commit = store.kept(part)
    return None if commit is None or commit.counts.get("try_again") else commit

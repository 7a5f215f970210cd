"""Many studies: a tree of cines or k-space becomes a tree of images of the same shape, whatever becomes of single ones.

Every study is a work item with a digest of its files, of the method and of all options; what was done is known by that,
also when a batch was killed in the middle, on whatever machines it ran.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from csmri import __version__
from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.core.provenance import without_absolute_paths
from csmri.core.reasons import one_line, reason
from csmri.core.texts import read_json, write_csv, write_json
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.evaluation.evaluate import common_law
from csmri.formats import find_cines
from csmri.formats.output import OUTPUTS, check_place, notes_of
from csmri.formats.source import LeftOut, Source
from csmri.methods.classical import find_method
from csmri.methods.model import saved_model_sha256
from csmri.methods.reconstruction import Reconstructor, baseline_reconstructor, load_reconstructor
from csmri.run.single import Request, collect, reconstruct_slices, write_images

HIDDEN = ".csmri-batch"
"""Folder of a batch's records, in that of its images; hidden, so that who reads the images passes it over."""
BATCH = "batch.json"
TABLE = "studies.csv"
DONE, SKIPPED, FAILED = "done", "skipped", "failed"
MOST_REASONS = 12
"""Of one kind that are told; the table has all."""
BEFORE = "done before, from the same files with the same method and options"


@dataclass(frozen=True)
class Study:
    """One cine or k-space of a tree.

    Parameters
    ----------
    name : str
        Where it lies in the tree, without the suffix of a file; its images and its record have it, too.
    path, label : str
        As `Source` has them.
    axes : str or None
    """

    name: str
    path: str
    label: str = ""
    axes: str | None = None

    def find(self) -> Source:
        """Find it again, in another process.

        Raises
        ------
        CsmriError
            If it is not there any more.
        """
        for source in find_cines(self.path, axes=self.axes).sources:
            if str(source.path) == self.path and source.label == self.label:
                return source
        raise CsmriError(f"{self.path}: is no longer there as it was when the tree was walked; give the command again")


@dataclass(frozen=True)
class Ended:
    """What became of a study; seconds are those of reading, reconstructing and writing."""

    study: str
    status: str
    reason: str = ""
    output: str = ""
    slices: int = 0
    acceleration: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    digest: str = ""
    run: str = ""
    """Of the command that did it."""

    @property
    def row(self) -> list[object]:
        """Of the table."""
        numbers = [self.slices, f"{self.acceleration:.4g}", f"{self.seconds:.1f}"] if self.status == DONE else [""] * 3
        return [self.study, self.status, self.reason, self.output, *numbers, " ".join(self.notes)]


COLUMNS = ("study", "status", "reason", "output", "slices", "acceleration", "seconds", "notes")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The work of `run.executors` on studies.

    Parameters
    ----------
    folder : str
        Of the images and records.
    model : mapping
        Arguments of `load_reconstructor`; empty for a classical method.
    method : str
        Classical method; empty for a network.
    to : str
        Format of the images.
    acceleration : float, or None
        Undersampling to simulate.
    simulated : mapping
        Fields of `Sampling` in place of those that the network was trained with.
    measured : mapping
        `virtual_coils` and `cyclic` of a `Request`, where they are given.
    seed : int
    run : str
        Tells what this command does from what another did before.
    """

    folder: str
    model: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    to: str = "dicom"
    acceleration: float | None = None
    simulated: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What all images of the batch have in common, whatever the place of model and folder."""
        options = {name: value for name, value in asdict(self).items() if name not in ("folder", "model", "run")}
        if self.model:
            options |= {"model": {name: value for name, value in self.model.items() if name != "path"}}
            options |= {"weights_sha256": saved_model_sha256(self.model["path"])}
        elif settings := find_method(self.method).settings:
            options |= {"settings": asdict(settings)}
        return json.loads(json.dumps(options | {"csmri": __version__}))

    def check(self) -> None:
        """Refuse, before any work is done, what no study could be reconstructed by.

        Raises
        ------
        CsmriError
        """
        self._ready()

    # --- as `run.executors` has it

    def do(self, study: Study) -> Ended:
        """Reconstruct a study and write its images, unless that was done before."""
        begun = time.monotonic()
        kept = self._kept(study)
        try:
            source = study.find()
            digest = self._digest(source)
            if kept and kept.status == DONE and kept.digest == digest and self._output(study).exists():
                return self._before(kept)
            ended = self._do(study, source)
        except Exception as error:
            ended, digest = Ended(study.name, FAILED, one_line(reason(error, resumes=True)[0])), ""
        ended = replace(ended, digest=digest, seconds=time.monotonic() - begun, run=self.run)
        write_json(self._record(study), asdict(ended))
        return ended

    def kept(self, study: Study) -> Ended | None:
        """What became of a study that another process has done."""
        kept = self._kept(study)
        return self._before(kept) if kept and kept.status == DONE and kept.run != self.run else kept

    def _before(self, kept: Ended) -> Ended:
        return replace(kept, status=SKIPPED, reason=BEFORE)

    def _kept(self, study: Study) -> Ended | None:
        with suppress(CsmriError, TypeError):
            if fields := read_json(self._record(study)):
                return Ended(**{**fields, "notes": tuple(fields["notes"])})
        return None

    def lost(self, study: Study, reason: str) -> Ended:
        """A study whose process came to an end."""
        return Ended(study.name, FAILED, reason)

    def _do(self, study: Study, source: Source) -> Ended:
        record = source.read()
        if isinstance(record, Cine) and self.acceleration is None:
            why = "images that are fully sampled; --acceleration simulates undersampling"
            return Ended(study.name, SKIPPED, why, notes=record.notes)
        if isinstance(record, KSpace) and self.acceleration is not None and not record.is_full:
            return Ended(study.name, SKIPPED, "undersampled as it was measured; leave out --acceleration")
        written, output = OUTPUTS[self.to], self._output(study)
        check_place(written, record, source)
        name, beside, law = self._ready()
        request = Request(acceleration=self.acceleration, law=law, seed=self.seed, **self.measured)
        request.check(record, str(source.path))
        done = collect(record, list(reconstruct_slices(record, request, beside)), request)
        notes = (*record.notes, *done.notes, *notes_of(written, done.images(name)))
        if output.is_dir():  # of other files than today's, or of a process that was killed before it left its record
            shutil.rmtree(output)
        write_images(done, output, method=name, like=source, to=self.to)
        return Ended(
            study.name,
            DONE,
            output=output.relative_to(self.folder).as_posix(),
            slices=record.n_slices,
            acceleration=done.achieved,
            notes=tuple(without_absolute_paths(note) for note in notes),
        )

    def _ready(self) -> tuple[str, list[Reconstructor], Sampling]:
        return _made_ready(json.dumps([dict(self.model), self.method, dict(self.simulated)]))

    def _digest(self, source: Source) -> str:
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode())
        for path in source.files:
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()

    def _output(self, study: Study) -> Path:
        return Path(self.folder) / (study.name + next(iter(OUTPUTS[self.to].suffixes), ""))

    def _record(self, study: Study) -> Path:
        return Path(self.folder) / HIDDEN / f"{study.name}.json"


@functools.cache
def _made_ready(spec: str) -> tuple[str, list[Reconstructor], Sampling]:
    """Name, methods and law of a batch, made ready once in every process."""
    model, method, simulated = json.loads(spec)
    if model:
        network = load_reconstructor(**model)
        return network.name, [network], common_law([network], **simulated)
    beside = [baseline_reconstructor(one) for one in {method} - {ZERO_FILLED, INITIAL}]
    return method, beside, common_law([], **simulated)


def is_batch(folder: Path) -> bool:
    """Whether a folder holds a batch that was begun."""
    return (folder / HIDDEN / BATCH).is_file()


def begin_batch(batch: Batch) -> None:
    """Make the folder of a batch, or go on with that of the same method and options.

    Raises
    ------
    CsmriError
        If it holds anything else.
    """
    folder = Path(batch.folder)
    if not is_batch(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CsmriError(f"{folder}: is a file or holds files; choose an empty or new folder for the batch")
        make_folder(folder / HIDDEN)
        write_json(folder / HIDDEN / BATCH, batch.identity)
        return
    held = read_json(folder / HIDDEN / BATCH)
    differ = [name for name in {**held, **batch.identity} if held.get(name) != batch.identity.get(name)]
    if differ:
        told = ", ".join(f"{name} = {held.get(name)!r:.80}, not {batch.identity.get(name)!r:.80}" for name in differ)
        raise CsmriError(f"{folder}: holds a batch with {told}; choose another folder")


def plan_studies(sources: Sequence[Source], root: Path, *, axes: str | None = None) -> list[Study]:
    """Name every source of a tree by its place there; no two alike, and none inside another."""
    bare = [_place(source, root, whole=False) for source in sources]
    counts = Counter(str(place).lower() for place in bare)
    taken: set[str] = set()
    above: set[str] = set()
    studies = []
    for source, place in zip(sources, bare, strict=True):
        if counts[str(place).lower()] > 1:  # a.mat and a.nii.gz lie beside each other; so may two series of one folder
            place = _place(source, root, whole=True)
        for unique in _numbered(place):
            folders = {str(folder).lower() for folder in unique.parents}
            if not {str(unique).lower(), *folders} & taken and str(unique).lower() not in above:
                break
        taken.add(str(unique).lower())
        above |= folders
        studies.append(Study(unique.as_posix(), str(source.path), source.label, axes))
    return studies


def _numbered(place: PurePosixPath) -> Iterator[PurePosixPath]:
    yield place
    for number in itertools.count(2):
        yield place.with_name(f"{place.name}_{number}")


def _place(source: Source, root: Path, *, whole: bool) -> PurePosixPath:
    """With the suffix of a file or the label of a series if `whole`; of letters that every disk takes."""
    *parts, last = source.path.relative_to(root).parts or (root.absolute().name,)
    if not whole and not source.path.is_dir():
        last = last.split(".")[0] or last
    parts += [last, source.label] if whole and source.label else [last]
    return PurePosixPath(*(re.sub(r"[^\w .+@=-]+", "_", part).strip(" .") or "_" for part in parts))


def failed_files(left_out: Iterable[LeftOut], root: Path) -> list[Ended]:
    """Rows of damaged files, which are no studies."""
    rows = []
    for left in left_out:
        if left.is_fault:
            place = left.path.relative_to(root) if left.path.is_relative_to(root) else left.path
            rows.append(Ended(place.as_posix(), FAILED, one_line(left.reason)))
    return rows


def write_table(folder: Path, ended: Sequence[Ended]) -> None:
    """Write studies.csv: one row a study."""
    write_csv(folder / TABLE, COLUMNS, [one.row for one in sorted(ended, key=lambda one: one.study)])


def summary(ended: Sequence[Ended]) -> str:
    """The last table: how many of each kind, and why."""
    lines = []
    for status in (DONE, SKIPPED, FAILED):
        of_kind = [one for one in ended if one.status == status]
        lines.append(f"{status:<8} {len(of_kind):>6,}")
        for why, count in Counter(one.reason for one in of_kind if one.reason).most_common(MOST_REASONS):
            who = next(one.study for one in of_kind if one.reason == why)
            lines.append(f"  {count:>13,}  {why}" + (f" ({who})" if count == 1 else ""))
    return "\n".join(lines)

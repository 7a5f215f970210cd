"""Many studies: a tree of cines or k-space becomes a tree of images of the same shape, whatever becomes of single ones.

Every study is a work item with a digest of its files, of the method and of all options; what was done is known by that,
also when a batch was killed in the middle, on whatever machines it ran.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from csmri import __version__
from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.core.files import make_folder, replacing_folder, sha256_of
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.core.provenance import without_absolute_paths
from csmri.core.reasons import TRACEBACK, one_line, reason
from csmri.core.texts import read_json, write_csv, write_json
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.evaluation.evaluate import common_law
from csmri.formats.output import OUTPUTS, Output, check_place, notes_of
from csmri.formats.source import LeftOut, Source
from csmri.methods.classical import find_method
from csmri.methods.model import saved_model_sha256
from csmri.methods.reconstruction import MethodSpec, Reconstructor
from csmri.physics.sampling import check_acceleration
from csmri.run.single import Request, collect, reconstruct_slices, write_images
from csmri.run.studies import COLUMNS, DONE, FAILED, SKIPPED, TABLE, Ended, Study

HIDDEN = ".csmri-batch"
"""Folder of a batch's records, in that of its images; hidden, so that who reads the images passes it over."""
BATCH, RECORDS = "batch.json", "studies"
MOST_REASONS = 12
"""Of one kind that are told; the table has all."""
MOST_LINES = 1 << 16
"""No cine has more phase-encode lines."""
BEFORE = "done before, from the same files with the same method and options"
GONE = "no longer in INPUT; what was written of it is kept"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The work of `run.executors` on studies.

    Parameters
    ----------
    folder : str
        Of the images and records, absolute: a worker may stand elsewhere.
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
    axes : str or None
        Of arrays that do not name them.
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
    axes: str | None = None
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

    @property
    def suffix(self) -> str:
        """Of what is written; none for folders."""
        return next(iter(OUTPUTS[self.to].suffixes), "")

    def check(self) -> None:
        """Refuse, before any work is done, what no study could be reconstructed by.

        Raises
        ------
        CsmriError
        """
        if self.acceleration is not None:
            check_acceleration(self.acceleration, MOST_LINES)
        self._ready()

    # --- as `run.executors` has it

    def do(self, study: Study) -> Ended:
        """Reconstruct a study and write its images, unless that was done before."""
        begun, digest = time.monotonic(), ""
        kept = self._kept(study)
        try:
            source = study.find(self.axes)
            digest = self._digest(study)
            if kept and kept.status == DONE and kept.digest == digest and self._written(study) == kept.written:
                return self._told(kept)
            ended = self._do(study, source)
        except Exception as error:
            if os.environ.get(TRACEBACK):
                traceback.print_exc()
            ended = Ended(study.name, FAILED, one_line(reason(error, resumes=True)[0]))
        ended = replace(ended, source=study.source, digest=digest, seconds=time.monotonic() - begun, run=self.run)
        write_json(self._record(study), asdict(ended))
        return ended

    def kept(self, study: Study) -> Ended | None:
        """What became of a study that another process has done."""
        kept = self._kept(study)
        return self._told(kept) if kept and kept.status == DONE else kept

    def lost(self, study: Study, reason: str) -> Ended:
        """A study whose process came to an end."""
        return Ended(study.name, FAILED, reason, source=study.source)

    def records(self) -> list[Ended]:
        """What became of every study so far, of those that INPUT no longer has, too."""
        places = sorted((Path(self.folder) / HIDDEN / RECORDS).glob("*.json"))
        return [ended for ended in map(_read, places) if ended]

    def _told(self, kept: Ended) -> Ended:
        """A record of this command as it is; of one before, that it is done."""
        return kept if kept.run == self.run else replace(kept, status=SKIPPED, reason=BEFORE)

    def _kept(self, study: Study) -> Ended | None:
        return _read(self._record(study))

    def _do(self, study: Study, source: Source) -> Ended:
        record = source.read()
        if isinstance(record, Cine) and self.acceleration is None:
            why = "images that are fully sampled; --acceleration simulates undersampling"
            return Ended(study.name, SKIPPED, why, notes=record.notes)
        if isinstance(record, KSpace):
            if self.acceleration is not None and not record.is_full:
                return Ended(study.name, SKIPPED, "undersampled as it was measured; leave out --acceleration")
            if wrong := [name for name in self.simulated if self.acceleration is None or name != "mask_law"]:
                why = f"measured k-space, of which nothing is simulated; leave out --{wrong[0].replace('_', '-')}"
                return Ended(study.name, SKIPPED, why)
        written, output = OUTPUTS[self.to], self._output(study)
        check_place(written, record, source)
        _refuse_others(output, written)
        name, beside, law = self._ready()
        request = Request(acceleration=self.acceleration, law=law, seed=self.seed, **self.measured)
        request.check(record, str(source.path))
        done = collect(record, list(reconstruct_slices(record, request, beside)), request)
        notes = (*record.notes, *done.notes, *notes_of(written, done.images(name)))
        if written.is_dicom:
            with replacing_folder(output) as temporary:
                write_images(done, temporary, method=name, like=source, to=self.to)
        else:
            write_images(done, output, method=name, like=source, to=self.to)
        return Ended(
            study.name,
            DONE,
            output=output.relative_to(self.folder).as_posix(),
            slices=record.n_slices,
            acceleration=done.achieved,
            notes=tuple(without_absolute_paths(note) for note in notes),
            written=self._written(study),
        )

    def _ready(self) -> tuple[str, list[Reconstructor], Sampling]:
        return _made_ready(json.dumps([dict(self.model), self.method, dict(self.simulated)]))

    def _digest(self, study: Study) -> str:
        digest = hashlib.sha256(json.dumps([self.identity, study.subject], sort_keys=True).encode())
        for path in map(Path, study.files):
            digest.update(f"{path.name} {sha256_of(path)}\n".encode())
        return digest.hexdigest()

    def _output(self, study: Study) -> Path:
        return Path(self.folder) / (study.name + self.suffix)

    def _written(self, study: Study) -> tuple[int, int]:
        output = self._output(study)
        sizes = [path.stat().st_size for path in (output.iterdir() if output.is_dir() else [output]) if path.is_file()]
        return len(sizes), sum(sizes)

    def _record(self, study: Study) -> Path:
        # By a digest: a study may be called as any of the batch's own files.
        name = hashlib.sha256(study.name.encode()).hexdigest()[:32]
        return Path(self.folder) / HIDDEN / RECORDS / f"{name}.json"


def _read(path: Path) -> Ended | None:
    """A record; nothing where it is damaged, so that the study is done again."""
    with suppress(CsmriError, TypeError, KeyError, AttributeError):
        if fields := read_json(path):
            return Ended(**{**fields, "notes": tuple(fields["notes"]), "written": tuple(fields["written"])})
    return None


def _refuse_others(output: Path, written: Output) -> None:
    """Refuse to write over what is no output of this format, as a person may have put there."""
    if not output.exists():
        return
    if output.is_dir() != written.is_dicom:
        raise CsmriError(f"{output}: is in the way; move it")
    others = [path.name for path in output.iterdir() if path.suffix != ".dcm"] if written.is_dicom else []
    if others:
        raise CsmriError(f"{output}: holds {others[0]}, which this study did not write; move it")


@functools.cache
def _made_ready(spec: str) -> tuple[str, list[Reconstructor], Sampling]:
    """Name, methods and law of a batch, made ready once in every process."""
    model, method, simulated = json.loads(spec)
    if method in (ZERO_FILLED, INITIAL):  # which every reconstruction has
        return method, [], common_law([], **simulated)
    chosen = MethodSpec(method, tuple(model.items())).load()
    return chosen.name, [chosen], common_law([chosen], **simulated)


def is_batch(folder: Path) -> bool:
    """Whether a folder holds a batch that was begun."""
    return (folder / HIDDEN / BATCH).is_file()


def begin_batch(batch: Batch, source: Path) -> None:
    """Make the folder of a batch, or go on with that of the same tree, method and options.

    Raises
    ------
    CsmriError
        If it holds anything else.
    """
    folder = Path(batch.folder)
    place = folder / HIDDEN / BATCH
    wanted = {"input": os.path.abspath(source), **batch.identity}
    if is_batch(folder):
        held = read_json(place, advice="choose another folder")
        differ = [name for name in {**held, **wanted} if held.get(name) != wanted.get(name)]
        if "input" in differ:
            raise CsmriError(
                f"{folder}: holds a batch of {held.get('input')}, not of {wanted['input']}; choose another folder, "
                f"or, if that tree has moved, say so in {place}"
            )
        if differ and any(one.status == DONE for one in batch.records()):
            told = ", ".join(f"{name} = {held.get(name)!r:.80}, not {wanted.get(name)!r:.80}" for name in differ)
            raise CsmriError(f"{folder}: holds a batch with {told}; choose another folder")
        if not differ:
            return
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CsmriError(f"{folder}: is a file or holds files; choose an empty or new folder for the batch")
    make_folder(folder / HIDDEN / RECORDS)
    write_json(place, wanted)


def failed_files(left_out: Iterable[LeftOut], root: Path) -> list[Ended]:
    """Rows of damaged files, which are no studies."""
    rows = []
    for left in left_out:
        if left.is_fault:
            place = left.path.relative_to(root) if left.path.is_relative_to(root) else left.path
            rows.append(Ended(place.as_posix(), FAILED, one_line(left.reason)))
    return rows


def gone(records: Iterable[Ended], studies: Iterable[Study]) -> list[Ended]:
    """Rows of studies that were done before and are no longer in the tree."""
    here = {study.name for study in studies}
    return [replace(one, status=SKIPPED, reason=GONE) for one in records if one.study not in here and one.output]


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

"""One cine, or measured k-space, from what was read to images, their quality and the file that is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csmri.config import Sampling
from csmri.core.errors import CsmriError
from csmri.core.locks import locked
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.core.provenance import without_absolute_paths
from csmri.data.cine import Cine
from csmri.data.kspace import KSpace
from csmri.data.pseudonyms import Pseudonyms
from csmri.data.roi import Box, heart_box, heart_box_notes
from csmri.formats import dicom, write
from csmri.formats.dicom.anonymise import Anonymiser
from csmri.formats.dicom.derivation import Derivation
from csmri.formats.source import Source
from csmri.methods.limits import Tally
from csmri.methods.measured import Preparation, check_truth, measured_slices, with_truth
from csmri.methods.reconstruction import Reconstructor, SliceReconstruction, simulate_slices
from csmri.physics.prepare import VIRTUAL_COILS
from csmri.physics.sampling import check_acceleration
from csmri.results.figures import PAGE, middle_slice, render_example
from csmri.results.folder import Example
from csmri.results.report import render_reconstruction
from csmri.results.tables.single import Compared, quality_table


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be done with a record.

    Parameters
    ----------
    acceleration : float, or None
        To simulate, of a cine or of k-space that was fully acquired.
    law : Sampling
        Of what is simulated.
    seed : int
    virtual_coils : int >= 1
    cyclic : bool, or None
        What k-space tells, or the law where it does not, unless this overrules both.
    truth : Cine, or None
        What measured k-space is judged by.
    """

    acceleration: float | None
    law: Sampling
    seed: int = 0
    virtual_coils: int = VIRTUAL_COILS
    cyclic: bool | None = None
    truth: Cine | None = None

    def check(self, record: Cine | KSpace, place: str) -> None:
        """Refuse, before any work, what does not fit the record."""
        if isinstance(record, KSpace):
            if self.acceleration is not None and not record.is_full:
                raise CsmriError(f"{place}: is undersampled as it was measured; leave out --acceleration")
            if self.truth is not None:
                check_truth(self.truth, record)
            return
        if self.acceleration is None:
            raise CsmriError(f"{place}: is fully sampled; give --acceleration to simulate undersampling")
        check_acceleration(self.acceleration, record.matrix[0], self.law)


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """All slices of a record by all methods, with the truth where there is one.

    Parameters
    ----------
    record : Cine or KSpace
    slices : tuple of SliceReconstruction
    judged : tuple of SliceReconstruction
        The same in the unit of the truth.
    simulated : str
        What is no measurement of a scanner.
    compression : str
        What the virtual coils keep of measured ones.
    notes : tuple of str
        What had to be guessed, and in what the methods were not trained or tuned for this.
    """

    record: Cine | KSpace
    slices: tuple[SliceReconstruction, ...]
    judged: tuple[SliceReconstruction, ...]
    simulated: str = ""
    compression: str = ""
    notes: tuple[str, ...] = ()

    @property
    def truth(self) -> Cine | None:
        """The truth of all slices, where there is one."""
        references = [one.reference for one in self.judged if one.reference is not None]
        if len(references) < len(self.slices):
            return None
        record = self.record
        times = record.frame_times_ms
        return Cine(np.stack(references), record.subject, spacing_mm=record.spacing_mm, frame_times_ms=times)

    @property
    def achieved(self) -> float:
        """Acceleration of the masks of all slices together."""
        return float(sum(one.mask.size for one in self.slices) / sum(one.mask.sum() for one in self.slices))

    def images(self, method: str) -> Cine:
        """Magnitude of one method, with geometry, times and notes of the record."""
        record = self.record
        return Cine(
            np.stack([one.methods[method] for one in self.slices]),
            record.subject,
            spacing_mm=record.spacing_mm,
            slice_spacing_mm=record.slice_spacing_mm,
            frame_times_ms=record.frame_times_ms,
            affine=record.affine,
            provenance=f"csmri reconstruction by {method} at acceleration {self.achieved:.3f} of {self.origin}",
            notes=record.notes,
        )

    @property
    def origin(self) -> str:
        """What was read, without the place where it lies."""
        return without_absolute_paths(self.record.provenance)


def reconstruct_slices(
    record: Cine | KSpace, request: Request, reconstructors: Sequence[Reconstructor]
) -> Iterator[SliceReconstruction]:
    """Reconstruct one slice after the other by zero-filling, interpolation and these methods."""
    if isinstance(record, Cine):
        assert request.acceleration is not None
        return simulate_slices(
            record, request.acceleration, seed=request.seed, law=request.law, reconstructors=reconstructors
        )
    how = Preparation(
        cyclic=request.law.cyclic if request.cyclic is None else request.cyclic,
        overrule=request.cyclic is not None,
        acceleration=request.acceleration,
        law=request.law,
        seed=request.seed,
        virtual_coils=request.virtual_coils,
    )
    return measured_slices(record, how, reconstructors=reconstructors)


def collect(record: Cine | KSpace, done: Sequence[SliceReconstruction], request: Request) -> Reconstructed:
    """Put slices together and lay the truth beside them."""
    notes, compression, judged = [], "", done
    if isinstance(record, KSpace) and record.n_coils > 1:
        kept = min(one.kept for one in done)
        n_virtual = min(request.virtual_coils, record.n_coils)
        compression = f"{n_virtual} virtual coils of {record.n_coils} keep {kept:.1%} of the energy"
    if request.truth is not None:
        judged, factor = with_truth(done, request.truth)
        if factor != 1:
            notes.append(f"The truth has another unit: to judge them, images were multiplied by {factor:.4g}.")
    tally = Tally()
    for index, one in enumerate(done):
        tally.add(index, one.outside)
    return Reconstructed(
        record,
        tuple(done),
        tuple(judged),
        simulated=_simulated(record, request),
        compression=compression,
        notes=(*notes, *tally.notes()),
    )


def _simulated(record: Cine | KSpace, request: Request) -> str:
    law = request.law
    if request.acceleration is None:
        return ""
    parts = [f"masks by the {law.mask_law} law"]
    if isinstance(record, Cine):
        parts += [f"phase: {law.phase}", f"{law.coils} coil{'s'[: law.coils != 1]}"]
        parts += [f"SNR {law.snr:g}"] if law.snr else ["no noise added"]
    return f"Undersampling is simulated: {', '.join(parts)}."


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Quality of every method against the truth.

    Parameters
    ----------
    table : str
        Markdown, and on what it is.
    box : Box
        The heart box.
    notes : list of str
        Where the box is doubtful.
    """

    table: str
    box: Box
    notes: list[str]


def judge(reconstructed: Reconstructed) -> Judgement:
    """Compare every method with the truth."""
    truth = reconstructed.truth
    assert truth is not None
    magnitude = truth.magnitude
    box = heart_box(magnitude, spacing_mm=truth.spacing_mm)
    compared = [
        Compared(reference, one.methods, one.seconds, one.achieved)
        for reference, one in zip(magnitude, reconstructed.judged, strict=True)
    ]
    table = quality_table(compared, box, subject=truth.subject)
    return Judgement(table=table, box=box, notes=heart_box_notes(box, magnitude))


def draw(
    reconstructed: Reconstructed, judged: Judgement, path: Path, *, method: str, caption: str, pseudonym: str = ""
) -> None:
    """Draw the middle slice beside the truth, or let some slices beat beside it on a page, with all that is known.

    A pseudonym takes the place of the subject, and of what was read.
    """
    truth = reconstructed.truth
    assert truth is not None
    subject, box = pseudonym or truth.subject, judged.box
    if path.suffix.lower() != PAGE:
        middle = middle_slice(truth)
        one = reconstructed.judged[middle]
        example = Example(subject, middle, one.achieved, truth.magnitude[middle], one.methods, box)
        return render_example(example, path, cine=truth, show=[INITIAL, method], caption=caption)
    shown = [method] if method in (INITIAL, ZERO_FILLED) else [INITIAL, method]
    examples = [
        # As people read it; the table has all digits.
        Example(subject, index, float(f"{one.achieved:.3g}"), images, {name: one.methods[name] for name in shown}, box)
        for index, (images, one) in enumerate(zip(truth.magnitude, reconstructed.judged, strict=True))
        if images.any()
    ]
    record, coils = reconstructed.record, ""
    if isinstance(record, KSpace):
        coils = f", {record.n_coils} coil{'s'[: record.n_coils != 1]}"
    notes = [reconstructed.simulated, reconstructed.compression, *reconstructed.notes, *judged.notes, *record.notes]
    render_reconstruction(
        examples,
        path,
        lead=f"{method} at acceleration {reconstructed.achieved:.3g}{coils}"
        + ("" if pseudonym else f", from {reconstructed.origin}"),
        quality=judged.table,
        notes=list(filter(None, notes)),
        caption=caption,
    )


def person_of(source: Source, record: Cine | KSpace) -> str:
    """Who is to be hidden behind a pseudonym: of DICOM its patient, never the folder, which two people may share.

    Raises
    ------
    CsmriError
        If DICOM tells neither patient ID nor name.
    """
    person = dicom.person_of(source) if source.kind == "DICOM" else record.subject
    if not person:
        raise CsmriError(
            f"{source.place}: has neither PatientID nor PatientName, so that two people could get one pseudonym; say "
            "who it is with --subject NAME"
        )
    return person


def write_images(
    reconstructed: Reconstructed,
    path: Path,
    *,
    method: str,
    like: Source | None = None,
    to: str | None = None,
    key: Path | None = None,
    person: str = "",
) -> None:
    """Write the images of one method; DICOM de-identified by the key of pseudonyms where there is one.

    `person` is whom the key has for the pseudonym, see `person_of`.
    """
    cine = reconstructed.images(method)
    derivation = Derivation(method, reconstructed.achieved, of=reconstructed.origin)
    with ExitStack() as stack:
        anonymiser = None
        if key is not None:
            stack.enter_context(locked(key))
            pseudonyms = Pseudonyms(key)
            anonymiser = Anonymiser(pseudonyms.of(person), salt=pseudonyms.salt)
            pseudonyms.save()
        write(path, cine, to=to, like=like, derivation=derivation, anonymiser=anonymiser)

"""Who is who among the cines of a place: by what the files say, or by the folders they lie in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.formats.source import LeftOut, Source

SUBJECT_FROM = ("auto", "id", "folder", "file")
"""Where names of subjects come from."""
NAMELESS = {"dicom", "dcm", "image", "images", "cine", "sax", "nifti", "data", "input"}
"""Folders that are called so by everybody."""


def with_subjects(sources: Sequence[Source], subject_from: str = "auto") -> tuple[list[Source], list[str]]:
    """Name the subject of every source.

    Parameters
    ----------
    subject_from : str
        "id": what the file says, PatientID for example, else its name. "folder": the first folder in which the
        sources differ. "file": the name of the file. "auto": "id", but "folder" where it is empty or shared by
        different examinations.

    Returns
    -------
    sources : list of Source
        With `subject`; empty where the record is to keep the name that it will be read with.
    notes : list of str
        What was decided.
    """
    if subject_from not in SUBJECT_FROM:
        raise CsmriError(f"--subject-from {subject_from}: expected one of {', '.join(SUBJECT_FROM)}")
    folders = _folders(sources)
    own = [source.identity if source.kind == "DICOM" else "" for source in sources]
    if subject_from == "auto":
        notes: list[str] = []
        shared = _shared(sources, folders, notes)
        silent = {index for index, one in enumerate(sources) if one.kind == "DICOM" and not one.identity}
        if silent and len(sources) > 1:
            notes.append(
                f"{len(silent)} of {len(sources)} cines have no patient ID; their subjects are named by folder: "
                f"{_some([folders[index] for index in sorted(silent)])}."
            )
        chosen = [folders[i] if i in shared | silent else name for i, name in enumerate(own)]
        return [replace(source, subject=name) for source, name in zip(sources, chosen, strict=True)], notes
    names = {"id": own, "folder": folders, "file": [_stem(source) for source in sources]}[subject_from]
    return [replace(source, subject=name) for source, name in zip(sources, names, strict=True)], []


def one_each(
    sources: Sequence[Source], *, is_wanted: Callable[[str], bool] = lambda subject: True
) -> tuple[list[Source], list[LeftOut]]:
    """Of every subject the stack with the most slices; long axes and the like are left out.

    Of subjects that are not wanted all stay as they are.

    Raises
    ------
    CsmriError
        If the slices of two cines of a subject are as many, or it is not known how many.
    """
    by_subject: dict[str, list[Source]] = {}
    for source in sources:
        by_subject.setdefault(source.subject or source.identity, []).append(source)
    chosen, left_out = [], []
    for subject, group in by_subject.items():
        if not is_wanted(subject):
            chosen += group
            continue
        most = max(source.n_slices for source in group)
        largest = [source for source in group if source.n_slices == most]
        if len(largest) > 1 or (len(group) > 1 and not all(source.n_slices for source in group)):
            raise CsmriError(
                f"subject {subject!r} has {len(group)} cines: {' and '.join(source.place for source in group[:3])}; "
                "leave out all but one, or, if they are different people, name them with --subject-from folder or file"
            )
        chosen += largest
        left_out += [
            LeftOut(
                source.path,
                f"{source.label or 'a cine'} of {source.n_slices} slices; the stack of {subject} has {most}, "
                f"{largest[0].place}",
                False,
            )
            for source in group
            if source is not largest[0]
        ]
    return chosen, left_out


def _shared(sources: Sequence[Source], folders: Sequence[str], notes: list[str]) -> set[int]:
    """Sources whose identity is also that of another examination in another folder."""
    shared: set[int] = set()
    groups: dict[tuple[str, bool], list[int]] = {}
    for index, source in enumerate(sources):
        groups.setdefault((source.identity, source.kind == "DICOM"), []).append(index)
    for (identity, is_dicom), members in groups.items():
        studies = {sources[index].study for index in members}
        places = {folders[index] for index in members}
        if not identity or len(members) == 1 or len(places) == 1 or (is_dicom and len(studies) == 1):
            continue
        shared |= set(members)
        if is_dicom:
            notes.append(
                f"The patient ID {identity!r} is that of {len(studies)} examinations; their subjects are named by "
                f"folder: {_some([folders[index] for index in members])}. If they are one person, give "
                "--subject-from id: a person must not stand in two splits."
            )
    if any(sources[index].kind != "DICOM" for index in shared):
        # A file beside one that is named by its folder is named so, too: la_2ch beside sa is of the same person.
        beside = {sources[index].path.parent for index in shared if sources[index].kind != "DICOM"}
        files = {
            index
            for index, source in enumerate(sources)
            if source.kind != "DICOM" and source.path.parent in beside and folders[index] != _stem(source)
        }
        shared |= files
        notes.append(
            f"Files of different folders have the same names; subjects are named by folder: "
            f"{_some([folders[index] for index in sorted(files)])}."
        )
    return shared


def _folders(sources: Sequence[Source]) -> list[str]:
    """Name of the first folder in which the sources differ; of one alone that of its own folder."""
    paths = [source.path.resolve() for source in sources]
    held = [path if source.path.is_dir() else path.parent for path, source in zip(paths, sources, strict=True)]
    if len(set(held)) > 1:
        n_common = len(Path(commonpath(held)).parts)
        return [
            path.parts[n_common] if len(path.parts) > n_common else _alone(path, source)
            for path, source in zip(held, sources, strict=True)
        ]
    return [_alone(path, source) for path, source in zip(held, sources, strict=True)]


def _alone(folder: Path, source: Source) -> str:
    """Name of what lies in the very folder that was looked through: a file's own."""
    return _telling(folder) if source.path.is_dir() else _stem(source)


def _telling(folder: Path) -> str:
    """Name of a folder, or of the one above where everybody's has that name."""
    named = (one.name for one in (folder, *folder.parents) if one.name and one.name.lower() not in NAMELESS)
    return next(named, folder.name)


def _stem(source: Source) -> str:
    return source.path.name if source.path.is_dir() else source.path.name.split(".")[0] or source.path.name


def _some(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct[:6]) + (f" and {len(distinct) - 6} more" if len(distinct) > 6 else "")

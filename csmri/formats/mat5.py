"""Check the tags of a MATLAB v5 file before scipy follows them.

scipy.io.loadmat (1.17) looks up the type of an element without checking it: one wrong byte in a damaged file ends the
whole Python process with a segmentation fault, which no `except` can turn into a message.

References
----------
MAT-File Format, MathWorks, chapter "Level 5 MAT-File Format".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from csmri.formats.measured import COMPRESSION, HARMLESS

# Types of elements that hold numbers or text (miINT8 to miUTF32), and those that hold other elements.
PLAIN = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}
MATRIX, COMPRESSED = 14, 15
CELL, NUMERIC_OR_TEXT = 1, {4, *range(6, 16)}  # classes of arrays
COMPLEX_FLAG = 0x0800


def sound_variables(content: bytes) -> list[str]:
    """Names of the numeric, text and cell variables, each checked to its last tag.

    Variables of other classes (structures, objects) are passed over: scipy does not open what is not asked for.

    Raises
    ------
    ValueError, IndexError, struct.error, zlib.error
        If the file is cut off or a tag is not what the standard allows.
    """
    if content[126:128] not in (b"IM", b"MI"):
        raise ValueError("no MATLAB v5 header")
    order = "<" if content[126:128] == b"IM" else ">"
    names = []
    for kind, payload in _elements(memoryview(content)[128:], order):
        if kind == COMPRESSED:
            ((kind, payload),) = _elements(memoryview(_unpacked(payload)), order)
        if kind != MATRIX:
            raise ValueError(f"a variable of type {kind}")
        parts = list(_elements(payload, order))
        if _array_class(parts, order)[0] in {CELL, *NUMERIC_OR_TEXT}:
            _check_array(parts, order)
            names.append(bytes(parts[2][1]).decode("ascii"))
    return names


def _unpacked(payload: memoryview) -> bytes:
    """Unpack a variable, as far as `check_size` allows: a damaged size, or a bomb, must not take all memory."""
    largest = max(HARMLESS, COMPRESSION * len(payload))
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(payload, largest)
    if unpacking.unconsumed_tail:
        raise ValueError(f"{len(payload):,} bytes that unpack to more than {largest // 2**20} MiB")
    if not unpacking.eof:
        raise ValueError("an incomplete variable")
    return content


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and payload of the elements that fill `data`."""
    position = 0
    while position < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, position)
        start = position + 8
        if kind >> 16:  # a small element: size and type share four bytes, the payload is in the next four
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
        if kind not in PLAIN | {MATRIX, COMPRESSED} or start + size > len(data) or (start == position + 4 and size > 4):
            raise ValueError(f"an unknown or incomplete element at byte {position}")
        yield kind, data[start : start + size]
        # Plain payloads are padded to eight bytes; matrices are of whole elements, and streams follow one another.
        padding = 0 if kind in (MATRIX, COMPRESSED) else -size % 8
        position = position + 8 if start == position + 4 else start + size + padding


def _array_class(parts: list[tuple[int, memoryview]], order: str) -> tuple[int, bool]:
    """Class of an array and whether it is complex, from its flags."""
    if parts[0][0] != 6 or len(parts[0][1]) != 8:
        raise ValueError("a variable without flags")
    (flags,) = struct.unpack_from(f"{order}I", parts[0][1])
    return flags & 0xFF, bool(flags & COMPLEX_FLAG)


def _check_array(parts: list[tuple[int, memoryview]], order: str) -> None:
    """Check flags, dimensions and name, then the numbers or the cells that must follow."""
    kind, is_complex = _array_class(parts, order)
    if parts[1][0] != 5 or parts[2][0] != 1:
        raise ValueError("a variable without dimensions or name")
    rest = parts[3:]
    if kind in NUMERIC_OR_TEXT:
        if len(rest) != 1 + is_complex or any(part not in PLAIN for part, _ in rest):
            raise ValueError("a variable without its numbers")
        return
    n_cells = 1
    for extent in struct.unpack(f"{order}{len(parts[1][1]) // 4}i", parts[1][1]):
        n_cells *= extent
    if kind != CELL or len(rest) != n_cells or any(part != MATRIX for part, _ in rest):
        raise ValueError("a cell array without its cells")
    for _, cell in rest:
        if len(cell):  # MATLAB writes cells that were never filled as nothing at all
            _check_array(list(_elements(cell, order)), order)

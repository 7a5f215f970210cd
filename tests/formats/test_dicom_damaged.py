"""Damaged DICOM folders: whatever is wrong, it is said in one line, and never takes the process or its memory."""

import random
import resource

import gdcm
import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats import dicom
from csmri.formats.dicom import compressed

LENGTHS = [b"\xff" * 4, b"\0" * 4, b"\xfe\xff\xff\x7f", b"\0\0\0\x80"]
SYNTAXES = ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"]
N_QUICK, N_SLOW = 150, 600


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def with_rle(dataset):
    dataset.compress(RLELossless)
    return dataset


@pytest.fixture
def sound(make, tmp_path):
    """Files of small sound folders: classic ones as archives store them, and multi-frame ones."""
    places = [(s, f) for s in range(2) for f in range(3)]
    folders = {"explicit": make.stack(2, 3), "rle": [with_rle(image) for image in make.stack(2, 3)]}
    for name, syntax in [("implicit", ImplicitVRLittleEndian), ("deflated", DeflatedExplicitVRLittleEndian)]:
        folders[name] = make.stack(2, 3)
        for image in folders[name]:
            image.file_meta.TransferSyntaxUID = syntax

    def groups(s, f):
        return {
            "CardiacSynchronizationSequence": make.group(NominalCardiacTriggerDelayTime=40.0 * f),
            "FrameContentSequence": make.group(StackID="1", DimensionIndexValues=[s + 1, f + 1]),
        }

    folders["enhanced"] = [make.enhanced(places, frame_groups=groups)]
    folders["enhanced slices"] = [
        make.enhanced([place for place in places if place[0] == s], number=s + 1, frame_groups=groups) for s in range(2)
    ]
    return [contents(make.save(tmp_path / name, images)) for name, images in folders.items()]


def damage(content, chance):
    """Bytes with one kind of damage, most of it in the header."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 3, 10])):
        position = (
            chance.randrange(len(changed)) if chance.random() < 0.3 else chance.randrange(120, len(changed) * 2 // 3)
        )
        position = min(position, len(changed) - 1)
        kind = chance.choice(["flip", "byte", "length", "insert", "remove", "cut", "swap", "number"])
        if kind == "flip":
            changed[position] ^= 1 << chance.randrange(8)
        elif kind == "byte":
            changed[position] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, ord("9"), ord("-"), chance.randrange(256)])
        elif kind == "length":
            changed[position : position + 4] = chance.choice(
                [b"\xff" * 4, b"\0" * 4, b"\xfe\xff\xff\x7f", b"\0\0\0\x80"]
            )
        elif kind == "insert":
            changed[position:position] = chance.randbytes(chance.randrange(1, 9))
        elif kind == "remove":
            del changed[position : position + chance.randrange(1, 9)]
        elif kind == "cut":
            del changed[position:]
        elif kind == "swap":
            other = chance.randrange(len(changed) - 8)
            changed[position : position + 8] = changed[other : other + 8]
        else:
            digits = [at for at, byte in enumerate(changed[120:]) if 0x30 <= byte <= 0x39]
            changed[120 + chance.choice(digits) if digits else position] = chance.choice(b"0123456789-.eE \\")
        if len(changed) < 200:
            break
    return bytes(changed)


def read_damaged(folder, sound, seed):
    """How reading a folder with damaged files ended: names of what happened."""
    chance = random.Random(seed)
    hurt = chance.sample(sorted(sound), chance.choice([1, 1, 2]) if len(sound) > 1 else 1)
    for name, content in sound.items():
        (folder / name).write_bytes(damage(content, chance) if name in hurt else content)
    ends = []
    sources, left_out = dicom.find_sources(sorted(folder.iterdir()), folder)
    assert all("\n" not in left.reason for left in left_out)
    for source in sources:
        try:
            assert isinstance(source.load(), Cine)
            ends.append("read")
        except CsmriError as error:
            assert "\n" not in str(error)
            ends.append("refused")
    return ends + ["left out"] * len(left_out)


def check_many(sound, folder, seeds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends = set()
    for seed in seeds:
        place = folder / f"damaged{seed}"
        place.mkdir()
        ends |= set(read_damaged(place, sound[seed % len(sound)], seed))
    assert ends == {"read", "refused", "left out"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024  # KiB


def test_damage_is_told(sound, tmp_path):
    check_many(sound, tmp_path, range(N_QUICK))


@pytest.mark.slow
def test_more_damage_is_told(sound, tmp_path):
    check_many(sound, tmp_path, range(N_QUICK, N_QUICK + N_SLOW))


def compress_all(folder, syntax):
    """Rewrite the images of a folder as archives compress them."""
    for path in folder.iterdir():
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    return folder


def larger(make, slice_index, frame):
    """An image of 48 x 40 pixels, for codecs that refuse smaller ones."""
    pixels = np.kron(make.pixels(slice_index, frame), np.ones((8, 8), np.uint16))
    return make.classic(slice_index, frame, Rows=48, Columns=40, PixelData=pixels.tobytes())


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_compressed_images_are_read_and_damaged_ones_named(make, tmp_path, syntax):
    folder = compress_all(make.save(tmp_path, [larger(make, 0, f) for f in range(3)]), syntax)
    [source], _ = make.find(folder)
    assert make.codes(source.load()) == [[100, 101, 102]]
    content = bytearray((folder / "IM0002").read_bytes())
    start = content.rindex(b"\xe0\x7f\x10\x00") + 28  # behind the offset table
    content[start + 14 : start + 40] = random.Random(0).randbytes(26)
    (folder / "IM0002").write_bytes(content)
    with pytest.raises(CsmriError, match="IM0002: could not be read as a DICOM image .*gdcmconv --raw"):
        source.load()


def test_a_decoder_that_ends_or_never_ends_is_told(make, tmp_path, monkeypatch):
    folder = compress_all(make.save(tmp_path, make.stack(1, 2)), SYNTAXES[0])
    for script in ("import os; os.abort()", "import time; time.sleep(60)"):
        (tmp_path / "script.py").write_text(script)
        monkeypatch.setattr(compressed, "SCRIPT", tmp_path / "script.py")
        monkeypatch.setattr(compressed, "PATIENCE_S", 0.5)
        with pytest.raises(CsmriError, match="IM0000.*the decoder ended, as it does on damaged pixels.*gdcmconv"):
            dicom.read(folder)

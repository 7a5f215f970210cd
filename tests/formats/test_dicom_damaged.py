"""Damaged DICOM folders: whatever is wrong, it is said in one line, and never takes the process or its memory."""

import random
import resource

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from csmri.core.errors import CsmriError
from csmri.data.cine import Cine
from csmri.formats import dicom

LENGTHS = [b"\xff" * 4, b"\0" * 4, b"\xfe\xff\xff\x7f", b"\0\0\0\x80"]
N_QUICK, N_SLOW = 150, 600


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def compressed(dataset):
    dataset.compress(RLELossless)
    return dataset


@pytest.fixture
def sound(make, tmp_path):
    """Files of small sound folders: classic ones as archives store them, and multi-frame ones."""
    places = [(s, f) for s in range(2) for f in range(3)]
    folders = {"explicit": make.stack(2, 3), "rle": [compressed(image) for image in make.stack(2, 3)]}
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

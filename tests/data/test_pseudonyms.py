"""Pseudonyms: stable with their key, not to be guessed without it, and the key for its owner alone."""

from __future__ import annotations

import hashlib
import hmac
import json
import stat

import pytest

from csmri.core.errors import CsmriError
from csmri.data.pseudonyms import Pseudonyms, refuse_published_key


def test_a_key_gives_the_same_pseudonyms_again_and_grows(tmp_path):
    key = tmp_path / "key.json"
    first = Pseudonyms(key)
    names = {subject: first.of(subject) for subject in ("patient 1", "patient 2", "Ärmel/7")}
    first.save()
    assert len(set(names.values())) == 3
    again = Pseudonyms(key)
    assert again.of("patient 3") not in names.values()
    assert {subject: again.of(subject) for subject in names} == names
    again.save()
    found = json.loads(key.read_text("utf-8"))
    assert {pseudonym: found["subjects"][pseudonym] for pseudonym in names.values()} == {v: k for k, v in names.items()}
    assert len(found["subjects"]) == 4
    digest = hmac.new(bytes.fromhex(found["salt"]), b"patient 1", hashlib.sha256).hexdigest()
    assert names["patient 1"] == f"subject-{digest[:8]}"


def test_another_key_gives_other_pseudonyms(tmp_path):
    assert Pseudonyms(tmp_path / "a").of("patient 1") != Pseudonyms(tmp_path / "b").of("patient 1")


def test_only_the_owner_may_read_the_key(tmp_path):
    key = Pseudonyms(tmp_path / "key.json")
    for _ in range(2):
        key.save()
        assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key.json"]


def test_two_names_of_one_beginning_are_told_apart(tmp_path):
    key = tmp_path / "key.json"
    pseudonyms = Pseudonyms(key)
    taken = pseudonyms.peek("patient 1")
    pseudonyms.save()
    content = json.loads(key.read_text())
    key.write_text(json.dumps({**content, "subjects": {taken: "somebody else"}}))
    longer = Pseudonyms(key).of("patient 1")
    assert longer.startswith(taken) and len(longer) == len(taken) + 1


def test_to_look_does_not_write_down(tmp_path):
    pseudonyms = Pseudonyms(tmp_path / "key.json")
    pseudonyms.peek("patient 1")
    pseudonyms.save()
    assert json.loads((tmp_path / "key.json").read_text())["subjects"] == {}


@pytest.mark.parametrize(
    "content",
    ["text", "[]", '{"salt": 1}', '{"salt": "ab"}', '{"subjects": []}', '{"subjects": {"a": 1}}', '{"format": 1}'],
)
def test_what_is_no_key_is_refused_and_stays(tmp_path, content):
    key = tmp_path / "key.json"
    key.write_text(content)
    with pytest.raises(CsmriError, match=r"key\.json: .*give the key file that `csmri prepare --pseudonyms` wrote"):
        Pseudonyms(key)
    assert key.read_text() == content


def test_a_key_inside_what_may_be_given_away_is_refused(tmp_path):
    store, results = tmp_path / "store", tmp_path / "results"
    (results / "deep").mkdir(parents=True)
    (results / "records.csv").write_text("")
    for key in (store / "key.json", store / "deep" / "key.json", results / "key.json", results / "deep" / "key.json"):
        with pytest.raises(CsmriError, match="would lie inside .*(store|results), which may be given away"):
            refuse_published_key(key, store, ("records.csv",))
    refuse_published_key(tmp_path / "key.json", store, ("records.csv",))
    (tmp_path / "link").symlink_to(results)
    with pytest.raises(CsmriError, match="would lie inside"):
        refuse_published_key(tmp_path / "link" / "key.json", store, ("records.csv",))

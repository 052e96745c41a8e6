"""Published files by name: found, fetched, checked."""

import json
from pathlib import Path

import pytest
from helpers import ROOT, call

from common.errors import UserError
from common.files import sha256
from runs import published

NAME = "small/net.safetensors"
COMMAND = "python pretrain_model.py -net Net"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder that holds one file, whose index is the only one."""
    file = tmp_path / "elsewhere" / NAME
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    entry = {"sha256": sha256(b"weights"), "bytes": 7, "command": COMMAND}
    index = tmp_path / "published" / "INDEX.json"
    index.parent.mkdir()
    index.write_text(json.dumps({NAME: entry}))
    monkeypatch.setattr(published, "INDEX", index)
    monkeypatch.setattr(published, "FOLDER", index.parent)
    return tmp_path / "elsewhere"


def test_a_file_in_the_folder_that_is_named(source, monkeypatch):
    monkeypatch.setenv(published.SOURCE, str(source))
    assert published.path_of(f"published:{NAME}") == source / NAME


def test_a_file_is_fetched_once(source, monkeypatch):
    monkeypatch.setenv(published.SOURCE, source.as_uri())
    path = published.path_of(NAME)
    assert path.read_bytes() == b"weights"
    (source / NAME).unlink()
    assert published.path_of(NAME) == path == published.FETCHED / NAME


def test_another_files_bytes_are_refused_and_not_kept(source, monkeypatch):
    monkeypatch.setenv(published.SOURCE, source.as_uri())
    for contents in (b"Weights", b"weights and more", b""):
        (source / NAME).write_bytes(contents)
        with pytest.raises(UserError, match="damaged or another file"):
            published.path_of(NAME)
        assert not published.FETCHED.exists()
    monkeypatch.setenv(published.SOURCE, str(source))
    with pytest.raises(UserError, match="damaged or another file"):
        published.path_of(NAME)


def test_what_is_nowhere_says_how_to_make_it(source, monkeypatch):
    monkeypatch.delenv(published.SOURCE, raising=False)
    with pytest.raises(UserError, match=f"set SSD_PUBLISHED .* {COMMAND}"):
        published.path_of(NAME)
    monkeypatch.setenv(published.SOURCE, (source / "nothing").as_uri())
    with pytest.raises(UserError, match="cannot be fetched"):
        published.path_of(NAME)


def test_a_name_that_is_not_listed(source):
    with pytest.raises(UserError, match=f"no small/ne.safetensors; of networks it has {NAME}"):
        published.path_of("published:small/ne.safetensors")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"NAME": null, "x": {}}', "\udce9"])
def test_a_damaged_index_is_one_line(source, text):
    text = text.replace("NAME", "other")
    published.INDEX.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"cannot be read|has no"):
        published.path_of(NAME)
    published.INDEX.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        published.path_of(NAME)


def test_a_damaged_fetched_file_is_fetched_again(source, monkeypatch):
    monkeypatch.setenv(published.SOURCE, source.as_uri())
    path = published.path_of(NAME)
    path.write_bytes(b"half")
    assert published.path_of(NAME).read_bytes() == b"weights"


def test_other_schemes_are_refused(source, monkeypatch):
    monkeypatch.setenv(published.SOURCE, "s3://bucket")
    with pytest.raises(UserError, match="http, https or file"):
        published.path_of(NAME)


def test_logits_are_no_weights(source):
    with pytest.raises(UserError, match="logits, not its weights"):
        published.weight_path("published:a.outputs.safetensors")


def test_the_index_holds_the_files_that_are_here():
    """Every network in published/ is listed, with its own hash and size."""
    index = json.loads((ROOT / "published" / "INDEX.json").read_text())
    listed = set()
    for path in (ROOT / "published").rglob("*.safetensors"):
        name = path.relative_to(ROOT / "published").as_posix()
        data = path.read_bytes()
        assert index[name]["sha256"] == sha256(data), name
        assert index[name]["bytes"] == len(data)
        listed.add(name)
    assert "cifar20/ResNet18-Cifar20-seed0.safetensors" in listed
    for entry in index.values():
        assert entry["command"].startswith("python ")


def test_the_index_is_made_anew_and_keeps_what_lies_elsewhere(source, place, monkeypatch):
    published.main([f"demo={place / 'checkpoints'}"])
    index = json.loads(published.INDEX.read_text())
    entry = index["demo/ResNet18Slim-Digits-seed0.safetensors"]
    assert entry["command"] == "python pretrain_model.py -net ResNet18Slim -dataset Digits -seed 0"
    assert index[NAME]["command"] == COMMAND


def test_a_run_starts_from_a_published_network(tmp_path):
    """A name is taken as a path: here of a network that is none of the digits'."""
    name = "published:poison/ResNet18Slim-Folder-seed0-patch500.safetensors"
    flags = "-net ResNet18Slim -dataset Digits -forget_class 3 -method ssd".split()
    done = call("forget_full_class_main.py", *flags, "-weight_path", name, cwd=tmp_path)
    assert done.returncode == 2
    assert "patch500.safetensors was trained for" in done.stderr
    assert str(Path(published.FOLDER) / "poison") in done.stderr

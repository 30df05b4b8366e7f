"""An export proves what it holds: a digest of the manifest, hashes of all files, and signatures."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_exports import edited, missed_bytes, noticed

from kgen.cli import export as export_command
from kgen.cli import sample as sample_command
from kgen.errors import ExportFailed, UserError
from kgen.export.integrity import check_files, file_hashes
from kgen.export.place import find_version
from kgen.sampling.manifest import (
    MANIFEST,
    digest,
    private_key,
    public_key,
    read_manifest,
    signing_key,
    unsealed,
    write_manifest,
)

SAMPLE = Path(__file__).parents[2] / "exports" / "cvae-mnist" / "1"
VALUES = {
    "model": "vaé", "spec": {"num_classes": 2}, "latent_shape": [2], "prior": "standard_normal", "conditional": True,
    "class_names": ["<0>", "\udcff"], "ranges": {"seed": [0, 1e-7]}, "weights_hash": "00",
}  # fmt: skip


def write(folder: Path, key=None) -> Path:
    """A version of a few bytes."""
    (folder / "variables").mkdir(parents=True)
    for name, content in (("saved_model.pb", b"model"), ("variables/variables.index", b"index"), ("golden.npz", b"a")):
        (folder / name).write_bytes(content)
    write_manifest(folder, VALUES | {"files": file_hashes(folder)}, key)
    return folder


@pytest.fixture
def version(tmp_path):
    return write(tmp_path / "1")


def test_the_digest_is_of_the_text_without_it(version):
    """Anybody can compute it: the text up to the last comma, and the closing bracket."""
    import hashlib

    text = (version / MANIFEST).read_bytes()
    without = text[: text.rindex(b',\n  "digest"')] + b"\n}\n"
    assert read_manifest(version)["digest"] == hashlib.sha256(without).hexdigest()
    assert unsealed(read_manifest(version)).keys() == {*VALUES, "files"}


def test_every_byte_of_the_manifest_counts(version, tmp_path):
    assert check_files(version) and missed_bytes(version, tmp_path / "edited") == 0


def test_random_edits_are_noticed(version, tmp_path):
    """The 1,000 of tools/fuzz_exports.py, shortened."""
    for number in range(300):
        what = edited(version, tmp_path / "edited", 1, number)
        assert noticed(tmp_path / "edited"), f"{what} ({number})"


def test_what_has_happened_is_named(version):
    (version / "eval").mkdir()
    (version / "eval" / "saved_model.jsonl").write_text("{}")  # as kgen-eval writes
    check_files(version)
    for name in ("extra", "eval.py"):
        (version / name).write_bytes(b"")
        with pytest.raises(ExportFailed, match=f"{name} was added since the export was written"):
            check_files(version)
        (version / name).unlink()
    shutil.rmtree(version / "eval")
    (version / "eval").write_bytes(b"")  # no folder of results
    with pytest.raises(ExportFailed, match="eval was added since the export was written"):
        check_files(version)
    (version / "eval").rename(version / "golden.npz")
    with pytest.raises(ExportFailed, match=r"golden.npz has changed since"):
        check_files(version)
    (version / "golden.npz").unlink()
    with pytest.raises(ExportFailed, match=r"golden.npz is missing since"):
        check_files(version)


def test_the_latest_version_is_checked_though_it_has_lost_its_model(version):
    newest = shutil.copytree(version, version.with_name("2"))
    (newest / "saved_model.pb").unlink()
    assert find_version(version.parent) == newest
    with pytest.raises(ExportFailed, match=r"2/saved_model.pb is missing since"):
        check_files(find_version(version.parent))


def test_links_to_the_same_files_are_files(version, tmp_path):
    """As data version control stores them."""
    (version / "golden.npz").rename(tmp_path / "stored")
    (version / "golden.npz").symlink_to(tmp_path / "stored")
    check_files(version)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b"{}", b'{"digest": 1}', b'{"spec": NaN}'])
def test_a_damaged_manifest_is_one_message(tmp_path, capsys, content):
    version = shutil.copytree(SAMPLE, tmp_path / "1")
    (version / MANIFEST).write_bytes(content)
    for command, *arguments in ((export_command, "--verify"), (sample_command,)):
        assert command.main([str(version), *arguments]) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1 and "manifest.json" in said and "export the run again" in said


def test_an_older_manifest_is_told_from_one_whose_digest_was_taken(version):
    values = json.loads((version / MANIFEST).read_text())
    del values["digest"]
    (version / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(UserError, match="its digest is another"):
        read_manifest(version)
    (version / MANIFEST).write_text(json.dumps(unsealed(values)))
    assert check_files(version) == unsealed(values)  # kgen-export says so, below
    (version / MANIFEST).write_text(json.dumps({k: v for k, v in unsealed(values).items() if k != "files"}))
    with pytest.raises(ExportFailed, match="lists no files"):
        check_files(version)


@pytest.mark.slow
def test_verify_says_that_a_manifest_is_older(tmp_path, capsys):
    version = shutil.copytree(SAMPLE, tmp_path / "1")
    (version / MANIFEST).write_text(json.dumps(unsealed(read_manifest(version))))
    assert export_command.main([str(version), "--verify"]) == 0
    assert "is of an older form without a digest" in capsys.readouterr().out


def test_damage_is_found_before_tensorflow_is_imported(tmp_path):
    version = shutil.copytree(SAMPLE, tmp_path / "1")
    (version / "extra").write_bytes(b"")
    program = (
        "import sys\nfrom kgen.cli.export import main\n"
        f"assert main([{str(version)!r}, '--verify']) == 1 and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


# Signatures -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path):
    """Two pairs of PEM files: (private, public), (private, public)."""
    pytest.importorskip("cryptography", reason="pip install 'kgen[sign]'")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pairs = []
    for name in ("mine", "other"):
        key, paths = Ed25519PrivateKey.generate(), (tmp_path / f"{name}.pem", tmp_path / f"{name}.pub")
        secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        paths[0].write_bytes(secret)
        paths[1].write_bytes(public)
        pairs.append(paths)
    return pairs


def test_a_signature_names_its_author(keys, tmp_path):
    (private, public), (_, other) = keys
    version = write(tmp_path / "1", private_key(private))
    assert signing_key(check_files(version, public_key(public))) == public_key(public).public_bytes_raw().hex()
    assert check_files(version)  # without a key the digest still counts
    with pytest.raises(ExportFailed, match="was not signed with the key"):
        check_files(version, public_key(other))
    # Whoever changes it can write another digest, but not another signature.
    values = read_manifest(version)
    values["weights_hash"] = "ff"
    values["digest"] = digest(values)
    (version / MANIFEST).write_bytes(
        (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
    )
    check_files(version)
    with pytest.raises(ExportFailed, match="was not signed with the key"):
        check_files(version, public_key(public))
    write_manifest(version, values)
    with pytest.raises(ExportFailed, match="is not signed"):
        check_files(version, public_key(public))


def test_keys_that_are_none(keys, tmp_path):
    (private, public), _ = keys
    for read, path, message in (
        (private_key, public, r"--sign .*no PEM file with an Ed25519 private key"),
        (public_key, private, r"--public_key .*no PEM file with an Ed25519 public key"),
        (private_key, tmp_path / "none", r"--sign .*No such file"),
    ):
        with pytest.raises(UserError, match=message):
            read(path)


def test_signing_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(UserError, match=r"--sign needs cryptography; .*kgen\[sign\]"):
        private_key(tmp_path / "key.pem")


def test_flags_that_do_not_go_together(capsys):
    for arguments, message in (
        (("--verify", "--sign=k"), "--sign goes without --verify"),
        (("--public_key=k", "--to=x"), "--public_key goes with --verify"),
    ):
        assert export_command.main(["exports/x", *arguments]) == 2
        assert message in capsys.readouterr().err

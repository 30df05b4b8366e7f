"""kgen-sample --c2pa: the library that wrote the record reads it back, and no mistake starts a model."""

import datetime
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from kgen.cli import sample
from kgen.content_credentials import SOURCE
from kgen.provenance import read_tag

EXPORT = Path(__file__).parents[2] / "exports" / "cvae-mnist"
NEEDED = "needs c2pa-python and cryptography (pip install 'kgen[c2pa]')"
installed = pytest.mark.skipif(not all(map(importlib.util.find_spec, ("c2pa", "cryptography"))), reason=NEEDED)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_certificate(folder: Path) -> str:
    """A certificate of a root of its own, as C2PA asks for it; "CERT,KEY" for --c2pa."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    names = x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME
    now, keys = datetime.datetime.now(datetime.UTC), [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    root, leaf = (
        x509.Name([x509.NameAttribute(one, f"kgen test {kind}") for one in names]) for kind in ("root", "leaf")
    )

    def certificate(subject, key, is_root: bool) -> bytes:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False,
        ) | {"digital_signature": True, "key_cert_sign": is_root, "crl_sign": is_root}  # fmt: skip
        builder = (
            x509.CertificateBuilder(root, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if not is_root:
            purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "cert.pem").write_bytes(certificate(leaf, keys[1], False) + certificate(root, keys[0], True))
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(key)
    return f"{folder / 'cert.pem'},{folder / 'key.pem'}"


def run(*arguments, code: int = 0):
    assert sample.main([str(EXPORT), "--count", "2", *arguments]) == code


@installed
@pytest.mark.parametrize("form", ["png", "png-files"])
def test_a_picture_is_signed_as_made_by_a_trained_model(here, form):
    import c2pa

    run("--label", "7", "--format", form, "--c2pa", write_certificate(here))
    files = [*here.rglob("*label7*.png")]
    assert len(files) == (1 if form == "png" else 2)
    for file in files:
        with c2pa.Reader(str(file)) as reader:
            found = json.loads(reader.json())
        manifest = found["manifests"][found["active_manifest"]]
        (actions,) = (
            one["data"]["actions"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions")
        )
        assert [(one["action"], one["digitalSourceType"]) for one in actions] == [("c2pa.created", SOURCE)]
        assert actions[0]["softwareAgent"]["name"] == "kgen"
        assert manifest["signature_info"]["issuer"] == "kgen test leaf"
        assert {one["code"] for one in found["validation_status"]} == {"signingCredential.untrusted"}  # a root of ours
        assert read_tag(file)["label"] == "7"


@installed
def test_a_changed_file_is_found_out(here):
    import c2pa

    run("--out", "a.png", "--c2pa", write_certificate(here))
    content = (here / "a.png").read_bytes()
    (here / "b.png").write_bytes(content.replace(b'"seed": 0', b'"seed": 1', 1))
    with c2pa.Reader("b.png") as reader:
        assert "assertion.dataHash.mismatch" in reader.json()


@installed
@pytest.mark.parametrize("broken", ["cert.pem", "key.pem"])
def test_a_bad_certificate_is_one_message(here, capsys, broken):
    option = write_certificate(here)
    (here / broken).write_text("nonsense")
    fails(capsys, "no signature can be made of these files", "--c2pa", option)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--c2pa", "cert.pem"], "takes two PEM files, CERT,KEY. Received: cert.pem"),
        (["--c2pa", "cert.pem,key.pem"], "cert.pem: No such file"),
        (["--c2pa", "cert.pem,key.pem", "--format", "npz"], "--c2pa signs pictures"),
    ],
)
def test_mistakes(here, capsys, arguments, words):
    fails(capsys, words, *arguments)


def test_without_the_library(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    for name in ("cert.pem", "key.pem"):
        (here / name).write_text("")
    fails(capsys, "pip install 'kgen[c2pa]'", "--c2pa", "cert.pem,key.pem")


def fails(capsys, words: str, *arguments):
    """Ends with exit code 2 and one message, before a model is opened."""
    run(*arguments, code=2)
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and said.out == ""

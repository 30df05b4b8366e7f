"""A sampler over gRPC: the same pixels as the run, and one clear message for every failure."""

import socket

import pytest
import trustme
from same_images import assert_same_images
from serving_case import running

from kgen import generate, open_sampler
from kgen.errors import UserError
from kgen.sampling import read_token


@pytest.fixture(scope="module")
def served_by_grpc(default_export):
    """The gRPC address of the default export in kgen-serve."""

    with running(default_export.parent) as server:
        yield f"grpc://{server.grpc}/v1/models/cvae"


@pytest.mark.parametrize("suffix", ["", "/versions/1"])
def test_grpc_gives_the_same_pixels(served_by_grpc, suffix, default_job):
    remote = open_sampler(served_by_grpc + suffix)
    assert (remote.latent_shape, remote.conditional, remote.version) == ((2,), True, "1")
    own = generate(open_sampler(default_job[0].path), 70, labels=3, seed=5)
    assert_same_images(generate(remote, 70, labels=3, seed=5).images, own.images)


def test_tokens(default_export, tmp_path, monkeypatch):
    """By the argument or the variable, for either protocol; not by .netrc, which has other credentials."""
    (tmp_path / "tokens").write_text("secret\nother\n")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    token = read_token(tmp_path / "tokens")
    with running(default_export.parent, token_file=str(tmp_path / "tokens")) as server:
        for address in (f"{server.rest}/v1/models/cvae", f"grpc://{server.grpc}/v1/models/cvae"):
            with pytest.raises(UserError, match="asks for a token; give a file that has one with --token_file, or set"):
                open_sampler(address)
            with pytest.raises(UserError, match=r"does not know this token; .* variable KGEN_TOKEN"):
                open_sampler(address, token="guess")
            first = generate(open_sampler(address, token=token), 2, labels=3, seed=5).images
            monkeypatch.setenv("KGEN_TOKEN", "other")
            assert_same_images(generate(open_sampler(address), 2, labels=3, seed=5).images, first)
            monkeypatch.delenv("KGEN_TOKEN")


def test_tls(default_export, tmp_path, monkeypatch):
    """By either protocol; an authority of one's own is named by a variable."""
    issuer = trustme.CA()
    issued = issuer.issue_cert("localhost")
    issuer.cert_pem.write_to_path(tmp_path / "authority.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    files = dict.fromkeys(("ssl_certificate", "ssl_key"), str(tmp_path / "server.pem"))
    with running(default_export.parent, **files) as server:
        addresses = [
            f"https://localhost:{server.server.port}/v1/models/cvae",
            f"grpcs://localhost:{server.server.grpc_port}/v1/models/cvae",
        ]
        with pytest.raises(UserError, match=r"no certificate of a known authority \(.*variable REQUESTS_CA_BUNDLE"):
            open_sampler(addresses[0])
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        first, second = (generate(open_sampler(address), 2, labels=3, seed=5).images for address in addresses)
        assert_same_images(first, second)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "nowhere")
    with pytest.raises(UserError, match="REQUESTS_CA_BUNDLE names nowhere: No such file"):
        open_sampler(addresses[1])


def test_what_is_no_token(tmp_path, monkeypatch):
    (tmp_path / "tokens").write_text("\nsecret\n")
    with pytest.raises(UserError, match="tokens has no token"):
        read_token(tmp_path / "tokens")
    with pytest.raises(UserError, match="--token_file nowhere: No such file"):
        read_token("nowhere")
    with pytest.raises(UserError, match="--token_file is for the address of a server"):
        open_sampler(tmp_path, token="secret")
    monkeypatch.setenv("KGEN_TOKEN", "two words")
    with pytest.raises(UserError, match="KGEN_TOKEN has no token"):
        open_sampler("http://127.0.0.1:9/v1/models/m")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/v1/models/other", "refused the call: NOT_FOUND, .*'other'"),
        ("/v1/models/cvae/versions/9", "NOT_FOUND, .*version 9 of model 'cvae'"),
        ("/v1/models/cvae/labels/best", "refused the call: .*best"),
        ("/cvae", "is not the address of a served model"),
    ],
)
def test_grpc_says_what_is_wrong(served_by_grpc, target, message):
    with pytest.raises(UserError, match=message):
        open_sampler(served_by_grpc.partition("/v1/")[0] + target)


def test_nobody_is_at_the_grpc_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"  # closed when it is asked
    with pytest.raises(UserError, match=r"cannot be reached \(UNAVAILABLE.*give its gRPC address"):
        open_sampler(f"grpc://{address}/v1/models/cvae")

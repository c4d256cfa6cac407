"""`bbws payfast` as whoever looks into a notice uses it."""

import json
from pathlib import Path

import pytest

from tests.cli.support import invoke
from tests.support.commands import bbws

VECTORS = json.loads((Path(__file__).parents[1] / "shared/integrations/payfast/vectors.json").read_text())


@pytest.mark.parametrize("name", [name for name in VECTORS if "ITN" in name])
def test_verify_itn_tells_whether_the_signature_holds(name: str, tmp_path: Path) -> None:
    """Vectors of PayFast's own SDKs and ours: exit 0 when it holds, 1 with one byte changed or another passphrase."""
    text, _, passphrase = VECTORS[name]["string"].partition("&passphrase=")
    body = f"{text}&signature={VECTORS[name]['signature']}\n".encode()
    options = ["--passphrase", passphrase] if passphrase else []
    (tmp_path / "itn").write_bytes(body)
    good = invoke("payfast", "verify-itn", *options, str(tmp_path / "itn"))
    assert "the signature holds" in good.output
    assert good.exit_code == 0
    assert "\npayment_status = C" in good.output
    altered = body.replace(b"COMPLETE", b"COMPLETe").replace(b"CANCELLED", b"CANCELLEd")
    for given, given_options in ((altered, options), (body, ["--passphrase", "another"])):
        bad = invoke("payfast", "verify-itn", *given_options, "-", given=given)
        assert bad.exit_code == 1
        assert bad.output.startswith("the signature does NOT hold")


def test_verify_itn_reads_standard_input_and_exits_with_zero() -> None:
    """`pbpaste | bbws payfast verify-itn -` is how a notice comes out of a log."""
    vector = VECTORS["V3 ITN once-off, passphrase jt7NOE43FZPn"]
    text, _, passphrase = vector["string"].partition("&passphrase=")
    body = f"{text}&signature={vector['signature']}".encode()
    done = bbws("payfast", "verify-itn", "-", given=body, environment={"BBWS_PAYFAST_PASSPHRASE": passphrase})
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "the signature holds")
    assert "amount_gross = 286.35" in done.stdout


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"=&=&", b"signature=", b"a=%zz", b"{}"])
def test_verify_itn_survives_what_is_no_notice(body: bytes) -> None:
    """Anybody may post anything; the operator who pastes it gets an answer."""
    answer = invoke("payfast", "verify-itn", "-", given=body)
    assert answer.exit_code == 1
    assert answer.output.startswith("the signature does NOT hold")

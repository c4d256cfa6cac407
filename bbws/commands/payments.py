"""What the commands of `bbws payfast` do."""

from bbws.shared.integrations.payfast import ItnUnreadable, parse_itn, verify_itn_signature


def verify_itn(raw_body: bytes, passphrase: str | None) -> tuple[bool, list[str]]:
    """Whether the signature holds, and what to print: the verdict, then every field in its order."""
    body = raw_body.strip(b"\r\n")
    holds = verify_itn_signature(body, passphrase)
    verdict = "the signature holds" if holds else "the signature does NOT hold"
    hint = [] if holds or passphrase else ["no passphrase was given: --passphrase, where the account has one"]
    try:
        fields = parse_itn(body).fields
    except ItnUnreadable as error:
        return False, [verdict, *hint, error.detail]
    return holds, [verdict, *hint, *(f"{name} = {value}" for name, value in fields)]

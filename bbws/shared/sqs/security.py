"""FastStream's security objects as AWS credentials."""

from faststream.exceptions import SetupError
from faststream.security import BaseSecurity, SASLPlaintext


def credentials_of(security: BaseSecurity | None) -> dict[str, str]:
    """Key id and secret of `SASLPlaintext`; nothing of the others, which leave the default chain to work."""
    if security is None or type(security) is BaseSecurity:
        return {}
    if isinstance(security, SASLPlaintext):
        return {"aws_access_key_id": security.username, "aws_secret_access_key": security.password}
    raise SetupError(f"SQSBroker takes SASLPlaintext (key id and secret), not {type(security).__name__}")

"""A link that is mailed, and what whoever follows it says."""

import hashlib
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from bbws.shared.contracts.base import Contract, Timestamp, Uuid
from bbws.shared.contracts.tenancy.tenants import Email

Purpose = Literal["REGISTRATION", "INVITATION"]

# Whatever the form of what is sent: what is no token of ours gets the answer of one that no longer works.
MAX_TOKEN_CHARS = 256
# What the user pool takes at most; how short one may be is the pool's policy.
MAX_PASSWORD_CHARS = 256


def hash_of(token: str) -> str:
    """What is stored of a link's token; of 32 random bytes nobody guesses the original."""
    return hashlib.sha256(token.encode()).hexdigest()


class RegistrationAccepted(Contract):
    """The answer to `POST /v1.0/registrations`: the same for a known address and for an unknown one."""

    detail: str = "A mail with a link is on its way to this address, unless one was sent within the last minutes."


class Confirmation(Contract):
    """`POST /v1.0/registrations/confirmations`: the token of a mailed link, and the password to sign in with."""

    token: Annotated[str, Field(max_length=MAX_TOKEN_CHARS)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=MAX_PASSWORD_CHARS)]


class MailedLink(Contract):
    """Of the link's token only the SHA-256 is known, as the key under which this is stored."""

    token_hash: str
    tenant_id: Uuid
    email: Email
    purpose: Purpose
    mailed_at: Timestamp
    valid_until: Timestamp

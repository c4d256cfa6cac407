"""Calls to AWS's JSON services without botocore's way of building and reading them; nothing of FastStream.

`SignedClient` stands in the place of an aiobotocore client and has its guarantees, at a tenth of its CPU.
"""

from .bodies import loads, read
from .client import SignedClient
from .verification import verification

__all__ = ("SignedClient", "loads", "read", "verification")

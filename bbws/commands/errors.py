"""Errors whose text tells a person what to do: a command shows them in one line."""

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from bbws.local.errors import LocalFailure
from bbws.shared.errors import BbwsError

EXPECTED = (BbwsError, LocalFailure, BotoCoreError, ClientError, aiohttp.ClientError, OSError)

"""Errors whose text tells a person what to do: a command shows them in one line."""

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from bbws.local.demo import DemoFailed
from bbws.local.emulator_process import EmulatorFailed
from bbws.local.up import UpFailed
from bbws.shared.errors import BbwsError

EXPECTED = (BbwsError, UpFailed, DemoFailed, EmulatorFailed, BotoCoreError, ClientError, aiohttp.ClientError, OSError)

"""What the commands of `bbws stand-in` do."""

from pathlib import Path

from aiohttp import web

from bbws.gateway.hosts import host_names
from bbws.local import mailbox, payfast
from bbws.local.demo_data import seed
from bbws.shared.bootstrap import bootstrap
from bbws.shared.settings import Settings, secret


def serve_payfast(settings: Settings, host: str, port: int, retry_base_s: float) -> None:
    account = payfast.PayfastAccount(
        merchant_id=settings.payfast_merchant_id,
        merchant_key=settings.payfast_merchant_key.get_secret_value(),
        passphrase=secret(settings.payfast_passphrase),
        retry_base_s=retry_base_s,
    )
    own_names = host_names(settings.payfast_url, settings.payfast_server_url) | {host}
    web.run_app(payfast.create_app(account, own_names), host=host, port=port, access_log=None, print=None)


def serve_mailbox(host: str, port: int, mail_dir: Path) -> None:
    web.run_app(mailbox.create_app(mail_dir, {host}), host=host, port=port, access_log=None, print=None)


async def put_demo_data(settings: Settings) -> None:
    async with bootstrap(settings) as services:
        await seed(services)

"""What `bbws up` promises: state is kept between clean stops, and a stop in the middle of work loses nothing."""

import socket
from pathlib import Path

import pytest

from bbws.local.errors import UpFailed
from bbws.local.ports import HOST, Ports
from bbws.local.up import System
from tests.support.forks import forked
from tests.support.shop import open_shop

pytestmark = pytest.mark.e2e

SETTINGS = {"receive_wait_s": 1, "outbox_grace_s": 2, "housekeeping_interval_s": 0.5, "itn_check_after_s": 2}


async def test_a_stop_in_the_middle_of_an_order_is_made_up_for_at_the_next_start(tmp_path: Path) -> None:
    """Ctrl-C right after a payment: the order is finished when the system runs again, and gone after `--fresh`."""
    async with System(tmp_path, spawn=forked, settings=SETTINGS) as system, open_shop(system) as shop:
        order = await shop.order()
        # The notice is judged while everything stops already: PayFast must stay until that is done.
        await shop.aws.inject("dynamodb", operation="GetItem", status=None, latency_ms=500)
        await shop.pay(order)
    async with System(tmp_path, spawn=forked, settings=SETTINGS) as system, open_shop(system) as shop:
        await shop.until_done(order)
        await shop.assert_exactly_once(order)
    async with System(tmp_path, spawn=forked, settings=SETTINGS, fresh=True) as system, open_shop(system) as shop:
        assert (await shop.get(order.path))["status"] == 404


async def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    """The text names the option that helps; a start that fails leaves nothing behind."""
    free = Ports.free()
    with socket.socket() as somebody:
        somebody.bind((HOST, 0))
        somebody.listen()
        taken = somebody.getsockname()[1]
        system = System(tmp_path / "home", ports=Ports(taken, free.payfast, free.mailbox, free.emulator))
        with pytest.raises(UpFailed, match=f"port {taken} is taken.*--gateway-port"):
            await system.__aenter__()
    assert not (tmp_path / "home").exists()

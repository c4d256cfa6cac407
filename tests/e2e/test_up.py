"""What `bbws up` promises: state is kept between clean stops, and a stop in the middle of work loses nothing."""

from pathlib import Path

import pytest

from bbws.up import Ports, System, UpFailed
from tests.support.shop import open_shop
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("up")]

SETTINGS = {"receive_wait_s": 1, "outbox_grace_s": 2, "outbox_sweep_interval_s": 0.5}


async def test_a_stop_in_the_middle_of_an_order_is_made_up_for_at_the_next_start(tmp_path: Path) -> None:
    """Ctrl-C right after a payment: the order is finished when the system runs again."""
    async with System(tmp_path, settings=SETTINGS) as system, open_shop(system) as shop:
        order = await shop.order()
        await shop.pay(order)
    async with System(tmp_path, settings=SETTINGS) as system, open_shop(system) as shop:
        await shop.until_done(order)
        await shop.assert_exactly_once(order)


async def test_fresh_forgets_what_was(tmp_path: Path) -> None:
    """`--fresh` starts empty."""
    async with System(tmp_path, settings=SETTINGS) as system, open_shop(system) as shop:
        order = await shop.order()
    async with System(tmp_path, settings=SETTINGS, fresh=True) as system, open_shop(system) as shop:
        assert (await shop.get(order.path))["status"] == 404


async def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    """The text names the option that helps."""
    async with System(tmp_path / "first", settings=SETTINGS) as running:
        taken = running.ports.gateway
        free = Ports.free()
        second = System(tmp_path / "second", ports=Ports(taken, free.payfast, free.mailbox, free.emulator))
        with pytest.raises(UpFailed, match=f"port {taken} is taken.*--gateway-port"):
            await second.__aenter__()


async def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    """As ECS does: nobody has to notice."""
    async with System(tmp_path, settings=SETTINGS) as system, open_shop(system) as shop:
        await system.kill("gateway")

        async def ready() -> bool:
            try:
                return bool((await shop.get("/readyz"))["status"])
            except OSError:
                return False

        await eventually(ready, within_s=20, what="the gateway answers again")

"""What somebody changed by hand in provisioned AWS, and what the provisioner makes of it."""

from collections.abc import Awaitable, Callable

from bbws.provision.provisioner import Provisioner
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.topology import Topology

Drift = Callable[[AwsClients, Topology], Awaitable[None]]


async def named_and_mended(provisioner: Provisioner, complaint: str) -> None:
    """One difference is found, which says `complaint`; once applied there is none."""
    found = await provisioner.differences()
    assert len(found) == 1, f"{complaint}: {found}"
    assert complaint in found[0]
    await provisioner.apply()
    assert await provisioner.differences() == [], complaint

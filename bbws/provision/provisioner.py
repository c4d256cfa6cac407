"""Creates what `topology.json` declares, or says what differs from it. Running it again changes nothing.

How each kind of resource is made and looked at stands in the module of its AWS service.
"""

from bbws.provision.cognito import make_user_pool, user_pool_differences
from bbws.provision.dynamodb import make_table, table_differences
from bbws.provision.eventbridge import bus_differences, make_bus, make_rule, rule_differences
from bbws.provision.s3 import bucket_differences, make_bucket, push_templates, template_differences
from bbws.provision.ses import verify_sender
from bbws.provision.sns import make_topic, topic_differences
from bbws.provision.sqs import make_queue, queue_differences
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.cognito import UserPool
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology


class Provisioner:
    """`apply` makes what is missing and mends what differs; `differences` only looks.

    Both raise botocore's errors where AWS refuses.
    """

    def __init__(self, clients: AwsClients, settings: Settings, topology: Topology) -> None:
        self._clients = clients
        self._settings = settings
        self._topology = topology

    async def apply(self) -> UserPool | None:
        pool = await self.make_resources()
        await self.push_templates()
        return pool

    async def make_resources(self) -> UserPool | None:
        """Everything but what lies in the template bucket. On AWS senders and user pools are not made here."""
        clients, topology = self._clients, self._topology
        for table in topology.tables:
            await make_table(clients, table)
        for bucket in topology.buckets:
            await make_bucket(clients, self._settings, bucket)
        await make_bus(clients, topology.bus)
        for topic in topology.topics:
            await make_topic(clients, topic.name)
        for queue in topology.queues:
            await make_queue(clients, topology, queue)
        for rule in topology.rules:
            await make_rule(clients, topology.bus, rule)
        if not self._settings.aws_endpoint_url:
            return None
        await verify_sender(clients, self._settings)
        return await make_user_pool(clients, topology.user_pool)

    async def push_templates(self) -> None:
        await push_templates(self._clients, self._topology.bucket("templates").name)

    async def differences(self) -> list[str]:
        """A line for each thing that is missing or other than declared."""
        clients, topology = self._clients, self._topology
        found: list[str] = []
        for table in topology.tables:
            found += await table_differences(clients, table)
        for bucket in topology.buckets:
            found += await bucket_differences(clients, self._settings, bucket)
        found += await template_differences(clients, topology.bucket("templates").name)
        found += await bus_differences(clients, topology.bus)
        for topic in topology.topics:
            found += await topic_differences(clients, topic.name)
        for queue in topology.queues:
            found += await queue_differences(clients, topology, queue)
        for rule in topology.rules:
            found += await rule_differences(clients, topology.bus, rule)
        return found + await user_pool_differences(clients, topology.user_pool)

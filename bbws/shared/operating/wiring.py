"""The services of operators, and what each is made of."""

from functools import cached_property

from bbws.shared.operating.dead_letter_queues import DeadLetterQueues
from bbws.shared.operating.dead_letters import DeadLetters
from bbws.shared.tenancy.wiring import TenancyServices


class OperatingServices(TenancyServices):
    @cached_property
    def dead_letters(self) -> DeadLetters:
        queues = DeadLetterQueues(self.queues, self.topology, wait_s=self.settings.receive_wait_s)
        return DeadLetters(queues, self.audit_trails, self.document_store)

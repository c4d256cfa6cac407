from tests.support.services import aws, clock, provisioned, services
from tests.support.till import own_till, till

__all__ = ("aws", "clock", "own_till", "provisioned", "services", "till")

from tests.support.archive import archive
from tests.support.services import aws, clock, provisioned, services
from tests.support.till import till

__all__ = ("archive", "aws", "clock", "provisioned", "services", "till")

from tests.support.services import aws, clock, provisioned, services

__all__ = ("aws", "clock", "provisioned", "services")

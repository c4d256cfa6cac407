"""The services of this area, and what each is made of."""

from functools import cached_property

from bbws.shared.core.foundation import Foundation
from bbws.shared.tenancy.repositories import hierarchies, operations, tenants, users
from bbws.shared.tenancy.services.audit_trails import AuditTrails
from bbws.shared.tenancy.services.confirmations import Confirmations
from bbws.shared.tenancy.services.hierarchies import Hierarchies
from bbws.shared.tenancy.services.operations import Operations
from bbws.shared.tenancy.services.registrations import Registrations
from bbws.shared.tenancy.services.staff import Staff
from bbws.shared.tenancy.services.tenants import Tenants
from bbws.shared.tenancy.services.users import Users

# What this area keeps under a tenant.
KINDS = (*tenants.KINDS, *users.KINDS, *hierarchies.KINDS, *operations.KINDS)


class TenancyServices(Foundation):
    @cached_property
    def tenants(self) -> Tenants:
        return Tenants(self.database, self.tenant_outbox, self.audit_entries, self.clock)

    @cached_property
    def registrations(self) -> Registrations:
        return Registrations(
            self.database, self.tenant_outbox, self.audit_entries, self.clock, self.mailer, self.settings, self.seller
        )

    @cached_property
    def confirmations(self) -> Confirmations:
        return Confirmations(self.database, self.tenant_outbox, self.audit_entries, self.clock, self.directory)

    @cached_property
    def operations(self) -> Operations:
        return Operations(self.database)

    @cached_property
    def users(self) -> Users:
        return Users(self.database, self.directory, self.tenant_outbox, self.audit_entries, self.clock)

    @cached_property
    def staff(self) -> Staff:
        return Staff(self.database, self.directory, self.audit_entries, self.clock)

    @cached_property
    def hierarchies(self) -> Hierarchies:
        return Hierarchies(self.database, self.audit_entries, self.clock)

    @cached_property
    def audit_trails(self) -> AuditTrails:
        return AuditTrails(self.database, self.audit_entries, self.clock, self.settings.audit_keys)

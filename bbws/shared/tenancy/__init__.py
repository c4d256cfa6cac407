"""Customers and their people: tenants, users, hierarchies, registrations, operations, audit trails."""

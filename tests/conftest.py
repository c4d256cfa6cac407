"""Fixtures and hooks of all tests; each is defined in the module of `tests/support` that is named here."""

pytest_plugins = [
    f"tests.support.{name}"
    for name in ("emulator", "identity", "system", "sharing", "market", "quick", "limits", "schedule")
]

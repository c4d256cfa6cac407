"""Fixtures of all tests; each is defined in the module of `tests/support` that is named here."""

pytest_plugins = ["tests.support.emulator", "tests.support.identity", "tests.support.system", "tests.support.market"]

"""Why the system on this machine does not run; each text says what to do, or what was seen."""


class LocalFailure(Exception):
    pass


class UpFailed(LocalFailure):
    """The system cannot start, or cannot go on."""


class EmulatorFailed(LocalFailure):
    """The emulator did not come up; carries the end of its log."""


class DemoFailed(LocalFailure):
    """A step did not come to its end."""

"""BBWS: sells and runs WordPress hosting as messages between small asyncio processes."""

__version__ = "0.1.0"

"""The gateway with every operation public: what the same requests cost where nobody asks who sends them."""

from dataclasses import replace

from bbws.gateway.app import run
from bbws.gateway.routes import ROUTES
from bbws.shared.settings import Settings

if __name__ == "__main__":
    run(Settings(), [replace(route, access="public", scope=None) for route in ROUTES])

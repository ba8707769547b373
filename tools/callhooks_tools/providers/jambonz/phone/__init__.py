"""A simulated phone: plays jambonz 0.9.8 against an application, over any transport and without real time.

`SimulatedCall` makes a call and yields its steps. A `Caller` makes the decisions.

Imports only the layer.
"""

from callhooks_tools.providers.jambonz.phone.bodies import NewCall
from callhooks_tools.providers.jambonz.phone.call import SimulatedCall
from callhooks_tools.providers.jambonz.phone.requests import (
    Application,
    Check,
    Clock,
    ConnectFailed,
    Outside,
    Reply,
    SimulatedClock,
    TimedOut,
    Transport,
)
from callhooks_tools.providers.jambonz.phone.steps import Caller, Step

__all__ = [
    "Application",
    "Caller",
    "Check",
    "Clock",
    "ConnectFailed",
    "NewCall",
    "Outside",
    "Reply",
    "SimulatedCall",
    "SimulatedClock",
    "Step",
    "TimedOut",
    "Transport",
]

"""Stand-ins for outside systems that speak the real protocols, and the whole system on one machine.

`bbws up` and the tests start them; the production code talks to them as it talks to AWS and PayFast.
"""

"""The contract that Controller, Relay, Connector and Client speak (SPEC.md).

Everything in this package is pure: no sockets, no clocks, no randomness and no logging. Bytes and ``now`` go in,
bytes and events come out. Times are Unix seconds (``float`` or ``int``) unless a name says otherwise.
"""

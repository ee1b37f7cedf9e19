"""The client's decisions, pure: which packets are ours, what is held, what a name's address is, which path comes next.

Nothing here reads a clock, opens a socket or logs. Time comes in as ``now`` (monotonic seconds) and ``wall`` (Unix seconds,
only for what is written in tokens). What is to be done comes out as commands (``client.core.commands``).

    Interceptor   everything that the TUN device delivers (TCP trick, UDP, ICMP echo, hold, refusals)
    DnsDecider    everything that asks the local resolver
    SnapshotGuard, AccessBook, PathRace, reevaluate   what the daemon needs between controller and tunnels
"""

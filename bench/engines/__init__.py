"""The engines: our product, and its peers on the same machine in the same chain of hosts."""

from bench.engines.engine import Engine
from bench.engines.ostiary import OstiaryDirect, OstiaryProxy, OstiaryTun
from bench.engines.routed import Routed
from bench.engines.shadowsocks import Shadowsocks
from bench.engines.sshuttle import Sshuttle
from bench.engines.stunnel import Stunnel, StunnelHaproxy
from bench.engines.vpns import Nebula, OpenVpn, WireGuardGo

ENGINES: tuple[type[Engine], ...] = (
    OstiaryTun,
    OstiaryProxy,
    OstiaryDirect,
    StunnelHaproxy,
    Stunnel,
    Shadowsocks,
    Sshuttle,
    OpenVpn,
    Nebula,
    WireGuardGo,
    Routed,
)
"""In the order of reports and of each round."""
QUICK = ("ostiary-tun", "stunnel-haproxy", "routed")
"""Those of ``make bench-quick``: ours, the yardstick, the ceiling."""

"""Every bound of the protocol, with its unit and the reason for its size."""

from typing import Final

# Tokens (decision D10, threats T-5, T-6)
TOKEN_MAX_BYTES: Final = 16 * 1024
"""Authorisations, tickets, assertions and keysets: what no list of resources makes long."""
SNAPSHOT_MAX_BYTES: Final = 1024 * 1024
"""Snapshot, config and access tokens: about 2,900 resources, each being some 360 bytes in a token."""
JSON_MAX_DEPTH: Final = 8
CLOCK_LEEWAY_S: Final = 30
"""How far `iat`, `nbf` and `exp` may disagree with our clock; offsets above 2 s are shown to the admin."""
CLOCK_WARN_S: Final = 2

# Token lives, seconds
AUTHORISATION_LIFE_S: Final = 60
CLIENT_TICKET_LIFE_S: Final = 60
CONNECTOR_TICKET_LIFE_S: Final = 4 * 3600
ACCESS_LIFE_S: Final = 300
ASSERTION_LIFE_S: Final = 60
SNAPSHOT_LIFE_S: Final = 24 * 3600
CONFIG_LIFE_S: Final = 24 * 3600
CHECKPOINT_LIFE_S: Final = 10 * 365 * 24 * 3600
"""For as long a checkpoint counts as evidence; it admits nobody to anything."""
KEY_OVERLAP_S: Final = 24 * 3600
"""For as long the pin of a connector's former key is named, so that tunnels and their flows live on."""
LEASE_DEFAULT_S: Final = 3600
LEASE_MIN_S: Final = 30
LEASE_MAX_S: Final = 24 * 3600

# Relay (T-25, T-26)
UPGRADE_DEADLINE_S: Final = 5.0
"""TLS handshake and HTTP upgrade together."""
UPGRADE_HEADER_MAX_BYTES: Final = 8 * 1024
FIRST_MAX_BYTES: Final = 4 * 1024
"""A client's first bytes in the head of its request; a ClientHello with a hybrid key share has 1,450."""
PAIRING_DEADLINE_S: Final = 5.0
PARKED_LEGS_DEFAULT: Final = 2
PARKED_LEGS_MAX: Final = 16
WAITING_CLIENTS_PER_CONNECTOR: Final = 64
RELAY_CONNECTIONS_MAX: Final = 20_000
RELAY_CONNECTIONS_PER_ADDRESS: Final = 2_000
RELAY_BUFFER_BYTES: Final = 256 * 1024
"""Each way of a pair: above it reading from the source pauses."""
LEG_MESSAGE_MAX_BYTES: Final = 1024 * 1024
LEG_PING_INTERVAL_S: Final = 20.0
LEG_DEAD_AFTER_S: Final = 50.0

# Control sockets between agents and controller
CONTROL_MESSAGE_MAX_BYTES: Final = 2 * 1024 * 1024
HEARTBEAT_INTERVAL_S: Final = 2.0
HEARTBEAT_SLOWEST_S: Final = 20.0
"""A controller with very many clients asks them to beat less often, down to this; AGENT_STALL_S grows in proportion."""
AGENT_STALL_S: Final = 6.0
"""A peer unheard for this long is gone (fault F-3); above the stall budget of an event loop (F-29)."""
CONTROL_REQUEST_DEADLINE_S: Final = 5.0
RECORDS_PER_MESSAGE: Final = 500
"""About 300 KiB: the controller pays for a message more than for a record."""
CONTROLLERS_MAX: Final = 16
"""Addresses of one controller that it announces and agents keep."""
CONTROLLER_URL_MAX: Final = 512
FAN_OUT_COALESCE_S: Final = 0.03
FACTS_INTERVAL_S: Final = 900.0
"""A client repeats how its device is set up, so that the controller knows that it is still so."""

# Mux (T-39, T-40). Window sizes in bytes
MUX_WINDOW_INITIAL: Final = 256 * 1024
MUX_WINDOW_MAX: Final = 16 * 1024 * 1024
MUX_WINDOW_TOTAL: Final = 64 * 1024 * 1024
"""Sum of all receive windows of one tunnel above their initial size."""
MUX_FRAME_DATA_MAX: Final = 64 * 1024
"""Largest data frame we send; when other streams wait, MUX_FRAME_DATA_SHARED."""
MUX_FRAME_DATA_SHARED: Final = 16 * 1024
MUX_STREAMS_MAX: Final = 16_384
MUX_ACCEPT_BACKLOG: Final = 1_024
"""Streams opened by the peer and not yet accepted or refused."""
MUX_OPENS_PER_SECOND: Final = 5_000
MUX_OPENS_BURST: Final = 10_000
MUX_RESETS_PER_SECOND: Final = 1_000
MUX_RESETS_BURST: Final = 5_000
MUX_PINGS_PER_SECOND: Final = 20
TUNNEL_WRITE_HIGH_WATER: Final = 512 * 1024
TUNNEL_KEEPALIVE_S: Final = 15.0
TUNNEL_DEAD_AFTER_S: Final = 40.0

# Opening a stream (streams.py)
OPEN_HEADER_MAX_BYTES: Final = 4 * 1024
PROOF_MAX_BYTES: Final = SNAPSHOT_MAX_BYTES
PROOF_DEADLINE_S: Final = 10.0
"""From the end of the inner handshake to an accepted proof; then the connector closes the tunnel."""
DIAL_DEADLINE_S: Final = 10.0
RESOLVE_DEADLINE_S: Final = 5.0
DATAGRAM_MAX_BYTES: Final = 65_507
DATAGRAM_QUEUE: Final = 256
"""Datagrams waiting for mux credit per association; the oldest is dropped first."""
UDP_IDLE_S: Final = 120.0
"""By default; client and connector each have a setting, and the shorter one counts (RFC 4787 section 4.3: 2 minutes)."""
UDP_IDLE_MIN_S: Final = 10.0
UDP_IDLE_MAX_S: Final = 24 * 3600.0
ICMP_IDLE_S: Final = 60.0

# Client: hold (C10)
HOLD_DEADLINE_S: Final = 20.0
HELD_FLOWS_MAX: Final = 1_024
FLOWS_MAX: Final = 32_768
ASSOCIATIONS_MAX: Final = 8_192
"""Of UDP on one client, so that TCP keeps room in a tunnel (MUX_STREAMS_MAX); a new one takes the place of one that is quiet."""
ECHO_ASSOCIATIONS_MAX: Final = 1_024
QUIET_S: Final = 20.0
"""An association without a datagram for this long may be ended for a new one when there are too many."""
HALF_OPEN_S: Final = 75.0
PATH_RACE_DELAY_S: Final = 0.25

# The direct path (direct.py): before a client has proved itself it costs a connector little
DIRECT_ADDRESSES_MAX: Final = 8
"""That one connector advertises."""
DIRECT_TEXT_MAX: Final = 64
DIRECT_CONNECTIONS_MAX: Final = 4_096
DIRECT_STRANGERS_MAX: Final = 64
"""Connections that have proved nothing yet; who finds no place goes by a relay."""
DIRECT_STRANGERS_PER_ADDRESS: Final = 16
DIRECT_TUNNELS_PER_DEVICE: Final = 16
"""Proven; a client has one, and a few more while dead ones have not been noticed. As many as a relay takes by one ticket."""
DIRECT_PROOF_DEADLINE_S: Final = 10.0
"""From the accepted connection to an accepted proof."""
DIRECT_HELLO_DEADLINE_S: Final = 5.0
"""To the first byte."""
DIRECT_UNPROVEN_BYTES: Final = PROOF_MAX_BYTES + 256 * 1024
"""What is read of a connection before its proof was accepted."""

DNS_TTL_S: Final = 60
DNS_NEGATIVE_TTL_S: Final = 10
SYNTHETIC_RELEASE_S: Final = 600.0
"""A synthetic address is not given to another name for this long after its last use."""

# HTTP API (D10)
API_BODY_MAX_BYTES: Final = 256 * 1024
DEVICE_CODE_LIFE_S: Final = 600
DEVICE_CODE_INTERVAL_S: Final = 2
ENROLMENT_LIFE_S: Final = 24 * 3600
ENROLMENT_TOKEN_MAX_CHARS: Final = 4096
"""What a person pastes: a URL, a pin and a secret."""
SESSION_LIFE_S: Final = 30 * 24 * 3600
ADMIN_SESSION_LIFE_S: Final = 12 * 3600
POLICY_DOCUMENT_MAX_BYTES: Final = 1024 * 1024
"""Of a policy document as UTF-8; as a JSON string in a body it may be twice as long. Far beyond what anybody reviews."""

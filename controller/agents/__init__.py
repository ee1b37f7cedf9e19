"""What agents and relays talk to: the agents' WebSocket, presence, and the controller's links to the relays."""

from controller.agents.endpoint import AgentEndpoint
from controller.agents.presence import AgentPresence, Presence, RelayPresence
from controller.agents.relay_link import RelayLinks

__all__ = ["AgentEndpoint", "AgentPresence", "Presence", "RelayLinks", "RelayPresence"]

"""From policy to agents: signed tokens, and the hub that gets them to whom a change touches."""

from controller.publish.attachment import AgentKind, Attachment
from controller.publish.enforcement import Enforcement, EnforcementTable
from controller.publish.hub import Hub
from controller.publish.signer import Hop, KeyRing, Signer, verification_keys

__all__ = [
    "AgentKind",
    "Attachment",
    "Enforcement",
    "EnforcementTable",
    "Hop",
    "Hub",
    "KeyRing",
    "Signer",
    "verification_keys",
]

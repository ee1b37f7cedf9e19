"""The decision: may this be reached? The controller, the client and the connector all ask here (design C8, C19).

Deny by default: what no entry permits is refused, and an empty list permits nothing. Permits only add up, so removing an
entry never permits more.
"""

from protocol.acl.match import AclIndex
from protocol.acl.model import Acl, Decision, Deny, Permit, Request
from protocol.reasons import Reason


def decide(acl: Acl | AclIndex, request: Request, now: float) -> Decision:
    """Decides ``request`` at ``now`` (Unix seconds).

    The entries whose address covers the host are asked from the most specific to the least; the first that includes the
    transport and port and has not expired permits. If none does, the most specific one says why: PORT_NOT_ALLOWED,
    PROTOCOL_NOT_ALLOWED or GRANT_EXPIRED, with its resource; without any, NOT_A_RESOURCE.
    """
    return _index(acl).lookup(request, now)


def decide_both(token_acl: Acl | AclIndex, config_acl: Acl | AclIndex, request: Request, now: float) -> Decision:
    """Decides for the connector: one resource must permit ``request`` in the token's list and in its own config (C19).

    Of several such resources the most specific one in the token's list is taken, and the Permit holds the token's entry
    with its grants. What the token permits and the config does not is CONNECTOR_NOT_ALLOWED.
    """
    token, config = _index(token_acl), _index(config_acl)
    first = token.lookup(request, now)
    if isinstance(first, Deny):
        return first
    served = {entry.resource.id for entry in config.permitting(request, now)}
    for entry in token.permitting(request, now):
        if entry.resource.id in served:
            return Permit(entry)
    return Deny(Reason.CONNECTOR_NOT_ALLOWED, first.entry.resource.id)


def _index(acl: Acl | AclIndex) -> AclIndex:
    return acl if isinstance(acl, AclIndex) else AclIndex(acl)

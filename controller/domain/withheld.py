"""Names that a device was granted and may not reach at the moment, so that strict DNS can keep them on the host (T-55).

A resource whose condition is not met is absent from the whitelist; to its device the name would be nobody's, and the
question would go to the next public resolver. Resources that were never granted are not among these: they do not exist.
"""

from controller.domain.conditions import Source
from controller.domain.evaluate import Subject, acl_for_device
from controller.domain.held import grants_of
from controller.domain.state import PolicyState
from protocol.acl.model import NamePattern


def withheld_names(state: PolicyState, subject: Subject, now: float, *, source: Source = None) -> tuple[str, ...]:
    """Returns the name patterns with a grant that has not expired (at ``now``, Unix seconds) and no entry, sorted."""
    alive = [grant for grant in grants_of(state, subject.owner) if grant.expires is None or grant.expires > now]
    if not state.exclusions and all(grant.policy is None for grant in alive):
        return ()  # nothing can hold anything back
    acl = acl_for_device(state, subject.device, now, source=source)
    held_back = {grant.resource for grant in alive} - {entry.resource.id for entry in acl.entries}
    resources = (state.resources.get(resource) for resource in held_back)
    addresses = (resource.address for resource in resources if resource is not None)
    return tuple(sorted({str(address) for address in addresses if isinstance(address, NamePattern)}))

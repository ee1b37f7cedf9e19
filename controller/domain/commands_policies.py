"""Commands about conditions: policies, exclusions, and what is known of devices."""

from dataclasses import dataclass

from controller.domain.commands import Command
from controller.domain.conditions import Conditions
from controller.domain.model import SubjectKind
from protocol.device_facts import DeviceFacts
from protocol.ids import DeviceId, ExclusionId, PolicyId, ResourceId


@dataclass(frozen=True, slots=True)
class CreatePolicy(Command):
    """Refused when nothing is asked for: a grant without a policy says the same."""

    policy: PolicyId
    name: str
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class ChangePolicy(Command):
    """None leaves a part as it is; ``conditions`` are the whole new ones."""

    policy: PolicyId
    name: str | None = None
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True)
class RemovePolicy(Command):
    """Refused with IN_USE while a grant is under it: the grant would hold without conditions."""

    policy: PolicyId


@dataclass(frozen=True, slots=True)
class CreateExclusion(Command):
    """``expires`` in Unix seconds; None: no end."""

    exclusion: ExclusionId
    subject_kind: SubjectKind
    subject: str
    resource: ResourceId
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class RemoveExclusion(Command):
    """Grants count again."""

    exclusion: ExclusionId


@dataclass(frozen=True, slots=True)
class TrustDevice(Command):
    """An admin vouches for the device."""

    device: DeviceId


@dataclass(frozen=True, slots=True)
class UntrustDevice(Command):
    """The end of that."""

    device: DeviceId


@dataclass(frozen=True, slots=True)
class ReportDeviceFacts(Command):
    """The device says how it is set up, at ``at_s`` (Unix s, the controller's clock). ``facts`` are as the protocol read them.

    Leads to no event when nothing changed and no policy needs a younger report than the one that is known.
    """

    device: DeviceId
    facts: DeviceFacts
    at_s: int

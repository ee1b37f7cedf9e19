"""Events of conditions: policies, and exclusions that beat every grant."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.conditions import Conditions
from controller.domain.events.base import Event
from controller.domain.model import SubjectKind
from protocol.ids import ExclusionId, PolicyId, ResourceId


@dataclass(frozen=True, slots=True)
class PolicyCreated(Event):
    """Grants can ask for these conditions. They hold network ranges and hours, but nothing about a person."""

    TYPE: ClassVar[str] = "policy.created/1"
    STREAM_FIELD: ClassVar[str] = "policy"
    policy: PolicyId
    name: str
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class PolicyChanged(Event):
    """The policy's whole new content, for all grants under it."""

    TYPE: ClassVar[str] = "policy.changed/1"
    STREAM_FIELD: ClassVar[str] = "policy"
    policy: PolicyId
    name: str
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class PolicyRemoved(Event):
    """A policy under which no grant was left is gone."""

    TYPE: ClassVar[str] = "policy.removed/1"
    STREAM_FIELD: ClassVar[str] = "policy"
    policy: PolicyId


@dataclass(frozen=True, slots=True)
class ExclusionCreated(Event):
    """The subject may not reach the resource, whatever grants say, until ``expires`` (Unix s; None: no end)."""

    TYPE: ClassVar[str] = "exclusion.created/1"
    STREAM_FIELD: ClassVar[str] = "exclusion"
    exclusion: ExclusionId
    subject_kind: SubjectKind
    subject: str
    resource: ResourceId
    expires: int | None


@dataclass(frozen=True, slots=True)
class ExclusionRemoved(Event):
    """Grants count again."""

    TYPE: ClassVar[str] = "exclusion.removed/1"
    STREAM_FIELD: ClassVar[str] = "exclusion"
    exclusion: ExclusionId

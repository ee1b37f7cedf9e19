"""The policy document as text: read strictly, written so that reading it gives the same again.

networks:          [{name, egress_allow}]
resources:         [{name, network, address, ports: {tcp, udp, icmp}, lease_s}]
groups:            [{name, members}]
service_accounts:  [{name, disabled}]
users:             [{user, role, disabled}]
policies:          [{name, conditions}]
exclusions:        [{who, resource, expires}]
grants:            [{to, resource, expires, policy}]
expect:            ["ada@corp.example can reach wiki", "service-account:ci cannot reach db:5432/tcp"]
"""

import re
from typing import Any, Final

import yaml

from controller.domain.conditions import FACTS_MAX_AGE_DEFAULT_S, Conditions, SystemRule
from controller.domain.desired import (
    NO_PORTS,
    Desired,
    DesiredExclusion,
    DesiredGrant,
    DesiredGroup,
    DesiredNetwork,
    DesiredPolicy,
    DesiredResource,
    DesiredServiceAccount,
    DesiredUser,
    Expectation,
    Named,
)
from controller.domain.desired_fields import (
    SUBJECT_WORDS,
    Members,
    choice,
    flag,
    listed,
    moment,
    moment_text,
    named,
    named_text,
    number,
    ports,
    text,
)
from controller.domain.hours import Hours, Window
from controller.domain.model import Role, SubjectKind
from controller.domain.rules import printable
from controller.domain.yaml_text import DocumentError, Node, read_yaml_untrusted
from protocol.acl.model import Ports
from protocol.limits import LEASE_DEFAULT_S, POLICY_DOCUMENT_MAX_BYTES

_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""libyaml's where it is built in: several times quicker."""
_DAYS: Final = {name: number for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 1)}
_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])\Z", re.ASCII)
_EXPECT: Final = re.compile(r"(?P<who>\S.*?)\s+(?P<verb>can|cannot) reach\s+(?P<what>\S.*)\Z")


def read_document_untrusted(document: str) -> Desired:
    """Returns what the document says. Raises DocumentError naming the first line that is wrong."""
    if len(document.encode("utf-8", "replace")) > POLICY_DOCUMENT_MAX_BYTES:
        raise DocumentError(0, f"a policy document has at most {POLICY_DOCUMENT_MAX_BYTES} bytes")
    members = Members(read_yaml_untrusted(document), "a policy document")
    desired = Desired(
        networks=members.maybe("networks", listed(_network)),
        resources=members.maybe("resources", listed(_resource)),
        groups=members.maybe("groups", listed(_group)),
        service_accounts=members.maybe("service_accounts", listed(_service_account)),
        users=members.maybe("users", listed(_user)),
        policies=members.maybe("policies", listed(_policy)),
        exclusions=members.maybe("exclusions", listed(_exclusion)),
        grants=members.maybe("grants", listed(_grant)),
        expect=members.get("expect", listed(_expectation), ()),
    )
    members.end()
    return desired


def write_document(desired: Desired) -> str:
    """Returns the document; ``read_document_untrusted`` of it equals ``desired``."""
    body: dict[str, Any] = {}
    sections: tuple[tuple[str, Any, Any], ...] = (
        ("networks", desired.networks, lambda item: {"name": item.name, **_list("egress_allow", item.egress_allow)}),
        ("resources", desired.resources, _resource_body),
        ("groups", desired.groups, _group_body),
        (
            "service_accounts",
            desired.service_accounts,
            lambda item: {"name": item.name, **_set(disabled=item.disabled)},
        ),
        ("users", desired.users, _user_body),
        (
            "policies",
            desired.policies,
            lambda item: {"name": item.name, "conditions": _conditions_body(item.conditions)},
        ),
        ("exclusions", desired.exclusions, lambda item: {"who": named_text(item.who), **_target_body(item)}),
        ("grants", desired.grants, lambda item: {"to": named_text(item.to), **_target_body(item), **_policy_of(item)}),
    )
    for name, items, shape in sections:
        if items is not None:
            body[name] = [shape(item) for item in items]
    if desired.expect:
        body["expect"] = [item.text for item in desired.expect]
    written: str = yaml.dump(
        body, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False
    )
    return written


def _network(node: Node) -> DesiredNetwork:
    members = Members(node, "a network")
    found = DesiredNetwork(members.need("name", text), members.get("egress_allow", listed(text), ()), node.line)
    members.end()
    return found


def _resource(node: Node) -> DesiredResource:
    members = Members(node, "a resource")
    found = DesiredResource(
        members.need("name", text),
        members.need("network", text),
        members.need("address", text),
        members.get("ports", ports, NO_PORTS),
        members.get("lease_s", number, LEASE_DEFAULT_S),
        node.line,
    )
    members.end()
    return found


def _group(node: Node) -> DesiredGroup:
    members = Members(node, "a group")
    found = DesiredGroup(members.need("name", text), members.maybe("members", listed(text)), node.line)
    members.end()
    return found


def _service_account(node: Node) -> DesiredServiceAccount:
    members = Members(node, "a service account")
    found = DesiredServiceAccount(members.need("name", text), members.get("disabled", flag, False), node.line)
    members.end()
    return found


def _user(node: Node) -> DesiredUser:
    members = Members(node, "a user")
    roles = {role.value: role for role in Role}
    found = DesiredUser(
        members.need("user", text), members.maybe("role", choice(roles)), members.maybe("disabled", flag), node.line
    )
    members.end()
    return found


def _policy(node: Node) -> DesiredPolicy:
    members = Members(node, "a policy")
    found = DesiredPolicy(members.need("name", text), members.need("conditions", _conditions), node.line)
    members.end()
    return found


def _conditions(node: Node) -> Conditions:
    members = Members(node, "conditions")
    found = Conditions(
        sign_in_max_age_s=members.maybe("sign_in_max_age_s", number),
        mfa_max_age_s=members.maybe("mfa_max_age_s", number),
        device_trusted=members.get("device_trusted", flag, False),
        systems=members.get("systems", listed(_system), ()),
        disk_encrypted=members.get("disk_encrypted", flag, False),
        firewall=members.get("firewall", flag, False),
        client_min_version=members.get("client_min_version", text, ""),
        facts_max_age_s=members.get("facts_max_age_s", number, FACTS_MAX_AGE_DEFAULT_S),
        sources=members.get("sources", listed(text), ()),
        hours=members.maybe("hours", _hours),
    )
    members.end()
    return found


def _system(node: Node) -> SystemRule:
    members = Members(node, "a system")
    found = SystemRule(members.need("name", text), members.get("min_version", text, ""))
    members.end()
    return found


def _hours(node: Node) -> Hours:
    members = Members(node, "hours")
    found = Hours(members.need("zone", text), members.need("windows", listed(_window)))
    members.end()
    return found


def _window(node: Node) -> Window:
    members = Members(node, "a window")
    days = members.need("days", listed(choice(_DAYS)))
    found = Window(days, members.need("start", _clock), members.need("end", _clock))
    members.end()
    return found


def _clock(node: Node) -> int:
    word = text(node)
    match = _CLOCK.match(word)
    minutes = int(match[1]) * 60 + int(match[2]) if match is not None else 24 * 60 + 1
    if minutes > 24 * 60:
        raise DocumentError(node.line, f"{printable(word)!r} is not a time of day such as 09:00")
    return minutes


def _exclusion(node: Node) -> DesiredExclusion:
    members = Members(node, "an exclusion")
    found = DesiredExclusion(
        members.need("who", named), members.need("resource", text), members.maybe("expires", moment), node.line
    )
    members.end()
    return found


def _grant(node: Node) -> DesiredGrant:
    members = Members(node, "a grant")
    found = DesiredGrant(
        members.need("to", named),
        members.need("resource", text),
        members.maybe("expires", moment),
        members.maybe("policy", text),
        node.line,
    )
    members.end()
    return found


def _expectation(node: Node) -> Expectation:
    written = text(node)
    match = _EXPECT.match(written)
    if match is None:
        raise DocumentError(node.line, f"{printable(written)!r} is not `USER can reach RESOURCE` or `… cannot reach …`")
    word, colon, name = match["who"].partition(":")
    kind = SUBJECT_WORDS.get(word) if colon else None
    if kind is SubjectKind.GROUP:
        raise DocumentError(node.line, "a group reaches nothing by itself; name one of its members")
    who = Named(SubjectKind.USER, match["who"]) if kind is None else Named(kind, name.strip())
    return Expectation(who, match["verb"] == "can", match["what"], written, node.line)


# --- writing ---------------------------------------------------------------------------------------------------------


def _resource_body(item: DesiredResource) -> dict[str, Any]:
    body = {"name": item.name, "network": item.network, "address": item.address, "ports": _ports_body(item.ports)}
    return {**body, "lease_s": item.lease_s}


def _ports_body(item: Ports) -> dict[str, Any]:
    tcp, udp = ([_port_text(str(one)) for one in ranges] for ranges in (item.tcp, item.udp))
    return {**_list("tcp", tcp), **_list("udp", udp), **_set(icmp=item.icmp)}


def _port_text(word: str) -> int | str:
    return int(word) if word.isdigit() else word


def _group_body(item: DesiredGroup) -> dict[str, Any]:
    return {"name": item.name, **({} if item.members is None else {"members": list(item.members)})}


def _user_body(item: DesiredUser) -> dict[str, Any]:
    role = {} if item.role is None else {"role": item.role.value}
    return {"user": item.user, **role, **({} if item.disabled is None else {"disabled": item.disabled})}


def _target_body(item: DesiredGrant | DesiredExclusion) -> dict[str, Any]:
    expires = {} if item.expires is None else {"expires": moment_text(item.expires)}
    return {"resource": item.resource, **expires}


def _policy_of(item: DesiredGrant) -> dict[str, Any]:
    return {} if item.policy is None else {"policy": item.policy}


def _conditions_body(item: Conditions) -> dict[str, Any]:
    ages = {"sign_in_max_age_s": item.sign_in_max_age_s, "mfa_max_age_s": item.mfa_max_age_s}
    body: dict[str, Any] = {name: value for name, value in ages.items() if value is not None}
    body |= _set(device_trusted=item.device_trusted)
    if item.systems:
        body["systems"] = [{"name": rule.name, **_set(min_version=rule.min_version)} for rule in item.systems]
    body |= _set(disk_encrypted=item.disk_encrypted, firewall=item.firewall)
    body |= _set(client_min_version=item.client_min_version)
    if item.facts_max_age_s != FACTS_MAX_AGE_DEFAULT_S:
        body["facts_max_age_s"] = item.facts_max_age_s
    body |= _list("sources", item.sources)
    if item.hours is not None:
        body["hours"] = {"zone": item.hours.zone, "windows": [_window_body(window) for window in item.hours.windows]}
    return body


def _window_body(item: Window) -> dict[str, Any]:
    names = {number: name for name, number in _DAYS.items()}
    clock = [f"{minute // 60:02}:{minute % 60:02}" for minute in (item.start, item.end)]
    return {"days": [names[day] for day in item.days], "start": clock[0], "end": clock[1]}


def _list(name: str, items: Any) -> dict[str, Any]:
    return {name: list(items)} if items else {}


def _set(**values: object) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}

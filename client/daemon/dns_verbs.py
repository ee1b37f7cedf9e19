"""The control socket's verbs about DNS: ``dns_status``, ``dns_query``, ``dns_reset``."""

from collections.abc import Mapping
from typing import Any

from client.daemon.access_control import may_change_trust
from client.daemon.host_dns import HostDns
from client.daemon.proxy_names import ProxyNames
from client.daemon.verbs import Verb
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.status_socket import Emit, Peer


def dns_verbs(names: HostDns | ProxyNames) -> dict[str, Verb]:
    """Returns the verbs by name."""

    async def status(_args: Mapping[str, Any], _peer: Peer, _emit: Emit) -> Mapping[str, Any]:
        return names.describe()

    async def query(args: Mapping[str, Any], _peer: Peer, _emit: Emit) -> Mapping[str, Any]:
        name, kind = args.get("name"), args.get("type", "A")
        if not isinstance(name, str) or not isinstance(kind, str) or not name:
            raise LocalError(Reason.INVALID_INPUT, "name, and a type such as A or TXT, are wanted")
        return await names.query(name, kind)

    async def reset(args: Mapping[str, Any], peer: Peer, _emit: Emit) -> Mapping[str, Any]:
        forget = args.get("forget", False)
        if not isinstance(forget, bool):
            raise LocalError(Reason.INVALID_INPUT, "forget is true or false")
        if forget and not may_change_trust(peer):
            raise LocalError(Reason.NEEDS_ROOT, "only root may open what strict DNS keeps closed")
        return await names.reset(forget=forget)

    return {"dns_status": status, "dns_query": query, "dns_reset": reset}

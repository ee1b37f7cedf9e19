"""Why what an identity provider sent was refused, as the audit trail says it: a word of a closed list, never a claim's content.

The sentence beside it is for the person at the browser; it may quote a word of the provider's, the trail does not.
"""

from enum import Enum, unique

from protocol.errors import RefusedError
from protocol.reasons import Reason


@unique
class IdentityRule(Enum):
    """The rule that was broken. ``docs/people.md`` lists what each asks of the provider."""

    DISCOVERY = "discovery"
    DISCOVERY_ISSUER = "discovery-issuer"
    PROVIDER_KEYS = "provider-keys"
    PROVIDER_ANSWER = "provider-answer"
    CLIENT_SECRET = "client-secret"  # noqa: S105 - a word
    FLOW = "flow"
    FLOW_STATE = "flow-state"
    FLOW_EXPIRED = "flow-expired"
    FLOW_ISSUER = "flow-issuer"
    PROVIDER_REFUSED = "provider-refused"
    CODE = "code"
    ID_TOKEN_MISSING = "id-token-missing"  # noqa: S105 - a word
    ID_TOKEN_FORMAT = "id-token-format"  # noqa: S105 - a word
    SIGNATURE = "signature"
    ALGORITHM = "algorithm"
    KEY = "key"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    NONCE = "nonce"
    TIMES = "times"
    NOT_ANEW = "not-anew"
    SUBJECT = "subject"
    OTHER_CLAIMS = "other-claims"
    USERINFO = "userinfo"
    EMAIL_DOMAIN = "email-domain"
    EMAIL_UNVERIFIED = "email-unverified"
    GROUPS_CLAIM = "groups-claim"
    GROUPS_CLAIM_MISSING = "groups-claim-missing"


class IdentityRefusedError(RefusedError):
    """IDENTITY_REFUSED by ``rule``."""

    def __init__(self, rule: IdentityRule, detail: str) -> None:
        super().__init__(Reason.IDENTITY_REFUSED, detail)
        self.rule = rule


def refused(rule: IdentityRule, detail: str) -> IdentityRefusedError:
    """The refusal of whatever a provider, or somebody in its place, has sent."""
    return IdentityRefusedError(rule, detail)

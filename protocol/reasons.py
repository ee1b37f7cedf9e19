"""The one closed vocabulary of failure.

The same member is exception field, log key, metric label, wire code (``number`` on the mux, ``code`` in JSON), API
problem code and the sentence that a person reads. A number, once given out, is never reused or changed.
"""

from enum import Enum, unique


@unique
class Reason(Enum):
    """``(wire number, sentence, next step)``; ``code`` is the member's name in lower case."""

    # 0-19: not failures, or general ones
    NORMAL = (0, "Closed normally.", "")
    INTERNAL = (1, "Ostiary itself failed.", "Look into the component's log and report it with `ostiary report`.")
    PROTOCOL_ERROR = (2, "The other side broke the protocol.", "Check that both sides run supported versions.")
    VERSION_UNSUPPORTED = (3, "The other side's protocol version is not supported.", "Upgrade the older component.")
    SHUTTING_DOWN = (4, "The component is shutting down.", "Try again; another one takes over where there is one.")
    TIMEOUT = (5, "It took too long.", "Try again; `ostiary doctor` names the slow part.")
    LIMIT_EXCEEDED = (6, "A limit was exceeded.", "Slow down or ask an administrator to raise the limit.")
    CANCELLED = (7, "The application gave up.", "")
    UNAVAILABLE = (8, "The component cannot serve this at the moment.", "Try again in a few seconds.")
    RATE_LIMITED = (9, "Too many attempts.", "Wait for the time that the answer names.")

    # 20-39: policy. What `decide` and the evaluator can say
    NOT_A_RESOURCE = (20, "This address is not a resource for you.", "Ask an administrator for access.")
    NO_GRANT = (21, "No grant gives you this resource.", "Ask the people named by `ostiary explain` for access.")
    PORT_NOT_ALLOWED = (22, "The resource does not include this port.", "Ask an administrator to add the port.")
    PROTOCOL_NOT_ALLOWED = (23, "The resource does not include this protocol.", "Ask an administrator to add it.")
    GRANT_EXPIRED = (24, "Your grant for this resource has expired.", "Run `ostiary explain`, or ask for a new grant.")
    CONNECTOR_NOT_ALLOWED = (25, "The connector may not serve this destination.", "Ask an administrator.")
    EGRESS_FORBIDDEN = (26, "The connector never connects to this kind of address.", "Ask an administrator.")
    USER_DISABLED = (27, "Your account is disabled.", "Ask an administrator.")
    DEVICE_REVOKED = (28, "This device was revoked.", "Sign in again or ask an administrator.")
    SESSION_ENDED = (29, "Your sign-in has ended.", "Run `ostiary login`.")
    ACCESS_REVOKED = (30, "Your access was revoked while the connection was open.", "Ask an administrator.")
    LEASE_EXPIRED = (31, "The controller was away for longer than the lease allows.", "Wait until it is back.")
    RESOURCE_CHANGED = (32, "The resource was changed or removed.", "Run `ostiary resources` to see what you have.")
    SERVICE_ACCOUNT_DISABLED = (33, "The service account is disabled.", "Ask an administrator.")
    MFA_REQUIRED = (34, "This resource needs a recent second factor.", "Run `ostiary login` and give your code.")
    DEVICE_NOT_TRUSTED = (35, "This resource needs a trusted device.", "Ask an administrator to trust this device.")
    POSTURE_FAILED = (
        36,
        "This device does not meet the resource's policy.",
        "Run `ostiary explain` to see what to mend.",
    )
    SOURCE_NOT_ALLOWED = (37, "This resource cannot be reached from where you are.", "Go to a place that is allowed.")
    OUTSIDE_HOURS = (38, "This resource cannot be reached at this hour.", "Run `ostiary explain` to see the hours.")
    SIGN_IN_TOO_OLD = (39, "Your sign-in is too old for this resource.", "Run `ostiary login` again.")

    # 40-69: tokens, keys and proofs
    TOKEN_MALFORMED = (40, "A token is malformed.", "Run `ostiary doctor`.")
    TOKEN_SIGNATURE = (41, "A token's signature is wrong.", "Check that both sides use the same controller.")
    TOKEN_KEY_UNKNOWN = (42, "A token is signed by an unknown key.", "Check that both sides use the same controller.")
    TOKEN_EXPIRED = (43, "A token has expired.", "Check the clocks of both hosts.")
    TOKEN_NOT_YET_VALID = (44, "A token is from the future.", "Check the clocks of both hosts.")
    TOKEN_AUDIENCE = (45, "A token is meant for somebody else.", "Run `ostiary doctor`.")
    TOKEN_ISSUER = (46, "A token comes from another controller.", "Check which controller each side uses.")
    TOKEN_TYPE = (47, "A token is of the wrong kind.", "Run `ostiary doctor`.")
    TOKEN_CLAIM = (48, "A token lacks a claim or holds a wrong one.", "Check that both sides run the same version.")
    TOKEN_REVOKED = (49, "The token was revoked.", "Sign in again.")
    PROOF_INVALID = (50, "The proof of possession is wrong.", "Run `ostiary doctor`.")
    PROOF_MISSING = (51, "No proof of possession was given.", "Upgrade the client.")
    PIN_MISMATCH = (
        52,
        "The certificate is not the one that was expected.",
        "Compare the pins with an administrator; somebody may be in between.",
    )
    CERTIFICATE_UNTRUSTED = (53, "The server's certificate is not trusted.", "Check the CA pin.")
    SNAPSHOT_ROLLBACK = (54, "The policy offered is older than the one already seen.", "Check the controller.")
    CLOCK_OFFSET = (55, "This host's clock is wrong.", "Set the clock (for example with chrony).")
    TLS_FAILED = (56, "The encrypted connection could not be set up.", "Run `ostiary doctor`.")
    LOG_CONFLICT = (
        60,
        "The controller's log contradicts what was witnessed of it.",
        "Compare `ostiary-connector witness export` with `ostiary-controller events verify --witness FILE`.",
    )

    # 70-89: enrolment, sign-in, API
    ENROLMENT_INVALID = (70, "The enrolment token is not valid.", "Ask an administrator for a new one.")
    ENROLMENT_USED = (71, "The enrolment token was already used.", "Ask an administrator for a new one.")
    ENROLMENT_EXPIRED = (72, "The enrolment token has expired.", "Ask an administrator for a new one.")
    SIGN_IN_REQUIRED = (73, "You are not signed in.", "Run `ostiary login`.")
    SIGN_IN_FAILED = (74, "The name or the password is wrong.", "Try again.")
    AUTHORIZATION_PENDING = (75, "The sign-in was not approved yet.", "Open the page and approve it.")
    SLOW_DOWN = (76, "The sign-in is polled too often.", "Wait longer between polls.")
    SIGN_IN_DENIED = (77, "The sign-in was denied.", "Start again with `ostiary login`.")
    SIGN_IN_EXPIRED = (78, "The sign-in code has expired.", "Start again with `ostiary login`.")
    FORBIDDEN = (79, "Your role does not permit this.", "Ask an owner.")
    NOT_FOUND = (80, "There is no such thing, or it is not yours to see.", "List what there is.")
    CONFLICT = (81, "It was changed by somebody else in the meantime.", "Read it again and repeat the change.")
    INVALID_INPUT = (82, "The input is not valid.", "Correct what is named.")
    ALREADY_EXISTS = (83, "Something of that name exists already.", "Choose another name.")
    IN_USE = (84, "It is still in use.", "Remove what uses it first.")
    LAST_OWNER = (85, "The last owner cannot be removed.", "Make somebody else an owner first.")
    BODY_TOO_LARGE = (86, "The request is too large.", "Send less at once.")
    DUPLICATE_AGENT = (87, "Another process runs with the same identity.", "Stop one of the two.")
    SIGN_IN_ENDING = (88, "Your sign-in ends soon.", "Run `ostiary auth`: what is open stays open.")

    # 90-109: relay and paths
    RELAY_UNREACHABLE = (90, "No relay could be reached.", "Check that this host may connect to the relay's port.")
    CONNECTOR_NOT_ATTACHED = (91, "The connector is not attached to the relay.", "Start the connector.")
    PAIRING_TIMEOUT = (92, "The connector did not answer the relay in time.", "Check the connector's host.")
    CONTROLLER_UNREACHABLE = (
        93,
        "The controller cannot be reached.",
        "Check its address and the network; a daemon tries again by itself.",
    )
    NO_CONNECTOR = (94, "No connector of this remote network is online.", "Ask an administrator to start one.")
    TUNNEL_LOST = (95, "The tunnel to the connector was lost.", "Try again; a new one is made.")
    PEER_SILENT = (96, "The other side stopped answering.", "Try again.")
    PROXY_UNREACHABLE = (
        97,
        "The HTTP proxy cannot be reached.",
        "Check `upstream_proxy`, or HTTPS_PROXY in the daemon's environment.",
    )
    PROXY_REFUSED = (
        98,
        "The HTTP proxy refused the connection.",
        "Ask those who run the proxy to allow CONNECT to the host and port that are named.",
    )
    PROXY_LOGIN_REQUIRED = (
        99,
        "The HTTP proxy wants a user name and a password.",
        "Put USER:PASSWORD into a file and name it in `upstream_proxy_login_file`.",
    )
    CAPTIVE_NETWORK = (
        100,
        "This network wants you to sign in on its own page first.",
        "Open any http page in a browser and sign in there; the client goes on by itself.",
    )
    NETWORK_OVERLAP = (
        101,
        "A resource has addresses of the network that this host is in; the resource wins.",
        "Local hosts of that range are hidden; ask an administrator to narrow the resource.",
    )

    # 110-129: what the connector met at the destination
    CONNECTION_REFUSED = (110, "The resource refused the connection.", "Check that the service is running.")
    HOST_UNREACHABLE = (111, "The resource's host cannot be reached from the connector.", "Check the host.")
    NETWORK_UNREACHABLE = (112, "The connector has no route to the resource.", "Check the connector's network.")
    CONNECT_TIMEOUT = (113, "The resource did not answer the connector.", "Check the host and its firewall.")
    NAME_NOT_FOUND = (114, "The connector's resolver does not know this name.", "Check the name.")
    RESOLVER_FAILED = (115, "The connector's resolver failed.", "Check the resolver of the connector's host.")
    CONNECTION_RESET = (116, "The resource reset the connection.", "")
    DATAGRAM_TOO_LARGE = (117, "The datagram is too large.", "Send smaller datagrams.")

    # 130-149: this host
    NEEDS_ROOT = (130, "This needs root.", "Run it with sudo, or use the proxy mode (`ostiaryd --mode proxy`).")
    NO_TUN = (131, "There is no TUN device on this host.", "Load the tun module, or use the proxy mode.")
    DAEMON_NOT_RUNNING = (132, "The client daemon is not running.", "Start it: `sudo ostiaryd`, or its service.")
    PERMISSION_DENIED = (133, "You may not do this.", "Use sudo, or ask to be put into group `ostiary`.")
    PORT_IN_USE = (134, "The port is already in use.", "Stop the other program or choose another port.")
    CONFIG_INVALID = (135, "The configuration is not valid.", "Correct the key that is named.")
    ADDRESS_COLLISION = (136, "The address pool collides with this host's network.", "Choose another pool.")
    ALREADY_RUNNING = (137, "Another instance is already running.", "Stop it first.")
    DNS_SETUP_FAILED = (138, "The host's resolver settings could not be changed.", "Run `ostiary doctor`.")
    STATE_CORRUPT = (139, "A state file is damaged.", "Move it away and sign in or enrol again.")
    SCHEMA_NEWER = (140, "The database was written by a newer version.", "Run that version, or restore a backup.")
    SCHEMA_OLDER = (141, "The database is of an older version.", "Run `ostiary-controller db upgrade`.")
    NOT_ENROLLED = (142, "This component is not enrolled.", "Run its `enroll` command with an enrolment token.")
    SELF_TEST_FAILED = (143, "Traffic through the TUN device is blocked.", "Check firewall rules and rp_filter.")
    NOT_SET_UP = (144, "The controller is not set up.", "Run `ostiary-controller init`.")
    NO_RESOLVER = (145, "The proxy mode has no resolver.", "Ask `ostiary explain NAME`.")
    BACKUP_INVALID = (148, "The backup or export is damaged or incomplete.", "Use another one.")
    RESTORE_PENDING = (
        149,
        "The database was restored from a backup and its epoch was not raised yet.",
        "Review what was lost, then run `ostiary-controller restore --bump-epoch`.",
    )

    # 150-159: policy, continued
    EXCLUDED = (150, "You are excluded from this resource.", "Ask the people named by `ostiary explain`.")
    POSTURE_UNKNOWN = (151, "This device has not said lately how it is set up.", "Check that `ostiaryd` is connected.")
    NAME_WITHHELD = (
        152,
        "Strict DNS keeps this name on this host while you may not reach it.",
        "Run `ostiary explain`.",
    )

    # 160-169: second factors and identity providers
    SECOND_FACTOR_REQUIRED = (160, "A second factor is needed.", "Run `ostiary admin account totp enable`.")
    SECOND_FACTOR_WRONG = (161, "The code is wrong or was used before.", "Wait for the next code and try again.")
    SIGN_IN_NOT_RECENT = (162, "Your sign-in is too old for this change.", "Sign in again and repeat it.")
    IDENTITY_PROVIDER_UNREACHABLE = (163, "The identity provider cannot be reached.", "Try again in a minute.")
    IDENTITY_REFUSED = (
        164,
        "The identity provider's answer was not accepted.",
        "Start the sign-in again; if it stays so, tell an administrator.",
    )
    IDENTITY_UNKNOWN = (165, "No account belongs to this identity.", "Ask an administrator for an account.")

    # 170-179: records, enforcement, exports
    END_UNKNOWN = (170, "The end of this connection was not reported.", "Look into the log of the connector's host.")
    DIGEST_MISMATCH = (
        171,
        "An agent enforces something else than it was sent.",
        "Revoke the agent and look into its host.",
    )
    DESTINATION_FORBIDDEN = (172, "Records are never sent to this kind of address.", "Choose another address.")

    # 180-189: plans
    PLAN_REFUSED = (180, "The plan cannot be applied.", "Mend what it names and make a new plan.")

    def __init__(self, number: int, sentence: str, next_step: str) -> None:
        self.number = number
        self.sentence = sentence
        self.next_step = next_step

    @property
    def code(self) -> str:
        """The stable name in JSON, logs, metrics and the API."""
        return self.name.lower()

    def __str__(self) -> str:
        return self.code


_BY_NUMBER = {reason.number: reason for reason in Reason}
_BY_CODE = {reason.code: reason for reason in Reason}


def reason_from_number(number: int) -> Reason:
    """Returns the member with this wire number; an unknown one (a newer peer's) becomes INTERNAL."""
    return _BY_NUMBER.get(number, Reason.INTERNAL)


def reason_from_code(code: str) -> Reason:
    """Returns the member with this code; an unknown one (a newer peer's) becomes INTERNAL."""
    return _BY_CODE.get(code, Reason.INTERNAL)

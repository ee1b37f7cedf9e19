"""The vocabulary of failure is closed, stable and helpful."""

import pytest

from protocol.reasons import Reason, reason_from_code, reason_from_number

# Numbers and codes that were given out. Lines are only ever added: a change of one breaks every peer and every dashboard.
GOLDEN = {
    0: "normal",
    1: "internal",
    2: "protocol_error",
    3: "version_unsupported",
    4: "shutting_down",
    5: "timeout",
    6: "limit_exceeded",
    7: "cancelled",
    8: "unavailable",
    9: "rate_limited",
    20: "not_a_resource",
    21: "no_grant",
    22: "port_not_allowed",
    23: "protocol_not_allowed",
    24: "grant_expired",
    25: "connector_not_allowed",
    26: "egress_forbidden",
    27: "user_disabled",
    28: "device_revoked",
    29: "session_ended",
    30: "access_revoked",
    31: "lease_expired",
    32: "resource_changed",
    33: "service_account_disabled",
    34: "mfa_required",
    35: "device_not_trusted",
    36: "posture_failed",
    37: "source_not_allowed",
    38: "outside_hours",
    39: "sign_in_too_old",
    40: "token_malformed",
    41: "token_signature",
    42: "token_key_unknown",
    43: "token_expired",
    44: "token_not_yet_valid",
    45: "token_audience",
    46: "token_issuer",
    47: "token_type",
    48: "token_claim",
    49: "token_revoked",
    50: "proof_invalid",
    51: "proof_missing",
    52: "pin_mismatch",
    53: "certificate_untrusted",
    54: "snapshot_rollback",
    55: "clock_offset",
    56: "tls_failed",
    60: "log_conflict",
    70: "enrolment_invalid",
    71: "enrolment_used",
    72: "enrolment_expired",
    73: "sign_in_required",
    74: "sign_in_failed",
    75: "authorization_pending",
    76: "slow_down",
    77: "sign_in_denied",
    78: "sign_in_expired",
    79: "forbidden",
    80: "not_found",
    81: "conflict",
    82: "invalid_input",
    83: "already_exists",
    84: "in_use",
    85: "last_owner",
    86: "body_too_large",
    87: "duplicate_agent",
    88: "sign_in_ending",
    90: "relay_unreachable",
    91: "connector_not_attached",
    92: "pairing_timeout",
    93: "controller_unreachable",
    94: "no_connector",
    95: "tunnel_lost",
    96: "peer_silent",
    97: "proxy_unreachable",
    98: "proxy_refused",
    99: "proxy_login_required",
    100: "captive_network",
    101: "network_overlap",
    110: "connection_refused",
    111: "host_unreachable",
    112: "network_unreachable",
    113: "connect_timeout",
    114: "name_not_found",
    115: "resolver_failed",
    116: "connection_reset",
    117: "datagram_too_large",
    130: "needs_root",
    131: "no_tun",
    132: "daemon_not_running",
    133: "permission_denied",
    134: "port_in_use",
    135: "config_invalid",
    136: "address_collision",
    137: "already_running",
    138: "dns_setup_failed",
    139: "state_corrupt",
    140: "schema_newer",
    141: "schema_older",
    142: "not_enrolled",
    143: "self_test_failed",
    144: "not_set_up",
    150: "excluded",
    151: "posture_unknown",
    148: "backup_invalid",
    149: "restore_pending",
    170: "end_unknown",
    171: "digest_mismatch",
    172: "destination_forbidden",
    180: "plan_refused",
    160: "second_factor_required",
    161: "second_factor_wrong",
    162: "sign_in_not_recent",
    163: "identity_provider_unreachable",
    164: "identity_refused",
    165: "identity_unknown",
}

# Nothing that a person could do about them: they are normal ends, or the other side's own doing.
NOTHING_TO_DO = {Reason.NORMAL, Reason.CANCELLED, Reason.CONNECTION_RESET}


def test_numbers_and_codes_given_out_never_change() -> None:
    now = {reason.number: reason.code for reason in Reason}
    assert {number: now.get(number) for number in GOLDEN} == GOLDEN


def test_numbers_and_codes_are_unique() -> None:
    assert len({reason.number for reason in Reason}) == len(Reason)
    assert len({reason.code for reason in Reason}) == len(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_number_fits_the_wire_and_code_is_its_name(reason: Reason) -> None:
    assert 0 <= reason.number < 2**16
    assert reason.code == reason.name.lower() == str(reason)
    assert reason.code.replace("_", "").isalpha()


@pytest.mark.parametrize("reason", Reason)
def test_sentence_is_a_sentence(reason: Reason) -> None:
    assert reason.sentence[0].isupper()
    assert reason.sentence.endswith(".")
    assert len(reason.sentence) <= 100


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in NOTHING_TO_DO])
def test_failure_names_a_next_step(reason: Reason) -> None:
    assert reason.next_step[0].isupper()
    assert reason.next_step.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_round_trip(reason: Reason) -> None:
    assert reason_from_number(reason.number) is reason
    assert reason_from_code(reason.code) is reason


def test_what_a_newer_peer_says_is_internal() -> None:
    assert reason_from_number(65535) is Reason.INTERNAL
    assert reason_from_number(-1) is Reason.INTERNAL
    assert reason_from_code("from_the_future") is Reason.INTERNAL
    assert reason_from_code("NORMAL") is Reason.INTERNAL

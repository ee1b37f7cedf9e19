"""A request closes by itself, and an answer stays."""

from dataclasses import replace

import pytest

from controller.domain.request_model import AccessRequest, RequestStatus
from protocol.ids import AccessRequestId, UserId

REQUEST = AccessRequest(
    AccessRequestId("arq_1"), UserId("usr_1"), None, "db.corp", None, None, 60, created_ms=1_000_000, expires=2_000
)


def test_it_is_open_until_its_last_second() -> None:
    assert REQUEST.status_at(1_999.9) is RequestStatus.OPEN
    assert REQUEST.status_at(2_000) is RequestStatus.EXPIRED


@pytest.mark.parametrize("answer", [RequestStatus.APPROVED, RequestStatus.DENIED, RequestStatus.WITHDRAWN])
def test_an_answer_outlives_the_request(answer: RequestStatus) -> None:
    assert replace(REQUEST, answer=answer).status_at(9_999) is answer

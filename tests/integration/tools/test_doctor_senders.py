"""Findings of the doctor about deliveries that jambonz has sent."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from callhooks.calls.repository import CallStore
from callhooks.events.event_item import event_of_item
from callhooks_tools.providers.registry import sender_findings
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding, FindingLevel
from callhooks_tools.stack.stack import StackResource
from callhooks_tools.stack.template import ALIAS

from tests.calls import fold
from tests.integration.conftest import TABLE, Aws, Handler
from tests.integration.tools.test_doctor import Account, archive, bare
from tests.publishing import publish
from tests.sip_clients import attempt
from tests.support import Event, body_of, signed_event, without_header

__all__ = ["bare"]

FUNCTION = "JambonzNewCallFunction"
LOG_GROUP = "/aws/lambda/new-call"


@pytest.fixture
def deployment(aws: Aws, bare: Account) -> Deployment:
    boto3.client("logs").create_log_group(logGroupName=LOG_GROUP)
    boto3.client("logs").create_log_stream(logGroupName=LOG_GROUP, logStreamName="stream")
    role = boto3.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    boto3.client("lambda").create_function(
        FunctionName=FUNCTION,
        Role=role,
        Runtime="python3.13",
        Handler="app.handler",
        Code={"ZipFile": archive()},
        Publish=True,
    )
    boto3.client("lambda").create_alias(FunctionName=FUNCTION, Name=ALIAS, FunctionVersion="1")
    outputs = replace(bare.deployment.outputs, parameters={"JambonzSignatureHeader": "Jambonz-Signature"})
    resources = [
        StackResource("AWS::Logs::LogGroup", "JambonzNewCallLogGroup", LOG_GROUP),
        StackResource("AWS::Lambda::Function", FUNCTION, FUNCTION),
    ]
    return replace(bare.deployment, outputs=outputs, resources=resources)


def findings(deployment: Deployment, now: datetime | None = None) -> list[Finding]:
    return list(sender_findings(deployment, now or datetime.now(UTC)))


def call(call_sid: str) -> Event:
    return signed_event({**body_of("new_call"), "call_sid": call_sid}, now=datetime.now(UTC))


def projected(aws: Aws, handler: Handler, *events: Event) -> None:
    """Deliver events, and store their calls as the projector does."""
    for event in events:
        assert handler(event).statusCode == 200
    store = CallStore(aws.dynamodb, TABLE)
    for item in aws.items():
        if item["sk"]["S"].startswith("event#") and "call_id" in item:
            store.write_if_newer(item["pk"]["S"], fold([event_of_item(item)]), expires_at=None)


def log_lines(log: io.StringIO, *, age: timedelta = timedelta(0)) -> None:
    events: list[Any] = [
        {"timestamp": int((datetime.now(UTC) - age).timestamp() * 1000), "message": line}
        for line in log.getvalue().splitlines()
    ]
    boto3.client("logs").put_log_events(logGroupName=LOG_GROUP, logStreamName="stream", logEvents=events)


def remove_webhook_secret() -> None:
    text = json.dumps({"webhook_secrets": []})
    boto3.client("secretsmanager").put_secret_value(SecretId="webhook-secrets", SecretString=text)


class TestSignatures:
    def test_that_do_not_arrive_are_a_warning(self, aws: Aws, deployment: Deployment, new_container: Any) -> None:
        remove_webhook_secret()
        unsigned = (without_header(call(f"call-{number}"), "jambonz-signature") for number in range(3))
        projected(aws, new_container("jambonz_new_call"), *unsigned)
        (finding,) = findings(deployment)
        assert (finding.level, finding.check) == (FindingLevel.WARNING, "jambonz signatures")
        assert "stored as one event" in finding.message
        assert "JambonzSignatureHeader to its name (now Jambonz-Signature)" in finding.remedy

    def test_that_arrive_give_no_finding_even_without_a_secret(
        self, aws: Aws, deployment: Deployment, new_container: Any
    ) -> None:
        projected(aws, new_container("jambonz_new_call"), call("call-1"))
        assert findings(deployment) == []
        remove_webhook_secret()
        own = without_header(call("callhooks-doctor-1"), "jambonz-signature")
        projected(aws, new_container("jambonz_new_call"), call("call-2"), own)
        assert findings(deployment) == []

    def test_that_are_missing_although_a_secret_is_set_are_a_failure(
        self, aws: Aws, deployment: Deployment, new_container: Callable[..., Handler], log: io.StringIO
    ) -> None:
        renamed = without_header(call("call-1"), "jambonz-signature")
        assert new_container("jambonz_new_call")(renamed).statusCode == 401
        log_lines(log)
        (finding,) = findings(deployment)
        assert (finding.level, finding.check) == (FindingLevel.FAILURE, "jambonz signatures")
        assert "without the header Jambonz-Signature were rejected (401) by JambonzNewCallFunction" in finding.message
        assert findings(deployment, datetime.now(UTC) + timedelta(days=2)) == []

    def test_that_were_missing_before_the_function_changed_give_no_finding(
        self, deployment: Deployment, new_container: Callable[..., Handler], log: io.StringIO
    ) -> None:
        assert new_container("jambonz_new_call")(without_header(call("call-1"), "jambonz-signature")).statusCode == 401
        log_lines(log, age=timedelta(minutes=5))
        boto3.client("lambda").update_function_configuration(FunctionName=FUNCTION, MemorySize=512)
        publish(boto3.client("lambda"), FUNCTION)
        assert findings(deployment) == []

    def test_that_are_missing_along_with_a_wrong_password_give_no_finding(
        self, aws: Aws, deployment: Deployment, new_container: Callable[..., Handler], log: io.StringIO
    ) -> None:
        unauthenticated = {**call("call-1"), "headers": {"authorization": "Basic d3Jvbmc6d3Jvbmc="}}
        assert new_container("jambonz_new_call")(unauthenticated).statusCode == 401
        log_lines(log)
        assert findings(deployment) == []


class TestRegistrations:
    @pytest.fixture
    def handler(self, aws: Aws, new_container: Callable[..., Handler]) -> Handler:
        return new_container("jambonz_client_auth")

    def test_by_get_are_reported_with_the_remedy(self, deployment: Deployment, handler: Handler) -> None:
        for number in range(2):
            query = f"method=REGISTER&username=jane&realm=r&nonce=n{number}&uri=u&response=x"
            event = signed_event("", path="/webhooks/client-auth", method="GET", query=query, request_id=f"{number}")
            assert json.loads(handler(event).body) == {"status": "fail"}
        (finding,) = findings(deployment)
        assert (finding.level, finding.check) == (FindingLevel.FAILURE, "jambonz registration hook")
        assert finding.message.endswith("SIP clients rejected within the last day: 2.")
        assert "to POST" in finding.remedy
        assert findings(deployment, datetime.now(UTC) + timedelta(days=2)) == []

    def test_by_post_give_no_finding_even_if_they_fail(self, deployment: Deployment, handler: Handler) -> None:
        event = signed_event(attempt(password="wrong"), path="/webhooks/client-auth", now=datetime.now(UTC))
        assert json.loads(handler(event).body) == {"status": "fail"}
        assert findings(deployment) == []

"""jambonz's secrets in Secrets Manager: the generated password, and the operator's webhook secrets."""

from __future__ import annotations

import json

from boto3.session import Session

from callhooks_tools.stack import JambonzAccess, StackOutputs


def read_access(session: Session, outputs: StackOutputs) -> JambonzAccess:
    """What jambonz is to be configured with; the newest webhook secret of several."""
    client = session.client("secretsmanager")
    generated = json.loads(client.get_secret_value(SecretId=outputs.jambonz_credentials)["SecretString"])
    webhook_secrets = read_webhook_secrets(session, outputs.jambonz_webhook_secrets)
    return JambonzAccess(
        username=generated["username"],
        password=generated["password"],
        webhook_secret=webhook_secrets[0] if webhook_secrets else None,
    )


def read_webhook_secrets(session: Session, secret_id: str) -> list[str]:
    """All webhook secrets that are valid now, the newest first."""
    value = session.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
    webhook_secrets: list[str] = json.loads(value)["webhook_secrets"]
    return webhook_secrets


def add_webhook_secret(session: Session, secret_id: str, webhook_secret: str) -> None:
    """Make one more webhook secret valid, beside those that are."""
    others = [known for known in read_webhook_secrets(session, secret_id) if known != webhook_secret]
    _write(session, secret_id, [webhook_secret, *others])


def remove_webhook_secret(session: Session, secret_id: str, webhook_secret: str) -> bool:
    """Take a webhook secret away; `False` where it was not there."""
    known = read_webhook_secrets(session, secret_id)
    if webhook_secret not in known:
        return False
    _write(session, secret_id, [secret for secret in known if secret != webhook_secret])
    return True


def _write(session: Session, secret_id: str, webhook_secrets: list[str]) -> None:
    session.client("secretsmanager").put_secret_value(
        SecretId=secret_id, SecretString=json.dumps({"webhook_secrets": webhook_secrets})
    )

"""jambonz asks whether a SIP client is who it says it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

from aws_lambda_powertools import Logger

from callhooks.providers.jambonz.authentication import JambonzCredentials, precheck_credentials, verify_or_take_get
from callhooks.providers.jambonz.client_auth import (
    ClientAttempt,
    ClientAuth,
    ClientRefusal,
    auth_response,
    normalise,
    parse_client_auth,
    proves,
    refused,
)
from callhooks.providers.jambonz.hook import PROVIDER
from callhooks.providers.jambonz.sip_clients import Client, ClientStore, ClientsUnavailable
from callhooks.runtime.http import Request
from callhooks.runtime.metrics import count, measure
from callhooks.webhooks.pipeline import Webhook

logger = Logger(child=True)


def client_auth_webhook(clients: ClientStore, *, signature_header: str) -> Webhook[JambonzCredentials, ClientAuth]:
    """The client authentication hook (`registration_hook`), answered from a table of clients."""
    return Webhook(
        provider=PROVIDER,
        precheck_credentials=precheck_credentials,
        verify=verify_or_take_get,
        signature_header=signature_header,
        parse=parse_client_auth,
        decide=partial(_checked, clients),
        normalise=normalise,
        answer=lambda auth, _request, _now: auth_response(auth),
        fallback=refused(),
        not_understood=lambda reason, _request: refused(reason),
    )


def _checked(clients: ClientStore, auth: ClientAuth, request: Request, now: datetime) -> ClientAuth:
    attempt = auth.attempt
    if request.sender.lacks_signature:
        # The address that failures are counted by is not signed either.
        return replace(auth, outcome=_refused(ClientRefusal.NOT_SIGNED))
    try:
        outcome = _outcome(clients, attempt, request, now)
    except ClientsUnavailable as error:
        # Nobody is let in whom nothing has checked.
        logger.error("client not checked", extra={"failure": str(error)})
        outcome = ClientRefusal.NOT_CHECKED
    if isinstance(outcome, ClientRefusal):
        _refused(outcome)
        # An outage is no failure of the client's.
        if outcome is not ClientRefusal.NOT_CHECKED:
            _count_failure(clients, attempt, now)
    return replace(auth, outcome=outcome)


def _refused(reason: ClientRefusal) -> ClientRefusal:
    logger.warning("client refused", extra={"provider": PROVIDER, "reason": reason.value})
    count("ClientRefused", provider=PROVIDER, reason=reason.value)
    return reason


def _outcome(clients: ClientStore, attempt: ClientAttempt, request: Request, now: datetime) -> Client | ClientRefusal:
    if not attempt.is_supported:
        return ClientRefusal.UNSUPPORTED_DIGEST
    client = clients.find(attempt.username, attempt.realm)
    proven = proves(attempt, client)
    if client is None:
        return ClientRefusal.UNKNOWN_CLIENT
    if not proven:
        return ClientRefusal.WRONG_PASSWORD
    used = attempt.nonce_count
    if used and not clients.claim_nonce(used, request_id=request.request_id, now=now):
        return ClientRefusal.REPLAYED
    return client


def _count_failure(clients: ClientStore, attempt: ClientAttempt, now: datetime) -> None:
    try:
        failures = clients.count_failure(attempt.source_address or "", now)
    except ClientsUnavailable as error:
        logger.error("failure of a client not counted", extra={"failure": str(error)})
    else:
        measure("ClientFailuresFromOneAddress", failures, provider=PROVIDER)

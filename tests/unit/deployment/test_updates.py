"""An update of a stack is one switch: callers reach each function through an alias of its newest version."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import pytest
from callhooks_tools.stack.template import ALIAS

from tests.processed_template import process, processed_template, resources, texts_in
from tests.support import template

FUNCTIONS = resources("AWS::Lambda::Function")
CALLERS_WAIT = {
    "JambonzNewCallFunction", "JambonzActionFunction", "JambonzClientAuthFunction", "JambonzToolFunction",
}  # fmt: skip
MAX_DESCRIPTION_CHARACTERS = 256
NOT_IN_A_VERSION = ("ReservedConcurrentExecutions", "Tags")
"""Properties that belong to the function as a whole."""


def alias_of(function: str) -> dict[str, str]:
    return {"Ref": f"{function}Alias{ALIAS}"}


def version_of(function: str, processed: Mapping[str, Any] | None = None) -> str:
    """Return the logical id of the version behind a function's alias."""
    alias = (processed or processed_template())["Resources"][alias_of(function)["Ref"]]
    version, attribute = alias["Properties"]["FunctionVersion"]["Fn::GetAtt"]
    assert attribute == "Version"
    return str(version)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_an_alias_of_its_only_version(function: str) -> None:
    alias = resources("AWS::Lambda::Alias")[alias_of(function)["Ref"]]
    assert (alias["Name"], alias["FunctionName"]) == (ALIAS, {"Ref": function})
    version = processed_template()["Resources"][version_of(function)]
    assert version["Properties"]["FunctionName"] == {"Ref": function}
    # Requests may reach the old version for some seconds after the switch. They would fail if it were deleted.
    assert version["DeletionPolicy"] == version["UpdateReplacePolicy"] == "Retain"
    assert len(resources("AWS::Lambda::Version")) == len(resources("AWS::Lambda::Alias")) == len(FUNCTIONS)


def test_the_api_and_event_sources_invoke_only_aliases() -> None:
    aliases = {name: alias_of(name) for name in FUNCTIONS}
    for permission in resources("AWS::Lambda::Permission").values():
        assert permission["FunctionName"] in aliases.values()
    for source in resources("AWS::Lambda::EventSourceMapping").values():
        assert source["FunctionName"] in aliases.values()
    (api,) = resources("AWS::ApiGatewayV2::Api").values()
    operations = list(chain.from_iterable(methods.values() for methods in api["Body"]["paths"].values()))
    invoked = {
        name
        for operation in operations
        for name in re.findall(r"\$\{(\w+)(?:\.Arn)?\}/invocations", str(operation["x-amazon-apigateway-integration"]))
    }
    permitted = {permission["FunctionName"]["Ref"] for permission in resources("AWS::Lambda::Permission").values()}
    assert invoked == permitted


Change = Callable[[dict[str, Any]], None]


def new_layer(name: str) -> Change:
    return lambda changed: changed[name]["Properties"].update(ContentUri="s3://bucket/newer")


def new_code(name: str) -> Change:
    return lambda changed: changed[name]["Properties"].update(CodeUri="s3://bucket/newer")


def new_variable(name: str) -> Change:
    return lambda changed: changed[name]["Properties"]["Environment"]["Variables"].update(NEW="1")


@pytest.mark.parametrize(
    ("change", "updated"),
    [
        (lambda _: None, set()),
        (new_layer("CallhooksLayer"), set(FUNCTIONS)),
        (new_layer("CallPlanLayer"), {"JambonzNewCallFunction", "JambonzActionFunction", "JambonzToolFunction"}),
        (new_code("WavixCallFunction"), {"WavixCallFunction"}),
        (new_variable("WavixCallFunction"), {"WavixCallFunction"}),
    ],
    ids=["no change", "the shared layer", "the call plan", "a handler", "a variable"],
)
def test_a_change_publishes_versions_of_all_functions_that_use_it(change: Change, updated: set[str]) -> None:
    document = copy.deepcopy(template())
    change(document["Resources"])
    processed = process(document)
    assert {name for name in FUNCTIONS if version_of(name, processed) != version_of(name)} == updated


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_changed_parameter_publishes_a_version_of_each_function_that_uses_it(function: str) -> None:
    """Both directions: Lambda refuses to publish a version if nothing in the function has changed."""
    configuration = {name: value for name, value in FUNCTIONS[function].items() if name not in NOT_IN_A_VERSION}
    conditions = {text for text in texts_in(configuration) if text in processed_template()["Conditions"]}
    assert not conditions, "a condition's parameters are not in the description"
    description = processed_template()["Resources"][version_of(function)]["Properties"]["Description"]["Fn::Sub"]
    assert set(re.findall(r"\$\{(\w+)\}", description)) == set(parameters_in(configuration))


def parameters_in(value: object) -> Iterator[str]:
    """Yield the parameters to which a part of the template refers."""
    parameters = processed_template()["Parameters"]
    for text in texts_in(value):
        yield from (name for name in re.findall(r"\$\{(\w+)\}", text) if name in parameters)
    if isinstance(value, Mapping):
        if value.get("Ref") in parameters:
            yield str(value["Ref"])
        for member in value.values():
            yield from parameters_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from parameters_in(member)


def max_length(parameter: Mapping[str, Any]) -> int:
    """Return the largest number of characters of a parameter's value."""
    if "AllowedValues" in parameter:
        return max(len(str(value)) for value in parameter["AllowedValues"])
    return int(parameter["MaxLength"]) if parameter["Type"] == "String" else len(str(parameter["MaxValue"]))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_description_with_the_longest_values_is_short_enough(function: str) -> None:
    description = processed_template()["Resources"][version_of(function)]["Properties"]["Description"]["Fn::Sub"]
    parameters = processed_template()["Parameters"]
    longest = re.sub(r"\$\{(\w+)\}", lambda found: "x" * max_length(parameters[found[1]]), description)
    assert len(longest) <= MAX_DESCRIPTION_CHARACTERS


class TestTheCanary:
    def test_is_off_by_default_and_then_needs_no_codedeploy(self) -> None:
        assert processed_template() == processed_template(CallCanary="off")
        assert not [text for text in texts_in(processed_template()["Resources"]) if "codedeploy" in text.lower()]

    def test_shifts_the_functions_that_callers_wait_for_and_watches_their_alarms(self) -> None:
        found = processed_template(CallCanary="on")["Resources"]
        aliases = {
            name: resource["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
            for name, resource in found.items()
            if "UpdatePolicy" in resource
        }
        assert aliases.keys() == {alias_of(name)["Ref"] for name in CALLERS_WAIT}
        for policy in aliases.values():
            group = found[policy["DeploymentGroupName"]["Ref"]]["Properties"]
            assert group["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": "Canary10Percent5Minutes"}
            assert group["AutoRollbackConfiguration"]["Enabled"] is True
            assert {alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]} == {
                "CallUnansweredAlarm", "CallFellBackAlarm", "ActionUnansweredAlarm",
            }  # fmt: skip

    def test_adds_only_codedeploy_with_a_role_of_its_own(self) -> None:
        off, on = processed_template()["Resources"], processed_template(CallCanary="on")["Resources"]
        assert off.keys() <= on.keys()
        added = {name: on[name]["Type"] for name in on.keys() - off.keys()}
        assert added == {
            "ServerlessDeploymentApplication": "AWS::CodeDeploy::Application",
            "CodeDeployServiceRole": "AWS::IAM::Role",
            **{f"{name}DeploymentGroup": "AWS::CodeDeploy::DeploymentGroup" for name in CALLERS_WAIT},
        }
        (trust,) = on["CodeDeployServiceRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": ["codedeploy.amazonaws.com"]}

"""Changes of deployed functions that callers notice: they reach functions through an alias of a published version."""

from __future__ import annotations

from typing import Any

from callhooks_tools.stack.template import ALIAS


def publish(client: Any, function: str) -> None:
    """Publish the changes of a function, move its alias to the new version, and delete the old one.

    The containers of the old version end with it. Call this only while no request is on its way.
    """
    client.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 0.1})
    old = client.get_alias(FunctionName=function, Name=ALIAS)["FunctionVersion"]
    version = client.publish_version(FunctionName=function)["Version"]
    client.update_alias(FunctionName=function, Name=ALIAS, FunctionVersion=version)
    client.delete_function(FunctionName=function, Qualifier=old)


def change_variables(client: Any, function: str, variables: dict[str, str]) -> None:
    """Replace the environment of a function, and publish it."""
    client.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    publish(client, function)

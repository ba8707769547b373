"""Settings that sam takes from its options and from `samconfig.toml`, and the AWS session that follows from them."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from boto3.session import Session

from callhooks_tools.stack.stack import ROOT

ARCHITECTURE, RUNTIME = "Architecture", "PythonRuntime"

Run = Callable[[Sequence[str], Mapping[str, str]], int]
"""Run a command with an environment, and return its exit status."""


class Refused(Exception):
    """The deployment or removal cannot work. The message contains the reason and the next step."""


def run_program(program: Callable[[Sequence[str], Run], int]) -> NoReturn:
    """Run a program with the options of this process, and exit with its status."""
    try:
        status = program(sys.argv[1:], lambda command, environment: subprocess.call(command, env=environment, cwd=ROOT))
    except Refused as refused:
        sys.exit(f"callhooks: {refused}")
    sys.exit(status)


@dataclass(frozen=True)
class SamSettings:
    """Settings of `sam deploy` or `sam delete`. Absent ones are `None`."""

    environment: str
    stack_name: str | None
    region: str | None
    profile: str | None
    parameters: Mapping[str, str]
    """Only architecture and runtime."""
    is_guided: bool
    """sam asks for the stack and the region, so they may be other ones than these."""

    @classmethod
    def of_deployment(cls, options: Sequence[str], root: Path = ROOT) -> Self:
        """Read the options of `sam deploy`, and the settings that they do not replace.

        Raises:
            Refused: the file of settings cannot be read.
        """
        given = _given(options)
        environment = _environment(given, root)
        return cls._merged(given, {**_parameters(environment, "global"), **_parameters(environment, "deploy")})

    @classmethod
    def of_removal(cls, options: Sequence[str], root: Path = ROOT) -> Self:
        """Read the options of `sam delete`, and the settings that they do not replace.

        A region and a profile that are set only for `sam deploy` count too, but not its stack name: the environment of
        the local stack has one.

        Raises:
            Refused: the file of settings cannot be read.
        """
        given = _given(options)
        environment = _environment(given, root)
        deployed = _parameters(environment, "deploy")
        account = {name: deployed[name] for name in ("region", "profile") if name in deployed}
        removal = {**_parameters(environment, "global"), **_parameters(environment, "delete")}
        return cls._merged(given, {**account, **removal})

    @classmethod
    def _merged(cls, given: Mapping[str, Any], configured: Mapping[str, Any]) -> Self:
        settings = {**configured, **{name: value for name, value in given.items() if value is not None}}
        return cls(
            environment=given["config_env"],
            stack_name=settings.get("stack_name") or None,
            region=settings.get("region"),
            profile=settings.get("profile"),
            parameters=_overrides(settings.get("parameter_overrides", "")),
            is_guided=given["guided"] or bool(configured.get("guided")),
        )

    @property
    def account_options(self) -> list[str]:
        """Return profile and region as options of `callhooks` and sam."""
        account = {"--profile": self.profile, "--region": self.region}
        return [word for option, value in account.items() if value for word in (option, value)]

    @property
    def profile_in_use(self) -> str | None:
        """Return the profile, also if the environment selects it."""
        return self.profile or os.environ.get("AWS_PROFILE")

    def session(self) -> Session:
        """Return a session for the stack.

        Raises:
            ProfileNotFound: the profile does not exist.
        """
        return Session(profile_name=self.profile, region_name=self.region)


def _given(options: Sequence[str]) -> Mapping[str, Any]:
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--config-file", default="samconfig.toml")
    parser.add_argument("--config-env", default="default")
    for name in ("--stack-name", "--region", "--profile"):
        parser.add_argument(name)
    parser.add_argument("--parameter-overrides", nargs="*")
    parser.add_argument("-g", "--guided", action="store_true")
    return vars(parser.parse_known_args(options)[0])


def _environment(given: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    path = root / given["config_file"]
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(f"{path} is not TOML: {error}") from error
    return _table(document, given["config_env"])


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table: Mapping[str, Any] = document.get(name, {})
    return table


def _parameters(environment: Mapping[str, Any], command: str) -> Mapping[str, Any]:
    return _table(_table(environment, command), "parameters")


def _overrides(overrides: str | Sequence[str] | Mapping[str, str]) -> Mapping[str, str]:
    """Return architecture and runtime from any of the forms that sam accepts."""
    if isinstance(overrides, Mapping):
        overrides = [f"{name}={value}" for name, value in overrides.items()]
    text = overrides if isinstance(overrides, str) else " ".join(overrides)
    pattern = rf"""\b({ARCHITECTURE}|{RUNTIME})["']?(?:,ParameterValue)?=["']?([\w.]+)"""
    return dict(re.findall(pattern, text))

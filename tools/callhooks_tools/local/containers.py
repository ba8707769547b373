"""Docker, in whose containers `sam local` runs functions: its network and its images."""

from __future__ import annotations

import ipaddress
import json
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

DOCKER_SECONDS = 60


class SamLocalFailed(Exception):
    """`sam local` cannot run. The message contains the reason and the next step."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The network of the containers, and this machine's address in it."""

    gateway: ipaddress.IPv4Address
    network: ipaddress.IPv4Network

    def admits(self, address: str) -> bool:
        """Return whether an address belongs to this network or to this machine."""
        if ipaddress.IPv4Address(address) in self.network:
            return True
        with socket.socket() as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor of this machine, as SAM and Docker name it."""

    sam: str
    docker: str

    @classmethod
    def of_this_machine(cls, machine: str = "") -> Processor:
        """Return the processor of this machine.

        Raises:
            SamLocalFailed: Lambda does not support it.
        """
        match (machine or platform.machine()).lower():
            case "x86_64" | "amd64":
                return cls("x86_64", "linux/amd64")
            case "aarch64" | "arm64":
                return cls("arm64", "linux/arm64")
            case other:
                raise SamLocalFailed(f"Lambda does not support this machine's processor ({other}).")


class Docker:
    """The container engine, used through the `docker` command."""

    def bridge(self) -> Bridge | None:
        """Return the network of the containers, or `None` if Docker runs in a virtual machine (Docker Desktop).

        Raises:
            SamLocalFailed: Docker is not installed or does not respond, or its network cannot be read.
        """
        system = self._read("info", "--format", "{{.OperatingSystem}}")
        if sys.platform != "linux" or system == "Docker Desktop":
            return None
        text = self._read("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}")
        for config in json.loads(text) or []:
            network = ipaddress.ip_network(config["Subnet"])
            if isinstance(network, ipaddress.IPv4Network):
                # Docker names the gateway only if it is not the first address, or after the first container.
                gateway = config.get("Gateway") or str(network.network_address + 1)
                return Bridge(ipaddress.IPv4Address(gateway), network)
        raise SamLocalFailed("Docker's default network (bridge) has no IPv4 addresses.")

    def provide(self, images: Iterable[str], processor: Processor, *, may_pull: bool) -> None:
        """Pull the images that this machine does not have.

        Raises:
            SamLocalFailed: an image is missing.
        """
        for image in sorted(set(images)):
            if self._run("image", "inspect", image).returncode == 0:
                continue
            if not may_pull:
                raise SamLocalFailed(
                    f"The image {image} is not on this machine. Leave out --skip-pull-image to pull it, or choose "
                    "another image with --invoke-image."
                )
            pulled = subprocess.run(
                ["docker", "pull", "--platform", processor.docker, image], stdout=sys.stderr, check=False
            )
            if pulled.returncode != 0:
                raise SamLocalFailed(
                    f"Cannot pull the image {image}. If this machine has another image for Lambda functions, add: "
                    "--invoke-image IMAGE --skip-pull-image"
                )

    def _read(self, *arguments: str) -> str:
        ended = self._run(*arguments)
        if ended.returncode != 0:
            reason = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SamLocalFailed(f"Docker does not respond: {reason}")
        return ended.stdout.strip()

    @staticmethod
    def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
        docker = shutil.which("docker")
        if docker is None:
            raise SamLocalFailed("Docker is not installed: no docker command in PATH. sam local needs it.")
        try:
            return subprocess.run(
                [docker, *arguments], capture_output=True, text=True, timeout=DOCKER_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise SamLocalFailed(f"Docker does not respond within {DOCKER_SECONDS} seconds.") from error


def images_for(functions: Iterable[str], options: Sequence[str], processor: Processor, python: str) -> set[str]:
    """Return the images in which `sam local` runs functions.

    Args:
        functions: their names in the template.
        options: further options for `sam local`, of which `--invoke-image` changes the image of all or of one function.
        processor: the processor of the containers.
        python: the Python version of the functions.
    """
    values = [value for name, value in pairwise(options) if name in ("--invoke-image", "-ii")]
    values += [option.partition("=")[2] for option in options if option.startswith("--invoke-image=")]
    chosen = {"": f"public.ecr.aws/lambda/python:{python}-{processor.sam}"}
    for value in values:
        function, equals, image = value.rpartition("=")
        chosen[function if equals else ""] = image
    return {chosen.get(function, chosen[""]) for function in functions}

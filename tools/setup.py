"""Create the development environment. Runs on any Python, to report a version that is too old.

Usage: python3 tools/setup.py VENV
"""

from __future__ import print_function

import os
import shutil
import subprocess
import sys

MIN_PYTHON = (3, 11)


def run(step, *command):
    print("    " + step)
    sys.stdout.flush()
    if subprocess.call(command) != 0:
        sys.exit("\ncallhooks: setup failed at this step: {0}. See the output above for the cause.".format(step))


def install(uv, python, *arguments):
    return [uv, "pip", "install", "--quiet", "--system-certs", "--python", python] + list(arguments)


def main(venv):
    if sys.version_info < MIN_PYTHON:
        sys.exit("callhooks needs Python 3.11 or later; this is Python {0}.".format(sys.version.split()[0]))
    python = os.path.join(venv, "bin", "python")
    uv = os.path.join(venv, "bin", "uv")
    engine = os.path.join(venv, "engine")
    print("Setting up {0} with Python {1} (first run only)".format(venv, sys.version.split()[0]))
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        sys.exit("callhooks: this Python has no venv module. On Debian or Ubuntu, run: apt install python3-venv")
    run("creating a virtual environment", sys.executable, "-m", "venv", venv)
    temporary = os.path.join(venv, "tmp")
    if not os.path.isdir(temporary):
        os.mkdir(temporary)
    os.environ["TMPDIR"] = os.path.abspath(temporary)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    run("installing uv", *(pip + ["-r", "requirements/bootstrap.txt"]))
    locked = ["--require-hashes", "-r"]
    run("installing requirements/dev.txt", *install(uv, python, *(locked + ["requirements/dev.txt"])))
    editable = ["--no-deps", "--no-build-isolation", "-e", ".", "-e", "layers/callhooks"]
    run("installing callhooks", *install(uv, python, *editable))
    run(
        "creating an environment for the local AWS engine", uv, "venv", "--quiet", "--clear", "--python", python, engine
    )
    engine_python = os.path.join(engine, "bin", "python")
    run("installing requirements/engine.txt", *install(uv, engine_python, *(locked + ["requirements/engine.txt"])))
    shutil.rmtree(temporary)


if __name__ == "__main__":
    main(sys.argv[1])

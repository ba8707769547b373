"""Makes the development environment; runs on any Python, to say clearly when that one is too old.

Usage: python3 tools/setup.py VENV
"""

from __future__ import print_function

import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)


def run(what, *command):
    print("    " + what)
    sys.stdout.flush()
    if subprocess.call(command) != 0:
        sys.exit("\ncallhooks: this step failed: {0}. The lines above say why.".format(what))


def install(uv, python, *what):
    return [uv, "pip", "install", "--quiet", "--system-certs", "--python", python] + list(what)


def main(venv):
    if sys.version_info < OLDEST:
        sys.exit("callhooks needs Python 3.11 or later; this one is {0}.".format(sys.version.split()[0]))
    if " " in os.getcwd():
        sys.exit("callhooks: make cannot work in a path with a blank in it. Move the clone to another folder.")
    python = os.path.join(venv, "bin", "python")
    uv = os.path.join(venv, "bin", "uv")
    engine = os.path.join(venv, "engine")
    print("Setting up {0} with Python {1} (once)".format(venv, sys.version.split()[0]))
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        sys.exit("callhooks: this Python has no venv module. On Debian or Ubuntu: apt install python3-venv")
    run("an environment of its own", sys.executable, "-m", "venv", venv)
    temporary = os.path.join(venv, "tmp")
    if not os.path.isdir(temporary):
        os.mkdir(temporary)
    os.environ["TMPDIR"] = os.path.abspath(temporary)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    run("the installer", *(pip + ["-r", "requirements/bootstrap.txt"]))
    locked = ["--require-hashes", "-r"]
    run("the packages of requirements/dev.txt", *install(uv, python, *(locked + ["requirements/dev.txt"])))
    editable = ["--no-deps", "--no-build-isolation", "-e", ".", "-e", "layers/callhooks"]
    run("callhooks itself", *install(uv, python, *editable))
    run("an environment for the local AWS engine", uv, "venv", "--quiet", "--clear", "--python", python, engine)
    engine_python = os.path.join(engine, "bin", "python")
    run("the packages of requirements/engine.txt", *install(uv, engine_python, *(locked + ["requirements/engine.txt"])))
    shutil.rmtree(temporary)


if __name__ == "__main__":
    main(sys.argv[1])

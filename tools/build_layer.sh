# Run a program that builds a layer: sh build_layer.sh MODULE [ARGUMENT...]. The Makefiles of the layers call this.
tools="${0%/*}"
if [ -n "$CALLHOOKS_VENV" ]; then
    python="$CALLHOOKS_VENV/bin/python"
elif ! python="$(sh "$tools/find_python.sh")"; then
    echo "callhooks needs Python 3.11 or later. Found: $(python3 --version 2>&1). Install one, or set PYTHON to its path." >&2
    exit 1
fi
exec "$python" "$tools/build_layer.py" "$@"

#!/bin/sh
# Installs a lock file into /opt/offbeat. bootstrap.txt must lie beside it.
# If TORCH_INDEX_URL is set, torch comes from that index, without the CUDA libraries.
set -eu
python -m venv /opt/offbeat
/opt/offbeat/bin/python -m pip install -q --require-hashes -r bootstrap.txt
uv="/opt/offbeat/bin/uv pip install -q --python /opt/offbeat/bin/python"
if [ -z "${TORCH_INDEX_URL:-}" ]; then
    $uv --require-hashes -r "$1"
    exit 0
fi
torch=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "$1" | head -n 1)
$uv --index-url "$TORCH_INDEX_URL" "torch==$torch"
# Install the rest of the lock, still by hash: every requirement except torch and those that only its CUDA build needs.
awk '/^[A-Za-z0-9]/ { keep = !/^(torch|triton|nvidia-|cuda-)/ } keep' "$1" > rest.lock
$uv --require-hashes -r rest.lock

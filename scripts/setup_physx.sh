#!/bin/sh
# Makes .venv-physx, in which NVIDIA's PhysX runs; does nothing when it is up to date.
set -eu
cd "$(dirname "$0")/.."

if [ "${ACCEPT_NVIDIA_LICENSE:-}" != yes ]; then
    cat >&2 <<'EOF'
PhysX (ovphysx, ovstage) comes under NVIDIA's Omniverse licence: whoever downloads or uses it
agrees to it. It is in the package itself, ovphysx-*.dist-info, and on its page on PyPI.
If you agree: ACCEPT_NVIDIA_LICENSE=yes make physx
EOF
    exit 1
fi
stamp=.venv-physx/pinned.txt
if ! cmp -s requirements/physx.txt "$stamp"; then
    rm -rf .venv-physx
    .venv/bin/uv venv --quiet --python "$(scripts/find_python.sh)" .venv-physx
    .venv/bin/uv pip install --quiet --python .venv-physx/bin/python -r requirements/physx.txt
    cp requirements/physx.txt "$stamp"
fi
echo "-- PhysX is ready: salus collect --env-id salus/PickPlace-physx, source:=physx"

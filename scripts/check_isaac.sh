#!/bin/sh
# Holds what drives Isaac Sim 6.2 to its real types, without running it: [FILE...], by default ours.
# The packages are NVIDIA's; two of them (39 MiB) and Warp's are downloaded to .isaac-types once.
set -eu
cd "$(dirname "$0")/.."

types=.isaac-types
stamp=$types/pinned.txt
if ! cmp -s requirements/isaac.txt "$stamp"; then
    if [ "${ACCEPT_NVIDIA_LICENSE:-}" != yes ]; then
        echo "-- Isaac Sim's types are not here, and their licence is to be accepted first: ACCEPT_NVIDIA_LICENSE=yes" >&2
        exit 3
    fi
    rm -rf "$types"
    .venv/bin/uv pip install --quiet --no-deps --target "$types" --python-version 3.12 \
        -r requirements/isaac.txt
    cp requirements/isaac.txt "$stamp"
fi
[ $# -gt 0 ] || set -- salus_ros/worlds/isaac/server.py salus_ros/worlds/isaac/cameras.py
path=$types
for name in core.experimental.prims core.experimental.objects core.experimental.materials \
    core.experimental.utils core.simulation_manager core.rendering_manager \
    sensors.experimental.rtx; do
    path=$path:$types/isaacsim/exts/isaacsim.$name
done
# Namespaces that the packages share; omni, carb and pxr have no types and are not looked into.
status=0
said=$(MYPYPATH=$path .venv/bin/python -m mypy --config-file= --cache-dir=.mypy_cache/isaac \
    --python-version 3.12 --namespace-packages --explicit-package-bases --check-untyped-defs \
    --ignore-missing-imports --follow-imports=silent --no-error-summary "$@") || status=$?
if [ "$status" -gt 1 ]; then
    printf '%s\n' "$said"
    exit "$status"
fi
# Some of their own stubs do not pass.
if printf '%s\n' "$said" | grep -v "^$types/" | grep .; then
    exit 1
fi

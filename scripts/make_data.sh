#!/bin/sh
# Collects and packs the episodes that ship; started again, it goes on where it was stopped.
# Usage: scripts/make_data.sh FOLDER [WORKERS]
set -e
out=${1:?give a folder for the stores}
workers=${2:-2}
target=$(dirname "$0")/../salus_ros/assets/episodes
pictures() { # SEED EPISODES FAULT; noisy images do not compress, so none of these has them
    salus collect --out "$out/pictures.zarr" --seed "$1" --episodes "$2" --fault "$3" --images \
        --workers "$workers"
}
salus collect --out "$out/standard.zarr" --seed 10000 --episodes 1000 --workers "$workers"
salus collect --out "$out/shifted.zarr" --seed 20000 --episodes 200 --workers "$workers" \
    --condition shifted
pictures 30000 6 none
pictures 30006 2 force
pictures 30008 2 slip
mkdir -p "$target"
for name in standard shifted pictures; do
    salus pack "$out/$name.zarr" --out "$target/$name.zarr.zip" --force
done

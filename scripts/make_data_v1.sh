#!/bin/sh
# Collects the episodes of salus/PickPlace-v1 with its policy; started again, it goes on where it
# was stopped. 1,000 episodes take some 40 minutes of two cores.
# Usage: scripts/make_data_v1.sh FOLDER [EPISODES] [SHIFTED] [WORKERS]
set -e
out=${1:?give a folder for the stores}
collect() { # NAME SEED EPISODES CONDITION
    salus collect --env-id salus/PickPlace-v1 --out "$out/$1.zarr" --seed "$2" --episodes "$3" \
        --condition "$4" --workers "${workers:-2}"
}
workers=$4
collect standard 10000 "${2:-6000}" standard
collect shifted 20000 "${3:-600}" shifted

#!/bin/sh
# Collects episodes with the shipped policies, and packs those that ship; started again, it goes
# on where it was stopped. 1,000 episodes take some 40 minutes of two cores.
# Usage: scripts/make_data.sh FOLDER [EPISODES] [SHIFTED] [WORKERS]
#   EPISODES of the standard condition, 1000 by default, of which the first 1000 ship;
#   SHIFTED of the shifted one, 200 by default, of which the first 200 ship.
set -e
case ${1:--} in -*) sed -n '2,/^[^#]/s/^# //p' "$0" && exit 2 ;; esac
out=$1
workers=${4:-2}
target=$(dirname "$0")/../salus_ros/assets/episodes
collect() { # NAME SEED EPISODES CONDITION
    salus collect --out "$out/$1.zarr" --seed "$2" --episodes "$3" --condition "$4" \
        --workers "$workers"
}
pictures() { # SEED EPISODES FAULT; of the first world, whose cameras have no noise: it has no end
    salus collect --env-id salus/PickPlace-v0 --out "$out/pictures.zarr" --seed "$1" \
        --episodes "$2" --fault "$3" --images --workers "$workers"
}
# What ships is what fits: of the hidden states the policy's last alone, what is seen ahead along
# the plans and not these, eight bits of mantissa.
pack() { # NAME EPISODES
    salus lookahead "$out/$1.zarr" --out "$out/$1_lookahead.zarr" --workers "$workers"
    salus pack "$out/$1_lookahead.zarr" --out "$target/$1.zarr.zip" --episodes "$2" --force --keep-bits 8 \
        --without visual_embedding --without expert_embedding --without plan
}
collect shifted 20000 "${3:-200}" shifted
collect standard 10000 "${2:-1000}" standard
pictures 30000 6 none
pictures 30006 2 force
pictures 30008 2 slip
mkdir -p "$target"
pack standard 1000
pack shifted 200
salus pack "$out/pictures.zarr" --out "$target/pictures.zarr.zip" --force

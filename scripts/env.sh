# Source this to use SALUS by hand:  . scripts/env.sh
# Puts the environment's commands, the built packages and their libraries on the paths. Works in
# sh (from the repository's root), bash and zsh, on top of a sourced ROS 2 Jazzy or without one.

if [ -n "${BASH_SOURCE:-}" ]; then
    salus_root=$BASH_SOURCE
elif [ -n "${ZSH_VERSION:-}" ]; then
    salus_root=$(eval 'printf %s "${(%):-%x}"')
else
    salus_root=scripts/env.sh
fi
salus_root=$(cd "$(dirname "$salus_root")/.." && pwd)

# Usage: salus_prepend VARIABLE PATH; a path that is there already is not added again.
salus_prepend() {
    eval "salus_value=\${$1:-}"
    case ":$salus_value:" in
    *":$2:"*) ;;
    *) export "$1=$2${salus_value:+:$salus_value}" ;;
    esac
}

if [ -n "${ROS_DISTRO:-}" ] && [ "$ROS_DISTRO" != jazzy ]; then
    echo "ROS 2 $ROS_DISTRO is sourced; SALUS needs Jazzy and sets $ROS_DISTRO aside in this shell." >&2
    unset ROS_DISTRO AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
fi

if [ -x "$salus_root/.venv/bin/python" ]; then
    export VIRTUAL_ENV="$salus_root/.venv"
    salus_prepend PATH "$salus_root/.venv/bin"
    salus_prepend AMENT_PREFIX_PATH "$salus_root/.venv"
    salus_prepend CMAKE_PREFIX_PATH "$salus_root/.venv"
    for salus_package in salus_msgs salus_ros; do
        salus_prepend AMENT_PREFIX_PATH "$salus_root/install/$salus_package"
    done
    salus_prepend LD_LIBRARY_PATH "$salus_root/install/salus_msgs/lib"
    salus_prepend PYTHONPATH "$salus_root/install/salus_msgs/lib/python3.12/site-packages"
    # Set by a Python of another environment, it would keep ours from finding its libraries.
    unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
else
    echo "There is no environment in $salus_root/.venv yet: run 'make setup' there." >&2
fi
unset -f salus_prepend
unset salus_root salus_value salus_package

#!/usr/bin/env bash
# Sees to what the build needs: scripts/prerequisites.sh [maven] [python] [node] [go]
# Always: cargo (by rustup), git, make, g++, pkg-config, OpenSSL's headers (a development dependency of the tests).
# maven adds Java and Maven, python adds venv, node adds Node.js and npm, go adds Go (all for the foreign clients of
# `make interop`; the distribution's Go or Node may be older than a client needs: that suite is then named as not run).
# As root, or where `sudo -n` works, missing Debian packages are installed, and nothing is ever removed; else the line to run is printed.
set -euo pipefail
missing=()
have() { command -v "$1" >/dev/null 2>&1; }

have cargo || { echo "cargo is missing: install Rust 1.95 or newer by rustup, then run this again" >&2; exit 1; }
have git || missing+=(git)
have make || missing+=(make)
have g++ || missing+=(g++)
have pkg-config || missing+=(pkg-config)
have flock || missing+=(util-linux)
[ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
for extra in "$@"; do
    case $extra in
        maven) have mvn || missing+=(maven); have javac || missing+=(default-jdk-headless) ;;
        python) python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv) ;;
        node) have node || missing+=(nodejs); have npm || missing+=(npm) ;;
        go) have go || missing+=(golang-go) ;;
        *) echo "scripts/prerequisites.sh: unknown word '$extra' (maven, python, node, go)" >&2; exit 1 ;;
    esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get install -y --no-remove --no-install-recommends ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
    if have sudo && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        echo "missing: ${missing[*]}. Install them with:  sudo $install" >&2
        exit 1
    fi
fi
have apt-get || { echo "missing: ${missing[*]}, and this is no Debian or Ubuntu: install them by hand" >&2; exit 1; }
echo "installing: ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get update -q >/dev/null
# shellcheck disable=SC2086
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 $install >/dev/null

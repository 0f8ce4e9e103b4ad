#!/bin/sh
# Makes the gateway's virtual environment of this Runtime's wheels: whole or not at all, and without a network.
#
#   sh setup.sh WHEELS.zip WORK ENVIRONMENT
#
# WORK/ENVIRONMENT appears by one rename, after it has proven to import everything. TIDEGATE_PYTHONS are the versions
# that there are wheels for, with commas between, TIDEGATE_ROOM_KB what making it takes on the disk.
set -eu
umask 022
export PYTHONNOUSERSITE=1 ORT_DISABLE_TELEMETRY=1
wheels=$1 work=${2%/} environment=$3
made=$work/$environment new=$work/$environment.new

fail() {
    echo "tidegate.Runtime: $*" >&2
    exit 1
}

imports() {
    "$1/bin/python" -I -c 'import awscrt, awsiot.greengrasscoreipc.clientv2, cv2, google.protobuf, lap, numpy, \
onnxruntime, paho.mqtt.client, prometheus_client, tuf.ngclient, zstandard'
}

# the gateway may have another user
chmod a+rx "$work" 2>/dev/null || true
# `install` of a deployment and `run` of what is there already may want to make the same
if command -v flock >/dev/null; then
    exec 9>"$work/lock"
    flock 9
fi
if imports "$made" 2>/dev/null; then
    echo "tidegate.Runtime: $environment is there"
    exit 0
fi

python='' found='' pythons=$(echo "$TIDEGATE_PYTHONS" | tr , ' ')
for name in python3 $(for version in $pythons; do echo "python$version"; done); do
    version=$("$name" -I -c 'import struct, sys
print("%d.%d" % sys.version_info[:2] + ("" if struct.calcsize("P") == 8 else " of 32 bit"))' 2>/dev/null) || continue
    case " $pythons " in *" $version "*) python=$name && break ;; esac
    found="$found $name is $version,"
done
[ -n "$python" ] || fail "has wheels for Python $pythons (64 bit), but here${found:- is no python3,}" \
    "so install one of those, or build the Runtime with --python-version"
"$python" -I -c 'import venv' 2>/dev/null || fail "$python makes no virtual environments: apt install python3-venv"

# what a power cut has left, and what no longer imports, since the system's Python is another one now
rm -rf "$new"
free=$(df -Pk "$work" | awk 'NR == 2 { print $4 }')
[ "$free" -ge "$TIDEGATE_ROOM_KB" ] || fail "needs $((TIDEGATE_ROOM_KB / 1024)) MB of the disk of $work," \
    "there are $((free / 1024)) MB: make room, then deploy again"
echo "tidegate.Runtime: making $environment for Python $version; on a Raspberry Pi this takes a minute or two"
trap 'rm -rf "$new"' EXIT
"$python" -I -m venv --without-pip "$new" || fail "$python could not make a virtual environment in $new"
# /tmp is memory on some systems, and not to be executed from on others; a component's user may have no home
mkdir -p "$new/tmp" "$new/wheels/$version"
export TMPDIR="$new/tmp" HOME="$new/tmp"
"$python" -I -c 'import sys, zipfile
sys.tracebacklimit = 0
archive = zipfile.ZipFile(sys.argv[1])
archive.extractall(sys.argv[2], [n for n in archive.namelist() if n.split("/")[0] in ("any", sys.argv[3])])' \
    "$wheels" "$new/wheels" "$version" || fail "could not unpack $wheels"
pip=$(echo "$new"/wheels/any/pip-*.whl)
"$new/bin/python" -I "$pip/pip" --isolated --no-cache-dir --disable-pip-version-check --no-input --quiet install \
    --no-index --no-deps --require-hashes --no-compile --no-warn-script-location --find-links "$new/wheels/any" \
    --find-links "$new/wheels/$version" --requirement "$new/wheels/any/requirements.txt" || fail "pip could not install"
# the gateway's user may not write here; what is not bytecode already would be compiled at each start. Side by side needs
# semaphores, which a nucleus in a container may not have
"$new/bin/python" -I -m compileall -q -j 0 "$new/lib" >/dev/null 2>&1 ||
    "$new/bin/python" -I -m compileall -q "$new/lib" >/dev/null 2>&1 || true
imports "$new" || fail "what was installed cannot be imported on this device"
rm -rf "$new/wheels" "$new/tmp"
sync
rm -rf "$made"
mv "$new" "$made"
sync
echo "tidegate.Runtime: $environment is made"

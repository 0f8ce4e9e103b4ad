#!/bin/sh
# Stays while this Runtime is installed. Ten minutes after its start it removes the environments of other versions: by
# then a device that goes back to one of them has done so.
#
#   sh keep.sh WORK ENVIRONMENT
work=${1%/} environment=$2

set --
for other in "$work"/venv-*; do
    [ "$other" = "$work/$environment" ] || set -- "$@" "$other"
done

trap 'kill "$!" 2>/dev/null; exit 0' TERM INT
sleep "${TIDEGATE_KEEP_S:-600}" &
wait "$!"
rm -rf "$@"
while :; do
    sleep 86400 &
    wait "$!"
done

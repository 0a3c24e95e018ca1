#!/bin/sh
# Tests effnet on a graphics card; needs no Go:
#
#   run.sh right | speed | only STAGE... | list
#
# Results are in $OUT, or in ./out. -budget 10m before the mode gives it more time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for f in "$here"/*.gz; do
	to=$work/${f##*/}
	gzip -dc "$f" >"${to%.gz}"
done
cp "$here/version" "$work"
chmod +x "$work/kit" "$work/effnet" "$work/cuda.test"
exec "$work/kit" -work "$work" -remove -photos "$here/photos.pack" "$@"

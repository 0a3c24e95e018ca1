#!/bin/sh
# Runs the kit on the emulated libraries (tools/emulategpu), with small sizes, where no Go
# is to be found and stand-ins take the place of NVIDIA's tools:
#
#   tools/gpukit/rehearse.sh KIT                   whole
#   tools/gpukit/rehearse.sh KIT only STAGE...     some stages
#
# Results are in $OUT, or in rehearsal next to the kit. It needs gcc and g++, and Go to
# make the libraries. PYTHON names an interpreter, with PyTorch if peers is to run.
set -eu
kit=$(cd "$1" && pwd)
shift
standins=$(cd "$(dirname "$0")/standin" && pwd)
out=${OUT:-$(dirname "$kit")/rehearsal}
python=$(command -v "${PYTHON:-python3}" || true)
libs=$(cd "$(dirname "$0")/../.." && go run ./tools/emulategpu)

box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
mkdir "$box/bin" "$box/tmp"
for program in sh cat chmod cp dirname gzip mktemp rm uname; do
	ln -s "$(command -v $program)" "$box/bin/$program"
done
cp "$standins"/* "$box/bin"

# What the kit finds: these programs and nothing else of the caller's environment.
in_box() {
	env -i PATH="$box/bin" HOME="$box" TMPDIR="$box/tmp" OUT="$out" PYTHON="$python" \
		KIT_EMULATED=1 EFFNET_CUDA_LIBS="$libs" "$box/bin/sh" "$@"
}
if in_box -c 'command -v go'; then
	echo 'rehearse.sh: there is a Go in the box' >&2
	exit 1
fi
if [ $# -gt 0 ]; then
	in_box "$kit/run.sh" "$@"
	exit
fi
status=0
in_box "$kit/run.sh" right || status=1
in_box "$kit/run.sh" speed || status=1
in_box "$kit/run.sh" only racecheck initcheck soak || status=1
exit $status

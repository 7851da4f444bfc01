#!/usr/bin/env bash
# All that a GPU is needed for, in one go, in about eight minutes, on a machine that has Python, torch, Triton, numpy and pytest:
#
#     benchmarks/on_gpu.sh [--out FOLDER] [--rehearse] [--only "PART ..."]
#
# Each part runs in a time box of its own, and one that fails stops no other. Ends with a table of what was found; the results,
# the pictures where matplotlib is installed, and one log lie in FOLDER (or $OUT, or benchmarks/results/on_gpu).
# Exit status: 0 if every part succeeded, 1 if one did not, 2 for a wrong option.
#
# Without a GPU, or with --rehearse, it is a REHEARSAL: the same parts with a small network on the CPU, to see that the script
# and all that it runs work. PYTHON names another interpreter than python3. TELEQUILT_SHARED, ../shared or ./shared: the goldens.
set -uo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
FOLDER=${OUT:-}
REHEARSAL=
ONLY=
while [ $# -gt 0 ]; do
    case $1 in
        --out) FOLDER=${2:?--out wants a folder}; shift 2 ;;
        --only) ONLY=${2:?--only wants names of parts}; shift 2 ;;
        --rehearse) REHEARSAL=1; shift ;;
        -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "on_gpu.sh: there is no option $1; see --help" >&2; exit 2 ;;
    esac
done

"$PYTHON" -c 'import torch; raise SystemExit(not torch.cuda.is_available())' 2>/dev/null || REHEARSAL=1
if [ -n "$REHEARSAL" ]; then
    FOLDER=${FOLDER:-$(mktemp -d)}
    export CUDA_VISIBLE_DEVICES= TRITON_INTERPRET=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    echo "##############################################################################"
    echo "##  REHEARSAL: no GPU is used. A small network runs on the CPU.             ##"
    echo "##  Nothing that is measured here says anything about any GPU.              ##"
    echo "##############################################################################"
else
    FOLDER=${FOLDER:-benchmarks/results/on_gpu}
    export TRITON_INTERPRET=0  # tests/conftest.py would turn the interpreter on where the driver has no device file
fi
mkdir -p "$FOLDER"
FOLDER=$(cd "$FOLDER" && pwd)
LOGS=$(mktemp -d)
trap 'rm -rf "$LOGS"' EXIT
: > "$FOLDER/on_gpu.log"
: > "$LOGS/parts"
export PYTHONUNBUFFERED=1

# part NAME SECONDS COMMAND...: run COMMAND for at most SECONDS, and note what came of it
part() {
    local name=$1 box=$2 begun=$SECONDS status
    shift 2
    [ -z "$ONLY" ] || [[ " $ONLY " == *" $name "* ]] || return 0
    printf '%-14s ' "$name"
    # in a shell of its own, which says into the part's log what signal ended it
    (timeout --kill-after=5 "$box" "$@"; exit $?) > "$LOGS/$name" 2>&1
    status=$?
    { echo "==== $name: $*"; cat "$LOGS/$name"; echo; } >> "$FOLDER/on_gpu.log"
    printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - begun))" "$box" >> "$LOGS/parts"
    case $status in
        0) echo "ok, $((SECONDS - begun)) s" ;;
        124 | 137) echo "OUT OF TIME after $box s"; tail -n 5 "$LOGS/$name" | sed 's/^/    | /' ;;
        *) echo "FAILED ($status) after $((SECONDS - begun)) s"; tail -n 25 "$LOGS/$name" | sed 's/^/    | /' ;;
    esac
}

tests() { part "$1" "$2" "$PYTHON" -m pytest -q -p no:cacheprovider -o addopts=-ra "${@:3}"; }
benchmark() { part "$1" "$2" "$PYTHON" -m "benchmarks.$3" --out "$FOLDER" "${@:4}"; }

# The boxes hold what the parts took on an H200 and a little more. What is needed most comes first; the compiler's cache is warm
# after "runtimes". Of the goldens, graphs in float32 are left out: half a minute of compiling for what nobody runs on a GPU.
if [ -z "$REHEARSAL" ]; then
    benchmark machine 15 machine
    tests gpu-tests 70 -m gpu tests/gpu
    benchmark runtimes 75 runtimes --synthetic-weights --precision float16
    benchmark sweep 110 views_per_second --synthetic-weights --runtime graphs --sampling shared-volume \
        --resolved every third --callers 1 4 --placement one-gpu --frames 30 --repeats 1 --budget 60 --profile
    benchmark stages 50 stage_times --engine voodoo3d --synthetic-weights --placement one-gpu --faces invented \
        --views 24 --repeats 1 --frames 60 --warm-up 10
    benchmark rome 40 gpu.rome --synthetic-weights --runtime graphs
    benchmark meshing 20 gpu.meshing
    benchmark splats 15 gpu.splats
    tests goldens 60 -m "gpu and golden" tests/golden -k "eager or float16"
    tests kernels 40 tests/test_kernels.py tests/test_splatting.py
else
    small=(--small --views 4 --tile 64)
    benchmark machine 60 machine
    tests gpu-tests 120 -m gpu tests/gpu
    benchmark runtimes 240 runtimes --small --runtime eager --precision bfloat16
    benchmark sweep 240 views_per_second "${small[@]}" --runtime eager --sampling shared-volume \
        --resolved every second --callers 1 2 --placement cpu --frames 2 --warm-up 1 --repeats 1 --profile
    benchmark stages 240 stage_times --engine voodoo3d "${small[@]}" --placement cpu --faces invented \
        --repeats 1 --frames 4 --warm-up 2
    benchmark rome 240 gpu.rome --small --runtime eager --frames 2
    benchmark meshing 240 gpu.meshing --small
    benchmark splats 240 gpu.splats --small
    tests goldens 120 -m "gpu and golden" tests/golden
    tests kernels 300 tests/test_kernels.py tests/test_splatting.py -k "seams or TestSharedMarch or bytes"
fi

"$PYTHON" -m benchmarks.gpu.programme --parts "$LOGS" --out "$FOLDER" ${REHEARSAL:+--rehearsal}

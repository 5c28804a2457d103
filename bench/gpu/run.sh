#!/usr/bin/env bash
# Everything that needs a card, in one call of at most 8 minutes: build for this card, test, sanitise, measure.
#
#   bench/gpu/run.sh [FOLDER]     tables and logs go to FOLDER, out/gpu by default
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${1:-$home/out/gpu}
build=$home/build/gpu
mkdir -p "$out" "$build"
begin=$SECONDS
left() { # [s] of the eight minutes; at least 1, since a timeout of 0 is none
  local rest=$((470 - (SECONDS - begin)))
  echo $((rest > 1 ? rest : 1))
}
say() { printf '== %s (%d s)\n' "$*" $((SECONDS - begin)); }
failed=0

architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.memory --format=csv | tee "$out/card.txt"

# The loss as published, in PyTorch where there is one that knows the card.
torch=()
if there=$(python3 -c 'import torch; assert torch.cuda.is_available(); print(torch.utils.cmake_prefix_path)' 2>/dev/null); then
  torch=(-DCAMBIUM_BENCH_TORCH=ON -DCMAKE_PREFIX_PATH="$there")
fi

say "build for sm_$architecture"
cmake -S "$home" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCAMBIUM_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$architecture" \
  -DCAMBIUM_EXAMPLES=OFF "${torch[@]}" >"$out/build.log" 2>&1
timeout "$(left)" cmake --build "$build" --parallel "$(nproc)" --target cambium_cuda_tests cambium_gpu_bench >>"$out/build.log" 2>&1 || {
  grep -E 'error|Error' -A 5 "$out/build.log" | head -40
  exit 1
}

say "tests"
timeout "$(left)" "$build/tests/cambium_cuda_tests" >"$out/tests.log" 2>&1 || failed=1
tail -3 "$out/tests.log"

say "bench"
timeout "$(left)" "$build/bench/gpu/cambium_gpu_bench" 2>&1 | tee "$out/bench.txt" || failed=1

export CAMBIUM_TESTS_ON=card
# Sanitisers are slow: memory errors are looked for everywhere, the rest where kernels are written by hand, as long as time
# lasts.
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    [ "$(left)" -lt 20 ] && { say "$tool: no time left"; continue; }
    say "$tool"
    cases='[gpu]'
    [ "$tool" = memcheck ] && cases='*'
    timeout "$(left)" compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/tests/cambium_cuda_tests" "$cases" \
      >"$out/$tool.log" 2>&1 || failed=1
    tail -1 "$out/$tool.log"
  done
else
  say "compute-sanitizer is not installed: nothing was sanitised"
fi
say "done"
exit $failed

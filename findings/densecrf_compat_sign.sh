#!/usr/bin/env bash
# Expected: compat=[3, 3] in the common dense CRF package means a weight of 3 for each of two labels, so it acts as
#   compat=3.
# What is so: the sign is the other one. A number attracts: neighbours of one label agree. A vector is the diagonal of a
#   table of energies, so 3 is what agreement costs: neighbours repel. compat=[-3, -3] is what compat=3 does.
# Seen with: pydensecrf2 1.1. A square of label 0 with a doubtful pixel inside (probability 0.4): 0.881 after three
#   steps with compat=3, 0.168 with [3, 3], 0.881 with [-3, -3].
# Source: the package's page says that a number gives Potts's form and a vector a diagonal one, not that their signs
#   differ.
# Our users: include/cambium/crf/dense_crf.hpp states the sign of compatibility::per_class: "agreement on label l takes
#   weight[l] off", as a number does. Turn the sign of vectors that come from the package.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q pydensecrf2==1.1 numpy==2.4.6; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
compat 0: 0.400
compat 3: 0.881
compat [3, 3]: 0.168
compat [-3, -3]: 0.881
END

"$folder/venv/bin/python" - >"$folder/log" <<'END' || gone
import numpy as np
import pydensecrf.densecrf as dense

first = np.full((8, 8), 0.5, np.float32)
first[2:6, 2:6] = 0.9
first[4, 4] = 0.4
for compat in 0, 3, [3, 3], [-3, -3]:
    crf = dense.DenseCRF2D(8, 8, 2)
    crf.setUnaryEnergy(-np.log(np.stack([first, 1 - first])).reshape(2, -1))
    crf.addPairwiseGaussian(sxy=2, compat=np.array(compat, np.float32) if isinstance(compat, list) else compat)
    print(f"seen: compat {compat}: {np.array(crf.inference(3)).reshape(2, 8, 8)[0, 4, 4]:.3f}")
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: what a number or a vector means as compat"; exit 1; }
echo "as stated: a vector compat repels where a number attracts"

#!/usr/bin/env bash
# Expected: klDivergence(Q) of the common dense CRF package is KL(Q || P), up to the constant log Z. Its page prints it
#   after each step of inference, and it falls: inference improves.
# What is so: it is another sum. It takes the pairwise energies of each pair twice, and of each pixel with itself, so
#   its distance from KL(Q || P) is no constant. It can fall at steps at which the true KL rises, and is no test of
#   convergence.
# Seen with: pydensecrf2 1.1. 3 x 3 pixels with two labels, so that P over all 512 labellings can be written down, with
#   the kernel that the package itself applies: what it reports falls at three steps, the true KL rises at all three.
# Source: lucasb-eyer/pydensecrf#85 reports negative values; the reason was observed.
# Our users: include/cambium/crf/dense_crf.hpp has its own divergence() and says there what it sums.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q pydensecrf2==1.1 numpy==2.4.6; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
klDivergence: -28.3 -28.9 -29.1 -29.2
true KL: rises rises rises
END

"$folder/venv/bin/python" - >"$folder/log" <<'END' || gone
import itertools
import numpy as np
import pydensecrf.densecrf as dense


def make_crf(first, weight):
    crf = dense.DenseCRF2D(3, 3, 2)
    crf.setUnaryEnergy(-np.log(np.stack([first, 1 - first])).astype(np.float32))
    crf.addPairwiseGaussian(sxy=1, compat=weight, kernel=dense.CONST_KERNEL, normalization=dense.NO_NORMALIZATION)
    return crf


# The kernel, column by column: where only pixel j leans to a label, one step moves pixel i by
# weight * kernel[i, j] * lean.
kernel = np.zeros((9, 9))
for j in range(9):
    first = np.full(9, 0.5)
    first[j] = 0.9
    q = np.array(make_crf(first, 0.01).inference(1), float)
    kernel[:, j] = (np.log(q[0] / q[1]) - np.log(first / (1 - first))) / (0.01 * 0.8)
kernel = (kernel + kernel.T) / 2

first, weight = np.array([0.8, 0.6, 0.2, 0.4, 0.1, 0.9, 0.2, 0.8, 0.5]), 2
labellings = np.array(list(itertools.product([0, 1], repeat=9)))
log_p = np.where(labellings == 0, np.log(first), np.log(1 - first)).sum(1)
log_p += weight * (np.triu(kernel, 1) * (labellings[:, :, None] == labellings[:, None, :])).sum((1, 2))
log_p -= np.logaddexp.reduce(log_p)

crf = make_crf(first, weight)
q_matrix, one, two = crf.startInference()
reported, true = [], []
for step in range(4):
    q = np.array(q_matrix, float)
    log_q = np.where(labellings == 0, np.log(q[0]), np.log(q[1])).sum(1)
    reported.append(crf.klDivergence(q_matrix))
    true.append((np.exp(log_q) * (log_q - log_p)).sum())
    crf.stepInference(q_matrix, one, two)
print("seen: klDivergence:", *(f"{v:.1f}" for v in reported))
print("seen: true KL:", *("rises" if b > a + 0.01 else "falls" for a, b in zip(true, true[1:])))
print("true KL:", true)
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: what klDivergence holds"; exit 1; }
echo "as stated: klDivergence falls at steps at which the true KL rises"

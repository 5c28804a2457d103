#!/usr/bin/env bash
# Expected: ray.data.read_webdataset gives None where a sample has no file of a kind, wherever the sample stands in its
#   shard. A sample may lack a file: WebDataset's convention does not ask for one.
# What is so: it depends on the place. Where the first sample lacks its array, the row has None. Where a later one lacks
#   it, the column holds arrays and the number NaN, which Ray cannot make a column of: the shard fails, and with it the
#   whole job. So a set that was tried on its first shards fails hours later, and the message names neither sample nor
#   file. With decoder=None the members are bytes and both shards are read.
# Seen with: ray 2.60.0, pyarrow 26.0.1, pandas 3.1.1: "first: None array", "later: failed", bytes: "array None".
# Source: none that we know.
# Our users: pycambium.ray.read_shards reads members as bytes, and gives None wherever a member is lacking. label fails
#   that row alone. tests/test_ray.py shows it (examples/python). docs/scale.md (Ray) says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q "ray[data]==2.60.0" numpy==2.4.6 pyarrow==26.0.1 pandas==3.1.1; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
first lacks it: None array
second lacks it: failed, and names neither the sample nor the shard
second lacks it, as bytes: array None
END

export RAY_AUTH_MODE=disabled RAY_USAGE_STATS_ENABLED=0
"$folder/venv/bin/python" - "$folder" >"$folder/log" 2>&1 <<'END' || gone
import io, sys, tarfile
import numpy as np
import ray


def write(shard, lacking):
    path = f"{sys.argv[1]}/{shard}.tar"
    with tarfile.open(path, "w") as archive:
        for id in ("one", "two"):
            array = io.BytesIO()
            np.save(array, np.ones((2, 3), np.float32))
            files = [("txt", b"text"), ("npy", array.getvalue())]
            for ending, content in files[: 1 if id == lacking else 2]:
                info = tarfile.TarInfo(f"{id}.{ending}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def say(what, path, **how):
    try:
        rows = {row["__key__"]: row["npy"] for row in ray.data.read_webdataset(path, **how).take_all()}
        print(f"seen: {what}:", *("None" if rows[id] is None else "array" for id in ("one", "two")))
    except Exception as error:
        named = [word for word in ("'two'", "two.txt", path) if word in str(error)]
        print(f"seen: {what}: failed, and names", named or "neither the sample nor the shard")


ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
say("first lacks it", write("first", "one"))
say("second lacks it", write("later", "two"))
say("second lacks it, as bytes", write("later", "two"), decoder=None)
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" || { echo "changed: what Ray makes of a member that is lacking"; exit 1; }
echo "as stated: whether a lacking member fails the shard depends on the sample's place in it"

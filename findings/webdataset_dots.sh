#!/usr/bin/env bash
# Expected: in a tar shard of WebDataset's convention c.v1.jpg and c.v1.cam.npy are files of the sample c.v1, and c.v2.jpg
#   and c.v2.cam.npy are files of the sample c.v2, as the files of os.path.splitext or of a name with a date in it.
# What is so: WebDataset's reader and Ray Data's end the key at the first dot of the file's name. All four files are one
#   sample, c, with the columns v1.jpg, v1.cam.npy, v2.jpg and v2.cam.npy. Nothing is reported: a set of two photographs
#   has one row, and columns that no other row has.
# Seen with: webdataset 1.0.2, ray 2.60.0: one row c of four members, by both.
# Source: webdataset's documentation names the first dot; Ray's read_webdataset says so only in an error about order.
# Our users: pycambium.shards and pycambium.ray take the whole path before a known ending (.jpg, .cam.npy, ...) as the
#   id. tests/test_shards.py shows it (examples/python). docs/scale.md (Ray) says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q "ray[data]==2.60.0" webdataset==1.0.2 numpy==2.4.6 pyarrow==26.0.1 pandas==3.1.1; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
webdataset: c v1.cam.npy v1.jpg v2.cam.npy v2.jpg
ray: c v1.cam.npy v1.jpg v2.cam.npy v2.jpg
END

export RAY_AUTH_MODE=disabled RAY_USAGE_STATS_ENABLED=0
"$folder/venv/bin/python" - "$folder/set.tar" >"$folder/log" 2>&1 <<'END' || gone
import io, sys, tarfile
import ray, webdataset

with tarfile.open(sys.argv[1], "w") as archive:
    for name in ("c.v1.jpg", "c.v1.cam.npy", "c.v2.jpg", "c.v2.cam.npy"):
        info = tarfile.TarInfo(name)
        info.size = len(name)
        archive.addfile(info, io.BytesIO(name.encode()))


def say(reader, rows):
    for row in rows:
        print(f"seen: {reader}:", row["__key__"], *sorted(name for name in row if not name.startswith("_")))


say("webdataset", webdataset.WebDataset(sys.argv[1], shardshuffle=False))
ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
say("ray", ray.data.read_webdataset(sys.argv[1], decoder=None).take_all())
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" || { echo "changed: where the key of a sample ends"; exit 1; }
echo "as stated: both readers end a sample's key at the first dot, and make one sample of two"

"""Python's tarfile, for the tests of tar shards: it shares no line with libarchive.

    tar_shards.py pack OUT.tar pax|gnu|float < members.json      [{"name": ..., "file": ...} or {"name": ..., "kind": "link"}, ...]
    tar_shards.py unpack IN.tar FOLDER             prints the members in their order, as JSON
"""
import io
import json
import pathlib
import sys
import tarfile

KINDS = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE,
         "folder": tarfile.DIRTYPE}


def pack(out, members, form):
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT if form == "gnu" else tarfile.PAX_FORMAT) as to:
        for one in members:
            about = tarfile.TarInfo(one["name"])
            about.mtime, about.uid, about.uname = 1234567890, 1000, "somebody"  # no input has a say in outputs
            if form == "float":  # as tarfile.add writes it: a PAX header for every member
                about.mtime += 0.25
            if "kind" in one:
                about.type = KINDS[one["kind"]]
                about.linkname = "/etc/passwd"
                to.addfile(about)
            else:
                content = pathlib.Path(one["file"]).read_bytes()
                about.size = len(content)
                to.addfile(about, io.BytesIO(content))


def unpack(path, folder):
    told = []
    with tarfile.open(path, "r:") as shard:
        for one in shard:
            assert one.isreg(), one
            told.append({"name": one.name, "mode": one.mode, "mtime": one.mtime, "uid": one.uid, "gid": one.gid,
                         "owner": one.uname + one.gname})
            to = pathlib.Path(folder) / one.name
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(shard.extractfile(one).read())
    print(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1] == "pack":
        pack(sys.argv[2], json.load(sys.stdin), sys.argv[3])
    else:
        unpack(sys.argv[2], sys.argv[3])

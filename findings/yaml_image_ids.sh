#!/usr/bin/env bash
# Expected: an image id is text. 2007_000032 (VOC) has an underscore, and 000000000632 (COCO) has leading zeros, so that no
#   reader of a list of ids or of a command line takes them for numbers.
# What is so: every id of VOC is an integer in Python's spelling, and readers that look for numbers drop the underscore:
#   2007000032. In YAML an id of COCO is an octal number where its digits are all below 8, and text where one is 8 or 9. One
#   list then holds both, and only some photographs are missing. Another YAML reader takes the same id as decimal. A
#   command line of Hydra or Fire keeps COCO's ids and loses VOC's.
# Seen with: PyYAML 6.0.4, ruamel.yaml 0.19.1, hydra-core 1.3.8, fire 0.7.1. 000000000632 is 410, 632, text, text.
# Source: hydra-ecosystem/hydra#1163 (by design); YAML 1.1 has the octal rule. That these are the ids of the field's two
#   main data sets is ours.
# Our users: include/cambium/io/text.hpp and label's flags take ids as text. docs/formats.md (Text files) says to quote
#   them in YAML.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q pyyaml==6.0.4 ruamel.yaml==0.19.1 hydra-core==1.3.8 omegaconf==2.3.1 fire==0.7.1; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
PyYAML: 2007000032 | '000000000139' | 410
ruamel.yaml: 2007000032 | 139 | 632
Hydra: 2007000032 | '000000000139' | '000000000632'
Fire: 2007000032 | '000000000139' | '000000000632'
names of files, PyYAML: '2007_000032.jpg' | '000000000139.jpg' | '000000000632.jpg'
END

"$folder/venv/bin/python" - >"$folder/log" 2>&1 <<'END' || gone
import io
import fire.parser
import ruamel.yaml
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

ids = ["2007_000032", "000000000139", "000000000632"]


def listed(ids):
    return "".join(f"- {id}\n" for id in ids)


def say(reader, read):
    print(f"seen: {reader}:", *(f"{id!r}" + (" |" if i < 2 else "") for i, id in enumerate(read)))


say("PyYAML", yaml.safe_load(listed(ids)))
say("ruamel.yaml", ruamel.yaml.YAML(typ="safe").load(io.StringIO(listed(ids))))
command_line = OverridesParser.create()
say("Hydra", [command_line.parse_override("id=" + id).value() for id in ids])
say("Fire", [fire.parser.DefaultParseValue(id) for id in ids])
say("names of files, PyYAML", yaml.safe_load(listed(id + ".jpg" for id in ids)))
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: what becomes of VOC's and COCO's ids in YAML and on command lines"; exit 1; }
echo "as stated: ids of VOC, and some of COCO, are read as numbers"

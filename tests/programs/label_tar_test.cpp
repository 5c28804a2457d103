// label on tar shards, as a process. Shards are written and read by Python's tarfile; what the labels should be, the
// same program says of the same images in folders.

#include "programs/process.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

using namespace cambium;
namespace fs = std::filesystem;
using json = nlohmann::json;
using namespace programs;

namespace {

struct shard_scene : scratch {
  /// Whether there is what it needs; else a warning says what is not.
  bool able() const
  {
    static std::string const missing = [this] {
      auto const r = run_program(root, CAMBIUM_LABEL, {"--images", "x.tar", "--out", "o"});
      if (contains(r.err, "without libarchive")) return r.err;
      return std::string(std::system("python3 -c 'import tarfile'") == 0 ? "" : "there is no python3");
    }();
    if (!missing.empty()) WARN("skipped: " << missing);
    return missing.empty();
  }

  /// The files of a tiny image of two classes: in/<id>.jpg, .cam.npy, .boundary.npy, .cls and the truth.
  void add(std::string const& id, bool with_cam = true)
  {
    index_t const H = 17, W = 25, h = 5, w = 7;
    auto const seed = std::hash<std::string>{}(id);
    ids.push_back(id);
    replace_file(in(id, ".jpg"), format_jpeg(support::uniform<std::uint8_t, 3>({H, W, 3}, 0, 255, seed)));
    auto cams = support::uniform<float, 3>({2, h, w}, 0, 0.1, seed);
    grid<std::int32_t, 2> semantic(H, W), instances(H, W);
    for (index_t y = 0; y < h; ++y) cams(0, y, 1) = 0.9f, cams(1, y, w - 2) = 0.8f;
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) semantic(y, x) = x < W / 2 ? 3 : 7, instances(y, x) = x < W / 2 ? 1 : 2;
    if (with_cam) write_npy<3>(in(id, ".cam.npy"), cams);
    auto edge = support::uniform<float, 2>({h, w}, 0, 0.2, seed);
    for (index_t y = 0; y < h; ++y) edge(y, w / 2) = 1;
    write_npy<2>(in(id, ".boundary.npy"), edge);
    replace_file(in(id, ".cls"), "3\n7\n");
    replace_file(in(id, ".truth_semantic.png"), format_labels(semantic, voc_palette()));
    replace_file(in(id, ".truth_instances.png"), format_ids(instances));
  }
  fs::path in(std::string const& id, std::string const& ending) const { return root / "in" / (id + ending); }

  std::vector<std::string> endings{
      ".jpg", ".cam.npy", ".boundary.npy", ".cls", ".truth_semantic.png", ".truth_instances.png"};

  json members(std::vector<std::string> const& of) const
  {
    json out = json::array();
    for (auto const& id : of)
      for (auto const& ending : endings)
        if (fs::exists(in(id, ending))) out.push_back({{"name", id + ending}, {"file", in(id, ending).string()}});
    return out;
  }

  void pack_members(std::string const& name, json const& what, std::string const& form = "pax") const
  {
    replace_file(root / "members.json", what.dump());
    std::string const command =
        "python3 " CAMBIUM_TAR_SHARDS " pack " + at(name) + " " + form + " < " + at("members.json");
    REQUIRE(std::system(command.c_str()) == 0);
  }
  void pack(std::string const& name, std::vector<std::string> const& of) const { pack_members(name, members(of)); }

  /// What Python reads of a shard: its members in order; their contents are below `folder` then.
  json unpack(std::string const& name, std::string const& folder) const
  {
    std::string const command =
        "python3 " CAMBIUM_TAR_SHARDS " unpack " + at(name) + " " + at(folder) + " > " + at("told.json");
    REQUIRE(std::system(command.c_str()) == 0);
    return parse(root / "told.json");
  }

  outcome label(std::string const& images, std::string const& out, std::vector<std::string> more = {}) const
  {
    more.insert(more.begin(), {"--images", at(images), "--out", at(out)});
    return run_program(root, CAMBIUM_LABEL, more);
  }
  outcome join(std::string const& out) const { return run_program(root, CAMBIUM_LABEL, {"--join", at(out)}); }

  /// The same images in folders, in the order of `ids`.
  void label_folders(std::string const& out, std::vector<std::string> more = {}) const
  {
    std::string list, tags;
    for (auto const& id : ids) list += id + "\n", tags += id + " 3 7\n";
    replace_file(root / "ids", list), replace_file(root / "tags", tags);
    more.insert(more.begin(), {"--images", at("in/{id}.jpg"), "--cams", at("in/{id}.cam.npy"), "--boundaries",
                               at("in/{id}.boundary.npy"), "--tags", at("tags"), "--ids", at("ids"), "--truth-semantic",
                               at("in/{id}.truth_semantic.png"), "--truth-instances", at("in/{id}.truth_instances.png"),
                               "--out", at(out)});
    auto const r = run_program(root, CAMBIUM_LABEL, more);
    INFO(r.err);
    REQUIRE(r.status == 0);
  }

  std::vector<std::string> ids;
};

std::string const long_id = std::string(120, 'l') + "/" + std::string(110, 'n') + ".x";

/// Two shards: names with dots and folders, names too long for a plain header, names of UTF-8.
void two_shards(shard_scene& s)
{
  for (auto const& id : {"a/c.v1", "a/c", "b 2", "\xC3\xA4", "z.1.2"}) s.add(id);
  s.add(long_id);
  s.pack_members("set-08.tar", s.members({"a/c.v1", "a/c", long_id}), "gnu");
  s.pack("set-09.tar", {"b 2", "\xC3\xA4", "z.1.2"});
  s.ids = {"a/c.v1", "a/c", long_id, "b 2", "\xC3\xA4", "z.1.2"};
}

void flip(fs::path const& path, std::size_t at)
{
  auto content = read_file(path);
  content.at(at) ^= 0x55;
  replace_file(path, content);
}

/// Where the header of a member is in an archive of plain names.
std::size_t header_of(fs::path const& path, std::string const& name)
{
  auto const content = read_file(path);
  for (std::size_t at = 0; at + 512 <= content.size(); at += 512)
    if (std::string(reinterpret_cast<char const*>(content.data()) + at) == name) return at;
  FAIL("no member " << name);
  return 0;
}

}  // namespace

TEST_CASE("label reads and writes tar shards: the bytes of folders", "[shards][reference]")
{
  shard_scene s;
  if (!s.able()) return;
  two_shards(s);
  s.label_folders("folders", {"--overlay"});
  auto const r = s.label("set-{08..09}.tar", "shards", {"--overlay"});
  INFO(r.err << r.out);
  REQUIRE(r.status == 0);
  CHECK(contains(r.out, "6 labelled"));

  std::vector<std::string> order;
  for (auto const shard : {"08", "09"})
    for (auto const& one : s.unpack(std::string("shards/labels-") + shard + ".tar", "unpacked")) {
      order.push_back(one.at("name"));
      CHECK((one.at("mode") == 0644 && one.at("mtime") == 0 && one.at("uid") == 0 && one.at("gid") == 0 &&
             one.at("owner") == ""));
    }
  std::vector<std::string> expected;
  for (auto const& id : s.ids)
    for (auto const ending : {".semantic.png", ".instances.png", ".overlay.jpg", ".json"})
      expected.push_back(id + ending);
  CHECK(order == expected);  // of the input
  for (auto const& id : s.ids) {
    INFO(id);
    CHECK(text_of(s.root / "unpacked" / (id + ".semantic.png")) ==
          text_of(s.root / "folders/semantic" / (id + ".png")));
    CHECK(text_of(s.root / "unpacked" / (id + ".instances.png")) ==
          text_of(s.root / "folders/instances" / (id + ".png")));
    CHECK(text_of(s.root / "unpacked" / (id + ".overlay.jpg")) == text_of(s.root / "folders/overlay" / (id + ".jpg")));
    CHECK(text_of(s.root / "unpacked" / (id + ".json")) == text_of(s.root / "folders/records" / (id + ".json")));
  }
  CHECK_FALSE(fs::exists(s.root / "shards/detections.json"));
  auto const joined = s.join("shards");
  INFO(joined.err << joined.out);
  REQUIRE(joined.status == 0);
  CHECK(contains(joined.out, "mIoU"));
  for (auto const file : {"detections.json", "manifest.json", "scores.json"})
    CHECK(text_of(s.root / "shards" / file) == text_of(s.root / "folders" / file));
  CHECK(parse(s.root / "shards/scores.json").at("miou").get<double>() > 0.2);
  for (auto const& [name, content] : everything(s.root / "shards")) CHECK_FALSE(name.ends_with(".partial"));

  SECTION("shards into folders")
  {
    auto const f = s.label("set-{08..09}.tar", "files", {"--overlay", "--files"});
    INFO(f.err);
    REQUIRE(f.status == 0);
    CHECK(everything(s.root / "files") == everything(s.root / "folders"));
    fs::remove(s.root / "files/semantic/z.1.2.png");
    auto const again = s.label("set-{08..09}.tar", "files", {"--overlay", "--files", "--resume"});
    CHECK(contains(again.out, "1 labelled, 5 kept from before, 0 failed"));
    CHECK(everything(s.root / "files") == everything(s.root / "folders"));
  }
}

TEST_CASE("scribbles and features are read from shards as from folders", "[shards][reference]")
{
  shard_scene s;
  if (!s.able()) return;
  s.add("a.1", false), s.add("b", false);
  for (auto const& id : s.ids) {
    auto const features = support::uniform<float, 3>({4, 5, 7}, -1, 1, std::hash<std::string>{}(id));
    write_npy<3>(s.in(id, ".features.npy"), features);
    grid<std::int32_t, 2> marks(17, 25);
    for (auto& v : marks.cells()) v = 255;
    for (index_t x = 3; x < 20; ++x) marks(4, x) = 2, marks(12, x) = 0;
    replace_file(s.in(id, ".scribbles.png"), format_labels(marks, voc_palette()));
  }
  s.endings = {".jpg", ".features.npy", ".scribbles.png"};
  s.pack("set-0.tar", s.ids);
  for (auto const& [method, flag] : {std::pair{"cut", "features.npy"}, {"scribbles", "scribbles.png"}}) {
    CAPTURE(method);
    std::string const name = method;
    auto const input = "--" + std::string(flag).substr(0, std::string(flag).find('.'));
    auto const of_files = run_program(s.root, CAMBIUM_LABEL,
                                      {"--method", name, "--images", s.at("in/{id}.jpg"), input,
                                       s.at("in/{id}.") + flag, "--out", s.at("files_" + name)});
    INFO(of_files.err);
    REQUIRE(of_files.status == 0);
    auto const r = s.label("set-0.tar", "shards_" + name, {"--method", name});
    INFO(r.err << r.out);
    REQUIRE(r.status == 0);
    (void)s.unpack("shards_" + name + "/labels-0.tar", "unpacked_" + name);
    for (auto const& id : s.ids)
      for (auto const kind : {"semantic", "instances"})
        CHECK(text_of(s.root / ("unpacked_" + name) / (id + "." + kind + ".png")) ==
              text_of(s.root / ("files_" + name) / kind / (id + ".png")));
  }
}

TEST_CASE("neither threads nor the division of shards change a byte", "[shards][property]")
{
  shard_scene s;
  if (!s.able()) return;
  for (int shard = 0; shard < 3; ++shard) {
    std::vector<std::string> of;
    for (int i = 0; i < 12; ++i) of.push_back(std::to_string(shard) + "-" + std::to_string(i)), s.add(of.back());
    s.pack("set-" + std::to_string(shard) + ".tar", of);
  }
  REQUIRE(s.label("set-{0..2}.tar", "one", {"--threads", "1"}).status == 0);
  auto const one = everything(s.root / "one");
  CHECK(one.size() == 3 * 4 + 1);
  for (auto const threads : {"2", "8"}) {
    REQUIRE(s.label("set-{0..2}.tar", threads, {"--threads", threads}).status == 0);
    CHECK(everything(s.root / threads) == one);
  }
  for (auto const part : {"2/2", "1/2"}) REQUIRE(s.label("set-{0..2}.tar", "parts", {"--shard", part}).status == 0);
  CHECK(everything(s.root / "parts") == one);
  REQUIRE(s.join("parts").status == 0);
}

TEST_CASE("a resumed run keeps finished shards and makes the others again", "[shards][property]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"a", "b", "c", "d"}) s.add(id);
  s.pack("set-0.tar", {"a", "b"}), s.pack("set-1.tar", {"c", "d"});
  REQUIRE(s.label("set-{0..1}.tar", "out").status == 0);
  auto const whole = everything(s.root / "out");
  auto const again = [&](std::string const& told) {
    auto const r = s.label("set-{0..1}.tar", "out", {"--resume"});
    INFO(r.out << r.err);
    CHECK(contains(r.out, told));
    return r.status;
  };
  CHECK(again("0 labelled, 4 kept from before, 0 failed") == 0);
  CHECK(everything(s.root / "out") == whole);
  for (auto const file : {"labels-1.json", "labels-1.tar", "labels-1.images.jsonl", "labels-1.detections.jsonl"}) {
    INFO(file);
    fs::remove(s.root / "out" / file);
    CHECK(again("2 labelled, 2 kept from before, 0 failed") == 0);
    CHECK(everything(s.root / "out") == whole);
    flip(s.root / "out" / file, 40);
    CHECK(again("2 labelled, 2 kept from before, 0 failed") == 0);
    CHECK(everything(s.root / "out") == whole);
  }
  // another input
  replace_file(s.in("c", ".cls"), "5 6");
  s.pack("set-1.tar", {"c", "d"});
  CHECK(again("2 labelled, 2 kept from before, 0 failed") == 0);
  CHECK(everything(s.root / "out") != whole);
  // other parameters
  auto const r = s.label("set-{0..1}.tar", "out", {"--resume", "--beta", "8"});
  CHECK(contains(r.out, "4 labelled, 0 kept"));
  // a shard with a failure is never finished
  replace_file(s.in("c", ".cam.npy"), "broken");
  s.pack("set-1.tar", {"c", "d"});
  CHECK(again("3 labelled, 0 kept from before, 1 failed") == 1);
  CHECK(again("1 labelled, 2 kept from before, 1 failed") == 1);
}

TEST_CASE("a damaged member fails its image, a cut shard what is behind the cut", "[shards][errors]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"a", "b", "c", "d"}) s.add(id);
  SECTION("a photograph that is cut off")
  {
    auto photograph = read_file(s.in("b", ".jpg"));
    photograph.resize(photograph.size() / 3);
    replace_file(s.in("b", ".jpg"), photograph);
    s.pack("set-0.tar", s.ids);
    auto const r = s.label("set-0.tar", "out");
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "failures:"));
    CHECK(contains(r.err, "set-0.tar: b.jpg: "));
    CHECK(contains(r.out, "3 labelled, 0 kept from before, 1 failed"));
    CHECK(s.unpack("out/labels-0.tar", "un").size() == 3 * 3);
    CHECK_FALSE(fs::exists(s.root / "un/b.json"));
    auto const j = s.join("out");
    CHECK(j.status == 1);
    CHECK(contains(j.err, "1 image failed"));
    CHECK(parse(s.root / "out/manifest.json").at("images_listed") == 4);
    CHECK(parse(s.root / "out/manifest.json").at("images_labelled") == 3);
  }
  SECTION("a member that is missing")
  {
    auto what = s.members(s.ids);
    what.erase(8);  // b.boundary.npy
    s.pack_members("set-0.tar", what);
    auto const r = s.label("set-0.tar", "out");
    CHECK(r.status == 1);
    CHECK(contains(r.err, "set-0.tar: b.boundary.npy: is missing"));
    CHECK(contains(r.out, "3 labelled"));
  }
  SECTION("a shard that is cut off within a member")
  {
    s.pack("set-0.tar", s.ids);
    fs::resize_file(s.root / "set-0.tar", header_of(s.root / "set-0.tar", "c.jpg") + 700);
    auto const r = s.label("set-0.tar", "out");
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "set-0.tar: is cut off at byte "));
    CHECK(contains(r.err, "set-0.tar: c: the shard is cut off"));
    CHECK(contains(r.out, "2 labelled"));
    CHECK(s.unpack("out/labels-0.tar", "un").size() == 2 * 3);
    CHECK(contains(s.join("out").err, "set-0.tar was cut off or damaged"));
  }
  SECTION("a shard that is cut off between members: the last image may have lost files")
  {
    s.pack("set-0.tar", s.ids);
    fs::resize_file(s.root / "set-0.tar", header_of(s.root / "set-0.tar", "c.jpg"));
    auto const r = s.label("set-0.tar", "out");
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, ": the archive has no end"));
    CHECK(contains(r.out, "1 labelled"));
  }
  SECTION("a shard that is cut off behind a member whose end are zeros, as an archive's is")
  {
    // the header of .npy is padded to 128 bytes; 1024 bytes of zeros end the archive's last block
    write_npy<2>(s.in("b", ".boundary.npy"), grid<float, 2>(5, 200));
    s.endings = {".jpg", ".cam.npy", ".boundary.npy"};
    s.pack("set-0.tar", s.ids);
    auto const where = header_of(s.root / "set-0.tar", "c.jpg");
    auto const whole = read_file(s.root / "set-0.tar");
    REQUIRE(std::all_of(whole.begin() + static_cast<std::ptrdiff_t>(where) - 512,
                        whole.begin() + static_cast<std::ptrdiff_t>(where), [](unsigned char c) { return c == 0; }));
    fs::resize_file(s.root / "set-0.tar", where);
    auto const r = s.label("set-0.tar", "out");
    INFO(r.out << r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "is cut off at byte " + std::to_string(where) + ": the archive has no end"));
    CHECK(contains(r.err, "set-0.tar: b: the shard is cut off at byte "));
    CHECK(contains(r.out, "1 labelled"));
    CHECK(s.join("out").status == 1);
    fs::resize_file(s.root / "set-0.tar", where + 512);  // a block of zeros: a whole archive, as short as possible
    replace_file(s.in("b", ".boundary.npy"), read_file(s.in("a", ".boundary.npy")));
    s.pack("set-0.tar", {"a", "b"});
    fs::resize_file(s.root / "set-0.tar", header_of(s.root / "set-0.tar", "b.boundary.npy") + 1024);
    CHECK(contains(s.label("set-0.tar", "out").err, "the archive has no end"));
    fs::resize_file(s.root / "set-0.tar", header_of(s.root / "set-0.tar", "b.boundary.npy") + 1536);
    CHECK(s.label("set-0.tar", "out").status == 0);
  }
  SECTION("archives that are joined, the last one cut between members")
  {
    s.pack("set-0.tar", {"a", "b"}), s.pack("set-1.tar", {"c", "d"});
    auto both = read_file(s.root / "set-0.tar"), second = read_file(s.root / "set-1.tar");
    auto const where = header_of(s.root / "set-1.tar", "d.jpg");
    both.insert(both.end(), second.begin(), second.end());
    replace_file(s.root / "set-2.tar", both);
    CHECK(contains(s.label("set-2.tar", "out").out, "4 labelled, 0 kept from before, 0 failed"));
    fs::resize_file(s.root / "set-2.tar", both.size() - second.size() + where);
    auto const r = s.label("set-2.tar", "out");
    INFO(r.out << r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "the archive has no end"));
    CHECK(contains(r.out, "2 labelled"));
  }
  SECTION("a header that is damaged fails the images beside it")
  {
    s.pack("set-0.tar", s.ids);
    flip(s.root / "set-0.tar", header_of(s.root / "set-0.tar", "b.boundary.npy") + 3);
    auto const r = s.label("set-0.tar", "out");
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "set-0.tar: b: the shard is damaged near byte "));
    CHECK(contains(r.out, "3 labelled"));
  }
  SECTION("a header that is damaged behind a PAX header: what is behind it is read")
  {
    s.pack_members("set-0.tar", s.members(s.ids), "float");
    auto const place = header_of(s.root / "set-0.tar", "b.boundary.npy");
    flip(s.root / "set-0.tar", place + 3);
    auto const r = s.label("set-0.tar", "out");
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "set-0.tar: b: the shard is damaged near byte " + std::to_string(place - 1024)));
    CHECK_FALSE(contains(r.err, "cut off"));
    CHECK(contains(r.out, "3 labelled"));
    std::string const sum = "test $(sha256sum < " + s.at("set-0.tar") + " | cut -d ' ' -f 1) = " +
                            parse(s.root / "out/labels-0.json").at("input").get<std::string>();
    CHECK(std::system(sum.c_str()) == 0);  // the whole file once, though parts were read twice
    s.unpack("out/labels-0.tar", "un");
    // two more: at the begin, and in the last member's
    flip(s.root / "set-0.tar", header_of(s.root / "set-0.tar", "a.jpg") + 3);
    auto const last = header_of(s.root / "set-0.tar", "d.truth_instances.png");
    flip(s.root / "set-0.tar", last + 3);
    auto const more = s.label("set-0.tar", "out");
    INFO(more.err);
    CHECK(more.status == 1);
    CHECK(contains(more.err, "is damaged near byte " + std::to_string(last - 1024)));
    CHECK(contains(more.err, "no member can be read behind it"));
    CHECK(contains(more.out, "1 labelled"));
    auto const un = s.unpack("out/labels-0.tar", "un2");
    CHECK((un.size() == 3 && un[0].at("name") == "c.semantic.png"));
    CHECK(text_of(s.root / "un/c.instances.png") == text_of(s.root / "un2/c.instances.png"));
    // cut within the headers of a member
    fs::resize_file(s.root / "set-0.tar", header_of(s.root / "set-0.tar", "d.jpg") - 512);
    CHECK(contains(s.label("set-0.tar", "out").err, "is cut off at byte "));
  }
  SECTION("what is no archive")
  {
    s.pack("set-0.tar", {"a", "b"});
    replace_file(s.root / "set-1.tar", std::string(5000, 'x'));
    auto const r = s.label("set-{0..1}.tar", "out");
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "set-1.tar: is no tar archive"));
    CHECK(contains(r.out, "2 labelled"));
    CHECK_FALSE(fs::exists(s.root / "out/labels-1.json"));
    auto const j = s.join("out");
    CHECK((j.status == 1 && contains(j.err, "1 shard is not finished, the first is labels-1.tar")));
    replace_file(s.root / "set-0.tar", std::string("\x1f\x8b\x08\x00 and so on, zipped", 24));
    CHECK(contains(s.label("set-0.tar", "out").err, "is compressed"));
  }
}

TEST_CASE("labels of other inputs are neither kept nor joined", "[shards][property]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"a", "b", "c", "d"}) s.add(id);
  auto what = [&](std::vector<std::string> const& of) {
    auto out = s.members(of);
    for (auto const& id : of) {
      out.push_back({{"name", id + ".heat.npy"}, {"file", s.in("b", ".cam.npy").string()}});
      out.push_back({{"name", id + ".other.truth"}, {"file", s.in(id, ".truth_semantic.png").string()}});
    }
    return out;
  };
  s.pack_members("set-0.tar", what({"a", "b"})), s.pack_members("set-1.tar", what({"c", "d"}));
  std::vector<std::vector<std::string>> const changes{{"--leave-out", "tags"},
                                                      {"--cams", "{id}.heat.npy"},
                                                      {"--truth-semantic", "{id}.other.truth"},
                                                      {"--leave-out", "truth-instances"}};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    INFO(changes[i][0] << " " << changes[i][1]);
    auto const out = "out" + std::to_string(i), fresh = "fresh" + std::to_string(i);
    REQUIRE(s.label("set-{0..1}.tar", out).status == 0);
    auto const changed = [&](std::vector<std::string> more) {
      more.insert(more.end(), changes[i].begin(), changes[i].end());
      return more;
    };
    // one of the two shards is labelled otherwise
    REQUIRE(s.label("set-{0..1}.tar", out, changed({"--shard", "2/2"})).status == 0);
    auto const j = s.join(out);
    INFO(j.err);
    CHECK(j.status == 2);
    CHECK(contains(j.err, "labels-1.json: was made of other inputs than labels-0.tar ("));
    CHECK_FALSE(fs::exists(s.root / out / "manifest.json"));
    auto const again = s.label("set-{0..1}.tar", out, changed({"--resume"}));
    CHECK(contains(again.out, "2 labelled, 2 kept from before, 0 failed"));
    REQUIRE(s.label("set-{0..1}.tar", fresh, changed({})).status == 0);
    CHECK(everything(s.root / out) == everything(s.root / fresh));
    CHECK(s.join(out).status == 0);
  }
  auto const j = [&] {
    REQUIRE(s.label("set-{0..1}.tar", "words").status == 0);
    REQUIRE(s.label("set-{0..1}.tar", "words", {"--shard", "2/2", "--leave-out", "tags"}).status == 0);
    return s.join("words");
  }();
  CHECK(contains(j.err, "(tags: none, not {id}.cls)"));
}

TEST_CASE("a shard that holds an input which the first one lacks fails", "[shards][errors]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"a", "b", "c", "d"}) s.add(id);
  s.endings = {".jpg", ".cam.npy", ".boundary.npy"};
  s.pack("set-0.tar", {"a", "b"});
  for (auto const& [ending, flag] :
       std::vector<std::pair<std::string, std::string>>{{".cls", "tags"},
                                                        {".displacement.npy", "displacements"},
                                                        {".truth_semantic.png", "truth-semantic"},
                                                        {".truth_instances.png", "truth-instances"}}) {
    INFO(ending);
    auto what = s.members({"c", "d"});
    what.push_back({{"name", "c" + ending}, {"file", s.in("c", ".cls").string()}});
    s.pack_members("set-1.tar", what);
    auto const r = s.label("set-{0..1}.tar", "out" + flag);
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, s.at("set-1.tar") + ": holds c" + ending + ", but " + s.at("set-0.tar") +
                              " has no such member, so --" + flag + " would not be read; say --" + flag + " '{id}" +
                              ending + "' or --leave-out " + flag));
    CHECK(contains(r.out, "2 labelled, 0 kept from before, 1 failed"));
    CHECK_FALSE(fs::exists(s.root / ("out" + flag) / "labels-1.json"));
    auto const left = s.label("set-{0..1}.tar", "out" + flag, {"--resume", "--leave-out", flag});
    INFO(left.err);
    CHECK(contains(left.out, "2 labelled, 2 kept from before, 0 failed"));
    CHECK(s.join("out" + flag).status == 0);
  }
  // bestie does without photographs
  json bare = json::array();
  for (auto const ending : {".seg.npy", ".centres.npy", ".offsets.npy"})
    bare.push_back({{"name", std::string("a") + ending}, {"file", s.in("a", ".cam.npy").string()}});
  s.pack_members("bare-0.tar", bare);
  bare.push_back({{"name", "c.jpg"}, {"file", s.in("c", ".jpg").string()}});
  s.pack_members("bare-1.tar", bare);
  auto const r = s.label("bare-{0..1}.tar", "bare", {"--method", "bestie"});
  INFO(r.err);
  CHECK(contains(r.err, "bare-1.tar: holds c.jpg, but " + s.at("bare-0.tar") + " has no such member, so --images"));
  CHECK_FALSE(
      contains(s.label("bare-{0..1}.tar", "bare", {"--method", "bestie", "--leave-out", "images"}).err, "holds c.jpg"));
}

TEST_CASE("two runs into one folder must name all shards", "[shards][errors]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"a", "b", "c"}) s.add(id);
  s.pack("set-0.tar", {"a"}), s.pack("set-1.tar", {"b"}), s.pack("set-2.tar", {"c"});
  REQUIRE(s.label("set-0.tar", "out").status == 0);
  auto const before = everything(s.root / "out");
  auto const r = s.label("set-1.tar", "out");
  INFO(r.err);
  CHECK(r.status == 2);
  CHECK(contains(r.err, "holds labels-0.tar, the labels of set-0.tar, which --images does not name"));
  CHECK(everything(s.root / "out") == before);
  REQUIRE(s.label("set-{0..1}.tar", "out", {"--resume"}).status == 0);
  CHECK(contains(s.join("out").out, "2 of 2 images"));
  // a run with another list that began at the same time: its labels are there, its list is not
  REQUIRE(s.label("set-2.tar", "other").status == 0);
  for (auto const& file : fs::directory_iterator(s.root / "other"))
    if (file.path().filename() != "shards.json") fs::copy(file.path(), s.root / "out");
  auto const j = s.join("out");
  INFO(j.err);
  CHECK(j.status == 1);
  CHECK(contains(j.err, "1 shard is not in shards.json, so their images do not count: labels-2.tar"));
  REQUIRE(s.label("set-{0..2}.tar", "out", {"--resume"}).status == 0);
  CHECK(contains(s.join("out").out, "3 of 3 images"));
}

TEST_CASE("a shard that cannot be read for a moment keeps its labels", "[shards][errors]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"a", "b"}) s.add(id);
  s.pack("set-0.tar", {"a"}), s.pack("set-1.tar", {"b"});
  REQUIRE(s.label("set-{0..1}.tar", "out").status == 0);
  auto const whole = everything(s.root / "out");
  fs::rename(s.root / "set-1.tar", s.root / "away");
  SECTION("the disk fails")
  {
    fs::create_symlink("/proc/self/mem", s.root / "set-1.tar");  // opens, but its first byte cannot be read
    auto const r = s.label("set-{0..1}.tar", "out", {"--resume"});
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, s.at("set-1.tar") + ": Input/output error"));
    CHECK(everything(s.root / "out") == whole);
  }
  SECTION("it holds something else: its labels stay, but --join does not take them for finished")
  {
    replace_file(s.root / "set-1.tar", std::string(5000, 'x'));
    CHECK(s.label("set-{0..1}.tar", "out", {"--resume"}).status == 1);
    auto without = whole;
    without.erase("labels-1.json");
    CHECK(everything(s.root / "out") == without);
    CHECK(contains(s.join("out").err, "1 shard is not finished, the first is labels-1.tar"));
    for (auto const file : {"manifest.json", "detections.json", "scores.json"}) fs::remove(s.root / "out" / file);
  }
  fs::remove(s.root / "set-1.tar");
  fs::rename(s.root / "away", s.root / "set-1.tar");
  CHECK(s.label("set-{0..1}.tar", "out", {"--resume"}).status == 0);
  CHECK(everything(s.root / "out") == whole);
}

TEST_CASE("images that share an id are refused by name", "[shards][errors]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"a", "b"}) s.add(id);
  SECTION("in one shard")
  {
    auto what = s.members(s.ids);
    what.push_back(what[0]);
    s.pack_members("set-0.tar", what);
    auto const r = s.label("set-0.tar", "out");
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "set-0.tar: the image 'a' occurs twice: a.jpg is a second photograph of it"));
    CHECK_FALSE(fs::exists(s.root / "out/labels-0.tar"));
  }
  SECTION("two photographs")
  {
    auto what = s.members(s.ids);
    what.push_back({{"name", "a.PNG"}, {"file", s.in("a", ".jpg").string()}});
    s.pack_members("set-0.tar", what);
    CHECK(contains(s.label("set-0.tar", "out").err, "the image 'a' occurs twice: a.PNG is a second photograph of it"));
  }
  SECTION("in two shards")
  {
    s.pack("set-0.tar", {"a"}), s.pack("set-1.tar", {"b", "a"});
    REQUIRE(s.label("set-{0..1}.tar", "out").status == 0);
    auto const r = s.join("out");
    INFO(r.err);
    CHECK(r.status == 2);
    CHECK(contains(r.err, "the image 'a' is in labels-0.tar and in labels-1.tar; ids must differ"));
    CHECK_FALSE(fs::exists(s.root / "out/manifest.json"));
    auto const f = s.label("set-{0..1}.tar", "files", {"--files"});
    CHECK(f.status == 2);
    CHECK(contains(f.err, "the image 'a' is in " + s.at("set-0.tar") + " and in " + s.at("set-1.tar")));
    CHECK_FALSE(fs::exists(s.root / "files"));
  }
}

TEST_CASE("members in any order, and members that are none", "[shards][property]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"a", "a.c", "b"}) s.add(id);
  s.endings = {".jpg", ".cam.npy", ".boundary.npy", ".cls"};
  s.pack("set-0.tar", {"a", "a.c", "b"});
  REQUIRE(s.label("set-0.tar", "plain").status == 0);
  s.unpack("plain/labels-0.tar", "plain-files");
  auto what = s.members(s.ids);
  std::sort(what.begin(), what.end(), [](json const& x, json const& y) { return x.at("name") < y.at("name"); });
  auto const file = s.in("a", ".jpg").string();
  for (auto const& name : {"../evil.jpg", "/tmp/evil.jpg", "x/../../evil.jpg", "q//r.jpg"})
    what.push_back({{"name", name}, {"file", file}});
  for (auto const kind : {"link", "hard link", "device", "pipe"})
    what.push_back({{"name", std::string(kind) + ".jpg"}, {"kind", kind}});
  what.push_back({{"name", "folder.jpg"}, {"kind", "folder"}});
  what.push_back({{"name", "a.txt"}, {"file", file}});
  what.push_back({{"name", "a.instances.png"}, {"file", file}});
  what.push_back({{"name", "README"}, {"file", file}});
  s.pack_members("set-0.tar", what);
  auto const r = s.label("set-0.tar", "out");
  INFO(r.err << r.out);
  CHECK(r.status == 1);
  CHECK(contains(r.out, "3 labelled, 0 kept from before, 8 failed"));
  CHECK(contains(r.err, "note: " + s.at("set-0.tar") + ": 1 members that end in '.txt' are no input here"));
  CHECK(contains(r.err, "'../evil' cannot be an id: it would name a file outside the output folder"));
  CHECK(contains(r.err, "link.jpg: is a link"));
  s.unpack("out/labels-0.tar", "files");
  CHECK(everything(s.root / "files") == everything(s.root / "plain-files"));
  CHECK_FALSE(fs::exists(s.root.parent_path() / "evil.json"));
  auto const f = s.label("set-0.tar", "as-files", {"--files"});
  CHECK(f.status == 1);
  CHECK(everything(s.root / "as-files/semantic").size() == 3);
}

TEST_CASE("a shard's inputs are told by their endings", "[shards][errors]")
{
  shard_scene s;
  if (!s.able()) return;
  s.add("a"), s.add("b", false);
  s.pack("set-0.tar", s.ids);
  SECTION("an image without its CAM fails, or has no classes")
  {
    auto const r = s.label("set-0.tar", "out");
    CHECK(r.status == 1);
    CHECK(contains(r.err, "set-0.tar: b.cam.npy: is missing"));
    auto const tagged = s.label("set-0.tar", "out", {"--background-without-cam"});
    CHECK((tagged.status == 1 && contains(tagged.err, "b.cls: names classes 3 7 for 'b', but ")));
    replace_file(s.in("b", ".cls"), std::string_view(""));
    s.pack("set-0.tar", s.ids);
    auto const b = s.label("set-0.tar", "out", {"--background-without-cam"});
    INFO(b.err);
    REQUIRE(b.status == 0);
    s.unpack("out/labels-0.tar", "un");
    auto const labels = read_labels(s.root / "un/b.semantic.png");
    CHECK(labels.shape()[0] == 17);
    CHECK(std::all_of(labels.cells().begin(), labels.cells().end(), [](auto v) { return v == 0; }));
    CHECK(parse(s.root / "un/b.json").at("detections").empty());
    CHECK(!parse(s.root / "un/a.json").at("detections").empty());
    // it needs no classes either; one with a CAM does
    fs::remove(s.in("b", ".cls"));
    s.pack("set-0.tar", s.ids);
    auto const bare = s.label("set-0.tar", "bare", {"--background-without-cam"});
    INFO(bare.err);
    REQUIRE(bare.status == 0);
    s.unpack("bare/labels-0.tar", "un2");
    CHECK(text_of(s.root / "un2/b.semantic.png") == text_of(s.root / "un/b.semantic.png"));
    CHECK(parse(s.root / "un2/b.json").at("tags").is_null());
    s.add("c");
    fs::remove(s.in("c", ".cls"));
    s.pack("set-0.tar", s.ids);
    for (auto const& more : std::vector<std::vector<std::string>>{{}, {"--files"}}) {
      auto with = more;
      with.push_back("--background-without-cam");
      auto const r2 = s.label("set-0.tar", "bare" + std::to_string(more.size()), with);
      INFO(r2.err);
      CHECK(r2.status == 1);
      CHECK(contains(r2.err, "set-0.tar: c.cls: is missing"));
      CHECK(contains(r2.out, "2 labelled, 0 kept from before, 1 failed"));
    }
  }
  SECTION("other endings, and inputs left out")
  {
    auto what = s.members({"a"});
    what[1]["name"] = "a.heat.npy";
    s.pack_members("set-0.tar", what);
    auto const none = s.label("set-0.tar", "out");
    CHECK(none.status == 2);
    CHECK(contains(none.err, "no member ends in .cam.npy, as --cams needs"));
    CHECK_FALSE(fs::exists(s.root / "out"));
    auto const r =
        s.label("set-0.tar", "out", {"--cams", "{id}.heat.npy", "--leave-out", "tags,truth-semantic,truth-instances"});
    INFO(r.err);
    REQUIRE(r.status == 0);
    s.unpack("out/labels-0.tar", "un");
    auto const record = parse(s.root / "un/a.json");
    CHECK((record.at("classes") == json{1, 2} && record.at("tags").is_null() && !record.contains("truth")));
    CHECK(contains(s.label("set-0.tar", "out", {"--cams", "x/{id}.npy"}).err, "with shards it names a member"));
    CHECK(contains(s.label("set-0.tar", "out", {"--cams", "{id}.heat.npy", "--leave-out", "walk"}).err,
                   "--leave-out walk"));
  }
  SECTION("names of shards")
  {
    for (auto const& [images, words] : std::vector<std::pair<std::string, std::string>>{
             {"set-{1..0}.tar", "a range is written {000..012}"},
             {"set-{0..}.tar", "a range is written {000..012}"},
             {"set-{a..b}.tar", "a range is written {000..012}"},
             {"set-{0..1.tar", "a range is written {000..012}"},
             {"set-{0..3}.tar", "set-1.tar: there is no such file; 3 of 4 shards are missing"},
             {"set-{00..01}.tar", "set-00.tar: there is no such file"}}) {
      auto const r = s.label(images, "out");
      INFO(images << r.err);
      CHECK(r.status == 2);
      CHECK(contains(r.err, words));
      CHECK_FALSE(fs::exists(s.root / "out"));
    }
    fs::create_directories(s.root / "more");
    fs::copy(s.root / "set-0.tar", s.root / "more/set-0.tar");
    auto const twins = s.label("set-0.tar," + s.at("more/set-0.tar"), "out");
    CHECK(contains(twins.err, "two shards named set-0.tar would both become labels-set-0.tar"));
    CHECK(contains(s.label("set-0.tar," + s.at("set-0.tar"), "out").err, "is named twice"));
    auto const dry = s.label("set-0.tar", "out", {"--dry-run", "--background-without-cam"});
    CHECK(contains(dry.out, "1 shards listed, 1 in this run with 2 images, 0 faults"));
    CHECK_FALSE(fs::exists(s.root / "out"));
    CHECK(contains(s.join("out").err, "is no folder"));
    CHECK(s.label("in/{id}.jpg", "out", {"--files"}).status == 2);
    // an output that would be written over an input
    fs::rename(s.root / "set-0.tar", s.root / "labels-0.tar");
    auto const over = s.label("labels-{0..0}.tar", ".");
    CHECK((over.status == 2 && contains(over.err, "is an input, but would be written over")));
  }
}

TEST_CASE("notes on images go through shards and their join", "[shards][reference]")
{
  shard_scene s;
  if (!s.able()) return;
  s.add("a"), s.add("b"), s.add("c");
  s.endings = {".jpg", ".scribbles.png"};
  for (auto const& id : s.ids) {
    grid<std::int32_t, 2> drawing(17, 25);  // 0 instead of 255 where nothing was drawn, but for a row; not so in b
    for (index_t y = 0; y < 17; ++y)
      for (index_t x = 0; x < 25; ++x) drawing(y, x) = y == 8 ? 3 : y == 0 || id == "b" ? 255 : 0;
    replace_file(s.in(id, ".scribbles.png"), format_labels(drawing, voc_palette()));
  }
  s.pack("set-0.tar", {"a"}), s.pack("set-1.tar", {"b", "c"});
  auto const r = s.label("set-{0..1}.tar", "out", {"--method", "scribbles"});
  INFO(r.err);
  REQUIRE(r.status == 0);
  auto const j = s.join("out");
  CHECK(j.status == 0);
  CHECK(contains(j.err, "note: drawings that mark more than half of their image as background"));
  CHECK(contains(j.err, ": 2 in 2 images, 'a' first"));
}

TEST_CASE("bom: .cls is read as all text files are, and messages name the member", "[shards][errors]")
{
  shard_scene s;
  if (!s.able()) return;
  for (auto const id : {"mark", "comment", "wide", "none", "lost"}) s.add(id);
  replace_file(s.in("mark", ".cls"), std::string_view("\xEF\xBB\xBF"
                                                      "3 7\r\n"));
  replace_file(s.in("comment", ".cls"), std::string_view("# classes\n3 # left\n7\n"));
  replace_file(s.in("wide", ".cls"), std::string_view("\xFF\xFE"
                                                      "3\0",
                                                      4));
  replace_file(s.in("none", ".cls"), std::string_view(""));
  fs::remove(s.in("lost", ".cam.npy"));
  s.pack("set-0.tar", s.ids);
  auto const r = s.label("set-0.tar", "out", {"--files", "--background-without-cam"});
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.out, "2 labelled, 0 kept from before, 3 failed")));
  CHECK(contains(r.err, "wide.cls: is UTF-16 text (little-endian)"));
  CHECK(contains(r.err, "none.cls: names 0 classes for 'none', but its CAM has 2 channels"));
  CHECK(contains(r.err, "lost.cls: names classes 3 7 for 'lost', but "));
  for (auto const id : {"mark", "comment"})
    CHECK(parse(s.root / "out/records" / (std::string(id) + ".json")).at("classes") == json::array({3, 7}));
}

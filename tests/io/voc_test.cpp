#include <cambium/io/voc.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <random>
#include <string>
#include <tuple>
#include <vector>

using namespace cambium;

namespace {

bytes text(std::string const& s) { return {s.begin(), s.end()}; }

std::vector<voc_list_entry> list(std::string const& s) { return parse_voc_list(text(s), "train.txt"); }

std::string list_reason(std::string const& s)
{
  return support::refusal([&] { static_cast<void>(list(s)); });
}

std::string const sound = R"(<annotation>
  <folder>VOC2012</folder><filename>2007_000032.jpg</filename>
  <size><width>500</width><height>281</height><depth>3</depth></size>
  <segmented>1</segmented>
  <object><name>aeroplane</name><pose>Frontal</pose><truncated>0</truncated><difficult>1</difficult>
    <bndbox><xmin>104</xmin><ymin>78</ymin><xmax>375</xmax><ymax>183</ymax></bndbox></object>
  <object><name>my dog</name><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>
    <bndbox><xmax> 500 </xmax><xmin>0.6</xmin><ymin>45.70000076293945</ymin><ymax>281</ymax></bndbox></object>
</annotation>
)";

std::string reason(std::string const& file)
{
  auto const why = support::refusal([&] { static_cast<void>(parse_voc_annotation(text(file), "a.xml")); });
  REQUIRE((why.empty() || why.rfind("a.xml: ", 0) == 0));
  return why.empty() ? "" : why.substr(7);
}

std::string reason(std::string const& what, std::string const& by)
{
  auto const at = sound.find(what);
  REQUIRE(at != std::string::npos);
  return reason(std::string(sound).replace(at, what.size(), by));
}

grid<std::int32_t, 2> map_of(std::vector<std::vector<int>> const& rows)
{
  grid<std::int32_t, 2> out(rows.size(), rows[0].size());
  for (std::size_t y = 0; y < rows.size(); ++y)
    for (std::size_t x = 0; x < rows[0].size(); ++x) out(y, x) = rows[y][x];
  return out;
}

}  // namespace

TEST_CASE("VOC's classes by name and back", "[io][reference]")
{
  CHECK((voc_class("background") == 0 && voc_class("aeroplane") == 1 && voc_class("person") == 15));
  CHECK(voc_class("tvmonitor") == 20);
  for (std::int32_t c = 0; c <= 20; ++c) CHECK(voc_class(voc_name(c)) == c);
  CHECK(std::is_sorted(voc_class_names.begin(), voc_class_names.end()));
  CAMBIUM_THROWS_SAYING(voc_class("Person"), precondition_error, "VOC has no class 'Person'");
  CAMBIUM_THROWS_SAYING(voc_name(21), precondition_error, "class 21 is outside 0..20");
  CAMBIUM_THROWS_SAYING(voc_name(-1), precondition_error, "class -1 is outside 0..20");
}

TEST_CASE("lists of every form", "[io][picture]")
{
  CHECK(list("").empty());
  auto const got = list(
      "2007_000032\r\n"
      "# by hand\n\n"
      "2007_000033 1 15 # two classes\n"
      "/JPEGImages/2007.x_39.jpg /SegmentationClassAug/2007.x_39.png\n"
      "JPEGImages/plain.jpg\n"
      "./no_extension");
  REQUIRE(got.size() == 5);
  CHECK((got[0].id == "2007_000032" && got[0].image.empty() && got[0].tags.empty()));
  CHECK((got[1].id == "2007_000033" && got[1].tags == std::vector<std::int32_t>{1, 15}));
  CHECK((got[2].id == "2007.x_39" && got[2].image == "/JPEGImages/2007.x_39.jpg"));
  CHECK(got[2].labels == "/SegmentationClassAug/2007.x_39.png");
  CHECK((got[3].id == "plain" && got[3].image == "JPEGImages/plain.jpg" && got[3].labels.empty()));
  CHECK(got[4].id == "no_extension");
}

TEST_CASE("what is wrong with a list is said, and where", "[io][errors]")
{
  CHECK(list_reason("a\n\nb\na\n") == "train.txt:4: 'a' is in line 1 already");
  CHECK(list_reason("a\n/x/a.jpg") == "train.txt:2: 'a' is in line 1 already");
  CHECK(list_reason("a one") == "train.txt:1: 'one' is not a class");
  CHECK(list_reason("a -1") == "train.txt:1: '-1' is not a class");
  CHECK(list_reason("a 1.5") == "train.txt:1: '1.5' is not a class");
  CHECK(list_reason("/a.jpg /b.png /c.png") == "train.txt:1: 3 words; an image and its labels are two");
  CHECK(list_reason("x/") == "train.txt:1: 'x/' names no image");
  CHECK(list_reason("x/.jpg") == "train.txt:1: 'x/.jpg' names no image");
  CHECK(list_reason("..") == "train.txt:1: '..' names no image");
  CAMBIUM_THROWS_SAYING(read_voc_list("/no/such/list"), io_error, "/no/such/list: ");
}

TEST_CASE("flags of one class are told from tags", "[io][picture]")
{
  auto const kind = [](std::string const& s, char const* path = "tags.txt") {
    auto const file = text(s);
    return voc_numbers_of(read_id_lines(file, path, [](auto const&) { return false; }), path);
  };
  CHECK(kind("p1  1\np4 -1\n") == voc_numbers::flags);
  CHECK(kind("p1 1\np4 -1\np5 0\n") == voc_numbers::flags);
  CHECK(kind("p1  1\n") == voc_numbers::flags);  // in columns, as VOC's
  CHECK(kind("p1  1\np2  0\n") == voc_numbers::flags);
  CHECK(kind("p1 1\n", "VOC2012/ImageSets/Main/dog_train.txt") == voc_numbers::flags);
  CHECK(kind("p1 1\np2 1\n") == voc_numbers::either);
  for (auto const tags :
       {"", "p1 1\n", "p1 3\np2 1\n", "p1 0\np2 1\n", "p1 0\np2 0\n", "p1  1 3\np2  1\n", "p1\np2 1\n", "p1 12\n"}) {
    CAPTURE(tags);
    CHECK(kind(tags) == voc_numbers::tags);
  }
}

TEST_CASE("lists hold ids in quotes, and may be saved by any editor", "[io][picture]")
{
  auto const got = list("\xEF\xBB\xBF\"img 1\" 3 5\r\"/JPEGImages/my photo.jpg\" /Maps/a.png\r");
  REQUIRE(got.size() == 2);
  CHECK((got[0].id == "img 1" && got[0].tags == std::vector<std::int32_t>{3, 5}));
  CHECK((got[1].id == "my photo" && got[1].image == "/JPEGImages/my photo.jpg" && got[1].labels == "/Maps/a.png"));
  CHECK(list_reason(std::string("\xFF\xFE"
                                "a\0",
                                4))
            .rfind("train.txt: is UTF-16", 0) == 0);
}

TEST_CASE("an annotation is read", "[io][picture]")
{
  auto const a = parse_voc_annotation(text(sound), "a.xml");
  CHECK((a.filename == "2007_000032.jpg" && a.height == 281 && a.width == 500));
  REQUIRE(a.objects.size() == 2);
  CHECK((a.objects[0].name == "aeroplane" && a.objects[0].difficult && !a.objects[0].truncated));
  CHECK(a.objects[0].bounds == box{77, 103, 183, 375});
  CHECK((a.objects[1].name == "my dog" && !a.objects[1].difficult));
  CHECK(a.objects[1].bounds == box{45, 0, 281, 500});  // its own box, not that of its part; fractions rounded
  CHECK(parse_voc_annotation(text("<annotation><size><width>1</width><height>1</height></size></annotation>"), "a")
            .objects.empty());
}

TEST_CASE("annotations as tools write them are read: names with blanks around, no size, flags of any word",
          "[io][picture]")
{
  auto const read = [](std::string const& what, std::string const& by, voc_annotation_options const& options = {}) {
    auto const at = sound.find(what);
    REQUIRE(at != std::string::npos);
    return parse_voc_annotation(text(std::string(sound).replace(at, what.size(), by)), "a.xml", options);
  };
  CHECK(read("<name>aeroplane</name>", "<name>\n   aeroplane\n  </name>").objects[0].name == "aeroplane");
  CHECK(read("<name>my dog</name>", "<name><![CDATA[ my dog ]]></name>").objects[1].name == "my dog");
  std::string const size = "<size><width>500</width><height>281</height><depth>3</depth></size>";
  for (auto const other :
       {"", "<size/>", "<size><depth>3</depth></size>", "<size><width>0</width><height>0</height></size>"}) {
    auto const a = read(size, other, {.image = {281, 500}});
    CHECK((a.height == 281 && a.width == 500 && a.objects.size() == 2));
    CHECK(reason(size, other) != "");
  }
  CHECK(read(size, size, {.image = {9, 9}}).height == 281);  // its own, where it has one
  for (auto const yes : {"1", "yes", "True", " 1 "}) {
    auto const a = read("<truncated>0<", std::string("<truncated>") + yes + "<");
    CHECK((a.objects[0].truncated && a.notes.empty()));
  }
  for (auto const no : {"0", "no", "FALSE", "", " "}) {
    auto const a = read("<difficult>1<", std::string("<difficult>") + no + "<");
    CHECK((!a.objects[0].difficult && a.notes.empty()));
  }
  auto const a = read("<truncated>0<", "<truncated>Unspecified<");
  CHECK(a.objects.size() == 2);
  CHECK(a.notes == std::vector<std::string>{"object 0: truncated is 'Unspecified', taken for 0"});
  std::string wide("\xFF\xFE", 2);  // UTF-16, which XML may be
  for (char const c : sound) wide += c, wide += '\0';
  CHECK(parse_voc_annotation(text(wide), "a.xml").objects.size() == 2);
  CHECK(parse_voc_annotation(text("\xEF\xBB\xBF" + sound), "a.xml").objects.size() == 2);
}

TEST_CASE("files that count pixels from 0, and boxes over the edge by a pixel", "[io][picture]")
{
  auto const of = [](int xmin, int xmax, bool zero_based) {
    return parse_voc_annotation(
        text("<annotation><size><width>56</width><height>40</height></size><object><name>bird</name><bndbox><xmax>" +
             std::to_string(xmax) + "</xmax><xmin>" + std::to_string(xmin) +
             "</xmin><ymin>1</ymin><ymax>15</ymax></bndbox></object></annotation>"),
        "a.xml", {.zero_based = zero_based});
  };
  CHECK(of(0, 24, true).objects[0].bounds == box{1, 0, 16, 25});
  CHECK(of(0, 55, true).notes.empty());
  auto const over = of(0, 56, true);
  CHECK(over.objects[0].bounds == box{1, 0, 16, 56});
  CHECK(over.notes == std::vector<std::string>{
                          "object 0: bndbox: xmin is 0 and xmax 56, outside 0..55 by one pixel, which is cut off"});
  auto const low = of(0, 24, false);
  CHECK(low.objects[0].bounds == box{0, 0, 15, 24});
  CHECK(low.notes == std::vector<std::string>{"object 0: bndbox: xmin is 0 and xmax 24, outside 1..56 by one pixel, "
                                              "which is cut off; or does the file count from 0?"});
  CHECK(of(1, 57, false).objects[0].bounds == box{0, 0, 15, 56});
  for (auto const& row : {std::tuple{-1, 5, false},
                          {1, 58, false},
                          {0, 0, false},
                          {57, 57, false},
                          {-2, 5, true},
                          {3, 57, true},
                          {56, 56, true},
                          {-1, -1, true}}) {
    bool const zero_based = std::get<2>(row);
    CAMBIUM_THROWS_SAYING(of(std::get<0>(row), std::get<1>(row), zero_based), io_error,
                          zero_based ? "outside 0..55" : "outside 1..56");
  }
}

TEST_CASE("what is wrong with an annotation is said, and where", "[io][errors]")
{
  CHECK(reason(sound) == "");
  CHECK(reason("").find("No document element") != std::string::npos);
  CHECK(reason("<annotation><size>").find("at byte ") == 0);
  CHECK(reason("<a/>") == "has no annotation");
  CHECK(reason("<annotations/>") == "has no annotation; it is CVAT's own XML: export it as Pascal VOC");
  CHECK(reason("size>", "sise>").find("at byte ") == 0);
  CHECK(reason("<annotation/>") == "size is missing");
  CHECK(reason("<width>500</width>", "") == "size: width is missing");
  CHECK(reason("<width>500</width>", "<width>0</width>") == "size: an image of 281 x 0");
  CHECK(reason("<width>500</width>", "<width>x5</width>") == "size: width is 'x5'");
  CHECK(reason("<width>500</width>", "<width> </width>") == "size: width is ''");
  CHECK(reason("<width>500</width>", "<width>1e300</width>") == "size: width is '1e300'");
  CHECK(reason("<width>500</width>", "<width>nan</width>") == "size: width is 'nan'");
  CHECK(reason("<name>aeroplane</name>", "") == "object 0: name is missing");
  CHECK(reason("<xmin>104</xmin>", "") == "object 0: bndbox: xmin is missing");
  CHECK(reason("<xmin>104<", "<xmin>376<") == "object 0: bndbox: xmin is 376 and xmax 375");
  CHECK(reason("<xmin>104<", "<xmin>-1<") == "object 0: bndbox: xmin is -1 and xmax 375, outside 1..500");
  CHECK(reason("<ymax>183<", "<ymax>283<") == "object 0: bndbox: ymin is 78 and ymax 283, outside 1..281");
  CHECK(reason("<bndbox><xmax>", "<box><xmax>").find("at byte ") == 0);
  std::string const unboxed =
      "<annotation><size><width>9</width><height>9</height></size><object><name>cat</name></object></annotation>";
  CHECK(reason(unboxed) == "object 0: bndbox is missing");
  // what stands twice is not passed over
  CHECK(reason("</bndbox>", "</bndbox><bndbox/>") == "object 0: bndbox stands twice");
  CHECK(reason("</xmin>", "</xmin><xmin>7</xmin>") == "object 0: bndbox: xmin stands twice");
  CHECK(reason("</size>", "</size><size/>") == "size stands twice");
  CHECK(reason("<bndbox>", "<name>dog</name><bndbox>") == "object 0: name stands twice");
  CHECK(reason(unboxed + unboxed) == "annotation stands twice");
  // neither depth nor entities harm
  std::string deep;
  for (int i = 0; i < 500000; ++i) deep += "<annotation>";
  CHECK(reason(deep).find("at byte ") == 0);
  std::string whole = deep;
  for (int i = 0; i < 500000; ++i) whole += "</annotation>";
  CHECK(reason(whole) == "size is missing");
  CHECK(reason("<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><annotation><size><width>&e;</width>"
               "<height>1</height></size></annotation>") == "size: width is '&e;'");
}

TEST_CASE("classes and objects become instances", "[io][picture]")
{
  auto const classes = map_of({{0, 15, 15, 255}, {0, 15, 7, 7}, {255, 0, 7, 20}});
  auto const objects = map_of({{0, 4, 4, 255}, {0, 9, 2, 2}, {255, 0, 2, 0}});
  auto const got = voc_objects(classes, objects, "o.png");
  CHECK(got.objects.label == map_of({{0, 2, 2, 0}, {0, 3, 1, 1}, {0, 0, 1, 0}}));
  REQUIRE(got.objects.found.size() == 3);
  auto const check = [&](std::size_t i, int category, index_t area, box const& bounds) {
    auto const& o = got.objects.found[i];
    CHECK((o.category == category && o.area == area && o.bounds == bounds && o.score == 1));
  };
  check(0, 7, 3, {1, 2, 3, 4});
  check(1, 15, 2, {0, 1, 1, 3});
  check(2, 15, 1, {1, 1, 2, 2});
  for (index_t y = 0; y < 3; ++y)
    for (index_t x = 0; x < 4; ++x) CHECK(int{got.ignored(y, x)} == (classes(y, x) == 255));

  auto const none = voc_objects(map_of({{255, 0}}), map_of({{3, 255}}), "o.png");
  CHECK((none.objects.found.empty() && none.ignored(0, 0) == 1 && none.ignored(0, 1) == 1));
}

TEST_CASE("pairs of PNGs come back", "[io][property]")
{
  support::temporary_folder const folder;
  std::mt19937 bits(4);
  for (int trial = 0; trial < 40; ++trial) {
    index_t const H = 1 + bits() % 12, W = 1 + bits() % 12;
    int const N = static_cast<int>(bits() % 7);
    grid<std::int32_t, 2> classes(H, W), objects(H, W);
    for (index_t i = 0; i < H * W; ++i) {
      int const object = static_cast<int>(bits() % (N + 1));
      objects.data()[i] = object;
      classes.data()[i] = object == 0 ? 0 : 1 + 7 * object % 20;
      if (bits() % 9 == 0) objects.data()[i] = classes.data()[i] = 255;
    }
    auto const set = voc_objects(classes, objects, "m");
    write_voc_segmentation(folder / "SegmentationClass/a.png", folder / "SegmentationObject/a.png", set.objects,
                           set.ignored);
    auto const back = read_voc_segmentation(folder / "SegmentationClass/a.png", folder / "SegmentationObject/a.png");
    CHECK(back.objects.label == set.objects.label);
    CHECK(back.ignored == set.ignored);
    REQUIRE(back.objects.found.size() == set.objects.found.size());
    for (std::size_t i = 0; i < back.objects.found.size(); ++i)
      CHECK((back.objects.found[i].category == set.objects.found[i].category &&
             back.objects.found[i].bounds == set.objects.found[i].bounds));
    CHECK(read_labels(folder / "SegmentationClass/a.png") == classes);
    auto const image = read_png(folder / "SegmentationObject/a.png");
    CHECK((image.indexed && image.palette == voc_palette()));
  }
}

TEST_CASE("in an object map of 16 bits 255 is an object", "[io][picture]")
{
  support::temporary_folder const folder;
  auto const classes = map_of({{7, 7, 255, 0}}), objects = map_of({{255, 256, 255, 0}});
  replace_file(folder / "c.png", format_labels(classes, voc_palette()));
  replace_file(folder / "o.png", format_ids(objects));
  auto const got = read_voc_segmentation(folder / "c.png", folder / "o.png");
  CHECK(got.objects.label == map_of({{1, 2, 0, 0}}));
  CHECK((got.ignored(0, 0) == 0 && got.ignored(0, 2) == 1));
  replace_file(folder / "o.png", format_labels(map_of({{255, 3, 255, 0}}), voc_palette()));
  auto const eight = read_voc_segmentation(folder / "c.png", folder / "o.png");
  CHECK(eight.objects.label == map_of({{0, 1, 0, 0}}));
  CHECK(eight.ignored(0, 0) == 1);
}

TEST_CASE("pairs that do not fit together are refused", "[io][errors]")
{
  auto const why = [](auto const& classes, auto const& objects) {
    return support::refusal([&] { static_cast<void>(voc_objects(map_of(classes), map_of(objects), "o.png")); });
  };
  using rows = std::vector<std::vector<int>>;
  CHECK(why(rows{{0, 0}}, rows{{0}, {0}}) == "o.png: the objects are [2,1] but the classes [1,2]");
  CHECK(why(rows{{7, 8}}, rows{{5, 5}}) == "o.png: object 5 has pixels of class 7 and of class 8");
  CHECK(why(rows{{7, 0}}, rows{{5, 5}}) == "o.png: object 5 has pixels of class 0, which is background");

  instances<> objects{map_of({{0, 1}}), {{3, 1, 1, {0, 1, 1, 2}}}};
  CHECK(!format_voc_segmentation(objects).classes.empty());
  auto bad = objects;
  bad.found[0].category = 255;
  CAMBIUM_THROWS_SAYING(format_voc_segmentation(bad), precondition_error, "class 255 is outside 1..254");
  bad = objects;
  bad.label(0, 0) = 2;
  CAMBIUM_THROWS_SAYING(format_voc_segmentation(bad), precondition_error, "a label is 2, outside 0..1");
  CAMBIUM_THROWS_SAYING(format_voc_segmentation(objects, grid<std::uint8_t, 2>(2, 1)), precondition_error,
                        "labels are [1,2] but ignored is [2,1]");
  bad = objects;
  bad.found.resize(255, bad.found[0]);
  CAMBIUM_THROWS_SAYING(format_voc_segmentation(bad), precondition_error, "255 objects; the format has room for 254");
}

TEST_CASE("boxes that are shares of the image are refused", "[io][errors]")
{
  auto const of = [](std::vector<std::string> const& corners, int size = 40) {
    std::string xml = "<annotation><size><width>" + std::to_string(size) + "</width><height>" + std::to_string(size) +
                      "</height></size>";
    char const* const sides[] = {"xmin", "ymin", "xmax", "ymax"};
    for (std::size_t i = 0; i < corners.size(); i += 4) {
      xml += "<object><name>bird</name><bndbox>";
      for (std::size_t k = 0; k < 4; ++k)
        xml += "<" + std::string(sides[k]) + ">" + corners[i + k] + "</" + sides[k] + ">";
      xml += "</bndbox></object>";
    }
    return parse_voc_annotation(text(xml + "</annotation>"), "a.xml").objects.size();
  };
  auto const refused =
      "a.xml: all numbers of its boxes lie between 0 and 1: shares of the image's size? VOC's boxes are "
      "in pixels";
  CAMBIUM_THROWS_SAYING(of({".55", ".6", ".9", " 0.95 "}), io_error, refused);
  CAMBIUM_THROWS_SAYING(of({".2", ".2", ".4", ".4", "0", "0", "1.004", "1"}), io_error, refused);
  CHECK(of({"1", "1", "1", "1"}) == 1);                                 // a pixel
  CHECK(of({".6", ".6", "1", "1", "1.5", "1.5", "20.25", "30"}) == 2);  // one box is of pixels
  CHECK(of({".9", ".9", "1", "1"}, 1) == 1);                            // an image of a pixel
}

TEST_CASE("names of no class, and names that are nearly a class", "[io][picture]")
{
  for (auto const name : {"background", "_background_", "Background", "BG", "__ignore__", "void", "Unlabeled"})
    CHECK(names_no_class(name));
  for (auto const name : {"back", "voids", "dog", ""}) CHECK_FALSE(names_no_class(name));
  CHECK(like_class("Dog", voc_class_names) == "; is it 'dog'?");
  CHECK(like_class("dining table", voc_class_names) == "; is it 'diningtable'?");
  CHECK(like_class("dog", std::vector<std::string>{"cat", "DOG"}) == "; is it 'DOG'?");
  CHECK(like_class("horses", voc_class_names).empty());
}

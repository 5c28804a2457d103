#include "data/voc_folder.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/voc.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::box;
using cambium::grid;
using cambium::index_t;
using cambium::precondition_error;
using cambium::replace_file;
using support::refusal;

namespace {

using ids = std::vector<std::int32_t>;

void write_text(std::filesystem::path const& p, std::string const& text) { replace_file(p, std::string_view(text)); }

grid<std::uint8_t, 3> photograph(index_t H, index_t W)
{
  grid<std::uint8_t, 3> out(H, W, 3);
  for (index_t i = 0; i < out.size(); ++i) out.data()[i] = static_cast<std::uint8_t>(i % 251);
  return out;
}

std::string annotation(index_t H, index_t W, std::string const& objects)
{
  return "<annotation><filename>a.jpg</filename><size><width>" + std::to_string(W) + "</width><height>" +
         std::to_string(H) + "</height><depth>3</depth></size>" + objects + "</annotation>";
}

std::string object(std::string const& name, int xmin, int ymin, int xmax, int ymax, bool difficult = false)
{
  return "<object><name>" + name + "</name><difficult>" + (difficult ? "1" : "0") + "</difficult><bndbox><xmin>" +
         std::to_string(xmin) + "</xmin><ymin>" + std::to_string(ymin) + "</ymin><xmax>" + std::to_string(xmax) +
         "</xmax><ymax>" + std::to_string(ymax) + "</ymax></bndbox></object>";
}

/// Three photographs of 20 x 30, 21 x 31 and 22 x 32 pixels, the last a PNG, with everything that the layout knows.
struct folder {
  folder()
  {
    replace_file(in / "JPEGImages/a.jpg", cambium::format_jpeg(photograph(20, 30)));
    replace_file(in / "JPEGImages/b.jpeg", cambium::format_jpeg(photograph(21, 31)));
    replace_file(in / "JPEGImages/c.png", cambium::format_photograph_png(photograph(22, 32)));
    write_text(in / "ids.txt", "a\nb\nc\n");
    write_text(in / "tagged.txt", "a 2 0\nb 1\nc 1 1 2\n");
    write_text(in / "paths.txt", "/JPEGImages/a.jpg /SegmentationClassAug/a.png\n/JPEGImages/c.png\n");
    write_text(in / "tags.txt", "c dog\na cat dog  # two\nb bird\nelse cat\n");
    write_text(in / "Center_points/a.txt", "29 19 2 1.000\n3 4 0 0.500\n");
    write_text(in / "Center_points/b.txt", "");
    write_text(in / "Center_points/c.txt", "5.5 6 1\n");
    write_text(in / "Annotations/a.xml",
               annotation(20, 30, object("dog", 1, 1, 30, 20) + object("cat", 5, 6, 7, 8, true)));
    write_text(in / "Annotations/b.xml", annotation(21, 31, object("bird", 2, 3, 4, 5)));
    grid<std::int32_t, 2> classes(20, 30), objects(20, 30);
    for (index_t y = 2; y < 6; ++y)
      for (index_t x = 3; x < 9; ++x) classes(y, x) = 3, objects(y, x) = 1;
    classes(10, 10) = 1, objects(10, 10) = 2, classes(0, 0) = objects(0, 0) = 255;
    replace_file(in / "SegmentationClass/a.png", cambium::format_labels(classes, cambium::voc_palette()));
    replace_file(in / "SegmentationObject/a.png", cambium::format_labels(objects, cambium::voc_palette()));
  }
  voc_folder_options with(std::string const& list) const
  {
    voc_folder_options o;
    o.root = in.path(), o.list = list, o.class_names = {"cat", "bird", "dog"};
    return o;
  }
  support::temporary_folder in;
};

}  // namespace

TEST_CASE("voc_folder: tags of the list, of a file, of points, of boxes, of annotations", "[picture]")
{
  folder const f;
  voc_folder const listed(f.with("tagged.txt"));
  CHECK(listed.size() == 3);
  CHECK(listed.class_names() == std::vector<std::string>{"cat", "bird", "dog"});
  CHECK(listed.id(1) == "b");
  CHECK(listed.file_name(1) == "b.jpeg");
  CHECK(listed.weak_labels() == voc_folder(f.with("tagged.txt")).weak_labels());
  CHECK(listed.weak_labels() != voc_folder(f.with("ids.txt")).weak_labels());
  CHECK(listed.load(0).tags == ids{0, 2});
  CHECK(listed.load(2).tags == ids{1, 2});
  CHECK(listed.load(0).points.empty());
  CHECK(listed.load(0).boxes.empty());

  auto o = f.with("tagged.txt");
  o.tags = "tags.txt";  // stands above the list
  voc_folder const filed(o);
  CHECK(filed.load(0).tags == ids{0, 2});
  CHECK(filed.load(1).tags == ids{1});
  CHECK(filed.load(2).tags == ids{2});

  o = f.with("ids.txt");
  o.points = "Center_points";
  voc_folder const pointed(o);
  auto const a = pointed.load(0);
  CHECK(a.tags == ids{0, 2});
  REQUIRE(a.points.size() == 2);
  CHECK((a.points[0].x == 29 && a.points[0].y == 19 && a.points[0].category == 2));
  CHECK(pointed.load(1).tags.empty());
  CHECK(pointed.load(2).points[0].x == 6);  // the pixel under 5.5
  o.point_threshold = 0.7;
  CHECK(voc_folder(o).load(0).tags == ids{2});

  o = f.with("ids.txt");
  o.boxes = true;
  auto const boxed = voc_folder(o).load(0);
  REQUIRE(boxed.boxes.size() == 2);
  CHECK(boxed.boxes[0].bounds == box{0, 0, 20, 30});
  CHECK(boxed.boxes[0].category == 2);
  CHECK(boxed.boxes[1].bounds == box{5, 4, 8, 7});  // a difficult object is an object, not background
  CHECK(boxed.tags == ids{0, 2});
  o.difficult = false;
  auto const easy = voc_folder(o).load(0);
  CHECK(easy.boxes.size() == 1);
  CHECK(easy.tags == ids{2});

  auto const annotated = voc_folder(f.with("ids.txt")).load(1);
  CHECK(annotated.tags == ids{1});
  CHECK(annotated.boxes.empty());
}

TEST_CASE("voc_folder: scribbles are marks and tags; an image without a file has none", "[picture]")
{
  folder const f;
  auto const draw = [&](index_t H, index_t W, std::int32_t value) {
    grid<std::int32_t, 2> out(H, W);
    for (auto& v : out.cells()) v = 255;
    for (index_t x = 2; x < 9; ++x) out(4, x) = value;
    out(7, 7) = 0;
    replace_file(f.in / "Scribbles/a.png", cambium::format_labels(out, cambium::voc_palette()));
  };
  draw(20, 30, 3);
  auto o = f.with("ids.txt");
  auto const before = voc_folder(o).weak_labels();
  o.scribbles = "Scribbles";
  voc_folder const set(o);
  CHECK(set.weak_labels() != before);
  auto const a = set.load(0), b = set.load(1);
  CHECK(a.tags == ids{2});
  REQUIRE((a.scribbles.shape()[0] == 20 && a.scribbles.shape()[1] == 30));
  CHECK((a.scribbles(4, 2) == 3 && a.scribbles(4, 9) == 255 && a.scribbles(7, 7) == 0));
  CHECK((b.scribbles.size() == 0 && b.tags.empty()));
  draw(30, 20, 1);
  CHECK(refusal([&] { (void)set.load(0); }).find("Scribbles/a.png: is 30 x 20 pixels, but its photograph 20 x 30") !=
        std::string::npos);
  draw(20, 30, 4);
  CHECK(refusal([&] { (void)set.load(0); }).find("Scribbles/a.png: has a scribble of 4, outside 0..3 and not 255") !=
        std::string::npos);
  o.photographs_only = true;
  auto const alone = voc_folder(o).load(0);
  CHECK((alone.tags.empty() && alone.scribbles.size() == 0 && alone.photograph.shape()[0] == 20));
  o.photographs_only = false, o.scribbles = "elsewhere";
  CHECK(refusal([&] { voc_folder{o}; }).find("elsewhere: there is no such folder") != std::string::npos);
}

TEST_CASE("voc_folder: tags_two_bases: numbers in a file of tags are those of label maps, from 1", "[reference]")
{
  folder const f;
  auto o = f.with("ids.txt");
  o.tags = "numbers.txt";
  write_text(f.in / "numbers.txt", "a 3\nb 1 2\nc bird\n");
  voc_folder const from_one(o);
  CHECK(from_one.load(0).tags == ids{2});
  CHECK(from_one.load(1).tags == ids{0, 1});
  CHECK(from_one.load(2).tags == ids{1});
  auto twenty = f.with("one.txt");
  write_text(f.in / "one.txt", "a\n");
  write_text(f.in / "twelve.txt", "a 12\n");
  twenty.class_names = {}, twenty.tags = "twelve.txt";
  voc_folder const voc(twenty);
  CHECK(voc.class_names()[static_cast<std::size_t>(voc.load(0).tags.at(0))] == "dog");
  CHECK(
      refusal([&] {
        write_text(f.in / "numbers.txt", "a 0\nb 1\nc 2\n");
        voc_folder const s(o);
      })
          .find("numbers.txt:1: '0' is neither a class by name nor a number from 1 to 3; do the classes count from 0? "
                "Then say --zero-based") != std::string::npos);
  o.zero_based = true;
  CHECK(voc_folder(o).load(0).tags == ids{0});
}

TEST_CASE("voc_folder: a photograph is what is in its file, whatever it is called", "[picture]")
{
  folder const f;
  replace_file(f.in / "JPEGImages/really.jpg", cambium::format_photograph_png(photograph(8, 9)));
  replace_file(f.in / "JPEGImages/other.PNG", cambium::format_jpeg(photograph(10, 11)));
  replace_file(f.in / "JPEGImages/loud.JPG", cambium::format_jpeg(photograph(12, 13)));
  write_text(f.in / "list.txt", "really 0\nother 1\nloud 2\n");
  voc_folder const s(f.with("list.txt"));
  CHECK(s.load(0).photograph.cells() == photograph(8, 9).cells());
  CHECK(s.load(1).photograph.shape() == std::array<index_t, 3>{10, 11, 3});
  CHECK(s.load(2).photograph.shape() == std::array<index_t, 3>{12, 13, 3});
  CHECK(s.file_name(2) == "loud.JPG");
}

TEST_CASE("voc_folder: photographs of any kind", "[picture]")
{
  folder const f;
  voc_folder const s(f.with("tagged.txt"));
  CHECK(s.load(1).photograph.shape() == std::array<index_t, 3>{21, 31, 3});
  CHECK(s.load(2).photograph.cells() == photograph(22, 32).cells());
  auto o = f.with("paths.txt");
  o.tags = "tags.txt";
  voc_folder const paths(o);
  CHECK(paths.size() == 2);
  CHECK(paths.id(1) == "c");
  CHECK(paths.file_name(1) == "c.png");
  CHECK(paths.load(1).photograph.shape()[0] == 22);
  auto twenty = f.with("tagged.txt");
  twenty.class_names = {};
  CHECK(voc_folder(twenty).class_names()[19] == "tvmonitor");
}

TEST_CASE("voc_folder: truth counts classes from 0", "[picture]")
{
  folder const f;
  voc_folder const s(f.with("tagged.txt"));
  auto const t = s.truth(0);
  CHECK((has_truth(s, 0) && !has_truth(s, 1)));
  REQUIRE(t.found.size() == 2);
  CHECK(t.found[0].category == 2);
  CHECK(t.found[0].area == 24);
  CHECK(t.found[0].bounds == box{2, 3, 6, 9});
  CHECK(t.found[1].category == 0);
  CHECK(t.label(10, 10) == 2);
  CHECK(s.ignored(0)(0, 0) == 1);
  CHECK(s.ignored(0)(0, 1) == 0);
  CHECK(refusal([&] { (void)s.truth(1); }).find("SegmentationClass/b.png: there is no truth") != std::string::npos);
  auto two = f.with("paths.txt");
  two.class_names = {"cat", "dog"};
  CHECK(refusal([&] { (void)voc_folder(two).truth(0); }).find("a.png: has class 3") != std::string::npos);
}

TEST_CASE("voc_folder: a truth of 0 and 255, of lost numbers, or without objects is no truth", "[errors]")
{
  folder const f;
  auto const put = [&](std::string const& folder_name, std::vector<std::int32_t> const& numbers) {
    grid<std::int32_t, 2> map(20, 30);
    for (std::size_t i = 0; i < numbers.size(); ++i) map.cells()[i] = numbers[i];
    replace_file(f.in / folder_name / "b.png", cambium::format_labels(map, cambium::voc_palette()));
  };
  auto const why = [&](char const* list = "tagged.txt", char const* tags = "") {
    auto o = f.with(list);
    o.tags = tags;
    return refusal([&] { (void)voc_folder(o).truth(1); });
  };
  auto const contains = [](std::string const& words, char const* part) {
    INFO(words);
    CHECK(words.find(part) != std::string::npos);
  };
  put("SegmentationClass", {255, 255, 255}), put("SegmentationObject", {255, 255, 255});
  contains(why(), "SegmentationClass/b.png: has no pixel of any class; it holds only 0 and 255");
  write_text(f.in / "none.txt", "a cat\nb\nc dog\n");  // b shows nothing: its 255 is a border of something else
  CHECK(why("ids.txt", "none.txt").empty());
  put("SegmentationClass", {1, 1, 1}), put("SegmentationObject", {255, 255, 255});
  contains(why(), "SegmentationObject/b.png: has no object, but ");
  contains(why(), "SegmentationClass/b.png has classes; it holds only 0 and 255");
  put("SegmentationClass", {38, 15, 220}), put("SegmentationObject", {1, 2, 0});
  contains(why(),
           "SegmentationClass/b.png: has class 15, but there are only 3; its numbers are the grey values of VOC's");
  put("SegmentationClass", {1, 1, 1}), put("SegmentationObject", {1, 1, 1});
  CHECK(why().empty());
  put("SegmentationClass", {}), put("SegmentationObject", {});
  CHECK(why().empty());
  replace_file(f.in / "SegmentationClass/b.png", cambium::format_photograph_png(photograph(20, 30)));
  contains(why(), "SegmentationClass/b.png: is a colour image");
  replace_file(f.in / "SegmentationClass/b.png", cambium::format_jpeg(photograph(20, 30)));
  contains(why(), "SegmentationClass/b.png: is a JPEG, whose compression changes numbers");
}

TEST_CASE("voc_folder: in an object map of 16 bits 255 is an object", "[picture]")
{
  folder const f;
  grid<std::int32_t, 2> classes(20, 30), objects(20, 30);
  for (index_t i = 0; i < 300; ++i) classes.data()[i] = 1, objects.data()[i] = static_cast<std::int32_t>(i + 1);
  replace_file(f.in / "SegmentationClass/b.png", cambium::format_labels(classes, cambium::voc_palette()));
  replace_file(f.in / "SegmentationObject/b.png", cambium::format_ids(objects));
  voc_folder const s(f.with("tagged.txt"));
  CHECK(s.truth(1).found.size() == 300);
  CHECK(s.truth(1).label == objects);
  CHECK(s.ignored(1) == grid<std::uint8_t, 2>(20, 30));
}

TEST_CASE("voc_folder: ids with blanks and '#', marks before UTF-8, and flags of one class", "[picture]")
{
  folder const f;
  for (auto const id : {"img 1", "img # 2"})
    replace_file(f.in / "JPEGImages" / (std::string(id) + ".JPG"), cambium::format_jpeg(photograph(20, 30)));
  auto const open = [&](std::string const& list, std::string const& tags = "") {
    write_text(f.in / "list.txt", list);
    auto o = f.with("list.txt");
    if (!tags.empty()) write_text(f.in / "own.txt", tags), o.tags = "own.txt";
    return o;
  };
  voc_folder const listed(open("\xEF\xBB\xBFimg 1 2 0\rimg # 2 1 # a bird\ra dog\r"));
  REQUIRE(listed.size() == 3);
  CHECK((listed.id(0) == "img 1" && listed.id(1) == "img # 2" && listed.id(2) == "a"));
  CHECK(listed.load(0).tags == ids{0, 2});
  CHECK(listed.load(1).tags == ids{1});
  CHECK(listed.load(2).tags == ids{2});
  voc_folder const filed(
      open("img 1\n\"img # 2\"\n", "\xEF\xBB\xBFimg 1 bird\r\n\"img # 2\" cat dog\r\nelse 9 what\r\n"));
  CHECK(filed.load(0).tags == ids{1});
  CHECK(filed.load(1).tags == ids{0, 2});
  voc_folder const path(
      open("/JPEGImages/img 1.JPG /Maps/img 1.png\n/JPEGImages/img # 2.JPG\n", "img 1 cat\nimg # 2 dog\n"));
  CHECK((path.id(0) == "img 1" && path.id(1) == "img # 2" && path.load(1).tags == ids{2}));

  auto const refused = [&](voc_folder_options const& o) { return refusal([&] { voc_folder const s(o); }); };
  std::string const flags = "these are flags of one class, as in VOC's ImageSets/Main";
  for (auto const text : {"a  1\nb -1\n", "a  1\n", "a 1\nb 1\n", "a -1\nb 1\n"}) {
    CAPTURE(text);
    CHECK(refused(open(text)).find(flags) != std::string::npos);
    CHECK(refused(open("a\nb\n", text)).find(flags) != std::string::npos);
  }
  auto ones = open("a 1\nb 1\n");
  ones.tags_are_classes = true;
  CHECK(voc_folder(ones).load(0).tags == ids{1});
  CHECK(voc_folder(open("a 0\nb 1\n")).load(0).tags == ids{0});
  CHECK(refused(open(std::string("\xFF\xFE"
                                 "a\0",
                                 4)))
            .find("list.txt: is UTF-16 text") != std::string::npos);
}

TEST_CASE("voc_folder: annotations as tools write them", "[picture]")
{
  folder const f;
  auto o = f.with("ids.txt");
  o.boxes = true;
  write_text(
      f.in / "Annotations/a.xml",
      "<annotation><object><name> dog\n</name><difficult>Unspecified</difficult><bndbox><xmin>0</xmin><ymin>0</ymin>"
      "<xmax>29</xmax><ymax>19</ymax></bndbox></object></annotation>");
  auto const low = voc_folder(o).load(0);  // no size: the photograph's
  REQUIRE(low.boxes.size() == 1);
  CHECK(low.boxes[0].bounds == box{0, 0, 19, 29});
  o.zero_based_boxes = true;
  CHECK(voc_folder(o).load(0).boxes[0].bounds == box{0, 0, 20, 30});
}

TEST_CASE("voc_folder: what is wrong is named, with its file", "[errors]")
{
  folder const f;
  auto const opening = [&](voc_folder_options const& o) { return refusal([&] { voc_folder const s(o); }); };
  auto const contains = [](std::string const& words, char const* part) {
    INFO(words);
    CHECK(words.find(part) != std::string::npos);
  };
  auto const list = [&](std::string const& text) {
    write_text(f.in / "list.txt", text);
    return opening(f.with("list.txt"));
  };
  contains(opening(f.with("none.txt")), "none.txt: No such file");
  contains(list("# nothing\n"), "list.txt: names no image");
  contains(list("a 3\n"), "list.txt:1: '3' is neither a class by name nor a number from 0 to 2");
  contains(list("a\nb horse\n"), "list.txt:2: 'horse' is neither");
  contains(list("a\nb\na\n"), "list.txt:3: 'a' occurs a second time");
  contains(list("/JPEGImages/\n"), "list.txt:1: '/JPEGImages/' names no image");
  contains(list("/JPEGImages/a.jpg x y\n"), "list.txt:1: more than");
  auto o = f.with("ids.txt");
  o.root = f.in / "nowhere";
  contains(opening(o), "nowhere: there is no such folder");
  o = f.with("ids.txt"), o.points = "Peak_points";
  contains(opening(o), "Peak_points: there is no such folder");
  o = f.with("ids.txt"), o.tags = "some.txt";
  write_text(f.in / "some.txt", "a cat\nb cat\n");
  contains(opening(o), "some.txt: has no tags of 'c'");
  write_text(f.in / "some.txt", "a cat\na dog\n");
  contains(opening(o), "some.txt:2: 'a' occurs a second time");
  o = f.with("ids.txt"), o.class_names = {"cat", "cat"};
  CAMBIUM_THROWS_SAYING(voc_folder(o), precondition_error, "the class cat occurs twice");
  CAMBIUM_THROWS_SAYING((void)voc_folder(f.with("ids.txt")).id(3), precondition_error, "image 3 of 3");

  auto const loading = [&](voc_folder_options const& with, std::size_t i) {
    return refusal([&] { (void)voc_folder(with).load(i); });
  };
  contains(loading(f.with("ids.txt"), 2), "has no tags of 'c'");
  write_text(f.in / "list.txt", "a 0\nd 1\n/JPEGImages/e.jpg\n");
  contains(loading(f.with("list.txt"), 1), "d.jpg: there is no such photograph");
  contains(loading(f.with("list.txt"), 2), "e.jpg: there is no such photograph, which the list names");
  o = f.with("ids.txt"), o.points = "Center_points";
  write_text(f.in / "Center_points/a.txt", "3 4 1\n3.2 3.9 1\n-0.4 19.8 0\n3 4 2\n");
  auto const cells = voc_folder(o).load(0).points;  // two of class 1 on one pixel are one
  REQUIRE(cells.size() == 3);
  CHECK((cells[0].x == 3 && cells[0].y == 4 && cells[0].category == 1));
  CHECK((cells[1].x == 0 && cells[1].y == 19 && cells[1].category == 0));
  write_text(f.in / "Center_points/a.txt", "30 0 0\n");
  contains(loading(o, 0), "a.txt: the point at x 30, y 0 is outside its photograph of 20 x 30");
  write_text(f.in / "Center_points/a.txt", "0 0 3\n");
  contains(loading(o, 0), "is of class 3, outside 0..2");
  std::filesystem::remove(f.in / "Center_points/b.txt");
  contains(loading(o, 1), "b.txt: No such file");
  o = f.with("ids.txt"), o.boxes = true;
  write_text(f.in / "Annotations/a.xml", annotation(20, 30, object("horse", 1, 1, 2, 2)));
  contains(loading(o, 0), "a.xml: 'horse' is no class of this set");
  write_text(f.in / "Annotations/a.xml", annotation(30, 20, object("dog", 1, 1, 2, 2)));
  contains(loading(o, 0), "a.xml: is of a photograph of 30 x 20 pixels, but that is 20 x 30");
  contains(loading(o, 2), "c.xml: No such file");
  write_text(f.in / "JPEGImages/a.jpg", "no photograph");
  contains(loading(f.with("tagged.txt"), 0), "a.jpg: is neither a JPEG nor a PNG file");
}

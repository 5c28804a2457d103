// 07  Metrics: the quality of labels.
//
// The truth has three objects of two classes. The prediction shifts one of them right by a column, splits one in two,
// and has one exactly. Classes are compared pixel by pixel, objects by their overlap, outlines by their distance. '?'
// marks void pixels, whose true class is unknown.
//
//   $ ./07_metrics
//
// Next: 11_irnet.

#include <cambium/metric/boundary_f.hpp>
#include <cambium/metric/coco_ap.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <cstdio>
#include <string>

using namespace cambium;

using label_map = grid<std::int32_t, 2>;

static label_map drawn(std::vector<std::string> const& rows)
{
  label_map out(rows.size(), rows[0].size());
  for (index_t y = 0; y < out.shape()[0]; ++y)
    for (index_t x = 0; x < out.shape()[1]; ++x) {
      char const c = rows[static_cast<std::size_t>(y)][static_cast<std::size_t>(x)];
      out(y, x) = c == '.' ? label::background : c == '?' ? label::ignore : c - '0';
    }
  return out;
}

static label_map classes_of(label_map const& objects, std::vector<std::int32_t> const& classes)
{
  label_map out = objects;
  for (auto& v : out.cells())
    if (v != label::background && v != label::ignore) v = classes[static_cast<std::size_t>(v - 1)];
  return out;
}

static std::vector<double> areas_of(label_map const& objects, std::size_t count)
{
  std::vector<double> out(count, 0);
  for (auto const v : objects.cells())
    if (v != label::background && v != label::ignore) ++out[static_cast<std::size_t>(v - 1)];
  return out;
}

int main()
{
  label_map const truth =
      drawn({"....................", ".1111?......333.....", ".1111?.....33333....", ".1111?.....33333....",
             "............333.....", "..........22222222..", "..........22222222..", "...................."});
  label_map const found =
      drawn({"....................", "..1111......444.....", "..1111.....44444....", "..1111.....44444....",
             "............444.....", "..........222.3333..", "..........222.3333..", "...................."});
  std::vector<std::int32_t> const truth_class{1, 1, 2}, found_class{1, 1, 1, 2};
  std::vector<float> const score{0.9f, 0.8f, 0.7f, 0.6f};

  confusion_matrix confusion(3);
  accumulate(confusion, classes_of(found, found_class), classes_of(truth, truth_class));
  std::printf("IoU of background and classes");
  for (double const iou : class_iou(confusion)) std::printf(" %.3f", iou);
  std::printf(", mean %.3f\n", mean_iou(confusion));

  image_result const image{found_class, score, truth_class, label_iou(found, 4, truth, 3, label::ignore)};
  for (double const threshold : {0.25, 0.5, 0.75})
    std::printf("AP at %.2f: %.3f\n", threshold, instance_ap({image}, threshold).mean);
  std::printf("average best overlap %.3f\n", average_best_overlap({image}).mean);

  // The same as COCO counts: one entry for each class on each image.
  std::vector<coco_pair> pairs;
  auto const found_area = areas_of(found, 4), truth_area = areas_of(truth, 3);
  for (std::int32_t c = 1; c <= 2; ++c) {
    coco_pair& pair = pairs.emplace_back();
    pair.category = c - 1;
    std::vector<std::size_t> mine, theirs;
    for (std::size_t i = 0; i < 4; ++i)
      if (found_class[i] == c)
        mine.push_back(i), pair.score.push_back(static_cast<double>(score[i])), pair.area.push_back(found_area[i]);
    for (std::size_t i = 0; i < 3; ++i)
      if (truth_class[i] == c) theirs.push_back(i), pair.truth_area.push_back(truth_area[i]), pair.crowd.push_back(0);
    pair.iou = grid<double, 2>(mine.size(), theirs.size());
    for (std::size_t d = 0; d < mine.size(); ++d)
      for (std::size_t g = 0; g < theirs.size(); ++g)
        pair.iou(d, g) = static_cast<double>(image.iou(mine[d], theirs[g]));
  }
  coco_summary const coco = summarise(coco_ap(pairs, 2));
  std::printf("COCO: AP %.3f, AP50 %.3f, AP75 %.3f, AR1 %.3f, AR100 %.3f\n", coco.ap, coco.ap50, coco.ap75, coco.ar1,
              coco.ar100);

  for (double const tolerance : {0.0, 1.0}) {
    auto const outlines =
        boundary_f(cpu{}, classes_of(found, found_class), classes_of(truth, truth_class), 3, {.tolerance = tolerance});
    std::printf("boundary F within %.0f: %.3f %.3f %.3f, mean %.3f\n", tolerance, outlines[0].f, outlines[1].f,
                outlines[2].f, mean_f(outlines));
  }
}

#pragma once
// What the originals do to a photograph before a network sees it, with the labels, points and boxes that lie on it.

#include "data/colour.hpp"
#include "data/dataset.hpp"
#include "data/resample.hpp"

#include <cambium/core/label.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/points.hpp>

#include <cstdint>
#include <vector>

namespace trainer {

/// A photograph and all that lies on it.
struct labelled_photograph {
  cambium::grid<std::uint8_t, 3> photograph;         ///< [H,W,3]
  std::vector<cambium::grid<std::int32_t, 2>> maps;  ///< [H,W] each: labels of classes, of instances
  cambium::points points;                            ///< in pixel indices
  std::vector<labelled_box> boxes;
};

/// What a network gets. Points and boxes that the crop has lost are gone: their order stays, their places do not.
struct augmented {
  cambium::grid<float, 3> photograph;                ///< [3,h,w] (colour / 255 - mean) / deviation; padding is 0
  std::vector<cambium::grid<std::int32_t, 2>> maps;  ///< [h,w] each; padding is the fill
  cambium::points points;
  std::vector<labelled_box> boxes;
  cambium::box seen;  ///< what is photograph; the rest is padding
};

// --- steps -------------------------------------------------------------------------------------------------------

/// How points move when a photograph is resized by a factor r, and which a crop of n pixels keeps.
enum class point_rule {
  centred,  ///< (p + 1/2) r - 1/2: they stay on what they mark; kept are -1/2 <= p < n - 1/2, on a pixel of the crop
  cut       ///< the whole part of p r; kept are 0 <= p < n: BESTIE's, which means to cut off fractions later
};

/// A photograph and its labels at another size. Boxes move as their label maps do: a box around an object stays around
/// it. Boxes that contain no cell any more are dropped.
/// @throws cambium::precondition_error: an empty photograph or size, maps of another size than the photograph
[[nodiscard]] labelled_photograph resized(labelled_photograph const& from, cambium::extent2 to, sampling rules,
                                          kernel shape, point_rule points = point_rule::centred);

/// Left becomes right. Twice changes nothing.
/// @invariant a pixel, a cell, a point at x are at W - 1 - x; a box left..right at W - right..W - left
void flip(labelled_photograph& s);
void flip(augmented& a);

/// Where a crop lies on a photograph; it may stick out on any side.
struct window {
  cambium::index_t top = 0, left = 0;
  cambium::index_t height = 0, width = 0;  ///< above 0
};

/// The window of a crop by chance: along an axis where the photograph is larger any place inside it, where it is
/// smaller any place around it.
/// @source get_random_crop_box, misc/imutils.py of jiwoon-ahn/irn; BESTIE's random crop is the same
[[nodiscard]] window random_window(cambium::extent2 photograph, cambium::extent2 crop, dice& d);

/// Cut a window out of a photograph and normalise its colours.
///
/// @param fill  of maps where the window sticks out
/// @throws cambium::precondition_error: an empty window, a photograph that is not [H,W,3], maps of another size, a
///         deviation that is not above 0
[[nodiscard]] augmented cropped(labelled_photograph const& from, window const& w, std::int32_t fill,
                                colour_scale const& colours, point_rule points = point_rule::centred);

/// The whole photograph as a network gets it.
/// @return [3,H,W]
[[nodiscard]] cambium::grid<float, 3> normalised(cambium::grid<std::uint8_t, 3> const& photograph,
                                                 colour_scale const& colours = imagenet_colours);

// --- whole recipes -----------------------------------------------------------------------------------------------
// Each is given by the seed and its options alone. The dice are ours: distributions are the originals', the numbers
// not.

struct irnet_cam_augmentation {
  int shortest = 320, longest = 640;  ///< [pixels] the long side, both ends included
  cambium::index_t crop = 512;        ///< [pixels] square
  double flip = 0.5;                  ///< chance
  std::int32_t fill = cambium::label::ignore;
  colour_scale colours = imagenet_colours;
};

/// As IRNet's classifier learns: long side by chance (Pillow's bicubic), flip, crop; what the photograph does not
/// fill is 0 after normalisation.
///
/// @throws cambium::precondition_error: options outside their ranges, a photograph whose maps do not fit
/// @source VOC12ImageDataset, voc12/dataloader.py of jiwoon-ahn/irn with the options of step/train_cam.py
[[nodiscard]] augmented augment_irnet_cam(labelled_photograph const& from, std::uint64_t seed,
                                          irnet_cam_augmentation const& o = {});

struct irnet_affinity_augmentation {
  double smallest = 0.5, largest = 1.5;  ///< factor
  cambium::index_t crop = 512;
  double flip = 0.5;
  std::int32_t fill = cambium::label::ignore;
  colour_scale colours = imagenet_colours;
};

/// As IRNet's boundaries and displacements learn: scale by chance (photograph bicubic, labels nearest, both Pillow's),
/// flip, crop; labels are filled with 255. The labels at stride 4 are quarter(map).
///
/// @throws cambium::precondition_error: options outside their ranges, a photograph whose maps do not fit
/// @source VOC12SegmentationDataset and VOC12AffinityDataset, voc12/dataloader.py of jiwoon-ahn/irn
[[nodiscard]] augmented augment_irnet_affinity(labelled_photograph const& from, std::uint64_t seed,
                                               irnet_affinity_augmentation const& o = {});

/// A label map at a quarter of its size, each side rounded, halves to the even number; nearest cells, Pillow's.
/// @source pil_rescale(label, 0.25, 0), misc/imutils.py of jiwoon-ahn/irn
[[nodiscard]] cambium::grid<std::int32_t, 2> quarter(cambium::grid<std::int32_t, 2> const& map);

struct bestie_augmentation {
  photometric_options photometric;
  cambium::index_t long_side = 449;  ///< [pixels] 32 k + 1
  cambium::index_t multiple = 32;    ///< sides are rounded up to k * multiple + 1; 1 leaves them as they are
  std::vector<double> scales{0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3};
  cambium::index_t crop = 416;
  double flip = 0.5;
  /// Of maps beyond the photograph: the original calls that background; cambium::label::ignore is the honest answer.
  std::int32_t fill = cambium::label::background;
  /// The original multiplies a point's coordinates and cuts off fractions, twice, so that points drift towards the
  /// upper left by up to two pixels. True moves them with the pixels and keeps fractions.
  bool exact_points = false;
  colour_scale colours = imagenet_colours;  ///< coco_colours for trainings on COCO
};

/// As BESTIE learns: light, size, scale, crop, flip (OpenCV's bilinear and nearest).
///
/// Padding is 0 after normalisation; the original fills in the mean colour before, which its rounding to bytes can keep
/// from being 0 by 0.01.
///
/// @throws cambium::precondition_error: options outside their ranges, a photograph whose maps do not fit
/// @source utils/LoadData.py and utils/transforms/transforms.py of clovaai/BESTIE
[[nodiscard]] augmented augment_bestie(labelled_photograph const& from, std::uint64_t seed,
                                       bestie_augmentation const& o = {});

struct pam_augmentation {
  cambium::index_t size = 384;  ///< [pixels] both sides, whatever they were
  cambium::index_t crop = 321;  ///< [pixels] square
  double flip = 0.5;
  jitter_options colour;
  std::int32_t fill = cambium::label::ignore;
  colour_scale colours = imagenet_colours;
};

/// As the classifier of BESTIE's points learns: squashed to a square (Pillow's bilinear), flip, colour, crop.
///
/// @throws cambium::precondition_error: options outside their ranges, a photograph whose maps do not fit
/// @source PAM/utils/LoadData.py and PAM/utils/transforms/transforms.py of clovaai/BESTIE
[[nodiscard]] augmented augment_pam(labelled_photograph const& from, std::uint64_t seed,
                                    pam_augmentation const& o = {});

}  // namespace trainer

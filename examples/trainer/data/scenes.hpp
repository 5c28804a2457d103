#pragma once
// Scenes drawn with their truth: textured objects of six classes, several and touching, occluded, on cluttered ground.
//
// A class is told by one part only: a face with its own colours at one end. The rest of an object is a body whose
// colour, texture and outline it shares with other classes, so that a class activation map is as partial as on
// photographs. Things that look like bodies but have no face lie around and belong to no class.

#include "data/dataset.hpp"

#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace trainer {

struct scene_options {
  std::string name = "scene";     ///< scene i is called name_0000i: sets whose scenes differ have different names
  std::uint64_t seed = 1;         ///< scene i of a seed is always the same, on every machine
  std::size_t count = 500;        ///< scenes of the set
  cambium::index_t height = 128;  ///< [pixels] at least 32
  cambium::index_t width = 128;   ///< [pixels] at least 32
  int least = 1, most = 4;        ///< objects wanted; fewer where there is no room
  double smallest = 0.22;         ///< of the shorter side: an object's diameter; in [0.08, largest]
  double largest = 0.55;          ///< in [smallest, 0.6]
  double touching = 0.35;         ///< chance that an object is put beside another one of its class
  int clutter = 6;                ///< strokes; half as many bodies without a face
  double second_face = 0;         ///< chance that an object has a second face, at its other end; see hard_scenes
  double covered = 0;             ///< of a face's diameter: its body's paint covers at most so much; in [0,0.8]
};

/// Scenes that are as hard to label as photographs: objects with two faces, faces partly covered, more that touch.
///
/// `touching` changes objects and places. The two other options change the look of the same objects at the same places.
/// docs/rationale.md says why these values were chosen, before any instance network of BESTIE had seen such a scene.
[[nodiscard]] scene_options hard_scenes(scene_options easy);

/// One scene with everything that is known of it.
struct scene {
  cambium::grid<std::uint8_t, 3> photograph;  ///< [H,W,3]
  cambium::instances<> objects;               ///< classes from 0; score 1; only what is visible
  cambium::points points;  ///< a visible pixel near the middle of each object, in the order of objects
};

/// Draws scene number `index`. @throws cambium::precondition_error naming the option that is out of range
[[nodiscard]] scene draw_scene(scene_options const& options, std::size_t index);

/// Scenes as a training set: tags, points and boxes of what is visible; drawn when asked for.
class scenes final : public dataset {
 public:
  explicit scenes(scene_options options);

  [[nodiscard]] std::size_t size() const override { return options_.count; }
  [[nodiscard]] std::vector<std::string> const& class_names() const override;
  [[nodiscard]] std::string id(std::size_t i) const override;
  [[nodiscard]] weak_image load(std::size_t i) const override;
  [[nodiscard]] cambium::instances<> truth(std::size_t i) const override;
  [[nodiscard]] scene_options const& options() const { return options_; }

 private:
  scene_options options_;
};

/// Square scenes of a seed: those to learn from and those held out have no scene in common.
/// @param side  [pixels]; the layout of a scene does not hang on it
[[nodiscard]] scene_options scenes_of(std::uint64_t seed, std::size_t count, cambium::index_t side, bool held_out);

}  // namespace trainer

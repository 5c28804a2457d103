// Objects without labels: normalised cuts of the features of patches.

#include "bindings.hpp"

#include <cambium/pipeline/mask_cut.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace bindings {

using namespace cambium;

namespace {

struct python_cuts {
  nb::object masks, vectors, values, costs, accepted, settled, seeds;
};

python_cuts mask_cut_of(nb::handle features, double tau, int passes, double eps, int corners, double repeats,
                        double smallest, double smallest_first, int steps, int threads, bool copy)
{
  array_argument given(features, "mask_cut: features", copy);
  auto const where = policy(threads, "mask_cut");
  expects(1 <= passes && passes <= 1000, "mask_cut: passes is ", passes, "; expected 1 to 1000");
  mask_cut_options const options{.tau = tau,
                                 .passes = passes,
                                 .cut = {.eps = eps, .steps = steps},
                                 .corners = corners,
                                 .repeats = repeats,
                                 .smallest = smallest,
                                 .smallest_first = smallest_first};
  return with_float_type(given, [&]<class T>() -> python_cuts {
    auto const in = given.cells<T, 3>();
    auto const found = without_gil([&] { return mask_cut(where, in, options); });
    index_t const P = found.masks.size(), H = found.masks.image.height, W = found.masks.image.width;
    grid<double, 3> vectors(P, H, W);
    std::vector<double> values, costs;
    std::vector<std::uint8_t> accepted, settled;
    std::vector<std::int64_t> seeds;
    for (std::size_t p = 0; p < found.passes.size(); ++p) {
      auto const& pass = found.passes[p];
      auto const& v = pass.mode.vector.cells();
      std::copy(v.begin(), v.end(), vectors.data() + static_cast<index_t>(p) * H * W);
      values.push_back(pass.mode.value), costs.push_back(pass.cost);
      accepted.push_back(pass.accepted ? 1 : 0), settled.push_back(pass.mode.settled ? 1 : 0);
      seeds.push_back(pass.object.seed);
    }
    return {into_array(unpack_masks(where, found.masks)),
            into_array(std::move(vectors)),
            into_array(std::move(values)),
            into_array(std::move(costs)),
            into_array(std::move(accepted)),
            into_array(std::move(settled)),
            into_array(std::move(seeds))};
  });
}

}  // namespace

void bind_cut(nb::module_& m)
{
  nb::class_<python_cuts>(m, "MaskCuts", "What mask_cut() found, pass after pass.")
      .def_ro("masks", &python_cuts::masks, nb::sig("def masks(self, /) -> NDArray[np.uint8]"),
              "[P,H,W] 1 on the patches of an object, disjoint; all 0 where a pass was rejected.")
      .def_ro("vectors", &python_cuts::vectors, nb::sig("def vectors(self, /) -> NDArray[np.float64]"),
              "[P,H,W] the eigenvector of the cut; its largest absolute value is positive.")
      .def_ro("values", &python_cuts::values, nb::sig("def values(self, /) -> NDArray[np.float64]"),
              "[P] its eigenvalue, small where a cut is cheap.")
      .def_ro("costs", &python_cuts::costs, nb::sig("def costs(self, /) -> NDArray[np.float64]"),
              "[P] in [0,2]: what the cut costs, cut / vol(side) + cut / vol(other side).")
      .def_ro("accepted", &python_cuts::accepted, nb::sig("def accepted(self, /) -> NDArray[np.uint8]"),
              "[P] 1 where the pass counts.")
      .def_ro("settled", &python_cuts::settled, nb::sig("def settled(self, /) -> NDArray[np.uint8]"),
              "[P] 1 where the eigenvector is exact to 1e-12; 0 where steps ended before.")
      .def_ro("seeds", &python_cuts::seeds, nb::sig("def seeds(self, /) -> NDArray[np.int64]"),
              "[P] the surest patch y * W + x.")
      .def("__repr__", [](python_cuts const& r) { return "MaskCuts(masks=" + text_of(r.masks) + ")"; });
  m.def("mask_cut", mask_cut_of, array("features"), nb::kw_only(), nb::arg("tau") = 0.15, nb::arg("passes") = 3,
        nb::arg("eps") = 1e-5, nb::arg("corners") = 3, nb::arg("repeats") = 0.5, nb::arg("smallest") = 0.01,
        nb::arg("smallest_first") = 0.0, nb::arg("steps") = 1000, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def mask_cut(features: Array, *, tau: float = 0.15, passes: int = 3, eps: float = 1e-05, corners: int "
                "= 3, repeats: float = 0.5, smallest: float = 0.01, smallest_first: float = 0.0, steps: int = 1000, "
                "threads: int = 0, copy: bool = False) -> MaskCuts"),
        "Cut objects out of the features of an image's patches, one after another, without any label: MaskCut.\n\n"
        "features  [D,H,W] float32 or float64, finite: a vector for each patch, for example the keys of a vision "
        "transformer; at least one feature and two patches\n"
        "tau       finite: patches are alike if the cosine of their features is larger\n"
        "passes    1 to 1000: most objects\n"
        "eps       in (0,1]: the affinity of patches that are not alike\n"
        "corners   1 to 5: a side of a cut with so many corners of the map is background; 5: none is\n"
        "repeats   in [0,1]: a pass is rejected if its IoU with the pass before is larger\n"
        "smallest  in [0,1]: and, from the second pass on, if it has at most this part of the patches\n"
        "smallest_first  in [0,1]: the same of the first pass; as published, it may have any size\n"
        "steps     at least 1: most products of an eigenvector; see MaskCuts.settled\n\n"
        "Source: Wang et al., 'Cut and learn', CVPR 2023; Shi & Malik, PAMI 2000.");
}

}  // namespace bindings

#include "data/batch.hpp"

#include <torch/types.h>

#include <cambium/core/error.hpp>

#include <algorithm>

namespace trainer {

using cambium::expects;

torch::Tensor to_tensor(cambium::grid<float, 3> const& g)
{
  torch::Tensor out = torch::empty({g.shape()[0], g.shape()[1], g.shape()[2]}, torch::kFloat32);
  std::copy(g.cells().begin(), g.cells().end(), out.data_ptr<float>());
  return out;
}

torch::Tensor to_tensor(cambium::grid<std::int32_t, 2> const& g)
{
  torch::Tensor out = torch::empty({g.shape()[0], g.shape()[1]}, torch::kInt64);
  std::copy(g.cells().begin(), g.cells().end(), out.data_ptr<std::int64_t>());
  return out;
}

batch collate(std::vector<augmented> const& samples)
{
  expects(!samples.empty(), "collate: there is no sample");
  auto const& first = samples[0];
  std::vector<torch::Tensor> photographs;
  std::vector<std::vector<torch::Tensor>> maps(first.maps.size());
  batch out;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    augmented const& s = samples[i];
    expects(s.photograph.shape() == first.photograph.shape(), "collate: photograph ", i, " is ", s.photograph.view(),
            " but the first ", first.photograph.view());
    expects(s.maps.size() == maps.size(), "collate: sample ", i, " has ", s.maps.size(), " maps but the first ",
            maps.size());
    photographs.push_back(to_tensor(s.photograph));
    for (std::size_t k = 0; k < maps.size(); ++k) {
      expects(s.maps[k].shape() == first.maps[k].shape(), "collate: map ", k, " of sample ", i, " is ",
              s.maps[k].view(), " but of the first ", first.maps[k].view());
      maps[k].push_back(to_tensor(s.maps[k]));
    }
    out.points.push_back(s.points);
    out.boxes.push_back(s.boxes);
    out.seen.push_back(s.seen);
  }
  out.photographs = torch::stack(photographs);
  for (auto const& m : maps) out.maps.push_back(torch::stack(m));
  return out;
}

torch::Tensor multi_hot(std::vector<std::vector<std::int32_t>> const& tags, std::int64_t classes)
{
  expects(classes >= 1, "multi_hot: ", classes, " classes");
  torch::Tensor out = torch::zeros({static_cast<std::int64_t>(tags.size()), classes}, torch::kFloat32);
  for (std::size_t i = 0; i < tags.size(); ++i)
    for (std::int32_t const t : tags[i]) {
      expects(t >= 0 && t < classes, "multi_hot: a tag of sample ", i, " is ", t, ", outside 0..", classes - 1);
      out.data_ptr<float>()[static_cast<std::int64_t>(i) * classes + t] = 1;
    }
  return out;
}

torch::Tensor sure_tags(std::vector<std::vector<std::int32_t>> const& unsure, std::int64_t classes)
{
  if (std::all_of(unsure.begin(), unsure.end(), [](auto const& of) { return of.empty(); })) return {};
  return 1 - multi_hot(unsure, classes);
}

}  // namespace trainer

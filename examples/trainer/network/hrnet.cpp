#include "network/hrnet.hpp"

#include "network/at_size.hpp"
#include "network/convolution.hpp"

#include <cambium/core/error.hpp>

#include <torch/nn/init.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/upsampling.h>

#include <string>

namespace trainer {

using cambium::expects;

namespace {

std::shared_ptr<chain> normalised(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                                  bool rectified, batch_norm_options norm)
{
  auto steps = make_chain(convolution(in, out, kernel, {.stride = stride}), make_batch_norm(out, norm));
  if (rectified) steps->push_back(torch::nn::ReLU());
  return steps;
}

/// A list with numbers for names, some of which may be without a module.
template <class M>
std::shared_ptr<torch::nn::Module> numbered(std::vector<std::shared_ptr<M>> const& items)
{
  auto list = std::make_shared<torch::nn::Module>();
  for (std::size_t i = 0; i < items.size(); ++i)
    if (items[i] != nullptr) list->register_module(std::to_string(i), items[i]);
  return list;
}

std::shared_ptr<chain> head(std::int64_t in, std::int64_t inside, std::int64_t out)
{
  return make_chain(torch::nn::Conv2d(torch::nn::Conv2dOptions(in, inside, 3).padding(1)), torch::nn::ReLU(),
                    torch::nn::Conv2d(torch::nn::Conv2dOptions(inside, out, 1)));
}

}  // namespace

/// Branches side by side, then each of them joined with all others.
class hrnet_module : public torch::nn::Module {
 public:
  hrnet_module(std::vector<std::int64_t> const& channels, std::int64_t outputs, hrnet_options const& options)
  {
    auto const n = channels.size();
    std::vector<std::shared_ptr<torch::nn::Module>> lists;
    for (auto const c : channels) {
      auto& branch = branches_.emplace_back();
      for (std::int64_t b = 0; b < options.blocks; ++b)
        branch.push_back(std::make_shared<residual_block>(residual_kind::basic, c, c, 1, options.norm));
      lists.push_back(numbered(branch));
    }
    register_module("branches", numbered(lists));
    lists.clear();
    for (std::size_t i = 0; i < static_cast<std::size_t>(outputs); ++i) {
      auto& row = joins_.emplace_back(n);
      for (std::size_t j = 0; j < n; ++j) {
        if (j > i) {
          double const factor = static_cast<double>(1 << (j - i));
          row[j] = normalised(channels[j], channels[i], 1, 1, false, options.norm);
          row[j]->push_back(torch::nn::Upsample(
              torch::nn::UpsampleOptions().scale_factor(std::vector<double>{factor, factor}).mode(torch::kNearest)));
        } else if (j < i) {
          row[j] = make_chain();
          for (std::size_t k = j; k < i; ++k)
            row[j]->push_back(
                normalised(channels[j], k + 1 == i ? channels[i] : channels[j], 3, 2, k + 1 < i, options.norm));
        }
      }
      lists.push_back(numbered(row));
    }
    register_module("fuse_layers", numbered(lists));
  }

  std::vector<torch::Tensor> forward(std::vector<torch::Tensor> x)
  {
    for (std::size_t i = 0; i < x.size(); ++i)
      for (auto const& block : branches_[i]) x[i] = block->forward(x[i]);
    std::vector<torch::Tensor> out;
    for (auto const& row : joins_) {
      torch::Tensor sum;
      for (std::size_t j = 0; j < x.size(); ++j) {
        auto const part = row[j] == nullptr ? x[j] : row[j]->forward(x[j]);
        sum = sum.defined() ? sum + part : part;
      }
      out.push_back(torch::relu(sum));
    }
    return out;
  }

 private:
  std::vector<std::vector<std::shared_ptr<residual_block>>> branches_;
  std::vector<std::vector<std::shared_ptr<chain>>> joins_;  ///< null: the branch itself
};

hrnet::hrnet(std::int64_t classes, hrnet_options options) : classes_(classes), width_(options.width)
{
  expects(classes >= 1, "hrnet: ", classes, " classes");
  for (auto const v : {options.width, options.modules[0], options.modules[1], options.modules[2], options.blocks,
                       options.stem, options.head})
    expects(v >= 1, "hrnet: an option is ", v, "; all numbers are at least 1");
  expects(options.deviation >= 0, "hrnet: deviation is ", options.deviation);

  auto const wide = options.stem * expansion(residual_kind::bottleneck);
  conv1_ = register_module("conv1", convolution(3, options.stem, 3, {.stride = 2}));
  bn1_ = register_module("bn1", make_batch_norm(options.stem, options.norm));
  conv2_ = register_module("conv2", convolution(options.stem, options.stem, 3, {.stride = 2}));
  bn2_ = register_module("bn2", make_batch_norm(options.stem, options.norm));
  for (std::int64_t b = 0; b < options.blocks; ++b)
    layer1_.push_back(std::make_shared<residual_block>(residual_kind::bottleneck, b == 0 ? options.stem : wide,
                                                       options.stem, 1, options.norm));
  register_module("layer1", numbered(layer1_));

  std::vector<std::int64_t> before{wide};
  for (std::size_t s = 0; s < 3; ++s) {
    std::vector<std::int64_t> channels;
    for (std::size_t i = 0; i < s + 2; ++i) channels.push_back(options.width << i);
    auto& transition = transitions_[s];
    transition.resize(channels.size());
    for (std::size_t i = 0; i < channels.size(); ++i) {
      if (i < before.size()) {
        if (channels[i] != before[i]) transition[i] = normalised(before[i], channels[i], 3, 1, true, options.norm);
      } else {  // one more branch, at half the resolution
        transition[i] = make_chain(normalised(before.back(), channels[i], 3, 2, true, options.norm));
      }
    }
    register_module("transition" + std::to_string(s + 1), numbered(transition));
    for (std::int64_t m = 0; m < options.modules[s]; ++m) {
      bool const last = s == 2 && m + 1 == options.modules[s];  // whose coarse branches nobody asks for
      stages_[s].push_back(
          std::make_shared<hrnet_module>(channels, last ? 1 : static_cast<std::int64_t>(channels.size()), options));
    }
    register_module("stage" + std::to_string(s + 2), numbered(stages_[s]));
    before = channels;
  }
  seg_ = register_module("seg", head(options.width, options.head, classes + 1));
  centre_ = register_module("center", head(options.width, options.head, classes));
  offset_ = register_module("offset", head(options.width, options.head, 2));

  for (auto const& m : modules(false))  // the network itself is in no shared_ptr yet
    if (auto* conv = m->as<torch::nn::Conv2d>()) {
      if (options.deviation > 0 || conv->bias.defined())
        torch::nn::init::normal_(conv->weight, 0, options.deviation > 0 ? options.deviation : 0.01);
      else
        torch::nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
      if (conv->bias.defined()) torch::nn::init::zeros_(conv->bias);
    }
}

torch::Tensor hrnet::features(torch::Tensor const& image)
{
  expects(image.dim() == 4 && image.size(1) == 3 && image.size(2) % 32 == 0 && image.size(3) % 32 == 0,
          "hrnet: image is ", c10::str(image.sizes()), "; expected [B,3,H,W] with sides that are multiples of 32");
  auto y = torch::relu(bn1_->forward(conv1_(image)));
  y = torch::relu(bn2_->forward(conv2_(y)));
  for (auto const& block : layer1_) y = block->forward(y);
  std::vector<torch::Tensor> x{{y}};
  for (std::size_t s = 0; s < 3; ++s) {
    std::vector<torch::Tensor> next;
    for (std::size_t i = 0; i < transitions_[s].size(); ++i) {
      auto const& from = x[std::min(i, x.size() - 1)];
      next.push_back(transitions_[s][i] == nullptr ? from : transitions_[s][i]->forward(from));
    }
    x = std::move(next);
    for (auto const& m : stages_[s]) x = m->forward(std::move(x));
  }
  return x[0];
}

bestie_maps hrnet::forward(torch::Tensor const& image)
{
  auto const x = features(image);
  auto const enlarged = [&](std::shared_ptr<chain> const& h) {
    return at_size(h->forward(x), image.size(2), image.size(3));
  };
  return {enlarged(seg_), enlarged(centre_), enlarged(offset_)};
}

semantic_half hrnet::semantic(torch::Tensor const& image)
{
  auto const x = features(image);
  return {seg_->forward(x), x};
}

std::shared_ptr<hrnet> hrnet_w32(std::int64_t classes)
{
  hrnet_options options;
  options.width = 32;
  return std::make_shared<hrnet>(classes, options);
}

std::shared_ptr<hrnet> hrnet_w48(std::int64_t classes) { return std::make_shared<hrnet>(classes); }

std::shared_ptr<hrnet> small_hrnet(std::int64_t width, std::int64_t classes)
{
  hrnet_options options;
  options.width = options.stem = width;
  options.modules = {1, 1, 1};
  options.blocks = 1;
  options.head = 2 * width;
  options.deviation = 0;
  return std::make_shared<hrnet>(classes, options);
}

}  // namespace trainer

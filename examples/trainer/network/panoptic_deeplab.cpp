#include "network/panoptic_deeplab.hpp"

#include "network/at_size.hpp"
#include "network/chain.hpp"
#include "network/convolution.hpp"
#include "network/dropout.hpp"

#include <cambium/core/error.hpp>

#include <torch/nn/init.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/moduledict.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/pooling.h>

#include <string>
#include <utility>
#include <vector>

namespace trainer {

using cambium::expects;

namespace {

std::shared_ptr<chain> normalised(torch::nn::Conv2d conv, batch_norm_options norm)
{
  auto const out = conv->options.out_channels();
  return make_chain(std::move(conv), make_batch_norm(out, norm), torch::nn::ReLU());
}

/// What joins and heads convolve with: 5x5 of each channel by itself, then 1x1 over all; or 3x3 over all. Inside one
/// chain more than it needs, since the original stacks several.
std::shared_ptr<chain> joined(std::int64_t in, std::int64_t out, bool separable, batch_norm_options norm)
{
  if (!separable) return make_chain(normalised(convolution(in, out, 3), norm));
  return make_chain(make_chain(normalised(convolution(in, in, 5, {.groups = in}), norm), convolution(in, out, 1),
                               make_batch_norm(out, norm), torch::nn::ReLU()));
}

/// The mean of the image as a branch of the pyramid. It has no normalisation: a mean is one value a channel.
class pooled_branch : public torch::nn::Module {
 public:
  pooled_branch(std::int64_t in, std::int64_t out)
      : steps_(register_module("aspp_pooling",
                               make_chain(torch::nn::AdaptiveAvgPool2d(1), convolution(in, out, 1), torch::nn::ReLU())))
  {
  }
  torch::Tensor forward(torch::Tensor const& x)
  {
    return steps_->forward(x).expand({x.size(0), -1, x.size(2), x.size(3)});
  }

 private:
  std::shared_ptr<chain> steps_;
};

class pyramid : public torch::nn::Module {
 public:
  pyramid(std::int64_t in, std::int64_t out, std::array<std::int64_t, 3> const& rates, double dropout,
          batch_norm_options norm)
      : pooled_(std::make_shared<pooled_branch>(in, out))
  {
    branches_.push_back(normalised(convolution(in, out, 1), norm));
    for (auto const rate : rates) branches_.push_back(normalised(convolution(in, out, 3, {.dilation = rate}), norm));
    torch::nn::ModuleList convs;
    for (auto const& b : branches_) convs->push_back(b);
    convs->push_back(pooled_);
    register_module("convs", convs);
    project_ = register_module("project", make_chain(convolution(5 * out, out, 1), make_batch_norm(out, norm),
                                                     torch::nn::ReLU(), std::make_shared<batch_dropout>(dropout)));
  }

  torch::Tensor forward(torch::Tensor const& x)
  {
    std::vector<torch::Tensor> all;
    for (auto const& b : branches_) all.push_back(b->forward(x));
    all.push_back(pooled_->forward(x));
    return project_->forward(torch::cat(all, 1));
  }

 private:
  std::vector<std::shared_ptr<chain>> branches_;
  std::shared_ptr<pooled_branch> pooled_;
  std::shared_ptr<chain> project_;
};

}  // namespace

class deeplab_decoder : public torch::nn::Module {
 public:
  deeplab_decoder(std::array<std::int64_t, 5> const& in, deeplab_decoder_options const& options,
                  panoptic_deeplab_options const& all)
  {
    batch_norm_options const norm{batch_norm::live, all.bn_momentum};
    aspp_ = register_module("aspp", std::make_shared<pyramid>(in[4], options.pyramid, all.rates, all.dropout, norm));
    torch::nn::ModuleList project, fuse;
    std::int64_t from = options.pyramid;
    for (std::size_t i = 0; i < 3; ++i) {
      project_.push_back(normalised(convolution(in[3 - i], options.skips[i], 1), norm));
      fuse_.push_back(joined(from + options.skips[i], options.channels, all.separable, norm));
      project->push_back(project_.back());
      fuse->push_back(fuse_.back());
      from = options.channels;
    }
    register_module("project", project);
    register_module("fuse", fuse);
  }

  torch::Tensor forward(std::vector<torch::Tensor> const& stages)
  {
    auto x = aspp_->forward(stages[4]);
    for (std::size_t i = 0; i < 3; ++i) {
      auto const skip = project_[i]->forward(stages[3 - i]);
      x = fuse_[i]->forward(torch::cat({at_size(x, skip.size(2), skip.size(3), true), skip}, 1));
    }
    return x;
  }

 private:
  std::shared_ptr<pyramid> aspp_;
  std::vector<std::shared_ptr<chain>> project_, fuse_;
};

class deeplab_head : public torch::nn::Module {
 public:
  /// A head of several outputs: name, channels inside, channels out.
  struct output {
    std::string name;
    std::int64_t inside, channels;
  };
  deeplab_head(std::int64_t in, std::vector<output> const& outputs, panoptic_deeplab_options const& options)
  {
    torch::nn::ModuleDict all;
    torch::OrderedDict<std::string, std::shared_ptr<torch::nn::Module>> items;
    for (auto const& o : outputs) {
      steps_.push_back(make_chain(joined(in, o.inside, options.separable, {batch_norm::live, options.bn_momentum}),
                                  torch::nn::Conv2d(torch::nn::Conv2dOptions(o.inside, o.channels, 1))));
      items.insert(o.name, steps_.back());
    }
    all->update(items);
    register_module("classifier", all);
  }

  std::vector<torch::Tensor> forward(torch::Tensor const& x)
  {
    std::vector<torch::Tensor> out;
    for (auto const& s : steps_) out.push_back(s->forward(x));
    return out;
  }

 private:
  std::vector<std::shared_ptr<chain>> steps_;
};

panoptic_deeplab::panoptic_deeplab(std::shared_ptr<resnet> backbone, std::int64_t classes,
                                   panoptic_deeplab_options options)
    : classes_(classes), features_(options.semantic.channels)
{
  expects(backbone != nullptr, "panoptic_deeplab: no backbone");
  expects(classes >= 1, "panoptic_deeplab: ", classes, " classes");
  for (auto const* d : {&options.semantic, &options.instance})
    for (auto const v : {d->pyramid, d->skips[0], d->skips[1], d->skips[2], d->channels})
      expects(v >= 1, "panoptic_deeplab: a decoder has ", v, " channels");
  for (auto const v : {options.seg_head, options.centre_head, options.offset_head})
    expects(v >= 1, "panoptic_deeplab: a head has ", v, " channels");
  expects(options.dropout >= 0 && options.dropout < 1, "panoptic_deeplab: dropout is ", options.dropout,
          ", outside [0,1)");
  expects(options.deviation >= 0, "panoptic_deeplab: deviation is ", options.deviation);

  auto const in = backbone->channels();
  backbone_ = register_module("backbone", std::move(backbone));
  semantic_ = std::make_shared<deeplab_decoder>(in, options.semantic, options);
  instance_ = std::make_shared<deeplab_decoder>(in, options.instance, options);
  using outputs = std::vector<deeplab_head::output>;
  semantic_head_ = std::make_shared<deeplab_head>(options.semantic.channels,
                                                  outputs{{"seg", options.seg_head, classes + 1}}, options);
  instance_head_ = std::make_shared<deeplab_head>(
      options.instance.channels, outputs{{"center", options.centre_head, classes}, {"offset", options.offset_head, 2}},
      options);
  auto const decoder = std::make_shared<torch::nn::Module>();
  decoder->register_module("semantic_decoder", semantic_);
  decoder->register_module("semantic_head", semantic_head_);
  decoder->register_module("instance_decoder", instance_);
  decoder->register_module("instance_head", instance_head_);
  register_module("decoder", decoder);

  // The last layers, which alone have biases, begin near 0 in any case: so do centres.
  for (auto const& m : decoder->modules())
    if (auto* conv = m->as<torch::nn::Conv2d>()) {
      double const deviation = options.deviation > 0 ? options.deviation : 0.001;
      if (options.deviation > 0 || conv->bias.defined())
        torch::nn::init::normal_(conv->weight, 0, deviation);
      else
        torch::nn::init::kaiming_normal_(conv->weight, 0, torch::kFanIn, torch::kReLU);
    }
}

bestie_maps panoptic_deeplab::forward(torch::Tensor const& image)
{
  auto const stages = backbone_->forward(image);
  auto const H = image.size(2), W = image.size(3);
  auto const seg = semantic_of(stages).logits;
  auto const where = instance_head_->forward(instance_->forward(stages));
  return {at_size(seg, H, W, true), at_size(where[0], H, W, true), at_size(where[1], H, W, true)};
}

semantic_half panoptic_deeplab::semantic(torch::Tensor const& image) { return semantic_of(backbone_->forward(image)); }

semantic_half panoptic_deeplab::semantic_of(std::vector<torch::Tensor> const& stages)
{
  auto const features = semantic_->forward(stages);
  return {semantic_head_->forward(features)[0], features};
}

std::shared_ptr<panoptic_deeplab> small_panoptic_deeplab(std::int64_t width, std::int64_t classes,
                                                         std::shared_ptr<resnet> backbone)
{
  resnet_options body;
  body.pool = false;
  body.strides = {2, 2, 2, 1};
  panoptic_deeplab_options options;
  options.semantic = {2 * width, {2 * width, width, width}, 2 * width};
  options.instance = {2 * width, {2 * width, width, width}, 2 * width};
  options.rates = {1, 2, 3};
  options.seg_head = options.centre_head = options.offset_head = 2 * width;
  options.separable = false;
  options.dropout = 0;
  options.bn_momentum = 0.1;
  options.deviation = 0;
  if (backbone == nullptr) backbone = small_resnet(width, body);
  return std::make_shared<panoptic_deeplab>(std::move(backbone), classes, options);
}

}  // namespace trainer

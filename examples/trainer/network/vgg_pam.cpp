#include "network/vgg_pam.hpp"

#include "network/convolution.hpp"

#include <cambium/core/error.hpp>

#include <torch/nn/init.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/pooling.h>

#include <string>

namespace trainer {

using cambium::expects;

torch::Tensor attend_to_peaks(torch::Tensor const& x, double alpha)
{
  expects(x.defined() && x.dim() == 4, "attend_to_peaks: maps are ", x.defined() ? c10::str(x.sizes()) : "undefined",
          "; expected [B,C,H,W]");
  expects(alpha >= 0 && alpha <= 1, "attend_to_peaks: alpha is ", alpha, ", outside [0,1]");
  auto const r = torch::relu(x);
  torch::Tensor keep;
  {
    torch::NoGradGuard const constant;
    keep = r >= r.amax({2, 3}, true) * alpha;
  }
  return r * keep;
}

namespace {

torch::nn::Conv2d layer(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t dilation = 1)
{
  auto conv = he_normal(convolution(in, out, kernel, {.dilation = dilation, .bias = true}));
  torch::nn::init::zeros_(conv->bias);
  return conv;
}

}  // namespace

vgg_pam::vgg_pam(std::int64_t classes, vgg_pam_options options) : options_(std::move(options)), classes_(classes)
{
  expects(classes >= 1, "vgg_pam: ", classes, " classes");
  expects(options_.extra >= 1, "vgg_pam: extra is ", options_.extra);
  expects(options_.alpha >= 0 && options_.alpha <= 1, "vgg_pam: alpha is ", options_.alpha, ", outside [0,1]");
  torch::nn::Sequential features;
  std::int64_t in = 3;
  for (std::size_t i = 0; i < options_.layers.size(); ++i) {
    auto const v = options_.layers[i];
    expects(v >= vgg_widen, "vgg_pam: layer ", i, " is ", v);
    if (v == vgg_halve) {
      features->push_back(torch::nn::MaxPool2d(torch::nn::MaxPool2dOptions(2).stride(2)));
    } else if (v == vgg_widen) {
      features->push_back(torch::nn::MaxPool2d(torch::nn::MaxPool2dOptions(3).stride(1).padding(1)));
    } else {
      features->push_back(layer(in, v, 3, i >= options_.dilated_from ? 2 : 1));
      if (options_.normalised) features->push_back(make_batch_norm(v, {}));
      features->push_back(torch::nn::ReLU());
      in = v;
    }
  }
  expects(in != 3, "vgg_pam: there is no convolution among the layers");
  features_ = register_module("features", features);
  for (int i = 1; i <= 3; ++i) {
    extra_.push_back(register_module("extra_conv" + std::to_string(i), layer(in, options_.extra, 3)));
    if (options_.normalised)
      extra_bn_.push_back(register_module("extra_bn" + std::to_string(i), make_batch_norm(options_.extra, {})));
    in = options_.extra;
  }
  extra_.push_back(register_module("extra_conv4", layer(in, classes, 1)));
}

torch::Tensor vgg_pam::maps(torch::Tensor const& image)
{
  expects(image.dim() == 4 && image.size(1) == 3, "vgg_pam: image is ", c10::str(image.sizes()),
          "; expected [B,3,H,W]");
  auto x = features_->forward(image);
  for (std::size_t i = 0; i < 3; ++i) {
    x = extra_[i](x);
    if (options_.normalised) x = extra_bn_[i]->forward(x);
    x = attend_to_peaks(x, options_.alpha);
  }
  return extra_[3](x);
}

void vgg_pam::attend(double alpha)
{
  expects(alpha >= 0 && alpha <= 1, "vgg_pam: alpha is ", alpha, ", outside [0,1]");
  options_.alpha = alpha;
}

double vgg_pam::rate_of(std::string const& parameter)
{
  bool const bias = parameter.size() >= 4 && parameter.compare(parameter.size() - 4, 4, "bias") == 0;
  return (parameter.rfind("extra", 0) == 0 ? 10.0 : 1.0) * (bias ? 2.0 : 1.0);
}

vgg_pam_options small_vgg_pam(std::int64_t width, double alpha)
{
  expects(width >= 1, "small_vgg_pam: width is ", width);
  vgg_pam_options out;
  out.layers = {width, vgg_halve, 2 * width, vgg_halve, 4 * width, 4 * width};
  out.dilated_from = 5;
  out.extra = 4 * width;
  out.alpha = alpha;
  out.normalised = true;
  return out;
}

}  // namespace trainer

#include "network/published.hpp"

namespace trainer {

namespace {

/// What DistributedDataParallel and DataParallel put before each name.
std::pair<std::string, std::string> const parallel{"^module\\.", ""};

}  // namespace

name_map published_resnet(bool fc)
{
  name_map out;
  out.renames = {parallel};
  if (!fc) out.passed_over = {"fc."};
  return out;
}

name_map published_irnet_cam()
{
  name_map out;
  // its own list `backbone` goes out of the way first
  out.renames = {parallel, {"^backbone\\.", "again."}, {"^resnet50\\.", "backbone."}};
  out.passed_over = {"again.", "stage1.", "stage2.", "stage3.", "stage4.", "newly_added.", "backbone.fc."};
  return out;
}

name_map published_irnet()
{
  name_map out;
  out.renames = {parallel, {"^backbone\\.", "again."}, {"^resnet50\\.", "backbone."}};
  out.passed_over = {"again.",
                     "stage1.",
                     "stage2.",
                     "stage3.",
                     "stage4.",
                     "stage5.",
                     "edge_layers.",
                     "dp_layers.",
                     "mean_shift.",
                     "path_indices",
                     "ind_from",
                     "ind_to",
                     "backbone.fc.",
                     "fc_dp7.4.running_var",
                     "fc_dp7.4.num_batches_tracked"};
  return out;
}

name_map published_vgg16()
{
  name_map out;
  out.renames = {parallel};
  out.passed_over = {"classifier."};
  out.allowed_missing = {"extra_"};
  return out;
}

name_map published_pam()
{
  name_map out;
  out.renames = {parallel};
  out.passed_over = {"layer1_", "layer2_", "layer3_", "layer4_", "layer5_"};
  return out;
}

name_map published_bestie()
{
  name_map out;
  out.renames = {parallel};
  // torchvision's classifier, should the backbone still have it
  out.passed_over = {"backbone.fc."};
  return out;
}

name_map published_hrnet()
{
  name_map out;
  out.renames = {parallel};
  out.passed_over = {"incre_modules.", "downsamp_modules.", "final_layer.", "classifier.",
                     // of the last module those of poses have one row of joins, those of ImageNet four
                     "stage4.2.fuse_layers.1.", "stage4.2.fuse_layers.2.", "stage4.2.fuse_layers.3."};
  out.allowed_missing = {"seg.", "center.", "offset."};
  return out;
}

}  // namespace trainer

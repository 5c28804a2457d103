// says: label_iou: labels are integers
#include <cambium/metric/instance_ap.hpp>

int main()
{
  cambium::grid<float, 2> const labels(4, 5);
  cambium::grid<int, 2> const truth(4, 5);
  static_cast<void>(cambium::label_iou(labels, 2, truth, 2));
}

// says: accumulate: labels are integers
#include <cambium/metric/confusion.hpp>

int main()
{
  cambium::grid<float, 2> const labels(4, 5);
  cambium::grid<int, 2> const truth(4, 5);
  cambium::confusion_matrix counted(2);
  cambium::accumulate(counted, truth, labels);
}

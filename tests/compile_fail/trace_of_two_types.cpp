// says: displacement and out hold different types
#include <cambium/displacement/trace.hpp>

using namespace cambium;

int main()
{
  grid<float, 3> const displacement(2, 4, 5);
  grid<double, 3> out(2, 4, 5);
  trace_scratch<float> scratch;
  trace_into(cpu{}, displacement, {}, out, scratch);
}

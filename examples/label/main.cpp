// label: a folder of photographs with CAMs and boundary maps in, a folder of masks out.
//
//   label --images 'in/{id}.jpg' --cams 'in/{id}.npy' --boundaries 'edges/{id}.npy' --out labels

#include "run.hpp"

int main(int count, char** arguments)
{
  int status = 0;
  auto const s = labelling::parse_command_line(count, arguments, status);
  return s ? labelling::run(*s) : status;
}

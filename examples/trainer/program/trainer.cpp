// trainer: from image tags, points, scribbles or boxes to masks, end to end.
//
//   trainer irnet --data scenes --out out/irnet

#include "program/commands.hpp"

#include <CLI/CLI.hpp>

int main(int count, char** arguments)
{
  CLI::App app("trainer: networks that see only weak labels, and the masks that come of them");
  app.require_subcommand(1);
  int status = 0;
  trainer::add_irnet_command(app, status);
  trainer::add_bestie_command(app, status);
  trainer::add_boxes_command(app, status);
  trainer::add_instances_command(app, status);
  trainer::add_scribbles_command(app, status);
  CLI11_PARSE(app, count, arguments);
  return status;
}

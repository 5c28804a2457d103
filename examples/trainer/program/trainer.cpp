// trainer: from image tags, points, scribbles or boxes to masks, end to end.
//
//   trainer irnet --data scenes --out out/irnet
//   trainer irnet --data scenes --out out/irnet --processes 4      the same, by four processes of this machine

#include "process/launch.hpp"
#include "program/commands.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>

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
  int several = 1;
  app.add_option("--processes", several,
                 "train by so many processes of this machine; torchrun, srun and mpirun start them on several")
      ->check(CLI::Range(1, 1024));
  for (CLI::App* const command : app.get_subcommands({})) command->fallthrough();
  // before the command: the forked processes go on to it, this one waits for them
  app.parse_complete_callback([&] {
    if (several == 1) return;
    int const ended = trainer::processes::launched(several);
    if (ended >= 0) std::exit(ended);
  });
  try {
    app.parse(count, arguments);
  } catch (CLI::ParseError const& e) {
    return app.exit(e);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "trainer: %s\n", e.what());
    return 1;
  }
  return status;
}

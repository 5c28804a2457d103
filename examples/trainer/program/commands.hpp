#pragma once
// The trainer's commands. Each adds itself to the command line and runs when it was asked for.

#include <CLI/CLI.hpp>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace trainer {

void add_irnet_command(CLI::App& app, int& status);
void add_bestie_command(CLI::App& app, int& status);
void add_boxes_command(CLI::App& app, int& status);
void add_instances_command(CLI::App& app, int& status);
void add_scribbles_command(CLI::App& app, int& status);

/// Runs a command: all cores for LibTorch, freed memory kept, and a sentence instead of an exception. As one of several
/// processes it meets the others first, LibTorch and cambium have one thread unless OMP_NUM_THREADS says how many, and
/// the process ends here with the status of rank 0.
/// @param flags  the command with its flags, which must be the same in all processes but for paths and --quiet; null: they
///               are not compared
/// @return what `command` returns; 1 after an exception
int run_command(char const* name, std::function<int()> const& command, CLI::App const* flags = nullptr);

/// A line on stderr, of rank 0 alone.
void say(std::string const& line);

/// Lists what failed, at the end. @return 0, or 1 where something did
int tell_failures(std::vector<std::string> const& failed);

}  // namespace trainer

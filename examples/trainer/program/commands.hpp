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

/// Runs a command: all cores for LibTorch, freed memory kept, and a sentence instead of an exception.
/// @return what `command` returns; 1 after an exception
int run_command(char const* name, std::function<int()> const& command);

/// Lists what failed, at the end. @return 0, or 1 where something did
int tell_failures(std::vector<std::string> const& failed);

}  // namespace trainer

// The program that CAMBIUM_PROGRAM names: label, sweep or points.
//
//   label --images 'in/{id}.jpg' --cams 'in/{id}.npy' --boundaries 'edges/{id}.npy' --out labels

#include "settings.hpp"

int main(int count, char** arguments) { return labelling::CAMBIUM_PROGRAM(count, arguments); }

// label: a folder of photographs with CAMs and boundary maps in, a folder of masks out.
//
//   label --images 'in/{id}.jpg' --cams 'in/{id}.npy' --boundaries 'edges/{id}.npy' --out labels

#include "settings.hpp"

int main(int count, char** arguments) { return labelling::label(count, arguments); }

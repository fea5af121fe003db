"""The audio front end: PCM in, columns of int8 log-mel energies out, the same bytes everywhere."""

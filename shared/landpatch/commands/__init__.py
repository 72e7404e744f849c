"""The commands of `landpatch`, a module each; `landpatch.cli` gathers them."""

"""The tests of the package and of the benchmarks; a package so that helpers are imported as `tests.harness`."""

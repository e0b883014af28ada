"""Its folder is where the tests of the behaviours find `sights`."""

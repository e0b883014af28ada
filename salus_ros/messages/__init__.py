"""Messages of any library as arrays, checked where they enter."""

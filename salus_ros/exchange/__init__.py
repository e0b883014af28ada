"""Episodes to and from the formats of other libraries, through those libraries."""

"""Tools of a checkout: the virtual rack, the image builder, the development services."""

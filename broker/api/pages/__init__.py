"""Pages for people: plain HTML without inline script or style, nothing cached, nothing from elsewhere."""

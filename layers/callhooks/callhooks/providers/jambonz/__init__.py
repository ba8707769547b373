"""jambonz, and Graine, which is the same API under another name."""
